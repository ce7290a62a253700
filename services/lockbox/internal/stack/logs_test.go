package stack_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/invitation"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"google.golang.org/protobuf/proto"
)

// logged is everything that is logged, as it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.text.String()), "\n")
}

// secrets are what must not be logged, by what they are.
type secrets map[string]string

// token keeps a token's parts, of which none must be logged.
func (s secrets) token(of, token string) string {
	for i, part := range strings.Split(token, ".") {
		if i > 0 && len(part) > 8 { // the header is the same in all
			s["a part of "+of+"'s token"] = part
		}
	}
	return token
}

// files keeps what is in the files of keys.
func (s secrets) files(t *testing.T, dir string) {
	t.Helper()
	for _, pattern := range []string{"*.nk", "*.key", "log.salts"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		must(t, err)
		for _, name := range names {
			data, err := os.ReadFile(name) // #nosec G304 -- the test's own
			must(t, err)
			for _, line := range strings.Fields(string(data)) {
				if len(line) > 16 {
					s[filepath.Base(name)] = line
				}
			}
		}
	}
}

// A story with everything that can be wrong about it, at the most talkative level: no secret is in any line, and
// whatever is about a request says which, and which trace.
func TestNoSecretIsLogged(t *testing.T) {
	t.Parallel()
	l := startWithPortal(t)
	out := new(logged)
	log, err := observe.NewLogger(observe.LogOptions{Level: "debug", Out: out})
	must(t, err)
	l.config.Log = log
	l.restart(0)
	kept := secrets{}
	kept.files(t, filepath.Join(l.config.Dir, "keys"))
	if len(kept) < 8 {
		t.Fatalf("only these files: %v", len(kept))
	}

	requests := l.badIntents(kept)
	for _, id := range requests[1:] {
		within(t, patience, "the refusal of "+id, func() bool {
			return slices.ContainsFunc(out.lines(), func(line string) bool {
				return strings.Contains(line, id) && strings.Contains(line, `"refused"`)
			})
		})
	}
	requests = append(requests, l.badCommands(kept)...)
	l.badCalls(kept, requests[0])

	l.reaches(requests[0], request.Active)
	l.mailed(requests[0], "access-granted", "erin@")
	all := out.lines()
	for what, secret := range kept {
		for _, line := range all {
			if strings.Contains(line, secret) {
				t.Errorf("%s is logged: %s", what, line)
			}
		}
	}
	said := map[string]int{}
	for _, line := range all {
		var f map[string]any
		must(t, json.Unmarshal([]byte(line), &f))
		message, _ := f["message"].(string)
		said[message]++
		if strings.Contains(line, "@") && message != "handler failed" { // of a mail that waits, the server's answer is told
			t.Errorf("an address is logged: %s", line)
		}
		for _, id := range requests {
			if strings.Contains(line, id) && (f["request"] != id || f["trace"] != trace.ID(id) || f["tenant"] == "") {
				t.Errorf("it does not say which request and trace: %s", line)
			}
		}
	}
	// The story is in it.
	if said["refused"] < 24 || said["set aside"] < 3 {
		t.Errorf("the log holds little of the story: %v", said)
	}
}

// nobodys is a token without a signature that would be one.
const nobodys = "eyJhbGciOiJub25lIn0.bm9ib2R5LWF0LWFsbA.c2lnbmF0dXJl"

// badIntents submits intents, and returns the ids of the requests that were made or meant.
func (l *lockbox) badIntents(kept secrets) (ids []string) {
	l.Helper()
	good := l.intent("erin")
	kept.token("erin", good.GetToken())
	ids = append(ids, l.requested(good, request.CustomerNotified))
	for name, spoil := range map[string]func(*lockboxv1.AccessIntent){
		"forged":           func(in *lockboxv1.AccessIntent) { in.Token = forged(l.T, l) },
		"another issuer's": func(in *lockboxv1.AccessIntent) { in.Token = l.foreign() },
		"half":             func(in *lockboxv1.AccessIntent) { in.Token = in.GetToken()[:len(in.GetToken())-40] },
		"nobody's":         func(in *lockboxv1.AccessIntent) { in.Token = nobodys },
		"in the reason": func(in *lockboxv1.AccessIntent) {
			in.Justification, in.ResourceType = "With "+in.GetToken(), ""
		},
		"as the ticket":     func(in *lockboxv1.AccessIntent) { in.TicketId = in.GetToken() },
		"as the type":       func(in *lockboxv1.AccessIntent) { in.ResourceType = in.GetToken() },
		"as the resource":   func(in *lockboxv1.AccessIntent) { in.ResourceIds = []string{in.GetToken()} },
		"as the trace":      func(in *lockboxv1.AccessIntent) { in.TraceParent = in.GetToken() },
		"as the tenant":     func(in *lockboxv1.AccessIntent) { in.Tenant = in.GetToken() },
		"in the scenario":   func(in *lockboxv1.AccessIntent) { in.Scenario = in.GetToken() },
		"as a subscription": func(in *lockboxv1.AccessIntent) { in.SubscriptionId = in.GetToken() },
	} {
		in := l.intent("erin")
		kept.token("erin, "+name, in.GetToken())
		spoil(in)
		kept.token("a token that is "+name, in.GetToken())
		data, err := proto.Marshal(in)
		must(l, err)
		l.publish(bank, data)
		ids = append(ids, in.GetId())
	}
	in := l.intent("erin")
	in.Id = kept.token("erin, as the id", in.GetToken())
	data, err := proto.Marshal(in)
	must(l, err)
	l.publish(bank, data)
	l.setAside("jit-evaluator", data)
	broken := []byte(`{"token":"` + kept.token("erin, in JSON", l.token("erin")) + `"}`)
	l.publish(bank, broken)
	l.setAside("jit-evaluator", broken)
	return ids
}

