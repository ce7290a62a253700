package journal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/cache"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// WithSigner makes the journal sign every event that it stores (R50).
func WithSigner(s *signed.Signer) Option { return func(j *Journal) { j.signing.signer = s } }

// WithKeyring makes the journal judge the events that it reads: one that is not signed as it has to be is a [Misfit].
// The journal adds to the keyring what the stream says of writers' keys, now and every few seconds;
// others may read it.
func WithKeyring(k *signed.Keyring) Option { return func(j *Journal) { j.signing.keys = k } }

const (
	// rememberedContents is of how many events a journal remembers the content's hash, up to twice as many.
	rememberedContents = 8192
	// learnEvery is how often it looks for news of writers' keys: a revoked key counts for no longer than that.
	learnEvery = 5 * time.Second
)

// signatures is what a journal needs to sign events, and to judge them.
type signatures struct {
	signer *signed.Signer  // nil: nothing is signed
	keys   *signed.Keyring // nil: nothing is judged
	// contents are events of decided kinds that were read or written last, passed those of any kind that were judged last,
	// by sequence: several read the same ones, one shortly after the other.
	contents *cache.Cache[place, content]
	passed   *cache.Cache[uint64, passed]
	stop     context.CancelFunc // ends learning

	// news counts what became known of keys: what was judged before is judged anew.
	news     atomic.Uint64
	learning sync.Mutex
	// Of writers' keys, the last event that was read: its sequence, and the hash of its content.
	through uint64
	last    [sha256.Size]byte
	known   atomic.Bool // something was read, even if there is nothing
}

// place is where an event of a decided kind stands in its aggregate.
type place struct {
	about   aggregate.Key
	version uint64
}

// content is what is remembered of an event: where it stands, and the hash of its bytes before the signature.
type content struct {
	seq     uint64
	content [sha256.Size]byte
}

// passed is an event that was judged: its subject, the hash of all its bytes, and how much was known of keys.
type passed struct {
	subject string
	stored  [sha256.Size]byte
	news    uint64
}

// chain lets the messages of consecutive events follow each other, and the first one follow what was there before.
func (j *Journal) chain(ctx context.Context, after uint64, first *lockboxv1.Event, msgs []*outgoing) (err error) {
	if j.signing.signer == nil {
		return nil
	}
	if first.GetVersion() > 1 {
		at := place{aggregate.KeyOf(first), first.GetVersion() - 1}
		before, known := j.signing.contents.Get(at)
		if msgs[0].previous = before.content; !known || before.seq != after {
			if msgs[0].previous, err = j.contentAt(ctx, at, after); err != nil {
				return err
			}
		}
	}
	for i, m := range msgs[1:] {
		m.previous = signed.Hash(msgs[i].Data)
	}
	return nil
}

// contentAt reads the content's hash of an event from the stream's leader. It returns ErrConflict if the stream has
// another event there.
func (j *Journal) contentAt(ctx context.Context, at place, sequence uint64) (hash [sha256.Size]byte, err error) {
	m, err := patiently(ctx, j.timeout, func() (storedMsg, error) {
		return j.stored(ctx, bus.StreamEvents, wanted{Seq: sequence})
	})
	if err != nil {
		return hash, err
	}
	e, err := j.read(ctx, m)
	if err != nil && m.Seq > 0 {
		return hash, err
	}
	if m.Seq == 0 || aggregate.KeyOf(e.Event) != at.about || e.Event.GetVersion() != at.version {
		return hash, fmt.Errorf("%w: version %d of %s is not at sequence %d", ErrConflict, at.version, at.about, sequence)
	}
	known, _ := j.signing.contents.Get(at)
	return known.content, nil
}

// wrote remembers an event that this journal has stored.
func (j *Journal) wrote(e Entry) {
	if j.signing.signer != nil || j.signing.keys != nil {
		j.remember(e)
		j.signing.passed.Put(e.Seq, passed{e.Subject, sha256.Sum256(e.Data), j.signing.news.Load()})
	}
}

