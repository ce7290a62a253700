package stack_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/devca"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const contract = "../../../../proto"

// python publishes an intent with the example of proto/README.md, and returns the outcome that it printed, if any.
func (l *lockbox) python(
	generated, url, as string, in *lockboxv1.AccessIntent, exit int, more ...string,
) (*lockboxv1.IntentOutcome, string) {
	l.Helper()
	dir := l.TempDir()
	token := filepath.Join(dir, "token")
	must(l, os.WriteFile(token, []byte(l.token(as)+"\n"), 0o600))
	in.Id, in.Token = "", ""
	text, err := protojson.Marshal(in)
	must(l, err)
	// Debian's Python, which is the one that has Debian's packages.
	arguments := append([]string{contract + "/examples/publish_intent.py", "--url", url, "--tool", tool,
		"--key", filepath.Join(l.config.Dir, "keys", "tool-"+tool+".nk"), "--token-file", token, "--timeout", "20"}, more...)
	c := exec.CommandContext(l.Context(), "/usr/bin/python3", arguments...) // #nosec G204 -- our own example
	c.Env = append(os.Environ(), "PYTHONPATH="+generated, "PYTHONDONTWRITEBYTECODE=1")
	var out, complaints bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(text), &out, &complaints
	err = c.Run()
	if wrong := (*exec.ExitError)(nil); err != nil && !errors.As(err, &wrong) {
		l.Fatal(err)
	}
	if got := c.ProcessState.ExitCode(); got != exit {
		l.Fatalf("exit code %d, want %d: %s%s", got, exit, &out, &complaints)
	}
	outcome := new(lockboxv1.IntentOutcome)
	if out.Len() > 0 {
		must(l, protojson.Unmarshal(out.Bytes(), outcome))
	}
	return outcome, complaints.String()
}

func generatePython(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	files, err := filepath.Glob(contract + "/lockbox/v1/*.proto")
	must(t, err)
	protoc := exec.CommandContext(t.Context(), "protoc",
		append([]string{"--proto_path", contract, "--python_out", dir}, files...)...) // #nosec G204 -- our own files
	if out, err := protoc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

func TestAProgramInPythonPublishesAnIntent(t *testing.T) {
	t.Parallel()
	generated := generatePython(t)
	l := start(t, request.DefaultTerms())
	l.config.Host, l.config.Port = "127.0.0.1", -1
	l.restart(0)
	url := l.stack.URL()

	outcome, _ := l.python(generated, url, "erin", l.intent("erin"), 0)
	if outcome.GetTenant() != bank || outcome.GetSequence() == 0 || outcome.GetDuplicate() || outcome.GetRefusal() != nil {
		t.Errorf("the outcome is %v", outcome)
	}
	s := l.reaches(outcome.GetIntentId(), request.CustomerNotified)
	if s.Requester.GetPerson().GetDisplayName() != "Erin Ellis" {
		t.Errorf("it was requested by %v", s.Requester)
	}

	unknown := l.intent("erin")
	unknown.Scenario = "mind-reading"
	outcome, _ = l.python(generated, url, "erin", unknown, 1)
	if r := outcome.GetRefusal(); r.GetField() != "scenario" ||
		r.GetCodedReason().GetCode() != lockboxv1.ReasonCode_REASON_CODE_SCENARIO_UNKNOWN {
		t.Errorf("refused with %v", r)
	}

	elsewhere := l.intent("erin")
	elsewhere.Tenant = "no-such-customer"
	_, complaint := l.python(generated, url, "erin", elsewhere, 1)
	if complaint != "" {
		t.Errorf("it says %q", complaint)
	}
	if _, complaint := l.python(generated, "http://127.0.0.1:4222", "erin", l.intent("erin"),
		2); !strings.Contains(complaint, "tls://") {
		t.Errorf("it says %q", complaint)
	}

	certificate := t.TempDir()
	_, err := devca.Create(certificate, nil, time.Now())
	must(t, err)
	l.config.TLS = bus.TLSIn(certificate)
	l.restart(0)
	outcome, _ = l.python(generated, l.stack.URL(), "erin", l.intent("erin"), 0, "--ca", l.config.TLS.CA)
	if outcome.GetTenant() != bank || outcome.GetRefusal() != nil {
		t.Errorf("with TLS the outcome is %v", outcome)
	}
	_, complaint = l.python(generated, l.stack.URL(), "erin", l.intent("erin"), 2)
	if !strings.Contains(complaint, "certificate verify failed") {
		t.Errorf("without the authority it says %q", complaint)
	}

	// The programs in Go, too.
	examples := buildExamples(t)
	token := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(token, []byte(l.token("erin")), 0o600))
	in := l.intent("erin")
	in.Id, in.Token = "", ""
	text, err := protojson.Marshal(in)
	must(t, err)
	keys := filepath.Join(l.config.Dir, "keys")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	publish := exec.CommandContext(ctx, filepath.Join(examples, "publish-intent"), "-ca", l.config.TLS.CA,
		l.stack.URL(), filepath.Join(keys, bus.SeedFile(bus.Tool(tool))), token) // #nosec G204 -- our own example
	publish.Stdin = bytes.NewReader(text)
	if out, err := publish.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("intentId")) {
		t.Errorf("with TLS: %v, %s", err, out)
	}
	follow := exec.CommandContext(ctx, filepath.Join(examples, "follow-events"), "-ca", l.config.TLS.CA,
		l.stack.URL(), filepath.Join(keys, bus.SeedFile(bus.Compliance))) // #nosec G204 -- our own example
	events, err := follow.StdoutPipe()
	must(t, err)
	must(t, follow.Start())
	if line, err := bufio.NewReader(events).ReadString('\n'); err != nil || !strings.HasPrefix(line, "1 ") {
		t.Errorf("with TLS: %v, %s", err, line)
	}
	stop()
	_ = follow.Wait() // it was killed
}

