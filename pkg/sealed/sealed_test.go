package sealed_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/sealed"
)

var about = sealed.About{Purpose: "webhook", Tenant: "meadowbank", ID: "w-1"}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func keys(t *testing.T, dir string) (sealed.Public, sealed.Private) {
	t.Helper()
	public, err := sealed.ReadPublic(filepath.Join(dir, "k.public"))
	must(t, err)
	private, err := sealed.ReadPrivate(config.SecretFile(filepath.Join(dir, "k.key")))
	must(t, err)
	return public, private
}

func seal(t *testing.T, p sealed.Public, plain string) []byte {
	t.Helper()
	text, err := p.Seal(about, []byte(plain))
	must(t, err)
	return text
}

// What is sealed opens for its own purpose, tenant and id only, and only whole.
func TestSealedIsBoundToWhatItIsFor(t *testing.T) {
	dir := t.TempDir()
	must(t, sealed.LoadOrCreate(dir, "k"))
	public, private := keys(t, dir)
	text := seal(t, public, "https://hooks.example/secret")
	if plain, err := private.Open(about, text); err != nil || string(plain) != "https://hooks.example/secret" {
		t.Fatalf("%q, %v", plain, err)
	}
	if bytes.Contains(text, []byte("hooks.example")) ||
		bytes.Equal(text, seal(t, public, "https://hooks.example/secret")) {
		t.Error("it can be read, or recognised, without the key")
	}
	for name, other := range map[string]sealed.About{
		"another tenant":       {"webhook", "sakura", "w-1"},
		"another webhook":      {"webhook", "meadowbank", "w-2"},
		"another purpose":      {"mail", "meadowbank", "w-1"},
		"a border moved":       {"webhook", "meadowban", "k\x00w-1"},
		"a border moved right": {"webhook", "meadowbank\x00w", "-1"},
	} {
		if _, err := private.Open(other, text); !errors.Is(err, sealed.ErrNoKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range text {
		broken := bytes.Clone(text)
		broken[i] ^= 1
		if _, err := private.Open(about, broken); !errors.Is(err, sealed.ErrNoKey) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for _, broken := range [][]byte{nil, {}, {1}, text[:len(text)-1], append(bytes.Clone(text), 0)} {
		if _, err := private.Open(about, broken); !errors.Is(err, sealed.ErrNoKey) {
			t.Errorf("%d bytes: %v", len(broken), err)
		}
	}
}

// A new key is added before the former ones, which open what was sealed to them; a key that is taken out opens nothing.
func TestAKeyIsReplacedWithoutLosingAnything(t *testing.T) {
	dir := t.TempDir()
	must(t, sealed.LoadOrCreate(dir, "k"))
	first, before := keys(t, dir)
	old := seal(t, first, "old")
	must(t, sealed.LoadOrCreate(dir, "k")) // changes nothing
	again, _ := keys(t, dir)
	if _, err := before.Open(about, seal(t, again, "again")); err != nil {
		t.Fatalf("a key that was there was replaced: %v", err)
	}
	must(t, sealed.Rotate(dir, "k"))
	second, both := keys(t, dir)
	recent := seal(t, second, "new")
	for want, text := range map[string][]byte{"old": old, "new": recent} {
		if plain, err := both.Open(about, text); err != nil || string(plain) != want {
			t.Errorf("%s: %q, %v", want, plain, err)
		}
	}
	if _, err := before.Open(about, recent); !errors.Is(err, sealed.ErrNoKey) {
		t.Errorf("the former key opens what is sealed to the new one: %v", err)
	}
	must(t, os.Remove(filepath.Join(dir, "k.public")))
	must(t, sealed.LoadOrCreate(dir, "k"))
	derived, _ := keys(t, dir)
	if plain, err := both.Open(about, seal(t, derived, "derived")); err != nil || string(plain) != "derived" {
		t.Errorf("%q, %v", plain, err)
	}
}

// Files that are no keys are refused, and what is in them is not said.
func TestAFileThatIsNoKeyIsRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, sealed.LoadOrCreate(dir, "k"))
	secret, err := os.ReadFile(filepath.Join(dir, "k.key"))
	must(t, err)
	public, err := os.ReadFile(filepath.Join(dir, "k.public"))
	must(t, err)
	for name, text := range map[string]string{
		"empty": "", "the other half": string(public), "cut": string(secret[:30]), "a password": "hunter2hunter2",
	} {
		file := filepath.Join(dir, "other")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := sealed.ReadPrivate(config.SecretFile(file))
		if err == nil || text != "" && bytes.Contains([]byte(err.Error()), []byte(text)) {
			t.Errorf("%s as a private key: %v", name, err)
		}
	}
	if _, err := sealed.ReadPublic(filepath.Join(dir, "k.key")); err == nil ||
		bytes.Contains([]byte(err.Error()), secret[6:20]) {
		t.Errorf("a private key as a public one: %v", err)
	}
}
