// Package activity is how the audit log reads: for each kind of event the name under which the activity log lists it
// (R39), a plain sentence in each of Lockbox's languages, and what it concerns. It is pure.
//
// What is said is in messages/<language>.yaml; table.go says which fact is told by which message, and what fills its
// placeholders.
package activity

import (
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Types lists the facts that a filter by action means: a fact's own name, or the activity log's name of it in upper or
// lower case. None: there is no such action.
func Types(filter string) []string {
	var types []string
	for _, row := range table {
		if row.typ == filter || strings.EqualFold(row.action(), filter) {
			types = append(types, row.typ)
		}
	}
	return types
}

// Actions lists the activity log's names, as they follow each other in the life of a request.
func Actions() []string {
	actions := make([]string, len(table))
	for i, row := range table {
		actions[i] = row.action()
	}
	return slices.Compact(actions)
}

// Entry is the event, stored at this sequence, as a timeline shows it in English.
func Entry(sequence uint64, e *lockboxv1.Event) *lockboxv1.TimelineEntry {
	return english.Entry(sequence, e)
}

// Concern is what an event is about, as far as the event itself says. What it leaves out, such as the subscription of a
// denied request, stands in earlier events of the same aggregate.
type Concern struct {
	RequestID      string
	SubscriptionID string
	ResourceIDs    []string
}

// Concerned reads what the event is about.
func Concerned(e *lockboxv1.Event) Concern {
	c := Concern{RequestID: e.GetCorrelationId()}
	switch e.GetKind() {
	case aggregate.KindRequest:
		c.RequestID = e.GetAggregateId()
	case aggregate.KindSubscription:
		c.SubscriptionID = e.GetAggregateId()
	}
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_AccessRequested:
		c.SubscriptionID = f.AccessRequested.GetIntent().GetSubscriptionId()
		c.ResourceIDs = f.AccessRequested.GetIntent().GetResourceIds()
	case *lockboxv1.Event_CustomerApproved:
		c.ResourceIDs = f.CustomerApproved.GetResourceIds()
	case *lockboxv1.Event_AccessGranted:
		c.ResourceIDs = f.AccessGranted.GetResourceIds()
	case *lockboxv1.Event_ExposureDisclosed:
		c.ResourceIDs = f.ExposureDisclosed.GetOccurrence().GetResourceIds()
	case *lockboxv1.Event_LegalDemandDisclosed:
		c.ResourceIDs = f.LegalDemandDisclosed.GetOccurrence().GetResourceIds()
	case *lockboxv1.Event_TicketOpened:
		c.SubscriptionID = f.TicketOpened.GetSubscriptionId()
	}
	return c
}
