// Package devca makes the certificates of a bus whose operator has no certificate authority: one of its own, and a
// certificate for the servers, which they also show to each other. Clients have no certificates, but nkeys.
package devca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/durable"
)

// KeyFile is the authority's key. The servers do not need it.
const KeyFile = "ca.key"

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	serverLife    = 365 * 24 * time.Hour
	// clockSkew is how far another machine's clock may be behind.
	clockSkew = time.Hour
)

// Local are the names by which a server is reached on its own machine. Its certificate always has them.
func Local() []string { return []string{"localhost", "127.0.0.1", "::1"} }

// Create makes what is missing in a directory: an authority (KeyFile, bus.CAFile) and a server's certificate
// (bus.CertificateFile, bus.CertificateKey) for the given hosts, names or addresses, and for Local. It replaces
// nothing, and returns the names of the files that it made. See Renew and Replace for what runs out.
func Create(dir string, hosts []string, now time.Time) (made []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := directory{dir: dir, now: now, put: durable.Create}
	missing, err := d.missing(bus.CertificateFile, bus.CertificateKey)
	if err != nil || !missing {
		return nil, err
	}
	missing, err = d.missing(bus.CAFile, KeyFile)
	if err != nil {
		return nil, err
	}
	if missing {
		if err := d.authority(bus.CAFile, KeyFile); err != nil {
			return nil, err
		}
	}
	err = d.server(append(Local(), hosts...))
	return d.made, err
}

type directory struct {
	dir  string
	now  time.Time
	put  func(path string, data []byte, mode fs.FileMode) error
	made []string
}

// missing reports whether neither of two files exists; one without the other is an error.
func (d *directory) missing(files ...string) (bool, error) {
	there := slices.DeleteFunc(slices.Clone(files), func(name string) bool {
		_, err := os.Stat(filepath.Join(d.dir, name))
		return errors.Is(err, fs.ErrNotExist)
	})
	if len(there) == 1 {
		return false, fmt.Errorf("%s has %s, but not both of %v: restore the other, or remove it", d.dir, there[0], files)
	}
	return len(there) == 0, nil
}

func (d *directory) authority(certificateFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	certificate := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Lockbox bus CA"},
		NotBefore: d.now.Add(-clockSkew), NotAfter: d.now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return d.write(certificateFile, keyFile, certificate, certificate, key, key)
}

func (d *directory) server(hosts []string) error {
	authority, signer, err := d.load()
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	certificate := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Lockbox bus"}, NotBefore: d.now.Add(-clockSkew), NotAfter: d.now.Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature,
		// Between servers, the one that connects shows the same certificate.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			certificate.IPAddresses = append(certificate.IPAddresses, ip)
		} else {
			certificate.DNSNames = append(certificate.DNSNames, host)
		}
	}
	return d.write(bus.CertificateFile, bus.CertificateKey, certificate, authority, key, signer)
}

func (d *directory) load() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	read := func(name string) ([]byte, error) {
		data, err := os.ReadFile(filepath.Join(d.dir, name)) // #nosec G304 -- the operator names the directory
		block, _ := pem.Decode(data)
		if err == nil && block == nil {
			err = fmt.Errorf("%s is not PEM", filepath.Join(d.dir, name))
		}
		if err != nil {
			return nil, err
		}
		return block.Bytes, nil
	}
	der, err := read(bus.CAFile)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	if der, err = read(KeyFile); err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, nil, err
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok || !signer.PublicKey.Equal(certificate.PublicKey) {
		return nil, nil, fmt.Errorf("%s is not the key of %s", filepath.Join(d.dir, KeyFile), bus.CAFile)
	}
	return certificate, signer, nil
}

// write signs a certificate and stores it after its key: whoever finds the certificate finds the key.
func (d *directory) write(
	certificateFile, keyFile string, certificate, parent *x509.Certificate, key, signer *ecdsa.PrivateKey,
) error {
	der, err := x509.CreateCertificate(rand.Reader, certificate, parent, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, kind string
		der        []byte
		mode       fs.FileMode
	}{{keyFile, "PRIVATE KEY", private, 0o600}, {certificateFile, "CERTIFICATE", der, 0o644}} {
		data := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})
		if err := d.put(filepath.Join(d.dir, f.name), data, f.mode); err != nil {
			return err
		}
		d.made = append(d.made, f.name)
	}
	return nil
}
