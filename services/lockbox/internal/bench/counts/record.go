package main

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// record is what passed between the services and the bus since it was last taken.
type record struct {
	mu sync.Mutex
	// step counts what passed: what has a lower one happened before.
	step int
	all  []*exchange
	// waiting are the exchanges without an answer, by who asked and the reply's subject. Messages that are sent together
	// may have the same one, and are then answered in their order.
	waiting map[asked][]*exchange
	// commands are the steps at which commands arrived, deciding the replies' subjects of those without a reply.
	commands []int
	deciding map[string]bool
	// tail is the sequence from which the evaluator asked last for what follows in EVENTS.
	tail uint64
}

type asked struct {
	by    bus.Identity
	reply string
}

// exchange is a message that a service or a client sent, and its first answer.
type exchange struct {
	by bus.Identity
	message
	sent, answered int
	// stored is when it is known that it was: when that was acknowledged or, if earlier, when somebody read it.
	stored int
	// found means that the answer holds a message of a stream.
	found bool
}

func newRecord() *record {
	return &record{waiting: map[asked][]*exchange{}, deciding: map[string]bool{}}
}

func (r *record) sent(by bus.Identity, m message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.step++
	x := &exchange{by: by, message: m, sent: r.step}
	r.all = append(r.all, x)
	if m.reply != "" {
		to := asked{by, m.reply}
		r.waiting[to] = append(r.waiting[to], x)
	}
	delete(r.deciding, m.subject)
	if q := x.question(); by == bus.Evaluator && q.Batch > 0 {
		r.tail = q.From
	}
}

func (r *record) got(by bus.Identity, m message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.step++
	if by == bus.Orchestrator && isCommand(m.subject) {
		r.commands = append(r.commands, r.step)
		r.deciding[m.reply] = true
	}
	read := m.valueOf("Nats-Subject")
	key := asked{by, m.subject}
	if waiting := r.waiting[key]; len(waiting) > 0 {
		x := waiting[0]
		x.answered, x.found = r.step, read != ""
		if x.stored == 0 {
			x.stored = r.step
		}
		if r.waiting[key] = waiting[1:]; len(waiting) == 1 {
			delete(r.waiting, key)
		}
	}
	r.read(m.subject)
	r.read(read)
}

// read notes that somebody has read what was stored last on a subject. An intent of a tool for all tenants is stored
// under another subject than the tool's own.
func (r *record) read(subject string) {
	for _, x := range slices.Backward(r.all) {
		if x.subject == subject || isIntent(subject) && isIntent(x.subject) {
			if x.stored == 0 {
				x.stored = r.step
			}
			return
		}
	}
}

// holds reports whether a message has to wait: an event, for as long as the orchestrator decides a command or writes an
// event. Otherwise its follower and its writer race, and which of the two decodes what the other has depends on the
// machine. So here the follower comes second, every time.
func (r *record) holds(by bus.Identity, m message) bool {
	if by != bus.Orchestrator || !isEvent(m.subject) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.deciding) > 0 {
		return true
	}
	for who, waiting := range r.waiting {
		if who.by == by && isEvent(waiting[0].subject) {
			return true
		}
	}
	return false
}

// take returns what passed since the last call.
func (r *record) take() passed {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := passed{r.all, r.commands}
	r.all, r.commands = nil, nil
	return p
}

// following returns the sequence from which the evaluator asked last for what follows.
func (r *record) following() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tail
}

type passed struct {
	all      []*exchange
	commands []int
}

func isEvent(subject string) bool { _, err := bus.ParseEventSubject(subject); return err == nil }

func isCommand(subject string) bool { _, _, err := bus.ParseCommand(subject); return err == nil }

func isIntent(subject string) bool { _, _, err := bus.ParseIntentSubject(subject); return err == nil }

// written reports whether it is stored in a stream. (A plain request leaves no dead letter.)
func (x *exchange) written() bool {
	_, timer := bus.ParseTimerSubject(x.subject)
	_, access := bus.ParseAccessSubject(x.subject)
	return isEvent(x.subject) || isIntent(x.subject) || timer == nil || access == nil
}

// commit reports whether it is an acknowledged write. Of an atomic batch, only the last message asks for an answer.
func (x *exchange) commit() bool { return x.written() && x.answered > 0 }

// periodic are parts of the subjects of what goes by the clock, whether there are requests or not: pulls, which wait
// for work; looks at consumers and streams; and the purge of processed intents. None of it is counted, so no count
// depends on how long a request takes.
var periodic = []string{".CONSUMER.MSG.NEXT.", ".CONSUMER.INFO.", ".STREAM.INFO.", ".STREAM.PURGE."}

// roundTrip reports whether a service asked and was answered. Looks are counted apart.
func (x *exchange) roundTrip() bool {
	return x.answered > 0 && !x.look() &&
		!slices.ContainsFunc(periodic, func(s string) bool { return strings.Contains(x.subject, s) })
}

