package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
)

const maxDiscovery = 64 << 10 // bytes of a discovery document

func newClient(roots *x509.CertPool) *http.Client {
	return clientThrough(&net.Dialer{Timeout: fetchTimeout}, http.ProxyFromEnvironment, roots)
}

func clientThrough(dialer *net.Dialer, proxy func(*http.Request) (*url.URL, error), roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  proxy,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    fetchTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true, // once in minutes
			ForceAttemptHTTP2:      true,
		},
		// Where keys come from is configured; a server must not redirect elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       2 * fetchTimeout, // fetch has the shorter one
	}
}

// fetch downloads the current key set.
func (s *Source) fetch(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	at := s.config.URL
	if at == "" {
		var err error
		if at, err = s.discover(ctx); err != nil {
			return nil, err
		}
	}
	return s.get(ctx, at, int64(s.config.MaxBytes))
}

// discover returns the address of the issuer's keys. The discovery document must name this issuer.
func (s *Source) discover(ctx context.Context) (string, error) {
	d, err := s.document(ctx)
	if err != nil {
		return "", err
	}
	if d.Issuer != s.config.Issuer {
		return "", fmt.Errorf("%s is the discovery document of another issuer, %.200q",
			discoveryOf(s.config.Issuer), d.Issuer)
	}
	return s.keysAt(d)
}

func (s *Source) get(ctx context.Context, at string, limit int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, Certificate(err)
	}
	defer func() { _ = response.Body.Close() }()
	if t := response.TLS; t != nil && len(t.PeerCertificates) > 0 {
		s.expiry.Store(&t.PeerCertificates[0].NotAfter)
	}
	if response.StatusCode != http.StatusOK {
		return nil, &statusError{at, response.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", at, err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", at, limit)
	}
	return body, nil
}

// Certificate says of an error that it is one of a server's certificate, and what can be done about it. Other errors
// stay as they are.
func Certificate(err error) error {
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("the server's certificate is from an authority that is not known here; if it is your own, name its certificate with ca_file, or --ca-file at a terminal: %w",
			err)
	case errors.As(err, &hostname):
		return fmt.Errorf("the server's certificate is for another host: %w", err)
	case errors.As(err, &invalid):
		return fmt.Errorf("the server's certificate is not good: %w", err)
	}
	return err
}

// Roots reads the certificate authorities accepted for an issuer's server from a file (PEM); nil, the system's, for an
// empty path.
func Roots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // as crypto/tls has it
	}
	pem, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", path)
	}
	return roots, nil
}

// allowed reports whether keys may be fetched from an address: over https, or from this machine.
func allowed(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.IsLoopback())
}
