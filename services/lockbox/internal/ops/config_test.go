package ops

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// check is what a person gets for a command line after `lockbox config check`.
func check(args ...string) (string, error) {
	c := configCommand()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SilenceUsage = true
	c.SetArgs(append([]string{"check"}, args...))
	err := c.Execute()
	return out.String(), err
}

// Every file that is shipped for a service can be loaded by it.
func TestShippedConfigurationsAreRight(t *testing.T) {
	const dir = "../../../../deploy/config"
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	loaded := 0
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "rules") {
			continue // of policy check
		}
		loaded++
		if out, err := check(file); err != nil || !strings.HasPrefix(out, "right  "+file) {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if loaded != len(programs()) {
		t.Errorf("%d files for %d services", loaded, len(programs()))
	}
}

func TestWrongConfigurationsAreNamed(t *testing.T) {
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bus := "nats: {url: tls://nats:4222, seed_file: /keys/x.nk}\n"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{write("notifier.yaml", bus+"service: {provider: Nimbus}\n")}, "service.smtp.host"},
		{[]string{write("portal.yaml", bus+"service: {url: 'http://lockbox.example', provider: Nimbus}\n")}, "service.url"},
		{[]string{write("jit-evaluator.yaml", bus+"service:\n  tools:\n    - {nam: console}\n")}, `did you mean "name"`},
		{[]string{write("audit-projector.yaml", bus)}, "service.log.signing_key_file"},
		{[]string{write("forwarder.yaml", bus)}, "service.targets"},
		{[]string{write("lockbox-orchestrator.yaml", bus+"service: {terms: {grant: 8}}\n")}, "duration"},
		{[]string{write("lockbox.yaml", "prtal: {}\n")}, `did you mean "portal"`},
		{[]string{write("lockbox.yaml", "portal:\n  url: http://lockbox.example\n  organisations: [{name: Nimbus}]\n")},
			"portal: url"},
		{[]string{write("lockbox.yaml", "notifier: {provider: Nimbus, smtp: {host: mail.example, tls: none}}\n")},
			"notifier: "},
		{[]string{write("lockbox.yaml", "observe: {traces: {ratio: 2}}\n")}, "observe.traces: ratio"},
		{[]string{write("notifer.yaml", bus)}, `did you mean "notifier"`},
		{[]string{"--service", "notifier", write("mails.yaml", bus)}, "wrong  "},
	} {
		out, err := check(c.args...)
		if err == nil || !strings.Contains(out+err.Error(), c.want) {
			t.Errorf("%s: %v\n%s", filepath.Base(c.args[len(c.args)-1]), err, out)
		}
	}
}
