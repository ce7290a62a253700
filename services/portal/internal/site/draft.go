package site

import (
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"go.uber.org/zap"
)

// draftCookie tells that something that was typed is kept, so that pages need not look each time. It says nothing else.
const draftCookie = "lockbox-draft"

// secretPaths end in what nothing is kept of: what is typed there is a secret.
var secretPaths = []string{"/invitation"}

// Keep keeps what was typed for the page with that path of the visitor's organisation, until somebody sends it or half
// an hour has passed. It reports whether it did.
func (v *Visit) Keep(path string, values url.Values) bool {
	for _, secret := range secretPaths {
		if strings.HasSuffix(path, secret) {
			return false
		}
	}
	kept := maps.Clone(values)
	delete(kept, "command")
	delete(kept, form.LinkSecret)
	done, err := v.Sessions.Keep(v.R, path, kept)
	if err != nil {
		v.Log.Warn("what somebody typed was not kept", zap.Error(err))
	}
	if done && err == nil {
		v.setDraftCookie("1", int(session.DraftLifetime.Seconds()))
	}
	return done && err == nil
}

// Draft returns what was kept for this page; nil if nothing was.
func (v *Visit) Draft() url.Values {
	if _, err := v.R.Cookie(draftCookie); err != nil {
		return nil
	}
	values, err := v.Sessions.Draft(v.R, v.R.URL.Path)
	if err != nil {
		v.Log.Warn("what somebody typed cannot be found", zap.Error(err))
	}
	return values
}

// sent forgets what was kept of a form that is sent now.
func (v *Visit) sent() {
	if _, err := v.R.Cookie(draftCookie); err != nil {
		return
	}
	if err := v.Sessions.Forget(v.R, v.formPath()); err != nil {
		v.Log.Warn("what somebody typed was not forgotten", zap.Error(err))
	}
}

func (v *Visit) setDraftCookie(value string, maxAge int) {
	http.SetCookie(v.W, &http.Cookie{ // #nosec G124 -- insecure only for http on localhost
		Name: draftCookie, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: v.Secure,
		SameSite: http.SameSiteLaxMode,
	})
}

// keepForm keeps the form of a request, and returns the page to come back to: the one that the form was on.
func (v *Visit) keepForm() (back string, kept bool) {
	if v.R.Method != http.MethodPost || v.R.PostForm == nil {
		return v.cameFrom(), false
	}
	if back = v.cameFrom(); back == "" {
		back = v.R.URL.Path
	}
	return back, v.Keep(v.formPath(), v.R.PostForm)
}

// formPath returns the path of the page that a form was on, or if the browser does not say, where it is sent: most
// forms are sent to the address of their own page.
func (v *Visit) formPath() string {
	path, _, _ := strings.Cut(v.cameFrom(), "?")
	if path == "" {
		return v.R.URL.Path
	}
	if unescaped, err := url.PathUnescape(path); err == nil {
		return unescaped
	}
	return path
}
