package journal

import (
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// inbox is a single subscription for all answers: one subscription per request would double the traffic.
type inbox struct {
	prefix string
	sub    *nats.Subscription

	mu      sync.Mutex
	next    uint64
	waiting map[string]func(*nats.Msg)
}

func newInbox(nc *nats.Conn) (*inbox, error) {
	b := &inbox{prefix: nc.NewInbox() + ".", waiting: map[string]func(*nats.Msg){}}
	var err error
	if b.sub, err = nc.Subscribe(b.prefix+"*", b.deliver); err != nil {
		return nil, err
	}
	return b, b.sub.SetPendingLimits(-1, -1)
}

// expect returns a reply subject. Each answer to it is passed to f, which must not block, until forget is called.
func (b *inbox) expect(f func(*nats.Msg)) (reply string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	token := strconv.FormatUint(b.next, 36)
	b.waiting[token] = f
	return b.prefix + token
}

func (b *inbox) forget(reply string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, strings.TrimPrefix(reply, b.prefix))
}

func (b *inbox) deliver(m *nats.Msg) {
	b.mu.Lock()
	f := b.waiting[strings.TrimPrefix(m.Subject, b.prefix)]
	b.mu.Unlock()
	if f != nil {
		f(m)
	}
}

func (b *inbox) close() { _ = b.sub.Unsubscribe() }
