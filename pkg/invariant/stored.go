package invariant

import (
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/input"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Stored is an event as stored in the stream.
type Stored struct {
	Sequence uint64
	// At is when the bus stored it.
	At      time.Time
	Subject string
	Bytes   []byte
}

// Book checks a history that is too long to be held decoded: it keeps the stored bytes and decodes one aggregate after
// the other, on all processors.
type Book struct {
	book
	chains map[aggregate.Key]*chain
	// pages hold the lines, chunks their bytes: large allocations without pointers cost the garbage collector nothing.
	pages  [][]line
	chunks [][]byte
	// aside are the decisions that set messages aside, by the sequences that they name.
	aside  map[uint64][]Recorded
	mu     sync.Mutex
	strays map[uint64]Stray
	also   []Look
	// refused are messages that are not signed as they have to be, by their sequences.
	refused map[uint64]string
	// now is when it is, as far as mails are concerned.
	now     time.Time
	mailing Mailing
	// open decrypts an event; nil: nothing does, and unread reports that something is encrypted. failed is its first
	// error.
	open   func(*lockboxv1.Event) error
	unread atomic.Bool
	failed atomic.Pointer[error]
}

// OpensWith has Check decrypt what can be erased of events, with a function that several call at once. Without it, what
// is encrypted counts as erased: it contradicts nothing, and nothing is known of it.
func (b *Book) OpensWith(open func(*lockboxv1.Event) error) { b.open = open }

// Unread reports whether Check found something encrypted that it had nothing to decrypt with.
func (b *Book) Unread() bool { return b.unread.Load() }

// decrypt decrypts an event.
func (b *Book) decrypt(e *lockboxv1.Event) {
	open := b.open
	if open == nil {
		open = func(e *lockboxv1.Event) error {
			return erasable.Open(e, func(erasable.KeyID) (k erasable.Key, s erasable.Standing, err error) {
				b.unread.Store(true)
				return k, erasable.Destroyed, nil
			})
		}
	}
	if err := open(e); err != nil {
		b.failed.CompareAndSwap(nil, &err)
	}
}

// Look is a further check of one aggregate's events. about returns the events of a tenant, a subscription or an
// ownership, or of what was published; of others it may return none.
type Look func(of aggregate.Key, events []Recorded, about func(aggregate.Key) []Recorded) []Violation

// Also has Check run a further check, on several aggregates at once.
func (b *Book) Also(l Look) { b.also = append(b.also, l) }

// chain is the place of an aggregate's first and last line, and their number.
type chain struct{ first, last, length int }

// line is a message of an aggregate.
type line struct {
	sequence uint64
	at       int64 // nanoseconds since 1970
	// The tail of its subject is at an offset of a chunk, and its bytes follow. The aggregate's key holds the first tokens
	// of the subject.
	chunk, offset, tail, size uint32
	// next is the aggregate's next line.
	next uint32
}

const (
	chunkSize = 1 << 20
	pageSize  = 1 << 12
)

// NewBook returns an empty Book.
func NewBook() *Book {
	b := &Book{book: *newBook(), chains: map[aggregate.Key]*chain{}, aside: map[uint64][]Recorded{}}
	b.find = func(a aggregate.Key) []Recorded {
		events, _, _ := b.decode(a) // what cannot be read is found by itself
		return events
	}
	return b
}

// Add adds the next message; they must be added in stream order, from the beginning. It does not retain its argument.
func (b *Book) Add(s Stored) {
	if s.At.After(b.newest) {
		b.newest = s.At
	}
	a, tail := split(s.Subject)
	of, known := b.chains[a]
	if !known {
		a = aggregate.Key{Tenant: strings.Clone(a.Tenant), Kind: strings.Clone(a.Kind), ID: strings.Clone(a.ID)}
		b.order = append(b.order, a)
		of = new(chain)
		b.chains[a] = of
	}
	l := line{sequence: s.Sequence, at: s.At.UnixNano(), tail: uint32(len(tail)), size: uint32(len(s.Bytes))} // #nosec G115 -- the bus has no such messages
	l.chunk, l.offset = b.keep(tail, s.Bytes)
	b.append(of, l)
}

// split returns the aggregate under which a subject is, and the rest of the subject. What is no event's subject belongs
// to no aggregate.
func split(subject string) (a aggregate.Key, tail string) {
	tokens := strings.SplitN(subject, ".", 6)
	if len(tokens) == 6 && tokens[0] == "lockbox" && tokens[1] == "event" {
		return aggregate.Key{Tenant: tokens[2], Kind: tokens[3], ID: tokens[4]}, tokens[5]
	}
	return aggregate.Key{}, subject
}

// append adds a line to a chain.
func (b *Book) append(to *chain, l line) {
	if n := len(b.pages); n == 0 || len(b.pages[n-1]) == pageSize {
		b.pages = append(b.pages, make([]line, 0, pageSize))
	}
	page := &b.pages[len(b.pages)-1]
	place := (len(b.pages)-1)*pageSize + len(*page)
	*page = append(*page, l)
	if to.length == 0 {
		to.first = place
	} else {
		b.pages[to.last/pageSize][to.last%pageSize].next = uint32(place) // #nosec G115 -- memory ends before
	}
	to.last = place
	to.length++
}

// keep copies a message, and returns in which chunk and where.
func (b *Book) keep(tail string, data []byte) (chunk, offset uint32) {
	size, n := len(tail)+len(data), len(b.chunks)
	if n == 0 || cap(b.chunks[n-1])-len(b.chunks[n-1]) < size {
		b.chunks = append(b.chunks, make([]byte, 0, max(chunkSize, size)))
		n++
	}
	to := &b.chunks[n-1]
	offset = uint32(len(*to)) // #nosec G115 -- the bus has no such messages
	*to = append(append(*to, tail...), data...)
	return uint32(n - 1), offset // #nosec G115 -- memory ends before
}

// lines yields an aggregate's lines, oldest first.
func (b *Book) lines(a aggregate.Key) iter.Seq[line] {
	return func(yield func(line) bool) {
		of := b.chains[a]
		for i, at := 0, 0; of != nil && i < of.length; i++ {
			if i == 0 {
				at = of.first
			}
			l := b.pages[at/pageSize][at%pageSize]
			if !yield(l) {
				return
			}
			at = int(l.next)
		}
	}
}

// stored returns the tail of a line's subject and its bytes.
func (b *Book) stored(l line) (tail string, data []byte) {
	all := b.chunks[l.chunk][l.offset : l.offset+l.tail+l.size]
	return string(all[:l.tail]), all[l.tail:]
}

// Check is the function Check over all events added. A message that cannot be an event, and was not set aside, is a
// Violation of I6, or of I14 if it was refused, and the only one reported for its aggregate; Strays lists it. The error
// is input.ErrUnknownFact, with the event's sequence: a history with event types unknown to this version cannot be
// checked; or that of decrypting.
func (b *Book) Check() ([]Violation, error) {
	b.decisions()
	b.findHomes()
	for _, a := range b.order {
		if a.Kind == aggregate.KindTicket {
			b.findOpening(a)
		}
		if !restedOn(a.Kind) {
			continue
		}
		events, broken, err := b.decode(a)
		if err != nil {
			return nil, err
		}
		if broken != nil {
			continue // it is found again below
		}
		for _, r := range events {
			b.add(a, r)
		}
	}
	found, err := b.checkEach()
	if failed := b.failed.Load(); err == nil && failed != nil {
		err = *failed
	}
	if err != nil {
		return nil, err
	}
	return inOrder(append(found, b.untold()...)), nil
}

// checkEach checks one aggregate after the other, on all processors. What it finds, and its error, are those of the
// aggregates in their order.
func (b *Book) checkEach() (found []Violation, err error) {
	type result struct {
		found []Violation
		err   error
	}
	results := make([]result, (len(b.order)+checkedAtOnce-1)/checkedAtOnce)
	var next atomic.Int64
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(results)); i = next.Add(1) - 1 {
				r := &results[i]
				for _, a := range b.order[i*checkedAtOnce : min((i+1)*checkedAtOnce, int64(len(b.order)))] {
					violations, err := b.checkOne(a)
					if r.found = append(r.found, violations...); err != nil {
						r.err = err
						return
					}
				}
			}
		})
	}
	running.Wait()
	for _, r := range results {
		if found = append(found, r.found...); r.err != nil {
			return nil, r.err
		}
	}
	return found, nil
}

