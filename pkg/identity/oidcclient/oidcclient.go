// Package oidcclient signs people in at an OpenID Connect issuer with the authorization code flow and PKCE, for the
// command line and the portal. It returns the ID token: its audience is this client, it says who signed in and how, and
// the services verify it (R13).
//
// Issuers are contacted only over https, or on this machine. Redirects are not followed, responses are limited in time
// and size, and mix-up attacks are prevented (RFC 9207, RFC 9700 §4.4).
package oidcclient

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"golang.org/x/oauth2"
)

// MaxSkew is how far an issuer's clock may be behind in `auth_time`.
const MaxSkew = time.Minute

const (
	answerTimeout = 10 * time.Second
	maxAnswer     = 1 << 20 // bytes
	rule          = "R13"
)

// Client is a client registered with an issuer.
type Client struct {
	Issuer string
	ID     string
	// Secret is empty for a public client.
	Secret string
	// Key proves the client instead of a secret, in Finish; nil: none.
	Key *Key
	// Offline asks for a refresh token, where the issuer offers one (OpenID Connect Core 1.0 §11).
	Offline bool
	// RootCAs are the certificate authorities accepted for the issuer's server; nil: the system's.
	RootCAs *x509.CertPool
	// Transport reaches the issuer instead; nil: as usual. For an issuer that a stranger names, see jwks.Transport.
	Transport http.RoundTripper
	Now       func() time.Time
}

// Issuer is a discovered issuer. It is safe for concurrent use and refreshes the issuer's keys as needed.
type Issuer struct {
	Client
	// EndSession is the issuer's sign-out page; empty if it has none (OpenID Connect RP-Initiated Logout 1.0 §2.1).
	EndSession string

	oauth       oauth2.Config
	http        *http.Client
	ids         *identity.Reader
	algorithm   jose.SignatureAlgorithm // of the proof by Key
	namesItself bool                    // in every answer (RFC 9207 §3)
}

// Discover reads the issuer's discovery document. It returns INVALID if the issuer cannot be used for sign-in,
// UNAVAILABLE if it does not respond.
func (c Client) Discover(ctx context.Context) (*Issuer, error) {
	if !Trustworthy(c.Issuer) {
		return nil, refusal.Invalid("issuer", rule,
			"must be an https URL, or http on this machine, without user, query or fragment")
	}
	through := c.Transport
	if through == nil {
		through = transport(c.RootCAs)
	}
	i := &Issuer{Client: c, http: &http.Client{
		Timeout:       answerTimeout,
		Transport:     bounded{through},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	p, err := oidc.NewProvider(i.Context(ctx), c.Issuer)
	if err != nil {
		return nil, i.unavailable(ctx, err)
	}
	var more struct {
		Keys        string   `json:"jwks_uri"`
		EndSession  string   `json:"end_session_endpoint"`
		Secrets     []string `json:"token_endpoint_auth_methods_supported"`
		Proofs      []string `json:"token_endpoint_auth_signing_alg_values_supported"`
		Scopes      []string `json:"scopes_supported"`
		NamesItself bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := p.Claims(&more); err != nil {
		return nil, i.unavailable(ctx, err)
	}
	i.namesItself, i.algorithm = more.NamesItself, algorithm(more.Proofs)
	i.oauth = oauth2.Config{ClientID: c.ID, ClientSecret: c.Secret, Endpoint: p.Endpoint(),
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"}}
	if c.Offline && slices.Contains(more.Scopes, oidc.ScopeOfflineAccess) {
		i.oauth.Scopes = append(i.oauth.Scopes, oidc.ScopeOfflineAccess)
	}
	i.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	if c.Secret != "" && (len(more.Secrets) == 0 || slices.Contains(more.Secrets, "client_secret_basic")) {
		i.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInHeader // the default if the document does not say (Discovery 1.0 §3)
	}
	for _, at := range []string{p.Endpoint().AuthURL, p.Endpoint().TokenURL, more.Keys} {
		if !Trustworthy(at) {
			return nil, i.Misleads()
		}
	}
	for _, at := range []string{p.Endpoint().DeviceAuthURL, more.EndSession} {
		if at != "" && !Trustworthy(at) {
			return nil, i.Misleads()
		}
	}
	i.EndSession = more.EndSession
	if i.ids, err = i.reader(more.Keys); err != nil {
		return nil, refusal.Invalid("issuer", rule, "%v", err)
	}
	return i, nil
}

// reader verifies the issuer's ID tokens with the keys that it publishes.
func (i *Issuer) reader(keys string) (*identity.Reader, error) {
	source, err := jwks.New(jwks.Config{
		Issuer: i.Issuer, URL: keys, MaxBytes: maxAnswer, RootCAs: i.RootCAs, Transport: i.Transport, Now: i.Now,
		Renew: -1,
	})
	if err != nil {
		return nil, err
	}
	return identity.NewReader(identity.Issuer{
		URL: i.Issuer, Audience: i.ID, Source: source, Leeway: identity.MaxLeeway, MaxToken: identity.MaxToken,
	})
}

// transport returns the usual transport, with authorities of its own unless roots is nil.
func transport(roots *x509.CertPool) http.RoundTripper {
	usual, ok := http.DefaultTransport.(*http.Transport)
	if roots == nil || !ok {
		return http.DefaultTransport
	}
	own := usual.Clone()
	own.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return own
}

// OAuth returns a copy of the OAuth configuration for other flows. Use it with Context, which sets the limited HTTP
// client, and Failed, which converts its errors.
func (i *Issuer) OAuth() oauth2.Config { return i.oauth }

// Context returns a context with the limited HTTP client, for use with OAuth.
func (i *Issuer) Context(ctx context.Context) context.Context { return oidc.ClientContext(ctx, i.http) }

// Attempt holds the secrets of one sign-in. They must be kept by the party that began it.
type Attempt struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
}

// Begin starts a sign-in and returns the address to open in the browser, which returns to redirect. Parameters are
// added to the security parameters.
func (i *Issuer) Begin(redirect string, parameters url.Values) (address string, a Attempt) {
	a = Attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	for name := range parameters {
		options = append(options, oauth2.SetAuthURLParam(name, parameters.Get(name)))
	}
	oauth := i.OAuth()
	oauth.RedirectURL = redirect
	return oauth.AuthCodeURL(a.State, options...), a
}

// Trustworthy reports whether responses from an address are authentic: over https, or from this machine.
func Trustworthy(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.IsLoopback())
}

// bounded limits the size of response bodies to maxAnswer.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, maxAnswer), response.Body}
	}
	return response, err
}
