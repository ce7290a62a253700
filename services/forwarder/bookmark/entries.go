package bookmark

import (
	"context"
	"errors"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// remembered is how many requests Entries remembers; with more, it forgets all and reads again what it needs.
const remembered = 4096

// Entries makes entries for export of a stream's events. Most events of a request or ticket do not say what it is
// about, so it remembers what the first one says, and reads it where it came before the bookmark. It is not safe for
// concurrent use.
type Entries struct {
	Source Source

	firsts map[export.Began]*lockboxv1.Event
}

// Of returns the entry of an event.
func (s *Entries) Of(ctx context.Context, e journal.Entry) (*lockboxv1.Activity, error) {
	a := export.Entry(e.Seq, e.Event)
	began := export.BeganAs(a)
	if began.ID == "" {
		return a, nil
	}
	if aggregate.TypeOf(e.Event) == began.Type {
		s.remember(began, e.Event)
	}
	first, err := s.First(ctx, began)
	export.Begun(a, first)
	return a, err
}

// First returns what an entry takes from the first event of a request or ticket; nil if there is none.
func (s *Entries) First(ctx context.Context, began export.Began) (*lockboxv1.Event, error) {
	if first, known := s.firsts[began]; known {
		return first, nil
	}
	first, err := s.read(ctx, began)
	if err != nil {
		return nil, err
	}
	s.remember(began, first)
	return s.firsts[began], nil
}

func (s *Entries) read(ctx context.Context, began export.Began) (first *lockboxv1.Event, err error) {
	r := journal.Replay{Tenant: began.Tenant, Kind: began.Kind, ID: began.ID, Type: began.Type}
	err = s.Source.Replay(ctx, r, func(e journal.Entry) error {
		first = e.Event
		return errFirst
	})
	if errors.Is(err, errFirst) {
		err = nil
	}
	return first, err
}

// remember keeps only what export.Begun takes from an event.
func (s *Entries) remember(began export.Began, first *lockboxv1.Event) {
	if s.firsts == nil || len(s.firsts) >= remembered {
		s.firsts = map[export.Began]*lockboxv1.Event{}
	}
	kept := first
	if in := first.GetAccessRequested().GetIntent(); in != nil {
		kept = &lockboxv1.Event{Actor: first.GetActor(),
			Fact: &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{
				Intent: &lockboxv1.AccessIntent{ResourceIds: in.GetResourceIds(), SubscriptionId: in.GetSubscriptionId(),
					TicketId: in.GetTicketId()}}}}
	}
	if t := first.GetTicketOpened(); t != nil {
		kept = &lockboxv1.Event{AggregateId: first.GetAggregateId(), Fact: &lockboxv1.Event_TicketOpened{
			TicketOpened: &lockboxv1.TicketOpened{SubscriptionId: t.GetSubscriptionId(), Reference: t.GetReference()}}}
	}
	s.firsts[began] = kept
}
