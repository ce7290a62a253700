package journaltest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/longtest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Run runs the contract tests of package journal on the buses that start returns.
func Run(t *testing.T, start func(testing.TB) *Bus) {
	b := start(t)
	c := &contract{b, b.Journal(t, bus.Orchestrator), b.Journal(t, bus.Compliance)}
	for _, group := range []map[string]func(*testing.T){c.appends(), c.losses(), c.reports(), c.follows(), c.replays(),
		c.timers()} {
		for name, run := range group {
			t.Run(name, run)
		}
	}
	t.Run("an event of a future version stops those who follow", func(t *testing.T) { unknownFact(t, start(t)) })
	t.Run("a consumer that was changed stops its follower", func(t *testing.T) { changedConsumer(t, start(t)) })
	t.Run("what follows an empty message is not lost", func(t *testing.T) { emptyMessage(t, start(t)) })
	t.Run("an event that contradicts its subject is corrupt", func(t *testing.T) { corrupt(t, start(t)) })
	for name, run := range c.misfits() {
		t.Run(name, run)
	}
}

// contract is a bus with a writer and a reader; each case has a tenant of its own.
type contract struct {
	bus    *Bus
	writer *journal.Journal
	reader *journal.Journal
}

func (c *contract) appends() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"what is appended is loaded":                           c.roundTrip,
		"an append after the wrong event is a conflict":        c.wrongAfter,
		"what must not be stored is refused":                   c.refusedAppends,
		"the same event appended again is the same success":    c.appendedTwice,
		"of two contrary appends one wins":                     c.contrary,
		"of two contrary appends in one group commit one wins": c.contraryInGroups,
		"an event's subject is written once":                   c.subjectOnce,
		"an aggregate may have more than 1024 events":          c.longAggregate,
		"what is new since is one consistent cut":              c.since,
		"events that follow each other are appended together":  c.together,
		"of two contrary pairs one wins whole":                 c.contraryPairs,
		"every acknowledged event is in the stream once":       c.manyWriters,
		"a right that is missing is an error":                  c.deniedRight,
	}
}

func (c *contract) roundTrip(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	if entries := mustLoad(t, c.reader, agg); len(entries) != 0 {
		t.Fatalf("a new aggregate has %d events", len(entries))
	}
	events, seqs := mustAppend(t, c.writer, agg, 3)
	for name, load := range map[string]func(context.Context, aggregate.Key) ([]journal.Entry,
		error){"any replica": c.eventually(3), "leader": c.reader.LoadAtLeader} {
		entries, err := load(t.Context(), agg)
		if err != nil || len(entries) != 3 {
			t.Fatalf("%s: %d events, %v", name, len(entries), err)
		}
		for i, e := range entries {
			subject, err := bus.EventSubject(events[i])
			if err != nil {
				t.Fatal(err)
			}
			if e.Seq != seqs[i] || e.Subject != subject || !proto.Equal(e.Event, events[i]) ||
				time.Since(e.Stored).Abs() > time.Minute {
				t.Errorf("%s: entry %d is %+v", name, i, e)
			}
			if again, err := input.DecodeEvent(e.Data); err != nil || !proto.Equal(again, events[i]) {
				t.Errorf("%s: bytes of %d: %v", name, i, err)
			}
		}
	}
}

// eventually loads from any replica until it has caught up.
func (c *contract) eventually(n int) func(context.Context, aggregate.Key) ([]journal.Entry, error) {
	return func(ctx context.Context, agg aggregate.Key) (entries []journal.Entry, err error) {
		for range 500 {
			if entries, err = c.reader.Load(ctx, agg); err != nil || len(entries) == n {
				return entries, err
			}
			time.Sleep(10 * time.Millisecond)
		}
		return entries, err
	}
}

