package projector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"go.uber.org/zap"
)

const (
	// batchSize is the maximum number of events per commit. A smaller batch is committed as soon as the stream holds no
	// more, or after batchTime: new events become visible at once, and a backlog is not committed in small pieces,
	// which costs several times as much.
	batchSize = 2000
	batchTime = 20 * time.Millisecond
	// examineEvery is the pause between two examinations of the projection.
	examineEvery = 40 * time.Second
	// waitingEvents is the number of events read ahead of a commit.
	waitingEvents = 2 * batchSize
)

// The kinds of alarms; the metric counts alarms under these names.
const (
	alarmUnknownFact   = "unknown_event"
	alarmNotAnEvent    = "not_an_event"
	alarmCorruptStream = "stream_gap"
	// alarmContradiction is about an event that cannot be true where it stands; alarmGrant is one that grants access.
	alarmContradiction = "contradiction"
	alarmGrant         = "grant_without_basis"
	alarmDamage        = "projection_damaged"
	alarmLog           = "log_differs"
	alarmMail          = "mail_overdue"
)

// contradiction is the kind of the alarm about an event that cannot be true where it stands.
func contradiction(e *lockboxv1.Event) string {
	if e.GetAccessGranted() != nil {
		return alarmGrant
	}
	return alarmContradiction
}

// Source supplies the events: *journal.Journal.
type Source interface {
	Replay(ctx context.Context, r journal.Replay, handle func(journal.Entry) error) error
}

// follower keeps a projection up to date with the stream.
type follower struct {
	dir    string
	source Source
	log    *zap.Logger
	alarm  func(what string)
	// details decrypts what can be erased; nil: nothing does. forget is sent to when something was.
	details projection.Details
	forget  <-chan struct{}
	// serve starts answering queries from a complete projection.
	serve func(ctx context.Context, store *projection.Store) (stop func() error, err error)
	// changed is called with the tenants whose new events have become visible. It must not block.
	changed func(tenants []string)
	// traces is what is traced with; nil: nothing is.
	traces *trace.Service
	// misfit is called for each message that cannot be an event.
	misfit func(ctx context.Context, m journal.Misfit)
	// building is called with the progress of a new projection; it may be nil.
	building func(done, of uint64)
}

// run follows the stream until ctx ends or the stream cannot be followed. A damaged projection is rebuilt; if the new
// one is damaged too before it is complete, the disk is to blame, and run returns.
func (f *follower) run(ctx context.Context) error {
	for again := false; ; again = true {
		complete, err := f.follow(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to stop; uncommitted events are read again
		}
		if !errors.Is(err, projection.ErrUnusable) || again && !complete {
			return err
		}
		f.alarm(alarmDamage)
		f.log.Error("ALARM: the projection is damaged; rebuilding it", zap.Error(err))
	}
}

// follow opens the projection and keeps it up to date. It reports whether the projection was complete and served
// queries.
func (f *follower) follow(ctx context.Context) (complete bool, err error) {
	store, target, err := f.open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = f.close(store, err) }()
	ctx, stop := context.WithCancelCause(ctx)
	var examining sync.WaitGroup
	defer func() {
		stop(nil)
		examining.Wait() // it reads the projection that is about to be closed
	}()
	built := store.Building()
	events, ended := f.read(ctx, store.Sequence()+1)
	go func() {
		select {
		case err := <-store.Damaged():
			stop(err)
		case <-ctx.Done():
		}
	}()
	examining.Go(func() {
		for {
			select {
			case <-f.forget:
			case <-ctx.Done():
				return
			}
			if err := store.Forget(ctx); err != nil {
				stop(err)
			}
		}
	})
	f.log.Info("following", zap.Uint64("from", store.Sequence()+1), zap.Uint64("to", target))
	begun := time.Now()
	stopAnswers := func() error { return nil }
	defer func() { err = errors.Join(err, stopAnswers()) }()
	for {
		if !complete && store.Sequence() >= target {
			if err := store.Complete(ctx); err != nil {
				return false, err
			}
			if stopAnswers, err = f.serve(ctx, store); err != nil {
				return false, err
			}
			complete = true
			f.log.Info("answering", zap.Uint64("sequence", store.Sequence()), zap.Duration("after", time.Since(begun)))
			examining.Go(func() { f.examine(ctx, store, built) })
		}
		batch := collect(events)
		if len(batch) == 0 {
			return complete, errors.Join(context.Cause(ctx), <-ended)
		}
		begun := time.Now()
		if err := store.Apply(ctx, batch); err != nil {
			return complete, errors.Join(context.Cause(ctx), err)
		}
		if complete {
			f.traced(ctx, batch, begun)
			f.changed(touched(batch))
		} else if f.building != nil {
			f.building(min(store.Sequence(), target), target)
		}
	}
}

// traced records that events of requests have become visible. Those from before it answered are not recorded: they may
// be all that ever happened.
func (f *follower) traced(ctx context.Context, batch []projection.Event, begun time.Time) {
	for _, e := range batch {
		if f.traces != nil && trace.OfRequest(e.Event) {
			_, span := f.traces.After(ctx, e.Event, "projection", begun)
			span.End(nil)
		}
	}
}

// touched lists the distinct tenants for whom something has become visible. For a disclosure that is the notification:
// its existence must not show before (R46).
func touched(batch []projection.Event) (tenants []string) {
	for _, e := range batch {
		if e.Event == nil || e.Event.GetKind() == aggregate.KindDisclosure && e.Event.GetDisclosureTold() == nil {
			continue
		}
		if !slices.Contains(tenants, e.Event.GetTenant()) {
			tenants = append(tenants, e.Event.GetTenant())
		}
	}
	return tenants
}

