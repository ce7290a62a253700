// Package runinfo reads and writes the file that a running Lockbox leaves in its data directory so that the command
// line on the same machine finds the bus, the keys and the mailbox. The file holds paths of secrets, but no secret.
package runinfo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/openlockbox/lockbox/pkg/durable"
)

const name = "run.json"

// Info describes how to reach a running Lockbox.
type Info struct {
	// NATSURL is the URL of the bus, such as nats://127.0.0.1:4222.
	NATSURL string `json:"nats_url"`
	// KeysDir holds the nkey seed of each identity, <identity>.nk.
	KeysDir string `json:"keys_dir"`
	// CAFile is the authority that signed the bus's certificate; empty: it has none, or the system knows it.
	CAFile string `json:"ca_file,omitempty"`
	// MailboxDir and MailboxURL are the development mailbox; empty when a real mail server is configured.
	MailboxDir string `json:"mailbox_dir,omitempty"`
	MailboxURL string `json:"mailbox_url,omitempty"`
	// PortalURL is the portal's URL; empty: there is no portal.
	PortalURL string `json:"portal_url,omitempty"`
	// LogURL is the URL of the Merkle log; empty: it is not served. LogKey is the file with its public key.
	LogURL string `json:"log_url,omitempty"`
	LogKey string `json:"log_key,omitempty"`
	// WritersKey is the file with the public key that certifies writers.
	WritersKey string `json:"writers_key,omitempty"`
	// Demo is nil unless the demo is running.
	Demo *Demo `json:"demo,omitempty"`
}

// Demo describes how to get tokens for the demo's personas: from the running demo issuer, or from its directory.
type Demo struct {
	// Dir is the demo issuer's directory, if this process may read it; empty: use the running issuer.
	Dir string `json:"dir,omitempty"`
	// IssuerURL is the demo issuer's loopback URL.
	IssuerURL string `json:"issuer_url"`
	// SecretFile holds the bearer secret that the issuer requires.
	SecretFile string `json:"secret_file,omitempty"`
	// Shape is the kind of identity provider whose tokens it writes; empty: the plain one.
	Shape string `json:"shape,omitempty"`
}

// DemoIn returns the demo whose issuer's directory is dir, for an issuer that is not running.
func DemoIn(dir string) (*Demo, error) {
	url, err := os.ReadFile(filepath.Join(dir, "url")) // #nosec G304 -- the user names the directory
	if err != nil {
		return nil, fmt.Errorf("%s is not the directory of a demo issuer: %w", dir, err)
	}
	d := &Demo{Dir: dir, IssuerURL: strings.TrimSpace(string(url))}
	if shape, err := os.ReadFile(filepath.Join(dir, "shape")); err == nil { // #nosec G304 -- as above
		d.Shape = strings.TrimSpace(string(shape))
	}
	return d, nil
}

// DefaultDir returns the default data directory: $XDG_DATA_HOME/lockbox, or ~/.local/share/lockbox. The environment is
// read through env.
func DefaultDir(env func(string) string) (string, error) {
	if base := env("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "lockbox"), nil
	}
	if home := env("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "lockbox"), nil
	}
	return "", errors.New("no home directory is known; name a data directory with --data or LOCKBOX_DATA")
}

// Read reads the file in dir. If it does not exist, the error is fs.ErrNotExist: no Lockbox runs there.
func Read(dir string) (Info, error) {
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path) // #nosec G304 -- the user names the directory
	if err != nil {
		return Info{}, err
	}
	var info Info
	if err := json.Unmarshal(data, &info); err != nil {
		return Info{}, fmt.Errorf("%s: %w", path, err)
	}
	if info.NATSURL == "" || info.KeysDir == "" {
		return Info{}, fmt.Errorf("%s: nats_url and keys_dir are needed", path)
	}
	return info, nil
}

// Write atomically writes the file in dir, readable only by its owner.
func Write(dir string, info Info) error {
	data, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(dir, name), append(data, '\n'), 0o600)
}

// Remove removes the file; it is not an error if there is none.
func Remove(dir string) error {
	if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
