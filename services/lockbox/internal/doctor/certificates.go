package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
)

const (
	// soonExpired is when a certificate has to be renewed, soonWithout when an authority has to be replaced: everybody
	// needs the new one first.
	soonExpired = 14 * 24 * time.Hour
	soonWithout = 90 * 24 * time.Hour
	// soonUnsigned is when a writer's key has to be replaced: its new certificate must be on record first.
	soonUnsigned = 30 * 24 * time.Hour
)

// lasts says how long a certificate is still good.
func (e *exam) lasts(what, cure string, c *x509.Certificate) render.Finding {
	now, soon := e.Now(), soonExpired
	if c.IsCA {
		soon = soonWithout
	}
	switch left := c.NotAfter.Sub(now); {
	case now.Before(c.NotBefore):
		return failed("look at this machine's clock; or "+cure, "%s is not good before %s", what,
			c.NotBefore.Format(time.DateOnly))
	case left <= 0:
		return failed(cure, "%s expired %s ago, on %s", what, span(left), c.NotAfter.Format(time.DateOnly))
	case left < soon:
		return mind(cure, "%s expires in %s, on %s", what, span(left), c.NotAfter.Format(time.DateOnly))
	default:
		return well("%s is good for %s yet", what, span(left))
	}
}

// renewal is the cure for a certificate of the bus that lies in a directory.
func renewal(dir string) string {
	return fmt.Sprintf("remove %s and %s, put ca.key back, and `lockbox bus init --dir %s`; or put your own there",
		bus.CertificateFile, bus.CertificateKey, dir)
}

func (e *exam) busCertificates(context.Context) (found []render.Finding) {
	var authorities []string
	if path := filepath.Join(e.Keys, bus.CAFile); e.Keys != "" && exists(path) {
		authorities = append(authorities, path)
	}
	for _, path := range append(caOf(e.Services), e.CA) {
		if path != "" && exists(path) && !slices.Contains(authorities, path) {
			authorities = append(authorities, path)
		}
	}
	roots := x509.NewCertPool()
	for _, path := range authorities {
		list, err := readCertificates(path)
		if err != nil {
			found = append(found, failed("put the authority's certificate there, as PEM", "%s: %v", path, err))
		}
		for _, c := range list {
			roots.AddCert(c)
			found = append(found, e.lasts(path, "make a new one, and give everybody a file with both before the servers have "+
				"a certificate of it", c))
		}
	}
	if path := filepath.Join(e.Keys, bus.CertificateFile); e.Keys != "" && exists(path) {
		found = append(found, e.server(path, roots))
	}
	return or(found, skipped("no certificate of the bus is here"))
}

func caOf(services []Service) (paths []string) {
	for _, s := range services {
		paths = append(paths, s.Key.CA)
	}
	return paths
}

// server looks at the servers' certificate in a file.
func (e *exam) server(path string, roots *x509.CertPool) render.Finding {
	cure := renewal(filepath.Dir(path))
	list, err := readCertificates(path)
	if err == nil {
		_, err = tls.LoadX509KeyPair(path, filepath.Join(filepath.Dir(path), bus.CertificateKey))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			err = nil // secrets says so
		}
	}
	if err != nil {
		return failed(cure, "%s: %v", path, err)
	}
	f := e.lasts(path, cure, list[0])
	if f.State == render.Failed {
		return f
	}
	between := x509.NewCertPool()
	for _, c := range list[1:] {
		between.AddCert(c)
	}
	_, err = list[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: e.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return failed("put the authority that signed it into "+bus.CAFile, "%s was not signed by any authority here", path)
	} else if err != nil {
		return failed(cure, "%s: %v", path, err)
	}
	return f
}

func readCertificates(path string) (list []*x509.Certificate, err error) {
	data, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	if err == nil && len(list) == 0 {
		err = errors.New("it holds no certificate")
	}
	return list, err
}

// writerCertificates looks at those of the keys with which events are signed.
func (e *exam) writerCertificates(context.Context) (found []render.Finding) {
	paths := inKeys(e.Keys, writerkeys.CertificateFile("*"))
	if len(paths) == 0 {
		return one(skipped("no certificate of a writer is here"))
	}
	deployment, err := writerkeys.ReadDeployment(filepath.Join(e.Keys, writerkeys.PublicKeyFile))
	if err != nil {
		return one(failed("put the deployment's public key there: writers.vkey", "%v", err))
	}
	left := writerkeys.Lifetime
	for _, path := range paths {
		data, err := os.ReadFile(path) // #nosec G304 -- the operator names the directory
		if err != nil {
			return one(unknown("run this as a user who may look at it", "%v", err))
		}
		writer := strings.TrimSuffix(filepath.Base(path), writerkeys.CertificateFile(""))
		cure := "put writers.key back, and `lockbox bus rotate writer " + writer + " --dir " + e.Keys + "`"
		c, err := signed.OpenCertificate(data, deployment)
		rest := c.Until.Sub(e.Now())
		switch {
		case err != nil:
			found = append(found, failed(cure, "%s: %v", path, err))
		case rest <= 0:
			found = append(found, failed(cure, "%s expired %s ago: what %s writes is refused", path, span(rest), writer))
		case rest < soonUnsigned:
			found = append(found, mind(cure, "%s expires in %s", path, span(rest)))
		}
		left = min(left, rest)
	}
	return or(found, well("%s that are good for %s yet", count(len(paths), "certificate"), span(left)))
}

// webCertificates looks at those of the portal and of the issuers. Whether an issuer's can be trusted, its keys show.
func (e *exam) webCertificates(ctx context.Context) (found []render.Finding) {
	seen := map[string]bool{}
	look := func(address, ca string) {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" || seen[u.Host] {
			return
		}
		seen[u.Host] = true
		roots, err := jwks.Roots(ca)
		if err != nil {
			found = append(found, failed("correct ca_file", "%s: %v", u.Host, err))
			return
		}
		c, err := shown(ctx, u, roots)
		if err != nil {
			found = append(found, failed("look whether it runs and is reached from here, and at its certificate",
				"%s: %v", u.Host, err))
			return
		}
		found = append(found, e.lasts(u.Host+"'s certificate", "have whoever runs it renew it", c))
	}
	for _, s := range e.Services {
		for _, address := range s.Web {
			look(address, "")
		}
		for _, iss := range s.Issuers {
			if iss.JWKSFile == "" {
				look(iss.URL, iss.CAFile)
			}
		}
	}
	return or(found, skipped("no https address is configured"))
}

// shown returns the certificate that a server shows.
func shown(ctx context.Context, u *url.URL, roots *x509.CertPool) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = "443"
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	defer shut(conn)
	state := conn.(*tls.Conn).ConnectionState() //nolint:forcetypeassert,errcheck // a tls.Dialer's
	return state.PeerCertificates[0], nil
}
