package journaltest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/sync/errgroup"
)

func (c *contract) losses() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"an acknowledgement lost after the write is a success":             c.lostAcknowledgement,
		"a report whose acknowledgement was lost is stored":                c.lostReport,
		"connections that break lose no acknowledged event":                c.brokenConnections,
		"a cluster that loses its leader loses no acknowledged event":      c.leaderLost,
		"an append that was not sent when its context ended is not stored": c.withdrawn,
	}
}

// through opens a journal behind a proxy.
func (c *contract) through(t *testing.T, id bus.Identity) (*Proxy, *journal.Journal) {
	t.Helper()
	p := NewProxy(t, c.bus)
	nc, err := bus.Connect(bus.Connection{URL: p.URL(), Identity: id, Seed: c.bus.Keys[id]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	j, err := journal.Open(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return p, j
}

func (c *contract) lostAcknowledgement(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	proxy, j := c.through(t, bus.Orchestrator)
	_, seqs := mustAppend(t, j, agg, 1)

	proxy.Mute()
	e := Event(agg, 2)
	type answer struct {
		seq uint64
		err error
	}
	done := make(chan answer, 1)
	go func() {
		seq, err := j.Append(context.Background(), seqs[0], e)
		done <- answer{seq, err}
	}()
	stored, err := c.eventually(2)(t.Context(), agg)
	if err != nil || len(stored) != 2 {
		t.Fatalf("%d events, %v", len(stored), err)
	}
	proxy.Cut()
	if got := <-done; got.err != nil || got.seq != stored[1].Seq {
		t.Errorf("the append says %d, %v; the stream has it at %d", got.seq, got.err, stored[1].Seq)
	}
}

func (c *contract) lostReport(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindDelivery)
	proxy, j := c.through(t, bus.Notifier)
	proxy.Mute()
	e := report(agg, "n-1")
	done := make(chan error, 1)
	go func() {
		_, stored, err := j.Report(context.Background(), e)
		if err == nil && !stored {
			err = errors.New("reported as a repeat")
		}
		done <- err
	}()
	waitFor(t, "the report", func() bool { return len(c.replay(t, journal.Replay{Tenant: agg.Tenant})) == 1 })
	proxy.Cut()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func (c *contract) brokenConnections(t *testing.T) {
	const writers = 20
	tenant := NewTenant()
	proxy, j := c.through(t, bus.Orchestrator)
	until := time.Now().Add(2 * time.Second)
	go func() {
		for time.Now().Before(until) {
			time.Sleep(200 * time.Millisecond)
			proxy.Mute()
			time.Sleep(10 * time.Millisecond)
			proxy.Cut()
		}
	}()
	c.appendUntil(t, j, tenant, writers, func() bool { return time.Now().After(until) })
}

// appendUntil appends in many goroutines, whatever happens to the bus, until over returns true and enough appends came
// through, and then compares the acknowledged events with the stored ones.
func (c *contract) appendUntil(t *testing.T, j *journal.Journal, tenant string, writers int, over func() bool) {
	t.Helper()
	var mu sync.Mutex
	acknowledged := map[string]uint64{}
	giveUp := time.Now().Add(time.Minute)
	few := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged) < writers && time.Now().Before(giveUp)
	}
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for !over() || few() {
				e := Event(newAggregate(tenant, aggregate.KindTicket), 1)
				seq, err := j.Append(context.Background(), 0, e)
				if errors.Is(err, journal.ErrConflict) {
					t.Errorf("a conflict with oneself: %v", err)
				}
				if err != nil && strings.Contains(err.Error(), "no stream takes") {
					t.Errorf("gave up before there was a new leader: %v", err)
				}
				if err == nil {
					mu.Lock()
					acknowledged[e.GetId()] = seq
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if len(acknowledged) < writers {
		t.Errorf("only %d appends came through", len(acknowledged))
	}
	for _, e := range c.replay(t, journal.Replay{Tenant: tenant}) {
		if seq, known := acknowledged[e.Event.GetId()]; known && seq != e.Seq {
			t.Errorf("acknowledged at %d, stored at %d", seq, e.Seq)
		}
		delete(acknowledged, e.Event.GetId())
	}
	if len(acknowledged) != 0 {
		t.Errorf("%d acknowledged events are missing", len(acknowledged))
	}
}

func (c *contract) leaderLost(t *testing.T) {
	if len(c.bus.options) == 1 {
		return // a server alone that stops is "timers survive a restart"
	}
	stop := time.Now().Add(500 * time.Millisecond)
	var lost sync.WaitGroup
	lost.Go(func() {
		time.Sleep(time.Until(stop))
		c.bus.StopServer(c.leader(t))
	})
	tenant, successes := NewTenant(), 0
	var mu sync.Mutex
	c.appendUntil(t, c.writer, tenant, 20, func() bool {
		// Until there were appends after the loss, by the leader that follows.
		if time.Now().Before(stop.Add(time.Second)) {
			return false
		}
		_, err := c.writer.Append(context.Background(), 0, Event(newAggregate(tenant, aggregate.KindTicket), 1))
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			successes++
		}
		return successes >= 20
	})
	lost.Wait()
	c.bus.Resume(t)
}

// leader returns the server that leads EVENTS.
func (c *contract) leader(t *testing.T) int {
	t.Helper()
	js, err := bus.JetStream(c.bus.Connect(t, bus.Compliance))
	if err != nil {
		t.Error(err)
		return 0
	}
	stream, err := js.Stream(context.Background(), bus.StreamEvents)
	if err != nil {
		t.Error(err)
		return 0
	}
	for i, o := range c.bus.options {
		if o.Name == stream.CachedInfo().Cluster.Leader {
			return i
		}
	}
	return 0
}

func (c *contract) withdrawn(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := c.writer.Append(ctx, 0, Event(agg, 1))
	stored := len(mustLoad(t, c.reader, agg))
	// It may have been sent at once; then it is a success.
	if (err == nil) != (stored == 1) || err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%v, and %d stored", err, stored)
	}
}

func (c *contract) reports() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"a report repeated is stored once": func(t *testing.T) {
			notifier := c.bus.Journal(t, bus.Notifier)
			agg := newAggregate(NewTenant(), aggregate.KindDelivery)
			first, stored, err := notifier.Report(t.Context(), report(agg, "n-1"))
			if err != nil || !stored {
				t.Fatal(stored, err)
			}
			if seq, stored, err := notifier.Report(t.Context(), report(agg, "n-1")); err != nil || stored || seq != first {
				t.Errorf("again: %d instead of %d, stored %v, %v", seq, first, stored, err)
			}
			if seq, stored, err := notifier.Report(t.Context(), report(agg, "n-2")); err != nil || !stored || seq <= first {
				t.Errorf("another: %d, stored %v, %v", seq, stored, err)
			}
			if n := len(c.replay(t, journal.Replay{Tenant: agg.Tenant, Kind: aggregate.KindDelivery})); n != 2 {
				t.Errorf("%d reports are stored", n)
			}
			if _, err := notifier.Load(t.Context(), agg); err == nil {
				t.Error("reports were loaded to decide")
			}
			if _, _, err := notifier.Report(t.Context(), Event(newAggregate(agg.Tenant, aggregate.KindTicket), 1)); err == nil {
				t.Error("a decision was reported")
			}
		},
		"many reports at once are each stored once": func(t *testing.T) {
			notifier := c.bus.Journal(t, bus.Notifier)
			agg := newAggregate(NewTenant(), aggregate.KindDelivery)
			var all sync.WaitGroup
			var mu sync.Mutex
			stored := map[string]int{}
			for _, key := range []string{"a", "b", "c", "d"} {
				for range 10 {
					all.Go(func() {
						_, first, err := notifier.Report(context.Background(), report(agg, key))
						if err != nil {
							t.Error(err)
						}
						if first {
							mu.Lock()
							stored[key]++
							mu.Unlock()
						}
					})
				}
			}
			all.Wait()
			for key, n := range stored {
				if n != 1 {
					t.Errorf("%s was stored %d times", key, n)
				}
			}
			if n := len(c.replay(t, journal.Replay{Tenant: agg.Tenant})); n != 4 {
				t.Errorf("%d reports are in the stream", n)
			}
		},
		"what was not understood is set aside with its bytes": func(t *testing.T) {
			evaluator := c.bus.Journal(t, bus.Evaluator)
			data := []byte("\xff eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl \x00")
			subject := "what it came on, " + NewTenant()
			letter := &lockboxv1.DeadLetter{Service: string(bus.Evaluator), Subject: subject, Sequence: 7, Data: data}
			if err := evaluator.PublishDeadLetter(t.Context(), Tool, letter); err != nil {
				t.Fatal(err)
			}
			sum, found := sha256.Sum256(data), false
			err := c.bus.Journal(t, bus.Compliance).DeadLetters(t.Context(), 1, func(s journal.DeadLetter) error {
				if s.Letter.GetSubject() == subject {
					found = true
					// Nobody who reads it can act as its sender.
					if want := "\xff (token-removed)" + strings.Repeat("*", 34) + " \x00"; string(s.Letter.GetData()) != want ||
						!bytes.Equal(s.Letter.GetDataSha256(), sum[:]) {
						t.Errorf("%q, %x", s.Letter.GetData(), s.Letter.GetDataSha256())
					}
				}
				return nil
			})
			if err != nil || !found {
				t.Errorf("found %v, %v", found, err)
			}
			letter.Data = make([]byte, bus.MaxPayload)
			if err := evaluator.PublishDeadLetter(t.Context(), Tool, letter); err != nil {
				t.Errorf("a large one: %v", err)
			}
		},
		"one sender's share of what waits is bounded, and nobody else's": c.bounds,
	}
}

