package cli_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/spf13/cobra"
)

// scripted runs a command line for a program, which cannot be asked anything.
func scripted(t *testing.T, dir string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = cli.Run(t.Context(), args, cli.Environment{
		In: strings.NewReader(""), Out: &stdout, Err: &stderr, Width: func() int { return 80 },
		Getenv: func(key string) string {
			return map[string]string{"LOCKBOX_DATA": dir, "LOCKBOX_TENANT": "meadowbank", "LANG": "C.UTF-8"}[key]
		},
		Now: time.Now, Zone: time.UTC,
	})
	return code, stdout.String(), stderr.String()
}

// Whoever says something dangerous is told what it leads to and has to mean it; whatever only ends access is not held
// up.
const (
	// adds, as opposed to only reading, gives or says something that can be taken back, or is about the caller alone.
	adds = iota + 1
	// asks has a person at a terminal confirm the effect; to run it elsewhere is the confirmation.
	asks
	// dangerous starts access, takes protection away or cannot be undone: elsewhere it needs --yes.
	dangerous
)

// verbs are all commands.
var verbs = map[string]struct {
	kind int
	// line runs a dangerous one without --yes; says is a part of the effect that is named then.
	line, says string
}{
	"login": {kind: adds}, "logout": {kind: adds}, "whoami": {}, "version": {},
	"intent submit": {kind: asks},
	"request list":  {}, "request show": {}, "request watch": {}, "request withdraw": {kind: asks},
	"request release": {kind: asks}, "internal list": {}, "internal refuse": {kind: asks},
	"internal approve": {kind: asks}, // dangerous where it starts access: see below
	"approval list":    {}, "approval show": {}, "approval signatures": {},
	"approval ask": {kind: adds}, "approval answer": {kind: adds},
	"ask": {kind: adds}, "approve": {kind: asks}, "deny": {kind: asks}, "revoke": {kind: asks},
	"approval approve": {kind: asks}, "approval deny": {kind: asks}, "approval revoke": {kind: asks},
	"tenant show": {}, "tenant approvers": {}, "tenant create": {kind: adds}, "tenant invite": {kind: adds},
	"tenant enable": {kind: adds}, "tenant plan": {kind: adds}, "tenant preview sign-up": {kind: adds},
	"tenant subscription add": {kind: adds}, "tenant webhook add": {kind: adds}, "tenant webhook list": {},
	"tenant disable": {dangerous, "--as grace tenant disable --reason x", "the provider alone decides"},
	"tenant preview sign-off": {dangerous, "--as grace tenant preview sign-off machine-learning/workspaces",
		"the provider alone decides"},
	"tenant settings": {dangerous, "--as grace tenant settings --stop-telling desk@meadowbank.example",
		"desk@meadowbank.example is not told of requests any more"},
	"tenant subscription transfer": {dangerous,
		"--as onboarding tenant subscription transfer meadow-production --from meadowbank --reason x", "end now"},
	"tenant webhook remove":  {dangerous, "--as grace tenant webhook remove #LOCKBOX", "Nothing is sent to #lockbox"},
	"tenant issuer propose":  {kind: adds},
	"tenant issuer confirm":  {dangerous, "--as grace tenant issuer confirm c-1", "can sign in as the change says"},
	"tenant issuer stop":     {kind: adds},
	"tenant issuer finish":   {dangerous, "--as grace tenant issuer finish", "roles of people of the former ones end"},
	"tenant correct propose": {kind: adds},
	"tenant correct confirm": {dangerous, "--as onboarding tenant correct confirm c-1", "at once"},
	"tenant correct stop":    {kind: adds},
	"tenant recover propose": {kind: adds},
	"tenant recover confirm": {dangerous, "--as onboarding tenant recover confirm c-1", "In seven days"},
	"tenant recover stop":    {kind: adds},
	"role list":              {}, "role invitations": {}, "role assign": {kind: adds}, "role invite": {kind: adds},
	"role activate": {kind: adds}, "role deactivate": {kind: adds}, "role accept": {kind: asks},
	"role carry-over": {kind: adds},
	"role remove":     {dangerous, "--as grace role remove otto-owner", "Otto Owens loses the role Owner"},
	"role confirm":    {dangerous, "--as grace role confirm i-audrey", "Audrey Abbott"},
	"role withdraw":   {dangerous, "--as grace role withdraw i-audrey", "no role comes of it"},
	"key list":        {}, "key offer": {kind: adds}, "key statement": {}, "key submit": {kind: adds},
	"key basis":            {},
	"key genesis":          {dangerous, "--as grace key genesis --recovery RECOVERY", "only these keys can let in others"},
	"key sign":             {dangerous, "--as grace key sign --offline STATEMENT --sign-with PRIVATE", "You remove a key"},
	"key enrol":            {dangerous, "--as grace key enrol fleur", "You enrol a key"},
	"key remove":           {dangerous, "--as grace key remove blue", "It no longer counts from now on"},
	"key demand":           {dangerous, "--as grace key demand none", "which signatures your organisation demands"},
	"key recover":          {dangerous, "--as grace key recover third", "with the recovery key"},
	"key replace-recovery": {dangerous, "--as grace key replace-recovery RECOVERY", "You replace the recovery key"},
	"ticket list":          {}, "ticket show": {}, "ticket open": {kind: adds}, "ticket assign": {kind: adds},
	"ticket comment": {kind: adds}, "ticket close": {kind: adds}, "ticket reopen": {kind: adds},
	"audit list": {}, "audit access": {}, "audit export": {}, "audit replay": {}, "audit state-at": {},
	"audit verify":  {},
	"audit receipt": {}, "audit watch": {}, "audit compare": {},
	"request approval-file": {}, "approval verify": {},
	"audit forward": {kind: adds}, "audit forward key": {kind: adds},
	"audit dead-letters": {},
	"audit set-aside":    {dangerous, "--as olga audit set-aside 4 --reason x", "access is granted again"},
	"audit writers list": {},
	"audit writers revoke": {dangerous, "--as olga audit writers revoke 3dd39cdd36dfd5aa --reason x",
		"is refused, and stops all granting"},
	"policy check": {}, "policy simulate": {}, "policy explain": {}, "policy show": {},
	"policy publish": {dangerous, "--as olga policy publish RULES", "will decide on every intent"},
	"catalogue list": {}, "catalogue show": {}, "catalogue check": {},
	"catalogue publish": {dangerous, "--as olga catalogue publish CATALOGUE", "will say what every intent"},
	"disclose list":     {},
	"disclose exposure": {dangerous,
		"--as olga disclose exposure --what Capture --when 1h --description y --reason Maintenance",
		"the customer is told now"},
	"disclose legal-demand": {dangerous,
		"--as olga disclose legal-demand --what Demand --when 1h --authority a --reference r --description y --reason Court-order",
		"the customer is told now"},
	"erase list": {}, "erase decline": {kind: adds},
	"erase person": {dangerous, "--as grace erase person --subject otto --reason x",
		"Name and mail address of otto at"},
	"erase address": {dangerous, "--as olga erase address desk@meadowbank.example --reason x",
		"another security officer has to confirm it"},
	"erase texts": {dangerous, "--as grace erase texts request/" + uuid(1) + "/2 --reason x",
		"It is decided with this, and cannot be taken back"},
	"erase confirm": {dangerous, "--as olga erase confirm " + erasureID,
		"proposed to erase name and address of Erin Ellis, because: She asked for it. It can never be read again"},
	"mail list": {}, "mail show": {}, "overview": {},
}

