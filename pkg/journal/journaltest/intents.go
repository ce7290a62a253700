package journaltest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

func (c *contract) intents(t *testing.T) {
	tool := c.bus.Journal(t, bus.Tool(Tool))
	evaluator := c.bus.Journal(t, bus.Evaluator)
	tenant := NewTenant()
	sent := map[uint64]bool{}
	for range 20 {
		seq, err := tool.SubmitIntent(t.Context(), Tool, &lockboxv1.AccessIntent{Id: NewID(), Tenant: tenant})
		if err != nil {
			t.Fatal(err)
		}
		sent[seq] = true
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // others wait as well, thousands in one case
	defer cancel()
	var mu sync.Mutex
	calls, handled := map[uint64]uint64{}, map[uint64]bool{}
	err := evaluator.FollowIntents(ctx, func(_ context.Context, i journal.Intent) error {
		mu.Lock()
		defer mu.Unlock()
		if !sent[i.Seq] {
			return nil
		}
		calls[i.Seq]++
		intent := new(lockboxv1.AccessIntent)
		if err := proto.Unmarshal(i.Data, intent); err != nil || intent.GetTenant() != tenant ||
			i.Deliveries < calls[i.Seq] || i.Stored.IsZero() {
			t.Errorf("intent %+v: %v", i, err)
		}
		if i.Seq%2 == 1 && calls[i.Seq] == 1 {
			return errors.New("later")
		}
		if handled[i.Seq] = true; len(handled) == len(sent) {
			cancel()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for seq := range sent {
		if want := 1 + seq%2; calls[seq] != want {
			t.Errorf("intent %d was handed out %d times, not %d", seq, calls[seq], want)
		}
	}
}

// More bytes wait than a follower holds, and each intent is handed out whole, once.
func (c *contract) largeIntents(t *testing.T) {
	const intents = 150
	tool, evaluator, tenant := c.bus.Journal(t, bus.Tool(Tool)), c.bus.Journal(t, bus.Evaluator), NewTenant()
	var submitting errgroup.Group
	submitting.SetLimit(16)
	for range intents {
		submitting.Go(func() error {
			id := NewID()
			_, err := tool.SubmitIntent(t.Context(), Tool, &lockboxv1.AccessIntent{Id: id, Tenant: tenant,
				Justification: strings.Repeat(id, bus.MaxIntent/len(id)-10)})
			return err
		})
	}
	if err := submitting.Wait(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	js, err := bus.JetStream(c.bus.Connect(t, bus.Provisioner))
	if err != nil {
		t.Fatal(err)
	}
	// Nothing is done before the bus has handed out everything.
	all, seen := make(chan struct{}), make(chan string, 2*intents)
	var done atomic.Int32
	var looking sync.WaitGroup
	defer looking.Wait()
	looking.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			work, err := js.Consumer(ctx, bus.StreamIntents, bus.DurableEvaluator)
			if err == nil && len(seen) > 0 && work.CachedInfo().NumPending == 0 {
				close(all)
				return
			}
		}
	})
	err = evaluator.FollowIntents(ctx, func(ctx context.Context, i journal.Intent) error {
		intent := new(lockboxv1.AccessIntent)
		if err := proto.Unmarshal(i.Data, intent); err != nil || intent.GetTenant() != tenant {
			return err
		}
		if id := intent.GetId(); !strings.HasPrefix(intent.GetJustification(), id+id) {
			t.Errorf("intent %s has another's text", id)
		}
		seen <- intent.GetId()
		select {
		case <-all:
		case <-ctx.Done():
			return ctx.Err()
		}
		if done.Add(1) == intents {
			cancel()
		}
		return nil
	})
	if err != nil || len(seen) != intents {
		t.Fatalf("%d intents of %d, %v", len(seen), intents, err)
	}
}

// Processed intents leave the bus, whoever processed them; what still waits stays, and so does what came after it.
func (c *contract) intentsErased(t *testing.T) {
	tool, evaluator := c.bus.Journal(t, bus.Tool(Tool)), c.bus.Journal(t, bus.Evaluator)
	var sent []uint64
	for range 5 {
		seq, err := tool.SubmitIntent(t.Context(), Tool, &lockboxv1.AccessIntent{Id: NewID(), Tenant: NewTenant()})
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, seq)
	}
	js, err := bus.JetStream(c.bus.Connect(t, bus.Provisioner))
	if err != nil {
		t.Fatal(err)
	}
	kept := func() jetstream.StreamState {
		stream, err := js.Stream(t.Context(), bus.StreamIntents)
		if err != nil {
			t.Fatal(err)
		}
		return stream.CachedInfo().State
	}
	follow := func(handle func(uint64) error, until func() bool) {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- evaluator.FollowIntents(ctx, func(_ context.Context, i journal.Intent) error { return handle(i.Seq) })
		}()
		waitFor(t, "the intents to be erased", until)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	waits := sent[2]
	var handled sync.Map
	follow(func(seq uint64) error {
		if seq == waits {
			return errors.New("not yet")
		}
		handled.Store(seq, true)
		return nil
	}, func() bool {
		_, fourth := handled.Load(sent[3])
		_, fifth := handled.Load(sent[4])
		return fourth && fifth && kept().FirstSeq == waits
	})
	if s := kept(); s.Msgs != 3 || s.LastSeq != sent[4] {
		t.Errorf("with one that waits there are %d, up to %d", s.Msgs, s.LastSeq)
	}
	var again atomic.Int32
	follow(func(seq uint64) error {
		if again.Add(1); seq != waits {
			t.Errorf("%d comes again", seq)
		}
		return nil
	}, func() bool { return kept().Msgs == 0 })
	if n := again.Load(); n != 1 || kept().LastSeq != sent[4] {
		t.Errorf("%d were handled, the last was %d", n, kept().LastSeq)
	}
}