// bounds fills what one sender may fill.
func (c *contract) bounds(t *testing.T) {
	evaluator, flooder := c.bus.Journal(t, bus.Evaluator), c.bus.Journal(t, bus.Tool(OtherTool))
	letter := &lockboxv1.DeadLetter{Service: string(bus.Evaluator), Subject: "x", Data: []byte("x")}
	fill := func(n int, one func() error) int64 {
		var failed atomic.Int64
		var all errgroup.Group
		all.SetLimit(64)
		for range n {
			all.Go(func() error {
				if one() != nil {
					failed.Add(1)
				}
				return nil
			})
		}
		_ = all.Wait()
		return failed.Load()
	}
	const over = 10
	kept := fill(bus.MaxDeadLetters+over, func() error {
		return evaluator.PublishDeadLetter(context.Background(), "flooder", letter)
	})
	if kept != over {
		t.Errorf("%d dead letters too many were refused, not %d", kept, over)
	}
	if err := evaluator.PublishDeadLetter(t.Context(), "flooder", letter); !errors.Is(err, journal.ErrFull) {
		t.Errorf("a full share: %v", err)
	}
	if err := evaluator.PublishDeadLetter(t.Context(), "another", letter); err != nil {
		t.Errorf("another sender: %v", err)
	}

	// A tool for all customers has no more room for inventing some, and takes nobody else's.
	invented := func() error {
		_, err := flooder.SubmitIntent(context.Background(), OtherTool,
			&lockboxv1.AccessIntent{Id: NewID(), Tenant: NewTenant()})
		return err
	}
	if refused := fill(2*bus.MaxIntents, invented); refused != bus.MaxIntents {
		t.Errorf("of %d intents, each about another customer, %d were refused", 2*bus.MaxIntents, refused)
	}
	if r, is := refusal.As(invented()); !is || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE {
		t.Errorf("too many intents: %v", r)
	}
	for _, tool := range []string{Tool, LimitedTool} {
		if _, err := c.bus.Journal(t, bus.Tool(tool)).SubmitIntent(t.Context(), tool,
			&lockboxv1.AccessIntent{Id: NewID(), Tenant: LimitedTo}); err != nil {
			t.Errorf("%s, meanwhile: %v", tool, err)
		}
	}
}

// replay collects events.
func (c *contract) replay(t *testing.T, r journal.Replay) []journal.Entry {
	t.Helper()
	var entries []journal.Entry
	if err := c.reader.Replay(t.Context(), r,
		func(e journal.Entry) error { entries = append(entries, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return entries
}

// waitFor waits until the condition holds.
func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}
