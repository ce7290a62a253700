package signin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
)

// DefaultProfile is the profile used if none is named.
const DefaultProfile = "default"

const fileSuffix = ".json"

var profileName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// CheckProfile rejects (INVALID) names that are not safe as file names.
func CheckProfile(name string) error {
	if !profileName.MatchString(name) {
		return refusal.Invalid("profile", rule, "must be 1 to 40 of a-z, 0-9 and hyphens, and must not begin with one")
	}
	return nil
}

// Saved is a stored sign-in.
type Saved struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	// CAFile holds the certificate authorities accepted for the issuer's server, an absolute path; empty: the system's.
	CAFile string `json:"ca_file,omitempty"`
	Token  string `json:"token"`
	// Refresh gets another token when this one has expired; empty if the issuer gave none.
	Refresh string `json:"refresh_token,omitempty"`
}

// Store is a directory of sign-ins, one file per profile, readable only by their owner.
type Store struct{ Dir string }

// DefaultStore returns the default directory: $XDG_STATE_HOME/lockbox/tokens, or ~/.local/state/lockbox/tokens. The
// environment is read through env.
func DefaultStore(env func(string) string) (Store, error) {
	if base := env("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return Store{filepath.Join(base, "lockbox", "tokens")}, nil
	}
	if home := env("HOME"); home != "" {
		return Store{filepath.Join(home, ".local", "state", "lockbox", "tokens")}, nil
	}
	return Store{}, errors.New("no home directory is known; name a directory for your sign-in with XDG_STATE_HOME")
}

// Path returns a profile's file.
func (s Store) Path(profile string) string { return filepath.Join(s.Dir, profile+fileSuffix) }

// Save atomically stores a sign-in, replacing an earlier one.
func (s Store) Save(profile string, v Saved) error {
	if err := CheckProfile(profile); err != nil {
		return err
	}
	data, err := json.MarshalIndent(v, "", "  ") // #nosec G117 -- kept for its owner alone
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of your sign-ins: %w", err)
	}
	if err := os.Chmod(s.Dir, 0o700); err != nil { // #nosec G302 -- a directory
		return fmt.Errorf("keeping the directory of your sign-ins to yourself: %w", err)
	}
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return fmt.Errorf("opening the directory of your sign-ins: %w", err)
	}
	defer root.Close()
	draft := ".draft-" + rand.Text()
	if err = root.WriteFile(draft, append(data, '\n'), 0o600); err == nil {
		err = root.Rename(draft, profile+fileSuffix)
	}
	if err != nil {
		return fmt.Errorf("keeping your sign-in: %w", errors.Join(err, root.RemoveAll(draft)))
	}
	return nil
}

// Load reads a sign-in. If there is none, the error is fs.ErrNotExist. A file that others can read is refused
// (UNAUTHENTICATED), because they could sign in as its owner.
func (s Store) Load(profile string) (Saved, error) {
	if err := CheckProfile(profile); err != nil {
		return Saved{}, err
	}
	path := s.Path(profile)
	info, err := os.Stat(path)
	if err != nil {
		return Saved{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Saved{}, refusal.Unauthenticated("token", rule,
			"%s can be read by others (mode %v); remove it, and sign in again", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path) // #nosec G304 -- in the user's own directory, under a checked name
	if err != nil {
		return Saved{}, err
	}
	var v Saved
	if err := json.Unmarshal(data, &v); err != nil || v.Token == "" {
		return Saved{}, refusal.Unauthenticated("token", rule, "%s is not a sign-in", path)
	}
	return v, nil
}

// Remove deletes a sign-in; it returns false if there was none.
func (s Store) Remove(profile string) (bool, error) {
	if err := CheckProfile(profile); err != nil {
		return false, err
	}
	err := os.Remove(s.Path(profile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Profiles lists the profiles that have a sign-in.
func (s Store) Profiles() []string {
	files, err := filepath.Glob(filepath.Join(s.Dir, "*"+fileSuffix))
	if err != nil {
		return nil
	}
	var names []string
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), fileSuffix); CheckProfile(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// Profile is the TokenSource of a stored sign-in.
type Profile struct {
	Store
	Name string
	Now  func() time.Time
}

// renewed is how long before its end a token is renewed.
const renewed = 30 * time.Second

// Token reads the token, and renews it in silence when it expires, if the issuer gave the means. It returns
// UNAUTHENTICATED if there is none or if it has expired: that is only an early and clearer error, since the services
// check the token themselves.
func (p Profile) Token(ctx context.Context) (string, error) {
	v, err := p.Load(p.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", refusal.Unauthenticated("token", rule, "nobody is signed in under the profile %s", p.Name)
	}
	if err != nil {
		return "", err
	}
	c, err := client.ReadClaims(v.Token)
	if err != nil {
		return "", err
	}
	over := !c.ExpiresAt.IsZero() && !p.Now().Before(c.ExpiresAt)
	if v.Refresh != "" && !c.ExpiresAt.IsZero() && !p.Now().Before(c.ExpiresAt.Add(-renewed)) {
		token, err := p.renew(ctx, v, c)
		if err == nil || over && refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
			return token, err
		}
	}
	if over {
		who := c.Name
		if who == "" {
			who = c.Subject
		}
		return "", refusal.Unauthenticated("token", rule, "you were signed in as %s until %s; sign in again", who,
			c.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return v.Token, nil
}

// renew replaces the kept token. Another process may have been faster: then what it kept is as good.
func (p Profile) renew(ctx context.Context, v Saved, c client.Claims) (string, error) {
	roots, err := jwks.Roots(v.CAFile)
	if err != nil {
		return "", refusal.Unavailable("ca_file", rule, "the issuer's authorities: %v", err)
	}
	who, err := Client{Issuer: v.Issuer, ID: v.ClientID, RootCAs: roots, Now: p.Now}.Renew(ctx,
		oidcclient.Person{Subject: c.Subject, Authenticated: c.AuthenticatedAt, Refresh: v.Refresh})
	if err != nil {
		if other, again := p.Load(p.Name); again == nil && other.Token != v.Token {
			return other.Token, nil
		}
		return "", err
	}
	v.Token = who.Token
	if who.Refresh != "" {
		v.Refresh = who.Refresh
	}
	return v.Token, p.Save(p.Name, v)
}
