package orchestrator

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/signed/signedtest"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// waiting is how many requests wait for the customer when an approver loses the role.
const waiting = 400

// scene is a bus with customers whose events were decided by the product's own rules, and an orchestrator.
type scene struct {
	*testing.T
	bus       *journaltest.Bus
	writer    *journal.Journal
	evaluator *journal.Journal
	*orchestrator
	nc *nats.Conn
}

var (
	ona  = story.Provider("ona", aggregate.Onboarding)
	erin = story.Provider("erin")
	gina = story.Customer("contoso", "gina")
	otto = story.Customer("contoso", "otto")
)

func newScene(t *testing.T) *scene { return newSceneOf(t, nil) }

// newSceneOf is newScene in a deployment whose writers sign; nil: they do not.
func newSceneOf(t *testing.T, d *signedtest.Deployment) *scene {
	t.Helper()
	b := journaltest.Start(t, 1)
	nc := b.Connect(t, bus.Orchestrator)
	log := zaptest.NewLogger(t, zaptest.Level(zapcore.ErrorLevel))
	options := func(aggregate.Writer) []journal.Option { return nil }
	var keys *signed.Keyring
	if d != nil {
		keys = d.Keyring()
		options = func(w aggregate.Writer) []journal.Option { return []journal.Option{journal.WithSigner(d.Writer(w))} }
		began := d.Began(journaltest.NewID(), time.Now())
		signer := b.Journal(t, bus.Orchestrator, options(aggregate.Orchestrator)...)
		if _, err := signer.Append(t.Context(), 0, began); err != nil {
			t.Fatal(err)
		}
	}
	own := append(options(aggregate.Orchestrator), journal.WithLog(log))
	if keys != nil {
		own = append(own, journal.WithKeyring(keys))
	}
	j, err := journal.Open(t.Context(), nc, own...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	rt := &service.Runtime{
		Connected: service.Connected{Identity: bus.Orchestrator, Conn: nc, Keyring: keys, Log: log, Now: time.Now},
		Journal:   j, Clock: new(bus.Clock),
	}
	if err := rt.Clock.Watch(t.Context(), nc); err != nil {
		t.Fatal(err)
	}
	return &scene{
		T: t, bus: b, writer: b.Journal(t, bus.Orchestrator, options(aggregate.Orchestrator)...),
		evaluator: b.Journal(t, bus.Evaluator, options(aggregate.Evaluator)...), nc: nc,
		orchestrator: newOrchestrator(rt, Config{Terms: request.DefaultTerms()}),
	}
}

// must decides a command and writes what became true.
func (s *scene) must(states repository.States, by *lockboxv1.Actor, c *lockboxv1.Command) *lockboxv1.Event {
	s.Helper()
	c.Id = journaltest.NewID()
	e, err := states.Decide(aggregate.Command{Command: c, By: by}, tenant.Limits{}, time.Now())
	if err != nil {
		s.Fatal(err)
	}
	s.write(s.writer, states, e.Event)
	return e.Event
}

func (s *scene) write(j *journal.Journal, states repository.States, e *lockboxv1.Event) {
	s.Helper()
	if err := repository.Identify(e); err != nil {
		s.Fatal(err)
	}
	if _, err := repository.New(j).Append(s.Context(), states, repository.Decided{Event: e}); err != nil {
		s.Fatal(err)
	}
}

// production is the id of a customer's subscription.
func production(tenantID string) string { return tenantID + "-prod" }

// customer is a tenant with Lockbox on, one subscription, and otto as its only approver besides the administrator.
func (s *scene) customer(id string) repository.States {
	s.Helper()
	states := repository.States{}
	s.must(states, ona, &lockboxv1.Command{Tenant: id,
		Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
			DisplayName: id, Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_PREMIER, DefaultLanguage: "en",
			Issuer:        &lockboxv1.TenantIssuer{Url: gina.GetPerson().GetIssuer(), Audience: "lockbox"},
			Administrator: gina.GetPerson(),
		}}})
	s.must(states, gina, &lockboxv1.Command{Tenant: id,
		Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}})
	s.must(states, ona, &lockboxv1.Command{Tenant: id, AggregateId: production(id),
		Action: &lockboxv1.Command_RegisterSubscription{
			RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: "Production"},
		}})
	follow, err := s.process.Perform(states, aggregate.Ownership(production(id)), "", time.Now())
	if err != nil {
		s.Fatal(err)
	}
	s.write(s.writer, states, follow.Event)
	owns := story.Assign("otto-owner", otto, lockboxv1.Role_ROLE_OWNER,
		lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION)
	owns.Tenant, owns.AggregateId = id, production(id)
	s.must(states, gina, owns)
	return states
}

