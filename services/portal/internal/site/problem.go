package site

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"go.uber.org/zap"
)

// SignInPath is the sign-in page; its parameter `to` is the page to return to.
const SignInPath = "/signin"

var errSignIn = errors.New("not signed in")

// Status returns the HTTP status for a refusal, and 500 for all other errors.
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

// NotFound reports whether an error is a NOT_FOUND refusal.
func NotFound(err error) bool {
	return refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND)
}

// lostError is NOT_FOUND for somebody who sends a form, which they were shown if they made it not up: whether there is
// something that they may see no more, they are told no more of than anybody (I9).
type lostError struct{ error }

func (l lostError) Unwrap() error { return l.error }

// Lost makes an error page of what is not found say that what was sent had no effect, and why that may be.
func Lost(err error) error {
	if NotFound(err) {
		return lostError{err}
	}
	return err
}

// lostRoles says of each role that the visitor lost lately who removed it, and when. What is not known is not said: the
// page is about something else. If there must be one, because a service knows of it, the projection is waited for.
func (v *Visit) lostRoles(must bool) (said []string) {
	if v.Session == nil { // refused before anybody looked who it is
		return nil
	}
	self, err := v.selfAnew()
	end := time.Now().Add(patience)
	for must && err == nil && len(self.GetLostRoles()) == 0 && time.Now().Before(end) {
		select {
		case <-v.R.Context().Done():
			return nil
		case <-time.After(between):
		}
		self, err = v.selfAnew()
	}
	if err != nil {
		return nil
	}
	for _, l := range self.GetLostRoles() {
		role, err := v.Say.Say(shown.ID("status.role", l.GetRole().String(), "ROLE_"))
		if err != nil {
			v.Log.Error("page failed", zap.Error(err))
			return said
		}
		id, by := "problem.lost.ended", ""
		if l.GetBy() != nil {
			id, by = "problem.lost.removed", shown.Name(l.GetBy().GetPerson())
		}
		text, err := v.Say.Say(id, "By", by, "Role", role, "Place", cmp.Or(l.GetSubscriptionName(), self.GetTenantName()),
			"Time", v.Say.Instant(l.GetTime().AsTime()))
		if err != nil {
			v.Log.Error("page failed", zap.Error(err))
			return said
		}
		said = append(said, text)
	}
	return said
}

// selfAnew is Self without what was learnt before, which may be older than what was found.
func (v *Visit) selfAnew() (*lockboxv1.SelfView, error) {
	v.self = nil
	return v.Self()
}

const (
	patience = 1500 * time.Millisecond
	between  = 100 * time.Millisecond
)

// kinds maps HTTP statuses to the error pages.
var kinds = map[int]string{
	http.StatusBadRequest: "invalid", http.StatusForbidden: "forbidden", http.StatusNotFound: "not-found",
	http.StatusConflict:     "conflict",
	http.StatusUnauthorized: "unauthenticated",
}

// problem is the data of an error page.
type problem struct {
	Kind string
	// Refusal is why; nil where it would reveal too much or be of no use.
	Refusal *lockboxv1.Refusal
	// SignIn is the URL for signing in and returning; empty if that would not help.
	SignIn string
	// Kept reports that what was typed will be there then.
	Kept bool
	// Lost says which roles the visitor lost lately, by whom and when.
	Lost []string
}

// fail shows an error page. If the session has expired and the request is only a read, it redirects to the sign-in and
// back.
func (v *Visit) fail(err error) {
	if errors.Is(err, context.Canceled) && v.R.Context().Err() != nil {
		return // the client has disconnected
	}
	status := Status(err)
	if errors.Is(err, errSignIn) {
		status = http.StatusUnauthorized
	}
	looks := v.R.Method == http.MethodGet || v.R.Method == http.MethodHead
	switch back := (backError{}); {
	case TooLongAgo(err):
		if !errors.As(err, &back) || back.to == "" { // otherwise back to where they came from
			back.to, _ = v.keepForm()
		}
		v.again(back.to)
	case status == http.StatusUnauthorized && looks && !v.signedInJustNow():
		http.Redirect(v.W, v.R, signInPath(v.R.URL.RequestURI()), http.StatusSeeOther)
	default:
		v.Problem(status, err)
	}
}

// about returns the fields of a log line about the visit, and others.
func (v *Visit) about(others ...zap.Field) []zap.Field {
	if v.Session == nil || !strings.Contains(v.R.Pattern, "/requests/{id}") {
		return others
	}
	return observe.About(aggregate.Request(v.Session.Tenant, v.R.PathValue("id")), others...)
}

// Problem renders the error page for a status.
func (v *Visit) Problem(status int, err error) {
	p := problem{Kind: kinds[status]}
	if errors.As(err, new(lostError)) {
		p.Kind, p.Lost = "lost", v.lostRoles(false)
	}
	r, refused := refusal.As(err)
	if status == http.StatusForbidden && v.R.Method == http.MethodPost {
		p.Lost = v.lostRoles(r.GetCodedReason().GetCode() == lockboxv1.ReasonCode_REASON_CODE_NO_ACTIVE_ROLE_NOW)
	}
	if refused {
		v.Counters.Refused(r)
		if status == http.StatusBadRequest || status == http.StatusForbidden || status == http.StatusConflict {
			p.Refusal = r
		}
	}
	if !errors.Is(err, errSignIn) && status >= http.StatusInternalServerError {
		v.Log.Error("page failed", v.about(zap.String("pattern", v.R.Pattern), zap.Error(err))...)
	}
	switch {
	case status != http.StatusUnauthorized:
	case v.signedInJustNow(): // the services reject this organisation's tokens
		p.Kind, p.Refusal = "unaccepted", r
	default:
		var back string
		back, p.Kept = v.keepForm()
		p.SignIn = signInPath(back)
	}
	if p.Kind == "" {
		p.Kind = "unavailable"
	}
	nav := []NavItem{} // queries for the navigation could fail too
	title, err := v.Say.Say("problem." + p.Kind + ".title")
	if err == nil {
		err = v.Render(v.problems, "problem", status, Page{Title: title, Nav: nav, Data: p})
	}
	if err != nil {
		v.Log.Error("page failed", zap.Error(err))
		http.Error(v.W, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}
