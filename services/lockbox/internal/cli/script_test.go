package cli_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/ops"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lockbox": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		code := cli.Run(ctx, os.Args[1:], cli.System(), ops.Commands()...)
		stop()
		os.Exit(code)
	}, "click-persona": func() {
		if _, err := clickPersona(os.Args[1], os.Getenv("PERSONA")); err != nil {
			panic(err)
		}
	}})
}

type stubKey struct{}

// TestScripts runs what people type, as a process of its own, against the stub's services on a real bus.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			data := filepath.Join(env.WorkDir, "data")
			must(t, os.MkdirAll(data, 0o700))
			tb, ok := env.T().(testing.TB)
			if !ok {
				return errors.New("a script runs in a test")
			}
			stub := startStub(tb, data)
			env.Values[stubKey{}] = stub
			env.Setenv("ISSUER", stub.issuer.URL())
			env.Setenv("LOCKBOX_DATA", data)
			env.Setenv("TZ", "UTC")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // under the race detector every process would end a second late
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"agent": sshAgent,
			"sent": func(ts *testscript.TestScript, neg bool, args []string) {
				matches(ts, neg, args, stubOf(ts).last(&stubOf(ts).commands))
			},
			"asked": func(ts *testscript.TestScript, neg bool, args []string) {
				matches(ts, neg, args, stubOf(ts).last(&stubOf(ts).queries))
			},
			"stores": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(stubOf(ts).store(bus.Identity(args[0]), args[1], args[2]))
			},
			"stop-services": func(ts *testscript.TestScript, _ bool, _ []string) { stubOf(ts).stop() },
		},
	})
}

func stubOf(ts *testscript.TestScript) *stub {
	s, ok := ts.Value(stubKey{}).(*stub)
	if !ok {
		ts.Fatalf("no stub")
	}
	return s
}

// exits runs a program and expects an exit code: exits 7 lockbox approval approve …
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var failed *exec.ExitError
		if !errors.As(err, &failed) {
			ts.Fatalf("%v", err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// matches compares what the services got last with a pattern.
func matches(ts *testscript.TestScript, neg bool, args []string, got string) {
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	if pattern.MatchString(got) == neg {
		ts.Fatalf("sent was: %s", got)
	}
}

// sshAgent starts OpenSSH's ssh-agent for the rest of a script.
func sshAgent(ts *testscript.TestScript, _ bool, _ []string) {
	dir, err := os.MkdirTemp("", "agent") // a socket's path is short
	ts.Check(err)
	socket := filepath.Join(dir, "socket")
	c := exec.Command("ssh-agent", "-D", "-a", socket)
	out, err := c.StdoutPipe()
	ts.Check(err)
	ts.Check(c.Start())
	ts.Defer(func() { _ = c.Process.Kill(); _ = c.Wait(); _ = os.RemoveAll(dir) })
	_, err = out.Read(make([]byte, 1)) // it says where it listens, once it does
	ts.Check(err)
	ts.Setenv("SSH_AUTH_SOCK", socket)
}
