package crash_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
)

// process is one of Lockbox's programs, run as an operator runs it.
type process struct {
	t    *testing.T
	name string
	args []string
	log  *os.File
	cmd  *exec.Cmd
	done chan struct{}
	// health is where it says whether it is ready.
	health string
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...) // #nosec G204 -- our own programs
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	// A service takes all such variables for settings, those of the tests too.
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "LOCKBOX_") })
	must(p.t, p.cmd.Start())
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(p.cmd, p.done)
}

// kill ends the process without a chance to do anything more.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	<-p.done
}

// stop asks the process to end, and waits until it has.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with %d", p.name, code)
	}
	return nil
}

// ended reports whether the process has stopped by itself.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// machine is where everything runs, each part in a process of its own.
type machine struct {
	*testing.T
	dir, url string
	// lockbox is the path of the program; the others lie beside it.
	lockbox string
	// ca is the file of the bus's authority; empty: it has no TLS.
	ca string
	// staged means that the bus stages batches in memory.
	staged   bool
	terms    string
	smtp     string
	issuer   *devissuer.Issuer
	nats     *process
	services []*process
	mailDir  string
	// portal is its address, host and port.
	portal string
	// wrong is what was found, printed once more below the processes' logs: whoever reads only the end sees it.
	wrong []string
}

func (m *machine) Errorf(format string, args ...any) {
	m.Helper()
	m.wrong = append(m.wrong, fmt.Sprintf(format, args...))
	m.T.Errorf(format, args...)
}

func (m *machine) Fatalf(format string, args ...any) {
	m.Helper()
	m.Errorf(format, args...)
	m.FailNow()
}

// terms end soon, because the test waits for what nobody answers.
const terms = `{internal_approval: 10s, customer_approval: 25s, grant: 2s, remind_before: [5s]}`

// build makes the programs.
func build(t *testing.T) *machine {
	t.Helper()
	m := &machine{T: t, dir: t.TempDir(), terms: terms}
	t.Cleanup(func() {
		for _, what := range m.wrong {
			t.Log("wrong:", what)
		}
	})
	m.mailDir = m.path("mail")
	bin := m.path("bin")
	t.Setenv("CGO_ENABLED", "0") // as make build does, so that neither builds anew
	m.run("go", "build", "-trimpath", "-o", bin+"/",
		"github.com/openlockbox/lockbox/services/lockbox/cmd/lockbox",
		"github.com/openlockbox/lockbox/services/jit-evaluator/cmd/jit-evaluator",
		"github.com/openlockbox/lockbox/services/lockbox-orchestrator/cmd/lockbox-orchestrator",
		"github.com/openlockbox/lockbox/services/notifier/cmd/notifier",
		"github.com/openlockbox/lockbox/services/audit-projector/cmd/audit-projector",
		"github.com/openlockbox/lockbox/services/portal/cmd/portal")
	m.lockbox = filepath.Join(bin, "lockbox")
	return m
}

func boot(t *testing.T, stageIn string) *machine {
	t.Helper()
	m := build(t)
	m.staged = stageIn != ""
	m.run(m.lockbox, "keys", "--dir", m.path("keys"), "--tool", tool)
	address := fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t))
	m.url = "nats://" + address
	m.nats = m.process("nats", m.lockbox, "nats", "--keys", m.path("keys"), "--data", m.path("nats"), "--listen", address,
		"--stage-in", stageIn)
	m.nats.start()
	m.run(m.lockbox, "provision", "--url", m.url, "--keys", m.path("keys"), "--wait")
	m.prepare()
	for _, name := range serviceNames {
		m.services = append(m.services, m.serve(name, ""))
	}
	return m
}

var serviceNames = []string{"jit-evaluator", "lockbox-orchestrator", "notifier", "audit-projector", "portal"}

// prepare makes what the services need besides the bus: an issuer and a mail server.
func (m *machine) prepare() {
	m.Helper()
	var err error
	m.issuer, err = devissuer.New(devissuer.Config{Demo: true, Dir: m.path("demo")})
	must(m, err)
	must(m, os.WriteFile(m.path("provider.jwks"), m.issuer.ProviderIssuer().JWKS, 0o600))
	m.smtp = m.serveMailbox()
}

