package journal

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"golang.org/x/sync/errgroup"
)

// Version is how much of an aggregate the caller knows: the version and stream sequence of the last known event; both 0
// if none.
type Version struct {
	aggregate.Key
	Version, Sequence uint64
	// Unique looks for a request with this id at other tenants, too, if none is known at its own.
	Unique bool
}

// News is what happened to an aggregate after the known version.
type News struct {
	// Whole means that Entries holds all events, because the aggregate was not known or does not match the known version.
	Whole   bool
	Entries []Entry
	// Err is a *HistoryError or *CorruptError if the events contradict each other or the stream. No decision may be based
	// on them.
	Err error
	// Elsewhere means that another tenant has a request with this id. It is set only if Version.Unique asked for it, and
	// comes from any replica.
	Elsewhere bool
}

// ahead is the number of events that one request asks for after the tip. That the last of them does not exist yet shows
// that the answer is complete: one request is enough if a single event followed.
const ahead = 2

// rounds is how many times Since reads aggregates that keep changing before it gives up.
const rounds = 10

// lag is how long Since waits the first time for a replica that is behind the leader; each time after, twice as long.
const lag = 10 * time.Millisecond

// Since reads what happened to each of these aggregates after the known version. The result is one consistent cut: at
// some moment after the call began, the stream's leader had exactly this.
//
// Of a known aggregate it asks only for what may have followed: versions have no gaps, so if the next one does not
// exist, the known one is the last. About aggregates that have not changed, nothing is answered, except for the newest
// event known of all of them (the anchor): if the stream still has it where it was, it has not lost its end, and so
// none of the older ones. If it has not, as after a backup was restored, everything is read anew.
//
// With one replica, every read is from the leader and one request is usually enough. On a cluster, unknown aggregates
// are read from any replica; then the leader is asked about all of them, again and again until nothing has changed in
// between. It is asked once it has stored whatever this journal has seen, so the result is never older than that.
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
	seen := j.frontier.seen.Load()
	for round := range rounds {
		if late := round - rounds/2; late >= 0 { // whoever has fallen far behind catches up faster from the start
			forgetAll(looks)
			if late > 0 {
				if err := sleep(ctx, lag<<(late-1)); err != nil {
					return nil, err
				}
			}
		}
		var settled bool
		if alone {
			settled, err = j.confirmAlone(ctx, looks)
		} else {
			settled, err = j.confirmAtLeader(ctx, looks, seen)
		}
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

// look is the progress of reading one aggregate.
type look struct {
	known Version
	// tip is the last event so far; zero if the aggregate must be read from the start.
	tip   Version
	whole bool
	// entries are the events after known, or all events if whole.
	entries   []Entry
	err       error
	elsewhere bool
}

func (l *look) news() News {
	if l.err != nil {
		return News{Whole: true, Err: l.err}
	}
	if n := l.known.Version; l.whole && n > 0 && n <= uint64(len(l.entries)) && l.entries[n-1].Seq == l.known.Sequence {
		return News{Entries: l.entries[n:]}
	}
	return News{Whole: l.whole, Entries: l.entries, Elsewhere: l.elsewhere}
}

// filters returns what to ask for: everything, or what may have followed the tip.
func (l *look) filters() (filters []string) {
	switch {
	case l.tip.Version > 0:
		for i := range uint64(ahead) {
			filters = append(filters, bus.VersionFilter(l.known.Key, l.tip.Version+1+i))
		}
	case l.known.Unique:
		filters = append(filters, bus.InAnyTenant(l.known.Key))
	default:
		filters = append(filters, bus.Filter(l.known.Key))
	}
	return filters
}

// anchorOf returns the look with the newest known event; nil if nothing is known.
func anchorOf(looks []*look) (anchor *look) {
	for _, l := range looks {
		if l.err == nil && l.tip.Sequence > 0 && (anchor == nil || l.tip.Sequence > anchor.tip.Sequence) {
			anchor = l
		}
	}
	return anchor
}

// forget resets the look, so that the aggregate is read from the start.
func (l *look) forget() { *l = look{known: l.known} }

// readWhole replaces the look with the whole history found.
func (j *Journal) readWhole(ctx context.Context, l *look, found []storedMsg) error {
	*l = look{known: l.known, whole: true, elsewhere: l.elsewhere}
	entries, err := j.entries(ctx, found)
	if err == nil {
		err = checkHistory(entries)
	}
	if err != nil {
		return l.fail(err)
	}
	l.entries = entries
	if n := len(entries); n > 0 {
		l.tip = Version{Key: l.known.Key, Version: uint64(n), Sequence: entries[n-1].Seq}
	}
	return nil
}

// fail records an error that concerns only this aggregate, and returns any other error.
func (l *look) fail(err error) error {
	var history *HistoryError
	var corrupt *CorruptError
	if errors.As(err, &history) || errors.As(err, &corrupt) {
		l.err = err
		return nil
	}
	return err
}

// follow adds what was found after the tip. It reports whether that is all there is. If there is a message that cannot
// be an event, the aggregate is read from the start.
func (l *look) follow(found []storedMsg) (all bool, err error) {
	for _, m := range found {
		if err := l.append(m); err != nil {
			return false, err
		}
	}
	if isMisfit(l.err) {
		l.forget()
		return false, nil
	}
	return len(found) < ahead || l.err != nil, nil
}

// confirmAlone asks one question about all aggregates. It reports whether the answer is a consistent cut: it holds
// everything there is of every aggregate.
func (j *Journal) confirmAlone(ctx context.Context, looks []*look) (settled bool, err error) {
	found, moved, err := j.findEach(ctx, looks)
	switch {
	case errors.Is(err, errTooLong):
		return false, j.readLong(ctx, looks)
	case err != nil:
		return false, err
	case moved:
		forgetAll(looks)
		return false, nil
	}
	settled = true
	for i, l := range looks {
		all := true
		switch {
		case l.err != nil:
		case l.tip.Version == 0:
			err = j.readWhole(ctx, l, found[i])
		default:
			all, err = l.follow(found[i])
		}
		if err != nil {
			return false, err
		}
		settled = settled && all
	}
	return settled, nil
}

func forgetAll(looks []*look) {
	for _, l := range looks {
		l.forget()
	}
}

// findEach sends one request for all aggregates and returns what was found for each, but for the anchor, of which it
// reports whether it has moved.
func (j *Journal) findEach(ctx context.Context, looks []*look) (each [][]storedMsg, moved bool, err error) {
	var filters []string
	place := make(map[aggregate.Key]int, len(looks))
	for i, l := range looks {
		filters = append(filters, l.filters()...)
		place[l.known.Key] = i
	}
	anchor := anchorOf(looks)
	if moved = anchor != nil; moved {
		filters = append(filters, bus.VersionFilter(anchor.known.Key, anchor.tip.Version))
	}
	found, err := j.findTogether(ctx, filters)
	if err != nil {
		return nil, false, err
	}
	each = make([][]storedMsg, len(looks))
	for _, m := range found {
		about, under := bus.Under(m.Subject)
		i, asked := place[about]
		other := slices.IndexFunc(looks, func(l *look) bool { return l.uniqueAs(about) })
		switch {
		case anchor != nil && about == anchor.known.Key && m.Seq == anchor.tip.Sequence:
			moved = false
		case under && asked:
			each[i] = append(each[i], m)
		case !under || other < 0:
			return nil, false, &CorruptError{m.Seq, "the bus answers what it was asked"}
		case !m.isMisfit(): // which is no request, wherever it stands
			looks[other].elsewhere = true
		}
	}
	return each, moved, nil
}

// uniqueAs reports whether a key is that of the look at another tenant, which should have none.
func (l *look) uniqueAs(about aggregate.Key) bool {
	return l.known.Unique && l.tip.Version == 0 && about.Kind == l.known.Kind && about.ID == l.known.ID
}

// readLong loads the aggregates without a tip one by one, because they do not fit in one answer.
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
			l.whole, l.entries = true, entries
		}
		if n := len(entries); n > 0 {
			l.tip = Version{Key: l.known.Key, Version: uint64(n), Sequence: entries[n-1].Seq}
		}
	}
	return nil
}