func (c *contract) wrongAfter(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	_, seqs := mustAppend(t, c.writer, agg, 2)
	for name, try := range map[string]struct{ after, version uint64 }{
		"none":    {0, 1},
		"earlier": {seqs[0], 3},
		"foreign": {seqs[1] + 1000, 3},
	} {
		if _, err := c.writer.Append(t.Context(), try.after, Event(agg, try.version)); !errors.Is(err, journal.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries := mustLoad(t, c.reader, agg); len(entries) != 2 {
		t.Errorf("%d events are stored", len(entries))
	}
}

func (c *contract) refusedAppends(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	for name, spoil := range map[string]func(*lockboxv1.Event){
		"no id":           func(e *lockboxv1.Event) { e.Id = "" },
		"a random id":     func(e *lockboxv1.Event) { e.Id = "7f9c24e8-3b1a-4f0e-9c5d-1a2b3c4d5e6f" },
		"no fact":         func(e *lockboxv1.Event) { e.Fact = nil },
		"another's fact":  func(e *lockboxv1.Event) { e.Kind = aggregate.KindRequest },
		"no version":      func(e *lockboxv1.Event) { e.Version = 0 },
		"a later version": func(e *lockboxv1.Event) { e.Version = 2 },
		"a report":        func(e *lockboxv1.Event) { proto.Reset(e); proto.Merge(e, report(agg, "n-1")) },
		"a wildcard":      func(e *lockboxv1.Event) { e.Tenant = "*" },
		"too long": func(e *lockboxv1.Event) {
			e.Fact = &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{Text: strings.Repeat("x",
				input.MaxMessage)}}
		},
	} {
		e := Event(agg, 1)
		spoil(e)
		if _, err := c.writer.Append(t.Context(), 0, e); !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_INVALID) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries := mustLoad(t, c.reader, agg); len(entries) != 0 {
		t.Errorf("%d events are stored", len(entries))
	}
}

func (c *contract) appendedTwice(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	e := Event(agg, 1)
	first, err := c.writer.Append(t.Context(), 0, e)
	if err != nil {
		t.Fatal(err)
	}
	second := Event(agg, 2)
	if _, err := c.writer.Append(t.Context(), first, second); err != nil {
		t.Fatal(err)
	}
	if again, err := c.writer.Append(t.Context(), 0, e); err != nil || again != first {
		t.Errorf("again: sequence %d instead of %d, %v", again, first, err)
	}
	// The same id with another content is not the same event.
	other := Event(agg, 3)
	other.Id = second.GetId()
	if _, err := c.writer.Append(t.Context(), first, other); err == nil {
		t.Error("an id was used for two events")
	}
	if entries := mustLoad(t, c.reader, agg); len(entries) != 2 {
		t.Errorf("%d events are stored", len(entries))
	}
}

// duel appends two conflicting events concurrently and expects one winner.
func duel(t *testing.T, agg aggregate.Key, after, version uint64, one, other *journal.Journal) uint64 {
	t.Helper()
	var both sync.WaitGroup
	events := [2]*lockboxv1.Event{Event(agg, version), Event(agg, version)}
	// Of another type, so on another subject: only the expected sequence stands between the two.
	events[1].Fact = &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{Title: "contrary"}}
	var seqs [2]uint64
	var errs [2]error
	for i, j := range []*journal.Journal{one, other} {
		both.Go(func() { seqs[i], errs[i] = j.Append(context.Background(), after, events[i]) })
	}
	both.Wait()
	winner := 0
	if errs[0] != nil {
		winner = 1
	}
	if errs[winner] != nil || !errors.Is(errs[1-winner], journal.ErrConflict) {
		t.Errorf("version %d: %v and %v", version, errs[0], errs[1])
	}
	return seqs[winner]
}

func (c *contract) contrary(t *testing.T) {
	second := c.bus.Journal(t, bus.Orchestrator)
	for name, other := range map[string]*journal.Journal{"one process": c.writer, "two processes": second} {
		agg := newAggregate(NewTenant(), aggregate.KindTicket)
		after := uint64(0)
		for version := range uint64(50) {
			after = duel(t, agg, after, version+1, c.writer, other)
		}
		if entries := mustLoad(t, c.reader, agg); len(entries) != 50 {
			t.Errorf("%s: %d events of 50 duels", name, len(entries))
		}
	}
}

