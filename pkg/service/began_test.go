package service

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// pinned is a bus with nothing on it, whose writers' keys say that every event is signed.
type pinned struct {
	*testing.T
	bus *journaltest.Bus
	dir string
}

func newBus(t *testing.T) *pinned {
	t.Helper()
	p := &pinned{t, journaltest.Start(t, 1), t.TempDir()}
	maker := writerkeys.Maker{Dir: p.dir, Origin: "log.example/lockbox", Now: time.Now()}
	if err := maker.Begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := maker.Make(bus.Identities()); err != nil {
		t.Fatal(err)
	}
	return p
}

// open starts a service as its configuration says.
func (p *pinned) open(ctx context.Context, id bus.Identity) (*Runtime, error) {
	p.Helper()
	f := &File[greeting]{}
	f.Signing.KeyFile = config.SecretFile(filepath.Join(p.dir, writerkeys.KeyFile(id)))
	f.Signing.DeploymentKeyFile = filepath.Join(p.dir, writerkeys.PublicKeyFile)
	writer, err := f.writer(id)
	if err != nil {
		p.Fatal(err)
	}
	rt, err := Open(ctx, bus.Connection{InProcess: p.bus, Identity: id, Seed: p.bus.Keys[id], Log: zap.NewNop()}, nil,
		observe.NewMetrics().For(string(id)), WithWriter(writer))
	if err == nil {
		p.Cleanup(rt.Close)
	}
	return rt, err
}

// began is the event with which signing begins.
func (p *pinned) began() *lockboxv1.Event {
	p.Helper()
	keys, err := writerkeys.In(p.dir, bus.Orchestrator)
	if err != nil {
		p.Fatal(err)
	}
	certificates, err := keys.Certificates(p.dir)
	if err != nil {
		p.Fatal(err)
	}
	about := aggregate.SigningWriters
	return &lockboxv1.Event{Id: journaltest.NewID(), Tenant: about.Tenant, Kind: about.Kind, AggregateId: about.ID,
		Version: 1, Time: timestamppb.Now(), Fact: &lockboxv1.Event_SigningBegan{SigningBegan: &lockboxv1.SigningBegan{
			DeploymentKey: keys.Deployment.Key, Certificates: certificates}}}
}

// On a new bus the first event is that signing begins. Who else starts meanwhile waits, because what they wrote before
// would be refused for ever.
func TestOnANewBusNobodyWritesBeforeSigningBegan(t *testing.T) {
	t.Parallel()
	p := newBus(t)
	waiting := make(chan error, 1)
	go func() {
		_, err := p.open(t.Context(), bus.Evaluator)
		waiting <- err
	}()
	orch, err := p.open(t.Context(), bus.Orchestrator)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-waiting:
		t.Fatalf("the evaluator did not wait: %v", err)
	case <-time.After(2 * awayPause):
	}
	if _, err := orch.Journal.Append(t.Context(), 0, p.began()); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Error(err)
	}
	if _, err := p.open(t.Context(), bus.Notifier); err != nil { // from now on
		t.Error(err)
	}
}

// Whoever runs the bus puts a stream in the place of this one that says nothing of signing, for example a backup with
// more in it: nobody starts on it, and nobody begins to sign after what is in it.
func TestAStreamThatDoesNotSayWhenSigningBeganIsRefused(t *testing.T) {
	t.Parallel()
	forged := func() *lockboxv1.Event {
		return journaltest.Event(aggregate.Ticket(journaltest.NewTenant(), journaltest.NewID()), 1)
	}
	for name, put := range map[string]func(p *pinned, j *journal.Journal){
		"events that nobody signed": func(p *pinned, j *journal.Journal) { p.append(j, 0, forged()) },
		"signing begins after them": func(p *pinned, j *journal.Journal) {
			p.append(j, 0, forged())
			keys, err := writerkeys.In(p.dir, bus.Orchestrator)
			if err != nil {
				p.Fatal(err)
			}
			p.append(p.bus.Journal(p, bus.Orchestrator, journal.WithSigner(keys.Signer)), 0, p.began())
		},
		"that signing began is signed by nobody": func(p *pinned, j *journal.Journal) { p.append(j, 0, p.began()) },
		"it ends before":                         func(p *pinned, _ *journal.Journal) { repin(p, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newBus(t)
			put(p, p.bus.Journal(t, bus.Orchestrator))
			for _, id := range []bus.Identity{bus.Orchestrator, bus.Evaluator, bus.Notifier, bus.Projector} {
				_, err := p.open(t.Context(), id)
				r, _ := refusal.As(err)
				if r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION || r.GetField() != "signing.began_at" {
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
}

func (p *pinned) append(j *journal.Journal, after uint64, e *lockboxv1.Event) {
	p.Helper()
	if _, err := j.Append(context.Background(), after, e); err != nil {
		p.Fatal(err)
	}
}

// repin has the keys say that signing began with another event.
func repin(p *pinned, began uint64) {
	p.Helper()
	file := filepath.Join(p.dir, writerkeys.PublicKeyFile)
	d, err := writerkeys.ReadDeployment(file)
	if err == nil {
		err = os.WriteFile(file, []byte(d.Key+"\n"), 0o600)
	}
	if err == nil {
		err = writerkeys.Pin(file, began)
	}
	if err != nil {
		p.Fatal(err)
	}
}

// A service that signs under a pinned beginning takes nothing for an event that nobody signed.
func TestWhatIsPinnedIsInTheKeyring(t *testing.T) {
	t.Parallel()
	p := newBus(t)
	orch, err := p.open(t.Context(), bus.Orchestrator)
	if err != nil {
		t.Fatal(err)
	}
	p.append(orch.Journal, 0, p.began())
	about := aggregate.Ticket(journaltest.NewTenant(), journaltest.NewID())
	p.append(p.bus.Journal(t, bus.Orchestrator), 0, journaltest.Event(about, 1))
	if _, err := orch.Journal.LoadAtLeader(t.Context(), about); err == nil {
		t.Error("an unsigned event was loaded")
	}
	if began := orch.Keyring.Began(); began != 1 {
		t.Errorf("signing began with event %d", began)
	}
}
