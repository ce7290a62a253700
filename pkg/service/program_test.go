package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// greeting is a service's own configuration.
type greeting struct {
	Word string `yaml:"word"`
}

func (g greeting) Check() error {
	if g.Word == "" {
		return refusal.Invalid("word", rule, "is required")
	}
	return nil
}

// greeter is a service that says its word when it starts, and ends well when it is stopped.
func greeter(said chan<- string) Program {
	return NewConnected("greeter", bus.Portal, greeting{}, func(ctx context.Context, _ *Connected, c greeting) error {
		said <- c.Word
		<-ctx.Done()
		return nil
	})
}

func TestArgumentsOfAService(t *testing.T) {
	said := make(chan string, 1)
	for line, want := range map[string]struct {
		code      int
		out, errs string
	}{
		"--version":             {0, "greeter ", ""},
		"version":               {0, "greeter ", ""},
		"--help":                {0, "", "Usage: greeter --config FILE"},
		"--confg x":             {2, "", "-confg"},
		"start":                 {2, "", `"start" is no argument of this program`},
		"--config no.yaml":      {1, "", "no.yaml"},
		"--config no.yaml stop": {2, "", `"stop" is no argument`},
	} {
		var out, errs bytes.Buffer
		code := greeter(said).main(strings.Fields(line), nil, &out, &errs)
		if code != want.code || !strings.HasPrefix(out.String(), want.out) || !strings.Contains(errs.String(), want.errs) {
			t.Errorf("%s: exit code %d, %q, %q", line, code, out.String(), errs.String())
		}
	}
	if len(said) > 0 {
		t.Error("the service ran")
	}
}

func TestAConfigurationIsCheckedAsItsServiceReadsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "greeter.yaml")
	const bus, hello = "nats: {url: 'nats://x', seed_file: x}\n", "service: {word: hello}\n"
	for text, want := range map[string]string{
		hello:                                  "nats.url: is required",
		"nats: {url: 'nats://x'}\n" + hello:    "nats.seed_file: is required",
		bus + "service: {}":                    "service.word: is required",
		bus + "service: {wrod: hello}":         `did you mean "word"`,
		bus + "observe: {log: loud}\n" + hello: "observe.log",
		bus + "observe: {traces: {url: collector}}\n" + hello:                 "observe.traces.url: must be an address",
		bus + "issuers: [{url: 'https://a.example'}]\n" + hello:               "issuers[0]",
		bus + "issuers: [{url: 'https://a.example', jwks_file: a}]\n" + hello: "verifies nobody",
		bus + hello: "",
	} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		switch err := greeter(nil).Check(path, nil); {
		case want == "" && err != nil:
			t.Errorf("%s\n%v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s\n%v, want %s", text, err, want)
		}
	}
}

// On SIGHUP, a service starts again with its configuration as it is now; if that is wrong, it goes on.
func TestAServiceReadsItsConfigurationAgain(t *testing.T) {
	dir := t.TempDir()
	_, err := bus.LoadOrCreateKeys(dir, nil)
	must(t, err)
	public, err := bus.ReadPublicKeys(dir)
	must(t, err)
	s, err := embedded.Start(t.Context(), bus.ServerOptions{StoreDir: t.TempDir(), PublicKeys: public, Host: "127.0.0.1",
		Port: -1}, nil)
	must(t, err)
	t.Cleanup(s.Shutdown)
	path := filepath.Join(dir, "greeter.yaml")
	health := fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t))
	configure := func(service string) {
		must(t, os.WriteFile(path, []byte("nats: {url: '"+s.ClientURL()+"', seed_file: "+
			filepath.Join(dir, bus.SeedFile(bus.Portal))+"}\nobserve: {log: error, listen: '"+health+"'}\nservice: "+service+
			"\n"), 0o600))
	}
	asked := func() (code int, said string) {
		var out, errs bytes.Buffer
		code = greeter(nil).main([]string{"--config", path, "--health"}, nil, &out, &errs)
		return code, out.String() + errs.String()
	}
	said, signals, ended := make(chan string, 1), make(chan os.Signal), make(chan error, 1)
	p, read := greeter(said), make(chan error, 1)
	load := p.load
	p.load = func(path string, env []string) (any, error) {
		file, err := load(path, env)
		read <- err
		return file, err
	}
	configure("{word: hello}")
	go func() { ended <- p.run(path, nil, signals) }()
	says := func(want string) {
		t.Helper()
		select {
		case word := <-said:
			if word != want {
				t.Errorf("it says %q, not %q", word, want)
			}
		case err := <-ended:
			t.Fatalf("it has ended: %v", err)
		case <-time.After(20 * time.Second):
			t.Fatalf("it does not say %q", want)
		}
	}
	must(t, <-read)
	says("hello")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		code, said := asked()
		if code == 0 && strings.Contains(said, "ok       bus\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("asked for its health, it says %d, %q", code, said)
		}
	}
	configure("{word: }")
	signals <- syscall.SIGHUP
	if err := <-read; err == nil || len(said) > 0 {
		t.Errorf("it takes a wrong configuration (%v)", err)
	}
	configure("{word: goodbye}")
	signals <- syscall.SIGHUP
	must(t, <-read)
	says("goodbye")
	signals <- syscall.SIGTERM
	if err := <-ended; err != nil {
		t.Errorf("stopped, it ends with %v", err)
	}
	if code, said := asked(); code != 1 || !strings.Contains(said, health) {
		t.Errorf("asked for its health when it is gone: %d, %q", code, said)
	}
}

func TestAServiceThatFailsEnds(t *testing.T) {
	broken := errors.New("the disk is full")
	p := Program{load: func(string, []string) (any, error) { return struct{}{}, nil },
		former: func([]string) []string { return nil }, serve: func(context.Context, any) error { return broken }}
	if err := p.run("", nil, nil); !errors.Is(err, broken) {
		t.Errorf("it ends with %v", err)
	}
}
