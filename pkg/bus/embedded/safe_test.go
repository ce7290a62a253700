package embedded_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/openlockbox/lockbox/pkg/bus"
)

// far makes a connection look as if it led to another machine.
type far struct{}

func (far) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	return farConn{c}, err
}

type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4222} }

func TestABusThatOthersReachIsSafeWithTLSOnly(t *testing.T) {
	t.Parallel()
	with, keys, ca := secured(t)
	plain, plainKeys := options(t)
	plain.Host, plain.Port = "127.0.0.1", -1
	for name, c := range map[string]struct {
		o       bus.ServerOptions
		seed    []byte
		options []nats.Option
		unsafe  bool
	}{
		"plain, from this machine":    {plain, plainKeys[bus.Provisioner], nil, false},
		"plain, from another machine": {plain, plainKeys[bus.Provisioner], []nats.Option{nats.SetCustomDialer(far{})}, true},
		"TLS, from another machine": {with, keys[bus.Provisioner],
			[]nats.Option{nats.SetCustomDialer(far{}), nats.RootCAs(ca)}, false},
	} {
		c.o.StoreDir = t.TempDir()
		s := start(t, c.o)
		pair, err := nkeys.FromSeed(c.seed)
		must(t, err)
		public, err := pair.PublicKey()
		must(t, err)
		nc, err := nats.Connect(s.ClientURL(), append(c.options, nats.Nkey(public, pair.Sign))...)
		must(t, err)
		err = bus.CheckSafe(nc, 1, false)
		nc.Close()
		var unsafe *bus.UnsafeError
		if is := errors.As(err, &unsafe); is != c.unsafe || is && unsafe.Rule != "tls" || !is && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
