// Package writerkeys keeps the keys with which writers sign events (pkg/merkle/FORMATS.md, "Writers' keys"), in files.
//
//	writers.key              the deployment's key, which certifies the others: offline, and needed for nothing else
//	writers.vkey             its public key, and since when events are signed, which whoever verifies pins
//	<identity>.writer        the key with which a writer, or one copy of it, signs, and its certificate
//	<identity>.certificate   the certificate alone, for the orchestrator, which records it
//
// None of them has anything to do with the keys of the bus: with a key of the bus one can store what no writer signed,
// and that is noticed.
package writerkeys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/signed"
	"golang.org/x/mod/sumdb/note"
)

// The files in a directory of keys. Those of one identity are named after it.
const (
	DeploymentKeyFile = "writers.key"
	PublicKeyFile     = "writers.vkey"

	keySuffix         = ".writer"
	certificateSuffix = ".certificate"
	prefix            = "lbwk1_"
)

const (
	// Lifetime is how long a certificate is valid.
	Lifetime = 400 * 24 * time.Hour
	// RenewBefore is how long before its end a certificate is renewed by whoever has the deployment's key at hand.
	RenewBefore = 60 * 24 * time.Hour
	// early is how long before it is made a certificate begins: this machine's clock may have been ahead.
	early = 24 * time.Hour
)

// KeyFile is the name of the file of an identity's key.
func KeyFile(id bus.Identity) string { return string(id) + keySuffix }

// CertificateFile is the name of the file of an identity's certificate.
func CertificateFile(id bus.Identity) string { return string(id) + certificateSuffix }

// Writers returns those of the identities that write events, with the repairer, whose key nobody hands out.
func Writers(ids []bus.Identity) []bus.Identity {
	all := []bus.Identity{bus.Repairer}
	for _, id := range ids {
		if id.Of() != bus.Repairer && isWriter(id.Of()) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

func isWriter(id bus.Identity) bool {
	return slices.ContainsFunc(aggregate.Facts(), func(f aggregate.Fact) bool { return string(f.Writer) == string(id) })
}

// Keys are what one writer needs.
type Keys struct {
	Signer      *signed.Signer
	Certificate signed.Certificate
	// Deployment is pinned.
	Deployment *signed.Pinned

	certificate []byte
}

// Certificates returns this writer's own certificate, and then the others in a directory.
func (k Keys) Certificates(dir string) ([]string, error) {
	all, err := Certificates(dir)
	texts := []string{string(k.certificate)}
	for _, text := range all {
		if !bytes.Equal(text, k.certificate) {
			texts = append(texts, string(text))
		}
	}
	return texts, err
}

// In reads the keys of one identity in a directory of keys.
func In(dir string, id bus.Identity) (Keys, error) {
	return Read(filepath.Join(dir, KeyFile(id)), filepath.Join(dir, PublicKeyFile), id)
}

// Read reads the key of a writer and the deployment's public key, and checks that they belong together.
func Read(file, deployment string, id bus.Identity) (k Keys, err error) {
	if k.Deployment, err = ReadDeployment(deployment); err != nil {
		return Keys{}, err
	}
	text, err := config.SecretFile(file).Read()
	if err != nil {
		return Keys{}, err
	}
	line, certificate, _ := strings.Cut(text, "\n")
	key, err := parseKey(line)
	if err == nil {
		k.certificate = []byte(certificate + "\n")
		k.Certificate, err = signed.OpenCertificate(k.certificate, k.Deployment)
	}
	if err != nil {
		return Keys{}, fmt.Errorf("%s: %w", file, err)
	}
	switch {
	case !k.Certificate.Key.Equal(key.Public()):
		return Keys{}, fmt.Errorf("%s: the certificate is of another key", file)
	case k.Certificate.Identity != string(id.Of()):
		return Keys{}, fmt.Errorf("%s: the certificate is that of %s", file, k.Certificate.Identity)
	}
	k.Signer, err = signed.NewSigner(k.Deployment.Origin, key, aggregate.Writer(k.Certificate.Identity))
	return k, err
}

// ReadDeployment reads what is pinned of a deployment.
func ReadDeployment(file string) (*signed.Pinned, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, err
	}
	d, err := signed.Pin(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return d, nil
}

// Pin writes into the file of a deployment's public key from which sequence on every event is signed. It fails if the
// file says something else.
func Pin(file string, began uint64) error {
	d, err := ReadDeployment(file)
	switch {
	case err != nil || d.BeganAt == began:
		return err
	case d.BeganAt != 0:
		return fmt.Errorf("%s: signing began with event %d, not %d", file, d.BeganAt, began)
	}
	d.BeganAt = began
	return durable.Replace(file, []byte(d.Text()), 0o644)
}

// Certificates reads all certificates in a directory, in the order of their files' names.
func Certificates(dir string) ([][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+certificateSuffix))
	if err != nil {
		return nil, err
	}
	all := make([][]byte, len(paths))
	for i, path := range paths {
		if all[i], err = os.ReadFile(path); err != nil { // #nosec G304 -- the operator names the directory
			return nil, err
		}
	}
	return all, nil
}

// A Maker makes keys and certificates in a directory.
type Maker struct {
	Dir string
	// Origin is the name of the deployment's log.
	Origin string
	Now    time.Time
}

// Begin makes the deployment's key for a bus on which nothing was stored yet, and pins that each event on it is signed.
func (m Maker) Begin() error {
	if _, err := m.deployment(); err != nil {
		return err
	}
	return Pin(filepath.Join(m.Dir, PublicKeyFile), 1)
}

// Make makes what the writers among the identities lack, and new keys for those whose certificates end within
// RenewBefore; it returns whose. Where the deployment's key is kept elsewhere and something is lacking, it fails;
// certificates that only end soon are left alone then.
func (m Maker) Make(ids []bus.Identity) (made []bus.Identity, err error) {
	deployment, err := m.deployment()
	if err != nil {
		return nil, err
	}
	for _, id := range Writers(ids) {
		k, err := In(m.Dir, id)
		switch {
		case err == nil && m.Now.Before(k.Certificate.Until.Add(-RenewBefore)),
			err == nil && deployment == nil && m.Now.Before(k.Certificate.Until):
			if err := m.copyOf(id, k.certificate); err != nil {
				return made, err
			}
			continue
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return made, err
		case deployment == nil:
			return made, fmt.Errorf("%s lacks a certificate, and %s is not here: put it there for as long as this takes", id,
				filepath.Join(m.Dir, DeploymentKeyFile))
		}
		if err := m.certify(id, deployment); err != nil {
			return made, err
		}
		made = append(made, id)
	}
	return made, nil
}

// Rotate makes a new key and certificate for one identity.
func (m Maker) Rotate(id bus.Identity) error {
	if !slices.Contains(Writers([]bus.Identity{id}), id) {
		return fmt.Errorf("%s writes no events", id)
	}
	deployment, err := m.deployment()
	if err == nil && deployment == nil {
		err = fmt.Errorf("%s is not here: put it there for as long as this takes", filepath.Join(m.Dir, DeploymentKeyFile))
	}
	if err != nil {
		return err
	}
	return m.certify(id, deployment)
}

// certify makes a key and its certificate, which become durable in one step.
func (m Maker) certify(id bus.Identity, deployment note.Signer) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	certificate, err := signed.Certificate{Origin: m.Origin, Identity: string(id.Of()), Key: public,
		From: m.Now.Add(-early).UTC().Truncate(time.Second), Until: m.Now.Add(Lifetime).UTC().Truncate(time.Second),
	}.Issue(deployment)
	if err != nil {
		return err
	}
	line := prefix + base64.RawURLEncoding.EncodeToString(private.Seed()) + "\n"
	if err := durable.Replace(filepath.Join(m.Dir, KeyFile(id)), append([]byte(line), certificate...), 0o600); err != nil {
		return err
	}
	return m.copyOf(id, certificate)
}

