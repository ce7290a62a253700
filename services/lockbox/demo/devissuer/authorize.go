package devissuer

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
)

// asked reads an authorization request from the URL's query alone, so that a form body cannot change it. A request
// with an unknown client or redirect URI gets an error page and is never redirected; any other invalid request is
// reported to its client (RFC 6749 §4.1.2.1). In both cases asked has responded and returns nil.
func (d *Issuer) asked(w http.ResponseWriter, r *http.Request, iss *issuer) *authorization {
	q := r.URL.Query()
	switch {
	case repeated(q):
		d.wrong(w, iss, "The address of this page names something twice.")
		return nil
	case q.Get("client_id") != ClientID:
		d.wrong(w, iss, "The program that asked for this sign-in is not known here.")
		return nil
	case !goodRedirect(q.Get("redirect_uri")):
		d.wrong(w, iss, "The program that asked for this sign-in wants the answer sent to an address that is not on this machine.")
		return nil
	}
	refuse := func(code, description string) {
		answer := url.Values{"error": {code}}
		if description != "" {
			answer.Set("error_description", description)
		}
		d.goBack(w, r, iss, answer)
	}
	challenge, err := base64.RawURLEncoding.DecodeString(q.Get("code_challenge"))
	switch {
	case q.Get("response_type") != "code":
		refuse("unsupported_response_type", "the response type must be code")
	case q.Get("code_challenge_method") != "S256" || err != nil || len(challenge) != sha256.Size:
		refuse("invalid_request", "PKCE with S256 is required")
	case q.Has("request"):
		refuse("request_not_supported", "")
	case q.Has("request_uri"):
		refuse("request_uri_not_supported", "")
	case !wantsOpenID(q.Get("scope")):
		refuse("invalid_scope", "the scope must have openid in it")
	case q.Get("prompt") == "none":
		refuse("login_required", "somebody has to say who to be")
	default:
		return &authorization{
			redirect: q.Get("redirect_uri"), scope: q.Get("scope"), nonce: q.Get("nonce"), challenge: q.Get("code_challenge"),
		}
	}
	return nil
}

// goBack redirects the browser to the client, whose redirect URI asked has checked, and adds our issuer (RFC 9207) so
// that a client of several issuers can tell whose response it is.
func (*Issuer) goBack(w http.ResponseWriter, r *http.Request, iss *issuer, answer url.Values) {
	q := r.URL.Query()
	answer.Set("iss", iss.url)
	if state := q.Get("state"); state != "" {
		answer.Set("state", state)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther) // #nosec G710 -- to goodRedirect only
}

// askWho shows the account chooser.
func (d *Issuer) askWho(iss *issuer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req := d.asked(w, r, iss)
		if req == nil {
			return
		}
		to, _ := url.Parse(req.redirect) // cannot fail: goodRedirect parsed it
		d.show(w, http.StatusOK, "chooser", to, chooser{
			heading: heading{Title: "Who would you like to be?", Organisation: iss.name},
			Groups:  people(iss.tenant), Proof: d.proof(w, r), Client: to.Host,
		})
	}
}

// chosen redirects to the client with an authorization code for the chosen persona.
func (d *Issuer) chosen(iss *issuer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !d.proven(w, r) {
			d.wrong(w, iss, "This page was open for too long, or your browser keeps no cookies for it.")
			return
		}
		req := d.asked(w, r, iss)
		if req == nil {
			return
		}
		name := r.PostForm.Get("persona")
		if name == "" {
			d.goBack(w, r, iss, url.Values{"error": {"access_denied"}, "error_description": {"nobody was chosen"}})
			return
		}
		p, known := Find(name)
		if !known || p.Tenant != iss.tenant {
			d.wrong(w, iss, iss.name+" has nobody of that name.")
			return
		}
		req.persona, req.chosen = p, d.now()
		d.goBack(w, r, iss, url.Values{"code": {iss.codes.keep(*req)}})
	}
}

const (
	cookieName = "lockbox-demo"
	proofField = "proof"
)

// proof sets a cookie if the browser has none, and returns the CSRF token that a form for this exact URL must carry.
// Other sites can make the browser submit the form, but cannot read the page; other programs on this machine can set
// the cookie, but cannot compute the token for it.
func (d *Issuer) proof(w http.ResponseWriter, r *http.Request) string {
	value := rand.Text()
	if c, err := r.Cookie(cookieName); err == nil && len(c.Value) == len(value) {
		value = c.Value
	} else {
		http.SetCookie(w, &http.Cookie{ // #nosec G124 -- http on loopback, where browsers keep no Secure cookies
			Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
	}
	return d.proofFor(value, r.URL.RequestURI())
}

func (d *Issuer) proofFor(cookie, address string) string {
	m := hmac.New(sha256.New, []byte(d.secret))
	_, _ = m.Write([]byte("a form of the chooser\x00" + cookie + "\x00" + address)) // Write of a hash never fails
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// proven parses the form and reports whether it carries the CSRF token for its URL.
func (d *Issuer) proven(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return false
	}
	c, err := r.Cookie(cookieName)
	return err == nil && hmac.Equal([]byte(r.PostForm.Get(proofField)), []byte(d.proofFor(c.Value, r.URL.RequestURI())))
}
