// Package administration is the pages on which a customer sees and changes how Lockbox works for them: whether it is
// on, who decides and who would be asked, settings, previews, subscriptions. What somebody sees is what the queries
// answer; forms are shown to Global Administrators only, and whoever sends one without being one hears from the service
// that refuses.
package administration

import (
	"embed"
	"net/http"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

//go:embed all:templates
var files embed.FS

const root = "administration"

type pages struct{ *site.Pages }

// Routes are the pages of the administration.
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
		return func(v *site.Visit) error { return show(v, form.Sent(v.R)) }
	}
	// What is done on a page is sent to its own address: refused, it is that page, in every language.
	add(http.MethodGet, "", shown(p.overview))
	add(http.MethodGet, "/lockbox", shown(p.lockbox))
	add(http.MethodPost, "/lockbox", p.switchLockbox)
	add(http.MethodGet, "/settings/{setting}", shown(p.setting))
	add(http.MethodGet, "/settings/{setting}/review", shown(p.review))
	add(http.MethodPost, "/settings/{setting}", p.changeSetting)
	add(http.MethodGet, "/alternates", shown(p.alternates))
	add(http.MethodPost, "/alternates", p.changeAlternates)
	add(http.MethodGet, "/previews", shown(p.previews))
	add(http.MethodGet, "/previews/leave", shown(p.leaving))
	add(http.MethodPost, "/previews", p.changePreviews)
	add(http.MethodGet, "/register", shown(p.registration))
	add(http.MethodPost, "/register", p.register)
	for _, scope := range []string{"/roles", "/subscriptions/{subscription}"} {
		add(http.MethodGet, scope, shown(p.scope))
		add(http.MethodPost, scope, p.changeRole)
		add(http.MethodGet, scope+"/assign", shown(p.assignment))
		add(http.MethodPost, scope+"/assign", p.assign)
		add(http.MethodGet, scope+"/remove/{assignment}", shown(p.removal))
	}
	return routes, nil
}

// looking is somebody who looks at their tenant, with what they filled in.
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

// whole is look for pages about what only those see who see the whole tenant.
func whole(v *site.Visit, f *form.Form) (looking, error) {
	l, err := look(v, f)
	if err == nil && l.Tenant.GetSettings() == nil {
		err = refusal.NotFound("", "I9", "there is nothing here")
	}
	return l, err
}

// Administrator reports whether the reader may change things.
func (l looking) Administrator() (bool, error) {
	return l.Holds(lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)
}

// Saved reports whether the reader comes from changing something.
func (l looking) Saved() bool { return l.R.URL.Query().Get("after") != "" }

// Command is an id for one form.
func (looking) Command() (string, error) { return form.NewID() }

// To is the address of a page of the administration.
func (l looking) To(parts ...string) string {
	return l.Path(append([]string{root}, parts...)...)
}

// unknown refuses a form that asks for what its page does not offer.
func unknown() error {
	return refusal.Invalid("do", "bad input", "is not what the page's own form says")
}

// show answers with a page, whose status says whether what was filled in was accepted.
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

// change is what a form asks for.
type change struct {
	*site.Visit
	form    *form.Form
	command *lockboxv1.Command
	// fields are the form's, by the names that the service has for them.
	fields map[string]form.Field
	// then is the page that shows what has become of it.
	then string
	// again shows the form once more, with what is wrong with it.
	again func(*site.Visit, *form.Form) error
}

// onWhatWasSeen sends it, on the version that the reader had before their eyes.
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
	reply, err := c.Do(c.command)
	if err != nil {
		return c.refused(err)
	}
	return c.Redirect(c.then, reply.GetSequence())
}

// refused shows the form again if the reader can do something about it.
func (c change) refused(err error) error {
	if !c.form.Refused(err, c.fields) {
		return err
	}
	c.Counters.Refused(refusal.Of(err))
	return c.again(c.Visit, c.form)
}