// serve starts a service, or the copy of it that has this name.
func (m *machine) serve(name, copied string) *process {
	m.Helper()
	identity := name
	if copied != "" {
		identity += "@" + copied
	}
	provider := m.issuer.ProviderIssuer()
	issuers := fmt.Sprintf("issuers:\n  - {url: %q, audience: %s, jwks_file: %s}\n", provider.URL, provider.Audience,
		m.path("provider.jwks"))
	own := ""
	switch name {
	case "jit-evaluator":
		own = issuers + "service:\n  terms: " + m.terms +
			"\n  limits: {open_per_engineer: -1, open_per_ticket: -1, per_engineer_and_day: -1}\n  tools: [{name: " + tool +
			", tenants: ['*'], services: ['*']}]\n"
	case "lockbox-orchestrator":
		own = issuers + "service:\n  terms: " + m.terms + "\n"
	case "notifier":
		own = "service:\n" + notifierConfig(m.smtp)
	case "audit-projector":
		own = issuers + fmt.Sprintf("service:\n  dir: %s\n  log: {signing_key_file: %s, salts_file: %s}\n",
			m.path("projection"+copied), m.path("keys", "log.key"), m.path("keys", "log.salts"))
	case "portal":
		address := fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(m.T))
		if copied == "" {
			m.portal = address
		}
		own = portalConfig(address, provider)
	}
	health := fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(m.T))
	common := fmt.Sprintf("nats: {url: %q, seed_file: %s, copy: %q, tls: {ca: %q}, staged_in_memory: %t}\n"+
		"observe: {log: warn, listen: %q}\n", m.url, m.path("keys", identity+".nk"), copied, m.ca, m.staged, health)
	must(m, os.WriteFile(m.path(identity+".yaml"), []byte(common+own), 0o600))
	p := m.process(identity, filepath.Join(filepath.Dir(m.lockbox), name), "--config", m.path(identity+".yaml"))
	p.health = "http://" + health + "/readyz"
	p.start()
	return p
}

func portalConfig(address string, provider identity.Issuer) string {
	return fmt.Sprintf(`service:
  listen: %s
  url: http://%[1]s
  provider: Nimbus Cloud
  organisations:
    - {name: Nimbus Cloud, issuer: %q, client_id: %s}
`, address, provider.URL, provider.Audience)
}

// serveMailbox runs the development mailbox inside the test: it is never killed, as a customer's mail server is not
// ours.
func (m *machine) serveMailbox() (address string) {
	m.Helper()
	box, err := mailbox.New(mailbox.Config{Dir: m.mailDir, SMTPListen: "127.0.0.1:0"})
	must(m, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- box.Run(ctx) }()
	m.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			m.Error(err)
		}
	})
	return box.SMTPAddr()
}

func notifierConfig(smtp string) string {
	return fmt.Sprintf(`  provider: Nimbus Cloud
  digest_after: 0s # each mail is looked for
  smtp: {host: 127.0.0.1, port: %s, tls: none, from: lockbox@nimbus.example}
`, smtp[strings.LastIndexByte(smtp, ':')+1:])
}

func (m *machine) path(elem ...string) string {
	return filepath.Join(append([]string{m.dir}, elem...)...)
}

func (m *machine) run(args ...string) {
	m.Helper()
	if err := m.try(args...); err != nil {
		m.Fatalf("%v", err)
	}
}

func (m *machine) try(args ...string) error {
	ctx, cancel := context.WithTimeout(m.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput() // #nosec G204 -- our own programs
	if err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return nil
}

func (m *machine) process(name string, args ...string) *process {
	m.Helper()
	log, err := os.Create(m.path(name + ".log"))
	must(m, err)
	p := &process{t: m.T, name: name, args: args, log: log}
	m.Cleanup(func() {
		p.kill()
		if m.Failed() {
			text, err := os.ReadFile(log.Name())
			m.Logf("--- %s (%v)\n%s", name, err, tail(text, 4000))
		}
		_ = log.Close()
	})
	return p
}

func tail(text []byte, n int) []byte { return text[max(0, len(text)-n):] }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
