package guard

import (
	"context"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"go.uber.org/zap"
)

// slow is a stream that answers when it is told to.
type slow struct {
	asked  chan struct{}
	answer chan journal.Copies
}

func (s slow) Copies(ctx context.Context) (journal.Copies, error) {
	s.asked <- struct{}{}
	select {
	case c := <-s.answer:
		return c, nil
	case <-ctx.Done():
		return journal.Copies{}, ctx.Err()
	}
}

func (slow) Scan(context.Context, string, uint64, func(journal.Stored) error) error { return nil }

func (slow) Report(context.Context, *lockboxv1.Event) (uint64, bool, error) { return 0, false, nil }

func (slow) SetAside(context.Context, journal.Misfit) (journal.Entry, bool, error) {
	return journal.Entry{}, false, nil
}

func (slow) Judge(context.Context, journal.Stored) (journal.Misfit, bool, error) {
	return journal.Misfit{}, false, nil
}

func (slow) Misfit(context.Context, uint64) (journal.Misfit, error) { return journal.Misfit{}, nil }

// uptodate are trees that have followed the stream.
type uptodate struct{}

func (uptodate) Covered() uint64                    { return 7 }
func (uptodate) Passed() time.Time                  { return time.Now() }
func (uptodate) Failed() error                      { return nil }
func (uptodate) Inspect() (ledger.Inspected, error) { return ledger.Inspected{}, ledger.ErrNone }

// contradicted are trees that a witness does not know.
type contradicted struct{ uptodate }

func (contradicted) Failed() error { return ledger.ErrDiffers }

// What a witness refuses ends the lease at once, not with the next comparison of everything.
func TestTheLeaseEndsWhenTheLogIsContradicted(t *testing.T) {
	alarms := 0
	g := &Guard{Ledger: contradicted{}, Log: zap.NewNop(), Alarm: func() { alarms++ }, Renew: func(uint64) error {
		t.Error("the lease was renewed")
		return nil
	}}
	g.conclude(verdict{well: true, length: 7, begun: time.Now()})
	for range 2 {
		g.glance(t.Context())
	}
	if alarms != 1 {
		t.Errorf("%d alarms", alarms)
	}
}

// While a server is elected an answer takes its time. What a look finds meanwhile counts.
func TestTheLeaseIsNotRenewedOnWhatHasChangedMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(*Guard)
		renewed   int
	}{
		"nothing":      {func(*Guard) {}, 1},
		"a difference": {func(g *Guard) { g.conclude(verdict{}) }, 0},
		"the look has become too old": {func(g *Guard) {
			g.conclude(verdict{well: true, length: 7,
				begun: time.Now().Add(-2 * trusted)})
		}, 0},
		"a longer stream": {func(g *Guard) { g.conclude(verdict{well: true, length: 8, begun: time.Now()}) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			stream := slow{make(chan struct{}), make(chan journal.Copies)}
			renewed, done := 0, make(chan struct{})
			g := &Guard{Stream: stream, Ledger: uptodate{}, Log: zap.NewNop(), Alarm: func() {}, Renew: func(uint64) error {
				renewed++
				return nil
			}}
			g.conclude(verdict{well: true, length: 7, begun: time.Now()})
			go func() {
				g.glance(t.Context())
				close(done)
			}()
			<-stream.asked
			c.meanwhile(g)
			stream.answer <- journal.Copies{First: 1, Last: 7}
			<-done
			if renewed != c.renewed {
				t.Errorf("renewed %d times", renewed)
			}
		})
	}
}