func buildExamples(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "../../examples/...") // #nosec G204 -- our own
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// Whoever has another tool's key can have an answer of theirs delivered where an outcome is waited for.
func TestTheExamplesIgnoreAnswersThatAreNotTheirs(t *testing.T) {
	t.Parallel()
	b := journaltest.Start(t, 1)
	dir := t.TempDir()
	key, token := filepath.Join(dir, "key"), filepath.Join(dir, "token")
	must(t, os.WriteFile(key, b.Keys[bus.Tool(tool)], 0o600))
	must(t, os.WriteFile(token, []byte("a.token.here"), 0o600))

	evaluator, other := b.Connect(t, bus.Evaluator), b.Connect(t, bus.Tool(journaltest.OtherTool))
	heard, err := b.Connect(t, bus.Tool(tool)).SubscribeSync("lockbox.outcome." + tool + ".>")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	evaluate := func(_ context.Context, in journal.Intent) error {
		intent := new(lockboxv1.AccessIntent)
		if ours := proto.Unmarshal(in.Data, intent) == nil && intent.GetId() != ""; !ours {
			return nil // the other tool's
		}
		subject, err := bus.OutcomeSubject(tool, intent.GetId())
		if err != nil {
			return err
		}
		err = other.PublishRequest("lockbox.intent."+journaltest.OtherTool+"."+bank, subject, []byte("x"))
		if err == nil {
			_, err = heard.NextMsg(patience)
		}
		for _, o := range []*lockboxv1.IntentOutcome{
			{IntentId: "another", Sequence: 6}, {IntentId: intent.GetId(), Sequence: 7},
		} {
			data, wrong := proto.Marshal(o)
			err = errors.Join(err, wrong, evaluator.Publish(subject, data))
		}
		for range 2 {
			_, missed := heard.NextMsg(patience)
			err = errors.Join(err, missed)
		}
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Journal(t, bus.Evaluator).FollowIntents(ctx, evaluate) }()
	for language, command := range map[string][]string{
		"Go": {filepath.Join(buildExamples(t), "publish-intent"), b.URL(), key, token},
		"Python": {"/usr/bin/python3", contract + "/examples/publish_intent.py", "--url", b.URL(), "--tool", tool,
			"--key", key, "--token-file", token},
	} {
		c := exec.CommandContext(t.Context(), command[0], command[1:]...) // #nosec G204 -- our own examples
		c.Env = append(os.Environ(), "PYTHONPATH="+generatePython(t), "PYTHONDONTWRITEBYTECODE=1")
		c.Stdin = strings.NewReader(`{"tenant": "` + bank + `"}`)
		out, err := c.Output()
		outcome := new(lockboxv1.IntentOutcome)
		if err := errors.Join(err, protojson.Unmarshal(out, outcome)); err != nil || outcome.GetSequence() != 7 {
			t.Errorf("%s: %v, %s", language, err, out)
		}
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
