package stack_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

const contract = "../../../../proto"

// python publishes an intent with the example of proto/README.md, and returns the outcome that it printed, if any.
func (l *lockbox) python(
	generated, url, as string, in *lockboxv1.AccessIntent, exit int,
) (*lockboxv1.IntentOutcome, string) {
	l.Helper()
	dir := l.TempDir()
	token := filepath.Join(dir, "token")
	must(l, os.WriteFile(token, []byte(l.token(as)+"\n"), 0o600))
	in.Id, in.Token = "", ""
	text, err := protojson.Marshal(in)
	must(l, err)
	// Debian's Python, which is the one that has Debian's packages.
	c := exec.CommandContext(l.Context(), "/usr/bin/python3", contract+"/examples/publish_intent.py", "--url", url,
		"--tool", tool, "--key", filepath.Join(l.config.Dir, "keys", "tool-"+tool+".nk"), "--token-file", token, "--timeout",
		"20")
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

func TestAProgramInPythonPublishesAnIntent(t *testing.T) {
	t.Parallel()
	generated := t.TempDir()
	files, err := filepath.Glob(contract + "/lockbox/v1/*.proto")
	must(t, err)
	protoc := exec.CommandContext(t.Context(), "protoc", append([]string{"--proto_path", contract, "--python_out", generated}, files...)...) // #nosec G204 -- our own files
	if out, err := protoc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
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
	if _, complaint := l.python(generated, "tls://127.0.0.1:4222", "erin", l.intent("erin"),
		2); !strings.Contains(complaint, "plain NATS") {
		t.Errorf("it says %q", complaint)
	}
}