// wroteKeys takes note of what this journal has stored about writers' keys. If it cannot now, it does so soon.
func (j *Journal) wroteKeys(ctx context.Context, about aggregate.Key) {
	if j.signing.keys == nil || about != aggregate.SigningWriters {
		return
	}
	if err := j.learn(ctx); err != nil {
		j.log.Warn("what was decided about writers' keys is read later", zap.Error(err))
	}
}

// remember keeps the content's hash of an event of a decided kind.
func (j *Journal) remember(e Entry) {
	if e.Event.GetVersion() == 0 {
		return
	}
	text, _, err := signed.Content(e.Data)
	if err != nil {
		text = e.Data // which was not judged; whoever judges refuses it
	}
	j.signing.contents.Put(place{aggregate.KeyOf(e.Event), e.Event.GetVersion()}, content{e.Seq, signed.Hash(text)})
}

// read decodes a message, judges its signature, and decrypts it. Besides what newEntry returns, it returns a
// *MisfitError for an event that is not signed as it has to be.
func (j *Journal) read(ctx context.Context, m storedMsg) (Entry, error) {
	e, err := j.judged(ctx, m)
	if err == nil || errors.Is(err, input.ErrUnknownFact) {
		if failed := j.open(ctx, e.Event); failed != nil {
			return e, failed
		}
	}
	return e, err
}

// judged is read without decrypting.
func (j *Journal) judged(ctx context.Context, m storedMsg) (Entry, error) {
	e, err := newEntry(m.Seq, m.Time, m.Subject, m.Data)
	if isMisfit(err) || j.signing.signer == nil && j.signing.keys == nil {
		return e, err
	}
	if failed := j.judge(ctx, e); failed != nil {
		return e, failed
	}
	return e, err
}

// Judge reports whether a stored message cannot be an event, or is not signed as it has to be. Whoever gives it the
// stream in order has one signature verified for each commit.
func (j *Journal) Judge(ctx context.Context, s Stored) (Misfit, bool, error) {
	_, err := j.judged(ctx, storedMsg{Seq: s.Sequence, Subject: s.Subject, Data: s.Data})
	var misfit *MisfitError
	switch {
	case errors.As(err, &misfit):
		return misfit.Misfit, true, nil
	case errors.Is(err, input.ErrUnknownFact): // of a later version, and signed like one
		err = nil
	}
	return Misfit{}, false, err
}

// reader is read for whoever knows no journal.
func (j *Journal) reader(ctx context.Context) func(storedMsg) (Entry, error) {
	return func(m storedMsg) (Entry, error) { return j.read(ctx, m) }
}

// judge returns a *MisfitError for an event that is not signed as it has to be. One of a later version's type has been
// decoded without its fact.
func (j *Journal) judge(ctx context.Context, e Entry) error {
	if j.signing.keys == nil {
		j.remember(e)
		return nil
	}
	if !j.signing.known.Load() || e.Event.GetKind() == aggregate.KindSigning {
		if err := j.learn(ctx); err != nil {
			return err
		}
	}
	passes := passed{e.Subject, sha256.Sum256(e.Data), j.signing.news.Load()}
	if known, found := j.signing.passed.Get(e.Seq); found && known == passes {
		j.remember(e)
		return nil
	}
	at := place{aggregate.KeyOf(e.Event), e.Event.GetVersion()}
	m := signed.Message{Sequence: e.Seq, Subject: e.Subject, Stored: e.Data, Event: e.Event}
	before := func() ([sha256.Size]byte, error) { return j.contentBefore(ctx, at) }
	err := j.signing.keys.Check(m, before)
	var refused *signed.Error
	if errors.As(err, &refused) && refused.Rule == signed.RuleUnknownKey {
		// Perhaps it was certified a moment ago.
		if err := j.learn(ctx); err != nil {
			return err
		}
		err = j.signing.keys.Check(m, before)
	}
	if refused = nil; errors.As(err, &refused) {
		return &MisfitError{newMisfit(e.Seq, e.Subject, e.Data, "its writer has signed it ("+refused.Detail+")")}
	}
	if err != nil {
		return err
	}
	j.remember(e)
	j.signing.passed.Put(e.Seq, passes)
	return nil
}

