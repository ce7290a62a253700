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
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/pkg/input"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"go.uber.org/zap"
)

//go:embed all:templates
var files embed.FS

// Files are what its pages are made of.
func Files() fs.FS { return files }

const (
	// callbackPath is the redirect URI's path.
	callbackPath = "/callback"
	signOutPath  = "/signout"
	// keysPath is where issuers get the portal's public keys (RFC 7517).
	keysPath = "/.well-known/jwks.json"
)

// recordTimeout limits how long whoever signed in waits until that is recorded.
const recordTimeout = 2 * time.Second

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
	issuers  map[string]*issuer // of what is configured, keyed by tenant
	callback string

	mu      sync.Mutex
	foreign map[foreign]*issuer // of what tenants registered
}

// foreign is how a tenant registered the portal.
type foreign struct {
	issuer, client, authorities string
	key                         bool
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
		if client.RootCAs, err = jwks.Roots(o.CAFile); err != nil {
			return fmt.Errorf("portal: %s: authorities of its issuer: %w", o.Name, err)
		}
		if o.ClientSecretFile != "" {
			if client.Secret, err = o.ClientSecretFile.Read(); err != nil {
				return fmt.Errorf("portal: %s: %w", o.Name, err)
			}
		}
		if o.PrivateKeyJWT {
			client.Key = s.Key
		}
		in.issuers[o.Tenant] = &issuer{client: client}
	}
	mux.HandleFunc("GET /{$}", s.Open(in.home))
	mux.HandleFunc("GET "+site.SignInPath, s.Open(in.ask))
	mux.HandleFunc("POST "+site.SignInPath, s.Open(in.asked))
	mux.HandleFunc("GET "+callbackPath, s.Open(in.back))
	mux.HandleFunc("GET "+signOutPath, s.Open(in.gone))
	mux.HandleFunc("POST "+signOutPath, s.Open(in.out))
	if s.Key != nil {
		mux.HandleFunc("GET "+keysPath, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/jwk-set+json")
			_, _ = w.Write(s.Key.Public()) // the client may have disconnected
		})
	}
	return nil
}

// mostForeign limits how many issuers of registered organisations are remembered.
const mostForeign = 1024

// at returns the issuer of an organisation, as it describes itself.
func (in *signin) at(ctx context.Context, whose *organisation.Organisation) (*oidcclient.Issuer, error) {
	if !whose.Foreign {
		return in.issuers[whose.Tenant].open(ctx)
	}
	key := foreign{whose.Issuer, whose.ClientID, string(whose.Authorities), whose.PrivateKeyJWT}
	in.mu.Lock()
	i := in.foreign[key]
	if i == nil {
		through, err := jwks.Transport(whose.Issuer, whose.Authorities)
		if err != nil {
			in.mu.Unlock()
			return nil, err
		}
		if in.foreign == nil || len(in.foreign) >= mostForeign {
			in.foreign = map[foreign]*issuer{}
		}
		i = &issuer{client: oidcclient.Client{Issuer: whose.Issuer, ID: whose.ClientID, Now: in.Now, Transport: through}}
		if whose.PrivateKeyJWT {
			i.client.Key = in.Key
		}
		in.foreign[key] = i
	}
	in.mu.Unlock()
	return i.open(ctx)
}

// owner returns the organisation that a URL belongs to, configured or registered; nil if it is none's.
func (in *signin) owner(v *site.Visit, to string) *organisation.Organisation {
	if whose := owner(in.Organisations, to); whose != nil {
		return whose
	}
	below, is := strings.CutPrefix(to, "/t/")
	end := strings.IndexAny(below, "/?")
	if end < 0 {
		end = len(below)
	}
	if !is {
		return nil
	}
	return owner(in.Registered.OfTenant(v.R.Context(), below[:end]), to)
}

