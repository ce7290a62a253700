package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/verifier"
	"github.com/openlockbox/lockbox/services/verifier/witness"
)

// mostToken is the maximum length of a token in bytes.
const mostToken = 16 << 10

var verbs = []struct {
	name string
	run  func(ctx context.Context, args []string, env Environment) error
}{
	{"approval", approvalFile}, {"receipt", receipt}, {"watch", watch}, {"compare", compare}, {"evidence", checkEvidence},
	{"witness", cosign}, {"witness key", witnessKey}, {"witness evidence", evidence},
}

func trust(f *flags, env Environment) func() verifier.Trust {
	var t verifier.Trust
	f.StringVar(&t.Policy, "policy", "",
		"`file` that names the log's key, witnesses and how many of them must have signed")
	f.StringVar(&t.Key, "log-key", "",
		"the log's public `key`, or a file with it (LOCKBOX_LOG_KEY); no witness is asked for")
	return func() verifier.Trust {
		if t == (verifier.Trust{}) {
			t.Key = env.Getenv("LOCKBOX_LOG_KEY")
		}
		return t
	}
}

func receipt(_ context.Context, args []string, env Environment) error {
	f := newFlags("receipt FILE",
		"Reads the file that lockbox audit receipt or the portal gave you, and\n"+verifier.ReceiptHelp,
		"  verifier receipt lockbox-receipt-019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b.json --policy policy.txt\n"+
			"  verifier receipt receipt.json --log-key log.vkey --json | jq .events")
	trusted := trust(f, env)
	writers := f.String("writers-key", env.Getenv("LOCKBOX_WRITERS_KEY"),
		"`file` with the key that certifies writers (LOCKBOX_WRITERS_KEY): check who wrote each event")
	asJSON := f.Bool("json", false, "write what is proven as JSON")
	state := f.String("state", "", "`file` of watch, to be compared with what was read there")
	keys := f.String("keys", "", "`file` with the receipt of your organisation's keys: verify what was signed")
	pin := f.String("pin", env.Getenv("LOCKBOX_PIN"),
		"`fingerprint` of these keys, words or digits (LOCKBOX_PIN); only with --keys")
	names, err := f.parse(args, env.Out, "FILE")
	if err != nil {
		return err
	}
	t := trusted()
	t.Writers = *writers
	check := func() (*verifier.Receipt, error) { return verifier.CheckWatched(names[0], t, *state, time.Now()) }
	if *keys != "" {
		check = func() (*verifier.Receipt, error) {
			return verifier.CheckSigned(names[0], *keys, t, *pin, *state, time.Now())
		}
	}
	r, err := check()
	if err != nil {
		return err
	}
	if !*asJSON {
		_, err = io.WriteString(env.Out, r.Text(nil))
		return err
	}
	return asIndented(env.Out, r)
}

func approvalFile(_ context.Context, args []string, env Environment) error {
	f := newFlags("approval FILE",
		"Reads the file that lockbox request approval-file or the portal gave you, and\n"+verifier.ApprovalHelp,
		"  lockbox-verify approval lockbox-approval-019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b.json --policy policy.txt \\\n"+
			"      --pin \"dabigo mitoze …\"\n"+
			"  lockbox-verify approval approval.json --log-key log.vkey --extract signatures")
	trusted := trust(f, env)
	writers := f.String("writers-key", env.Getenv("LOCKBOX_WRITERS_KEY"),
		"`file` with the key that certifies writers (LOCKBOX_WRITERS_KEY): check who wrote each event")
	pin := f.String("pin", env.Getenv("LOCKBOX_PIN"),
		"`fingerprint` of your organisation's keys, words or digits (LOCKBOX_PIN)")
	asJSON := f.Bool("json", false, "write what is proven as JSON")
	extract := f.String("extract", "", "new `directory` for what ssh-keygen -Y verify needs")
	names, err := f.parse(args, env.Out, "FILE")
	if err != nil {
		return err
	}
	t := trusted()
	t.Writers = *writers
	a, err := verifier.CheckApproval(names[0], t, *pin)
	if err != nil {
		return err
	}
	if *asJSON {
		err = asIndented(env.Out, a)
	} else {
		_, err = io.WriteString(env.Out, a.Text())
	}
	if err != nil || *extract == "" {
		return err
	}
	return extractTo(*extract, a, env.Err)
}

