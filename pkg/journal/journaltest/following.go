package journaltest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

var following = journal.Following{Stream: bus.StreamEvents, Durable: bus.DurableOrchestrator, Concurrency: 8}

func (c *contract) follows() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"events are followed in the order of their aggregate": c.followed,
		"a handler that fails is asked again":                 c.followedAgain,
		"what a handler holds comes when it is wanted":        c.followedHeld,
		"what waits long for its turn comes once":             c.followedSlowly,
		"what was not acknowledged comes after a restart":     c.followedAfterRestart,
		"intents are followed, and given up when told so":     c.intents,
		"intents too large to be held are read again":         c.largeIntents,
		"a tenant whose events hang holds nobody else up":     c.followedFairly,
		"processed intents are erased":                        c.intentsErased,
	}
}

// follow runs Follow until the returned function is called; that fails the test on an error.
func (c *contract) follow(
	t *testing.T, f journal.Following, handle func(context.Context, journal.Entry) error,
) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.writer.Follow(ctx, f, handle) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("follow: %v", err)
		}
	})
}

// seen records versions by aggregate.
type seen struct {
	mu       sync.Mutex
	versions map[string][]uint64
	busy     map[string]bool
	overlaps int
}

func (s *seen) enter(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		s.overlaps++
	}
	s.busy[id] = true
}

func (s *seen) leave(id string, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[id] = false
	s.versions[id] = append(s.versions[id], version)
}

func (s *seen) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.versions {
		n += len(v)
	}
	return n
}

func newSeen() *seen { return &seen{versions: map[string][]uint64{}, busy: map[string]bool{}} }

func (c *contract) followed(t *testing.T) {
	const aggregates, versions = 10, 10
	tenant := NewTenant()
	got := newSeen()
	stop := c.follow(t, following, func(_ context.Context, e journal.Entry) error {
		if e.Event.GetTenant() != tenant {
			return nil
		}
		got.enter(e.Event.GetAggregateId())
		defer got.leave(e.Event.GetAggregateId(), e.Event.GetVersion())
		return nil
	})
	defer stop()
	var all sync.WaitGroup
	for range aggregates {
		all.Go(func() { mustAppend(t, c.writer, newAggregate(tenant, aggregate.KindSubscription), versions) })
	}
	all.Wait()
	waitFor(t, "all events", func() bool { return got.count() >= aggregates*versions })
	stop()
	if got.overlaps > 0 {
		t.Errorf("%d times two events of one aggregate were handled at once", got.overlaps)
	}
	for id, v := range got.versions {
		if len(v) != versions || !slices.IsSorted(v) {
			t.Errorf("%s: versions %v", id, v)
		}
	}
}

func (c *contract) followedSlowly(t *testing.T) {
	const events = 20
	tenant := NewTenant()
	for range events {
		mustAppend(t, c.writer, newAggregate(tenant, aggregate.KindSubscription), 1)
	}
	got := newSeen()
	one := following
	one.Concurrency = 1
	stop := c.follow(t, one, func(_ context.Context, e journal.Entry) error {
		if e.Event.GetTenant() == tenant {
			time.Sleep(bus.AckWait * 3 / 2 / events) // all together longer than the consumer waits for one
			got.leave(e.Event.GetAggregateId(), e.Event.GetVersion())
		}
		return nil
	})
	defer stop()
	waitFor(t, "all events", func() bool { return got.count() >= events })
	stop()
	if n := got.count(); n != events {
		t.Errorf("%d events were handled %d times", events, n)
	}
}

