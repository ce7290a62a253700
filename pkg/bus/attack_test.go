package bus_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

// The right to publish is checked on the subject and never on the reply subject: whoever may ask anything may name
// where the server answers, and JetStream answers with its own power. So each identity uses each of its rights, with
// each body that has an answer worth placing, and each reply subject that would do harm, while everybody else listens.
// Nothing may change but what the right itself is for.
//
// control: nist:AC-6, nist:AU-9, iso:8.15
func TestAnswersOpenNoOtherDoor(t *testing.T) {
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d servers", servers), func(t *testing.T) {
			t.Parallel()
			s := newSiege(t, servers)
			for _, id := range s.identities {
				s.attack(t, id)
			}
		})
	}
}

const (
	victim    = "meadowbank"
	otherTool = "ticketing"
)

// siege is a bus with something to lose in every stream, on which every identity listens.
type siege struct {
	bus        *journaltest.Bus
	identities []bus.Identity
	watcher    *nats.Conn
	listening  map[*nats.Conn][]*nats.Subscription
	count      int

	mu    sync.Mutex
	heard map[bus.Identity][]heard
}

// heard is a message with the subject that was listened to: a message that a consumer delivers keeps its own.
type heard struct{ at, subject, data string }

// weaker is a stream's configuration that would empty it, stored so that a read could answer with it.
var weaker = []byte(`{"name":"EVENTS","subjects":["lockbox.event.>"],"retention":"limits","storage":"file",` +
	`"num_replicas":1,"max_age":1000000000,"max_msgs":1,"max_bytes":-1,"max_msg_size":-1,"max_consumers":-1,` +
	`"discard":"old","duplicate_window":1000000000,"allow_direct":true}`)

