package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// attempts is how often an append is tried against a stream that refuses it although nothing changed.
const attempts = 10

// Append stores one event of a decided kind and returns its stream sequence once it is on disk. After is the sequence
// of the aggregate's last event that the decision knew; 0: there was none.
//
// It returns ErrConflict if another event was there first, and success if this very event is stored already. ErrUnknown
// means that nobody knows. An event that must not be stored is refused as INVALID. When ctx ends, what was not sent yet
// is not stored; for what was sent the answer is awaited all the same, no longer than the journal's timeout.
func (j *Journal) Append(ctx context.Context, after uint64, ev *lockboxv1.Event) (uint64, error) {
	seqs, err := j.AppendAll(ctx, after, ev)
	if err != nil {
		return 0, err
	}
	return seqs[0], nil
}

// AppendAll is Append for several events of one aggregate that follow each other, in one commit where the bus makes
// that cheaper. With an error it returns the sequences of those that are stored: the first ones, or none.
func (j *Journal) AppendAll(ctx context.Context, after uint64, evs ...*lockboxv1.Event) (stored []uint64, err error) {
	msgs, err := messages(after, evs)
	if err != nil {
		return nil, err
	}
	agg := aggregate.KeyOf(evs[0])
	filter := bus.Filter(agg)
	for range attempts {
		rest := msgs[len(stored):]
		rest[0].Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(after, 10)}
		rest[0].Header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{filter}
		r := j.events.persist(ctx, filter, rest...)
		if r.err == nil && !r.duplicate {
			return append(stored, r.seqs...), nil
		}
		if r.err != nil && !conflict(r.err) && !errors.Is(r.err, ErrUnknown) {
			return append(stored, r.seqs...), fmt.Errorf("journal: append: %w", r.err)
		}
		last, own, err := j.look(ctx, agg, evs)
		if err != nil {
			return stored, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		more := len(own) > len(stored)
		if more {
			stored, after = own, own[len(own)-1]
		}
		switch {
		case len(stored) == len(evs):
			return stored, nil
		case more && last == after:
			continue
		case errors.Is(r.err, ErrUnknown):
			return stored, j.complaint(r.err)
		case r.duplicate:
			return stored, refusal.Invalid("id", rule, "another event has the id %s", evs[len(stored)].GetId())
		case last != after:
			return stored, fmt.Errorf("%w: its sequence is %d, not %d", ErrConflict, last, after)
		}
		// On a cluster the aggregate may only have been in use for a moment, by a write that came to nothing.
		if err := sleep(ctx, time.Duration(1+rand.IntN(20))*time.Millisecond); err != nil { // #nosec G404 -- jitter
			return stored, err
		}
	}
	return stored, refusal.Unavailable("", "I11", "the stream refuses %s without a reason", agg)
}

// messages makes the messages of events that follow each other in one aggregate.
func messages(after uint64, evs []*lockboxv1.Event) ([]*nats.Msg, error) {
	msgs := make([]*nats.Msg, len(evs))
	for i, ev := range evs {
		if aggregate.Reported(ev.GetKind()) {
			return nil, refusal.Invalid("kind", rule, "a %s is reported, not appended", ev.GetKind())
		}
		if i == 0 && (after == 0) != (ev.GetVersion() == 1) {
			return nil, refusal.Invalid("version", rule, "version %d cannot follow sequence %d", ev.GetVersion(), after)
		}
		if i > 0 && (aggregate.KeyOf(ev) != aggregate.KeyOf(evs[0]) || ev.GetVersion() != evs[i-1].GetVersion()+1) {
			return nil, refusal.Invalid("version", rule, "the events do not follow each other in one aggregate")
		}
		var err error
		if msgs[i], err = message(ev); err != nil {
			return nil, err
		}
	}
	return msgs, nil
}

// look loads the aggregate at the leader and returns its last sequence, and those of these very events that are there.
func (j *Journal) look(
	ctx context.Context, agg aggregate.Key, evs []*lockboxv1.Event,
) (last uint64, own []uint64, err error) {
	entries, err := patiently(ctx, j.timeout, func() ([]Entry, error) { return j.LoadAtLeader(ctx, agg) })
	if err != nil {
		return 0, nil, err
	}
	for _, e := range entries {
		last = e.Seq
		if n := len(own); n < len(evs) && e.Event.GetId() == evs[n].GetId() && proto.Equal(e.Event, evs[n]) {
			own = append(own, e.Seq)
		}
	}
	return last, own, nil
}