func (c *contract) followedAfterRestart(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindSubscription)
	mustAppend(t, c.writer, agg, 3)
	entered := make(chan struct{}, 16)
	stop := c.follow(t, following, func(ctx context.Context, e journal.Entry) error {
		if e.Event.GetTenant() != agg.Tenant {
			return nil
		}
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	<-entered
	stop()
	got := newSeen()
	stop = c.follow(t, following, func(_ context.Context, e journal.Entry) error {
		if e.Event.GetTenant() == agg.Tenant {
			got.leave(agg.ID, e.Event.GetVersion())
		}
		return nil
	})
	defer stop()
	began := time.Now()
	waitFor(t, "the events again", func() bool { return got.count() >= 3 })
	if took := time.Since(began); took > bus.AckWait/2 {
		t.Errorf("an orderly stop gave its events back only after %v", took)
	}
}

// All of one tenant's handlers hang until another's event is handled, which was appended after thousands of them.
func (c *contract) followedFairly(t *testing.T) {
	loud, quiet := NewTenant(), newAggregate(NewTenant(), aggregate.KindSubscription)
	const events = 3000
	var appending errgroup.Group
	appending.SetLimit(256)
	for range events {
		appending.Go(func() error {
			_, err := c.writer.Append(t.Context(), 0, Event(newAggregate(loud, aggregate.KindSubscription), 1))
			return err
		})
	}
	if err := appending.Wait(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, c.writer, quiet, 1)
	var now, most atomic.Int32
	heard := make(chan struct{})
	hear := sync.OnceFunc(func() { close(heard) })
	handled := newSeen()
	stop := c.follow(t, following, func(ctx context.Context, e journal.Entry) error {
		switch e.Event.GetTenant() {
		case loud:
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			defer now.Add(-1)
			select {
			case <-heard:
			case <-ctx.Done():
				return ctx.Err()
			}
			handled.leave(e.Event.GetAggregateId(), 1)
		case quiet.Tenant:
			hear()
		}
		return nil
	})
	defer stop()
	waitFor(t, "the quiet tenant's event", func() bool {
		select {
		case <-heard:
			return true
		default:
			return false
		}
	})
	if n, half := most.Load(), int32(following.Concurrency/2); n > half {
		t.Errorf("one tenant had %d handlers at once, more than %d", n, half)
	}
	waitFor(t, "the other events", func() bool { return handled.count() >= events })
}

// emptyMessage stores a message without any bytes among events. Such a message ends the bus's answer, and what was sent
// after it is lost on its way; it comes again long before it would be redelivered.
func emptyMessage(t *testing.T, b *Bus) {
	const after = 20
	writer, tenant := b.Journal(t, bus.Orchestrator), NewTenant()
	js, err := bus.JetStream(b.Connect(t, bus.Orchestrator))
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.Consumer(t.Context(), following.Stream, following.Durable)
	if err != nil {
		t.Fatal(err)
	}
	// It is taken, not acknowledged, and so redelivered before any later message would be.
	killed := newAggregate(tenant, aggregate.KindSubscription)
	mustAppend(t, writer, killed, 1)
	if m, err := consumer.Next(); err != nil || !strings.Contains(m.Subject(), killed.ID) {
		t.Fatalf("%v, %v", m, err)
	}
	mustAppend(t, writer, newAggregate(tenant, aggregate.KindSubscription), 1)
	publishRaw(t, b, strings.TrimSuffix(bus.Filter(aggregate.Subscription(tenant, NewID())), ">")+"1.RoleRemoved", nil)
	for range after {
		mustAppend(t, writer, newAggregate(tenant, aggregate.KindSubscription), 1)
	}
	var order []string
	ctx, stop := context.WithCancel(t.Context())
	one := following
	one.Concurrency = 1
	err = writer.Follow(ctx, one, func(_ context.Context, e journal.Entry) error {
		if order = append(order, e.Event.GetAggregateId()); len(order) == after+2 {
			stop()
		}
		return nil
	})
	if err != nil || len(order) != after+2 || order[after+1] != killed.ID {
		t.Errorf("%d events of %d, the one to be redelivered first at %d: %v", len(order), after+2,
			slices.Index(order, killed.ID), err)
	}
}

func (c *contract) replays() map[string]func(*testing.T) {
	return map[string]func(*testing.T){"the stream is replayed, whole or in part": c.replayed,
		"a replay goes on when told so": c.replayFollows}
}

func (c *contract) replayed(t *testing.T) {
	tenant := NewTenant()
	one, two := newAggregate(tenant, aggregate.KindTicket), newAggregate(tenant, aggregate.KindSubscription)
	mustAppend(t, c.writer, newAggregate(NewTenant(), aggregate.KindTicket), 2)
	_, early := mustAppend(t, c.writer, one, 3)
	time.Sleep(5 * time.Millisecond) // the two runs differ in time
	_, late := mustAppend(t, c.writer, two, 2)
	all := slices.Concat(early, late)
	began := mustLoad(t, c.reader, two)[0].Stored
	for name, want := range map[string]struct {
		replay journal.Replay
		seqs   []uint64
	}{
		"of a tenant":             {journal.Replay{Tenant: tenant}, all},
		"of a kind":               {journal.Replay{Tenant: tenant, Kind: aggregate.KindTicket}, early},
		"of an aggregate":         {journal.Replay{ID: two.ID}, late},
		"of a type":               {journal.Replay{Tenant: tenant, Type: "RoleRemoved"}, late},
		"of a type that is not":   {journal.Replay{Tenant: tenant, Type: "AccessGranted"}, nil},
		"from a sequence":         {journal.Replay{Tenant: tenant, From: early[1]}, all[1:]},
		"all, from a sequence":    {journal.Replay{From: late[0]}, late},
		"from after the end":      {journal.Replay{From: late[1] + 1}, nil},
		"since a time":            {journal.Replay{Tenant: tenant, Since: began}, late},
		"until a time":            {journal.Replay{Tenant: tenant, Until: began}, early},
		"since a time, all":       {journal.Replay{Since: began}, late},
		"since and from":          {journal.Replay{Tenant: tenant, From: early[0], Since: began}, late},
		"since what is to come":   {journal.Replay{Tenant: tenant, Since: time.Now().Add(time.Hour)}, nil},
		"of a tenant that is not": {journal.Replay{Tenant: NewTenant()}, nil},
	} {
		var seqs []uint64
		for _, e := range c.replay(t, want.replay) {
			seqs = append(seqs, e.Seq)
		}
		if !slices.Equal(seqs, want.seqs) {
			t.Errorf("%s: %v, not %v", name, seqs, want.seqs)
		}
	}
	for _, bad := range []journal.Replay{{Tenant: "*"}, {Tenant: ">"}, {ID: "a.b"}, {Kind: "other"}, {Type: "*"}} {
		if err := c.reader.Replay(t.Context(), bad, func(journal.Entry) error { return nil }); err == nil {
			t.Errorf("%+v was replayed", bad)
		}
	}
	stop := errors.New("enough")
	if err := c.reader.Replay(t.Context(), journal.Replay{}, func(journal.Entry) error { return stop }); !errors.Is(err,
		stop) {
		t.Errorf("the handler's error became %v", err)
	}
}

func (c *contract) replayFollows(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	_, before := mustAppend(t, c.writer, agg, 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	entries := make(chan journal.Entry, 16)
	done := make(chan error, 1)
	go func() {
		done <- c.reader.Replay(ctx, journal.Replay{From: before[0], Follow: true},
			func(e journal.Entry) error { entries <- e; return nil })
	}()
	<-entries
	if e := <-entries; e.Pending != 0 {
		t.Errorf("the last event says that %d are pending", e.Pending)
	}
	third, err := c.writer.Append(t.Context(), before[1], Event(agg, 3))
	if err != nil {
		t.Fatal(err)
	}
	if e := <-entries; e.Seq != third {
		t.Errorf("then came %d, not %d", e.Seq, third)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// publishRaw stores bytes that no journal would.
func publishRaw(t *testing.T, b *Bus, subject string, data []byte) {
	t.Helper()
	js, err := bus.JetStream(b.Connect(t, bus.Orchestrator))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), subject, data); err != nil {
		t.Fatal(err)
	}
}

func unknownFact(t *testing.T, b *Bus) {
	j := b.Journal(t, bus.Orchestrator)
	agg := newAggregate(NewTenant(), aggregate.KindSubscription)
	e := Event(agg, 1)
	subject, err := bus.EventSubject(e)
	if err != nil {
		t.Fatal(err)
	}
	e.Fact = nil
	data, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	future := append(data, 0xa2, 0xf7, 0x02, 0x00) // field 5988, an empty message
	publishRaw(t, b, subject, future)
	handle := func(context.Context, journal.Entry) error { t.Error("it was handled"); return nil }
	if err := j.Follow(t.Context(), following, handle); !errors.Is(err, input.ErrUnknownFact) {
		t.Errorf("follow: %v", err)
	}
	waitFor(t, "a load to stop at it", func() bool { // by a replica that may lag
		_, err := j.Load(t.Context(), agg)
		return errors.Is(err, input.ErrUnknownFact)
	})
	err = b.Journal(t, bus.Compliance).Replay(t.Context(), journal.Replay{},
		func(e journal.Entry) error { return handle(t.Context(), e) })
	if !errors.Is(err, input.ErrUnknownFact) {
		t.Errorf("replay: %v", err)
	}
}

func corrupt(t *testing.T, b *Bus) {
	j := b.Journal(t, bus.Orchestrator)
	tenant := NewTenant()
	for name, spoil := range map[string]func(*lockboxv1.Event) []byte{
		"another tenant":  func(e *lockboxv1.Event) []byte { e.Tenant = NewTenant(); return nil },
		"another id":      func(e *lockboxv1.Event) []byte { e.AggregateId = NewID(); return nil },
		"another version": func(e *lockboxv1.Event) []byte { e.Version = 2; return nil },
		"another fact": func(e *lockboxv1.Event) []byte {
			e.Fact = &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{}}
			return nil
		},
		"no event": func(*lockboxv1.Event) []byte { return []byte{0xff} },
	} {
		agg := newAggregate(tenant, aggregate.KindTicket)
		e := Event(agg, 1)
		subject, err := bus.EventSubject(e)
		if err != nil {
			t.Fatal(err)
		}
		data := spoil(e)
		if data == nil {
			if data, err = proto.Marshal(e); err != nil {
				t.Fatal(err)
			}
		}
		publishRaw(t, b, subject, data)
		var found *journal.CorruptError
		waitFor(t, name+" to be found", func() bool { // by a replica that may lag
			_, err := j.Load(t.Context(), agg)
			return errors.As(err, &found)
		})
		if found.Seq == 0 || found.Rule == "" {
			t.Errorf("%s: %v", name, found)
		}
	}
	gap := newAggregate(tenant, aggregate.KindTicket)
	e := Event(gap, 2)
	subject, err := bus.EventSubject(e)
	if err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	publishRaw(t, b, subject, data)
	waitFor(t, "a history that begins with version 2 to be found", func() bool {
		var found *journal.HistoryError
		_, err := j.Load(t.Context(), gap)
		return errors.As(err, &found)
	})
}

// changedConsumer simulates a provisioner that changes a service's consumer. Nobody else can.
func changedConsumer(t *testing.T, b *Bus) {
	js, err := bus.JetStream(b.Connect(t, bus.Provisioner))
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.Consumer(t.Context(), bus.StreamEvents, bus.DurableNotifier)
	if err != nil {
		t.Fatal(err)
	}
	config := consumer.CachedInfo().Config
	if err := bus.CheckConsumer(bus.StreamEvents, config); err != nil {
		t.Fatalf("as it was made: %v", err)
	}
	config.FilterSubject, config.FilterSubjects = bus.DeadLetters, nil
	if _, err := js.UpdateConsumer(t.Context(), bus.StreamEvents, config); err != nil {
		t.Fatal(err)
	}
	var drift *bus.DriftError
	err = b.Journal(t, bus.Notifier).Follow(t.Context(),
		journal.Following{Stream: bus.StreamEvents, Durable: bus.DurableNotifier},
		func(context.Context, journal.Entry) error { return nil })
	if !errors.As(err, &drift) {
		t.Errorf("a follower whose consumer tells it nothing: %v", err)
	}
}
