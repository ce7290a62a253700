package embedded_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
)

// A tool and a copy come and go while everybody else works on.
func TestKeysComeAndGo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	_, err := bus.LoadOrCreateKeys(dir, []string{"console"})
	must(t, err)
	o := bus.ServerOptions{StoreDir: t.TempDir(), Host: "127.0.0.1", Port: -1}
	read := func() (bus.ServerOptions, error) {
		o := o
		var err error
		o.PublicKeys, err = bus.ReadPublicKeys(dir)
		return o, err
	}
	first, err := read()
	must(t, err)
	s := start(t, first)
	signals := make(chan os.Signal, 1)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Follow(ctx, signals, read)
	}()
	defer func() { stop(); <-ended }()
	as := func(id bus.Identity) bus.Connection {
		return bus.Connection{URL: s.ClientURL(), Identity: id, SeedFile: filepath.Join(dir, bus.SeedFile(id))}
	}
	others := map[bus.Identity]*nats.Conn{}
	for _, id := range append(bus.Identities(), bus.Tool("console")) {
		others[id] = connect(t, as(id))
	}
	must(t, bus.Provision(t.Context(), others[bus.Provisioner], 1))
	answers(t, others[bus.Orchestrator])

	ticketing, laptop := bus.Tool("ticketing"), bus.Client.Copy("laptop")
	_, err = bus.LoadOrCreateKeys(dir, []string{"ticketing"}, laptop)
	must(t, err)
	added := map[bus.Identity]*nats.Conn{}
	for _, id := range []bus.Identity{ticketing, laptop} {
		added[id] = eventually(t, as(id))
	}
	stored(t, added[ticketing], "lockbox.intent.ticketing.acme")
	stored(t, added[ticketing], "lockbox.intent.ticketing.invented")
	// It is bounded at once: see TestWhereIntentsAreStored.
	info, err := others[bus.Provisioner].Request("LB.API.STREAM.INFO.INTENTS", []byte(`{"subjects_filter":">"}`),
		5*time.Second)
	must(t, err)
	if !strings.Contains(string(info.Data), `{"lockbox.intent.ticketing._":2}`) {
		t.Errorf("what is stored: %s", info.Data)
	}
	asks(t, added[laptop])

	closed := make(chan struct{})
	added[ticketing].SetClosedHandler(func(*nats.Conn) { close(closed) })
	must(t, os.Remove(filepath.Join(dir, bus.PublicKeyFile(ticketing))))
	signals <- os.Interrupt // any signal
	select {
	case <-closed: // after two refusals
	case <-time.After(10 * time.Second):
		t.Error("a tool whose key is gone stays connected")
	}
	if nc, err := bus.Connect(as(ticketing)); err == nil {
		nc.Close()
		t.Error("a tool whose key is gone connects")
	} else if key := new(bus.KeyError); !errors.As(err, &key) || key.File != as(ticketing).SeedFile {
		t.Errorf("the error does not name the key: %v", err)
	}

	stored(t, others[bus.Tool("console")], "lockbox.intent.console.acme")
	asks(t, others[bus.Client])
	asks(t, added[laptop])
	for id, nc := range others {
		if err := nc.Flush(); err != nil || nc.Reconnects > 0 || nc.LastError() != nil {
			t.Errorf("%s was disturbed: %v, %d reconnects, %v", id, err, nc.Reconnects, nc.LastError())
		}
	}
}

// A key that cannot be loaded changes nothing, and is logged, not fatal.
func TestAnUnusableKeyChangesNothing(t *testing.T) {
	o, keys := options(t)
	s := start(t, o)
	nc := connect(t, bus.Connection{InProcess: s, Identity: bus.Client, Seed: keys[bus.Client]})
	o.PublicKeys[bus.Tool("ticketing")] = "half a k"
	if err := s.Reload(o); err == nil {
		t.Error("half a key was loaded")
	}
	delete(o.PublicKeys, bus.Tool("ticketing"))
	must(t, s.Reload(o))
	if err := nc.Flush(); err != nil || nc.Reconnects > 0 {
		t.Errorf("a client was disturbed: %v", err)
	}
}

func answers(t *testing.T, orchestrator *nats.Conn) {
	t.Helper()
	_, err := orchestrator.Subscribe(bus.AnyCommand, func(m *nats.Msg) { _ = m.Respond([]byte("yes")) })
	must(t, err)
	must(t, orchestrator.Flush())
}

func asks(t *testing.T, client *nats.Conn) {
	t.Helper()
	if reply, err := client.Request(bus.CommandSubject(bus.Client, "approve"), nil, 5*time.Second); err != nil ||
		string(reply.Data) != "yes" {
		t.Errorf("%s asks the orchestrator: %v", client.Opts.Name, err)
	}
}

func stored(t *testing.T, tool *nats.Conn, subject string) {
	t.Helper()
	if reply, err := tool.Request(subject, []byte("an intent"), 5*time.Second); err != nil {
		t.Errorf("%s publishes: %v", tool.Opts.Name, err)
	} else if want := `{"stream":"INTENTS"`; len(reply.Data) < len(want) || string(reply.Data[:len(want)]) != want {
		t.Errorf("%s publishes: %s", tool.Opts.Name, reply.Data)
	}
}

// eventually connects once the server knows the key.
func eventually(t *testing.T, c bus.Connection) *nats.Conn {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		nc, err := bus.Connect(c)
		if err == nil {
			t.Cleanup(nc.Close)
			return nc
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
