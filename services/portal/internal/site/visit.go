package site

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

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

// Visit is one request of somebody who is signed in, or, on the few pages for everybody, of anybody.
type Visit struct {
	*Site
	W http.ResponseWriter
	R *http.Request
	// Say speaks the visitor's language.
	Say *words.Speaker
	// Organisation and Session are nil for whoever is not signed in.
	Organisation *organisation.Organisation
	Session      *session.Session
	// Under is the page of the navigation that this one belongs to; empty: its address says it.
	Under string

	self *lockboxv1.SelfView
}

// Open is a page for everybody, signed in or not.
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

// identify finds out who this is.
func (v *Visit) identify() error {
	current, err := v.Sessions.Current(v.R)
	if err != nil || current == nil {
		return err
	}
	if v.Organisation = v.Organisations.OfTenant(current.Tenant); v.Organisation == nil {
		return nil // it was taken out of the configuration: its people are strangers
	}
	v.Session = current
	v.Say = v.speaker(current.Language)
	return nil
}

func (v *Visit) enter(route Route) error {
	if err := v.identify(); err != nil {
		return err
	}
	if v.Session == nil {
		return errSignIn
	}
	if base := v.Organisation.Base(); v.R.URL.Path != base && !strings.HasPrefix(v.R.URL.Path, base+"/") {
		return refusal.NotFound("path", "I9", "there is nothing here")
	}
	if v.R.Method == http.MethodPost {
		if err := v.R.ParseForm(); err != nil {
			return refusal.Invalid("form", "bad input", "cannot be read, or is larger than %d bytes", maxForm)
		}
	}
	return route.Serve(v)
}

// speaker chooses the language: the link's, which is kept; else the one kept; else the person's own; else the
// browser's.
func (v *Visit) speaker(own string) *words.Speaker {
	if s := v.Words.In(v.R.URL.Query().Get("lang")); s != nil {
		http.SetCookie(v.W, &http.Cookie{ // #nosec G124 -- not Secure only on http on this machine
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

// Ask asks about the visitor's own tenant, or as one of the provider's people about all, in the visitor's language.
// With `after` in the address, the answer holds everything up to that sequence: people read their own writes.
func (v *Visit) Ask(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
	q.Tenant, q.Language = v.Session.Tenant, v.Say.Language
	if after, err := strconv.ParseUint(v.R.URL.Query().Get("after"), 10, 64); err == nil {
		q.MinSequence = after
	}
	return v.Caller.Ask(v.R.Context(), v.Session.Token, q)
}

// Do does something. The command's tenant is the visitor's own; one of the provider's people names it.
func (v *Visit) Do(c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	if v.Session.Tenant != "" {
		c.Tenant = v.Session.Tenant
	}
	return v.Caller.Do(v.R.Context(), v.Session.Token, c)
}

// Self is who the visitor is and which roles they hold now; asked once.
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

// Holds reports whether the visitor holds one of these roles now, anywhere in their tenant.
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

// Path is the address of a page of the visitor's organisation: Path("requests", id).
func (v *Visit) Path(parts ...string) string {
	path := v.Organisation.Base()
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// TenantName is what a customer is called here; one that is not configured is called by its id.
func (v *Visit) TenantName(tenant string) string {
	if o := v.Organisations.OfTenant(tenant); o != nil {
		return o.Name
	}
	return tenant
}

// Redirect sends the browser to a page of the visitor's organisation after a command that caused this sequence.
func (v *Visit) Redirect(path string, sequence uint64) error {
	if sequence > 0 {
		path += "?after=" + strconv.FormatUint(sequence, 10)
	}
	http.Redirect(v.W, v.R, path, http.StatusSeeOther)
	return nil
}
