// Package activity presents events as entries of the activity log (R39): for each event type its action name, a
// sentence in each supported language, and the resources it concerns. It is pure.
//
// The texts are in messages/<language>.yaml; table.go maps facts to messages and fills in the placeholders.
package activity

import (
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Types returns the fact types that match a filter by action: a fact's own name, or its name in the activity log, in
// any case. It returns none if there is no such action.
func Types(filter string) []string {
	var types []string
	for _, row := range table {
		if row.typ == filter || strings.EqualFold(row.action(), filter) {
			types = append(types, row.typ)
		}
	}
	return types
}

// Actions returns the names of actions in the activity log, in the order of a request's life cycle.
func Actions() []string {
	actions := make([]string, len(table))
	for i, row := range table {
		actions[i] = row.action()
	}
	return slices.Compact(actions)
}

// Entry returns the event stored at this sequence as a timeline entry in English.
func Entry(sequence uint64, e *lockboxv1.Event) *lockboxv1.TimelineEntry {
	return english.Entry(sequence, e)
}

// ForCustomer returns an event as its customer may see it: without what was counted over all customers, since an
// engineer's history elsewhere is other customers' data (I9). It returns the event itself if there is nothing to
// remove.
func ForCustomer(e *lockboxv1.Event) *lockboxv1.Event {
	if e.GetAccessEvaluated().GetFacts().GetHistory() == nil {
		return e
	}
	e = proto.CloneOf(e)
	e.GetAccessEvaluated().GetFacts().History = nil
	return e
}

// Concern is what an event is about, as far as the event itself says. Other details, such as the subscription of a
// denied request, are in earlier events of the same aggregate.
type Concern struct {
	RequestID      string
	SubscriptionID string
	ResourceIDs    []string
}

// Concerned returns what the event is about.
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
	case *lockboxv1.Event_SignatureRefused:
		if f.SignatureRefused.GetKind() == aggregate.KindSubscription {
			c.SubscriptionID = f.SignatureRefused.GetAbout()
		}
	case *lockboxv1.Event_TicketOpened:
		c.SubscriptionID = f.TicketOpened.GetSubscriptionId()
	}
	return c
}
