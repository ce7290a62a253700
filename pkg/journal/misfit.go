package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// Misfit is a message on an event's subject that cannot be an event, whatever the version that reads it: its bytes are
// none, or contradict their subject. Followers skip it. An aggregate under whose filter it is stored is at fault until
// a security officer sets the message aside; from then on it counts as if it were not there.
type Misfit struct {
	Seq     uint64
	Subject string
	// Size is the number of its bytes, and SHA256 their hash.
	Size   int
	SHA256 []byte
	// Rule is what holds for every event, and not for this message.
	Rule string
}

// MisfitError is the *CorruptError about a single message that cannot be an event.
type MisfitError struct{ Misfit }

func (e *MisfitError) Error() string { return e.Unwrap().Error() }

// Unwrap returns a *CorruptError.
func (e *MisfitError) Unwrap() error { return &CorruptError{e.Seq, e.Rule} }

// isMisfit reports whether err is about a message that cannot be an event.
func isMisfit(err error) bool {
	var misfit *MisfitError
	return errors.As(err, &misfit)
}

// IsMisfit reports whether a stored message cannot be an event.
func IsMisfit(sequence uint64, subject string, data []byte) (Misfit, bool) {
	_, rule := decode(subject, data)
	if rule == "" {
		return Misfit{}, false
	}
	return newMisfit(sequence, subject, data, rule), true
}

func newMisfit(sequence uint64, subject string, data []byte, rule string) Misfit {
	sum := sha256.Sum256(data)
	return Misfit{sequence, subject, len(data), sum[:], rule}
}

func (m storedMsg) isMisfit() bool {
	_, rule := decode(m.Subject, m.Data)
	return rule != ""
}

// decode returns the event, which has no fact if it is of a later version, or the rule that the message breaks.
func decode(subject string, data []byte) (event *lockboxv1.Event, broken string) {
	event, err := input.DecodeEvent(data)
	switch {
	case errors.Is(err, input.ErrUnknownFact):
		// A later version's fact is a field that this version does not know.
		if len(event.ProtoReflect().GetUnknown()) == 0 || !bus.AgreesApartFromFact(subject, event) {
			return nil, "an event has a fact, and its subject says what its envelope says"
		}
	case err != nil:
		return nil, "its bytes are an event"
	case !bus.Agrees(subject, event):
		return nil, "its subject says what its envelope says"
	}
	return event, ""
}

// skip logs and counts a misfit that nobody else is told of.
func (j *Journal) skip(m Misfit) {
	about, _ := bus.Under(m.Subject)
	j.log.Error("ALARM: a stored message is no event; it is skipped", observe.About(about,
		zap.Uint64("sequence", m.Seq), zap.String("subject", m.Subject), zap.Int("bytes", m.Size),
		zap.String("sha256", hex.EncodeToString(m.SHA256)), zap.String("rule", m.Rule))...)
	if j.skipped != nil {
		j.skipped(m)
	}
}

// decisions are those of a stream that were read so far. They are only ever added to.
type decisions struct {
	Decisions
	mu sync.Mutex
	// through is the sequence up to which the stream was searched.
	through uint64
}

// SetAside returns the decision by which a misfit was set aside; false if there is none. It asks the stream's leader
// unless the decision is known.
func (j *Journal) SetAside(ctx context.Context, m Misfit) (Entry, bool, error) {
	j.aside.mu.Lock()
	defer j.aside.mu.Unlock()
	if decided, found := j.aside.About(m); found {
		return decided, true, nil
	}
	for {
		next, err := j.stored(ctx, bus.StreamEvents, wanted{Next: bus.SetAsideFilter, Seq: j.aside.through + 1})
		if err != nil {
			return Entry{}, false, err
		}
		if next.Seq == 0 {
			decided, found := j.aside.About(m)
			return decided, found, nil
		}
		if e, err := j.read(ctx, next); err == nil {
			j.aside.see(e)
		} else if !isMisfit(err) && !errors.Is(err, input.ErrUnknownFact) {
			return Entry{}, false, err
		}
		j.aside.through = next.Seq
	}
}

// Decisions are valid decisions that set messages aside.
type Decisions struct {
	by map[uint64][]Entry // by the message's sequence
}

