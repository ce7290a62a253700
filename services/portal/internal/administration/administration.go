// Package administration serves the pages on which a customer views and changes their Lockbox configuration: whether
// it is enabled, roles, invitations to them and the resulting approvers, settings, previews and subscriptions, and the
// page on which whoever was invited accepts. What a reader sees is what the queries return. Forms are shown to Global
// Administrators only; a form sent by anybody else is refused by the service that receives the command.
package administration

import (
	"embed"
	"net/http"

	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	sign "github.com/openlockbox/lockbox/services/portal/internal/signing"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

//go:embed all:templates
var files embed.FS

const root = "administration"

type pages struct{ *site.Pages }

// Routes returns the pages of the administration.
func Routes(s *site.Site) ([]site.Route, error) {
	parsed, err := s.ParsePages(files)
	if err != nil {
		return nil, err
	}
	p := pages{parsed}
	var routes []site.Route
	add := func(method, path string, serve func(*site.Visit) error) {
		routes = append(routes, site.Route{Method: method, Path: "/" + root + path, Side: site.Customer, Serve: serve})
	}
	shown := func(show func(*site.Visit, *form.Form) error) func(*site.Visit) error {
		return func(v *site.Visit) error { return show(v, form.Restored(v.R, v.Draft())) }
	}
	// Forms are posted to the URL of their own page, so that a refused form shows that page again, and the language
	// switch works on it.
	add(http.MethodGet, "", shown(p.overview))
	add(http.MethodGet, "/lockbox", shown(p.lockbox))
	add(http.MethodPost, "/lockbox", p.switchLockbox)
	add(http.MethodGet, "/settings/{setting}", shown(p.setting))
	add(http.MethodGet, "/settings/{setting}/review", shown(p.review))
	add(http.MethodPost, "/settings/{setting}", p.changeSetting)
	add(http.MethodGet, "/alternates", shown(p.alternates))
	add(http.MethodPost, "/alternates", p.changeAlternates)
	add(http.MethodGet, "/alternates/remove/{number}", shown(p.removeAlternate))
	add(http.MethodGet, "/previews", shown(p.previews))
	add(http.MethodGet, "/previews/leave", shown(p.leaving))
	add(http.MethodPost, "/previews", p.changePreviews)
	add(http.MethodGet, "/sign-in", shown(p.signIn))
	add(http.MethodGet, "/sign-in/{do}", shown(func(v *site.Visit, f *form.Form) error {
		return p.signInChange(v, f, v.R.PathValue("do"))
	}))
	add(http.MethodPost, "/sign-in", p.changeSignIn)
	add(http.MethodGet, "/sign-in/propose", func(v *site.Visit) error { return p.propose(v, drafted(v)) })
	add(http.MethodPost, "/sign-in/propose", p.proposeOnward)
	add(http.MethodGet, "/sign-in/propose/review", func(v *site.Visit) error {
		return p.proposalReview(v, drafted(v))
	})
	add(http.MethodPost, "/sign-in/propose/review", p.sendProposal)
	add(http.MethodGet, "/webhooks", shown(p.webhooks))
	add(http.MethodGet, "/webhooks/remove/{webhook}", shown(func(v *site.Visit, f *form.Form) error {
		return p.removeWebhook(v, f, v.R.PathValue("webhook"))
	}))
	add(http.MethodPost, "/webhooks", p.changeWebhooks)
	for _, scope := range []string{"/roles", "/subscriptions/{subscription}"} {
		add(http.MethodGet, scope, shown(p.scope))
		add(http.MethodPost, scope, p.changeRole)
		add(http.MethodGet, scope+"/assign", shown(p.assignment))
		add(http.MethodPost, scope+"/assign", p.assign)
		add(http.MethodGet, scope+"/remove/{assignment}", shown(p.removal))
		add(http.MethodGet, scope+"/invite", shown(p.invitation))
		add(http.MethodPost, scope+"/invite", p.invite)
		add(http.MethodGet, scope+"/invitations/{invitation}", shown(p.invitee))
		add(http.MethodPost, scope+"/invitations/{invitation}", p.changeInvitation)
	}
	// The page that an invitation's link leads to.
	routes = append(routes,
		site.Route{Method: http.MethodGet, Path: "/invitation", Side: site.Customer, Serve: func(v *site.Visit) error {
			return p.accepting(v, form.Empty())
		}},
		site.Route{Method: http.MethodPost, Path: "/invitation", Side: site.Customer, Serve: p.accept})
	return routes, nil
}

// looking is a visit to a page of the tenant's, with the form on it.
type looking struct {
	*site.Visit
	Tenant *lockboxv1.TenantView
	Form   *form.Form
	me     *lockboxv1.SelfView
}

func look(v *site.Visit, f *form.Form) (looking, error) {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
	if err != nil {
		return looking{}, err
	}
	me, err := v.Self()
	return looking{Visit: v, Tenant: reply.GetTenant(), Form: f, me: me}, err
}

// whole is look for pages that require sight of the whole tenant.
func whole(v *site.Visit, f *form.Form) (looking, error) {
	l, err := look(v, f)
	if err == nil && l.Tenant.GetPartial() {
		err = refusal.NotFound("path", "I9", "there is nothing here")
	}
	return l, err
}

// Administrator reports whether the reader may change the configuration.
func (l looking) Administrator() (bool, error) {
	return l.Holds(lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)
}

// Saved reports whether the reader has been redirected here after a change.
func (l looking) Saved() bool { return l.R.URL.Query().Get("after") != "" }

// Command returns a new command ID for a form.
func (looking) Command() (string, error) { return form.NewID() }

// To returns the URL of a page of the administration.
func (l looking) To(parts ...string) string {
	return l.Path(append([]string{root}, parts...)...)
}

// Number counts from one.
func (looking) Number(i int) int { return i + 1 }

// unknown refuses a form with a value that its page does not offer.
func unknown() error {
	return refusal.Invalid("do", "bad input", "is not what the page's own form says")
}

// show renders a page; the status says whether the form on it was accepted.
func (p pages) show(l looking, name, title string, data any) error {
	title, err := l.Say.Say(title)
	if err != nil {
		return err
	}
	status := http.StatusOK
	switch {
	case len(l.Form.Problems) > 0:
		status = http.StatusBadRequest
	case l.Form.Refusal != nil:
		status = http.StatusConflict
	}
	return l.Render(p.Pages, name, status, site.Page{Title: title, Data: data})
}

func (p pages) overview(v *site.Visit, f *form.Form) error {
	l, err := look(v, f)
	if err != nil {
		return err
	}
	return p.show(l, "overview", "administration.title", l)
}

// change is the change that a form requests.
type change struct {
	*site.Visit
	form    *form.Form
	command *lockboxv1.Command
	// fields maps the service's field names to those of the form.
	fields map[string]form.Field
	// then is the URL of the page that shows the result.
	then string
	// again renders the form again with its errors.
	again func(*site.Visit, *form.Form) error
}

// onWhatWasSeen sends the command for the version that the reader saw, so that the service refuses it if another change
// came first.
func (c change) onWhatWasSeen() (err error) {
	if c.command.SeenVersion, err = c.form.Number("seen"); err != nil {
		return err
	}
	return c.send()
}

func (c change) send() (err error) {
	if c.command.Id, err = c.form.CommandID(); err != nil {
		return err
	}
	if shows, err := sign.Change(c.Visit, c.command, c.then); err != nil || shows {
		return err
	}
	reply, err := c.Do(c.command)
	if err != nil {
		return c.refused(err)
	}
	return c.Redirect(c.then, reply.GetSequence())
}

// refused shows the form again if the reader can correct the error.
func (c change) refused(err error) error {
	if r, is := refusal.As(err); is && keychain.Attempt(r) {
		c.form.Refusal = r
	} else if !c.form.Refused(err, c.fields) {
		return err
	}
	c.Counters.Refused(refusal.Of(err))
	return c.again(c.Visit, c.form)
}
