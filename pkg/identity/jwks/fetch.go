package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/openlockbox/lockbox/pkg/identity"
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
	return s.get(ctx, at, identity.MaxJWKS)
}

// discover returns the address of the issuer's keys (OpenID Connect Discovery 1.0 §4). The document must name this
// issuer.
func (s *Source) discover(ctx context.Context) (string, error) {
	at := strings.TrimRight(s.config.Issuer, "/") + "/.well-known/openid-configuration"
	raw, err := s.get(ctx, at, maxDiscovery)
	if err != nil {
		return "", err
	}
	var document struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		return "", fmt.Errorf("%s is not a discovery document", at)
	}
	switch {
	case document.Issuer != s.config.Issuer:
		return "", fmt.Errorf("%s is the discovery document of another issuer, %.200q", at, document.Issuer)
	case !allowed(document.JWKS) || strings.HasPrefix(s.config.Issuer, "https:") &&
		!strings.HasPrefix(document.JWKS, "https:"):
		return "", fmt.Errorf("%s says that its keys are at %.200q, where none are fetched from", at, document.JWKS)
	}
	return document.JWKS, nil
}

func (s *Source) get(ctx context.Context, at string, limit int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d (redirects are not followed)", at, response.StatusCode)
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

// allowed reports whether keys may be fetched from an address: over https, or from this machine.
func allowed(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.IsLoopback())
}
