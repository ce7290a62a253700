package devissuer

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

const (
	// ClientID identifies the only client, shared by all programs on this machine that sign people in to Lockbox. It
	// has no secret, because a native app cannot keep one (RFC 8252 §8.4).
	ClientID = Audience
	// CallbackPath is the path of a client's redirect URI, on a loopback address and any port.
	CallbackPath = "/callback"
)

const (
	codeLifetime = time.Minute
	maxForm      = 64 << 10
)

// authorization is an authorization request and the persona chosen for it.
type authorization struct {
	redirect, scope, nonce string
	challenge              string // PKCE code challenge, S256
	persona                Persona
	chosen                 time.Time
}

// codes holds authorizations by code until the code is presented, whether or not the request is valid, or expires: a
// code is good for one use (RFC 6749 §4.1.2).
type codes struct {
	now  func() time.Time
	mu   sync.Mutex
	kept map[string]authorization
}

// keep stores an authorization and returns its code.
func (c *codes) keep(a authorization) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for code, k := range c.kept {
		if c.over(k) {
			delete(c.kept, code)
		}
	}
	code := rand.Text()
	c.kept[code] = a
	return code
}

// take removes and returns an authorization: of two concurrent callers, only one gets it.
func (c *codes) take(code string) (a authorization, valid bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, known := c.kept[code]
	delete(c.kept, code)
	return a, known && !c.over(a)
}

func (c *codes) over(a authorization) bool { return !c.now().Before(a.chosen.Add(codeLifetime)) }

// goodRedirect reports whether a redirect URI is http on a loopback address, with any port and exactly CallbackPath.
// RFC 8252 §8.3 advises against localhost, which a name service could lead elsewhere; browsers do not ask one, and they
// have security keys for a name only.
func goodRedirect(redirect string) bool {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || u.Port() == "" || redirect != "http://"+u.Host+CallbackPath {
		return false
	}
	return loopback(u.Hostname())
}

// signedIn is the token response of RFC 6749 §5.1, with the ID token of OpenID Connect Core 1.0 §3.1.3.3.
type signedIn struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"` // seconds
	Scope   string `json:"scope,omitempty"`
	ID      string `json:"id_token"`
}

// tokenEndpoint serves POST …/token.
func (d *Issuer) tokenEndpoint(iss *issuer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil || repeated(r.PostForm) {
			oauthProblem(w, http.StatusBadRequest, "invalid_request", "each parameter once, as a form")
			return
		}
		form := r.PostForm // query parameters are ignored
		if form.Get("client_id") != ClientID {
			oauthProblem(w, http.StatusUnauthorized, "invalid_client", "the client is not known here")
			return
		}
		switch form.Get("grant_type") {
		case deviceGrant:
			d.deviceToken(w, form, iss)
		case "authorization_code":
			d.codeToken(w, form, iss)
		default:
			oauthProblem(w, http.StatusBadRequest, "unsupported_grant_type",
				"the grant type must be authorization_code or "+deviceGrant)
		}
	}
}

// codeToken redeems an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5).
func (d *Issuer) codeToken(w http.ResponseWriter, form url.Values, iss *issuer) {
	for _, name := range []string{"code", "redirect_uri", "code_verifier"} {
		if form.Get(name) == "" {
			oauthProblem(w, http.StatusBadRequest, "invalid_request", name+" is required")
			return
		}
	}
	a, valid := iss.codes.take(form.Get("code"))
	challenge := oauth2.S256ChallengeFromVerifier(form.Get("code_verifier"))
	if !valid || a.redirect != form.Get("redirect_uri") ||
		subtle.ConstantTimeCompare([]byte(a.challenge), []byte(challenge)) != 1 {
		oauthProblem(w, http.StatusBadRequest, "invalid_grant",
			"there is no such code for this address and verifier, or it was used")
		return
	}
	d.giveTokens(w, iss, a)
}

// giveTokens responds with the access token, as issued by Token, and the ID token, which is the same plus the nonce of
// the request (OpenID Connect Core 1.0 §2). Both state when the persona was chosen, however late they are fetched.
func (d *Issuer) giveTokens(w http.ResponseWriter, iss *issuer, a authorization) {
	now := d.now()
	access, err := iss.sign(a.persona, a.chosen, now, "")
	id, failed := iss.sign(a.persona, a.chosen, now, a.nonce)
	if err != nil || failed != nil {
		oauthProblem(w, http.StatusInternalServerError, "server_error", "no token could be made")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	reply(w, http.StatusOK, signedIn{access, "Bearer", int(Lifetime.Seconds()), a.scope, id})
}

// repeated reports whether a parameter occurs twice, which RFC 6749 §3.1 forbids: two parsers could pick different
// values.
func repeated(form url.Values) bool {
	for _, values := range form {
		if len(values) > 1 {
			return true
		}
	}
	return false
}

func oauthProblem(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Cache-Control", "no-store")
	reply(w, status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{code, description})
}

// wantsOpenID reports whether a scope includes openid; all other values are ignored (OpenID Connect Core 1.0
// §3.1.2.1).
func wantsOpenID(scope string) bool { return slices.Contains(strings.Fields(scope), "openid") }
