package writerkeys_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
)

const origin = "lockbox.example/log"

var (
	began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ids   = append(bus.Identities(), bus.Orchestrator.Copy("b"))
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func maker(dir string, now time.Time) writerkeys.Maker {
	return writerkeys.Maker{Dir: dir, Origin: origin, Now: now}
}

func made(t *testing.T, dir string) {
	t.Helper()
	who, err := maker(dir, began).Make(ids)
	must(t, err)
	want := []bus.Identity{bus.Projector, bus.Evaluator, bus.Orchestrator, bus.Orchestrator.Copy("b"), bus.Notifier,
		bus.Repairer}
	if !slices.Equal(who, want) {
		t.Fatalf("keys were made for %v, not for %v", who, want)
	}
}

func read(t *testing.T, dir string, id bus.Identity) writerkeys.Keys {
	t.Helper()
	k, err := writerkeys.In(dir, id)
	must(t, err)
	return k
}

func TestEachWriterAndCopyHasAKeyOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	made(t, dir)
	seen := map[signed.KeyID]bool{}
	for _, id := range writerkeys.Writers(ids) {
		k := read(t, dir, id)
		seen[signed.IDOf(k.Certificate.Key)] = true
		if k.Certificate.Identity != string(id.Of()) || k.Deployment.Origin != origin {
			t.Errorf("%s: the certificate of %s at %s", id, k.Certificate.Identity, k.Deployment.Origin)
		}
		info, err := os.Stat(filepath.Join(dir, writerkeys.KeyFile(id)))
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v", id, info.Mode())
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d different keys, want 6", len(seen))
	}
	certificates, err := writerkeys.Certificates(dir)
	must(t, err)
	if len(certificates) != 6 {
		t.Errorf("%d certificates, want 6", len(certificates))
	}
	if again, err := maker(dir, began).Make(ids); err != nil || len(again) > 0 {
		t.Errorf("made again: %v, %v", again, err)
	}
}

func TestWithoutTheDeploymentKeyNothingIsCertified(t *testing.T) {
	dir := t.TempDir()
	made(t, dir)
	must(t, os.Remove(filepath.Join(dir, writerkeys.DeploymentKeyFile)))
	if who, err := maker(dir, began).Make(ids); err != nil || len(who) > 0 {
		t.Errorf("nothing is lacking, and still: %v, %v", who, err)
	}
	// What ends soon is left alone; what has ended is not passed over in silence.
	if who, err := maker(dir, began.Add(writerkeys.Lifetime-time.Hour)).Make(ids); err != nil || len(who) > 0 {
		t.Errorf("an hour before the end: %v, %v", who, err)
	}
	for name, lacks := range map[string]func() error{
		"a certificate that has ended": func() error {
			_, err := maker(dir, began.Add(writerkeys.Lifetime)).Make(ids)
			return err
		},
		"one more copy": func() error {
			_, err := maker(dir, began).Make(append(ids, bus.Notifier.Copy("b")))
			return err
		},
		"a rotation": func() error { return maker(dir, began).Rotate(bus.Notifier) },
	} {
		if err := lacks(); err == nil || !strings.Contains(err.Error(), writerkeys.DeploymentKeyFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACertificateIsRenewedInTime(t *testing.T) {
	dir := t.TempDir()
	made(t, dir)
	before := read(t, dir, bus.Notifier)
	later := began.Add(writerkeys.Lifetime - writerkeys.RenewBefore)
	who, err := maker(dir, later).Make(ids)
	must(t, err)
	after := read(t, dir, bus.Notifier)
	if len(who) != 6 || after.Certificate.Key.Equal(before.Certificate.Key) ||
		after.Certificate.Until.Before(later.Add(writerkeys.Lifetime-time.Second)) {
		t.Errorf("renewed %v, until %v", who, after.Certificate.Until)
	}
	must(t, maker(dir, later).Rotate(bus.Notifier))
	if read(t, dir, bus.Notifier).Certificate.Key.Equal(after.Certificate.Key) {
		t.Error("the key is the one before")
	}
}

func TestWhatDoesNotBelongTogetherIsRefused(t *testing.T) {
	one, other := t.TempDir(), t.TempDir()
	made(t, one)
	made(t, other)
	replace := func(to, from string) {
		data, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(to, data, 0o600))
	}
	in := func(dir, name string) string { return filepath.Join(dir, name) }
	notifier := in(one, writerkeys.KeyFile(bus.Notifier))
	for _, c := range []struct {
		name, says string
		spoil      func()
	}{
		{"another identity's key", "the certificate is that of audit-projector",
			func() { replace(notifier, in(one, writerkeys.KeyFile(bus.Projector))) }},
		{"another deployment's key", writerkeys.KeyFile(bus.Notifier),
			func() { replace(notifier, in(other, writerkeys.KeyFile(bus.Notifier))) }},
		{"a key that is none", "not the key of a writer", func() { must(t, os.WriteFile(notifier, []byte("x\n"), 0o600)) }},
	} {
		c.spoil()
		if _, err := writerkeys.In(one, bus.Notifier); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		if who, err := maker(one, began).Make(ids); err == nil {
			t.Errorf("%s: replaced without a word: %v", c.name, who)
		}
	}
	if err := maker(other, began).Rotate(bus.Portal); err == nil {
		t.Error("the portal writes no events, and got a key")
	}
	stranger := writerkeys.Maker{Dir: other, Origin: "another.example/log", Now: began}
	if _, err := stranger.Make(ids); err == nil || !strings.Contains(err.Error(), "another.example/log") {
		t.Errorf("the key of one deployment certifies for another: %v", err)
	}
}

// On a new bus every event is signed, and whoever reads the public key reads that too. Where events were stored before,
// it is pinned later, once.
func TestSinceWhenEventsAreSignedStandsBesideThePublicKey(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, writerkeys.PublicKeyFile)
	must(t, maker(dir, began).Begin())
	must(t, maker(dir, began).Begin()) // after a crash
	made(t, dir)
	k := read(t, dir, bus.Notifier)
	if k.Deployment.BeganAt != 1 || k.Deployment.Keyring().Expected() != 1 {
		t.Errorf("on a new bus: %d, %d", k.Deployment.BeganAt, k.Deployment.Keyring().Expected())
	}
	if err := writerkeys.Pin(file, 7); err == nil {
		t.Error("what is pinned was replaced")
	}
	must(t, maker(dir, began).Rotate(bus.Notifier))
	if k := read(t, dir, bus.Notifier); k.Deployment.BeganAt != 1 {
		t.Error("a rotation forgets it")
	}

	dir = t.TempDir()
	file = filepath.Join(dir, writerkeys.PublicKeyFile)
	made(t, dir)
	if k := read(t, dir, bus.Notifier); k.Deployment.BeganAt != 0 || k.Deployment.Keyring().Required() {
		t.Errorf("where events were stored before: %d", k.Deployment.BeganAt)
	}
	must(t, writerkeys.Pin(file, 7))
	must(t, writerkeys.Pin(file, 7))
	d, err := writerkeys.ReadDeployment(file)
	must(t, err)
	if d.BeganAt != 7 || d.Origin != origin {
		t.Errorf("%+v", d)
	}
	for _, wrong := range []string{"began_at", "began_at x", "began_at 0", "began_at -1", "began_at 7\nbegan_at 7", "7"} {
		must(t, os.WriteFile(file, []byte(d.Key+"\n"+wrong+"\n"), 0o600))
		if d, err := writerkeys.ReadDeployment(file); err == nil {
			t.Errorf("%q: %+v", wrong, d)
		}
	}
}
