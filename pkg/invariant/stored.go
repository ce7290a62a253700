package invariant

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"golang.org/x/sync/errgroup"
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
	lines map[aggregate.Key][]line
	// chunk holds the bytes of the next events: few large allocations are cheap for the garbage collector.
	chunk []byte
	// aside are the decisions that set messages aside, by the sequences that they name.
	aside  map[uint64][]Recorded
	mu     sync.Mutex
	strays map[uint64]Stray
	also   []Look
	// now is when it is, as far as mails are concerned.
	now     time.Time
	mailing Mailing
}

// Look is a further check of one aggregate's events. about returns the events of a tenant, a subscription or an
// ownership, or of what was published; of others it may return none.
type Look func(of aggregate.Key, events []Recorded, about func(aggregate.Key) []Recorded) []Violation

// Also has Check run a further check, on several aggregates at once.
func (b *Book) Also(l Look) { b.also = append(b.also, l) }

// line is an event of an aggregate. The aggregate's key holds the first tokens of its subject, tail the others.
type line struct {
	sequence uint64
	at       int64 // nanoseconds since 1970
	tail     []byte
	bytes    []byte
}

const chunkSize = 1 << 20

// NewBook returns an empty Book.
func NewBook() *Book {
	return &Book{book: *newBook(), lines: map[aggregate.Key][]line{}, aside: map[uint64][]Recorded{}}
}

// Add adds the next message; they must be added in stream order, from the beginning. It does not retain its argument.
func (b *Book) Add(s Stored) {
	if s.At.After(b.newest) {
		b.newest = s.At
	}
	tokens := strings.SplitN(s.Subject, ".", 6)
	a, tail := aggregate.Key{}, s.Subject // what is no event's subject belongs to no aggregate
	if len(tokens) == 6 && tokens[0] == "lockbox" && tokens[1] == "event" {
		a, tail = aggregate.Key{Tenant: tokens[2], Kind: tokens[3], ID: tokens[4]}, tokens[5]
	}
	before, known := b.lines[a]
	if !known {
		a = aggregate.Key{Tenant: strings.Clone(a.Tenant), Kind: strings.Clone(a.Kind), ID: strings.Clone(a.ID)}
		b.order = append(b.order, a)
	}
	b.lines[a] = append(before, line{s.Sequence, s.At.UnixNano(), b.keep([]byte(tail)), b.keep(s.Bytes)})
}

func (b *Book) keep(data []byte) []byte {
	if cap(b.chunk)-len(b.chunk) < len(data) {
		b.chunk = make([]byte, 0, max(chunkSize, len(data)))
	}
	from := len(b.chunk)
	b.chunk = append(b.chunk, data...)
	return b.chunk[from:len(b.chunk):len(b.chunk)]
}

// Check is the function Check over all events added. A message that cannot be an event, and was not set aside, is a
// Violation of I6 and the only one reported for its aggregate; Strays lists it. The error is input.ErrUnknownFact, with
// the event's sequence: a history with event types unknown to this version cannot be checked.
func (b *Book) Check() ([]Violation, error) {
	var found []Violation
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
	var all sync.Mutex
	var running errgroup.Group
	running.SetLimit(runtime.GOMAXPROCS(0))
	for _, a := range b.order {
		running.Go(func() error {
			violations, err := b.checkOne(a)
			all.Lock()
			defer all.Unlock()
			found = append(found, violations...)
			return err
		})
	}
	if err := running.Wait(); err != nil {
		return nil, err
	}
	return inOrder(append(found, b.untold()...)), nil
}

// findOpening decodes nothing of a ticket but its opening: there may be very many.
func (b *Book) findOpening(a aggregate.Key) {
	for _, l := range b.lines[a] {
		if e, what := readLine(a, l); what == "" && e.GetTicketOpened() != nil {
			b.opens(a, Recorded{Sequence: l.sequence, Stored: time.Unix(0, l.at), Event: e})
			return
		}
	}
}

// restedOn reports whether events of this kind are needed to check aggregates of other kinds.
func restedOn(kind string) bool {
	return slices.Contains([]string{aggregate.KindTenant, aggregate.KindSubscription, aggregate.KindOwnership,
		aggregate.KindPolicy, aggregate.KindAlarm, aggregate.KindDigest}, kind)
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
	events = make([]Recorded, 0, len(b.lines[a]))
	for _, l := range b.lines[a] {
		e, what := readLine(a, l)
		switch {
		case what == "" && e.GetFact() == nil:
			return nil, nil, fmt.Errorf("event %d: %w", l.sequence, input.ErrUnknownFact)
		case what == "":
			events = append(events, Recorded{Sequence: l.sequence, Stored: time.Unix(0, l.at), Event: e})
		case !b.stray(a, l, what) && broken == nil:
			broken = &Violation{"I6", l.sequence, what}
		}
	}
	if broken != nil {
		return nil, broken, nil
	}
	return events, nil, nil
}
