package journal

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// frontier is how far this journal has seen EVENTS, and how far the stream's leader is known to have stored it. In a
// cluster the leader is not always first: a replica may store what was committed, and show it, a few milliseconds
// before the leader does. Until then the leader says that there is no such event. Whoever acted on that would refuse
// what others have just seen.
type frontier struct{ seen, led atomic.Uint64 }

// raise sets a sequence unless it is higher already.
func raise(to *atomic.Uint64, sequence uint64) {
	for {
		is := to.Load()
		if is >= sequence || to.CompareAndSwap(is, sequence) {
			return
		}
	}
}

// awaitLeader returns once the stream's leader has stored everything up to a sequence, and reports whether it had to
// wait. It is UNAVAILABLE if the leader does not get there within the journal's timeout.
func (j *Journal) awaitLeader(ctx context.Context, sequence uint64) (waited bool, err error) {
	begun := time.Now()
	for wait := firstLook; j.frontier.led.Load() < sequence; wait = min(2*wait, lastLook) {
		m, err := j.stored(ctx, bus.StreamEvents, wanted{Next: ">", Seq: sequence})
		switch {
		case err != nil:
			return waited, err
		case m.Seq > 0:
			raise(&j.frontier.led, m.Seq)
			return waited, nil
		case time.Since(begun) > j.timeout:
			return waited, refusal.Unavailable("", "I11", "the stream's leader has not stored event %d yet", sequence)
		}
		waited = true
		if err := sleep(ctx, wait); err != nil {
			return waited, err
		}
	}
	return waited, nil
}
