package invariant

import (
	"cmp"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
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
}

// line is an event of an aggregate. The aggregate's key holds the first tokens of its subject, tail the others.
type line struct {
	sequence uint64
	at       int64 // nanoseconds since 1970
	tail     []byte
	bytes    []byte
}

const chunkSize = 1 << 20

// NewBook returns an empty Book.
func NewBook() *Book { return &Book{book: *newBook(), lines: map[aggregate.Key][]line{}} }

// Add adds the next event; events must be added in stream order, from the beginning. It does not retain its argument.
// If the subject is not an event's, Add returns a Violation of I6 and does not add the event.
func (b *Book) Add(s Stored) *Violation {
	tokens := strings.SplitN(s.Subject, ".", 6)
	if len(tokens) != 6 || tokens[0] != "lockbox" || tokens[1] != "event" {
		return &Violation{"I6", s.Sequence, "its subject is not one of an event"}
	}
	a := aggregate.Key{Tenant: tokens[2], Kind: tokens[3], ID: tokens[4]}
	before, known := b.lines[a]
	if !known {
		a = aggregate.Key{Tenant: strings.Clone(a.Tenant), Kind: strings.Clone(a.Kind), ID: strings.Clone(a.ID)}
		b.begin(a)
	}
	b.lines[a] = append(before, line{s.Sequence, s.At.UnixNano(), b.keep([]byte(tokens[5])), b.keep(s.Bytes)})
	return nil
}

func (b *Book) keep(data []byte) []byte {
	if cap(b.chunk)-len(b.chunk) < len(data) {
		b.chunk = make([]byte, 0, max(chunkSize, len(data)))
	}
	from := len(b.chunk)
	b.chunk = append(b.chunk, data...)
	return b.chunk[from:len(b.chunk):len(b.chunk)]
}

// Check is the function Check over all events added. If an event's bytes cannot be decoded or do not match its subject,
// that is a Violation of I6 and the only one reported for its aggregate. The error is input.ErrUnknownFact, with the
// event's sequence: a history with event types unknown to this version cannot be checked.
func (b *Book) Check() ([]Violation, error) {
	var found []Violation
	for _, a := range b.order {
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
	var failed error
	var next atomic.Int64
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(b.order)); i = next.Add(1) - 1 {
				violations, err := b.checkOne(b.order[i])
				if len(violations) == 0 && err == nil {
					continue
				}
				all.Lock()
				found, failed = append(found, violations...), cmp.Or(failed, err)
				all.Unlock()
			}
		})
	}
	running.Wait()
	if failed != nil {
		return nil, failed
	}
	return inOrder(found), nil
}

// restedOn reports whether events of this kind are needed to check aggregates of other kinds.
func restedOn(kind string) bool {
	return kind == aggregate.KindTenant || kind == aggregate.KindSubscription || kind == aggregate.KindAlarm
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
	var found []Violation
	for _, c := range every {
		found = append(found, b.look(c, a, events)...)
	}
	return found, nil
}

func (b *Book) decode(a aggregate.Key) (events []Recorded, broken *Violation, err error) {
	events = make([]Recorded, len(b.lines[a]))
	for i, l := range b.lines[a] {
		e := new(lockboxv1.Event)
		if unreadable := proto.Unmarshal(l.bytes, e); unreadable != nil {
			return nil, &Violation{"I6", l.sequence, "its bytes are no event"}, nil //nolint:nilerr // that is what was found
		}
		typ := aggregate.TypeOf(e)
		if typ == "" {
			return nil, nil, fmt.Errorf("event %d: %w", l.sequence, input.ErrUnknownFact)
		}
		tail := e.GetReportKey()
		if tail == "" {
			tail = strconv.FormatUint(e.GetVersion(), 10)
		}
		if aggregate.KeyOf(e) != a || tail+"."+typ != string(l.tail) {
			return nil, &Violation{"I6", l.sequence, "its subject does not say what it says itself"}, nil
		}
		events[i] = Recorded{Sequence: l.sequence, Stored: time.Unix(0, l.at), Event: e}
	}
	return events, nil, nil
}