// See adds a message of the stream, if it is such a decision. Who has signed it is not looked at.
func (d *Decisions) See(sequence uint64, subject string, data []byte) {
	if !strings.HasPrefix(subject, bus.GuardPrefix) {
		return
	}
	if e, err := newEntry(sequence, time.Time{}, subject, data); err == nil {
		d.see(e)
	}
}

func (d *Decisions) see(e Entry) {
	if aside := aggregate.SetsAside(e.Event); aside != nil && aside.GetSequence() < e.Seq {
		if d.by == nil {
			d.by = map[uint64][]Entry{}
		}
		d.by[aside.GetSequence()] = append(d.by[aside.GetSequence()], e)
	}
}

// About returns the decision about a message; false if there is none.
func (d *Decisions) About(m Misfit) (Entry, bool) {
	for _, e := range d.by[m.Seq] {
		aside := e.Event.GetMessageSetAside()
		if aside.GetSubject() == m.Subject && bytes.Equal(aside.GetSha256(), m.SHA256) {
			return e, true
		}
	}
	return Entry{}, false
}

// Misfit returns the message at a sequence, as the stream's leader has it. It is refused as NOT_FOUND if there is no
// message, and as a failed PRECONDITION if the message is an event, or may be one of a later version.
func (j *Journal) Misfit(ctx context.Context, sequence uint64) (Misfit, error) {
	if sequence == 0 {
		return Misfit{}, refusal.Invalid("sequence", rule, "sequences count from 1")
	}
	found, err := j.stored(ctx, bus.StreamEvents, wanted{Seq: sequence})
	if err != nil {
		return Misfit{}, err
	}
	if found.Seq == 0 {
		return Misfit{}, refusal.NotFound("sequence", rule, "the stream holds no message %d", sequence)
	}
	_, err = j.read(ctx, found)
	var misfit *MisfitError
	switch {
	case errors.As(err, &misfit):
		return misfit.Misfit, nil
	case err != nil && !errors.Is(err, input.ErrUnknownFact):
		return Misfit{}, err
	}
	return Misfit{}, refusal.Precondition("sequence", "I6", "message %d is an event; no event can be set aside", sequence)
}

// entries decodes messages, without those that were set aside. It returns a *MisfitError if one that cannot be an event
// was not.
func (j *Journal) entries(ctx context.Context, found []storedMsg) ([]Entry, error) {
	entries := make([]Entry, 0, len(found))
	for _, m := range found {
		e, err := j.read(ctx, m)
		if aside, failed := j.isAside(ctx, err); failed != nil {
			return nil, failed
		} else if !aside {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// isAside reports whether an error of newEntry is about a message that was set aside. Otherwise it returns the error.
func (j *Journal) isAside(ctx context.Context, err error) (bool, error) {
	var misfit *MisfitError
	if !errors.As(err, &misfit) {
		return false, err
	}
	_, decided, failed := j.SetAside(ctx, misfit.Misfit)
	if failed != nil || decided {
		return decided, failed
	}
	return false, err
}

// lastEvent returns the last message under a filter, as the stream's leader has it, but for those that were set aside;
// sequence 0 if there is none. It expects none before from. It returns a *MisfitError if one cannot be an event and was
// not set aside.
func (j *Journal) lastEvent(ctx context.Context, filter string, from uint64) (storedMsg, error) {
	last, err := j.stored(ctx, bus.StreamEvents, wanted{Last: filter})
	if err != nil || last.Seq == 0 {
		return last, err
	}
	if _, err := j.read(ctx, last); !isMisfit(err) {
		if errors.Is(err, input.ErrUnknownFact) { // for whoever decodes it
			err = nil
		}
		return last, err
	}
	last = storedMsg{}
	for seq := max(1, from); ; {
		m, err := j.stored(ctx, bus.StreamEvents, wanted{Next: filter, Seq: seq})
		if err != nil || m.Seq == 0 {
			return last, err
		}
		_, err = j.read(ctx, m)
		if aside, failed := j.isAside(ctx, err); failed != nil {
			return storedMsg{}, failed
		} else if !aside {
			last = m
		}
		seq = m.Seq + 1
	}
}
