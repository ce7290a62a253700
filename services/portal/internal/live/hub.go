// Package live notifies open pages by server-sent events that their content has changed. Messages on the bus are only
// hints: each stream then repeats its page's query with the person's own token, and sends an event only if the result
// differs.
package live

import (
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
)

// perSession is the maximum number of streams per session: browsers open at most six connections to a host.
const perSession = 6

// timing holds a stream's intervals.
type timing struct {
	// debounce collects hints that arrive together; pause is the minimum time between two queries.
	debounce, pause time.Duration
	// check is the interval of queries without a hint: deadlines pass without one, and hints may get lost.
	check time.Duration
	// heartbeat keeps proxies from closing idle connections; write is the deadline for writes to a slow reader.
	heartbeat, write time.Duration
}

var usual = timing{
	debounce: 250 * time.Millisecond, pause: time.Second, check: 20 * time.Second, heartbeat: 15 * time.Second,
	write: 10 * time.Second,
}

// Hub wakes the streams when something changes.
type Hub struct {
	timing
	mu      sync.Mutex
	streams map[*stream]bool
	open    map[string]int // by the session's token
}

// NewHub returns a hub. It wakes no stream before Listen is called.
func NewHub() *Hub {
	return &Hub{timing: usual, streams: map[*stream]bool{}, open: map[string]int{}}
}

// Listen subscribes to the projector's change notifications, once for all streams, for the lifetime of the connection:
// to those of all tenants, or of one.
func (h *Hub) Listen(conn *nats.Conn, tenant string) error {
	subject := bus.AnyChanged
	if tenant != "" {
		var err error
		if subject, err = bus.ChangedSubject(tenant); err != nil {
			return err
		}
	}
	_, err := conn.Subscribe(subject, h.heard)
	return err
}

// heard wakes the streams of the tenant, and those of the provider's people.
func (h *Hub) heard(m *nats.Msg) {
	tenant, err := bus.ParseChangedSubject(m.Subject)
	if err != nil {
		return // ignore malformed hints
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		if s.tenant != tenant && s.tenant != "" {
			continue
		}
		select {
		case s.woken <- struct{}{}:
		default: // a wake-up is already pending
		}
	}
}

// join adds a stream to a session.
func (h *Hub) join(who *session.Session) (s *stream, leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[who.Token] >= perSession {
		return nil, nil, refusal.OfKind(
			refusal.Unavailable("", "bad input", "%d pages hear of changes already", perSession),
			"pages", "most", strconv.Itoa(perSession))
	}
	s = &stream{tenant: who.Tenant, woken: make(chan struct{}, 1)}
	h.open[who.Token]++
	h.streams[s] = true
	return s, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.streams, s)
		if h.open[who.Token]--; h.open[who.Token] == 0 {
			delete(h.open, who.Token)
		}
	}, nil
}