// close closes the projection, and removes it if it is damaged.
func (f *follower) close(store *projection.Store, err error) error {
	if !errors.Is(err, projection.ErrUnusable) {
		return errors.Join(err, store.Close())
	}
	if failed := store.Discard(); failed != nil {
		return fmt.Errorf("removing the damaged projection: %w", failed)
	}
	return err
}

// received is an event, with whether the stream held more when it was read.
type received struct {
	projection.Event
	more bool
}

// read reads the stream ahead of the commits. The channel of events is closed when the stream or ctx ends; then ended
// holds the reason.
func (f *follower) read(ctx context.Context, from uint64) (events chan received, ended chan error) {
	events, ended = make(chan received, waitingEvents), make(chan error, 1)
	go func() {
		pass := func(e journal.Entry) error {
			select {
			case events <- received{projection.Event{Sequence: e.Seq, Bytes: e.Data, Event: e.Event}, e.Pending > 0}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		misfit := func(e journal.Entry, m journal.Misfit) error {
			f.alarm(alarmNotAnEvent)
			about, _ := bus.Under(m.Subject)
			f.log.Error("ALARM: a stored message is no event; nothing is told of it", observe.About(about,
				zap.Uint64("sequence", m.Seq), zap.String("subject", m.Subject), zap.String("rule", m.Rule))...)
			f.misfit(ctx, m)
			return pass(e)
		}
		err := f.source.Replay(ctx, journal.Replay{From: from, Follow: true, Misfit: misfit}, pass)
		ended <- f.judge(err)
		close(events)
	}()
	return events, ended
}

// judge raises the alarm about a stream that cannot be followed further. No event is ever skipped, of whatever version
// (pkg/README.md, "The event").
func (f *follower) judge(err error) error {
	var corrupt *journal.CorruptError
	switch {
	case errors.Is(err, input.ErrUnknownFact):
		f.alarm(alarmUnknownFact)
		f.log.Error("ALARM: an event of a type that this version does not know; a newer version must read on", zap.Error(err))
	case errors.As(err, &corrupt):
		f.alarm(alarmCorruptStream)
		f.log.Error("ALARM: the stream contradicts itself", zap.Error(err))
	}
	return err
}

// collect waits for an event and takes with it those that follow at once. It returns none if there will be no more.
func collect(events <-chan received) []projection.Event {
	last, ok := <-events
	if !ok {
		return nil
	}
	batch := append(make([]projection.Event, 0, 1+min(batchSize, len(events))), last.Event)
	var late <-chan time.Time
	for len(batch) < batchSize && (last.more || len(events) > 0) {
		if late == nil {
			late = time.After(batchTime)
		}
		select {
		case last, ok = <-events:
			if !ok {
				return batch
			}
			batch = append(batch, last.Event)
		case <-late:
			return batch
		}
	}
	return batch
}

// examine periodically looks for damage that no query has met yet, and spends at most a tenth of the time on it. It
// does not start with a projection that was just built.
func (f *follower) examine(ctx context.Context, store *projection.Store, built bool) {
	wait := time.Duration(0)
	if built {
		wait = examineEvery
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		begun := time.Now()
		if err := store.Examine(ctx); err != nil && ctx.Err() == nil {
			f.log.Warn("examining the projection failed", zap.Error(err))
		}
		wait = max(examineEvery, 10*time.Since(begun))
	}
}

// open opens the projection, or starts a new one if the old one belongs to another stream. target is the last sequence
// in the stream now.
func (f *follower) open(ctx context.Context) (store *projection.Store, target uint64, err error) {
	options := projection.Options{Log: f.log, Details: f.details, Contradiction: func(e *lockboxv1.Event) {
		f.alarm(contradiction(e))
	}}
	if store, err = projection.Open(ctx, f.dir, options); err != nil {
		return nil, 0, err
	}
	if target, err = f.compare(ctx, store); errors.Is(err, projection.ErrUnusable) {
		f.log.Warn("the projection is thrown away and made again", zap.Error(err))
		if err = store.Discard(); err != nil {
			return nil, 0, err
		}
		if store, err = projection.Open(ctx, f.dir, options); err != nil {
			return nil, 0, err
		}
		target, err = f.compare(ctx, store)
	}
	if err != nil {
		return nil, 0, errors.Join(err, store.Close())
	}
	return store, target, nil
}

// compare compares the first and the last event of the projection with the stream. If the stream is shorter or begins
// differently, it is another stream, or has lost its end and reuses sequences.
func (f *follower) compare(ctx context.Context, store *projection.Store) (target uint64, err error) {
	last := store.Sequence()
	if last == 0 {
		_, target, err = f.peek(ctx, 1)
		return target, err
	}
	for _, seq := range []uint64{1, last} {
		var data, kept []byte
		if data, target, err = f.peek(ctx, seq); err != nil {
			return 0, err
		}
		if kept, err = store.Event(ctx, seq); err != nil {
			return 0, err
		}
		if data == nil || !bytes.Equal(data, kept) {
			return 0, fmt.Errorf("%w: event %d differs from the stream", projection.ErrUnusable, seq)
		}
	}
	return target, nil
}

var errSeen = errors.New("seen")

// peek reads one event of the stream, and the stream's last sequence. data is nil if the stream ends before that event.
func (f *follower) peek(ctx context.Context, seq uint64) (data []byte, last uint64, err error) {
	// The bytes are compared, whatever they say.
	err = f.source.Replay(ctx, journal.Replay{From: seq, Undecoded: true}, func(e journal.Entry) error {
		if e.Seq == seq {
			data = e.Data
		}
		last = e.Seq + e.Pending
		return errSeen
	})
	if err != nil && !errors.Is(err, errSeen) {
		return nil, 0, f.judge(err)
	}
	return data, last, nil
}
