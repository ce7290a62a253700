package journal

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"golang.org/x/sync/errgroup"
)

// Version is an aggregate as somebody knows it: its last event's version and stream sequence; both 0: not at all.
type Version struct {
	aggregate.Key
	Version, Sequence uint64
}

// News is what happened to an aggregate since it was known.
type News struct {
	// Whole: Entries are all of its events, because it was not known, or is not what was known.
	Whole   bool
	Entries []Entry
	// Err is a *HistoryError or *CorruptError if its events contradict each other or the stream. Nothing may be decided on
	// it.
	Err error
}

// rounds is how often aggregates that keep changing are looked at before Since gives up.
const rounds = 8

// Since reads what happened to each of these aggregates since it was known. The answer is one consistent cut: there was
// a moment, after the call began, at which the stream's leader had exactly this.
//
// With one replica, every read is the leader's and the whole is one question: whether the last event that is known is
// still the last, or for what is not known, everything. Only if something has changed is a second question asked, for
// everything. On a cluster, what is not known is read from any replica, and then the leader is asked about all of them
// at once, and again until nothing has changed meanwhile.
func (j *Journal) Since(ctx context.Context, known ...Version) ([]News, error) {
	looks := make([]*look, len(known))
	for i, k := range known {
		if err := checkDecided(k.Key); err != nil {
			return nil, err
		}
		looks[i] = &look{known: k, tip: k}
	}
	alone, err := j.standsAlone(ctx)
	if err != nil {
		return nil, err
	}
	look := j.confirmAlone
	if !alone {
		look = j.confirmAtLeader
	}
	for round := range rounds {
		settled, err := look(ctx, looks, round)
		if err != nil {
			return nil, err
		}
		if settled {
			news := make([]News, len(looks))
			for i, l := range looks {
				news[i] = l.news()
			}
			return news, nil
		}
	}
	return nil, refusal.Unavailable("", "I11", "what is to be read changes too fast")
}

// look is what is known of one aggregate while it is being looked at.
type look struct {
	known Version
	// tip is its last event so far; zero: it is to be read whole.
	tip   Version
	whole bool
	// long: one answer does not hold it, so it was read in several.
	long bool
	// entries are its events after known, or all of them if it was read whole.
	entries []Entry
	err     error
}

func (l *look) news() News {
	if l.err != nil {
		return News{Whole: true, Err: l.err}
	}
	if n := l.known.Version; l.whole && n > 0 && n <= uint64(len(l.entries)) && l.entries[n-1].Seq == l.known.Sequence {
		return News{Entries: l.entries[n:]}
	}
	return News{Whole: l.whole, Entries: l.entries}
}

func (l *look) filters() []string {
	if l.tip.Version == 0 {
		return []string{bus.Filter(l.known.Key)}
	}
	return []string{bus.VersionFilter(l.known.Key, l.tip.Version), bus.VersionFilter(l.known.Key, l.tip.Version+1)}
}

// forget has the aggregate read whole.
func (l *look) forget() { l.tip, l.entries, l.err, l.whole = Version{}, nil, nil, false }

// read takes in the whole history.
func (l *look) read(found []storedMsg) error {
	l.forget()
	l.whole = true
	entries := make([]Entry, len(found))
	for i, m := range found {
		var err error
		if entries[i], err = newEntry(m.Seq, m.Time, m.Subject, m.Data); err != nil {
			return l.fail(err)
		}
	}
	if err := checkHistory(entries); err != nil {
		return l.fail(err)
	}
	l.entries = entries
	if n := len(entries); n > 0 {
		l.tip = Version{l.known.Key, uint64(n), entries[n-1].Seq}
	}
	return nil
}

// fail keeps what is wrong with this aggregate alone, and returns every other error.
func (l *look) fail(err error) error {
	var history *HistoryError
	var corrupt *CorruptError
	if errors.As(err, &history) || errors.As(err, &corrupt) {
		l.err = err
		return nil
	}
	return err
}

// unchanged reports whether what was found is the tip and nothing after it.
func (l *look) unchanged(found []storedMsg) bool {
	return len(found) == 1 && found[0].Seq == l.tip.Sequence
}

// confirmAlone asks once about all of them. It reports whether the answer is a consistent cut: what was asked for in
// whole is all there, and nothing else has changed.
func (j *Journal) confirmAlone(ctx context.Context, looks []*look, round int) (settled bool, err error) {
	if round == 1 {
		for _, l := range looks {
			if !l.long {
				l.forget() // in one answer, all of it is from one moment
			}
		}
	}
	found, err := j.findEach(ctx, looks)
	if errors.Is(err, errTooLong) {
		return false, j.readLong(ctx, looks)
	}
	if err != nil {
		return false, err
	}
	settled = true
	for i, l := range looks {
		switch {
		case l.tip.Version == 0:
			if err := l.read(found[i]); err != nil {
				return false, err
			}
		case !l.unchanged(found[i]):
			settled = false
		}
	}
	return settled, nil
}

