// Package live tells open pages that what they show has changed, by server-sent events. What it hears on the bus is
// only a hint: each stream then asks what its page asks, with its person's own token, and speaks up only if the answer
// is another.
package live

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
)

// perSession is how many streams one sign-in may have open: a browser opens no more than six connections to one host.
const perSession = 6

// timing is how a stream passes its time.
type timing struct {
	// debounce lets what comes together be looked at once; pause is the least time between two looks.
	debounce, pause time.Duration
	// check is when to look without a hint: deadlines pass without one, and hints may get lost.
	check time.Duration
	// heartbeat keeps proxies from ending what is silent; write is how long a slow reader may take.
	heartbeat, write time.Duration
}

var usual = timing{
	debounce: 250 * time.Millisecond, pause: time.Second, check: 20 * time.Second, heartbeat: 15 * time.Second,
	write: 10 * time.Second,
}

// Hub wakes streams.
type Hub struct {
	timing
	mu      sync.Mutex
	streams map[*stream]bool
	open    map[string]int // by the session's token
}

// NewHub makes one. Nobody is woken before it listens.
func NewHub() *Hub {
	return &Hub{timing: usual, streams: map[*stream]bool{}, open: map[string]int{}}
}

// Listen hears what the projector says has changed, once for all streams, as long as the connection lives.
func (h *Hub) Listen(conn *nats.Conn) error {
	_, err := conn.Subscribe(bus.AnyChanged, h.heard)
	return err
}

// heard wakes the streams of the tenant, and those of the provider's people.
func (h *Hub) heard(m *nats.Msg) {
	tenant, err := bus.ParseChangedSubject(m.Subject)
	if err != nil {
		return // a hint that nobody understands is no hint
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		if s.tenant != tenant && s.tenant != "" {
			continue
		}
		select {
		case s.woken <- struct{}{}:
		default: // it knows already
		}
	}
}

// join adds a stream of a session.
func (h *Hub) join(who *session.Session) (s *stream, leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[who.Token] >= perSession {
		return nil, nil, refusal.Unavailable("", "bad input", "%d pages hear of changes already", perSession)
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
