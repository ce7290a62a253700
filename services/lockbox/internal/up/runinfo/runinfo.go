// Package runinfo is the note that a running Lockbox leaves in its data directory, so that the command line on the same
// machine finds it: where the bus is, where the keys are, where mail goes. It holds no secret, only where secrets lie.
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

// Info says how to reach a running Lockbox.
type Info struct {
	// NATSURL is where clients connect: nats://127.0.0.1:4222.
	NATSURL string `json:"nats_url"`
	// KeysDir holds the nkey seed of each identity, <identity>.nk.
	KeysDir string `json:"keys_dir"`
	// MailboxDir and MailboxURL are where mail can be read; empty when a real mail server is configured.
	MailboxDir string `json:"mailbox_dir,omitempty"`
	MailboxURL string `json:"mailbox_url,omitempty"`
	// PortalURL is where browsers reach the portal; empty: there is none.
	PortalURL string `json:"portal_url,omitempty"`
	// LogURL is where the Merkle log is served; empty: nowhere. LogKey is the file of its public key.
	LogURL string `json:"log_url,omitempty"`
	LogKey string `json:"log_key,omitempty"`
	// Demo is nil unless the demo runs.
	Demo *Demo `json:"demo,omitempty"`
}

// Demo says where the demo's personas get their tokens: from the issuer that is served, or in its own directory.
type Demo struct {
	// Dir is the demo issuer's directory, for whoever may read it; empty: ask the issuer that is served.
	Dir string `json:"dir,omitempty"`
	// IssuerURL is the demo issuer's loopback URL.
	IssuerURL string `json:"issuer_url"`
	// SecretFile holds what it wants to hear before it gives a token.
	SecretFile string `json:"secret_file,omitempty"`
}

// DemoIn is the demo whose issuer has its directory here but is not served.
func DemoIn(dir string) (*Demo, error) {
	url, err := os.ReadFile(filepath.Join(dir, "url")) // #nosec G304 -- the user names the directory
	if err != nil {
		return nil, fmt.Errorf("%s is not the directory of a demo issuer: %w", dir, err)
	}
	return &Demo{Dir: dir, IssuerURL: strings.TrimSpace(string(url))}, nil
}

// DefaultDir is the data directory if nobody names one: $XDG_DATA_HOME/lockbox, or ~/.local/share/lockbox. The
// environment is read through env.
func DefaultDir(env func(string) string) (string, error) {
	if base := env("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "lockbox"), nil
	}
	if home := env("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "lockbox"), nil
	}
	return "", errors.New("no home directory is known; name a data directory with --data or LOCKBOX_DATA")
}

// Read returns the note in dir. Without one the error is fs.ErrNotExist: nothing runs there, or it ended in good order.
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

// Write leaves the note in dir, whole or not at all, readable by its owner only.
func Write(dir string, info Info) error {
	data, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(dir, name), append(data, '\n'), 0o600)
}

// Remove takes the note away; that there is none is not an error.
func Remove(dir string) error {
	if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
