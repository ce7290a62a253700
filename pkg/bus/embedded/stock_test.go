package embedded_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

// The configuration is enough for a nats-server that is not ours, with a cluster and without.
func TestAStockServerTakesTheConfiguration(t *testing.T) {
	o, keys, ca := secured(t)
	o.Port, o.ToolTenants = journaltest.FreePort(t), map[string][]string{"console": {"acme", "sakura"}}
	seed, err := bus.NewSeed()
	must(t, err)
	public, err := bus.Keys{bus.Tool("console"): seed}.Public()
	must(t, err)
	o.PublicKeys[bus.Tool("console")] = public[bus.Tool("console")]

	dir := t.TempDir()
	must(t, bus.CreateStoreKey(dir))
	o.StoreKey = filepath.Join(dir, bus.StoreKeyFile)
	o.Monitor = fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t))
	o.Cluster = &bus.ClusterOptions{Name: "lockbox", Host: "0.0.0.0", Port: 6222, Routes: []string{"a.example:6222"}}
	text, err := bus.ServerConfig(o)
	must(t, err)
	path := filepath.Join(dir, "nats.conf")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	_, err = server.ProcessConfigFile(path)
	must(t, err)

	o.Cluster = nil
	text, err = bus.ServerConfig(o)
	must(t, err)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	opts, err := server.ProcessConfigFile(path)
	must(t, err)
	key, err := bus.ReadStoreKey(o.StoreKey)
	must(t, err)
	if opts.JetStreamKey != string(key) || opts.JetStreamCipher != server.AES {
		t.Error("the streams on disk are not encrypted with the key beside the configuration")
	}
	opts.NoSigs = true // which would stop the tests
	stock, err := server.NewServer(opts)
	must(t, err)
	stock.Start()
	t.Cleanup(func() {
		stock.Shutdown()
		stock.WaitForShutdown()
	})
	if !stock.ReadyForConnections(10 * time.Second) {
		t.Fatal("it does not start")
	}
	nc := connect(t, bus.Connection{URL: stock.ClientURL(), Identity: bus.Provisioner, Seed: keys[bus.Provisioner],
		CA: ca})
	must(t, bus.Provision(t.Context(), nc, 1))
	must(t, stock.Reload())
	must(t, nc.Flush())
}

// A server that permits a key more than it should have does not keep that from whoever tries the key, and nothing
// happens by trying.
func TestAKeyWithTooManyRightsIsFound(t *testing.T) {
	o, keys := options(t)
	o.Host, o.Port = "127.0.0.1", -1
	text, err := bus.ServerConfig(o)
	must(t, err)
	const own = `publish: {allow: ["lockbox.command.EDGE.*", "lockbox.query.EDGE.*"]}`
	if !strings.Contains(text, own) {
		t.Fatal("the command line's rights are others than this test knows")
	}
	opts := new(server.Options)
	must(t, opts.ProcessConfigString(strings.Replace(text, own, `publish: {allow: [">"]}`, 1)))
	opts.NoSigs = true
	stock, err := server.NewServer(opts)
	must(t, err)
	stock.Start()
	t.Cleanup(func() {
		stock.Shutdown()
		stock.WaitForShutdown()
	})
	if !stock.ReadyForConnections(time.Minute) {
		t.Fatal("it does not start")
	}
	to := bus.Connection{URL: stock.ClientURL(), Identity: bus.Provisioner, Seed: keys[bus.Provisioner]}
	nc := connect(t, to)
	must(t, bus.Provision(t.Context(), nc, 1))
	for _, all := range []bool{false, true} {
		trials, err := bus.Try(t.Context(), bus.Connection{URL: to.URL, Identity: bus.Client, Seed: keys[bus.Client]}, all)
		must(t, err)
		tooMuch := map[string]bool{}
		for _, trial := range trials {
			if trial.Could && !trial.May {
				tooMuch[trial.Subject] = true
			}
		}
		for _, s := range []string{"LB.API.STREAM.DELETE.EVENTS", "lockbox.lease", "$SYS.REQ.SERVER.PING"} {
			if !tooMuch[s] {
				t.Errorf("%s is not among the %d things that the key must not do", s, len(tooMuch))
			}
		}
	}
	i, err := bus.Inspect(t.Context(), nc, 1)
	must(t, err)
	for _, s := range i.Streams {
		if s.Info == nil || s.Info.State.LastSeq > 0 {
			t.Errorf("%s was touched", s.Name)
		}
	}
}
