package projector_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/devissuer"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	projector "github.com/openlockbox/lockbox/services/audit-projector"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/story"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"
)

// world is the service on a bus of its own, under the real rights.
type world struct {
	t      testing.TB
	bus    *journaltest.Bus
	issuer *devissuer.Issuer
	story  *story.Story
	client *nats.Conn
	stored int
	// Each event type has one writer.
	writers map[string]*journal.Journal
}

func newWorld(t testing.TB) *world {
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir()})
	must(t, err)
	w := &world{t: t, bus: journaltest.Start(t, 1), issuer: issuer, story: story.New(time.Now().UTC())}
	w.client = w.bus.Connect(t, bus.Client)
	w.writers = map[string]*journal.Journal{
		"jit-evaluator": w.bus.Journal(t, bus.Evaluator), "lockbox-orchestrator": w.bus.Journal(t, bus.Orchestrator), "notifier": w.bus.Journal(t, bus.Notifier),
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) actor(name string) *lockboxv1.Actor {
	p, _ := devissuer.Find(name)
	side := lockboxv1.Side_SIDE_PROVIDER
	if p.Tenant != "" {
		side = lockboxv1.Side_SIDE_TENANT
	}
	return &lockboxv1.Actor{Side: side, Person: w.issuer.Person(name), Employer: p.Employer, Groups: p.Groups, MultiFactor: true}
}

// store appends what the story has told since, and returns the last sequence.
func (w *world) store() (last uint64) {
	w.t.Helper()
	after := map[bus.Aggregate]uint64{}
	for _, e := range w.story.Entries[:w.stored] {
		after[bus.AggregateOf(e.Event)] = e.Seq
	}
	for _, e := range w.story.Entries[w.stored:] {
		var err error
		about := bus.AggregateOf(e.Event)
		switch {
		case about.Kind == bus.KindDelivery:
			last, _, err = w.writers["notifier"].Report(w.t.Context(), e.Event)
		case e.Event.GetAccessRequested() != nil || e.Event.GetAccessEvaluated() != nil:
			last, err = w.writers["jit-evaluator"].Append(w.t.Context(), after[about], e.Event)
		default:
			last, err = w.writers["lockbox-orchestrator"].Append(w.t.Context(), after[about], e.Event)
		}
		must(w.t, err)
		after[about] = last
	}
	w.stored = len(w.story.Entries)
	return last
}

// run runs the service until the returned function is called.
func (w *world) run(dir string) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	rt, err := service.Open(ctx, bus.Connection{
		InProcess: w.bus, Identity: bus.Projector, Seed: w.bus.Keys[bus.Projector], Log: zaptest.NewLogger(w.t),
	}, []identity.Issuer{w.issuer.ProviderIssuer()}, nil)
	must(w.t, err)
	ended := make(chan error, 1)
	go func() { ended <- projector.Run(ctx, rt, projector.Config{Dir: dir}) }()
	return func() {
		w.t.Helper()
		cancel()
		must(w.t, <-ended)
		rt.Close()
	}
}

// ask asks as a client does: again for as long as nobody listens.
func (w *world) ask(who string, q *lockboxv1.Query) *lockboxv1.QueryReply {
	w.t.Helper()
	token, err := w.issuer.Token(who, time.Now())
	must(w.t, err)
	q.Token = token
	data, err := proto.Marshal(q)
	must(w.t, err)
	for giveUp := time.Now().Add(20 * time.Second); ; {
		m, err := w.client.Request(bus.QuerySubject(bus.QueryName(q)), data, 10*time.Second)
		if err == nil {
			reply := new(lockboxv1.QueryReply)
			must(w.t, proto.Unmarshal(m.Data, reply))
			return reply
		}
		if time.Now().After(giveUp) {
			w.t.Fatal(err)
		}
	}
}

func TestOnTheBus(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	const bank = devissuer.TenantBank
	w.story.Create(bank, "Meadow Bank", w.issuer.TenantIssuer(bank), w.actor("grace"))
	w.story.Subscription(w.actor("grace"), bank, "prod", "Production")
	id := w.story.Submit(w.actor("erin"), story.Dump(bank, "prod", "vm1"))
	w.story.Mail(bank, id, "grace@meadowbank.example")
	w.store()
	stop := w.run(dir)
	get := &lockboxv1.Query{Tenant: bank, Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}}
	if got := w.ask("grace", get).GetRequest(); got.GetStatus() != lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED || len(got.GetTimeline()) != 4 {
		t.Fatalf("at first: %v", got)
	}
	// Whoever shows it hears that there is something new, and nothing more.
	portal := w.bus.Connect(t, bus.Portal)
	hints, err := portal.SubscribeSync(bus.AnyChanged)
	must(t, err)
	must(t, portal.Flush())

	// People read their own writes.
	w.story.Command(w.actor("grace"), story.Approve(bank, id))
	get.MinSequence = w.store()
	if got := w.ask("grace", get); got.GetRequest().GetStatus() != lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE || got.GetSequence() < get.GetMinSequence() {
		t.Fatalf("after the approval: %v", got)
	}
	hint, err := hints.NextMsg(10 * time.Second)
	must(t, err)
	if tenant, err := bus.ParseChangedSubject(hint.Subject); err != nil || tenant != bank || len(hint.Data) != 0 {
		t.Errorf("hint %s %q, %v", hint.Subject, hint.Data, err)
	}
	if got := w.ask("hana", get).GetRefusal().GetCode(); got != lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED {
		t.Errorf("a token of a tenant that does not exist: %v", got)
	}
	stop()

	// What was stored while it was down is there when it answers again, from the old file or from a new one.
	other := w.story.Submit(w.actor("erin"), story.Dump(bank, "prod", "vm2"))
	w.store()
	for _, d := range []string{dir, t.TempDir()} {
		stop := w.run(d)
		list := &lockboxv1.Query{Tenant: bank, Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{}}}
		got := w.ask("grace", list)
		if rs := got.GetRequests().GetRequests(); len(rs) != 2 || rs[0].GetRequestId() != other || rs[1].GetRequestId() != id || got.GetSequence() != uint64(w.stored) {
			t.Errorf("after a restart: %v", got)
		}
		stop()
	}
}

func TestAConfigurationWithoutADirectory(t *testing.T) {
	if err := projector.Run(t.Context(), &service.Runtime{}, projector.Config{}); err == nil {
		t.Error("it runs")
	}
}

// BenchmarkRebuildFromTheBus reads, decodes and writes everything, until the first answer.
func BenchmarkRebuildFromTheBus(b *testing.B) {
	w := newWorld(b)
	w.story = story.Crowd(5000)
	w.store()
	b.ResetTimer()
	for range b.N {
		stop := w.run(b.TempDir())
		w.ask("olga", &lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{}}})
		stop()
	}
	b.ReportMetric(float64(b.N*w.stored)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(w.stored), "events")
}
