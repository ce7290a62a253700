package story

import (
	"context"
	"errors"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
)

// Stream serves entries as the journal does.
type Stream struct {
	Entries []journal.Entry
	// More are given to a follower when it has read Entries; closing it changes nothing.
	More chan journal.Entry
	// Failure ends every reading after the last entry.
	Failure error
}

// Replay reads from a sequence on, of one tenant, kind or aggregate if r says so. With Follow it goes on with More
// until ctx ends.
func (s *Stream) Replay(ctx context.Context, r journal.Replay, handle func(journal.Entry) error) error {
	for i := max(r.From, 1) - 1; i < uint64(len(s.Entries)); i++ {
		e := s.Entries[i]
		about := aggregate.KeyOf(e.Event)
		if r.Tenant != "" && r.Tenant != about.Tenant || r.Kind != "" && r.Kind != about.Kind || r.ID != "" &&
			r.ID != about.ID {
			continue
		}
		e.Pending = uint64(len(s.Entries)) - i - 1
		if err := errors.Join(ctx.Err(), handle(e)); err != nil {
			return err
		}
	}
	if s.Failure != nil || !r.Follow {
		return s.Failure
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-s.More:
			if err := handle(e); err != nil {
				return err
			}
		}
	}
}
