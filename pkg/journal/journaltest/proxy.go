package journaltest

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// Proxy is a proxy between a client and the bus that can drop the bus's answers, and change what it is asked.
type Proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	muted bool
	// change is called with what clients send; it may change it in place.
	change func([]byte)
	conns  map[net.Conn]bool
}

// NewProxy forwards connections to the bus's first server until the test ends.
func NewProxy(t testing.TB, b *Bus) *Proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: strings.TrimPrefix(b.Server().ClientURL(), "nats://"), conns: map[net.Conn]bool{}}
	go p.accept()
	t.Cleanup(func() {
		_ = l.Close()
		p.Cut()
	})
	return p
}

// URL returns the address for clients.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Mute drops everything that the bus sends from now on; what clients send still arrives.
func (p *Proxy) Mute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = true
}

// Change calls change with what clients send from now on, one call at a time. It may change bytes, but not how many
// there are.
func (p *Proxy) Change(change func([]byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change = change
}

// Cut drops all connections. New ones are not muted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = false
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target) // #nosec G704 -- a test's own server
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		go p.pass(server, client, p.changed)
		go p.pass(client, server, p.isMuted)
	}
}

// changed changes what a client sends. All of it is passed on.
func (p *Proxy) changed(data []byte) (swallow bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.change != nil {
		p.change(data)
	}
	return false
}

func (p *Proxy) isMuted([]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.muted
}

func (p *Proxy) pass(to, from net.Conn, swallow func([]byte) bool) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !swallow(buffer[:n]) {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
