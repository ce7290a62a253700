package embedded_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/devca"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

// certificates makes an authority and a certificate for this machine.
func certificates(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if _, err := devca.Create(dir, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func secured(t *testing.T) (bus.ServerOptions, bus.Keys, string) {
	t.Helper()
	o, keys := options(t)
	dir := certificates(t)
	o.Host, o.Port, o.TLS = "127.0.0.1", -1, bus.TLSIn(dir)
	return o, keys, filepath.Join(dir, bus.CAFile)
}

func connect(t *testing.T, c bus.Connection) *nats.Conn {
	t.Helper()
	nc, err := bus.Connect(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestTLS(t *testing.T) {
	o, keys, ca := secured(t)
	s := start(t, o)
	if !strings.HasPrefix(s.ClientURL(), "tls://127.0.0.1:") {
		t.Errorf("clients connect to %s", s.ClientURL())
	}
	client := bus.Connection{URL: s.ClientURL(), Identity: bus.Client, Seed: keys[bus.Client], CA: ca}
	state, err := connect(t, client).TLSConnectionState()
	if err != nil || state.Version != tls.VersionTLS13 {
		t.Errorf("the version is %x, %v", state.Version, err)
	}
	connect(t, bus.Connection{InProcess: s, Identity: bus.Client, Seed: keys[bus.Client]})

	another := client
	another.CA = filepath.Join(certificates(t), bus.CAFile)
	system := client
	system.CA = ""
	none := client
	none.CA += ".none"
	empty := client
	empty.CA = o.TLS.Key
	plainURL := system
	plainURL.URL = strings.Replace(client.URL, "tls://", "nats://", 1)
	for name, c := range map[string]bus.Connection{
		"another authority": another, "the system's authorities": system, "a URL that says nothing of TLS": plainURL,
		"no file": none, "a file without a certificate": empty,
	} {
		nc, err := bus.Connect(c)
		if err == nil {
			nc.Close()
		}
		var trust *bus.TrustError
		if !errors.As(err, &trust) || !bus.Permanent(err) || !strings.Contains(err.Error(), "--ca") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlaintextIsRefused(t *testing.T) {
	o, _, ca := secured(t)
	s := start(t, o)
	address := strings.TrimPrefix(s.ClientURL(), "tls://")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("CONNECT {\"verbose\":true}\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	answers := make([]byte, 1<<16)
	var all string
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		n, err := conn.Read(answers)
		all += string(answers[:n])
		if err != nil {
			break // the server hangs up
		}
	}
	if strings.Contains(all, "PONG") || strings.Contains(all, "+OK") {
		t.Errorf("without TLS it answers %q", all)
	}

	plain, plainKeys := options(t)
	plain.Host, plain.Port = "127.0.0.1", -1
	nc, err := bus.Connect(bus.Connection{URL: start(t, plain).ClientURL(), Identity: bus.Client,
		Seed: plainKeys[bus.Client], CA: ca})
	if err == nil {
		nc.Close()
	}
	if !errors.Is(err, nats.ErrSecureConnWanted) || !bus.Permanent(err) {
		t.Errorf("a server without TLS: %v", err)
	}
}

func TestAListenerForOtherMachinesNeedsTLS(t *testing.T) {
	for _, host := range []string{"0.0.0.0", "::", "192.0.2.1", "bus.example.org"} {
		for name, o := range map[string]bus.ServerOptions{
			"clients": {Host: host}, "cluster": {Host: "127.0.0.1", Cluster: &bus.ClusterOptions{Host: host}},
		} {
			with, _ := options(t)
			o.StoreDir, o.PublicKeys = with.StoreDir, with.PublicKeys
			s, err := embedded.Start(t.Context(), o, nil)
			if err == nil {
				s.Shutdown()
			}
			var plain *bus.PlaintextError
			if !errors.As(err, &plain) || plain.Host != host || !strings.Contains(err.Error(), "--tls") {
				t.Errorf("%s on %s: %v", name, host, err)
			}
			if _, err := os.Stat(o.StoreDir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s on %s: something was stored", name, host)
			}
		}
	}
	for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
		o, _ := options(t)
		o.Host, o.Port = host, -1
		if _, err := bus.ServerConfig(o); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestAServerForOtherMachinesIsReachedFromThisOne(t *testing.T) {
	o, keys, ca := secured(t)
	o.Host, o.PlainStore = "0.0.0.0", true
	connect(t, bus.Connection{URL: start(t, o).ClientURL(), Identity: bus.Client, Seed: keys[bus.Client], CA: ca})
}

func TestARenewedCertificateIsShownAfterAReload(t *testing.T) {
	o, keys, ca := secured(t)
	s := start(t, o)
	client := bus.Connection{URL: s.ClientURL(), Identity: bus.Client, Seed: keys[bus.Client], CA: ca}
	before := connect(t, client)
	first := shown(t, before)

	must(t, os.Remove(o.TLS.Certificate))
	must(t, os.Remove(o.TLS.Key))
	if err := s.Reload(o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reload without a certificate: %v", err)
	}
	if again := shown(t, connect(t, client)); !again.Equal(first) {
		t.Error("after a failed reload there is another certificate")
	}
	_, err := devca.Create(filepath.Dir(o.TLS.Certificate), []string{"bus.example.org"}, time.Now())
	must(t, err)
	must(t, s.Reload(o))
	if renewed := shown(t, connect(t, client)); renewed.Equal(first) || renewed.VerifyHostname("bus.example.org") != nil {
		t.Errorf("the certificate is %v", renewed.DNSNames)
	}
	if err := before.Flush(); err != nil || before.Reconnects > 0 {
		t.Errorf("an earlier connection: %v, %d reconnects", err, before.Reconnects)
	}
}

func shown(t *testing.T, nc *nats.Conn) *x509.Certificate {
	t.Helper()
	state, err := nc.TLSConnectionState()
	must(t, err)
	return state.PeerCertificates[0]
}

// A cluster of three, with one certificate; a fourth server, with another authority's, does not get in.
func TestServersOfAClusterUseTLS(t *testing.T) {
	base, keys, ca := secured(t)
	ports, routes := make([]int, 4), make([]string, 4)
	for i := range ports {
		ports[i] = journaltest.FreePort(t)
		routes[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i]))
	}
	options := func(i int) bus.ServerOptions {
		o := base
		o.Name, o.StoreDir = "server-"+strconv.Itoa(i), t.TempDir()
		o.Cluster = &bus.ClusterOptions{Name: "lockbox", Host: "127.0.0.1", Port: ports[i], Routes: routes[:3]}
		return o
	}
	type member struct {
		server  *embedded.Server
		options bus.ServerOptions
	}
	servers := make(chan member, 3)
	for i := range 3 {
		o := options(i)
		go func() {
			s, err := embedded.Start(context.Background(), o, nil)
			if err != nil {
				t.Error(err)
			}
			servers <- member{s, o}
		}()
	}
	var all []member
	var urls []string
	for range 3 {
		if m := <-servers; m.server != nil {
			t.Cleanup(m.server.Shutdown)
			all, urls = append(all, m), append(urls, m.server.ClientURL())
		}
	}
	if t.Failed() {
		return
	}
	c := bus.Connection{URL: strings.Join(urls, ","), Identity: bus.Provisioner, Seed: keys[bus.Provisioner], CA: ca}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	nc := connect(t, c)
	must(t, bus.Provision(ctx, nc, 3))

	// A renewed certificate, and a key fewer, on all three.
	must(t, os.Remove(base.TLS.Certificate))
	must(t, os.Remove(base.TLS.Key))
	_, err := devca.Create(filepath.Dir(base.TLS.Certificate), nil, time.Now())
	must(t, err)
	delete(base.PublicKeys, bus.Portal)
	for _, s := range all {
		must(t, s.server.Reload(s.options))
	}
	if err := bus.Provision(ctx, nc, 3); err != nil || nc.Reconnects > 0 {
		t.Errorf("after the reload: %v, %d reconnects", err, nc.Reconnects)
	}

	stranger := options(3)
	stranger.TLS = bus.TLSIn(certificates(t))
	stranger.TLS.CA = ca // it trusts the others; they do not trust it
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if s, err := embedded.Start(ctx, stranger, nil); err == nil {
		s.Shutdown()
		t.Error("a server with another authority's certificate joined the cluster")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
