package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
)

// lockbox runs a command line, and returns its exit code and what it said.
func lockbox(ctx context.Context, args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	env := cli.Environment{
		In: strings.NewReader(""), Out: &stdout, Err: &stderr, Width: func() int { return 80 }, Now: time.Now, Zone: time.UTC,
		Getenv: func(string) string { return "" },
	}
	code = cli.Run(ctx, args, env, Commands()...)
	return code, stdout.String(), stderr.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// succeeds runs a command line that has to succeed, and returns what it said.
func succeeds(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := lockbox(t.Context(), args...)
	if code != 0 {
		t.Fatalf("lockbox %s: %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// What init makes is enough for a server, for provisioning, and for a tool and copies that come and go.
func TestABusIsSetUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	in := func(name string) string { return filepath.Join(dir, name) }
	address := fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t))
	said := succeeds(t, "bus", "init", "--dir", dir, "--host", "bus.example.org", "--tool", "console",
		"--copy", "client@laptop", "--copy", "audit-projector@b", "--listen", address)
	for _, want := range []string{"ca.crt, ca.key,", "11 keys", "tls://bus.example.org:", "--tls " + dir} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	config, err := os.ReadFile(in(configFile))
	must(t, err)
	again := succeeds(t, "bus", "init", "--dir", dir, "--listen", address)
	if !strings.Contains(again, "nothing, everything") {
		t.Errorf("the second time: %s", again)
	}
	node := []string{"nats", "--keys", dir, "--tls", dir, "--store-key", in(bus.StoreKeyFile), "--data", in("data"),
		"--listen", address}
	if printed := succeeds(t, append(node, "--print-config")...); printed != string(config) {
		t.Error("the printed configuration is not the one that was written")
	}

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan string, 1)
	go func() {
		code, _, errs := lockbox(ctx, append(node, "--limit-tool", "console=acme")...)
		ended <- fmt.Sprint(code, errs)
	}()
	defer func() {
		stop()
		if got := <-ended; got != "0" {
			t.Errorf("the server ended with %s", got)
		}
	}()
	to := []string{"--url", "tls://" + address, "--ca", in(bus.CAFile), "--keys", dir}
	succeeds(t, append([]string{"provision", "--wait", "--projector-copy", "b"}, to...)...)
	as := func(id bus.Identity) bus.Connection {
		return bus.Connection{URL: "tls://" + address, Identity: id, SeedFile: in(bus.SeedFile(id)), CA: in(bus.CAFile)}
	}
	reader := open(t, as(bus.Projector.Copy("b")))
	js, err := bus.JetStream(reader)
	must(t, err)
	_, err = js.Consumer(t.Context(), bus.StreamEvents, bus.CopyReaders(bus.Projector.Copy("b"))[0])
	must(t, err)
	open(t, as(bus.Client.Copy("laptop")))
	open(t, as(bus.Tool("console")))

	succeeds(t, "keys", "--dir", dir, "--tool", "ticketing")
	within(t, "a new tool connects", func() bool { return connects(as(bus.Tool("ticketing"))) })
	// A limited tool is cut off too.
	must(t, os.Remove(in(bus.PublicKeyFile(bus.Tool("console")))))
	within(t, "a removed tool is refused", func() bool { return !connects(as(bus.Tool("console"))) })
	must(t, reader.Flush())
	if reader.Reconnects > 0 {
		t.Error("another client was disturbed")
	}
}

func open(t *testing.T, c bus.Connection) *nats.Conn {
	t.Helper()
	nc, err := bus.Connect(c)
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func connects(c bus.Connection) bool {
	nc, err := bus.Connect(c)
	if err == nil {
		nc.Close()
	}
	return err == nil
}

func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

// A command that cannot connect with its key says which, and does not wait.
func TestAKeyThatCannotBeUsedIsNamed(t *testing.T) {
	dir := t.TempDir()
	succeeds(t, "keys", "--dir", dir)
	open := filepath.Join(dir, bus.SeedFile(bus.Provisioner))
	must(t, os.Chmod(open, 0o644)) // #nosec G302 -- this is what is refused
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no key": {[]string{"provision", "--wait", "--keys", filepath.Join(dir, "none")},
			"the key of provisioner in " + filepath.Join(dir, "none", "provisioner.nk") + ": no such file"},
		"an open one": {[]string{"provision", "--wait", "--keys", dir},
			open + ": others may read or write it (mode 0644)"},
		"one that is kept":  {[]string{"keys", "--dir", dir}, open + ": others may read or write it (mode 0644)"},
		"not a copy":        {[]string{"keys", "--dir", dir, "--copy", "client"}, "not a copy"},
		"a copy's bad name": {[]string{"provision", "--projector-copy", "*"}, "--projector-copy"},
		"a plain store": {[]string{"nats", "--keys", dir, "--data", dir, "--listen", "0.0.0.0:0", "--tls", dir},
			"--store-key"},
		"plain text outside": {[]string{"nats", "--keys", dir, "--data", dir, "--listen", "0.0.0.0:0"}, "--tls"},
		"no certificate": {[]string{"nats", "--keys", dir, "--data", dir, "--listen", "0.0.0.0:0", "--tls", dir,
			"--plain-store"}, filepath.Join(dir, bus.CertificateFile)},
		"staged on a disk": {[]string{"nats", "--keys", dir, "--data", dir, "--listen", "127.0.0.1:0", "--stage-in", "/proc"},
			"not in memory"},
		"all of it staged on a disk": {[]string{"up", "--demo", "--data", filepath.Join(dir, "up"), "--stage-in", "/proc",
			"--listen", "127.0.0.1:0", "--issuer", "127.0.0.1:0"}, "not in memory"},
		"staged by another": {[]string{"nats", "--keys", dir, "--data", dir, "--stage-in", "/dev/shm", "--print-config"},
			"--print-config"},
	} {
		code, out, errs := lockbox(t.Context(), c.args...)
		if code != 1 || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, c.says) {
			t.Errorf("%s: %d, %q", name, code, errs)
		}
	}
}

