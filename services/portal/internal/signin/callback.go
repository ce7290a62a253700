package signin

import (
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/openlockbox/lockbox/pkg/accesslog"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"go.uber.org/zap"
)

const maxName = 200

// Errors that do not come from the issuer. Each has a page.
var (
	errUnknown = errors.New("this browser has not begun this sign-in, or too long ago")
	errStale   = errors.New("the sign-in that came back is not a fresh one")
	errAnother = errors.New("somebody else came back from the sign-in")
)

// back handles the issuer's response, with which the browser returns.
func (in *signin) back(v *site.Visit) error {
	answer := v.R.URL.Query()
	a, known := in.take(v, answer.Get("state"))
	whose := in.Of(v.R.Context(), a.Tenant)
	if whose != nil && a.Issuer != "" && a.Issuer != whose.Issuer {
		whose = in.Offered(v.R.Context(), a.Tenant).At(a.Issuer)
	}
	if !known || whose == nil || owner(organisation.List{*whose}, a.To) == nil {
		return in.failed(v, attempt{}, errUnknown)
	}
	at, err := in.at(v.R.Context(), whose)
	if err != nil {
		return in.failed(v, a, err)
	}
	who, err := at.Finish(v.R.Context(), in.callback, a.Attempt, answer)
	if err == nil && a.Subject != "" {
		err = same(a, who)
	}
	if err != nil {
		return in.failed(v, a, err)
	}
	if err := in.keeper.Begin(v.W, v.R, of(whose, who)); err != nil {
		return err
	}
	in.Trail.Add(&lockboxv1.AccessRecord{Tenant: whose.Tenant, Sender: sender,
		Kind: lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN, Who: person(whose, who)})
	in.record(v, whose, who.Token)
	http.Redirect(v.W, v.R, a.To, http.StatusSeeOther)
	return nil
}

// same checks that a fresh sign-in is by the expected person and recent (OpenID Connect Core 1.0 §3.1.2.1, `max_age`).
func same(a attempt, who oidcclient.Person) error {
	switch {
	case who.Subject != a.Subject:
		return errAnother
	case who.Authenticated.Before(a.Begun.Add(-oidcclient.MaxSkew)):
		return errStale
	}
	return nil
}

func of(whose *organisation.Organisation, who oidcclient.Person) session.Session {
	s := session.Session{Tenant: whose.Tenant, Issuer: whose.Issuer, Token: who.Token, Subject: who.Subject,
		Name: who.Name, Expires: who.Expires}
	if prose.CheckLine("name", s.Name, 1, maxName) != nil {
		s.Name = s.Subject
	}
	language, _, _ := strings.Cut(strings.ReplaceAll(who.Locale, "_", "-"), "-")
	s.Language = strings.ToLower(language) // an unsupported one is ignored
	return s
}

// sender is the account on the bus through which people come who sign in here.
var sender = bus.Portal.Account()

// person names somebody who has signed in, in an access record.
func person(whose *organisation.Organisation, who oidcclient.Person) *lockboxv1.AccessPerson {
	side := lockboxv1.Side_SIDE_TENANT
	if whose.Tenant == "" {
		side = lockboxv1.Side_SIDE_PROVIDER
	}
	return accesslog.Who(&lockboxv1.Actor{Side: side, Person: &lockboxv1.Person{Issuer: whose.Issuer,
		Subject: who.Subject, DisplayName: who.Name}})
}

// wrong is the data of the page for a failed sign-in.
type wrong struct {
	Kind         string
	Organisation string // empty if unknown
	// Code is the issuer's OAuth error code; empty if it sent none, or an invalid one.
	Code string
	// Says is why the answer is not good, in the reader's language; empty if that is not known.
	Says string
	// Retry is the URL for another attempt; Back, to where they came from, is for people who are still signed in.
	Retry, Back string
}

var oauthCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

// failed shows why the sign-in failed. The page shows the kind of error, and by its code why an
// answer is not good; the log has the details.
func (in *signin) failed(v *site.Visit, a attempt, err error) error {
	if v.R.Context().Err() != nil {
		return v.R.Context().Err() // the client has disconnected
	}
	page := wrong{Kind: "wrong", Retry: a.retry()}
	if whose := in.Of(v.R.Context(), a.Tenant); whose != nil && a.To != "" {
		page.Organisation = whose.Name
	}
	if v.Session != nil {
		page.Back = v.Path()
		if a.Tenant == v.Session.Tenant && a.To != "" {
			page.Back = a.To
		}
	}
	status := http.StatusForbidden
	var refused *oidcclient.RefusedError
	switch {
	case errors.Is(err, errUnknown):
		page.Kind, status = "unknown", http.StatusBadRequest
	case errors.Is(err, errAnother):
		page.Kind = "another"
	case errors.Is(err, errStale):
		page.Kind = "stale"
	case errors.As(err, &refused) && refused.Code == "access_denied":
		page.Kind = "declined"
	case errors.As(err, &refused):
		page.Kind = "refused"
		if oauthCode.MatchString(refused.Code) {
			page.Code = refused.Code
		}
	case refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE):
		page.Kind, status = "unavailable", http.StatusServiceUnavailable
	}
	if r, is := refusal.As(err); is && page.Kind == "wrong" {
		page.Says = reason.Sentence(v.Say.Language, r.GetCodedReason())
	}
	in.trace(a, page, err)
	v.Log.Warn("sign-in failed", zap.String("organisation", page.Organisation), zap.String("kind", page.Kind),
		zap.Error(err))
	return in.show(v, "wrong", status, "signin.wrong."+page.Kind+".title", "", page)
}

// trace counts and records a sign-in that failed (R69). Who it was is not known: nothing was verified.
func (in *signin) trace(a attempt, page wrong, err error) {
	record := &lockboxv1.AccessRecord{Kind: lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED, Sender: sender,
		Reason: page.Kind}
	if page.Code != "" {
		record.Reason += ": " + page.Code
	}
	if page.Organisation != "" { // otherwise nobody knows whose sign-in it was
		record.Tenant = a.Tenant
	}
	if r, ok := refusal.As(err); ok {
		in.Counters.Refused(r)
		accesslog.Refused(record, r)
	}
	in.Trail.Add(record)
}
