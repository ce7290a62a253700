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
	// patience is how long a sign-in may take.
	patience = 10 * time.Minute
	// mostAttempts is the number of pending sign-ins per browser; the oldest is dropped. More would not fit into a
	// request's header.
	mostAttempts = 5
)

// attempt is a sign-in that waits for the browser to return.
type attempt struct {
	oidcclient.Attempt
	// Tenant whose issuer was asked; empty for the provider's.
	Tenant string `json:"tenant,omitempty"`
	// Issuer that was asked.
	Issuer string `json:"issuer,omitempty"`
	// To is where the browser is redirected after the sign-in.
	To string `json:"to"`
	// Subject that must return with a fresh sign-in; empty if anybody may.
	Subject string    `json:"subject,omitempty"`
	Begun   time.Time `json:"begun"`
}

// retry returns the URL for another attempt.
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

// keep stores the attempt in a cookie.
func (in *signin) keep(v *site.Visit, a attempt) error {
	var value bytes.Buffer
	to := json.NewEncoder(&value)
	to.SetEscapeHTML(false) // escaping would enlarge the cookie
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

// take returns the attempt with that state and deletes its cookie, so it can be used only once. It returns false if
// this browser has not begun that sign-in, or has begun it too long ago.
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

// cookieName returns the name of the attempt's cookie.
func (in *signin) cookieName(state string) string {
	sum := sha256.Sum256([]byte(state))
	return in.cookiePrefix() + hex.EncodeToString(sum[:8])
}

func (in *signin) setCookie(v *site.Visit, name, value string, maxAge int) {
	http.SetCookie(v.W, &http.Cookie{ // #nosec G124 -- insecure only for http on localhost
		Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: in.Secure,
		SameSite: http.SameSiteLaxMode,
	})
}