// findEach is one question about all of them, with what was found of each.
func (j *Journal) findEach(ctx context.Context, looks []*look) ([][]storedMsg, error) {
	var filters []string
	place := make(map[aggregate.Key]int, len(looks))
	for i, l := range looks {
		filters = append(filters, l.filters()...)
		place[l.known.Key] = i
	}
	found, err := j.find(ctx, filters)
	if err != nil {
		return nil, err
	}
	each := make([][]storedMsg, len(looks))
	for _, m := range found {
		at, err := bus.ParseEventSubject(m.Subject)
		if err != nil {
			return nil, &CorruptError{m.Seq, "its subject is an event's"}
		}
		i, asked := place[at.Key]
		if !asked {
			return nil, &CorruptError{m.Seq, "the bus answers what it was asked"}
		}
		each[i] = append(each[i], m)
	}
	return each, nil
}

// readLong reads what is to be read whole one by one, because it is too long for one answer.
func (j *Journal) readLong(ctx context.Context, looks []*look) error {
	for _, l := range looks {
		if l.tip.Version > 0 {
			continue
		}
		entries, err := j.Load(ctx, l.known.Key)
		if err = l.fail(err); err != nil {
			return err
		}
		if l.err == nil {
			l.whole, l.long, l.entries = true, true, entries
		}
		if n := len(entries); n > 0 {
			l.tip = Version{l.known.Key, uint64(n), entries[n-1].Seq}
		}
	}
	return nil
}

// leaderAtOnce is how many questions the leader is asked at the same time.
const leaderAtOnce = 16

// confirmAtLeader reads what is not known from any replica, and then asks the leader about all of them at once. It
// reports whether none of them had changed: each was then the same when it was read and when the leader was asked, so
// all of them were at the moment between.
func (j *Journal) confirmAtLeader(ctx context.Context, looks []*look, _ int) (settled bool, err error) {
	if err := j.readUnknown(ctx, looks); err != nil {
		return false, err
	}
	var changed atomic.Bool
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(leaderAtOnce)
	for _, l := range looks {
		if l.err != nil {
			continue
		}
		if l.tip.Version > 0 {
			g.Go(func() error {
				m, err := j.stored(ctx, bus.StreamEvents, wanted{Last: bus.VersionFilter(l.known.Key, l.tip.Version)})
				if err == nil && m.Seq != l.tip.Sequence {
					changed.Store(true)
				}
				return err
			})
		}
	}
	next := make([]storedMsg, len(looks))
	for i, l := range looks {
		if l.err != nil {
			continue
		}
		g.Go(func() (err error) {
			next[i], err = j.stored(ctx, bus.StreamEvents, wanted{Last: bus.VersionFilter(l.known.Key, l.tip.Version+1)})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	if changed.Load() {
		for _, l := range looks {
			l.forget()
		}
		return false, nil
	}
	settled = true
	for i, l := range looks {
		if next[i].Seq == 0 {
			continue
		}
		settled = false
		if err := l.append(next[i]); err != nil {
			return false, err
		}
	}
	return settled, nil
}

// append takes in the event after the tip.
func (l *look) append(m storedMsg) error {
	e, err := newEntry(m.Seq, m.Time, m.Subject, m.Data)
	switch {
	case err != nil:
		return l.fail(err)
	case e.Seq <= l.tip.Sequence:
		l.err = &HistoryError{e.Seq, "sequences rise with versions"}
		return nil
	}
	l.entries = append(l.entries, e)
	l.tip = Version{l.known.Key, l.tip.Version + 1, e.Seq}
	if l.tip.Version == 1 {
		l.whole = true
	}
	return nil
}

// readUnknown reads from any replica what is to be read whole, in one question if it is short enough.
func (j *Journal) readUnknown(ctx context.Context, looks []*look) error {
	var unknown []*look
	for _, l := range looks {
		if l.tip.Version == 0 && l.err == nil {
			unknown = append(unknown, l)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	found, err := j.findEach(ctx, unknown)
	if errors.Is(err, errTooLong) {
		return j.readLong(ctx, unknown)
	}
	if err != nil {
		return err
	}
	for i, l := range unknown {
		if err := l.read(found[i]); err != nil {
			return err
		}
	}
	return nil
}
