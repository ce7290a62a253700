package verifier

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
)

// Trust selects whose signatures are trusted: those named in a policy, or the log's key alone.
type Trust struct {
	// Policy is a file that names the log's key, its witnesses, and how many of them must have signed.
	Policy string
	// Key is the log's public key, or a file that holds it, with former ones on further lines; no cosignatures are then
	// required.
	Key string
	// Writers is a file with the verifier key of the deployment that certifies writers' keys: each event that a receipt
	// shows must then be signed by its writer. If it is empty, nobody checks who wrote what.
	Writers string
}

// receipts returns what receipts are verified with, and a description of its source.
func (t Trust) receipts() (trust merkle.Trust, from string, err error) {
	if trust.Policy, from, err = t.Read(); err != nil || t.Writers == "" {
		return trust, from, err
	}
	key, err := os.ReadFile(t.Writers)
	if err != nil {
		return trust, "", err
	}
	pinned, err := signed.Pin(string(key))
	if err != nil {
		return trust, "", usage("%s: %v", t.Writers, err)
	}
	trust.Writers = pinned
	return trust, from + ", and the writers’ key in " + t.Writers, nil
}

// Read returns the policy and a description of its source.
func (t Trust) Read() (p *merkle.Policy, from string, err error) {
	switch {
	case t.Policy != "" && t.Key != "":
		return nil, "", usage("--policy names the log's key already; leave out --log-key")
	case t.Policy != "":
		text, err := os.ReadFile(t.Policy)
		if err != nil {
			return nil, "", err
		}
		p, err := merkle.ParsePolicy(text)
		return p, "the policy in " + t.Policy, err
	case t.Key == "":
		return nil, "", usage("say whose signature you trust: --policy FILE or --log-key KEY (LOCKBOX_LOG_KEY)")
	}
	key := t.Key
	text, err := os.ReadFile(key) // #nosec G304 -- the user names it
	if err == nil {
		key = strings.TrimSpace(string(text))
	} else if !errors.Is(err, fs.ErrNotExist) && !strings.Contains(key, "+") {
		return nil, "", err
	}
	p, err = merkle.KeysAlone(key)
	if err != nil {
		return nil, "", usage("%q is neither a file nor a log's public key, which looks like name+1a2b3c4d+AY…", key)
	}
	return p, "the log's key as you gave it", nil
}
