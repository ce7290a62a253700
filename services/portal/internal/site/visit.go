package site

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

const (
	languageCookie = "lockbox-language"
	maxForm        = 256 << 10 // bytes
	yearInSeconds  = 365 * 24 * 60 * 60
)

// Visit is one request of a person who is signed in or, on the few open pages, of anybody.
type Visit struct {
	*Site
	W http.ResponseWriter
	R *http.Request
	// Say returns messages in the visitor's language.
	Say *words.Speaker
	// Organisation and Session are nil if the visitor is not signed in.
	Organisation *organisation.Organisation
	Session      *session.Session
	// Under is the page of the navigation that this one belongs to; if empty, the URL determines it.
	Under string

	self *lockboxv1.SelfView
}

// Open serves a page that needs no session.
func (s *Site) Open(serve func(*Visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := s.visit(w, r)
		err := v.identify()
		if err == nil {
			err = serve(v)
		}
		if err != nil {
			v.fail(err)
		}
	}
}

func (s *Site) visit(w http.ResponseWriter, r *http.Request) *Visit {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	v := &Visit{Site: s, W: w, R: r}
	v.Say = v.speaker("")
	return v
}

// identify finds the visitor's session.
func (v *Visit) identify() error {
	current, err := v.Sessions.Current(v.R)
	if err != nil || current == nil {
		return err
	}
	if v.Organisation = v.Of(v.R.Context(), current.Tenant); v.Organisation == nil {
		return nil // the organisation is not known any more: treat its people as not signed in
	}
	v.Session = current
	v.Say = v.speaker(current.Language).At(v.zone())
	return nil
}

func (v *Visit) enter(route Route) error {
	if err := v.identify(); err != nil {
		return err
	}
	if v.Session == nil {
		_ = v.R.ParseForm() // what cannot be read is not kept
		return errSignIn
	}
	if base := v.Organisation.Base(); v.R.URL.Path != base && !strings.HasPrefix(v.R.URL.Path, base+"/") {
		return refusal.NotFound("path", "I9", "there is nothing here")
	}
	if v.R.Method == http.MethodPost {
		if err := v.R.ParseForm(); err != nil {
			return refusal.Invalid("form", "bad input", "cannot be read, or is larger than %d bytes", maxForm)
		}
		v.sent()
	}
	return route.Serve(v)
}

// speaker chooses the language: that of the link, which is then kept; else the one kept; else the person's own; else
// the browser's.
func (v *Visit) speaker(own string) *words.Speaker {
	if s := v.Words.In(v.R.URL.Query().Get("lang")); s != nil {
		http.SetCookie(v.W, &http.Cookie{ // #nosec G124 -- insecure only for http on localhost
			Name: languageCookie, Value: s.Language, Path: "/", MaxAge: yearInSeconds, HttpOnly: true, Secure: v.Secure,
			SameSite: http.SameSiteLaxMode,
		})
		return s
	}
	if c, err := v.R.Cookie(languageCookie); err == nil {
		if s := v.Words.In(c.Value); s != nil {
			return s
		}
	}
	if s := v.Words.In(own); s != nil {
		return s
	}
	return v.Words.Best(v.R.Header.Get("Accept-Language"))
}

// Ask sends a query about the visitor's own tenant, or for the provider's people about all tenants, in the visitor's
// language. If the URL has `after`, the reply includes everything up to that sequence, so that people read their own
// writes.
func (v *Visit) Ask(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) { return v.AskAbout("", q) }

// AskAbout is Ask about one customer, whom the provider's people choose. A customer's people always ask about their
// own.
func (v *Visit) AskAbout(tenant string, q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
	if v.Session.Tenant != "" {
		tenant = v.Session.Tenant
	}
	q.Tenant, q.Language = tenant, v.Say.Language
	if after, err := strconv.ParseUint(v.R.URL.Query().Get("after"), 10, 64); err == nil {
		q.MinSequence = after
	}
	reply, err := v.Caller.Ask(v.R.Context(), v.Session.Token, q)
	if err != nil {
		return nil, err
	}
	return reply, v.sayErased(reply.ProtoReflect())
}

// InGroup reports whether the visitor is one of the provider's people and in one of these groups.
func (v *Visit) InGroup(groups ...string) (bool, error) {
	if v.Session.Tenant != "" {
		return false, nil
	}
	self, err := v.Self()
	return aggregate.Provider(self.GetActor(), groups...), err
}

// Do sends a command. The tenant is the visitor's own; the provider's people name it in the command.
func (v *Visit) Do(c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	if v.Session.Tenant != "" {
		c.Tenant = v.Session.Tenant
	}
	return v.Caller.Do(v.R.Context(), v.Session.Token, c)
}

// Self returns the visitor's identity and current roles; it queries only once.
func (v *Visit) Self() (*lockboxv1.SelfView, error) {
	if v.self == nil {
		reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}})
		if err != nil {
			return nil, err
		}
		v.self = reply.GetSelf()
	}
	return v.self, nil
}

// Account returns the visitor's account, by which what is theirs is recognised; it has no name and address.
func (v *Visit) Account() (*lockboxv1.Person, error) {
	if v.Session.Issuer != "" {
		return &lockboxv1.Person{Issuer: v.Session.Issuer, Subject: v.Session.Subject}, nil
	}
	self, err := v.Self()
	return self.GetActor().GetPerson(), err
}

// Holds reports whether the visitor currently has one of these roles anywhere in their tenant.
func (v *Visit) Holds(roles ...lockboxv1.Role) (bool, error) {
	self, err := v.Self()
	for _, held := range self.GetRoles() {
		for _, role := range roles {
			if held.GetRole() == role {
				return true, err
			}
		}
	}
	return false, err
}

// Path returns the URL of a page of the visitor's organisation: Path("requests", id).
func (v *Visit) Path(parts ...string) string {
	path := v.Organisation.Base()
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// TenantName returns a customer's display name, or the tenant's ID if it is not configured.
func (v *Visit) TenantName(tenant string) string {
	if o := v.Of(v.R.Context(), tenant); o != nil {
		return o.Name
	}
	return tenant
}

// Redirect sends the browser to a page of the visitor's organisation after a command that resulted in this sequence.
func (v *Visit) Redirect(path string, sequence uint64) error {
	if sequence > 0 {
		path += "?after=" + strconv.FormatUint(sequence, 10)
	}
	http.Redirect(v.W, v.R, path, http.StatusSeeOther)
	return nil
}