// copyOf writes the certificate alone, unless it is there.
func (m Maker) copyOf(id bus.Identity, certificate []byte) error {
	path := filepath.Join(m.Dir, CertificateFile(id))
	there, err := os.ReadFile(path) // #nosec G304 -- the operator names the directory
	if err == nil && bytes.Equal(there, certificate) {
		return nil
	}
	return durable.Replace(path, certificate, 0o644)
}

// deployment returns the deployment's key, which it makes if there is no public key either; nil if it is kept
// elsewhere.
func (m Maker) deployment() (note.Signer, error) {
	key, public := filepath.Join(m.Dir, DeploymentKeyFile), filepath.Join(m.Dir, PublicKeyFile)
	text, err := config.SecretFile(key).Read()
	if errors.Is(err, fs.ErrNotExist) {
		switch _, pinned := os.Lstat(public); {
		case pinned == nil:
			return nil, nil //nolint:nilnil // it is kept elsewhere
		case !errors.Is(pinned, fs.ErrNotExist):
			return nil, pinned
		}
		if text, _, err = note.GenerateKey(rand.Reader, signed.DeploymentName(m.Origin)); err == nil {
			err = durable.Create(key, []byte(text+"\n"), 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if signer.Name() != signed.DeploymentName(m.Origin) {
		return nil, fmt.Errorf("%s is the key of %q; the log is called %q", key, signer.Name(), m.Origin)
	}
	return signer, m.publish(public, strings.TrimSpace(text))
}

// publish writes the public key beside the private one, unless it is there.
func (m Maker) publish(path, private string) error {
	verifier, err := signed.VerifierKey(private)
	if err != nil {
		return err
	}
	text := []byte(verifier + "\n")
	err = durable.Create(path, text, 0o644)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := ReadDeployment(path)
	if err == nil && there.Key != verifier {
		err = fmt.Errorf("%s is of another key than %s", path, filepath.Join(m.Dir, DeploymentKeyFile))
	}
	return err
}

func parseKey(text string) (ed25519.PrivateKey, error) {
	encoded, is := strings.CutPrefix(text, prefix)
	seed, err := base64.RawURLEncoding.DecodeString(encoded)
	if !is || err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("not the key of a writer, which begins with " + prefix)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
