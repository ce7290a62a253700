package bus_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
)

// Each error names identity and file, says why, and is no reason to try again.
func TestAKeyFileThatIsNoneOfOurs(t *testing.T) {
	keys, err := bus.GenerateKeys(console)
	noError(t, err)
	public, err := keys.Public()
	noError(t, err)
	server, err := embedded.Start(t.Context(), bus.ServerOptions{
		StoreDir: t.TempDir(), PublicKeys: public, Host: "127.0.0.1", Port: -1,
	}, nil)
	noError(t, err)
	t.Cleanup(server.Shutdown)
	stranger, err := bus.NewSeed()
	noError(t, err)
	account, err := nkeys.CreateAccount()
	noError(t, err)
	notAUser, err := account.Seed()
	noError(t, err)
	ours := keys[bus.Client]
	for name, c := range map[string]struct {
		seed []byte
		mode fs.FileMode
		says string
		is   error
	}{
		"missing":                {nil, 0, "no such file", fs.ErrNotExist},
		"writable by a group":    {ours, 0o660, "mode 0660): chmod 600", nil},
		"readable by everybody":  {ours, 0o604, "mode 0604): chmod 600", nil},
		"no key":                 {[]byte("SU"), 0o600, "", nil},
		"empty":                  {[]byte{}, 0o600, "", nil},
		"an account's":           {notAUser, 0o600, "not the nkey of a user", nil},
		"a stranger's":           {stranger, 0o600, "does not know it", nats.ErrAuthorization},
		"another identity's":     {keys[bus.Compliance], 0o600, "another identity's", nil},
		"another tool's":         {keys[bus.Tool(console)], 0o600, "another identity's", nil},
		"ours":                   {ours, 0o600, "", nil},
		"ours, for reading only": {ours, 0o400, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "client.nk")
			if c.seed != nil {
				noError(t, os.WriteFile(file, c.seed, 0o600))
				noError(t, os.Chmod(file, c.mode))
			}
			nc, err := bus.Connect(bus.Connection{URL: server.ClientURL(), Identity: bus.Client, SeedFile: file})
			if strings.HasPrefix(name, "ours") {
				noError(t, err)
				nc.Close()
				return
			}
			var key *bus.KeyError
			if !errors.As(err, &key) || key.Identity != bus.Client || key.File != file || !bus.Permanent(err) ||
				!strings.Contains(err.Error(), "client in "+file+": ") || !strings.Contains(err.Error(), c.says) ||
				c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("it says: %v", err)
			}
		})
	}
}

func TestABusThatDoesNotAnswerIsNotAKeyError(t *testing.T) {
	seed, err := bus.NewSeed()
	noError(t, err)
	_, err = bus.Connect(bus.Connection{URL: "nats://127.0.0.1:1", Identity: bus.Client, Seed: seed})
	if err == nil || bus.Permanent(err) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestKeysOfCopies(t *testing.T) {
	dir := t.TempDir()
	copies := []bus.Identity{bus.Client.Copy("laptop"), bus.Projector.Copy("b"), bus.Tool("ticketing").Copy("a")}
	_, err := bus.LoadOrCreateKeys(dir, nil, copies...)
	noError(t, err)
	public, err := bus.ReadPublicKeys(dir)
	noError(t, err)
	for _, id := range slices.Concat(bus.Identities(), copies) {
		if public[id] == "" {
			t.Errorf("%s has no key", id)
		}
	}
	_, err = bus.ServerConfig(bus.ServerOptions{StoreDir: "x", PublicKeys: public})
	noError(t, err)
	for _, id := range []bus.Identity{"", "client", "client@", "client@../x", "client@a.b", "other@a", "@a", "tool-@a",
		bus.Repairer.Copy("a")} {
		if _, err := bus.LoadOrCreateKeys(dir, nil, id); err == nil {
			t.Errorf("%q got a key", id)
		}
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