// contentBefore returns the hash of the content of the version before a place: as it was read last, or from the
// stream's leader. Of several messages at that version, it is that of the first that its writer has signed.
func (j *Journal) contentBefore(ctx context.Context, at place) (hash [sha256.Size]byte, err error) {
	at.version--
	if known, found := j.signing.contents.Get(at); found {
		return known.content, nil
	}
	filter := bus.VersionFilter(at.about, at.version)
	for seq := uint64(1); ; {
		m, err := j.stored(ctx, bus.StreamEvents, wanted{Next: filter, Seq: seq})
		if err != nil {
			return hash, err
		}
		if m.Seq == 0 {
			return hash, nil // and no event names that as its previous one
		}
		e, err := newEntry(m.Seq, m.Time, m.Subject, m.Data)
		if !isMisfit(err) && j.signing.keys.CheckAlone(signed.Message{Sequence: m.Seq, Subject: m.Subject, Stored: m.Data,
			Event: e.Event}) == nil {
			text, _, err := signed.Content(m.Data)
			return signed.Hash(text), err
		}
		seq = m.Seq + 1
	}
}

// learns looks for news of writers' keys until the journal is closed.
func (j *Journal) learns(ctx context.Context) {
	tick := time.NewTicker(learnEvery)
	defer tick.Stop()
	for {
		if err := j.learn(ctx); err != nil && ctx.Err() == nil {
			j.log.Warn("whether there is news of writers' keys is not known", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// learn adds to the keyring what the stream's leader has about writers' keys after what was read before.
func (j *Journal) learn(ctx context.Context) error {
	s := &j.signing
	s.learning.Lock()
	defer s.learning.Unlock()
	for {
		m, err := j.stored(ctx, bus.StreamEvents, wanted{Next: bus.Filter(aggregate.SigningWriters), Seq: s.through + 1})
		if err != nil {
			return fmt.Errorf("journal: writers' keys: %w", err)
		}
		if m.Seq == 0 {
			s.known.Store(true)
			return nil
		}
		s.through = m.Seq
		e, err := newEntry(m.Seq, m.Time, m.Subject, m.Data)
		if err != nil {
			continue // which certifies nobody
		}
		err = s.keys.Check(signed.Message{Sequence: m.Seq, Subject: m.Subject, Stored: m.Data, Event: e.Event},
			func() ([sha256.Size]byte, error) { return s.last, nil })
		if err == nil {
			err = s.keys.Add(e.Event, m.Seq)
		}
		if err != nil {
			j.log.Error("ALARM: a fact about writers' keys is not true, and counts for nothing", zap.Error(err))
			continue
		}
		s.news.Add(1)
		text, _, err := signed.Content(m.Data)
		if err != nil {
			return err
		}
		s.last = signed.Hash(text)
	}
}

// Begun reports whether signing has begun, as the stream's leader has it. Where the keyring pins at which event it
// begins, it is refused as a failed PRECONDITION (field signing.began_at) if the stream has something else there, or
// ends before.
func (j *Journal) Begun(ctx context.Context) (bool, error) {
	pinned := j.signing.keys.Expected()
	c, err := j.Copies(ctx) // before the facts, which it must not be ahead of
	if err == nil {
		err = j.learn(ctx)
	}
	began := j.signing.keys.Began()
	switch {
	case err != nil:
		return false, err
	case pinned == 0 || began == pinned:
		return began != 0, nil
	case c.Last+1 == pinned:
		return false, nil // with the next event
	}
	return false, refusal.Precondition("signing.began_at", "R50", "the stream, which ends with event %d, does not say at "+
		"event %d that signing began: it is another stream than the pinned one, or somebody took that out", c.Last, pinned)
}
