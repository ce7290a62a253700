package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/devca"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// guarded renews the lease until the test ends, as the audit-projector does.
func guarded(t *testing.T, b *journaltest.Bus) {
	t.Helper()
	nc := b.Connect(t, bus.Projector)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			_ = lease.Renew(nc, nil, 0, time.Now()) // without it, the test fails
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
}

func TestABusWithNothingOnItIsWell(t *testing.T) {
	t.Parallel()
	b := journaltest.Start(t, 1)
	guarded(t, b)
	e := onBus(t, b)
	e.hearing = time.Minute
	found := e.examined(t)
	for _, id := range []string{"reach", "rights", "streams", "replicas", "consumers", "clock", "lease", "checkpoint",
		"lag", "deadlines", "dead-letters", "key-store"} {
		if found[id].State != render.OK {
			t.Errorf("%s: %+v", id, found[id].Findings)
		}
	}
	expects(t, found["rights"], render.OK, "12 keys, of which none can do more")
	e.Thorough = true
	expects(t, e.examined(t)["rights"], render.OK, "each can do what it may and nothing else, as [0-9]{4} trials show")
	expects(t, found["backup"], render.NotChecked, "nothing makes backups of the streams yet")
	expects(t, found["customers"], render.NotChecked, "no customers yet")
}

// The certificate that counts is what the servers show.
func TestTheCertificateOfABusThatRuns(t *testing.T) {
	t.Parallel()
	keys, err := bus.GenerateKeys()
	must(t, err)
	dir := keysOf(t, keys)
	_, err = devca.Create(dir, nil, time.Now())
	must(t, err)
	public, err := keys.Public()
	must(t, err)
	s, err := embedded.Start(t.Context(), bus.ServerOptions{StoreDir: t.TempDir(), PublicKeys: public, Host: "127.0.0.1",
		Port: -1, TLS: bus.TLSIn(dir)}, nil)
	must(t, err)
	t.Cleanup(s.Shutdown)
	e := patient(Options{URL: s.ClientURL(), CA: filepath.Join(dir, bus.CAFile), Keys: dir})
	found := e.examined(t)
	expects(t, found["reach"], render.OK, "the certificate that it shows is good for 36[45] days")
	expects(t, found["certificates"], render.OK, "tls.crt is good for 36")
	e.Now = func() time.Time { return time.Now().Add(360 * 24 * time.Hour) }
	cured(t, e.examined(t)["reach"], render.Warning, "that it shows expires in [45] days", "lockbox bus init")
	e.CA = write(t, filepath.Join(t.TempDir(), "ca.crt"), "x", 0o600)
	cured(t, e.examined(t)["reach"], render.Failed, "holds no certificate", "--ca")
}