// evaluated is a request that is about to be put to the customer.
func (s *scene) evaluated(of repository.States, tenantID string) (aggregate.Key, repository.States) {
	s.Helper()
	now := time.Now()
	intent := story.Dump(tenantID, production(tenantID), "vm")
	intent.Id = journaltest.NewID()
	key := aggregate.Request(tenantID, intent.GetId())
	states := maps.Clone(of)
	submission, err := request.Receive(intent, journaltest.Tool, 1, now)
	if err != nil {
		s.Fatal(err)
	}
	submission.By = erin
	e, _, err := request.Submit(request.State{}, submission, request.DefaultTerms(), now)
	if err != nil {
		s.Fatal(err)
	}
	s.write(s.evaluator, states, e)
	verdict := &lockboxv1.AccessEvaluated{
		Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES, Duration: durationpb.New(time.Hour),
	}
	if e, _, err = request.RecordEvaluation(states.Request(key), verdict, story.System("jit-evaluator"), now); err != nil {
		s.Fatal(err)
	}
	s.write(s.evaluator, states, e)
	return key, states
}

// loses has the customer's only approver lose the role while many requests wait.
func (s *scene) loses(tenantID string) *lockboxv1.Event {
	s.Helper()
	states := s.customer(tenantID)
	g, ctx := errgroup.WithContext(s.Context())
	g.SetLimit(64)
	for range waiting {
		g.Go(func() error {
			key, states := s.evaluated(states, tenantID)
			e, err := s.process.Perform(states, key, "", time.Now())
			if err != nil || e.GetCustomerNotified() == nil {
				return fmt.Errorf("not notified: %v, %w", e, err)
			}
			s.write(s.writer, states, e.Event)
			due, _ := states.NextDue(key)
			return s.writer.SetTimer(ctx, key, due)
		})
	}
	if err := g.Wait(); err != nil {
		s.Fatal(err)
	}
	return s.must(states, gina, &lockboxv1.Command{Tenant: tenantID, AggregateId: production(tenantID),
		Action: &lockboxv1.Command_RemoveRole{
			RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "otto-owner"},
		}})
}

