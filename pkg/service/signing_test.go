package service

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
)

// Where it is configured since when events are signed, nobody can keep that from the service by keeping it out of the
// stream.
func TestWhereSigningBeganIsPinned(t *testing.T) {
	dir := t.TempDir()
	maker := writerkeys.Maker{Dir: dir, Origin: "log.example/lockbox", Now: time.Now()}
	if _, err := maker.Make(bus.Identities()); err != nil {
		t.Fatal(err)
	}
	f := &File[greeting]{Service: greeting{"hello"}}
	f.NATS.URL, f.NATS.SeedFile = "nats://127.0.0.1:4222", "x"
	f.Signing.BeganAt = 7
	if err := f.check(); err == nil || !strings.Contains(err.Error(), "signing.deployment_key_file") {
		t.Errorf("pinned without a key: %v", err)
	}
	f.Signing.KeyFile = config.SecretFile(filepath.Join(dir, writerkeys.KeyFile(bus.Notifier)))
	f.Signing.DeploymentKeyFile = filepath.Join(dir, writerkeys.PublicKeyFile)
	for began, demanded := range map[uint64]bool{0: false, 7: true} {
		f.Signing.BeganAt = began
		if err := f.check(); err != nil {
			t.Fatal(err)
		}
		keys, err := f.writer(bus.Notifier)
		if err != nil {
			t.Fatal(err)
		}
		rt := new(Runtime)
		WithWriter(keys)(rt)
		if rt.Keyring.Required() != demanded {
			t.Errorf("began at %d: demanded %t", began, !demanded)
		}
	}
}
