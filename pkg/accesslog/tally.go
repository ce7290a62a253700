package accesslog

import (
	"cmp"
	"slices"
	"sync"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// Window is how long what one person does again, and what is left out, is counted before the count becomes a record.
	Window = 5 * time.Minute
	// PersonBurst is how many different records one person may cause at once about one customer.
	PersonBurst = 600
	// PersonEvery is how often one person may cause one more.
	PersonEvery = 10 * time.Second
	// StrangersBurst is what PersonBurst is, for everybody without a verified token together.
	StrangersBurst = 60
	// StrangersEvery is what PersonEvery is, for them. So in a day, strangers and one person who flood leave a quarter of
	// what the bus keeps (TestAFloodOfADayFits).
	StrangersEvery = time.Minute

	// mostEntries limits what is counted at once, mostWaiting the records that wait to be written, and mostLeftOut of how
	// many people what is left out is counted apart.
	mostEntries, mostWaiting, mostLeftOut = 20_000, 5_000, 1_000
)

// tally decides what becomes a record. It has no clock and writes nothing.
type tally struct {
	mu      sync.Mutex
	entries map[string]*entry
	budgets map[group]*budget
	left    map[group]*leftOut
	// waiting are the records to be written, oldest first.
	waiting []*lockboxv1.AccessRecord
}

// entry is something that somebody does again and again.
type entry struct {
	record *lockboxv1.AccessRecord // the first or, after a while, the last
	begun  time.Time
	// again is how often it happened since, first and last when, and results how many there were.
	again       uint64
	first, last time.Time
	results     uint64
}

// group is what is counted together when it is too much: of one person about one customer through one sender.
type group struct {
	tenant, sender, issuer, subject string
	kind                            lockboxv1.AccessKind // only for what is left out
}

type budget struct {
	left float64
	at   time.Time
}

type leftOut struct {
	record      *lockboxv1.AccessRecord
	n           uint64
	begun, from time.Time
}

func newTally() *tally {
	return &tally{entries: map[string]*entry{}, budgets: map[group]*budget{}, left: map[group]*leftOut{}}
}

// add counts something that happened now. It reports whether a record waits to be written, and how many were left out.
func (t *tally) add(r *lockboxv1.AccessRecord, now time.Time) (wrote bool, left uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := keyOf(r)
	if e := t.entries[key]; e != nil {
		if e.again == 0 {
			e.first = now
		}
		e.again++
		e.last = now
		if r.GetKind() == lockboxv1.AccessKind_ACCESS_KIND_EXPORT {
			e.results += r.GetResults()
		} else {
			e.results = r.GetResults()
		}
		return false, 0
	}
	if len(t.entries) >= mostEntries || len(t.waiting) >= mostWaiting || !t.affords(groupOf(r), now) {
		t.leave(r, 1, now, now)
		return false, 1
	}
	t.entries[key] = &entry{record: r, begun: now}
	first := proto.CloneOf(r)
	first.Time, first.Count = timestamppb.New(now), 1
	t.waiting = append(t.waiting, first)
	return true, 0
}

// affords takes one from a person's budget; false if there is none left.
func (t *tally) affords(g group, now time.Time) bool {
	burst, every := float64(PersonBurst), PersonEvery
	if g.stranger() {
		burst, every = StrangersBurst, StrangersEvery
	}
	b := t.budgets[g]
	if b == nil {
		b = &budget{burst, now}
		t.budgets[g] = b
	}
	b.left = min(burst, b.left+max(0, now.Sub(b.at).Seconds()/every.Seconds()))
	if b.at = now; b.left < 1 {
		return false
	}
	b.left--
	return true
}

// leave counts now what is not kept one by one, and began to happen at from.
func (t *tally) leave(r *lockboxv1.AccessRecord, n uint64, from, now time.Time) {
	g := groupOf(r)
	g.kind = r.GetKind()
	if t.left[g] == nil && len(t.left) >= mostLeftOut {
		g.issuer, g.subject = "", "" // whoever it was
		r = proto.CloneOf(r)
		r.Who = nil
	}
	l := t.left[g]
	if l == nil {
		l = &leftOut{begun: now, from: from, record: proto.CloneOf(&lockboxv1.AccessRecord{Tenant: r.GetTenant(),
			Kind: r.GetKind(), Who: r.GetWho(), Sender: r.GetSender(), Service: r.GetService()})}
		t.left[g] = l
	}
	l.n += n
	if from.Before(l.from) {
		l.from = from
	}
}

// back takes back a record that the bus has no room for. What it stands for counts as left out.
func (t *tally) back(r *lockboxv1.AccessRecord, now time.Time) (left uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := r.GetTime().AsTime()
	if r.GetSince() != nil {
		from = r.GetSince().AsTime()
	}
	n := r.GetLeftOut() + r.GetCount()
	t.leave(r, n, from, now)
	return r.GetCount()
}

// wait puts records back that were not written.
func (t *tally) wait(records []*lockboxv1.AccessRecord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(slices.Clone(records), t.waiting...)
}

// due returns the records to be written now, oldest first. With all, nothing is counted any longer.
func (t *tally) due(now time.Time, all bool) []*lockboxv1.AccessRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, e := range t.entries {
		switch {
		case !all && now.Sub(e.begun) < Window:
			continue
		case e.again == 0:
			delete(t.entries, key)
			continue
		}
		if !t.affords(groupOf(e.record), now) {
			t.leave(e.record, e.again, e.first, now)
			delete(t.entries, key)
			continue
		}
		r := proto.CloneOf(e.record)
		r.Time, r.Count, r.Results = timestamppb.New(e.last), e.again, e.results
		if e.again > 1 {
			r.Since = timestamppb.New(e.first)
		}
		t.waiting = append(t.waiting, r)
		e.begun, e.again, e.results = now, 0, 0
	}
	for g, l := range t.left {
		if all || now.Sub(l.begun) >= Window {
			// Now, and not when it happened: the day whose records it did not fit into has no room for its number either.
			l.record.Time, l.record.Since, l.record.LeftOut = timestamppb.New(now), timestamppb.New(l.from), l.n
			t.waiting = append(t.waiting, l.record)
			delete(t.left, g)
		}
	}
	for g, b := range t.budgets { // whoever has been quiet for so long has it all again
		if now.Sub(b.at) > PersonBurst*PersonEvery {
			delete(t.budgets, g)
		}
	}
	waiting := t.waiting
	t.waiting = nil
	slices.SortStableFunc(waiting, func(a, b *lockboxv1.AccessRecord) int {
		return cmp.Compare(a.GetTime().AsTime().UnixNano(), b.GetTime().AsTime().UnixNano())
	})
	return waiting
}

func groupOf(r *lockboxv1.AccessRecord) group {
	return group{tenant: r.GetTenant(), sender: r.GetSender(), issuer: r.GetWho().GetIssuer(),
		subject: r.GetWho().GetSubject()}
}

// stranger reports whether nobody knows who it is.
func (g group) stranger() bool { return g.issuer == "" && g.subject == "" }

// keyOf is the same for what is the same but for its time and results.
func keyOf(r *lockboxv1.AccessRecord) string {
	same := proto.CloneOf(r)
	same.Results = 0
	key, err := proto.MarshalOptions{Deterministic: true}.Marshal(same)
	if err != nil { // no text of a record is anything but UTF-8
		return r.String()
	}
	return string(key)
}
