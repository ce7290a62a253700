package journaltest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
)

// An event that is held takes nobody's slot, and is handled again when that ends for which it is held, and not before.
func (c *contract) followedHeld(t *testing.T) {
	tenant := NewTenant()
	got := newSeen()
	held := newAggregate(tenant, aggregate.KindSubscription)
	wanted, want := context.WithCancel(context.Background())
	defer want()
	calls := 0
	one := following
	one.Concurrency = 1
	stop := c.follow(t, one, func(_ context.Context, e journal.Entry) error {
		if e.Event.GetTenant() != tenant {
			return nil
		}
		if e.Event.GetAggregateId() == held.ID && e.Event.GetVersion() == 1 {
			if calls++; wanted.Err() == nil {
				return &journal.HeldError{Until: wanted}
			}
		}
		got.leave(e.Event.GetAggregateId(), e.Event.GetVersion())
		return nil
	})
	defer stop()
	mustAppend(t, c.writer, held, 2)
	healthy := newAggregate(tenant, aggregate.KindSubscription)
	mustAppend(t, c.writer, healthy, 4)
	waitFor(t, "the other events", func() bool { return got.count() == 4 })
	want()
	waitFor(t, "the held events", func() bool { return got.count() == 6 })
	stop()
	if v := got.versions[held.ID]; calls != 2 || !slices.Equal(v, []uint64{1, 2}) {
		t.Errorf("handled %d times, versions %v", calls, v)
	}
}

func (c *contract) followedAgain(t *testing.T) {
	tenant := NewTenant()
	got := newSeen()
	failures := 2
	broken := newAggregate(tenant, aggregate.KindSubscription)
	stop := c.follow(t, following, func(_ context.Context, e journal.Entry) error {
		if e.Event.GetTenant() != tenant {
			return nil
		}
		got.mu.Lock()
		fail := e.Event.GetAggregateId() == broken.ID && e.Event.GetVersion() == 2 && failures > 0
		if fail {
			failures--
		}
		got.mu.Unlock()
		if fail {
			return errors.New("no disk today")
		}
		got.leave(e.Event.GetAggregateId(), e.Event.GetVersion())
		return nil
	})
	defer stop()
	mustAppend(t, c.writer, broken, 4)
	healthy := newAggregate(tenant, aggregate.KindSubscription)
	mustAppend(t, c.writer, healthy, 4)
	waitFor(t, "all events", func() bool { return got.count() >= 8 })
	stop()
	if v := got.versions[broken.ID]; failures != 0 || !slices.Equal(v, []uint64{1, 2, 3, 4}) {
		t.Errorf("versions %v with %d failures left", v, failures)
	}
	if v := got.versions[healthy.ID]; !slices.Equal(v, []uint64{1, 2, 3, 4}) {
		t.Errorf("an aggregate without failures: versions %v", v)
	}
}