// Each row spoils a bus of its own and says what is found.
func TestWhatIsWrongOnTheBus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil      func(t *testing.T, b *journaltest.Bus, e *exam)
		check      string
		state      render.State
		says, cure string
	}{
		"another's key": {func(t *testing.T, b *journaltest.Bus, e *exam) {
			write(t, filepath.Join(e.Keys, "notifier.nk"), string(b.Keys[bus.Portal]), 0o600)
		}, "rights", render.Failed, "it is another identity's", "notifier.pub"},
		"a key that the bus does not know": {func(t *testing.T, _ *journaltest.Bus, e *exam) {
			seed, err := bus.NewSeed()
			must(t, err)
			write(t, filepath.Join(e.Keys, "notifier.nk"), string(seed), 0o600)
		}, "rights", render.Failed, "notifier.nk: the bus does not know it", "notifier.pub"},
		"a consumer that was changed": {func(t *testing.T, b *journaltest.Bus, _ *exam) {
			js, err := bus.JetStream(b.Connect(t, bus.Provisioner))
			must(t, err)
			consumer, err := js.Consumer(t.Context(), bus.StreamEvents, bus.DurableNotifier)
			must(t, err)
			config := consumer.CachedInfo().Config
			config.MaxAckPending = 7
			_, err = js.UpdateConsumer(t.Context(), bus.StreamEvents, config)
			must(t, err)
		}, "consumers", render.Failed, "EVENTS/notifier exists with MaxAckPending = 7", "lockbox provision"},
		"a reader that is gone": {func(t *testing.T, b *journaltest.Bus, _ *exam) {
			js, err := bus.JetStream(b.Connect(t, bus.Provisioner))
			must(t, err)
			must(t, js.DeleteConsumer(t.Context(), bus.StreamEvents, bus.CopyReaders(bus.Projector)[0]))
		}, "consumers", render.Failed, "no reader", "lockbox provision"},
		"a clock that is ahead": {func(_ *testing.T, _ *journaltest.Bus, e *exam) {
			e.Now = func() time.Time { return time.Now().Add(time.Minute) }
		}, "clock", render.Failed, "clock is (59|1m).* ahead of the bus; services", "chrony"},
		"a clock that is behind": {func(_ *testing.T, _ *journaltest.Bus, e *exam) {
			e.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		}, "clock", render.Failed, "(59|60) minutes behind the bus", "chrony"},
		"no guard": {func(*testing.T, *journaltest.Bus, *exam) {}, "lease", render.Failed, "no access is granted",
			"audit-projector"},
		"a dead letter": {func(t *testing.T, b *journaltest.Bus, _ *exam) {
			must(t, b.Journal(t, bus.Evaluator).PublishDeadLetter(t.Context(), journaltest.Tool, &lockboxv1.DeadLetter{
				Service: "jit-evaluator", Subject: "lockbox.intent.console.meadowbank", Sequence: 9, Data: []byte("garbage"),
				Refusal: refusal.Of(refusal.Invalid("intent", "bad input", "cannot be read")),
			}))
		}, "dead-letters", render.Warning, "1 message could not be understood", "lockbox audit dead-letters"},
		"an event that no checkpoint covers": {func(t *testing.T, b *journaltest.Bus, e *exam) {
			record(t, b, journaltest.Event(aggregate.Tenant("meadowbank"), 1))
			e.Now = func() time.Time { return time.Now().Add(3 * time.Minute) }
		}, "checkpoint", render.Failed, "event 1 has been there for (2|3) minutes, and no checkpoint", "audit-projector"},
		"an event that is new": {func(t *testing.T, b *journaltest.Bus, e *exam) {
			record(t, b, journaltest.Event(aggregate.Tenant("meadowbank"), 1))
			began := time.Now()
			e.Now = func() time.Time { return began }
		}, "checkpoint", render.OK, "the next is due", ""},
		"events that nobody takes": {func(t *testing.T, b *journaltest.Bus, _ *exam) {
			record(t, b, journaltest.Event(aggregate.Tenant("meadowbank"), 1))
		}, "lag", render.Failed, "1 message waits of EVENTS for notifier", "see whether the service runs"},
		"a deadline that nobody sees": {func(t *testing.T, b *journaltest.Bus, e *exam) {
			must(t, b.Journal(t, bus.Orchestrator).SetTimer(t.Context(), aggregate.Tenant("meadowbank"), time.Now()))
			within(t, func() bool { return e.examined(t)["deadlines"].State != render.OK })
		}, "deadlines", render.Failed, "1 deadline is over", "lockbox-orchestrator"},
		"a customer of whom nobody can approve": {func(t *testing.T, b *journaltest.Bus, e *exam) {
			customer(t, b, time.Now().Add(time.Hour))
			e.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		}, "customers", render.Failed, "meadowbank has nobody who can approve", "lockbox tenant approvers"},
		"a customer with an administrator": {func(t *testing.T, b *journaltest.Bus, _ *exam) {
			customer(t, b, time.Now().Add(time.Hour))
		}, "customers", render.OK, "1 customer, each with people who can approve", ""},
		"a customer of whom nothing can be true": {func(t *testing.T, b *journaltest.Bus, _ *exam) {
			record(t, b, journaltest.Event(aggregate.Tenant("meadowbank"), 1))
		}, "customers", render.Failed, "what is recorded of it cannot be true", "lockbox audit verify"},
		"fewer copies than there have to be": {func(_ *testing.T, _ *journaltest.Bus, e *exam) {
			e.Replicas = 3
		}, "streams", render.Failed, "EVENTS exists with Replicas = 1; it must be 3", "nothing here changes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := journaltest.Start(t, 1)
			e := onBus(t, b)
			c.spoil(t, b, e)
			cured(t, e.examined(t)[c.check], c.state, c.says, c.cure)
		})
	}
}