// checkedAtOnce is the number of aggregates that a processor takes at once.
const checkedAtOnce = 64

// findOpening decodes nothing of a ticket but its opening and its closings: there may be very many.
func (b *Book) findOpening(a aggregate.Key) {
	for l := range b.lines(a) {
		tail, _ := b.stored(l)
		if _, typ, _ := strings.Cut(tail, "."); typ != "TicketOpened" && typ != "TicketClosed" && typ != "TicketReopened" {
			continue
		}
		if e, what := b.readLine(a, l); what == "" {
			b.opens(a, Recorded{Sequence: l.sequence, Stored: time.Unix(0, l.at), Event: e})
		}
	}
}

// restedOn reports whether events of this kind are needed to check aggregates of other kinds.
func restedOn(kind string) bool {
	return slices.Contains([]string{aggregate.KindTenant, aggregate.KindSubscription, aggregate.KindOwnership,
		aggregate.KindPolicy, aggregate.KindAlarm, aggregate.KindDigest, aggregate.KindKeys}, kind)
}

// checkOne checks one aggregate.
func (b *Book) checkOne(a aggregate.Key) ([]Violation, error) {
	events, decoded := b.about[a]
	if !decoded {
		var broken *Violation
		var err error
		if events, broken, err = b.decode(a); err != nil {
			return nil, err
		}
		if broken != nil {
			return []Violation{*broken}, nil
		}
	}
	if len(events) == 0 {
		return nil, nil // everything on its subjects was set aside
	}
	var found []Violation
	for _, c := range every {
		found = append(found, b.look(c, a, events)...)
	}
	found = append(found, b.mailed(a, events)...)
	found = append(found, b.ends(a, events)...)
	for _, l := range b.also {
		found = append(found, l(a, events, func(key aggregate.Key) []Recorded { return b.about[key] })...)
	}
	return found, nil
}

// decode returns the aggregate's events, without what was set aside.
func (b *Book) decode(a aggregate.Key) (events []Recorded, broken *Violation, err error) {
	of := b.chains[a]
	if of == nil {
		return nil, nil, nil
	}
	events = make([]Recorded, 0, of.length)
	for l := range b.lines(a) {
		e, what := b.readLine(a, l)
		switch {
		case what == "" && e.GetFact() == nil:
			return nil, nil, fmt.Errorf("event %d: %w", l.sequence, input.ErrUnknownFact)
		case what == "":
			_, data := b.stored(l)
			events = append(events, Recorded{Sequence: l.sequence, Stored: time.Unix(0, l.at), Event: e, Bytes: data})
		case !b.stray(a, l, what) && broken == nil:
			broken = &Violation{b.rule(l), l.sequence, what}
		}
	}
	if broken != nil {
		return nil, broken, nil
	}
	return events, nil, nil
}