// record says that somebody of a customer signed in: it ends what the provider may do for customers that nobody can
// sign in to (R65). If it cannot be said, the first command says it.
func (in *signin) record(v *site.Visit, whose *organisation.Organisation, token string) {
	if whose.Tenant == "" {
		return
	}
	ctx, cancel := context.WithTimeout(v.R.Context(), recordTimeout)
	defer cancel()
	if _, err := in.Caller.Do(ctx, token, &lockboxv1.Command{Tenant: whose.Tenant,
		Action: &lockboxv1.Command_SignIn{SignIn: &lockboxv1.SignIn{}}}); err != nil {
		v.Log.Warn("a sign-in was not recorded", zap.String("tenant", whose.Tenant), zap.Error(err))
		return
	}
	if err := in.recordFirst(ctx, whose.Tenant, token); err != nil {
		v.Log.Warn("a first sign-in was not recorded", zap.String("tenant", whose.Tenant), zap.Error(err))
	}
}

// recordFirst says that somebody who holds a role on a subscription signed in for the first time, so that they are no
// longer shown as somebody who never has (R66).
func (in *signin) recordFirst(ctx context.Context, tenant, token string) error {
	reply, err := in.Caller.Ask(ctx, token, &lockboxv1.Query{Tenant: tenant,
		Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}})
	if err != nil || reply.GetSelf().GetFirstSignIn() == "" {
		return err
	}
	_, err = in.Caller.Do(ctx, token, &lockboxv1.Command{Tenant: tenant, AggregateId: reply.GetSelf().GetFirstSignIn(),
		Action: &lockboxv1.Command_SignIn{SignIn: &lockboxv1.SignIn{}}})
	return err
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
	whose := in.owner(v, to)
	if v.Session != nil && v.R.URL.Query().Has(site.AgainParameter) {
		if whose == nil || whose.Tenant != v.Session.Tenant {
			to = v.Path()
		}
		return in.leave(v, in.signedInAt(v), attempt{To: to, Subject: v.Session.Subject}, nil)
	}
	if whose == nil {
		return in.form(v, http.StatusOK, form{})
	}
	return in.onward(v, whose, to, nil)
}

// signedInAt returns the visitor's organisation with the issuer of their session.
func (in *signin) signedInAt(v *site.Visit) *organisation.Organisation {
	if v.Organisation.Issuer != v.Session.Issuer && v.Session.Issuer != "" {
		if whose := in.Offered(v.R.Context(), v.Session.Tenant).At(v.Session.Issuer); whose != nil {
			return whose
		}
	}
	return v.Organisation
}

// issuerParameter names the issuer that a visitor chose.
const issuerParameter = "issuer"

// choice is the data of the page on which somebody says at which of their organisation's issuers they sign in.
type choice struct {
	*organisation.Organisation
	Offered []offered
}

type offered struct{ Issuer, Address string }

// onward leads to an organisation's issuer, or asks at which one if several are accepted.
func (in *signin) onward(v *site.Visit, whose *organisation.Organisation, to string, ask url.Values) error {
	all := in.Offered(v.R.Context(), whose.Tenant)
	if chosen := all.At(v.R.URL.Query().Get(issuerParameter)); chosen != nil {
		return in.leave(v, chosen, attempt{To: to}, ask)
	}
	if len(all) < 2 {
		return in.leave(v, whose, attempt{To: to}, ask)
	}
	page := choice{Organisation: whose}
	for _, o := range all {
		page.Offered = append(page.Offered, offered{o.Issuer,
			site.SignInPath + "?" + url.Values{"to": {to}, issuerParameter: {o.Issuer}}.Encode()})
	}
	return in.show(v, "choose", http.StatusOK, "signin.choose.title", "", page)
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
	return in.onward(v, whose, whose.Base(), url.Values{"login_hint": {f.Email}})
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
	a.Tenant, a.Issuer, a.Begun = whose.Tenant, whose.Issuer, v.Now()
	at, err := in.at(v.R.Context(), whose)
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
	var signedIn *organisation.Organisation
	if v.Session != nil {
		signedIn = in.signedInAt(v)
	}
	if err := v.Sessions.End(v.W, v.R); err != nil {
		return err
	}
	v.Session, v.Organisation = nil, nil
	if signedIn != nil {
		soon, cancel := context.WithTimeout(v.R.Context(), farewellTimeout)
		defer cancel()
		if at, err := in.at(soon, signedIn); err == nil && at.EndSession != "" {
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
	return v.Render(in.pages, page, status, site.Page{Title: text, Nav: []site.NavItem{}, Refresh: refresh, Data: data,
		Script: "invitation.js"}) // an invitation's link leads here first
}