func newSiege(t *testing.T, servers int) *siege {
	s := &siege{bus: journaltest.Start(t, servers), heard: map[bus.Identity][]heard{},
		listening: map[*nats.Conn][]*nats.Subscription{}}
	s.identities = slices.DeleteFunc(bus.Identities(), func(id bus.Identity) bool { return id == bus.Provisioner })
	// The provisioner comes last: it leaves consumers behind, which go on delivering where they were told to.
	s.identities = append(s.identities, bus.Tool(journaltest.Tool),
		bus.CustomerPortal(journaltest.OwnPortal), bus.Provisioner)
	s.watcher = s.bus.Connect(t, bus.Provisioner)
	store := func(id bus.Identity, subject string) {
		t.Helper()
		m, err := s.bus.Connect(t, id).Request(subject, weaker, 10*time.Second)
		if err != nil || strings.Contains(string(m.Data), `"error"`) {
			t.Fatalf("%s: %v, %v", subject, m, err)
		}
	}
	store(bus.Orchestrator, "lockbox.event."+victim+".tenant."+victim+".1.TenantCreated")
	store(bus.Tool(journaltest.Tool), "lockbox.intent."+journaltest.Tool+"."+victim)
	store(bus.Evaluator, bus.DeadLetterSubject(string(bus.Evaluator), "x"))
	store(bus.Orchestrator, "lockbox.timer."+victim+".request.r")
	store(bus.Portal, "LB.API.$KV.SESSIONS.k")
	store(bus.Portal, "lockbox.access."+victim+".portal.PORTAL.2026-11-28")
	store(bus.Evaluator, "lockbox.key.0102.0")
	for _, id := range s.identities {
		if id == bus.Provisioner {
			continue // what it hears are the answers to this test
		}
		nc := s.bus.Connect(t, id)
		for _, r := range bus.Rights(id) {
			if r.Use != bus.Hears && r.Use != bus.Serves || strings.HasPrefix(r.Subject, "$SRV") {
				continue
			}
			sub, err := nc.Subscribe(r.Subject, func(m *nats.Msg) {
				s.mu.Lock()
				s.heard[id] = append(s.heard[id], heard{r.Subject, m.Subject, string(m.Data)})
				s.mu.Unlock()
				if m.Reply != "" && r.Use == bus.Serves {
					_ = m.Respond(weaker)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			s.listening[nc] = append(s.listening[nc], sub)
		}
	}
	s.settle(t)
	return s
}

// settle waits until everybody has received everything.
func (s *siege) settle(t *testing.T) {
	t.Helper()
	for quiet := 0; quiet < 2; quiet++ {
		time.Sleep(200 * time.Millisecond) // heartbeats come until the pulls end
		for nc, subs := range s.listening {
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			for _, sub := range subs {
				if n, _, err := sub.Pending(); err != nil {
					t.Fatal(err)
				} else if n > 0 {
					quiet = 0
				}
			}
		}
	}
}

// hostile lists the reply subjects, under the server's own names and under ours.
func (s *siege) hostile(attacker bus.Identity) []string {
	calls := []string{"CONSUMER.DELETE.EVENTS.notifier", "CONSUMER.RESET.EVENTS.notifier",
		"CONSUMER.MSG.NEXT.EVENTS.notifier", "CONSUMER.CREATE.EVENTS", "CONSUMER.PAUSE.EVENTS.notifier",
		"STREAM.CREATE.OTHER", "ACCOUNT.PURGE.LOCKBOX", "STREAM.MSG.DELETE.EVENTS", "STREAM.MSG.DELETE.KEYS"}
	for _, stream := range []string{"EVENTS", "INTENTS", "TIMERS", "DEADLETTER", "ACCESS", "KEYS", "KV_SESSIONS"} {
		calls = append(calls, "STREAM.DELETE."+stream, "STREAM.UPDATE."+stream, "STREAM.PURGE."+stream)
	}
	replies := []string{bus.LeaseSubject, "lockbox.changed." + victim, "lockbox.timer." + victim + ".request.x",
		"lockbox.due." + victim + ".request.x", "lockbox.command.EDGE.approve",
		"lockbox.command.PORTAL.approve", "lockbox.query.EDGE.list_requests",
		"lockbox.access." + victim + ".portal.PORTAL.2026-11-29", "lockbox.key.0304.0", "lockbox.key.0102.1",
		"lockbox.deadletter.jit-evaluator.x", "lockbox.intent." + otherTool + "." + victim,
		"$KV.SESSIONS.x", "LB.API.$KV.SESSIONS.x", "$JS.ACK.EVENTS.notifier.1.1.1.1.1", "_R_.x", "$SYS.REQ.SERVER.PING",
		"lockbox.updates." + otherTool, "lockbox.update." + otherTool + ".x", "lockbox.intent.portal." + victim,
		"lockbox.outcome.portal.x", "$SRV.PING",
		"lockbox.outcome." + otherTool + ".x", "lockbox.outcome." + journaltest.Tool + ".x"}
	for _, c := range calls {
		replies = append(replies, "$JS.API."+c, "LB.API."+c)
	}
	for _, f := range aggregate.Facts() {
		replies = append(replies, "lockbox.event."+victim+"."+f.Kind+".garbage.1."+f.Type)
	}
	for _, id := range s.identities {
		if id != attacker {
			replies = append(replies, "_INBOX."+string(id)+".x")
		}
	}
	return replies
}

// bodies returns the questions that are answered under a right. A consumer could also deliver to the hostile subject,
// and its heartbeats are calls without a body.
func bodies(r bus.Right, hostile string, count int) [][]byte {
	switch {
	case strings.Contains(r.Subject, ".CONSUMER.CREATE."):
		_, stream, _ := strings.Cut(r.Subject, ".CREATE.")
		const push = `{"stream_name":%q,"config":{"name":"x%d","deliver_policy":"all","ack_policy":"none",` +
			`"deliver_subject":%q,"idle_heartbeat":100000000,"mem_storage":true}}`
		return [][]byte{fmt.Appendf(nil, push, strings.TrimSuffix(stream, ".>"), count, hostile)}
	case strings.Contains(r.Subject, ".DIRECT.GET."):
		last := `lockbox.event.` + victim + `.tenant.` + victim + `.1.TenantCreated`
		return [][]byte{[]byte(`{"last_by_subj":"` + last + `"}`), []byte(`{"multi_last":["lockbox.event.>"]}`),
			[]byte(`{"seq":1,"batch":2,"max_bytes":1}`), []byte(`{"seq":1,"no_hdr":true}`), []byte(`{"seq":99999}`), nil}
	case strings.Contains(r.Subject, ".MSG.NEXT."):
		return [][]byte{[]byte(`{"batch":1,"no_wait":true}`),
			[]byte(`{"batch":1,"expires":300000000,"idle_heartbeat":100000000}`)}
	case strings.Contains(r.Subject, ".STREAM.MSG.GET."):
		return [][]byte{[]byte(`{"seq":1}`), []byte(`{"last_by_subj":">"}`)}
	case strings.Contains(r.Subject, ".CONSUMER.RESET."):
		return [][]byte{[]byte(`{"seq":1}`)}
	}
	return [][]byte{weaker, nil}
}

// attack uses every right of an identity with every hostile reply, and compares everything before and after.
func (s *siege) attack(t *testing.T, id bus.Identity) {
	t.Helper()
	for i := range 5 { // something to pull
		m, err := s.bus.Connect(t, bus.Tool(journaltest.Tool)).Request(fmt.Sprintf("lockbox.intent.%s.%s-%d",
			journaltest.Tool, victim, i), weaker, 10*time.Second)
		if err != nil || strings.Contains(string(m.Data), `"error"`) {
			t.Fatal(m, err)
		}
	}
	before := s.stable(t)
	s.settle(t)
	s.mu.Lock()
	clear(s.heard)
	s.mu.Unlock()
	nc := s.bus.Connect(t, id)
	var used []string
	tried := 0
	for _, r := range bus.Rights(id) {
		if r.Use != bus.Publishes && r.Use != bus.Asks {
			continue
		}
		used = append(used, r.Subject)
		for _, reply := range s.hostile(id) {
			for _, body := range bodies(r, reply, s.count+1) {
				s.count++
				m := nats.NewMsg(concrete(r.Subject, s.count))
				m.Reply, m.Data = reply, body
				if s.count%3 == 0 {
					m.Header.Set("Nats-Trace-Dest", reply)
				}
				if err := nc.PublishMsg(m); err != nil {
					t.Fatal(err)
				}
				tried++
			}
			// One after the other: the server cuts off listeners that cannot keep up.
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	after := s.stable(t)
	s.settle(t)
	if diff := cmp.Diff(before.without(id, used), after.without(id, used)); diff != "" {
		t.Errorf("%s, with %d hostile replies, changed: %s", id, tried, diff)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for listener, messages := range s.heard {
		for _, m := range messages {
			// What the right is for: the subject itself is the attacker's. Within one account, answers reach whoever listens;
			// a tool therefore ignores outcomes of intents that it did not submit, and inboxes have random names.
			mine := slices.ContainsFunc(used, func(right string) bool {
				return right == m.at || bus.Matches(right, m.at) ||
					(m.at == bus.AnyCommand || m.at == bus.AnyQuery || m.at == bus.AnyUpdates) && bus.Matches(right, m.subject)
			})
			edge := inEdge(id) && inEdge(listener) && (strings.HasPrefix(m.at, "_INBOX.") ||
				strings.HasPrefix(m.at, "lockbox.outcome.") || strings.HasPrefix(m.at, "lockbox.update."))
			if listener != id && !mine && !edge {
				t.Errorf("%s: %s received %q on %s", id, listener, m.data, m.at)
			}
		}
	}
	if tried == 0 {
		t.Errorf("%s tried nothing", id)
	}
}

func inEdge(id bus.Identity) bool { return id == bus.Client || strings.HasPrefix(string(id), "tool-") }

// concrete is a subject that a right covers, another for each count.
func concrete(pattern string, count int) string {
	tokens := strings.Split(pattern, ".")
	for i, token := range tokens {
		switch token {
		case "*":
			tokens[i] = fmt.Sprintf("x%d", count)
		case ">":
			tokens[i] = fmt.Sprintf("x%d", count)
			if tokens[0] == "$JS" {
				tokens[i] = "1.1.1.1.1"
			}
		}
	}
	return strings.Join(tokens, ".")
}

// held is everything that the streams hold: their configurations, what is stored under each subject, and the consumers
// with how far they have come.
type held struct {
	Streams   map[string]any
	Stored    map[string]map[string]int
	Consumers map[string]consumed
}

// consumed is a consumer's configuration, and how far it has come.
type consumed struct {
	Config             any
	Delivered, Waiting int
}

func (s *siege) stable(t *testing.T) held {
	t.Helper()
	for last := s.state(t); ; {
		s.settle(t)
		now := s.state(t)
		if cmp.Equal(last, now) {
			return now
		}
		last = now
	}
}

func (s *siege) state(t *testing.T) held {
	t.Helper()
	h := held{map[string]any{}, map[string]map[string]int{}, map[string]consumed{}}
	ask := func(subject string, question string, answer any) {
		t.Helper()
		var m *nats.Msg
		var err error
		for range 10 {
			if m, err = s.watcher.Request(subject, []byte(question), 3*time.Second); err == nil {
				break
			}
		}
		if err == nil {
			err = json.Unmarshal(m.Data, answer)
		}
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
	}
	for _, stream := range []string{"EVENTS", "INTENTS", "TIMERS", "DEADLETTER", "ACCESS", "KEYS", "KV_SESSIONS"} {
		var info struct {
			Config any
			Error  any
			State  struct {
				Subjects map[string]int
				Deleted  int `json:"num_deleted"`
				First    int `json:"first_seq"`
			}
		}
		ask("LB.API.STREAM.INFO."+stream, `{"subjects_filter":">"}`, &info)
		if info.Error != nil {
			t.Fatalf("%s is lost: %v", stream, info.Error)
		}
		if stream == "TIMERS" || stream == "KV_SESSIONS" {
			info.State.Deleted, info.State.First = 0, 0 // what is stored replaces what was there
		}
		h.Streams[stream] = []any{info.Config, info.State.First, info.State.Deleted}
		h.Stored[stream] = info.State.Subjects
	}
	consumers := map[string]string{bus.DurableEvaluator: "INTENTS", bus.DurableDue: "TIMERS",
		bus.DurableOrchestrator: "EVENTS", bus.DurableNotifier: "EVENTS", bus.DurableAlarms: "EVENTS"}
	for _, id := range []bus.Identity{bus.Projector, bus.Compliance} {
		for _, name := range bus.CopyReaders(id)[:s.bus.Servers()] {
			consumers[name] = "EVENTS"
		}
	}
	for name, stream := range consumers {
		var info struct {
			Config    any
			Error     any
			Delivered struct {
				Sequence int `json:"consumer_seq"`
			}
			Waiting int `json:"num_waiting"`
		}
		ask("LB.API.CONSUMER.INFO."+stream+"."+name, "", &info)
		if info.Error != nil {
			t.Fatalf("%s is lost: %v", name, info.Error)
		}
		h.Consumers[name] = consumed{info.Config, info.Delivered.Sequence, info.Waiting}
	}
	return h
}

// without leaves out what an identity may change: what is stored under its own subjects, and how far its own consumers
// have come.
func (h held) without(id bus.Identity, used []string) held {
	rest := held{maps.Clone(h.Streams), map[string]map[string]int{}, map[string]consumed{}}
	// The evaluator erases intents, all of them if it likes.
	erases := slices.Contains(used, bus.PurgeSubject(bus.StreamIntents))
	if intents, is := h.Streams[bus.StreamIntents].([]any); is && erases {
		rest.Streams[bus.StreamIntents] = intents[0]
	}
	for stream, subjects := range h.Stored {
		rest.Stored[stream] = map[string]int{}
		for subject, n := range subjects {
			named := subject
			if stream == "KV_SESSIONS" {
				named = "LB.API." + subject
			}
			erased := erases && stream == bus.StreamIntents
			if !erased && !slices.ContainsFunc(used, func(right string) bool { return bus.Matches(right, named) }) {
				rest.Stored[stream][subject] = n
			}
		}
	}
	for name, info := range h.Consumers {
		own := slices.ContainsFunc(used, func(right string) bool {
			return strings.HasSuffix(right, ".MSG.NEXT.EVENTS."+name) ||
				strings.HasSuffix(right, ".MSG.NEXT.INTENTS."+name) || strings.HasSuffix(right, ".MSG.NEXT.TIMERS."+name)
		})
		if own || id == bus.Provisioner { // it can have messages delivered to consumers, and so move them
			info.Delivered, info.Waiting = 0, 0
		}
		rest.Consumers[name] = info
	}
	return rest
}
