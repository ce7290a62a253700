package signin

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

const (
	// patience is how long somebody may take to sign in.
	patience = 10 * time.Minute
	// mostAttempts wait in one browser; the oldest give way. More would not fit into a request's header.
	mostAttempts = 5
)

// attempt is a sign-in that waits for the browser to come back.
type attempt struct {
	oidcclient.Attempt
	// Tenant whose issuer was asked; empty: the provider's.
	Tenant string `json:"tenant,omitempty"`
	// To is where the browser goes in the end.
	To string `json:"to"`
	// Subject who must come back, freshly signed in; empty: anybody will do.
	Subject string    `json:"subject,omitempty"`
	Begun   time.Time `json:"begun"`
}

// retry is the way to try it once more.
func (a attempt) retry() string {
	if a.To == "" {
		return site.SignInPath
	}
	q := url.Values{"to": {a.To}}
	if a.Subject != "" {
		q.Set(site.AgainParameter, "1")
	}
	return site.SignInPath + "?" + q.Encode()
}

// keep gives the attempt to the browser.
func (in *signin) keep(v *site.Visit, a attempt) error {
	var value bytes.Buffer
	to := json.NewEncoder(&value)
	to.SetEscapeHTML(false) // it would grow
	if err := to.Encode(a); err != nil {
		return err
	}
	waiting := 1
	var oldest *http.Cookie
	var begun time.Time
	for _, c := range v.R.Cookies() {
		if !strings.HasPrefix(c.Name, in.cookiePrefix()) {
			continue
		}
		other, readable := read(c)
		if waiting++; oldest == nil || !readable || other.Begun.Before(begun) {
			oldest, begun = c, other.Begun
		}
	}
	if waiting > mostAttempts {
		in.setCookie(v, oldest.Name, "", -1)
	}
	in.setCookie(v, in.cookieName(a.State), base64.RawURLEncoding.EncodeToString(value.Bytes()), int(patience.Seconds()))
	return nil
}

// take returns the attempt of that state, once: the browser forgets it, however it ends. False: this browser has not
// begun any such sign-in, or too long ago.
func (in *signin) take(v *site.Visit, state string) (attempt, bool) {
	c, err := v.R.Cookie(in.cookieName(state))
	if err != nil {
		return attempt{}, false
	}
	in.setCookie(v, c.Name, "", -1)
	a, readable := read(c)
	return a, readable && subtle.ConstantTimeCompare([]byte(a.State), []byte(state)) == 1 &&
		v.Now().Sub(a.Begun).Abs() < patience
}

func read(c *http.Cookie) (a attempt, ok bool) {
	value, err := base64.RawURLEncoding.DecodeString(c.Value)
	return a, err == nil && json.Unmarshal(value, &a) == nil
}

func (in *signin) cookiePrefix() string {
	if in.Secure {
		return "__Host-lockbox-signin-"
	}
	return "lockbox-signin-"
}

// cookieName is the attempt's own.
func (in *signin) cookieName(state string) string {
	sum := sha256.Sum256([]byte(state))
	return in.cookiePrefix() + hex.EncodeToString(sum[:8])
}

func (in *signin) setCookie(v *site.Visit, name, value string, maxAge int) {
	http.SetCookie(v.W, &http.Cookie{ // #nosec G124 -- not Secure only on http on this machine
		Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: in.Secure,
		SameSite: http.SameSiteLaxMode,
	})
}
