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

// Stored is an event as the stream has it.
type Stored struct {
	Sequence uint64
	// At is when the bus stored it.
	At      time.Time
	Subject string
	Bytes   []byte
}

// Book is a history that is too long to be held decoded: it keeps what is stored, and decodes one aggregate after the
// other, on all processors.
type Book struct {
	book
	lines map[aggregate.Key][]line
	// chunk is where the bytes of the next events are kept: many in one piece are no work for the collector of garbage.
	chunk []byte
}

// line is an event of an aggregate, which says the first tokens of its subject; tail is the others.
type line struct {
	sequence uint64
	at       int64 // nanoseconds since 1970
	tail     []byte
	bytes    []byte
}

const chunkSize = 1 << 20

// NewBook returns an empty one.
func NewBook() *Book { return &Book{book: *newBook(), lines: map[aggregate.Key][]line{}} }

// Add adds the next event of the stream, in its order, from its beginning on. It keeps nothing of what it is given. A
// subject that is not one of an event is a Violation of I6; then the event is not in the book.
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

// Check is the function Check over everything that was added. Bytes that are no event, or another one than their
// subject says, are a Violation of I6, and nothing else is said about their aggregate. The error is
// input.ErrUnknownFact, with the event's sequence: of what this version does not know nothing can be said.
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
				one, err := b.one(b.order[i])
				if len(one) == 0 && err == nil {
					continue
				}
				all.Lock()
				found, failed = append(found, one...), cmp.Or(failed, err)
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

// restedOn tells which events decisions about others rest on, or say how to read the others.
func restedOn(kind string) bool {
	return kind == aggregate.KindTenant || kind == aggregate.KindSubscription || kind == aggregate.KindAlarm
}

// one looks at one aggregate.
func (b *Book) one(a aggregate.Key) ([]Violation, error) {
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