// unavailable lists the sequences at which it was recorded that nobody can decide.
func (s *scene) unavailable(tenantID string) (at []uint64) {
	s.Helper()
	replay := journal.Replay{Tenant: tenantID, Type: "ApproversUnavailable"}
	err := s.bus.Journal(s.T, bus.Compliance).Replay(s.Context(), replay, func(e journal.Entry) error {
		at = append(at, e.Seq)
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return at
}

// A role that is lost while many requests wait costs one question for many of them, not several for each (R23).
func TestALostRoleAsksAboutManyRequestsAtOnce(t *testing.T) {
	s := newScene(t)
	removed := s.loses("contoso")
	before := s.nc.Stats().OutMsgs
	if err := s.checkOpen(t.Context(), "contoso", removed.GetId()); err != nil {
		t.Fatal(err)
	}
	// Two questions for each part, a page of timers, and what was written.
	parts := uint64(waiting/requestsAtOnce + 1)
	if sent, most := s.nc.Stats().OutMsgs-before, waiting+2*parts+10; sent > most {
		t.Errorf("%d messages were sent, not at most %d", sent, most)
	}
	if at := s.unavailable("contoso"); len(at) != waiting {
		t.Errorf("%d of %d requests say that nobody can decide", len(at), waiting)
	}
	if err := s.checkOpen(t.Context(), "contoso", removed.GetId()); err != nil {
		t.Fatal(err)
	}
	if at := s.unavailable("contoso"); len(at) != waiting {
		t.Errorf("after a second look: %d of %d", len(at), waiting)
	}
}

// A timer that fires is looked up at the leader: another copy may have gone on since this one looked last.
func TestATimerIsNotJudgedByWhatIsRemembered(t *testing.T) {
	s := newScene(t)
	s.process.Terms.CustomerApproval, s.process.Terms.RemindBefore = 50*time.Millisecond, nil
	key, states := s.evaluated(s.customer("contoso"), "contoso")
	entries, err := s.writer.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	s.repository.Saw(entries[0].Seq, entries[0].Event) // it was not evaluated yet, so nothing was owed
	notified, err := s.process.Perform(states, key, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.write(s.writer, states, notified.Event)
	due, _ := states.NextDue(key)
	time.Sleep(time.Until(due))
	if err := s.settle(t.Context(), key, 0, ""); err != nil {
		t.Fatal(err)
	}
	now, err := repository.New(s.writer).Basis(t.Context(), key)
	if r := now.Request(key); err != nil || r.Status != request.Expired {
		t.Errorf("%v, %v", r.Status, err)
	}
}

// A role that ends by itself is told of when it ends, by a timer of its subscription (R33).
func TestR33ARoleThatEndsIsToldOf(t *testing.T) {
	s := newScene(t)
	states := s.customer("contoso")
	ctx, stop := context.WithCancel(t.Context())
	following, ctx := errgroup.WithContext(ctx)
	following.Go(func() error { return s.followEvents(ctx) })
	following.Go(func() error { return s.followTimers(ctx) })
	brief := story.Assign("brief", otto, lockboxv1.Role_ROLE_LOCKBOX_APPROVER,
		lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION)
	brief.Tenant, brief.AggregateId = "contoso", production("contoso")
	end := time.Now().Add(300 * time.Millisecond)
	brief.GetAssignRole().GetAssignment().ExpiresAt = timestamppb.New(end)
	s.must(states, gina, brief)
	replay := journal.Replay{Tenant: "contoso", Type: "RoleEnded"}
	var told []journal.Entry
	for limit := time.Now().Add(time.Minute); len(told) == 0 && time.Now().Before(limit); {
		if err := s.bus.Journal(t, bus.Compliance).Replay(t.Context(), replay, func(e journal.Entry) error {
			told = append(told, e)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := following.Wait(); err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0].Event.GetRoleEnded().GetAssignmentId() != "brief" ||
		told[0].Event.GetTime().AsTime().Before(end) {
		t.Errorf("told of %v", told)
	}
}

// Nor do others wait while that is looked at.
func TestALostRoleHoldsNobodyElseUp(t *testing.T) {
	s := newScene(t)
	s.loses("contoso")
	other := s.customer("fabrikam")
	key, _ := s.evaluated(other, "fabrikam")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.followEvents(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	look := repository.New(s.bus.Journal(t, bus.Compliance))
	notified := uint64(0)
	for end := time.Now().Add(time.Minute); notified == 0; time.Sleep(5 * time.Millisecond) {
		states, err := look.Basis(t.Context(), key)
		if err != nil || time.Now().After(end) {
			t.Fatalf("%v, %v", states.Request(key).Status, err)
		}
		if r := states.Request(key); r.Status == request.CustomerNotified {
			notified = r.Sequence
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		at := s.unavailable("contoso")
		if len(at) == waiting {
			if last := at[len(at)-1]; notified > last {
				t.Errorf("fabrikam was asked at %d, after all of contoso's requests, the last at %d", notified, last)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d requests say that nobody can decide", len(at), waiting)
		}
	}
}