// look reports whether it is a look for what follows in the stream.
func (x *exchange) look() bool { return x.question().Batch > 0 }

// question is what a direct get asks for.
type question struct {
	Last  []string `json:"multi_last"`
	From  uint64   `json:"seq"`
	Batch int      `json:"batch"`
}

func (x *exchange) question() (q question) {
	if x.subject == bus.DirectGetSubject(bus.StreamEvents) {
		_ = json.Unmarshal(x.data, &q) // what cannot be read asks for nothing
	}
	return q
}

// inARow is the length of the longest chain of exchanges of a kind, each of which was sent after the one before it was
// over: a commit when it is stored, a question when it is answered.
func (p passed) inARow(is func(*exchange) bool) (n int) {
	var some []*exchange
	for _, x := range p.all {
		if is(x) {
			some = append(some, x)
		}
	}
	slices.SortFunc(some, func(a, b *exchange) int { return a.stored - b.stored })
	last := 0
	for _, x := range some {
		if x.sent > last {
			n, last = n+1, x.stored
		}
	}
	return n
}

func (p passed) count(is func(*exchange) bool) (n int) {
	for _, x := range p.all {
		if is(x) {
			n++
		}
	}
	return n
}

// bytes is the size of what was written: subject, header and data. Times and sequences take as many bytes as they need,
// so in headers they are left out, and in events each time is as long as the longest.
func (p passed) bytes() (n int, err error) {
	for _, x := range p.all {
		if !x.written() {
			continue
		}
		n += len(x.subject) + len(x.header) - len(x.valueOf("Nats-Schedule")) -
			len(x.valueOf(jetstream.ExpectedLastSubjSeqHeader))
		data := x.data
		if isEvent(x.subject) {
			e, err := input.DecodeEvent(data)
			if err != nil {
				return 0, err
			}
			lengthen(e.ProtoReflect())
			if data, err = proto.Marshal(e); err != nil {
				return 0, err
			}
		}
		n += len(data)
	}
	return n, nil
}

// lengthen gives every time in a message all of its digits.
func lengthen(m protoreflect.Message) {
	if t, is := m.Interface().(*timestamppb.Timestamp); is {
		t.Nanos = 999_999_999
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				lengthen(v.List().Get(i).Message())
			}
		default:
			lengthen(v.Message())
		}
		return true
	})
}

// basisReads are the questions that name everything a grant rests on (tenant, ownership, subscription and the request
// itself), asked by the orchestrator after the last command had arrived and before AccessGranted was sent.
func (p passed) basisReads() (n int) {
	end, arrived := 0, 0
	for _, x := range p.all {
		if at, err := bus.ParseEventSubject(x.subject); err == nil && at.Type == granted {
			end = x.sent
		}
	}
	for _, at := range p.commands {
		if at < end {
			arrived = at
		}
	}
	return p.count(func(x *exchange) bool {
		return x.by == bus.Orchestrator && x.sent > arrived && x.answered > 0 && x.answered < end && x.whole()
	})
}

// whole reports whether the question is about everything that a grant rests on.
func (x *exchange) whole() bool {
	q := x.question()
	for _, kind := range []string{
		aggregate.KindTenant, aggregate.KindSubscription, aggregate.KindOwnership, aggregate.KindRequest,
	} {
		if !slices.ContainsFunc(q.Last, func(filter string) bool { return strings.Contains(filter, "."+kind+".") }) {
			return false
		}
	}
	return true
}

// valueOf returns a header's value; empty if there is none.
func (m message) valueOf(key string) string {
	for line := range strings.SplitSeq(string(m.header), lineEnd) {
		if name, value, is := strings.Cut(line, ":"); is && name == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// counts are what passed for one request, under the names of the table.
func (p passed) counts() (map[string]int, error) {
	written, err := p.bytes()
	if err != nil {
		return nil, err
	}
	exchanged := func(by ...bus.Identity) func(*exchange) bool {
		return func(x *exchange) bool { return slices.Contains(by, x.by) && x.roundTrip() }
	}
	return map[string]int{
		"commits":                                  p.count((*exchange).commit),
		"commits in a row":                         p.inARow((*exchange).commit),
		"messages exchanged, jit-evaluator":        p.count(exchanged(bus.Evaluator)),
		"messages exchanged, lockbox-orchestrator": p.count(exchanged(bus.Orchestrator)),
		"waits in a row":                           p.inARow(exchanged(bus.Evaluator, bus.Orchestrator)),
		"looks that found something":               p.count(func(x *exchange) bool { return x.look() && x.found }),
		"bytes written":                            written,
		"reads of the whole basis between the approval and AccessGranted": p.basisReads(),
	}, nil
}