// foreign is a token that an issuer gave whom nobody trusts.
func (l *lockbox) foreign() string {
	l.Helper()
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: l.TempDir(), URL: "http://127.0.0.1:1"})
	must(l, err)
	token, err := issuer.Token("otto", time.Now())
	must(l, err)
	return token
}

// badCommands sends commands and queries, and lets otto approve the first request at last.
func (l *lockbox) badCommands(kept secrets) (ids []string) {
	l.Helper()
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	for name, c := range map[string]*lockboxv1.Command{
		"forged":           {Token: forged(l.T, l)},
		"another issuer's": {Token: l.foreign()},
		"of a tool":        {Token: l.token("erin")},
		"as the id":        {Token: l.token("otto"), Id: l.token("otto")},
		"as the trace":     {Token: l.token("otto"), TraceParent: l.token("otto")},
		"as the request":   {Token: l.token("otto"), AggregateId: l.token("otto")},
		"as the tenant":    {Token: l.token("otto"), Tenant: l.token("otto")},
		"twice":            {Token: l.token("otto") + " " + l.token("otto")},
	} {
		for _, token := range []string{c.GetToken(), c.GetId(), c.GetTraceParent(), c.GetAggregateId(), c.GetTenant()} {
			kept.token("a command, "+name, token)
		}
		if c.GetAggregateId() == "" {
			c.AggregateId = id
		}
		c.Action = approve(id).GetAction()
		if r := l.command("otto", c); r.GetRefusal() == nil {
			l.Errorf("%s: %v", name, r)
		}
	}
	broken, err := proto.Marshal(&lockboxv1.Command{Id: newID(l), Token: kept.token("otto, cut off", l.token("otto"))})
	must(l, err)
	broken = append(broken, 0xff)
	l.send(bus.CommandSubject(bus.Client, "approve"), broken)
	l.setAside("lockbox-orchestrator", broken)
	for _, token := range []string{forged(l.T, l), l.foreign(), "x"} {
		l.query(&lockboxv1.Query{Tenant: bank, Token: kept.token("a query", token),
			Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
	}
	l.query(&lockboxv1.Query{Tenant: bank, Token: l.token("otto"), Ask: &lockboxv1.Query_GetRequest{
		GetRequest: &lockboxv1.GetRequest{RequestId: kept.token("otto, as the request", l.token("otto"))}}})

	secret := invitation.New()
	hash, err := secret.Hash("")
	must(l, err)
	proof, err := secret.Proof("")
	must(l, err)
	kept["the invitation's secret"] = secret.String()
	kept["the invitation's proof"] = base64.StdEncoding.EncodeToString(proof)
	l.does("grace", &lockboxv1.Command{Action: &lockboxv1.Command_InviteRole{InviteRole: &lockboxv1.InviteRole{
		Invitation: &lockboxv1.RoleInvitation{Id: "somebody", Role: lockboxApprover, Note: "Somebody", SecretHash: hash,
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT}}}})
	for _, as := range []string{"erin", "otto"} { // neither may
		l.command(as, &lockboxv1.Command{Action: &lockboxv1.Command_RedeemInvitation{
			RedeemInvitation: &lockboxv1.RedeemInvitation{InvitationId: "somebody", Proof: proof}}})
	}
	return []string{id}
}

// badCalls uses the portal, and approves a request there.
func (l *lockbox) badCalls(kept secrets, id string) {
	l.Helper()
	base := l.stack.PortalURL()
	at, err := url.Parse(base)
	must(l, err)
	otto, err := visitor.SignIn(l.Context(), base+"/t/"+bank, "otto")
	must(l, err)
	for _, c := range otto.Jar.Cookies(at) {
		if len(c.Value) > 16 {
			kept["the cookie "+c.Name] = c.Value
		}
	}
	const password = "correct-horse-battery-staple"
	kept["a password"] = password
	kept["a sign-in's code"] = "code-of-a-sign-in"
	call := func(method, path string, headers ...string) int {
		r, err := http.NewRequestWithContext(l.Context(), method, base+path, strings.NewReader("{}"))
		must(l, err)
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		answer, err := visitor.Read(otto, r)
		must(l, err)
		return answer.Status
	}
	approving := "/lockbox/v1/requests/" + id + "/approve"
	for name, token := range map[string]string{"forged": forged(l.T, l), "foreign": l.foreign(), "no token": password,
		"erin's": l.token("erin")} {
		if status := call(http.MethodPost, approving, "Authorization",
			"Bearer "+kept.token("a call, "+name, token)); status < http.StatusBadRequest {
			l.Errorf("%s: %d", name, status)
		}
	}
	call(http.MethodGet, "/lockbox/v1/requests?access_token="+kept.token("a call, in the address", l.token("otto")))
	call(http.MethodGet, "/lockbox/v1/requests/"+kept.token("a call, as the request", l.token("otto")),
		"Authorization", "Bearer "+l.token("otto"))
	call(http.MethodGet, "/t/"+bank+"/requests/"+kept.token("a page, as the request", l.token("otto")))
	call(http.MethodGet, "/callback?state=nobodys-state&code=code-of-a-sign-in")
	call(http.MethodPost, approving, "Authorization", "Basic "+password)
	if status := call(http.MethodPost, approving, "Authorization",
		"Bearer "+kept.token("otto, approving", l.token("otto"))); status != http.StatusOK {
		l.Errorf("approving: %d", status)
	}
}
