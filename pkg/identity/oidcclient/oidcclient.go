// Package oidcclient signs people in at an OpenID Connect issuer with an authorization code and PKCE, for whatever
// waits for the browser to come back: a terminal, or the portal. What it returns is the ID token: it is made out to
// this client, says who signed in and how, and is what the services verify (R13).
//
// An issuer is believed only about https, or about this machine; its redirects are not followed, its answers are
// bounded in time and size, and none is taken for another's (RFC 9207, RFC 9700 §4.4).
package oidcclient

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"golang.org/x/oauth2"
)

// MaxSkew is how far behind an issuer's clock may be when it says when somebody signed in.
const MaxSkew = time.Minute

const (
	answerTimeout = 10 * time.Second
	maxAnswer     = 1 << 20 // bytes
	rule          = "R13"
)

// Client is a program as one issuer knows it.
type Client struct {
	Issuer string
	ID     string
	// Secret is empty for a client that could keep none.
	Secret string
	Now    func() time.Time
}

// Issuer is what an issuer said of itself. It is safe for concurrent use, and looks for new keys by itself.
type Issuer struct {
	Client
	// EndSession is where people sign out there; empty: nowhere (OpenID Connect RP-Initiated Logout 1.0 §2.1).
	EndSession string

	oauth       oauth2.Config
	http        *http.Client
	ids         *oidc.IDTokenVerifier
	namesItself bool // in every answer (RFC 9207 §3)
}

// Discover asks the issuer where it does what. INVALID: nobody could sign in there; UNAVAILABLE: it does not answer.
func (c Client) Discover(ctx context.Context) (*Issuer, error) {
	if !Trustworthy(c.Issuer) {
		return nil, refusal.Invalid("issuer", rule,
			"must be an https URL, or http on this machine, without user, query or fragment")
	}
	i := &Issuer{Client: c, http: &http.Client{
		Timeout:       answerTimeout,
		Transport:     bounded{http.DefaultTransport},
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
		NamesItself bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := p.Claims(&more); err != nil {
		return nil, i.unavailable(ctx, err)
	}
	i.namesItself = more.NamesItself
	i.oauth = oauth2.Config{ClientID: c.ID, ClientSecret: c.Secret, Endpoint: p.Endpoint(),
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"}}
	i.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	if c.Secret != "" && (len(more.Secrets) == 0 || slices.Contains(more.Secrets, "client_secret_basic")) {
		i.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInHeader // what is meant by silence (Discovery 1.0 §3)
	}
	i.ids = p.Verifier(&oidc.Config{ClientID: c.ID, Now: c.Now})
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
	return i, nil
}

// OAuth is a copy of the configuration, for the other ways to sign in; Context makes it use the bounded client, and
// Failed says what its errors mean.
func (i *Issuer) OAuth() oauth2.Config { return i.oauth }

// Context is for OAuth.
func (i *Issuer) Context(ctx context.Context) context.Context { return oidc.ClientContext(ctx, i.http) }

// Attempt is what must come back with the browser. It is for whoever began the sign-in only.
type Attempt struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
}

// Begin returns where the browser must go, to come back to redirect; parameters are asked for besides what makes it
// safe.
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

// Trustworthy reports whether what an address says can be believed to come from it: https, or this machine.
func Trustworthy(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.IsLoopback())
}

// bounded reads no more than maxAnswer of any answer.
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
