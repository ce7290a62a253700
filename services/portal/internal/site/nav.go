package site

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

// NavItem is a link in the navigation.
type NavItem struct {
	Label, Path string
	// Here is the value of aria-current for this page and the pages above it; empty for all others.
	Here string
	// Count is the number of requests there that await the visitor; empty if none.
	Count string
}

// nav returns the navigation for the visitor's organisation, with the number of requests that await the visitor's
// decision.
func (v *Visit) nav() ([]NavItem, error) {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{
		AwaitingMe: true, Count: true, Limit: 1,
	}}})
	if err != nil && !NotFound(err) { // NOT_FOUND: the visitor holds no role, so nothing awaits them
		return nil, err
	}
	items := []NavItem{
		{Label: "nav.pending", Path: v.Path()},
	}
	officer, err := v.InGroup(aggregate.SecurityOfficers)
	if err != nil {
		return nil, err
	}
	if v.Session.Tenant != "" || officer {
		items = append(items, NavItem{Label: "nav.overview", Path: v.Path("overview")})
	}
	engineer, err := v.InGroup(aggregate.SupportEngineers, aggregate.EmergencyResponders)
	if err != nil {
		return nil, err
	}
	if engineer {
		items = append(items, NavItem{Label: "nav.ask", Path: v.Path("ask")})
	}
	items = append(items,
		NavItem{Label: "nav.requests", Path: v.Path("requests")},
		NavItem{Label: "nav.activity", Path: v.Path("activity")},
		NavItem{Label: "nav.tickets", Path: v.Path("tickets")})
	if waiting := words.Count(reply.GetRequests().GetTotal()); waiting.N > 0 {
		items[0].Count = v.Say.Number(waiting)
	}
	if v.Session.Tenant != "" {
		items = append(items, NavItem{Label: "nav.administration", Path: v.Path("administration")})
	}
	for i, item := range items {
		switch {
		case v.R.URL.Path == item.Path:
			items[i].Here = "page"
		case v.Under == item.Path, v.Under == "" && i > 0 && strings.HasPrefix(v.R.URL.Path, item.Path+"/"):
			items[i].Here = "true"
		}
		items[i].Label, err = v.Say.Say(item.Label)
		if err != nil {
			return nil, err
		}
	}
	return items, nil
}
