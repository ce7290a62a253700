package doctor

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
)

// lease listens for the guard's word that the log is whole.
func (e *exam) lease(ctx context.Context) []render.Finding {
	nc, err := e.conns.as(bus.Orchestrator)
	if err != nil {
		return blind(err)
	}
	began, returned := time.Now(), make(chan struct{}, 1)
	// The skew of this machine's clock is another check's.
	holder, err := lease.Listen(nc, time.Now, nil, func() {
		select {
		case returned <- struct{}{}:
		default: // once is enough
		}
	})
	if err != nil {
		return blind(err)
	}
	select {
	case <-returned:
	case <-time.After(e.hearing):
	case <-ctx.Done():
	}
	if holder.Check() != nil {
		return one(failed("see the audit-projector's log: it gives the lease while it runs and finds no difference; "+
			"`lockbox audit verify` looks for one too", "no lease within %v: no access is granted", e.hearing))
	}
	return one(well("heard after %s; it is renewed every %v", span(time.Since(began)), lease.RenewEvery))
}

// reader returns a connection that may read the stream.
func (c *connections) reader() (*nats.Conn, error) {
	return c.as(bus.Compliance, bus.Notifier, bus.Orchestrator, bus.Evaluator, bus.Projector)
}

func (e *exam) journal(ctx context.Context) (*journal.Journal, error) {
	nc, err := e.conns.reader()
	if err != nil {
		return nil, err
	}
	return journal.Open(ctx, nc)
}

// mostUnsigned is how long an event may be in the stream before a checkpoint covers it.
const mostUnsigned = time.Minute

var errFound = errors.New("found")

