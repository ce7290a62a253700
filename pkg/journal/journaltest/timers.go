package journaltest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
)

func (c *contract) timers() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"timers fire, and never early":    c.timersFire,
		"a timer replaces the one before": c.timerReplaced,
		"timers survive a restart":        c.timersSurvive,
		"a timer is moved once":           c.timerMoved,
	}
}

// alarms notes when timers fired.
type alarms struct {
	mu    sync.Mutex
	times map[aggregate.Key][]time.Time
}

func (a *alarms) of(agg aggregate.Key) []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.times[agg])
}

func (c *contract) followDue(t *testing.T) *alarms {
	t.Helper()
	a := &alarms{times: map[aggregate.Key][]time.Time{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- c.writer.FollowDue(ctx, func(_ context.Context, agg aggregate.Key) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.times[agg] = append(a.times[agg], time.Now())
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("follow due: %v", err)
		}
	})
	return a
}

func (c *contract) set(t *testing.T, agg aggregate.Key, in time.Duration) time.Time {
	t.Helper()
	at := time.Now().Add(in)
	if err := c.writer.SetTimer(t.Context(), agg, at); err != nil {
		t.Fatal(err)
	}
	return at
}

func (c *contract) timersFire(t *testing.T) {
	fired := c.followDue(t)
	tenant := NewTenant()
	var mu sync.Mutex
	due := map[aggregate.Key]time.Time{}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			agg := newAggregate(tenant, aggregate.KindRequest)
			at := c.set(t, agg, 500*time.Millisecond+rand.N(time.Second)) // #nosec G404 -- any time will do
			mu.Lock()
			due[agg] = at
			mu.Unlock()
		})
	}
	all.Wait()
	for agg, at := range due {
		waitFor(t, "a timer", func() bool { return len(fired.of(agg)) > 0 })
		if times := fired.of(agg); times[0].Before(at) {
			t.Errorf("a timer fired %v early", at.Sub(times[0]))
		}
	}
	waitFor(t, "no timer to be pending", func() bool { return len(c.pending(t, tenant)) == 0 })
}

func (c *contract) pending(t *testing.T, tenant string) []aggregate.Key {
	t.Helper()
	aggs, err := c.writer.Timers(t.Context(), tenant, aggregate.KindRequest)
	if err != nil {
		t.Fatal(err)
	}
	return aggs
}

func (c *contract) timerReplaced(t *testing.T) {
	fired := c.followDue(t)
	sooner := newAggregate(NewTenant(), aggregate.KindRequest)
	c.set(t, sooner, time.Hour)
	c.set(t, sooner, 300*time.Millisecond)
	var later aggregate.Key
	var atLater time.Time
	waitFor(t, "a timer to be replaced before it fires", func() bool {
		later = newAggregate(NewTenant(), aggregate.KindRequest)
		atFirst := c.set(t, later, 300*time.Millisecond)
		atLater = c.set(t, later, 1500*time.Millisecond)
		return time.Now().Before(atFirst)
	})
	if aggs := c.pending(t, later.Tenant); time.Now().Before(atLater) && !slices.Equal(aggs, []aggregate.Key{later}) {
		t.Errorf("pending are %v", aggs)
	}
	waitFor(t, "the sooner timer", func() bool { return len(fired.of(sooner)) > 0 })
	waitFor(t, "the later timer", func() bool { return len(fired.of(later)) > 0 })
	if times := fired.of(later); times[0].Before(atLater) {
		t.Errorf("the replaced timer fired: %v, due %v", times, atLater)
	}
}

// Of two who move the same timer one succeeds, and nobody moves one that has fired.
func (c *contract) timerMoved(t *testing.T) {
	fired := c.followDue(t)
	agg := newAggregate(NewTenant(), aggregate.KindRequest)
	move := func(in time.Duration, from uint64, may bool) (sequence uint64) {
		t.Helper()
		sequence, err := c.writer.MoveTimer(t.Context(), agg, time.Now().Add(in), from)
		if may && (err != nil || sequence <= from) || !may && !errors.Is(err, journal.ErrConflict) {
			t.Fatalf("moved from %d to %d, %v", from, sequence, err)
		}
		return sequence
	}
	first := move(time.Hour, 0, true)
	move(time.Hour, 0, false)
	second := move(time.Hour, first, true)
	move(time.Minute, first, false)
	c.set(t, agg, time.Hour)
	move(time.Minute, second, false)
	if len(fired.of(agg)) > 0 {
		t.Fatal("it has fired")
	}
	c.set(t, agg, 0) // which is now, and so is one that is past already
	waitFor(t, "the timer", func() bool { return len(fired.of(agg)) > 0 })
	move(time.Minute, second, false)
	waitFor(t, "no timer to be pending", func() bool { return len(c.pending(t, agg.Tenant)) == 0 })
	move(time.Hour, 0, true)
}

func (c *contract) timersSurvive(t *testing.T) {
	tenant := NewTenant()
	during, after := newAggregate(tenant, aggregate.KindRequest), newAggregate(tenant, aggregate.KindRequest)
	atDuring := c.set(t, during, 300*time.Millisecond)
	atAfter := c.set(t, after, 3*time.Second)
	c.bus.Stop()
	time.Sleep(time.Until(atDuring.Add(100 * time.Millisecond))) // the bus is down when it is due
	c.bus.Resume(t)
	fired := c.followDueAgain(t)
	waitFor(t, "the timer that was due while the bus was down", func() bool { return len(fired.of(during)) > 0 })
	waitFor(t, "the timer that was due after", func() bool { return len(fired.of(after)) > 0 })
	if times := fired.of(after); times[0].Before(atAfter) {
		t.Errorf("a timer fired %v early", atAfter.Sub(times[0]))
	}
}

// followDueAgain waits until the bus answers after a restart.
func (c *contract) followDueAgain(t *testing.T) *alarms {
	t.Helper()
	waitFor(t, "the bus to answer", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.writer.Timers(ctx, "", aggregate.KindRequest)
		return err == nil
	})
	return c.followDue(t)
}