func TestEveryVerbIsConfirmedAsItsEffectDemands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startStub(t, dir)
	must(t, s.store(bus.Evaluator, "lockbox.event.meadowbank.request.garbage.1.AccessRequested", "garbage"))
	seen := map[string]bool{}
	files := map[string]string{"RULES": "policy show", "CATALOGUE": "catalogue show"}
	for name, shows := range files {
		code, text, errs := scripted(t, dir, strings.Fields(shows)...)
		if code != 0 {
			t.Fatalf("%s: %s", shows, errs)
		}
		files[name] = filepath.Join(dir, name)
		must(t, os.WriteFile(files[name], []byte(text), 0o600))
	}
	for name, file := range keyFiles(t, dir) {
		files[name] = file
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			visit(below)
		}
		path := strings.TrimPrefix(strings.TrimPrefix(c.CommandPath(), "lockbox"), " ")
		if c.HasSubCommands() && !c.HasFlags() || !c.Runnable() || strings.HasPrefix(path, "help") ||
			strings.HasPrefix(path, "completion") || path == "" {
			return
		}
		v, known := verbs[path]
		seen[path] = true
		yes := c.Flags().Lookup("yes")
		switch {
		case !known:
			t.Errorf("nobody has said how %q is confirmed", path)
			return
		case (v.kind >= asks) != (yes != nil):
			t.Errorf("%s: --yes is %v", path, yes)
			return
		case v.kind == dangerous && !strings.Contains(yes.Usage, "needed off a terminal"):
			t.Errorf("%s: --yes is explained by %q", path, yes.Usage)
		}
		if v.kind != dangerous {
			return
		}
		args := strings.Fields(v.line)
		for i, arg := range args {
			if file, is := files[arg]; is {
				args[i] = file
			}
		}
		s.mu.Lock()
		if strings.HasPrefix(path, "key ") {
			s.begin(path != "key genesis")
		}
		s.commands = nil
		s.mu.Unlock()
		code, _, errs := scripted(t, dir, args...)
		said := strings.Join(strings.Fields(errs), " ")
		if code != 2 || !strings.Contains(said, "--yes is needed where nobody can be asked") ||
			!strings.Contains(said, v.says) {
			t.Errorf("%s: exit code %d, %s; want %q", v.line, code, said, v.says)
		}
		if got := s.last(&s.commands); got != "" {
			t.Errorf("%s: %s was sent", v.line, got)
		}
	}
	visit(cli.New(cli.System()))
	for path := range verbs {
		if !seen[path] {
			t.Errorf("there is no command %q", path)
		}
	}
}

