package embedded_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
)

// encrypted are a server's options with the key of its store.
func encrypted(t *testing.T) (bus.ServerOptions, bus.Keys) {
	t.Helper()
	o, keys := options(t)
	dir := t.TempDir()
	must(t, bus.CreateStoreKey(dir))
	o.StoreKey = filepath.Join(dir, bus.StoreKeyFile)
	return o, keys
}

// What is stored is not readable in the files, and outlives the server.
func TestTheStoreIsEncrypted(t *testing.T) {
	t.Parallel()
	const subject = "lockbox.intent.console.acme"
	for name, want := range map[string]bool{"with a key": false, "without": true} {
		o, keys := encrypted(t)
		if want {
			o.StoreKey = ""
		}
		seed, err := bus.NewSeed()
		must(t, err)
		public, err := bus.Keys{bus.Tool("console"): seed}.Public()
		must(t, err)
		o.PublicKeys[bus.Tool("console")] = public[bus.Tool("console")]
		for range 2 { // and once more, from the same files
			s, err := embedded.Start(t.Context(), o, nil)
			must(t, err)
			must(t, bus.Provision(t.Context(), connect(t, bus.Connection{InProcess: s, Identity: bus.Provisioner,
				Seed: keys[bus.Provisioner]}), 1))
			stored(t, connect(t, bus.Connection{InProcess: s, Identity: bus.Tool("console"), Seed: seed}), subject)
			s.Shutdown()
		}
		if found := readable(t, o.StoreDir, "lockbox.intent.console._"); found != want {
			t.Errorf("%s: what was stored is readable: %t", name, found)
		}
	}
}

// NATS would take what it cannot decrypt for damaged, and begin anew in its place.
func TestAStoreIsNotOpenedWithAnotherKey(t *testing.T) {
	t.Parallel()
	o, _ := encrypted(t)
	s, err := embedded.Start(t.Context(), o, nil)
	must(t, err)
	if _, err := embedded.SetAside(o.StoreDir, time.Now()); err == nil {
		t.Error("the store of a server that runs is moved away")
	}
	s.Shutdown()
	refused := func(what string, o bus.ServerOptions, says string) {
		t.Helper()
		s, err := embedded.Start(t.Context(), o, nil)
		if err == nil {
			s.Shutdown()
		}
		var key *bus.StoreKeyError
		if !errors.As(err, &key) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	none := o
	none.StoreKey = ""
	refused("without a key", none, "--store-key")
	before, err := os.ReadFile(o.StoreKey)
	must(t, err)
	old, err := bus.ReplaceStoreKey(filepath.Dir(o.StoreKey))
	must(t, err)
	refused("with another", o, "set-aside")
	must(t, os.Chmod(o.StoreKey, 0o644)) // #nosec G302 -- this is what is refused
	refused("with one that others may read", o, "chmod 600")
	must(t, os.Chmod(o.StoreKey, 0o600))
	must(t, os.WriteFile(o.StoreKey, []byte("key: x\n"), 0o600))
	refused("with none", o, "encryption_key")

	kept, err := os.ReadFile(filepath.Join(filepath.Dir(o.StoreKey), old))
	must(t, err)
	if !bytes.Equal(kept, before) {
		t.Error("the old key is not kept")
	}
	must(t, os.WriteFile(o.StoreKey, kept, 0o600))
	s, err = embedded.Start(t.Context(), o, nil)
	must(t, err)
	s.Shutdown()

	aside, err := embedded.SetAside(o.StoreDir, time.Now())
	must(t, err)
	if _, err := os.Stat(aside); err != nil {
		t.Error(err)
	}
	_, err = bus.ReplaceStoreKey(filepath.Dir(o.StoreKey))
	must(t, err)
	s, err = embedded.Start(t.Context(), o, nil)
	must(t, err)
	s.Shutdown()
}

func TestAServerForOtherMachinesEncryptsItsStore(t *testing.T) {
	t.Parallel()
	o, _, _ := secured(t)
	o.Host = "192.0.2.1"
	_, err := bus.ServerConfig(o)
	var plain *bus.PlainStoreError
	if !errors.As(err, &plain) || plain.Host != o.Host || !strings.Contains(err.Error(), "--store-key") {
		t.Errorf("without a key: %v", err)
	}
	o.PlainStore = true
	_, err = bus.ServerConfig(o)
	must(t, err)
	for _, address := range []string{"0.0.0.0:8222", ":8222", "192.0.2.1:8222", "8222"} {
		o.Monitor = address
		if _, err := bus.ServerConfig(o); err == nil {
			t.Errorf("monitoring on %s is accepted, where nobody signs in", address)
		}
	}
}

// Given a key, NATS would lose what it stored without one.
func TestAPlainStoreStaysPlain(t *testing.T) {
	t.Parallel()
	o, _ := encrypted(t)
	key := o.StoreKey
	for i, file := range []string{"", key, ""} {
		o.StoreKey = file
		s, err := embedded.Start(t.Context(), o, nil)
		if err == nil {
			s.Shutdown()
		}
		var refused *bus.StoreKeyError
		if is := errors.As(err, &refused); is != (file != "") || is && !strings.Contains(err.Error(), "is not encrypted") {
			t.Errorf("start %d: %v", i, err)
		}
	}
}

// readable reports whether a text is in the files of a directory.
func readable(t *testing.T, dir, what string) (found bool) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path) // #nosec G304 -- the server's own
		found = found || bytes.Contains(text, []byte(what))
		return err
	}))
	return found
}