// checkpoint looks for the oldest event that no checkpoint covers. A log that does not grow needs no new ones.
func (e *exam) checkpoint(ctx context.Context) []render.Finding {
	j, err := e.journal(ctx)
	if err != nil {
		return blind(err)
	}
	defer j.Close()
	last, err := j.Latest(ctx, aggregate.MerkleLog)
	if err != nil {
		return blind(err)
	}
	var open journal.Entry
	covered := last.Event.GetCheckpointSigned().GetCoveredSequence()
	err = j.Replay(ctx, journal.Replay{From: covered + 1, Undecoded: true}, func(entry journal.Entry) error {
		if at, err := bus.ParseEventSubject(entry.Subject); err == nil && at.Kind == aggregate.KindCheckpoint {
			return nil
		}
		open = entry
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return blind(err)
	}
	age := e.Now().Sub(open.Stored)
	switch {
	case open.Seq == 0 && last.Seq == 0:
		return one(well("nothing is recorded yet, so there is nothing to sign"))
	case open.Seq == 0:
		return one(well("the last, %s ago, covers everything up to event %d", span(e.Now().Sub(last.Stored)), covered))
	case age > mostUnsigned:
		return one(failed("see the audit-projector's log: it signs within ten seconds while it runs and finds no difference",
			"event %d has been there for %s, and no checkpoint covers it", open.Seq, span(age)))
	}
	return one(well("the last covers everything up to event %d; the next is due", covered))
}

// witnesses looks at the cosignatures under the checkpoint that the log serves.
func (e *exam) witnesses(ctx context.Context) (found []render.Finding) {
	for _, s := range e.Services {
		if s.Witnesses == "" {
			continue
		}
		text, err := os.ReadFile(s.Witnesses)
		if err != nil {
			found = append(found, unknown("run this where the audit-projector runs", "%v", err))
			continue
		}
		policy, err := merkle.ParsePolicy(text)
		if err != nil {
			found = append(found, failed("correct it", "%s: %v", s.Witnesses, err))
			continue
		}
		if s.LogAddress == "" {
			found = append(found, unknown("set service.log.listen", "%s does not serve the log, so nobody sees cosignatures",
				s.File))
			continue
		}
		found = append(found, e.cosignatures(ctx, policy, reachable(s.LogAddress))...)
	}
	return or(found, skipped("no witnesses are configured: nobody outside vouches that customers all see one history"))
}

// reachable is the address at which one reaches what listens everywhere.
func reachable(listens string) string {
	host, port, err := net.SplitHostPort(listens)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return listens
}

// cosignatures waits a little for witnesses that have not cosigned yet: the log serves a checkpoint before they have.
func (e *exam) cosignatures(ctx context.Context, policy *merkle.Policy, at string) []render.Finding {
	for began := time.Now(); ; {
		found := cosigned(ctx, policy, at)
		if found.State == render.OK || time.Since(began) > e.hearing {
			return one(found)
		}
		select {
		case <-ctx.Done():
			return one(found)
		case <-time.After(e.hearing / 20):
		}
	}
}

func cosigned(ctx context.Context, policy *merkle.Policy, at string) render.Finding {
	status, text, err := fetch(ctx, at, "/checkpoint")
	switch {
	case err != nil:
		return unknown("run this where the log is reached", "%v", err)
	case status != http.StatusOK:
		return unknown("see the audit-projector's log", "%s answers %s", at, http.StatusText(status))
	}
	const cure = "see whether the witnesses run and are reached from the audit-projector, whose log names those that fail"
	signed, err := policy.Open([]byte(text))
	if err != nil {
		return failed(cure, "the last checkpoint does not satisfy the policy: %v", err)
	}
	if n, all := len(signed.Cosigned), len(policy.Witnesses()); n < all {
		return mind(cure, "%d of %d witnesses cosigned the last checkpoint", n, all)
	}
	return well("%s cosigned the last checkpoint", count(len(signed.Cosigned), "witness", "witnesses"))
}

func (e *exam) backups(context.Context) []render.Finding {
	return one(skipped("nothing makes backups of the streams yet, so there are no drills; those of the key store are not looked for"))
}

// queue is what waits for a consumer: what nobody has taken yet, and what was taken and is not done, because it is held
// back or is tried again.
type queue struct {
	bus.ConsumerState
	untaken, undone uint64
	// goesOn: more was taken, or done, while this program looked.
	goesOn bool
}

// waiting returns what waits for consumers. If something does, it looks twice.
func (e *exam) waiting(ctx context.Context, of func(name string) bool) (queues []queue, err error) {
	before := map[string]*jetstream.ConsumerInfo{}
	for again := true; ; again = false {
		i, _, err := e.inspect(ctx)
		if err != nil {
			return nil, err
		}
		queues = nil
		idle := true
		for _, c := range i.Consumers {
			if c.Info == nil || !of(c.Name) {
				continue
			}
			q := queue{ConsumerState: c, untaken: c.Info.NumPending, undone: uint64(max(0, c.Info.NumAckPending))} // #nosec G115 -- not negative
			if b := before[c.Name]; b != nil {
				q.goesOn = c.Info.Delivered.Consumer > b.Delivered.Consumer || c.Info.AckFloor.Consumer > b.AckFloor.Consumer
			}
			before[c.Name], queues = c.Info, append(queues, q)
			idle = idle && q.untaken+q.undone == 0
		}
		if idle || !again {
			return queues, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(e.moving):
		}
	}
}

// tooMany is how much may wait for a service before it is behind.
const tooMany = 1000

func (e *exam) lag(ctx context.Context) (found []render.Finding) {
	queues, err := e.waiting(ctx, func(name string) bool { return name != bus.DurableDue })
	if err != nil {
		return blind(err)
	}
	for _, q := range queues {
		switch {
		case q.untaken > 0 && !q.goesOn:
			found = append(found, failed("see whether the service runs and what its log says",
				"%s of %s for %s, and nobody took one within %v", count64(q.untaken, "message waits", "messages wait"), q.Stream,
				q.Name, e.moving))
		case q.untaken+q.undone > tooMany:
			found = append(found, mind("wait; if it does not become less, add a copy of the service",
				"%d messages of %s wait for %s", q.untaken+q.undone, q.Stream, q.Name))
		}
	}
	return or(found, well("nothing waits for long, at any of %s", count(len(queues), "consumer")))
}

func count64(n uint64, noun, plural string) string {
	return count(int(min(n, math.MaxInt32)), noun, plural) // #nosec G115 -- bounded
}

// deadlines looks at what is due and waits for the orchestrator.
func (e *exam) deadlines(ctx context.Context) []render.Finding {
	queues, err := e.waiting(ctx, func(name string) bool { return name == bus.DurableDue })
	if err != nil {
		return blind(err)
	}
	const cure = "see whether the lockbox-orchestrator runs and what its log says"
	for _, q := range queues {
		switch {
		case q.goesOn:
		case q.untaken > 0:
			return one(failed(cure, "%s over, and nobody acted within %v", count64(q.untaken, "deadline is", "deadlines are"),
				e.moving))
		case q.undone > 0:
			return one(mind(cure, "%s over, and what follows is still being tried", count64(q.undone, "deadline is",
				"deadlines are")))
		}
	}
	return one(well("none is overdue"))
}

func (e *exam) deadLetters(ctx context.Context) []render.Finding {
	i, _, err := e.inspect(ctx)
	if err != nil {
		return blind(err)
	}
	for _, s := range i.Streams {
		if s.Name == bus.StreamDeadLetter && s.Info != nil && s.Info.State.Msgs > 0 {
			n, newest := s.Info.State.Msgs, s.Info.State.LastTime
			return one(mind("`lockbox audit dead-letters` shows them, and who sent what", "%s could not be understood, the "+
				"last %s ago", count64(n, "message", "messages"), span(e.Now().Sub(newest))))
		}
	}
	return one(well("none"))
}
