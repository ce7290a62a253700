package site

import (
	"context"
	"errors"
	"net/http"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// SignInPath is where people sign in; `to` says where they go then.
const SignInPath = "/signin"

var errSignIn = errors.New("nobody is signed in")

// Status is what a refusal is in HTTP. Whatever is no refusal is 500.
func Status(err error) int {
	r, refused := refusal.As(err)
	if !refused {
		return http.StatusInternalServerError
	}
	switch r.GetCode() {
	case lockboxv1.RefusalCode_REFUSAL_CODE_INVALID:
		return http.StatusBadRequest
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED:
		return http.StatusUnauthorized
	case lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN:
		return http.StatusForbidden
	case lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND:
		return http.StatusNotFound
	case lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT, lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION:
		return http.StatusConflict
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE:
		return http.StatusServiceUnavailable
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED:
	}
	return http.StatusInternalServerError
}

// NotFound reports whether an error says that there is nothing.
func NotFound(err error) bool {
	return refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND)
}

// kinds are the pages that tell of a problem, by HTTP status.
var kinds = map[int]string{
	http.StatusBadRequest: "invalid", http.StatusForbidden: "forbidden", http.StatusNotFound: "not-found",
	http.StatusConflict:     "conflict",
	http.StatusUnauthorized: "unauthenticated",
}

// problem is what its page is told.
type problem struct {
	Kind string
	// Message is the refusal's own sentence, in English; empty where it would tell too much or nothing.
	Message string
	// SignIn is the way to sign in and back; empty: that would not help.
	SignIn string
}

// fail answers with what went wrong. Who is not signed in any more, and only looks, is sent to sign in and comes back.
func (v *Visit) fail(err error) {
	if errors.Is(err, context.Canceled) && v.R.Context().Err() != nil {
		return // nobody is there to hear it
	}
	status := Status(err)
	if errors.Is(err, errSignIn) {
		status = http.StatusUnauthorized
	}
	looks := v.R.Method == http.MethodGet || v.R.Method == http.MethodHead
	switch back := (backError{to: v.cameFrom()}); {
	case tooLongAgo(err):
		_ = errors.As(err, &back) // else where they came from
		v.again(back.to)
	case status == http.StatusUnauthorized && looks && !v.signedInJustNow():
		http.Redirect(v.W, v.R, signInPath(v.R.URL.RequestURI()), http.StatusSeeOther)
	default:
		v.Problem(status, err)
	}
}

// Problem answers with the page of a problem.
func (v *Visit) Problem(status int, err error) {
	p := problem{Kind: kinds[status]}
	r, refused := refusal.As(err)
	if refused {
		v.Counters.Refused(r)
		if status == http.StatusBadRequest || status == http.StatusForbidden || status == http.StatusConflict {
			p.Message = r.GetMessage()
		}
	}
	if !errors.Is(err, errSignIn) && status >= http.StatusInternalServerError {
		v.Log.Error("page failed", zap.String("pattern", v.R.Pattern), zap.Error(err))
	}
	switch {
	case status != http.StatusUnauthorized:
	case v.signedInJustNow(): // their organisation's sign-ins are not what the services expect
		p.Kind, p.Message = "unaccepted", r.GetMessage()
	default:
		p.SignIn = signInPath(v.cameFrom())
	}
	if p.Kind == "" {
		p.Kind = "unavailable"
	}
	nav := []NavItem{} // asking for more could fail too
	title, err := v.Say.Say("problem." + p.Kind + ".title")
	if err == nil {
		err = v.Render(v.problems, "problem", status, Page{Title: title, Nav: nav, Data: p})
	}
	if err != nil {
		v.Log.Error("page failed", zap.Error(err))
		http.Error(v.W, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}