func within(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within two minutes")
		}
	}
}

// record appends events of one aggregate, without asking whether they can be true.
func record(t *testing.T, b *journaltest.Bus, events ...*lockboxv1.Event) {
	t.Helper()
	j, after := b.Journal(t, bus.Orchestrator), uint64(0)
	for i, e := range events {
		e.Version = uint64(i) + 1
		var err error
		after, err = j.Append(t.Context(), after, e)
		must(t, err)
	}
}

// customer records a customer whose only administrator's role ends.
func customer(t *testing.T, b *journaltest.Bus, until time.Time) {
	t.Helper()
	meadowbank, now := aggregate.Tenant("meadowbank"), time.Now()
	grace := &lockboxv1.Person{Issuer: "https://login.meadowbank.example", Subject: "grace",
		Email: "grace@meadowbank.example"}
	created, enabled := journaltest.Event(meadowbank, 1), journaltest.Event(meadowbank, 2)
	created.Actor = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Groups: []string{aggregate.Onboarding},
		Person: &lockboxv1.Person{Issuer: "https://login.nimbus.example", Subject: "olga"}}
	created.Fact = &lockboxv1.Event_TenantCreated{TenantCreated: &lockboxv1.TenantCreated{
		DisplayName: "Meadow Bank", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_DEVELOPER,
		Issuer: &lockboxv1.TenantIssuer{Url: grace.GetIssuer(), Audience: "lockbox"},
		Administrator: &lockboxv1.RoleAssignment{
			Id: "first", Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, Person: grace, ExpiresAt: timestamppb.New(until),
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT,
		},
	}}
	enabled.Actor = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: grace}
	enabled.Fact = &lockboxv1.Event_LockboxEnabled{LockboxEnabled: &lockboxv1.LockboxEnabled{}}
	created.Time, enabled.Time = timestamppb.New(now), timestamppb.New(now)
	record(t, b, created, enabled)
}

// A bus on which nothing was made, and one on which something else was made.
func TestStreamsThatAreOthersThanTheyHaveToBe(t *testing.T) {
	t.Parallel()
	b := journaltest.New(t, 1)
	e := onBus(t, b)
	found := e.examined(t)
	cured(t, found["streams"], render.Failed, "there is no stream EVENTS", "lockbox provision")
	cured(t, found["consumers"], render.Failed, "INTENTS has no consumer jit-evaluator", "lockbox provision")
	js, err := bus.JetStream(b.Connect(t, bus.Provisioner))
	must(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: bus.StreamDeadLetter, MaxAge: time.Hour,
		Subjects: []string{bus.DeadLetters}})
	must(t, err)
	cured(t, e.examined(t)["streams"], render.Failed, "DEADLETTER exists with", "find out who changed it")
}

// What the servers really permit is for pkg/bus to try; here is what is said of it.
func TestWhatIsSaidOfRights(t *testing.T) {
	t.Parallel()
	trials := []bus.Trial{
		{Use: bus.Publishes, Subject: "a", May: true, Could: true}, {Use: bus.Publishes, Subject: "b"},
		{Use: bus.Publishes, Subject: "delete.1", Could: true}, {Use: bus.Hears, Subject: "inbox", Could: true},
		{Use: bus.Publishes, Subject: "delete.2", Could: true}, {Use: bus.Publishes, Subject: "delete.3", Could: true},
		{Use: bus.Publishes, Subject: "outcome", May: true},
	}
	c := render.Check{ID: "rights", Findings: judge(bus.Notifier, trials)}
	cured(t, c, render.Failed, "can do 4 things that it may not: publish delete.1, hear inbox, publish delete.2 …",
		"treat it as stolen")
	cured(t, c, render.Failed, `notifier cannot do 1 thing that it may: publish outcome`, "--print-config")
	if found := judge(bus.Notifier, trials[:2]); found != nil {
		t.Errorf("of a key that is right: %v", found)
	}
}

