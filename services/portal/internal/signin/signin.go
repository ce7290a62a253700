// Package signin is how people come in and go: at their own organisation's issuer, with OpenID Connect's authorization
// code flow. The organisation is found by the link that somebody followed, or by the domain of their e-mail address.
//
// What a sign-in needs to be finished travels with the browser, in a cookie of its own for each, so any copy of the
// portal can finish it, and several tabs do not disturb each other. Nothing is kept here before somebody has signed in.
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
	// callbackPath is where issuers send people back to.
	callbackPath = "/callback"
	signOutPath  = "/signout"
)

// farewellTimeout is how long somebody who has signed out waits to hear where else they may want to.
const farewellTimeout = time.Second

// Keeper begins sessions: session.Sessions.
type Keeper interface {
	// Begin signs somebody in, in place of whoever was.
	Begin(w http.ResponseWriter, r *http.Request, who session.Session) error
}

type signin struct {
	*site.Site
	keeper   Keeper
	pages    *site.Pages
	issuers  map[string]*issuer // by tenant
	callback string
}

// Mount serves the pages that are for everybody. url is how browsers reach the portal.
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

// home is where people go who name no page.
func (*signin) home(v *site.Visit) error {
	to := site.SignInPath
	if v.Session != nil {
		to = v.Path()
	}
	http.Redirect(v.W, v.R, to, http.StatusSeeOther)
	return nil
}

// ask goes straight on to the issuer of whose page is wanted, and else asks whose people the visitor is one of.
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

// asked is what somebody answers to ask.
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

// form asks for an e-mail address; Wrong says what is wrong with the one that was given.
type form struct{ Email, Wrong string }

func (in *signin) form(v *site.Visit, status int, f form) error {
	return in.show(v, "ask", status, "signin.title", "", f)
}

// leaving leads to an issuer.
type leaving struct {
	*organisation.Organisation
	Address string
	// Again: it is a fresh sign-in that is wanted, of at most this Age if that is known. Back is the way not to.
	Again bool
	Age   time.Duration
	Back  string
}

// leave shows the way to an organisation's issuer. The browser takes it by itself, except where people must read first
// why they are asked again. It is a page and not a redirect, because browsers do not let a form's answer lead to
// another site, over any number of redirects (form-action).
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
		if self, err := v.Self(); err == nil { // it can be said without
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

// gone is the same page in another language, or reloaded. It signs nobody out.
func (in *signin) gone(v *site.Visit) error {
	if v.Session != nil {
		return in.home(v)
	}
	return in.show(v, "out", http.StatusOK, "signin.out.title", "", farewell{})
}

// farewell is for who has signed out of an organisation, nil: of none; There is where they sign out at its issuer, if
// anywhere.
type farewell struct {
	*organisation.Organisation
	There string
}

// show answers with one of these pages. None has the ways that a visitor's organisation has: asking what they hold
// could fail.
func (in *signin) show(v *site.Visit, page string, status int, title, refresh string, data any) error {
	text, err := v.Say.Say(title)
	if err != nil {
		return err
	}
	return v.Render(in.pages, page, status, site.Page{Title: text, Nav: []site.NavItem{}, Refresh: refresh, Data: data})
}
