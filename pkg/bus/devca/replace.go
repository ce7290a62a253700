package devca

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/durable"
)

// A new authority waits in these files until the servers' certificate is its own.
const (
	nextCA  = "ca.next.crt"
	nextKey = "ca.next.key"
)

// Renew replaces the servers' certificate and its key. Without hosts, it has the names of the one before.
func Renew(dir string, hosts []string, now time.Time) error {
	if len(hosts) == 0 {
		before, err := certificates(filepath.Join(dir, bus.CertificateFile))
		if err != nil {
			return err
		}
		hosts = before[0].DNSNames
		for _, ip := range before[0].IPAddresses {
			hosts = append(hosts, ip.String())
		}
	}
	hosts = append(Local(), slices.DeleteFunc(slices.Clone(hosts),
		func(host string) bool { return slices.Contains(Local(), host) })...)
	// The key comes first: a server that meets it beside the certificate of before goes on with what it has.
	return (&directory{dir: dir, now: now, put: durable.Replace}).server(hosts)
}

// Step says how far the replacement of an authority has come.
type Step int

// The steps, in their order. Everybody needs to have the files of one before the next is taken.
const (
	// None: nothing is being replaced.
	None Step = iota
	// Trusted: the new authority is trusted, beside the old one, which has still signed the servers' certificate.
	Trusted
	// Switched: the servers' certificate is of the new authority; the old one is still trusted.
	Switched
)

// Replacing returns how far the replacement of the directory's authority has come.
func Replacing(dir string) (Step, error) {
	if _, err := os.Stat(filepath.Join(dir, nextKey)); err == nil {
		return Trusted, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return None, err
	}
	trusted, err := certificates(filepath.Join(dir, bus.CAFile))
	if err != nil {
		return None, err
	}
	if len(trusted) > 1 {
		return Switched, nil
	}
	return None, nil
}

// Replace takes the next step of replacing the authority, and returns what has been reached; after Switched there is
// none, until Finish.
func Replace(dir string, now time.Time) (Step, error) {
	step, err := Replacing(dir)
	if err != nil {
		return step, err
	}
	switch step {
	case None:
		// It needs the old key once more: whoever lost it begins anew, with an authority that nobody trusts yet.
		d := directory{dir: dir, now: now, put: durable.Replace}
		if _, _, err := d.load(); err != nil {
			return step, err
		}
		if err := d.authority(nextCA, nextKey); err != nil {
			return step, err
		}
		return Trusted, trust(dir, bus.CAFile, nextCA)
	case Trusted:
		// Taken again after it was interrupted, it comes to the same.
		if err := trust(dir, nextCA, bus.CAFile); err != nil {
			return step, err
		}
		key, err := os.ReadFile(filepath.Join(dir, nextKey)) // #nosec G304 -- the operator names the directory
		if err != nil {
			return step, err
		}
		if err := durable.Replace(filepath.Join(dir, KeyFile), key, 0o600); err != nil {
			return step, err
		}
		if err := Renew(dir, nil, now); err != nil {
			return step, err
		}
		return Switched, errors.Join(os.Remove(filepath.Join(dir, nextCA)), os.Remove(filepath.Join(dir, nextKey)))
	case Switched:
	}
	return step, nil
}

// Finish ends the trust in the authority that was replaced.
func Finish(dir string) error {
	step, err := Replacing(dir)
	if err != nil {
		return err
	}
	if step != Switched {
		return errors.New("no authority has been replaced: there is none to remove")
	}
	trusted, err := certificates(filepath.Join(dir, bus.CAFile))
	if err != nil {
		return err
	}
	shown, err := certificates(filepath.Join(dir, bus.CertificateFile))
	if err == nil {
		// Several authorities of the operator's own are not being replaced.
		err = shown[0].CheckSignatureFrom(trusted[0])
	}
	if err != nil {
		return fmt.Errorf("%s is not of the first authority in %s: %w", bus.CertificateFile, bus.CAFile, err)
	}
	return writeTrusted(dir, trusted[:1])
}

// trust makes the certificates of two files the ones that are trusted, in this order.
func trust(dir string, files ...string) error {
	var all []*x509.Certificate
	for _, file := range files {
		found, err := certificates(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		for _, c := range found {
			if !slices.ContainsFunc(all, c.Equal) {
				all = append(all, c)
			}
		}
	}
	return writeTrusted(dir, all)
}

func writeTrusted(dir string, all []*x509.Certificate) error {
	var text bytes.Buffer
	for _, c := range all {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return err
		}
	}
	return durable.Replace(filepath.Join(dir, bus.CAFile), text.Bytes(), 0o644)
}

// certificates reads a file of at least one.
func certificates(file string) (all []*x509.Certificate, err error) {
	data, err := os.ReadFile(file) // #nosec G304 -- the operator names the directory
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return all, nil
}
