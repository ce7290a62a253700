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
	// AgainParameter marks the address of a sign-in that has to be a fresh one of the same person.
	AgainParameter = "again"

	justNow = time.Minute
)

// backError is an error with the page on which to go on after signing in again.
type backError struct {
	error
	to string
}

// Unwrap is the error itself.
func (e backError) Unwrap() error { return e.error }

// SignInAgain is for what came of Do. Where the tenant demands a fresher sign-in for a decision, the person is told so,
// signs in, and goes on at `back`: a page of their organisation, with what they had typed in its query. Without it they
// go on at the page that they came from. Any other error stays as it is, and so does nil.
func (v *Visit) SignInAgain(err error, back string) error {
	if !tooLongAgo(err) {
		return err
	}
	return backError{err, back}
}

func tooLongAgo(err error) bool {
	r, refused := refusal.As(err)
	return refused && r.GetCode() == lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED &&
		r.GetField() == tenant.StaleField
}

// signInPath is the way to sign in and back to a page; SignInPath says what it makes of a page that is not ours.
func signInPath(back string) string {
	if back == "" {
		return SignInPath
	}
	return SignInPath + "?" + url.Values{"to": {back}}.Encode()
}

// again leads to a fresh sign-in. It is a redirect to a page of ours that says why, as browsers hold a form to sites
// that it may lead to (form-action), over any number of redirects.
func (v *Visit) again(back string) {
	http.Redirect(v.W, v.R, SignInPath+"?"+url.Values{"to": {back}, AgainParameter: {"1"}}.Encode(), http.StatusSeeOther)
}

// cameFrom is the page of this site that the visitor was on; empty: that is not known.
func (v *Visit) cameFrom() string {
	from, err := url.Parse(v.R.Referer())
	if err != nil || from.Host == "" || from.Host != v.R.Host {
		return ""
	}
	return from.RequestURI()
}

// signedInJustNow: signing in once more would not help.
func (v *Visit) signedInJustNow() bool {
	return v.Session != nil && v.Now().Sub(v.Session.Since) < justNow
}
