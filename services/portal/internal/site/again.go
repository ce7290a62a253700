package site

import (
	"net/http"
	"net/url"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	// AgainParameter marks the URL of a sign-in that must be a fresh one by the same person.
	AgainParameter = "again"

	justNow = time.Minute
)

// backError is an error with the page to return to after signing in again.
type backError struct {
	error
	to string
}

// Unwrap returns the original error.
func (e backError) Unwrap() error { return e.error }

// SignInAgain handles the error of Do. If the tenant requires a fresher sign-in for a decision, the person is told so,
// signs in and returns to `back`: a page of their organisation, for which their input is kept (Keep). If back is empty,
// they return to the page that they came from. All other errors, and nil, are returned unchanged.
func (v *Visit) SignInAgain(err error, back string) error {
	if !TooLongAgo(err) {
		return err
	}
	return backError{err, back}
}

// TooLongAgo reports whether a command was refused because its sender must sign in again first.
func TooLongAgo(err error) bool {
	r, refused := refusal.As(err)
	return refused && r.GetCode() == lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED &&
		r.GetField() == tenant.StaleField
}

// signInPath returns the URL for signing in and returning to a page; the handler of SignInPath rejects pages that are
// not ours.
func signInPath(back string) string {
	if back == "" {
		return SignInPath
	}
	return SignInPath + "?" + url.Values{"to": {back}}.Encode()
}

// again redirects to a fresh sign-in. It goes through a page of ours that gives the reason, because browsers restrict
// the sites that a form may lead to (form-action), through any number of redirects.
func (v *Visit) again(back string) {
	http.Redirect(v.W, v.R, SignInPath+"?"+url.Values{"to": {back}, AgainParameter: {"1"}}.Encode(), http.StatusSeeOther)
}

// cameFrom returns the page of this site that the visitor came from; empty if unknown.
func (v *Visit) cameFrom() string {
	from, err := url.Parse(v.R.Referer())
	if err != nil || from.Host == "" || from.Host != v.R.Host {
		return ""
	}
	return from.RequestURI()
}

// signedInJustNow reports whether signing in once more would not help.
func (v *Visit) signedInJustNow() bool {
	return v.Session != nil && v.Now().Sub(v.Session.Since) < justNow
}
