package signed

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// MaxCertificate is the size in bytes of the longest certificate that is read.
const MaxCertificate = 2048

const certificateFormat = "lockbox-writer/v1"

// Certificate says which writer signs with a key, and for events of which time.
type Certificate struct {
	// Origin is the name of the deployment, Identity that of the writer on the bus.
	Origin, Identity string
	Key              ed25519.PublicKey
	// From is the first time for which the key counts; at Until it is over. Both are whole seconds.
	From, Until time.Time
}

// DeploymentName is the name of the key that certifies the writers of a deployment.
func DeploymentName(origin string) string { return origin + "/writers" }

// OriginOf returns the name of the deployment whose writers a key certifies; false if it is no such key.
func OriginOf(deployment note.Verifier) (origin string, is bool) {
	return strings.CutSuffix(deployment.Name(), DeploymentName(""))
}

// Issue returns the certificate as a signed note (C2SP signed-note). It fails for a certificate that OpenCertificate
// would refuse, and for a key that is not the deployment's by its name.
func (c Certificate) Issue(deployment note.Signer) ([]byte, error) {
	if err := c.check(deployment.Name()); err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: c.text()}, deployment)
}

// OpenCertificate verifies and reads a certificate of the deployment with this verifier key. Whether it counts at some
// time is for the caller to decide. It fails for a signature of another key, for further signatures, and for any other
// spelling than that of Issue.
func OpenCertificate(certificate []byte, deployment note.Verifier) (Certificate, error) {
	if len(certificate) > MaxCertificate {
		return Certificate{}, fmt.Errorf("a certificate of %d bytes: at most %d are read", len(certificate), MaxCertificate)
	}
	opened, err := note.Open(certificate, note.VerifierList(deployment))
	if err != nil {
		return Certificate{}, fmt.Errorf("the certificate: %w", err)
	}
	c, err := parseCertificate(opened.Text)
	if err != nil {
		return Certificate{}, err
	}
	signatures := len(opened.Sigs) + len(opened.UnverifiedSigs)
	if c.text() != opened.Text || signatures != 1 || bytes.Count(certificate, []byte("\n")) != 8 {
		return Certificate{}, errors.New("the certificate: another spelling, or more than one signature")
	}
	return c, c.check(deployment.Name())
}

// KeyOf returns the id of the key that a certificate names, without verifying it.
func KeyOf(certificate string) (id KeyID, ok bool) {
	text, _, _ := strings.Cut(certificate, "\n\n")
	c, err := parseCertificate(text + "\n")
	if err != nil {
		return id, false
	}
	return IDOf(c.Key), true
}

func (c Certificate) text() string {
	return fmt.Sprintf("%s\n%s\n%s\n%s\n%s\n%s\n", certificateFormat, c.Origin, c.Identity,
		base64.StdEncoding.EncodeToString(c.Key), c.From.UTC().Format(time.RFC3339), c.Until.UTC().Format(time.RFC3339))
}

func parseCertificate(text string) (c Certificate, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 7 || lines[0] != certificateFormat {
		return c, errors.New("the certificate: not the six lines of one")
	}
	c.Origin, c.Identity = lines[1], lines[2]
	if c.Key, err = base64.StdEncoding.DecodeString(lines[3]); err != nil {
		return c, fmt.Errorf("the certificate's key: %w", err)
	}
	if c.From, err = time.Parse(time.RFC3339, lines[4]); err != nil {
		return c, fmt.Errorf("the certificate's beginning: %w", err)
	}
	if c.Until, err = time.Parse(time.RFC3339, lines[5]); err != nil {
		return c, fmt.Errorf("the certificate's end: %w", err)
	}
	return c, nil
}

// check reports what is wrong with a certificate that the key of that name has signed, or is to sign.
func (c Certificate) check(deployment string) error {
	switch {
	case deployment != DeploymentName(c.Origin):
		return fmt.Errorf("the key %q certifies no writers of %q", deployment, c.Origin)
	case !isName(c.Origin) || !isName(c.Identity):
		return fmt.Errorf("the certificate's names: %q and %q: not names of a deployment and a writer", c.Origin,
			c.Identity)
	case len(c.Key) != ed25519.PublicKeySize:
		return errors.New("the certificate's key: not an Ed25519 key")
	case !c.From.Equal(c.From.Truncate(time.Second)) || !c.Until.Equal(c.Until.Truncate(time.Second)):
		return errors.New("the certificate's times: not whole seconds")
	case !c.From.Before(c.Until):
		return errors.New("the certificate's times: it ends before it begins")
	}
	return nil
}

// isName reports whether a name can be a line of a certificate and part of a key's name: 1 to 200 letters, digits and
// -._/: as in a host name with a path.
func isName(s string) bool {
	ok := len(s) >= 1 && len(s) <= 200
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._/:", c) >= 0
	}
	return ok
}
