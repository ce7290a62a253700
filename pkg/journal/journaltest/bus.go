// Package journaltest starts a bus for tests, of one server or of three, with the real permissions. It contains the
// contract tests that package journal must pass on both.
package journaltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/journal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"
)

// The engineering tools that have a key on a test bus. LimitedTool is for one customer, the others are for all.
const (
	Tool        = "console"
	OtherTool   = "pipeline"
	LimitedTool = "limited"
	LimitedTo   = "acme"
	// OwnPortal is the customer that runs a portal itself.
	OwnPortal = "meadowbank"
)

// Bus is a running bus: one server, or a cluster of several with as many replicas.
type Bus struct {
	Keys    bus.Keys
	options []bus.ServerOptions

	mu      sync.Mutex
	servers []*embedded.Server // nil where stopped
}

// Start runs a provisioned bus with that many servers until the test ends. Their options may be changed.
func Start(t testing.TB, servers int, change ...func(*bus.ServerOptions)) *Bus {
	t.Helper()
	b := New(t, servers, change...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := bus.Provision(ctx, b.Connect(t, bus.Provisioner), servers); err != nil {
		t.Fatal(err)
	}
	return b
}

// New is Start without streams.
func New(t testing.TB, servers int, change ...func(*bus.ServerOptions)) *Bus {
	t.Helper()
	keys, err := bus.GenerateKeys(Tool, OtherTool, LimitedTool)
	if err != nil {
		t.Fatal(err)
	}
	if keys[bus.CustomerPortal(OwnPortal)], err = bus.NewSeed(); err != nil {
		t.Fatal(err)
	}
	public, err := keys.Public()
	if err != nil {
		t.Fatal(err)
	}
	b := &Bus{Keys: keys, servers: make([]*embedded.Server, servers)}
	dir := t.TempDir()
	var routes []string
	for i := range servers {
		b.options = append(b.options, bus.ServerOptions{
			Name: "n" + strconv.Itoa(i), StoreDir: filepath.Join(dir, strconv.Itoa(i)), PublicKeys: public, Host: "127.0.0.1",
			Port: FreePort(t), ToolTenants: map[string][]string{LimitedTool: {LimitedTo}},
		})
		if servers > 1 {
			port := FreePort(t)
			routes = append(routes, fmt.Sprintf("127.0.0.1:%d", port))
			b.options[i].Cluster = &bus.ClusterOptions{Name: "test", Host: "127.0.0.1", Port: port}
		}
	}
	for i, o := range b.options {
		if o.Cluster != nil {
			o.Cluster.Routes = routes
		}
		for _, c := range change {
			c(&b.options[i])
		}
	}
	b.Resume(t)
	t.Cleanup(b.Stop)
	return b
}

// Resume starts the stopped servers again, with the same files and addresses.
func (b *Bus) Resume(t testing.TB) {
	t.Helper()
	var all errgroup.Group
	for i, o := range b.options {
		if b.server(i) == nil {
			all.Go(func() error {
				s, err := embedded.Start(context.Background(), o, nil)
				b.swap(i, s)
				return err
			})
		}
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
}

// Stop stops all servers.
func (b *Bus) Stop() {
	var all sync.WaitGroup
	for i := range b.options {
		all.Go(func() { b.StopServer(i) })
	}
	all.Wait()
}

// StopServer stops server i. The servers are named n0, n1 …
func (b *Bus) StopServer(i int) {
	if s := b.swap(i, nil); s != nil {
		s.Shutdown()
	}
}

// Servers returns how many servers the bus has, stopped ones included.
func (b *Bus) Servers() int { return len(b.options) }

// StoreDir returns the store directory of server i.
func (b *Bus) StoreDir(i int) string { return b.options[i].StoreDir }

func (b *Bus) server(i int) *embedded.Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.servers[i]
}

func (b *Bus) swap(i int, s *embedded.Server) (old *embedded.Server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, b.servers[i] = b.servers[i], s
	return old
}

// Server returns the first server.
func (b *Bus) Server() *embedded.Server { return b.server(0) }

// URL returns the address for clients; with several servers, all their addresses.
func (b *Bus) URL() string {
	var urls []string
	for i := range b.options {
		if s := b.server(i); s != nil {
			urls = append(urls, s.ClientURL())
		}
	}
	return strings.Join(urls, ",")
}

// Connect connects as an identity until the test ends: in process to one server, by TCP to several.
func (b *Bus) Connect(t testing.TB, id bus.Identity) *nats.Conn {
	t.Helper()
	c := bus.Connection{Identity: id, Seed: b.Keys[id]}
	if len(b.options) == 1 {
		c.InProcess = b
	} else {
		c.URL = b.URL()
	}
	nc, err := bus.Connect(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// InProcessConn connects to the currently running server, so that clients can reconnect after a restart.
func (b *Bus) InProcessConn() (net.Conn, error) {
	if s := b.server(0); s != nil {
		return s.InProcessConn()
	}
	return nil, errors.New("the server is stopped")
}

// Journal opens a journal as an identity until the test ends.
func (b *Bus) Journal(t testing.TB, id bus.Identity, options ...journal.Option) *journal.Journal {
	t.Helper()
	options = append([]journal.Option{journal.WithLog(zaptest.NewLogger(t,
		zaptest.Level(zapcore.ErrorLevel)).WithOptions(zap.AddCaller()))}, options...)
	j, err := journal.Open(context.Background(), b.Connect(t, id), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

// given are the ports that FreePort returned in this process.
var given sync.Map

// FreePort returns a free port outside the ephemeral range: a server can be stopped and restarted on it, and no
// connection or other test takes it in between. It returns each port once: a server need not listen on it yet.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000) // #nosec G404 -- any will do
		if _, before := given.LoadOrStore(port, true); before {
			continue
		}
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