// leaderAtOnce is the number of concurrent requests to the leader.
const leaderAtOnce = 16

// confirmAtLeader reads unknown aggregates from any replica and then asks the leader about all of them. It reports
// whether none had changed: each was then the same when it was read and when the leader was asked, so all of them had
// that state at the moment in between. It does not settle on what the leader said before it had stored everything up
// to seen.
func (j *Journal) confirmAtLeader(ctx context.Context, looks []*look, seen uint64) (settled bool, err error) {
	if err := j.readUnknown(ctx, looks); err != nil {
		return false, err
	}
	var changed atomic.Bool
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(leaderAtOnce)
	g.Go(func() error {
		waited, err := j.awaitLeader(ctx, seen)
		if waited {
			changed.Store(true)
		}
		return err
	})
	if l := anchorOf(looks); l != nil {
		g.Go(func() error {
			m, err := j.lastEvent(ctx, bus.VersionFilter(l.known.Key, l.tip.Version), l.tip.Sequence)
			if isMisfit(err) || err == nil && m.Seq != l.tip.Sequence {
				changed.Store(true)
				return nil
			}
			return err
		})
	}
	next := make([]storedMsg, len(looks))
	for i, l := range looks {
		if l.err != nil {
			continue
		}
		g.Go(func() (err error) {
			next[i], err = j.lastEvent(ctx, bus.VersionFilter(l.known.Key, l.tip.Version+1), l.tip.Sequence+1)
			if isMisfit(err) {
				changed.Store(true)
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	if changed.Load() {
		forgetAll(looks)
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

// append adds the event after the tip.
func (l *look) append(m storedMsg) error {
	e, err := newEntry(m.Seq, m.Time, m.Subject, m.Data)
	switch {
	case err != nil:
		return l.fail(err)
	case e.Event.GetVersion() != l.tip.Version+1:
		l.err = &HistoryError{e.Seq, "versions count 1, 2, 3 …"}
		return nil
	case e.Seq <= l.tip.Sequence:
		l.err = &HistoryError{e.Seq, "sequences rise with versions"}
		return nil
	}
	l.entries = append(l.entries, e)
	l.tip = Version{Key: l.known.Key, Version: l.tip.Version + 1, Sequence: e.Seq}
	if l.tip.Version == 1 {
		l.whole = true
	}
	return nil
}

// readUnknown reads the aggregates without a tip from any replica, in one request if they fit in one answer.
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
	found, _, err := j.findEach(ctx, unknown)
	if errors.Is(err, errTooLong) {
		return j.readLong(ctx, unknown)
	}
	if err != nil {
		return err
	}
	for i, l := range unknown {
		if err := j.readWhole(ctx, l, found[i]); err != nil {
			return err
		}
	}
	return nil
}
