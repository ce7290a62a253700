package devca_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/devca"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bus")
	made, err := devca.Create(dir, []string{"bus.example.org", "192.0.2.1"}, now)
	must(t, err)
	all := []string{bus.CAFile, devca.KeyFile, bus.CertificateFile, bus.CertificateKey}
	slices.Sort(made)
	slices.Sort(all)
	if d := cmp.Diff(all, made); d != "" {
		t.Error(d)
	}
	for name, want := range map[string]os.FileMode{
		devca.KeyFile: 0o600, bus.CertificateKey: 0o600, bus.CAFile: 0o644, bus.CertificateFile: 0o644,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("the mode of %s is %v", name, info.Mode())
		}
	}
	authorities := x509.NewCertPool()
	authorities.AddCert(certificate(t, dir, bus.CAFile))
	server := certificate(t, dir, bus.CertificateFile)
	verify := func(host string, at time.Time, use x509.ExtKeyUsage) error {
		_, err := server.Verify(x509.VerifyOptions{DNSName: host, Roots: authorities, CurrentTime: at,
			KeyUsages: []x509.ExtKeyUsage{use}})
		return err
	}
	year := 365 * 24 * time.Hour
	for _, host := range append(devca.Local(), "bus.example.org", "192.0.2.1") {
		for _, at := range []time.Time{now, now.Add(-time.Hour), now.Add(year)} {
			for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
				must(t, verify(host, at, use))
			}
		}
	}
	for host, at := range map[string]time.Time{"other.example.org": now, "localhost": now.Add(year + time.Second)} {
		if verify(host, at, x509.ExtKeyUsageServerAuth) == nil {
			t.Errorf("it is good for %s on %v", host, at)
		}
	}
}

func TestNothingIsReplaced(t *testing.T) {
	dir := t.TempDir()
	_, err := devca.Create(dir, nil, now)
	must(t, err)
	authority, first := certificate(t, dir, bus.CAFile), certificate(t, dir, bus.CertificateFile)
	made, err := devca.Create(dir, []string{"other"}, now)
	if err != nil || len(made) > 0 || !certificate(t, dir, bus.CertificateFile).Equal(first) {
		t.Errorf("made again: %v, %v", made, err)
	}

	must(t, os.Remove(filepath.Join(dir, bus.CertificateFile)))
	if _, err := devca.Create(dir, nil, now); err == nil {
		t.Error("a key without its certificate is accepted")
	}
	must(t, os.Remove(filepath.Join(dir, bus.CertificateKey)))
	if _, err = devca.Create(dir, nil, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	renewed := certificate(t, dir, bus.CertificateFile)
	if renewed.Equal(first) || renewed.CheckSignatureFrom(authority) != nil ||
		!certificate(t, dir, bus.CAFile).Equal(authority) {
		t.Error("the certificate was not renewed by the same authority")
	}

	other := t.TempDir()
	_, err = devca.Create(other, nil, now)
	must(t, err)
	for _, name := range []string{bus.CertificateFile, bus.CertificateKey, devca.KeyFile} {
		must(t, os.Remove(filepath.Join(dir, name)))
	}
	must(t, os.Rename(filepath.Join(other, devca.KeyFile), filepath.Join(dir, devca.KeyFile)))
	if _, err := devca.Create(dir, nil, now); err == nil {
		t.Error("another authority's key is accepted")
	}
}

func certificate(t *testing.T, dir, name string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	block, _ := pem.Decode(data)
	c, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