// The last approval of an emergency starts access to the customer's data, and says so (R43).
func TestR43WhoStartsAccessInAnEmergencyIsToldSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startStub(t, dir)
	e := s.requests[1].GetEvaluation()
	e.Waiver, s.requests[1].GetIntent().Emergency = lockboxv1.Waiver_WAIVER_EMERGENCY, true
	const effect = "this starts access to the data of Meadow Bank now. Meadow Bank is not asked"
	approve := []string{"--as", "derek", "internal", "approve", uuid(2)}
	for _, row := range []struct {
		more []string
		says string
	}{
		{nil, "--reason is needed"}, {[]string{"--reason", " ", "--yes"}, "--reason is needed"},
		{[]string{"--reason", "x"}, effect},
	} {
		code, _, errs := scripted(t, dir, append(approve, row.more...)...)
		if said := strings.Join(strings.Fields(errs), " "); code != 2 || !strings.Contains(said, row.says) {
			t.Errorf("%v: exit code %d, %s", row.more, code, said)
		}
	}
	for typed, want := range map[string]int{"\n": 1, "the vault is down\nn\n": 1, "the vault is down\n": 1} {
		out := &screen{}
		if code := sitting(context.Background(), dir, typed, out, approve...); code != want {
			t.Errorf("%q: exit code %d: %s", typed, code, out)
		}
		if said := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(said, "EMERGENCY: "+effect) {
			t.Errorf("%q: %s", typed, said)
		}
	}
	if got := s.last(&s.commands); got != "" {
		t.Fatalf("%s was sent", got)
	}
	out := &screen{}
	if code := sitting(t.Context(), dir, "the vault is down\ny\n", out, approve...); code != 0 ||
		!strings.Contains(s.last(&s.commands), `"comment":"the vault is down"`) {
		t.Errorf("exit code %d, sent %s: %s", code, s.last(&s.commands), out)
	}
}

// A request for what is open or running already is not sent before somebody says so.
func TestASecondRequestForTheSameSaysSoFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startStub(t, dir)
	submit := strings.Fields("--as erin --tenant meadowbank intent submit --subscription meadow-production --type compute/virtual-machines" +
		" --scenario memory-dump --resource " + vm + "1 --reason-type provider-initiated-service" +
		" --justification It-hangs-and-nobody-knows-why")
	before := s.count()
	code, _, errs := scripted(t, dir, submit...)
	said := strings.Join(strings.Fields(errs), " ")
	if code != 7 || !strings.Contains(said, "Your request "+uuid(1)+" is for the same, and is waiting for the customer") ||
		!strings.Contains(said, "Your request "+uuid(3)+" is for the same, and is running") ||
		!strings.Contains(said, "--yes") {
		t.Errorf("exit code %d, %s", code, said)
	}
	out := &screen{}
	if code := sitting(t.Context(), dir, "n\n", out, submit...); code != 1 {
		t.Errorf("exit code %d: %s", code, out)
	}
	if got := s.count(); got != before {
		t.Fatal("it was sent")
	}
	code, text, errs := scripted(t, dir, append(submit, "--dry-run", "-o", "json")...)
	if code != 0 || !strings.Contains(text, `"similar": {"requests":[{"request_id":"`+uuid(1)) || errs != "" {
		t.Errorf("a dry run: exit code %d, %s, %s", code, text, errs)
	}
	if code, _, errs := scripted(t, dir, append(submit, "--yes")...); code != 0 || !strings.Contains(errs, uuid(1)) {
		t.Errorf("with --yes: exit code %d, %s", code, errs)
	}
}

// count is how many requests there are.
func (s *stub) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}
