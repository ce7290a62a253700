package forwarder

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/pkg/signed/signedtest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What somebody added with a key of the bus is told to nobody as if it had happened (R50), and on a stream that says
// nothing of signing where it is known to begin, nothing is sent.
func TestWhatNobodySignedIsNotSentOn(t *testing.T) {
	t.Parallel()
	w := begin(t)
	ours := signedtest.New(t, "ours")
	orch := w.bus.Journal(t, bus.Orchestrator, journal.WithSigner(ours.Writer(aggregate.Orchestrator)))
	add := func(j *journal.Journal, after uint64, e *lockboxv1.Event) uint64 {
		t.Helper()
		e.Time = timestamppb.Now()
		seq, err := j.Append(t.Context(), after, e)
		must(t, err)
		return seq
	}
	ticket := func() *lockboxv1.Event {
		return journaltest.Event(aggregate.Ticket("meadowbank", journaltest.NewID()), 1)
	}
	began := add(orch, 0, ours.Began(journaltest.NewID(), time.Now()))
	first := add(orch, 0, ticket())
	add(w.writer, 0, ticket()) // which signs nothing
	last := add(orch, 0, ticket())

	key, public := w.key()
	hook := w.hook(public, func(int) int { return http.StatusOK })
	hook.Webhook.KeyFile = key
	run := func(ctx context.Context, expected uint64) error {
		keys := ours.Keyring()
		keys.Expect(expected)
		rt, err := service.Connect(ctx, bus.Connection{InProcess: w.bus, Identity: bus.Compliance,
			Seed: w.bus.Keys[bus.Compliance], Log: zap.NewNop()}, observe.NewMetrics().For(Name), keys)
		must(t, err)
		defer rt.Close()
		return Run(ctx, rt, Config{Cursors: w.dir, Targets: []Target{hook}})
	}
	if r, is := refusal.As(run(t.Context(), last)); !is || r.GetField() != "signing.began_at" {
		t.Errorf("of another stream: %v", r)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, began) }()
	arrived := func() []uint64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Clone(w.arrived)
	}
	for end := time.Now().Add(time.Minute); !slices.Contains(arrived(), last) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	must(t, <-ended)
	if got := arrived(); !slices.Equal(got, []uint64{began, first, last}) {
		t.Errorf("sent: %v", got)
	}
}
