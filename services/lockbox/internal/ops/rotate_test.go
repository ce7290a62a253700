package ops

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/devca"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

// serve runs lockbox nats with these arguments until the test ends.
func serve(t *testing.T, args ...string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan string, 1)
	go func() {
		code, _, errs := lockbox(ctx, append([]string{"nats"}, args...)...)
		ended <- fmt.Sprint(code, errs)
	}()
	t.Cleanup(func() {
		stop()
		if got := <-ended; got != "0" && !strings.HasPrefix(got, "130") { // stopped before the others were there
			t.Errorf("the server ended with %s", got)
		}
	})
}

// busIn makes a bus in a directory and runs its server.
func busIn(t *testing.T, args ...string) (dir string, as func(bus.Identity) bus.Connection) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "keys")
	address := fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t))
	succeeds(t, "bus", "init", "--dir", dir, "--tool", "console", "--listen", address)
	serve(t, append([]string{"--keys", dir, "--tls", dir, "--store-key", filepath.Join(dir, bus.StoreKeyFile),
		"--data", filepath.Join(dir, "data"), "--listen", address}, args...)...)
	as = func(id bus.Identity) bus.Connection {
		return bus.Connection{URL: "tls://" + address, Identity: id, SeedFile: filepath.Join(dir, bus.SeedFile(id)),
			CA: filepath.Join(dir, bus.CAFile)}
	}
	within(t, "the server answers", func() bool { return connects(as(bus.Provisioner)) })
	return dir, as
}

// tells runs a step and looks for what it says.
func tells(t *testing.T, want string, args ...string) {
	t.Helper()
	said := succeeds(t, append([]string{"bus", "rotate"}, args...)...)
	if !strings.Contains(said, want) || !strings.Contains(said, "\nNext: ") {
		t.Errorf("%v does not say %q:\n%s", args, want, said)
	}
}

// Each step can be repeated, and none before --finish cuts off who has not changed yet.
func TestAKeyIsReplaced(t *testing.T) {
	t.Parallel()
	dir, as := busIn(t)
	id := bus.Tool("console")
	old := as(id)
	old.Seed, _ = os.ReadFile(old.SeedFile)
	client := open(t, as(bus.Client))

	if code, _, errs := lockbox(t.Context(), "bus", "rotate", "key", string(id), "--dir", dir, "--finish"); code != 1 ||
		!strings.Contains(errs, "has not been replaced") {
		t.Errorf("finished before it began: %d, %s", code, errs)
	}
	out := t.TempDir()
	tells(t, "Made a new key", "key", string(id), "--dir", dir, "--hand-out", out)
	public, err := os.ReadFile(filepath.Join(out, "nats", bus.PublicKeyFile(id)))
	must(t, err)
	if len(strings.Fields(string(public))) != 2 {
		t.Errorf("the servers are given %q", public)
	}
	next := as(id)
	next.SeedFile += ".next"
	within(t, "the new key connects", func() bool { return connects(next) })
	if !connects(old) {
		t.Error("the old key does not connect")
	}
	tells(t, "is the new key", "key", string(id), "--dir", dir)
	tells(t, "still accepted", "key", string(id), "--dir", dir)
	if !connects(as(id)) || !connects(old) {
		t.Error("one of the keys does not connect")
	}
	tells(t, "accepted no more", "key", string(id), "--dir", dir, "--finish")
	within(t, "the old key is refused", func() bool { return !connects(old) })
	if !connects(as(id)) {
		t.Error("the new key does not connect")
	}
	must(t, client.Flush())
	if client.Reconnects > 0 {
		t.Error("another client was disturbed")
	}
	if code, _, errs := lockbox(t.Context(), "bus", "rotate", "key", "nobody", "--dir", dir); code != 1 ||
		!strings.Contains(errs, "the key of nobody") {
		t.Errorf("nobody's key: %d, %s", code, errs)
	}
}

func TestAnAuthorityIsReplaced(t *testing.T) {
	t.Parallel()
	dir, as := busIn(t)
	ca := filepath.Join(dir, bus.CAFile)
	// A client that has not been given anything yet.
	before := as(bus.Client)
	before.CA = filepath.Join(t.TempDir(), bus.CAFile)
	copyOf := func() {
		t.Helper()
		text, err := os.ReadFile(ca)
		must(t, err)
		must(t, os.WriteFile(before.CA, text, 0o600))
	}
	copyOf()
	if code, _, errs := lockbox(t.Context(), "bus", "rotate", "authority", "--dir", dir, "--finish"); code != 1 ||
		!strings.Contains(errs, "no authority has been replaced") {
		t.Errorf("finished before it began: %d, %s", code, errs)
	}
	tells(t, "Renewed", "certificate", "--dir", dir)
	tells(t, "Made a new authority", "authority", "--dir", dir)
	if !connects(before) || !connects(as(bus.Client)) {
		t.Error("somebody has lost trust when the new one became known")
	}
	copyOf()
	tells(t, "is of the new authority", "authority", "--dir", dir)
	tells(t, "is of the new authority", "authority", "--dir", dir)
	tells(t, "trusted no more", "authority", "--dir", dir, "--finish")
	within(t, "the server shows the new certificate", func() bool { return connects(as(bus.Client)) })
	if !connects(before) {
		t.Error("who trusts both does not connect")
	}
	if step, err := devca.Replacing(dir); err != nil || step != devca.None {
		t.Errorf("it ends at step %v, %v", step, err)
	}
	tells(t, "Renewed", "certificate", "--dir", dir) // by the new one
	within(t, "the server shows a certificate of the new authority", func() bool { return connects(as(bus.Client)) })
}

func TestProvisionRefusesWhatIsUnsafe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		clustered bool
		replicas  []string
		says      string
	}{
		"a cluster with one replica":    {true, nil, "unsafe (replicas): the servers are a cluster"},
		"more replicas than one server": {false, []string{"--replicas", "3"}, "unsafe (replicas): 3 replicas need a cluster"},
		"one replica that is meant":     {true, []string{"--replicas", "1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "keys")
			succeeds(t, "keys", "--dir", dir)
			n := cluster(t, dir, c.clustered)
			args := append([]string{"provision", "--wait", "--url", n, "--keys", dir}, c.replicas...)
			code, _, errs := lockbox(t.Context(), args...)
			if want := 0; c.says == "" && code != want || c.says != "" && (code != 1 || !strings.Contains(errs, c.says)) {
				t.Errorf("%d, %s", code, errs)
			}
		})
	}
}

// cluster runs one server, or three that are a cluster, and returns their addresses.
func cluster(t *testing.T, keys string, clustered bool) (urls string) {
	t.Helper()
	members := 1
	if clustered {
		members = 3
	}
	var routes, all []string
	for range members {
		routes = append(routes, fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t)))
	}
	for i, route := range routes {
		listen := fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t))
		args := []string{"--keys", keys, "--data", t.TempDir(), "--listen", listen}
		if clustered {
			args = append(args, "--name", fmt.Sprintf("n%d", i), "--cluster", route, "--route", strings.Join(routes, ","))
		}
		serve(t, args...)
		all = append(all, "nats://"+listen)
	}
	return strings.Join(all, ",")
}
