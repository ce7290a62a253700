// Package signin signs people in and out, at their own organisation's issuer with OpenID Connect's authorization code
// flow. The organisation is determined by the link that a visitor followed, or by the domain of their e-mail address.
//
// The state of a sign-in travels with the browser, in a separate cookie for each, so any replica of the portal can
// complete it, and several tabs do not interfere with each other. The portal stores nothing before the sign-in is
// complete.
package signin

import (
	"context"
	"embed"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

//go:embed all:templates
var files embed.FS

const (
	// callbackPath is the redirect URI's path.
	callbackPath = "/callback"
	signOutPath  = "/signout"
)

// farewellTimeout limits how long sign-out waits to learn the issuer's own sign-out URL.
const farewellTimeout = time.Second

// Keeper starts sessions: session.Sessions.
type Keeper interface {
	// Begin signs a person in, replacing any previous session.
	Begin(w http.ResponseWriter, r *http.Request, who session.Session) error
}

type signin struct {
	*site.Site
	keeper   Keeper
	pages    *site.Pages
	issuers  map[string]*issuer // keyed by tenant
	callback string
}

// Mount serves the pages that need no session. url is the portal's public base URL.
func Mount(mux *http.ServeMux, s *site.Site, keeper Keeper, url string) error {
	pages, err := s.ParsePages(files)
	if err != nil {
		return err
	}
	in := &signin{Site: s, keeper: keeper, pages: pages, issuers: map[string]*issuer{}, callback: url + callbackPath}
	for _, o := range s.Organisations {
		client := oidcclient.Client{Issuer: o.Issuer, ID: o.ClientID, Now: s.Now}
		if o.ClientSecretFile != "" {
			if client.Secret, err = o.ClientSecretFile.Read(); err != nil {
				return fmt.Errorf("portal: %s: %w", o.Name, err)
			}
		}
		in.issuers[o.Tenant] = &issuer{client: client}
	}
	mux.HandleFunc("GET /{$}", s.Open(in.home))
	mux.HandleFunc("GET "+site.SignInPath, s.Open(in.ask))
	mux.HandleFunc("POST "+site.SignInPath, s.Open(in.asked))
	mux.HandleFunc("GET "+callbackPath, s.Open(in.back))
	mux.HandleFunc("GET "+signOutPath, s.Open(in.gone))
	mux.HandleFunc("POST "+signOutPath, s.Open(in.out))
	return nil
}

// home redirects visitors of the root path.
func (*signin) home(v *site.Visit) error {
	to := site.SignInPath
	if v.Session != nil {
		to = v.Path()
	}
	http.Redirect(v.W, v.R, to, http.StatusSeeOther)
	return nil
}

// ask redirects to the issuer of the organisation whose page was requested, or asks for the visitor's organisation.
func (in *signin) ask(v *site.Visit) error {
	to := v.R.URL.Query().Get("to")
	whose := owner(in.Organisations, to)
	if v.Session != nil && v.R.URL.Query().Has(site.AgainParameter) {
		if whose == nil || whose.Tenant != v.Session.Tenant {
			to = v.Path()
		}
		return in.leave(v, v.Organisation, attempt{To: to, Subject: v.Session.Subject}, nil)
	}
	if whose == nil {
		return in.form(v, http.StatusOK, form{})
	}
	return in.leave(v, whose, attempt{To: to}, nil)
}

// asked handles the form that ask shows.
func (in *signin) asked(v *site.Visit) error {
	f := form{Email: strings.TrimSpace(v.R.PostFormValue("email"))}
	if input.Email("email", f.Email) != nil {
		f.Wrong = "signin.email-wrong"
		return in.form(v, http.StatusBadRequest, f)
	}
	whose := in.Organisations.OfEmail(f.Email)
	if whose == nil {
		f.Wrong = "signin.email-unknown"
		return in.form(v, http.StatusBadRequest, f)
	}
	return in.leave(v, whose, attempt{To: whose.Base()}, url.Values{"login_hint": {f.Email}})
}

// form asks for an e-mail address; Wrong is the ID of the error message for the one entered.
type form struct{ Email, Wrong string }

func (in *signin) form(v *site.Visit, status int, f form) error {
	return in.show(v, "ask", status, "signin.title", "", f)
}

// leaving is the data of the page that leads to an issuer.
type leaving struct {
	*organisation.Organisation
	Address string
	// Again reports that a fresh sign-in is required, at most Age old if that is known. Back is the URL for declining.
	Again bool
	Age   time.Duration
	Back  string
}

// leave shows the page that leads to an organisation's issuer. The browser follows it automatically, unless people must
// first read why they are asked again. It is a page rather than a redirect because browsers do not let a form's
// response lead to another site through any number of redirects (form-action).
func (in *signin) leave(v *site.Visit, whose *organisation.Organisation, a attempt, ask url.Values) error {
	a.Tenant, a.Begun = whose.Tenant, v.Now()
	at, err := in.issuers[whose.Tenant].open(v.R.Context())
	if err != nil {
		return in.failed(v, a, err)
	}
	parameters := url.Values{"ui_locales": {v.Say.Language}}
	for name, values := range ask {
		parameters[name] = values
	}
	page := leaving{Organisation: whose, Again: a.Subject != "", Back: a.To}
	if page.Again {
		parameters.Set("prompt", "login")
		parameters.Set("max_age", "0")
		if self, err := v.Self(); err == nil { // the page can do without
			page.Age = self.GetMaxAuthenticationAge().AsDuration()
		}
	}
	page.Address, a.Attempt = at.Begin(in.callback, parameters)
	if err := in.keep(v, a); err != nil {
		return err
	}
	if page.Again {
		return in.show(v, "again", http.StatusOK, "signin.again.title", "", page)
	}
	return in.show(v, "leave", http.StatusOK, "signin.leave.title", page.Address, page)
}

// out signs out.
func (in *signin) out(v *site.Visit) error {
	left := farewell{Organisation: v.Organisation}
	if err := v.Sessions.End(v.W, v.R); err != nil {
		return err
	}
	v.Session, v.Organisation = nil, nil
	if left.Organisation != nil {
		soon, cancel := context.WithTimeout(v.R.Context(), farewellTimeout)
		defer cancel()
		if at, err := in.issuers[left.Tenant].open(soon); err == nil && at.EndSession != "" {
			left.There = at.EndSession + "?" + url.Values{"client_id": {at.ID}}.Encode()
		}
	}
	return in.show(v, "out", http.StatusOK, "signin.out.title", "", left)
}

// gone shows the page after sign-out in another language, or reloaded. It signs nobody out.
func (in *signin) gone(v *site.Visit) error {
	if v.Session != nil {
		return in.home(v)
	}
	return in.show(v, "out", http.StatusOK, "signin.out.title", "", farewell{})
}

// farewell is the data of the page after sign-out. The organisation is nil if nobody was signed in; There is the
// sign-out URL of its issuer, if it has one.
type farewell struct {
	*organisation.Organisation
	There string
}

// show renders one of these pages, without navigation: querying the visitor's roles for it could fail.
func (in *signin) show(v *site.Visit, page string, status int, title, refresh string, data any) error {
	text, err := v.Say.Say(title)
	if err != nil {
		return err
	}
	return v.Render(in.pages, page, status, site.Page{Title: text, Nav: []site.NavItem{}, Refresh: refresh, Data: data})
}
