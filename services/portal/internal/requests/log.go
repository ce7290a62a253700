package requests

import (
	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// logged is an entry in the log of a request or a ticket.
type logged struct {
	*lockboxv1.TimelineEntry
	// Erase is the URL of the page on which the reader can have erased what was written; empty if they cannot.
	Erase string
}

// logOf returns the entries with links for those that the reader can have erased.
func logOf(
	v *site.Visit, about aggregate.Key, entries []*lockboxv1.TimelineEntry, erasable func(*lockboxv1.TimelineEntry) bool,
) []logged {
	list := make([]logged, len(entries))
	for i, e := range entries {
		if list[i].TimelineEntry = e; erasable(e) {
			list[i].Erase = v.ErasePath(about.Tenant, about.Kind, about.ID, e)
		}
	}
	return list
}
