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

const terms = `  terms: {internal_approval: 10s, customer_approval: 25s, grant: 2s, remind_before: [5s]}
`

func boot(t *testing.T) *machine {
	t.Helper()
	m := &machine{T: t, dir: t.TempDir()}
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
	lockbox := filepath.Join(bin, "lockbox")
	m.run(lockbox, "keys", "--dir", m.path("keys"), "--tool", tool)
	address := fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t))
	m.url = "nats://" + address
	m.nats = m.process("nats", lockbox, "nats", "--keys", m.path("keys"), "--data", m.path("nats"), "--listen", address)
	m.nats.start()
	m.run(lockbox, "provision", "--url", m.url, "--keys", m.path("keys"), "--wait")

	var err error
	m.issuer, err = devissuer.New(devissuer.Config{Demo: true, Dir: m.path("demo")})
	must(t, err)
	provider := m.issuer.ProviderIssuer()
	must(t, os.WriteFile(m.path("provider.jwks"), provider.JWKS, 0o600))
	issuers := fmt.Sprintf("issuers:\n  - {url: %q, audience: %s, jwks_file: %s}\n", provider.URL, provider.Audience,
		m.path("provider.jwks"))
	smtp := m.serveMailbox()
	m.portal = fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t))
	for name, own := range map[string]string{
		"jit-evaluator": issuers + "service:\n" + terms +
			"  limits: {open_per_engineer: -1, open_per_ticket: -1}\n  tools: [{name: " + tool +
			", tenants: ['*'], services: ['*']}]\n",
		"lockbox-orchestrator": issuers + "service:\n" + terms,
		"notifier":             issuers + "service:\n" + notifierConfig(smtp),
		"audit-projector": issuers + fmt.Sprintf("service:\n  dir: %s\n  log: {signing_key_file: %s, salts_file: %s}\n",
			m.path("projection"), m.path("keys", "log.key"), m.path("keys", "log.salts")),
		"portal": portalConfig(m.portal, provider),
	} {
		must(t, os.WriteFile(m.path(name+".yaml"), []byte(config(m, name)+own), 0o600))
		p := m.process(name, filepath.Join(bin, name), "--config", m.path(name+".yaml"))
		p.start()
		m.services = append(m.services, p)
	}
	return m
}

func config(m *machine, name string) string {
	return fmt.Sprintf("nats: {url: %q, seed_file: %s}\nobserve: {log: warn}\n", m.url, m.path("keys", name+".nk"))
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
	ctx, cancel := context.WithTimeout(m.Context(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil { // #nosec G204 -- our own programs
		m.Fatalf("%v: %v\n%s", args, err, out)
	}
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
