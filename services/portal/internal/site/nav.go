package site

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

// NavItem is one way to go.
type NavItem struct {
	Label, Path string
	// Here is the value of aria-current: it is this page, or one above it; empty: neither.
	Here string
	// Count is how much waits there for the visitor; empty: nothing.
	Count string
}

// nav lists the ways that the visitor's side has. What waits for their own decision is counted.
func (v *Visit) nav() ([]NavItem, error) {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{
		AwaitingMe: true, Count: true, Limit: 1,
	}}})
	if err != nil && !NotFound(err) { // somebody without any role: nothing waits for them
		return nil, err
	}
	items := []NavItem{
		{Label: "nav.pending", Path: v.Path()},
		{Label: "nav.requests", Path: v.Path("requests")},
		{Label: "nav.activity", Path: v.Path("activity")},
		{Label: "nav.tickets", Path: v.Path("tickets")},
	}
	if waiting := words.Count(reply.GetRequests().GetTotal()); waiting.N > 0 {
		items[0].Count = v.Say.Number(waiting)
	}
	if v.Session.Tenant == "" {
		items[0].Label = "nav.internal"
	} else {
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
