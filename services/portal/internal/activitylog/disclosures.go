package activitylog

import (
	"net/http"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// mostDisclosures is as many as are listed at once. They are rare.
const mostDisclosures = 1000

// disclosures are what happened to the customer's data outside of any request.
type disclosures struct {
	Visit *site.Visit
	List  []*lockboxv1.DisclosureView
}

func (p pages) disclosures(v *site.Visit) error {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListDisclosures{
		ListDisclosures: &lockboxv1.ListDisclosures{Limit: mostDisclosures}}})
	if err != nil {
		return err
	}
	title, err := v.Say.Say("activity.disclosures")
	if err != nil {
		return err
	}
	return v.Render(p.Pages, "disclosures", http.StatusOK,
		site.Page{Title: title, Data: disclosures{v, reply.GetDisclosures().GetDisclosures()}})
}

// Customer reports whether the reader is one of the customer's people.
func (d disclosures) Customer() bool { return d.Visit.Session.Tenant != "" }

// Embargoed reports whether the customer may not be told yet.
func (d disclosures) Embargoed(one *lockboxv1.DisclosureView) bool {
	return one.GetToldAt() == nil && one.GetEmbargoUntil() != nil && one.GetEmbargoUntil().AsTime().After(d.Visit.Now())
}

// Name is what somebody is called.
func (disclosures) Name(a *lockboxv1.Actor) string { return name(a) }