func TestWhatIsSaidOfReplicas(t *testing.T) {
	t.Parallel()
	c := render.Check{ID: "replicas", Findings: servers("EVENTS", 3, &jetstream.ClusterInfo{Leader: "a",
		Replicas: []*jetstream.PeerInfo{{Name: "b", Current: true}, {Name: "c", Lag: 7}}})}
	cured(t, c, render.Warning, "the copy of EVENTS on c is behind by 7", "stop no other server")
	c.Findings = servers("EVENTS", 3, &jetstream.ClusterInfo{Leader: "a",
		Replicas: []*jetstream.PeerInfo{{Name: "b", Current: true}, {Name: "c", Offline: true}}})
	cured(t, c, render.Failed, "on c is away", "start the server")
	c.Findings = servers("EVENTS", 3, &jetstream.ClusterInfo{Leader: "a"})
	cured(t, c, render.Failed, "EVENTS has 1 of 3 copies", "start the servers")
	c.Findings = servers("EVENTS", 3, &jetstream.ClusterInfo{})
	cured(t, c, render.Failed, "no leader", "more than half")
	reader := func(name, at string) bus.ConsumerState {
		return bus.ConsumerState{Name: name, Info: &jetstream.ConsumerInfo{Cluster: &jetstream.ClusterInfo{Leader: at}}}
	}
	events := &jetstream.StreamInfo{Cluster: &jetstream.ClusterInfo{Leader: "a",
		Replicas: []*jetstream.PeerInfo{{Name: "b"}}}}
	i := bus.Inspection{Streams: []bus.StreamState{{Name: bus.StreamEvents, Info: events}},
		Readers: []bus.ConsumerState{reader("r-0", "a"), reader("r-1", "a")}}
	c.Findings = readers(i)
	cured(t, c, render.Failed, "r-0 and r-1 both read the copy on a", "lockbox provision")
	cured(t, c, render.Failed, "nothing reads the copy of events on b", "lockbox provision")
}

// Nothing is read of a directory that is not there.
func TestKeysInADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if Operates(dir) || Operates("") || Operates(filepath.Join(dir, "none")) {
		t.Error("whoever has no key operates something")
	}
	must(t, os.Mkdir(filepath.Join(dir, "notifier"), 0o700))
	for _, c := range []struct {
		name           string
		asks, operates bool
	}{{"tool-console.nk", false, false}, {"client@laptop.nk", true, false}, {"notifier/notifier.nk", true, true}} {
		must(t, os.WriteFile(filepath.Join(dir, c.name), nil, 0o600))
		if Asks(dir) != c.asks || Operates(dir) != c.operates {
			t.Errorf("with %s it is %v, %v", c.name, Asks(dir), Operates(dir))
		}
	}
	if keys := keysIn(dir); len(keys) != 3 || keys[2].File != filepath.Join(dir, "notifier", "notifier.nk") {
		t.Errorf("%+v", keys)
	}
}

// In a cluster, each copy counts, and each server's.
func TestACopyThatIsAway(t *testing.T) {
	t.Parallel()
	b := journaltest.Start(t, 3)
	e := onBus(t, b)
	e.Replicas = 3
	within(t, func() bool { return e.examined(t)["replicas"].State == render.OK })
	found := e.examined(t)
	expects(t, found["replicas"], render.OK, "3 copies of each stream, all of them current")
	expects(t, found["streams"], render.OK, "7 streams")
	expects(t, found["consumers"], render.OK, "3 readers")
	b.StopServer(2)
	within(t, func() bool {
		c := e.examined(t)["replicas"]
		return c.State == render.Failed && strings.Contains(fmt.Sprint(c.Findings), "on n2 is away")
	})
}
