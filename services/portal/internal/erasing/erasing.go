// Package erasing serves the pages on which details of people and what they wrote are erased (R63): what was, a form by
// which a customer's administrator decides it and a security officer proposes it, and the page on which a second
// officer confirms or declines. The service that receives the commands decides whether they may.
package erasing

import (
	"embed"
	"net/http"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

//go:embed all:templates
var files embed.FS

// mostListed is the most that are listed; the page has no pagination because erasures are rare.
const mostListed = 1000

const root = "erasures"

type pages struct{ *site.Pages }

// Routes returns the pages.
func Routes(s *site.Site) ([]site.Route, error) {
	parsed, err := s.ParsePages(files)
	if err != nil {
		return nil, err
	}
	p := pages{parsed}
	return []site.Route{
		{Method: http.MethodGet, Path: "/" + root, Side: site.Both, Serve: p.list},
		{Method: http.MethodGet, Path: "/" + root + "/new", Side: site.Both, Serve: p.wish},
		{Method: http.MethodPost, Path: "/" + root + "/new", Side: site.Both, Serve: p.send},
		{Method: http.MethodGet, Path: "/" + root + "/{erasure}", Side: site.Provider, Serve: p.proposal},
		{Method: http.MethodPost, Path: "/" + root + "/{erasure}", Side: site.Provider, Serve: p.settle},
	}, nil
}

// list is the data of the page that lists erasures.
type list struct {
	Visit *site.Visit
	List  []erasure
	// May reports whether the reader may have something erased.
	May bool
}

// erasure is an erasure on a page.
type erasure struct {
	*lockboxv1.ErasureView
	Visit *site.Visit
}

func (p pages) list(v *site.Visit) error {
	all, err := erasures(v, "")
	if err != nil {
		return err
	}
	d := list{Visit: v, List: all}
	if d.May, err = v.Erases(); err != nil {
		return err
	}
	return p.show(v, "list", http.StatusOK, "erasing.title", d)
}

// erasures asks for one erasure, or without an id for all that the reader may see.
func erasures(v *site.Visit, id string) (all []erasure, err error) {
	v.Under = v.Path("administration")
	if v.Session.Tenant == "" {
		v.Under = v.Path("activity")
	}
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListErasures{
		ListErasures: &lockboxv1.ListErasures{ErasureId: id, Limit: mostListed}}})
	for _, e := range reply.GetErasures().GetErasures() {
		all = append(all, erasure{e, v})
	}
	return all, err
}

func (p pages) show(v *site.Visit, name string, status int, title string, data any) error {
	title, err := v.Say.Say(title)
	if err != nil {
		return err
	}
	return v.Render(p.Pages, name, status, site.Page{Title: title, Data: data})
}

// erasers refuses everybody who may have nothing erased, as if there were no such page.
func erasers(v *site.Visit) error {
	may, err := v.Erases()
	if err == nil && !may {
		err = refusal.NotFound("path", "I9", "there is nothing here")
	}
	return err
}

// Customer reports whether the reader is one of the customer's people.
func (l list) Customer() bool { return l.Visit.Session.Tenant != "" }

// Of names whose events these are.
func (e erasure) Of() string {
	if e.GetTenant() == aggregate.ProviderTenant {
		return e.Visit.Provider
	}
	return e.Visit.TenantName(e.GetTenant())
}

// State returns the message ID of how far it has come, Tone its colour.
func (e erasure) State() string {
	return shown.ID("erasing.status", e.GetStatus().String(), "ERASURE_STATUS_")
}

// Tone is the CSS class of the state's colour.
func (e erasure) Tone() string {
	return map[lockboxv1.ErasureStatus]string{lockboxv1.ErasureStatus_ERASURE_STATUS_PROPOSED: "wait",
		lockboxv1.ErasureStatus_ERASURE_STATUS_DECIDED: "wait",
		lockboxv1.ErasureStatus_ERASURE_STATUS_ERASED:  "good"}[e.GetStatus()]
}

// Waits reports whether somebody has to decide.
func (e erasure) Waits() bool { return len(e.GetAllowed()) > 0 }

// Here returns the URL of the erasure's own page.
func (e erasure) Here() string { return e.Visit.Path(root, e.GetErasureId()) }

// Name returns an actor's display name.
func (erasure) Name(a *lockboxv1.Actor) string { return shown.Name(a.GetPerson()) }

// What says what a target is.
func (e erasure) What(t *lockboxv1.ErasureTargetView) (string, error) {
	switch {
	case t.GetPerson() != nil:
		return e.Visit.Say.Say("erasing.what.person", "Name", shown.Name(t.GetPerson()))
	case t.GetTarget().GetAddress() != nil:
		return e.Visit.Say.Say("erasing.what.address")
	case t.GetTitle() != "" && t.GetActor().GetPerson() != nil:
		return e.Visit.Say.Say("erasing.what.texts-of", "Name", shown.Name(t.GetActor().GetPerson()), "Title", t.GetTitle())
	case t.GetTitle() != "":
		return e.Visit.Say.Say("erasing.what.texts", "Title", t.GetTitle())
	}
	return e.Visit.Say.Say("erasing.what.texts-somewhere")
}

// Where says by which IDs a target is found; empty for an address.
func (erasure) Where(t *lockboxv1.ErasureTargetView) string {
	if p := t.GetTarget().GetPerson(); p != nil {
		return p.GetSubject() + " · " + p.GetIssuer()
	}
	if x := t.GetTarget().GetTexts(); x != nil {
		return x.GetKind() + "/" + x.GetAggregateId() + "/" + x.GetVersion()
	}
	return ""
}

// Keys is how many keys were destroyed.
func (e erasure) Keys() words.Counted { return words.Counted{N: int(e.GetKeysDestroyed())} }