func (c *contract) contraryInGroups(t *testing.T) {
	crowd, rounds := 40, longtest.Count(12)
	tenant := NewTenant()
	second := c.bus.Journal(t, bus.Orchestrator)
	var all sync.WaitGroup
	done := make(chan struct{})
	// The crowd keeps the writer committing in groups, so that two who come together are in one group. Now and then one
	// of it wants to follow an event that is not there, which refuses the group that it is in.
	for range crowd {
		all.Go(func() {
			for round := 1; ; round++ {
				select {
				case <-done:
					return
				default:
				}
				e, after := Event(newAggregate(tenant, aggregate.KindTicket), 1), uint64(0)
				if round%50 == 0 {
					e.Version, after = 2, 1
				}
				if _, err := c.writer.Append(context.Background(), after, e); (err == nil) != (after == 0) {
					t.Errorf("after %d: %v", after, err)
				}
			}
		})
	}
	agg := newAggregate(tenant, aggregate.KindTicket)
	last := uint64(0)
	for version := range uint64(rounds) { // #nosec G115 -- a small number
		other := c.writer
		if version%3 == 0 {
			other = second
		}
		last = duel(t, agg, last, version+1, c.writer, other)
	}
	close(done)
	all.Wait()
	if entries := mustLoad(t, c.reader, agg); len(entries) != rounds {
		t.Errorf("%d events of %d duels", len(entries), rounds)
	}
	if n := c.batched(t, tenant); n == 0 {
		t.Error("nothing was committed in groups")
	}
}

