package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/durable/durabletest"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

// waiting is how long a test waits for what must come; passing takes a few seconds.
const waiting = 2 * time.Minute

// put publishes an intent, and returns its sequence.
func put(nc *nats.Conn, text string) (uint64, error) {
	m, err := nc.Request("lockbox.intent.console.acme", []byte(text), 2*time.Second)
	if err != nil {
		return 0, err
	}
	var ack struct {
		Seq   uint64
		Error *struct{ Description string }
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return 0, err
	}
	if ack.Error != nil {
		return 0, fmt.Errorf("refused: %s", ack.Error.Description)
	}
	return ack.Seq, nil
}

// A disk runs full and gets room again: what was acknowledged is there, and the bus stores again by itself.
func TestABusWhoseDiskWasFullGoesOn(t *testing.T) {
	t.Parallel()
	disk := durabletest.Disk(t, 64)
	keys, err := bus.GenerateKeys("console")
	must(t, err)
	public, err := keys.Public()
	must(t, err)
	s := start(t, bus.ServerOptions{StoreDir: disk, PublicKeys: public, Host: "127.0.0.1", Port: -1})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(ctx) }()
	url := s.ClientURL()
	as := func(id bus.Identity) bus.Connection { return bus.Connection{URL: url, Identity: id, Seed: keys[id]} }
	provisioner, tool := connect(t, as(bus.Provisioner)), connect(t, as(bus.Tool("console")))
	inside := connect(t, bus.Connection{InProcess: s, Identity: bus.Client, Seed: keys[bus.Client]})
	must(t, bus.Provision(t.Context(), provisioner, 1))

	acknowledged := map[uint64]string{}
	n := 0
	store := func() error {
		n++
		text := strconv.Itoa(n)
		seq, err := put(tool, text)
		if err == nil {
			acknowledged[seq] = text
		}
		return err
	}
	for range 2 { // and a second time
		for range 50 {
			must(t, store())
		}
		free := durabletest.Fill(t, disk)
		for deadline := time.Now().Add(waiting); store() == nil; {
			if time.Now().After(deadline) {
				t.Fatal("a full disk takes everything")
			}
		}
		for deadline := time.Now().Add(waiting); s.Writable() == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nobody notices that nothing can be stored")
			}
		}
		if store() == nil {
			t.Error("it stores although it cannot")
		}
		free()
		for deadline := time.Now().Add(waiting); store() != nil; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("there is room again, and nothing can be stored")
			}
		}
	}
	if s.ClientURL() != url {
		t.Errorf("it listens on %s, and clients know %s", s.ClientURL(), url)
	}
	js, err := bus.JetStream(connect(t, as(bus.Evaluator)))
	must(t, err)
	consumer, err := js.Consumer(t.Context(), bus.StreamIntents, string(bus.Evaluator))
	must(t, err)
	batch, err := consumer.FetchNoWait(5000)
	must(t, err)
	found := map[uint64]string{}
	for m := range batch.Messages() {
		at, err := m.Metadata()
		must(t, err)
		found[at.Sequence.Stream] = string(m.Data())
	}
	must(t, batch.Error())
	for seq, text := range acknowledged {
		if found[seq] != text {
			t.Errorf("%d was acknowledged with %q, and is now %q", seq, text, found[seq])
		}
	}
	for deadline := time.Now().Add(waiting); !inside.IsConnected(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("this process's own connection is not restored")
		}
	}
	stop()
	must(t, <-ended)
}

// A server that is started while its disk is full goes on, too, once there is room.
func TestABusThatStartsOnAFullDiskGoesOn(t *testing.T) {
	t.Parallel()
	disk := durabletest.Disk(t, 64)
	keys, err := bus.GenerateKeys("console")
	must(t, err)
	public, err := keys.Public()
	must(t, err)
	o := bus.ServerOptions{StoreDir: disk, PublicKeys: public, Host: "127.0.0.1", Port: -1}
	before, err := embedded.Start(t.Context(), o, nil)
	must(t, err)
	must(t, bus.Provision(t.Context(), connect(t, bus.Connection{InProcess: before, Identity: bus.Provisioner,
		Seed: keys[bus.Provisioner]}), 1))
	before.Shutdown()
	free := durabletest.Fill(t, disk)
	s := start(t, o)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(ctx) }()
	tool := connect(t, bus.Connection{URL: s.ClientURL(), Identity: bus.Tool("console"), Seed: keys[bus.Tool("console")]})
	until := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(waiting); !done(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not come", what)
			}
		}
	}
	until("a refusal", func() bool {
		_, err := put(tool, "while it is full")
		return err != nil && s.Writable() != nil
	})
	free()
	until("an acknowledgement", func() bool {
		_, err := put(tool, "once there is room")
		return err == nil
	})
	stop()
	must(t, <-ended)
}

// One of three servers has a full disk: the other two go on, and it comes back by itself and catches up.
func TestAMemberWhoseDiskWasFullComesBack(t *testing.T) {
	t.Parallel()
	keys, err := bus.GenerateKeys("console")
	must(t, err)
	public, err := keys.Public()
	must(t, err)
	ports, routes := make([]int, 3), make([]string, 3)
	for i := range ports {
		ports[i] = journaltest.FreePort(t)
		routes[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i]))
	}
	disk := durabletest.Disk(t, 64)
	started := make(chan error, 3)
	servers := make([]*embedded.Server, 3)
	for i := range servers {
		o := bus.ServerOptions{Name: "server-" + strconv.Itoa(i), StoreDir: t.TempDir(), PublicKeys: public,
			Host: "127.0.0.1", Port: -1,
			Cluster: &bus.ClusterOptions{Name: "lockbox", Host: "127.0.0.1", Port: ports[i], Routes: routes}}
		if i == 0 {
			o.StoreDir = disk
		}
		go func() {
			var err error
			servers[i], err = embedded.Start(context.Background(), o, nil)
			started <- err
		}()
	}
	for range servers {
		must(t, <-started)
	}
	for _, s := range servers {
		t.Cleanup(s.Shutdown)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- servers[0].Watch(ctx) }()
	others := servers[1].ClientURL() + "," + servers[2].ClientURL()
	provisioner := connect(t, bus.Connection{URL: others, Identity: bus.Provisioner, Seed: keys[bus.Provisioner]})
	tool := connect(t, bus.Connection{URL: others, Identity: bus.Tool("console"), Seed: keys[bus.Tool("console")]})
	must(t, bus.Provision(t.Context(), provisioner, 3))
	awaited := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(waiting); !done(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not come", what)
			}
		}
	}

	free := durabletest.Fill(t, disk)
	last := uint64(0)
	store := func() bool {
		seq, err := put(tool, strconv.FormatUint(last, 10))
		last = max(last, seq)
		return err == nil
	}
	awaited("the end of the full disk's store", func() bool {
		store()
		return servers[0].Writable() != nil
	})
	awaited("a message that the other two store", store)
	free()
	awaited("the third copy", func() bool {
		m, err := provisioner.Request(bus.StreamInfoSubject(bus.StreamIntents), nil, waiting)
		if err != nil {
			return false
		}
		var info struct {
			Cluster struct {
				Replicas []struct {
					Current bool
					Offline bool
				}
			}
		}
		must(t, json.Unmarshal(m.Data, &info))
		current := 0
		for _, r := range info.Cluster.Replicas {
			if r.Current && !r.Offline {
				current++
			}
		}
		return current == 2 && servers[0].Writable() == nil
	})
	awaited("a message that all three store", store)
	stop()
	must(t, <-ended)
}
