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

// attempts is how many times an append is tried while the stream refuses it although nothing has changed.
const attempts = 10

// Append stores one event of a decided kind and returns its stream sequence once it is on disk. After is the stream
// sequence of the aggregate's last event on which the decision was based; 0 if there was none.
//
// It returns ErrConflict if another event was stored first, and succeeds if this event is already stored. ErrUnknown
// means that the outcome cannot be determined. An event that must not be stored is refused as INVALID. When ctx ends,
// an event not yet sent is not stored; for one already sent, Append still waits for the answer, up to the journal's
// timeout.
func (j *Journal) Append(ctx context.Context, after uint64, ev *lockboxv1.Event) (uint64, error) {
	seqs, err := j.AppendAll(ctx, after, ev)
	if err != nil {
		return 0, err
	}
	return seqs[0], nil
}

// AppendAll is Append for consecutive events of one aggregate, in one commit where that is cheaper. Together with an
// error it returns the sequences of the events that were stored: a prefix of evs, possibly empty.
func (j *Journal) AppendAll(ctx context.Context, after uint64, evs ...*lockboxv1.Event) (stored []uint64, err error) {
	sealed, err := j.seal(ctx, evs)
	if err != nil {
		return nil, err
	}
	msgs, err := messages(after, sealed)
	if err != nil {
		return nil, err
	}
	agg := aggregate.KeyOf(evs[0])
	if err := j.chain(ctx, after, evs[0], msgs); err != nil {
		return nil, err
	}
	filter := bus.Filter(agg)
	expected := after // or the sequence of a message after it that was set aside
	for range attempts {
		rest := msgs[len(stored):]
		rest[0].Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(expected, 10)}
		rest[0].Header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{filter}
		r := j.events.persist(ctx, filter, rest...)
		if r.err == nil && !r.duplicate {
			for i, seq := range r.seqs {
				e := Entry{Seq: seq, Subject: rest[i].Subject, Data: rest[i].Data, Event: evs[len(stored)+i]}
				raise(&j.frontier.led, seq) // the leader acknowledges what it has stored
				j.written.Put(seq, e)
				j.wrote(e)
			}
			j.wroteKeys(ctx, agg)
			return append(stored, r.seqs...), nil
		}
		if r.err != nil && !conflict(r.err) && !errors.Is(r.err, ErrUnknown) {
			return append(stored, r.seqs...), fmt.Errorf("journal: append: %w", r.err)
		}
		last, own, err := j.look(ctx, agg, evs)
		if isMisfit(err) && conflict(r.err) {
			return stored, fmt.Errorf("%w: %w", ErrConflict, err)
		}
		if err != nil {
			return stored, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		more := len(own) > len(stored)
		if more {
			stored, after = own, own[len(own)-1]
			expected = after
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
		if expected, err = j.afterAside(ctx, filter, after, msgs[len(stored)].Subject); err != nil {
			return stored, err
		}
		// On a cluster, a concurrent write that failed may have locked the aggregate for a moment.
		if err := sleep(ctx, time.Duration(1+rand.IntN(20))*time.Millisecond); err != nil { // #nosec G404 -- jitter
			return stored, err
		}
	}
	return stored, refusal.Unavailable("", "I11", "the stream refuses %s without a reason", agg)
}

// afterAside returns the last sequence under an aggregate's filter, for an append that was refused although no event
// follows after: the last message may be one that was set aside. If such a message has taken the very subject, the
// append is refused (PRECONDITION).
func (j *Journal) afterAside(ctx context.Context, filter string, after uint64, subject string) (uint64, error) {
	for _, under := range []string{subject, filter} {
		last, err := patiently(ctx, j.timeout, func() (storedMsg, error) {
			return j.stored(ctx, bus.StreamEvents, wanted{Last: under})
		})
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		if last.Seq <= after && under == filter || last.Seq == 0 {
			continue
		}
		_, err = j.read(ctx, last)
		switch aside, failed := j.isAside(ctx, err); {
		case isMisfit(failed), failed == nil && !aside: // or another event was stored since
			return 0, errors.Join(fmt.Errorf("%w: its sequence is %d, not %d", ErrConflict, last.Seq, after), failed)
		case failed != nil:
			return 0, fmt.Errorf("%w: %w", ErrUnknown, failed)
		case under == subject:
			return 0, refusal.Precondition("aggregate_id", "I6",
				"the place of this event is taken by message %d, which was set aside; something else must happen first", last.Seq)
		}
		return last.Seq, nil
	}
	return after, nil
}

// messages builds the messages for consecutive events of one aggregate.
func messages(after uint64, evs []*lockboxv1.Event) ([]*outgoing, error) {
	msgs := make([]*outgoing, len(evs))
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

// look loads the aggregate from the leader and returns its last sequence and the sequences of those of evs that are
// stored.
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

// Report stores one event of a reported kind under its own key and returns its stream sequence. A report that already
// exists is not an error: stored is false and seq is the sequence of the existing one. If a message that cannot be an
// event has taken the key, its sequence is appended to the event's key: nobody may suppress a report in this way.
func (j *Journal) Report(ctx context.Context, ev *lockboxv1.Event) (seq uint64, stored bool, err error) {
	if !aggregate.Reported(ev.GetKind()) {
		return 0, false, refusal.Invalid("kind", rule, "a %s is decided, not reported", ev.GetKind())
	}
	sealed, err := j.seal(ctx, []*lockboxv1.Event{ev})
	if err != nil {
		return 0, false, err
	}
	msg, err := message(sealed[0])
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
		var misfit *MisfitError
		switch {
		case errors.As(err, &misfit): // so this report was not stored
			ev = proto.CloneOf(ev)
			ev.ReportKey += "-" + strconv.FormatUint(misfit.Seq, 10)
			return j.Report(ctx, ev)
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

// Reported reports whether there is an event under a subject or filter. It asks the stream's leader: a replica may lag,
// and work whose report it does not have yet would be repeated.
func (j *Journal) Reported(ctx context.Context, filter string) (bool, error) {
	m, err := j.stored(ctx, bus.StreamEvents, wanted{Last: filter})
	for seq := uint64(1); err == nil && m.Seq > 0; seq = m.Seq + 1 {
		if _, err = j.read(ctx, m); !isMisfit(err) {
			break
		}
		m, err = j.stored(ctx, bus.StreamEvents, wanted{Next: filter, Seq: seq})
	}
	if errors.Is(err, input.ErrUnknownFact) { // of a later version, and there all the same
		err = nil
	}
	return m.Seq > 0, err
}

// Latest returns the aggregate's last event from the stream's leader; a zero Entry if there is none.
func (j *Journal) Latest(ctx context.Context, agg aggregate.Key) (Entry, error) {
	if err := agg.Check(); err != nil {
		return Entry{}, err
	}
	return j.lastAtLeader(ctx, bus.Filter(agg))
}

const rule = "journal"

// message builds the message of one event.
func message(ev *lockboxv1.Event) (*outgoing, error) {
	subject, err := bus.EventSubject(ev)
	if err != nil {
		return nil, err
	}
	if err := input.UUIDv7("id", ev.GetId()); err != nil {
		return nil, err
	}
	if ev.GetSignature() != nil {
		return nil, refusal.Invalid("signature", rule, "is appended when the event is sent")
	}
	data, err := proto.Marshal(ev)
	if err != nil {
		return nil, refusal.Invalid("event", rule, "cannot be marshalled: %v", err)
	}
	if len(data) > input.MaxMessage {
		return nil, refusal.Invalid("event", rule, "is %d bytes long; at most %d are stored", len(data), input.MaxMessage)
	}
	header := nats.Header{jetstream.MsgIDHeader: {ev.GetId()}}
	return &outgoing{Msg: &nats.Msg{Subject: subject, Data: data, Header: header}}, nil
}

// Error codes of the server when another write came first.
const (
	codeWrongLastSequence jetstream.ErrorCode = 10071
	// codeWrongLastID: another message came between two that were sent together.
	codeWrongLastID jetstream.ErrorCode = 10070
	// codeInProcess: on a cluster, another write with the same expectation is in flight.
	codeInProcess jetstream.ErrorCode = 10164
	// codeSubjectTaken: the subject already has its one message (the server uses this code for every limit).
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

// complaint adds the connection's last permission error: the server never answers a denied publish, it only reports it
// on the connection.
func (j *Journal) complaint(err error) error {
	if err == nil {
		return nil
	}
	if last := j.nc.LastError(); errors.Is(last, nats.ErrPermissionViolation) {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

// full reports whether a subject holds as many messages as it may.
func full(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && refused.ErrorCode == codeSubjectTaken
}