// Report stores one event of a reported kind under its own key, and returns its stream sequence. A report that is there
// already is not an error: stored is false, and the sequence is that of the first.
func (j *Journal) Report(ctx context.Context, ev *lockboxv1.Event) (seq uint64, stored bool, err error) {
	if !aggregate.Reported(ev.GetKind()) {
		return 0, false, refusal.Invalid("kind", rule, "a %s is decided, not reported", ev.GetKind())
	}
	msg, err := message(ev)
	if err != nil {
		return 0, false, err
	}
	msg.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{"0"}
	for range attempts {
		r := j.events.persist(ctx, msg.Subject, msg)
		if r.err == nil && !r.duplicate {
			return r.seqs[0], true, nil
		}
		if r.err != nil && !conflict(r.err) && !errors.Is(r.err, ErrUnknown) {
			return 0, false, fmt.Errorf("journal: report: %w", r.err)
		}
		there, err := patiently(ctx, j.timeout, func() (Entry, error) { return j.lastAtLeader(ctx, msg.Subject) })
		switch {
		case err != nil:
			return 0, false, fmt.Errorf("%w: %w", ErrUnknown, err)
		case there.Seq > 0:
			return there.Seq, errors.Is(r.err, ErrUnknown) && there.Event.GetId() == ev.GetId(), nil
		case errors.Is(r.err, ErrUnknown):
			return 0, false, j.complaint(r.err)
		case r.duplicate:
			return 0, false, refusal.Invalid("id", rule, "another event has the id %s", ev.GetId())
		}
		if err := sleep(ctx, time.Duration(1+rand.IntN(20))*time.Millisecond); err != nil { // #nosec G404 -- jitter
			return 0, false, err
		}
	}
	return 0, false, refusal.Unavailable("", "I11", "the stream refuses %s without a reason", msg.Subject)
}

// Reported tells whether there is an event under a subject or filter, as the stream's leader knows it: a replica may be
// behind, and what it does not show would be done again.
func (j *Journal) Reported(ctx context.Context, filter string) (bool, error) {
	m, err := j.stored(ctx, bus.StreamEvents, wanted{Last: filter})
	return m.Seq > 0, err
}

// Latest is the aggregate's last event, as the stream's leader knows it; a zero Entry: there is none.
func (j *Journal) Latest(ctx context.Context, agg aggregate.Key) (Entry, error) {
	if err := agg.Check(); err != nil {
		return Entry{}, err
	}
	return j.lastAtLeader(ctx, bus.Filter(agg))
}

const rule = "journal"

// message marshals the event, once.
func message(ev *lockboxv1.Event) (*nats.Msg, error) {
	subject, err := bus.EventSubject(ev)
	if err != nil {
		return nil, err
	}
	if err := input.UUIDv7("id", ev.GetId()); err != nil {
		return nil, err
	}
	data, err := proto.Marshal(ev)
	if err != nil {
		return nil, refusal.Invalid("event", rule, "cannot be marshalled: %v", err)
	}
	if len(data) > input.MaxMessage {
		return nil, refusal.Invalid("event", rule, "is %d bytes long; at most %d are stored", len(data), input.MaxMessage)
	}
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{jetstream.MsgIDHeader: {ev.GetId()}}}, nil
}

// What the server answers when something else was there first.
const (
	codeWrongLastSequence jetstream.ErrorCode = 10071
	// codeInProcess: on a cluster, another write with this expectation is on its way.
	codeInProcess jetstream.ErrorCode = 10164
	// codeSubjectTaken: the subject has its one message (the server's code for any write that a limit refuses).
	codeSubjectTaken jetstream.ErrorCode = 10077
	// codeDuplicateInBatch: the message id was seen a moment ago.
	codeDuplicateInBatch jetstream.ErrorCode = 10201
)

func conflict(err error) bool {
	var refused *jetstream.APIError
	if !errors.As(err, &refused) {
		return false
	}
	return slices.Contains([]jetstream.ErrorCode{codeWrongLastSequence, codeInProcess, codeSubjectTaken,
		codeDuplicateInBatch}, refused.ErrorCode)
}

// complaint adds what the connection last complained of: a denied publish is never answered, only noticed there.
func (j *Journal) complaint(err error) error {
	if err == nil {
		return nil
	}
	if last := j.nc.LastError(); errors.Is(last, nats.ErrPermissionViolation) {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}