// extractTo says on stderr what to run, since stdout may be JSON.
func extractTo(directory string, a *verifier.Approval, say io.Writer) error {
	commands, err := a.Extract(directory)
	if err != nil {
		return err
	}
	text := "No approval is signed with a key of SSH: browsers' signatures are nothing that ssh-keygen verifies.\n"
	if len(commands) > 0 {
		text = "To verify the signatures with OpenSSH alone:\n\n  cd " + directory + "\n  " +
			strings.Join(commands, "\n  ") + "\n"
	}
	_, err = io.WriteString(say, text)
	return err
}

func asIndented(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// logFlags defines the flags shared by the commands that query a log.
func logFlags(f *flags, env Environment) func(needed bool) (*verifier.Watcher, error) {
	trusted := trust(f, env)
	address := f.String("log", "", "`address` of the log (LOCKBOX_LOG)")
	return func(needed bool) (*verifier.Watcher, error) {
		w := &verifier.Watcher{
			Log: *address, Trust: trusted(), Out: env.Out, Err: env.Err, Now: time.Now, Zone: time.Local,
		}
		if w.Log == "" {
			w.Log = env.Getenv("LOCKBOX_LOG")
		}
		if needed && w.Log == "" {
			return nil, &verifier.UsageError{Message: "name the log with --log (or LOCKBOX_LOG)"}
		}
		return w, nil
	}
}

func watch(ctx context.Context, args []string, env Environment) error {
	f := newFlags("watch", verifier.WatchHelp+`

The log shows a tenant's part of it to the tenant's own people: --token-file holds a token of your sign-in service for
Lockbox. It is read anew each time, so that whatever renews it can go on doing so.`,
		"  verifier watch --log https://log.nimbus.example --policy policy.txt \\\n"+
			"      --tenant meadowbank --token-file token --once")
	open := logFlags(f, env)
	tenant := f.String("tenant", "", "your organisation's `name` at Lockbox (LOCKBOX_TENANT)")
	token := f.String("token-file", "", "`file` that holds your token (LOCKBOX_TOKEN_FILE)")
	state := f.String("state", "", "`file` of the last checkpoint seen; without it lockbox-log-<tenant>.json")
	every := f.Duration("interval", verifier.DefaultInterval, "`how long` between two looks")
	once := f.Bool("once", false, "look once")
	age := f.Duration("max-age", 0, "`how long` ago enough witnesses may have cosigned what is shown")
	writers := f.String("writers-key", env.Getenv("LOCKBOX_WRITERS_KEY"),
		"`file` with the key that certifies writers (LOCKBOX_WRITERS_KEY): check who wrote each event")
	acknowledge := f.Bool("acknowledge", false, "do not say again what was found before")
	pin := f.String("pin", env.Getenv("LOCKBOX_PIN"), "`fingerprint` of your organisation's keys (LOCKBOX_PIN)")
	if _, err := f.parse(args, env.Out); err != nil {
		return err
	}
	w, err := open(true)
	if err != nil {
		return err
	}
	for _, need := range []struct {
		value          *string
		flag, variable string
	}{{tenant, "--tenant", "LOCKBOX_TENANT"}, {token, "--token-file", "LOCKBOX_TOKEN_FILE"}} {
		if *need.value == "" {
			*need.value = env.Getenv(need.variable)
		}
		if *need.value == "" {
			return &verifier.UsageError{Message: fmt.Sprintf("%s (or %s) is missing", need.flag, need.variable)}
		}
	}
	w.Tenant, w.State, w.MaxAge, w.Acknowledge = *tenant, *state, *age, *acknowledge
	w.Trust.Writers = *writers
	if w.Pin, err = verifier.ReadPin(*pin); err != nil {
		return err
	}
	w.Token = func(context.Context) (string, error) { return readToken(*token) }
	return w.Watch(ctx, *every, *once)
}

func readToken(file string) (string, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- the user names it
	if err != nil {
		return "", refusal.Unauthenticated("token", "R13", "the token file cannot be read: %v", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(token) > mostToken {
		return "", refusal.Unauthenticated("token", "R13", "%s is not a token", file)
	}
	return token, nil
}

func compare(ctx context.Context, args []string, env Environment) error {
	f := newFlags("compare A [B]", verifier.CompareHelp+`

With A alone it is compared with the log as it is now.`,
		"  verifier compare 4711:9f86d081884c7d659a2feaa0c55ad015 --log https://log.nimbus.example --policy policy.txt\n"+
			"  verifier compare receipt.json lockbox-log-meadowbank.json --policy policy.txt")
	open := logFlags(f, env)
	named, err := f.parseSome(args, env.Out, 1, "A", "B")
	if err != nil {
		return err
	}
	w, err := open(len(named) == 1)
	if err != nil {
		return err
	}
	return w.Compare(ctx, named[0], strings.Join(named[1:], ""))
}

func checkEvidence(_ context.Context, args []string, env Environment) error {
	f := newFlags("evidence FILE", `Checks what watch or compare kept as evidence against a log, offline, by the log's key: that the log signed what is in it, and
that this cannot all be true, or breaks the rules. Whoever is shown such a file needs nothing else to be convinced, but for the
writers' key (--writers-key) where it is about who signed an event.`,
		"  verifier evidence lockbox-log-meadowbank.contradiction-20261130T120000.000Z.json --log-key log.vkey")
	trusted := trust(f, env)
	writers := f.String("writers-key", env.Getenv("LOCKBOX_WRITERS_KEY"),
		"`file` with the key that certifies writers (LOCKBOX_WRITERS_KEY): check who wrote each event")
	names, err := f.parse(args, env.Out, "FILE")
	if err != nil {
		return err
	}
	t := trusted()
	t.Writers = *writers
	e, err := verifier.CheckEvidence(names[0], t)
	if err != nil {
		return err
	}
	_, err = io.WriteString(env.Out, e.Text())
	return err
}

func cosign(ctx context.Context, args []string, env Environment) error {
	var c witness.Config
	f := newFlags("witness", witness.Help,
		"  verifier witness key --name witness.meadowbank.example --key witness.key\n"+
			"  verifier witness --key witness.key --state witness --log log.vkey --listen 127.0.0.1:8027")
	f.StringVar(&c.Key, "key", "witness.key", "`file` of the witness's key")
	f.StringVar(&c.State, "state", "witness", "`directory` of what was cosigned")
	f.Func("log", "public `key` of a log, or a file with it (repeat for several)", func(key string) error {
		c.Logs = append(c.Logs, key)
		return nil
	})
	f.StringVar(&c.Listen, "listen", "127.0.0.1:8027", "`address`; TLS ends in front of it")
	f.StringVar(&c.Metrics, "metrics", "", "`address` that serves /metrics; without it they are not served")
	c.Say = func(_ bool, what string) {
		_, _ = fmt.Fprintln(env.Err, time.Now().UTC().Format(time.RFC3339), what)
	}
	if _, err := f.parse(args, env.Out); err != nil {
		return err
	}
	return witness.Serve(ctx, c, func(at net.Addr, key string) {
		_, _ = fmt.Fprintf(env.Err, "witness at %v, key %s\n", at, key) // the witness serves even if stderr is gone
	})
}

func evidence(_ context.Context, args []string, env Environment) error {
	f := newFlags("witness evidence", witness.EvidenceHelp, "  verifier witness evidence --state witness")
	state := f.String("state", "witness", "`directory` of the witness")
	if _, err := f.parse(args, env.Out); err != nil {
		return err
	}
	all, err := witness.ReadEvidence(*state)
	if err != nil {
		return err
	}
	_, err = io.WriteString(env.Out, witness.List(all))
	return err
}

func witnessKey(_ context.Context, args []string, env Environment) error {
	f := newFlags("witness key", "Makes a key in a new file, and prints the public key as policies name it.",
		"  verifier witness key --name witness.meadowbank.example --key witness.key")
	file := f.String("key", "witness.key", "new `file` for the key")
	name := f.String("name", "", "the witness's `name` in its cosignatures, best an address of yours")
	kind := f.String("type", "ed25519", "`type` of the key: ed25519 or ml-dsa-44")
	if _, err := f.parse(args, env.Out); err != nil {
		return err
	}
	if *name == "" {
		return &verifier.UsageError{Message: "--name is required, best an address of yours: witness.meadowbank.example"}
	}
	k, err := witness.Create(*file, *name, *kind)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists, and a key is never written over", *file)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Out, k.VerifierKey())
	return err
}