func TestWhatIsHandedOut(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	succeeds(t, "bus", "init", "--dir", dir, "--copy", "audit-projector@b", "--hand-out", out)
	for owner, want := range map[string]string{
		"notifier": "ca.crt erasable.key notifier.nk notifier.writer writers.vkey",
		"audit-projector@b": "audit-projector@b.nk audit-projector@b.writer ca.crt erasable.key log.key log.salts " +
			"writers.vkey",
		"lockbox-orchestrator": "audit-projector.certificate audit-projector@b.certificate ca.crt erasable.key " +
			"jit-evaluator.certificate lockbox-orchestrator.certificate lockbox-orchestrator.nk lockbox-orchestrator.writer notifier.certificate " +
			"repairer.certificate webhooks.public writers.vkey",
		"portal":    "ca.crt portal.nk", // it writes no events
		"forwarder": "erasable.key webhooks.key", "compliance": "ca.crt compliance.nk writers.vkey",
	} {
		if got := strings.Join(files(filepath.Join(out, owner)), " "); got != want {
			t.Errorf("%s gets %s", owner, got)
		}
	}
	if d, err := writerkeys.ReadDeployment(filepath.Join(out, "notifier", writerkeys.PublicKeyFile)); err != nil ||
		d.BeganAt != 1 {
		t.Errorf("since when events are signed on a new bus: %d, %v", d.BeganAt, err)
	}
	for _, name := range files(filepath.Join(out, "nats")) {
		if strings.HasSuffix(name, ".nk") || name == "ca.key" || name == keystore.SecretFile {
			t.Errorf("the server gets %s", name)
		}
	}
}

// Keys from before events were signed are those of a bus on which something is stored.
func TestSinceWhenEventsAreSignedIsNotKnownOfABusInUse(t *testing.T) {
	dir := t.TempDir()
	succeeds(t, "keys", "--dir", dir)
	for _, name := range files(dir) {
		if strings.HasPrefix(name, "writers.") || filepath.Ext(name) == ".writer" || filepath.Ext(name) == ".certificate" {
			must(t, os.Remove(filepath.Join(dir, name)))
		}
	}
	succeeds(t, "keys", "--dir", dir)
	d, err := writerkeys.ReadDeployment(filepath.Join(dir, writerkeys.PublicKeyFile))
	must(t, err)
	if d.BeganAt != 0 {
		t.Errorf("pinned to event %d", d.BeganAt)
	}
}

func TestRightsAreShown(t *testing.T) {
	text := succeeds(t, "bus", "rights")
	for line := range strings.Lines(text) {
		if len([]rune(strings.TrimSuffix(line, "\n"))) > columns {
			t.Errorf("too long: %s", line)
		}
	}
	for _, id := range append(bus.Identities(), "tool-TOOL") {
		if !strings.Contains(text, string(id)+", in account "+id.Account()+"\n") {
			t.Errorf("%s is not shown", id)
		}
	}
	const ticketing = `tool-ticketing, in account EDGE
  publishes to AUDIT_PROJECTOR
    lockbox.updates.ticketing
  publishes to LOCKBOX
    lockbox.intent.ticketing.*
  hears AUDIT_PROJECTOR
    lockbox.update.ticketing.>
  hears its own account
    _INBOX.tool-ticketing.>
  hears JIT_EVALUATOR
    lockbox.outcome.ticketing.>
`
	if got := succeeds(t, "bus", "rights", "tool-ticketing"); got != ticketing {
		t.Errorf("a tool's are\n%s", got)
	}
	var parsed []identityRights
	must(t, json.Unmarshal([]byte(succeeds(t, "bus", "rights", "client@laptop", "-o", "json")), &parsed))
	want := right{bus.Publishes, "lockbox.command.EDGE.*", "LOCKBOX_ORCHESTRATOR", "lockbox.command.EDGE.*"}
	if len(parsed) != 1 || parsed[0].Identity != "client@laptop" || parsed[0].Account != "EDGE" ||
		parsed[0].Rights[0] != want {
		t.Errorf("the JSON is %+v", parsed)
	}
	if code, _, errs := lockbox(t.Context(), "bus", "rights", "nobody"); code != 1 || !strings.Contains(errs, `"nobody"`) {
		t.Errorf("nobody's are %d, %s", code, errs)
	}
}
