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

// Entries makes entries for export of a stream's events. The events about an engineer's access do not name the
// engineer, so it remembers who asked for each request, and reads it where it came before the bookmark. It is not
// safe for concurrent use.
type Entries struct {
	Source Source

	asked map[aggregate.Key]*lockboxv1.Event
}

// Of returns the entry of an event.
func (s *Entries) Of(ctx context.Context, e journal.Entry) (*lockboxv1.Activity, error) {
	a := export.Entry(e.Seq, e.Event)
	key := aggregate.Key{Tenant: e.Event.GetTenant(), Kind: aggregate.KindRequest, ID: a.GetRequestId()}
	switch {
	case e.Event.GetAccessRequested() != nil:
		s.remember(key, e.Event)
	case key.ID == "" || !export.NeedsRequest(e.Event):
		return a, nil
	}
	asked, known := s.asked[key]
	if !known {
		var err error
		if asked, err = s.read(ctx, key); err != nil {
			return nil, err
		}
		s.remember(key, asked)
	}
	if asked != nil && export.NeedsRequest(e.Event) {
		export.Requested(a, asked)
	}
	return a, nil
}

func (s *Entries) read(ctx context.Context, key aggregate.Key) (asked *lockboxv1.Event, err error) {
	r := journal.Replay{Tenant: key.Tenant, Kind: key.Kind, ID: key.ID, Type: "AccessRequested"}
	err = s.Source.Replay(ctx, r, func(e journal.Entry) error {
		asked = e.Event
		return errFirst
	})
	if errors.Is(err, errFirst) {
		err = nil
	}
	return asked, err
}

// remember keeps only what export.Requested takes from an event.
func (s *Entries) remember(key aggregate.Key, asked *lockboxv1.Event) {
	if s.asked == nil || len(s.asked) >= remembered {
		s.asked = map[aggregate.Key]*lockboxv1.Event{}
	}
	if asked != nil {
		asked = &lockboxv1.Event{Actor: asked.GetActor(),
			Fact: &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{
				Intent: &lockboxv1.AccessIntent{ResourceIds: asked.GetAccessRequested().GetIntent().GetResourceIds()},
			}}}
	}
	s.asked[key] = asked
}
