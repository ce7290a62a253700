package bus_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

func TestServerConfigRefuses(t *testing.T) {
	keys, err := bus.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.Public()
	if err != nil {
		t.Fatal(err)
	}
	one := public[bus.Client]
	for name, o := range map[string]bus.ServerOptions{
		"no store":           {PublicKeys: public},
		"no keys":            {StoreDir: "x"},
		"an unknown user":    {StoreDir: "x", PublicKeys: map[bus.Identity]string{"other": one}},
		"a tool of any name": {StoreDir: "x", PublicKeys: map[bus.Identity]string{bus.Tool("*"): one}},
		"not a key": {StoreDir: "x",
			PublicKeys: map[bus.Identity]string{bus.Client: "U\"} evil"}},
		"a seed": {StoreDir: "x",
			PublicKeys: map[bus.Identity]string{bus.Client: string(keys[bus.Client])}},
		"a tool that is limited and has no key": {StoreDir: "x", PublicKeys: public,
			ToolTenants: map[string][]string{"consol": {"acme"}}},
		"a tool for customers of any name": {
			StoreDir: "x", PublicKeys: map[bus.Identity]string{bus.Tool(console): one},
			ToolTenants: map[string][]string{console: {"*"}},
		},
	} {
		if _, err := bus.ServerConfig(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	first, err := bus.LoadOrCreateKeys(dir, []string{"console"})
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != len(bus.Identities())+1 {
		t.Errorf("%d keys", len(first))
	}
	again, err := bus.LoadOrCreateKeys(dir, []string{"console", "pipeline"})
	if err != nil {
		t.Fatal(err)
	}
	for id, seed := range first {
		if string(again[id]) != string(seed) {
			t.Errorf("the key of %s was replaced", id)
		}
		info, err := os.Stat(filepath.Join(dir, string(id)+".nk"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key of %s: %v, %v", id, info, err)
		}
	}
	public, err := again.Public()
	if err != nil {
		t.Fatal(err)
	}
	read, err := bus.ReadPublicKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(public, read); diff != "" {
		t.Error(diff)
	}
	if files, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(files) > 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "client.nk"), []byte("SU"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.LoadOrCreateKeys(dir, nil); err == nil || !strings.Contains(err.Error(), "client") {
		t.Errorf("a damaged key: %v", err)
	}
	if _, err := bus.LoadOrCreateKeys(dir, []string{"../x"}); err == nil {
		t.Error("a tool's name leads out of the directory")
	}
}

func TestOnlyHoldersOfAKeyConnect(t *testing.T) {
	t.Parallel()
	b := journaltest.New(t, 1)
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]bus.Connection{
		// In process, it would be told so only after ten seconds.
		"a stranger's key":   {Identity: bus.Client, Seed: stranger, URL: b.URL()},
		"no key":             {Identity: bus.Client, InProcess: b},
		"a missing key file": {Identity: bus.Client, SeedFile: filepath.Join(t.TempDir(), "client.nk"), InProcess: b},
		"no address":         {Identity: bus.Client, Seed: b.Keys[bus.Client]},
	} {
		if nc, err := bus.Connect(c); err == nil {
			nc.Close()
			t.Errorf("%s: connected", name)
		}
	}
	if nc, err := nats.Connect(b.URL()); err == nil {
		nc.Close()
		t.Error("connected without a name")
	}
}

func TestCheckClock(t *testing.T) {
	t.Parallel()
	b := shared.Bus(t)
	skew, err := bus.CheckClock(t.Context(), b.Connect(t, bus.Orchestrator))
	if err != nil || skew.Seconds() > 1 || skew.Seconds() < -1 {
		t.Errorf("on one machine: %v, %v", skew, err)
	}
	var clock bus.Clock
	if err := clock.Watch(t.Context(), b.Connect(t, bus.Evaluator)); err != nil {
		t.Error(err)
	}
}

// The stream is bounded by subject. Only a tool that is limited to some customers cannot make up more of them.
func TestWhereIntentsAreStored(t *testing.T) {
	b := journaltest.Start(t, 1)
	for tool, tenants := range map[string][]string{
		journaltest.Tool: {"one", "another"}, journaltest.LimitedTool: {journaltest.LimitedTo},
	} {
		for _, tenant := range tenants {
			subject, err := bus.IntentSubject(tool, tenant)
			noError(t, err)
			_, err = b.Connect(t, bus.Tool(tool)).Request(subject, []byte("x"), 10*time.Second)
			noError(t, err)
		}
	}
	info, err := b.Connect(t, bus.Provisioner).Request("LB.API.STREAM.INFO.INTENTS",
		[]byte(`{"subjects_filter":">"}`), 10*time.Second)
	noError(t, err)
	var stored struct {
		State struct{ Subjects map[string]int }
	}
	noError(t, json.Unmarshal(info.Data, &stored))
	if diff := cmp.Diff(map[string]int{"lockbox.intent.console._": 2, "lockbox.intent.limited.acme": 1},
		stored.State.Subjects); diff != "" {
		t.Error(diff)
	}
	for subject, want := range map[string]string{
		"lockbox.intent.console._": "console ", "lockbox.intent.limited.acme": "limited acme",
	} {
		if tool, tenant, err := bus.ParseIntentSubject(subject); err != nil || tool+" "+tenant != want {
			t.Errorf("%s is of %q about %q: %v", subject, tool, tenant, err)
		}
	}
}