// batched counts the tenant's events that were stored by a group commit.
func (c *contract) batched(t *testing.T, tenant string) int {
	t.Helper()
	js, err := bus.JetStream(c.bus.Connect(t, bus.Compliance))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), bus.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = c.reader.Replay(t.Context(), journal.Replay{Tenant: tenant}, func(e journal.Entry) error {
		m, err := stream.GetMsg(t.Context(), e.Seq)
		if err == nil && m.Header.Get("Nats-Batch-Id") != "" {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (c *contract) subjectOnce(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	events, _ := mustAppend(t, c.writer, agg, 1)
	subject, err := bus.EventSubject(events[0])
	if err != nil {
		t.Fatal(err)
	}
	// Whoever holds the orchestrator's key, and expects nothing.
	js, err := bus.JetStream(c.bus.Connect(t, bus.Orchestrator))
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: []byte("history")})
	var refused *jetstream.APIError
	if !errors.As(err, &refused) || refused.ErrorCode != 10077 {
		t.Errorf("second write: %v", err)
	}
	entries := mustLoad(t, c.reader, agg)
	if len(entries) != 1 || !proto.Equal(entries[0].Event, events[0]) || bytes.Equal(entries[0].Data, []byte("history")) {
		t.Errorf("after it: %v", entries)
	}
}

func (c *contract) manyWriters(t *testing.T) {
	const writers, aggregates, versions = 64, 5, 4
	tenant := NewTenant()
	var mu sync.Mutex
	acknowledged := map[uint64]string{}
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range aggregates {
				agg := newAggregate(tenant, aggregate.KindTicket)
				after := uint64(0)
				for v := range versions {
					e := Event(agg, uint64(v+1))
					seq, err := c.writer.Append(context.Background(), after, e)
					if err != nil {
						t.Error(err)
						return
					}
					after = seq
					mu.Lock()
					acknowledged[seq] = e.GetId()
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if len(acknowledged) != writers*aggregates*versions {
		t.Errorf("%d sequences were acknowledged", len(acknowledged))
	}
	err := c.reader.Replay(t.Context(), journal.Replay{Tenant: tenant}, func(e journal.Entry) error {
		if acknowledged[e.Seq] != e.Event.GetId() {
			t.Errorf("sequence %d: %s was acknowledged, %s is stored", e.Seq, acknowledged[e.Seq], e.Event.GetId())
		}
		delete(acknowledged, e.Seq)
		return nil
	})
	if err != nil || len(acknowledged) != 0 {
		t.Errorf("%d acknowledged events are missing, %v", len(acknowledged), err)
	}
}

// together appends pairs, with few and with many concurrent writers, so that they are sent alone and in group commits.
func (c *contract) together(t *testing.T) {
	for _, writers := range []int{1, 200} {
		var all sync.WaitGroup
		for range writers {
			all.Go(func() {
				agg := newAggregate(NewTenant(), aggregate.KindTicket)
				first, second := Event(agg, 1), Event(agg, 2)
				stored, err := c.writer.AppendAll(t.Context(), 0, first, second)
				if err != nil || len(stored) != 2 || stored[1] <= stored[0] {
					t.Errorf("%d at once: %v, %v", writers, stored, err)
					return
				}
				entries, err := c.reader.LoadAtLeader(t.Context(), agg)
				if err != nil || len(entries) != 2 || entries[0].Seq != stored[0] || entries[1].Seq != stored[1] ||
					!proto.Equal(entries[0].Event, first) || !proto.Equal(entries[1].Event, second) {
					t.Errorf("%d at once: %v, %v", writers, entries, err)
				}
				if again, err := c.writer.AppendAll(t.Context(), 0, first, second); err != nil || !slices.Equal(again, stored) {
					t.Errorf("%d at once: the very same again: %v, %v", writers, again, err)
				}
				// Of what was stored in part, the rest is stored.
				third := Event(agg, 3)
				if stored, err := c.writer.AppendAll(t.Context(), stored[0], second, third); err != nil || len(stored) != 2 {
					t.Errorf("%d at once: with one that is there: %v, %v", writers, stored, err)
				}
			})
		}
		all.Wait()
	}
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	for name, bad := range map[string][]*lockboxv1.Event{
		"a gap":             {Event(agg, 1), Event(agg, 3)},
		"two aggregates":    {Event(agg, 1), Event(newAggregate(agg.Tenant, aggregate.KindTicket), 2)},
		"another beginning": {Event(agg, 2), Event(agg, 3)},
	} {
		if stored, err := c.writer.AppendAll(t.Context(), 0, bad...); !refusal.Is(err,
			lockboxv1.RefusalCode_REFUSAL_CODE_INVALID) || len(stored) > 0 {
			t.Errorf("%s: %v, %v", name, stored, err)
		}
	}
}

// contraryPairs checks that of two pairs that follow the same event, one is stored whole and the other not at all.
func (c *contract) contraryPairs(t *testing.T) {
	other := c.bus.Journal(t, bus.Orchestrator)
	const pairs = 60
	var all sync.WaitGroup
	var won [pairs]atomic.Int32
	aggregates := make([]aggregate.Key, pairs)
	for i := range pairs {
		aggregates[i] = newAggregate(NewTenant(), aggregate.KindTicket)
		agg := aggregates[i]
		for _, j := range []*journal.Journal{c.writer, other} {
			all.Go(func() {
				switch stored, err := j.AppendAll(t.Context(), 0, Event(agg, 1), Event(agg, 2)); {
				case err == nil:
					won[i].Add(1)
				case !errors.Is(err, journal.ErrConflict) || len(stored) > 0:
					t.Errorf("%v, %v", stored, err)
				}
			})
		}
	}
	all.Wait()
	for i, agg := range aggregates {
		if entries := mustLoad(t, c.reader, agg); won[i].Load() != 1 || len(entries) != 2 {
			t.Errorf("%d won, %d events", won[i].Load(), len(entries))
		}
	}
}

func (c *contract) deniedRight(t *testing.T) {
	e := Event(newAggregate(NewTenant(), aggregate.KindRequest), 1)
	evaluator := c.bus.Journal(t, bus.Evaluator, journal.WithTimeout(500*time.Millisecond))
	if _, err := evaluator.Append(t.Context(), 0, e); !errors.Is(err, nats.ErrPermissionViolation) ||
		!errors.Is(err, journal.ErrUnknown) {
		t.Errorf("the evaluator denied a request: %v", err)
	}
	tool := c.bus.Journal(t, bus.Tool(Tool), journal.WithTimeout(500*time.Millisecond))
	if _, err := tool.Load(t.Context(), aggregate.KeyOf(e)); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("a tool loaded a request: %v", err)
	}
	if err := tool.Replay(t.Context(), journal.Replay{}, func(journal.Entry) error { return nil }); !errors.Is(err,
		nats.ErrPermissionViolation) {
		t.Errorf("a tool replayed: %v", err)
	}
}
