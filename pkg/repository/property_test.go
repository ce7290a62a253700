package repository_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"
)

// copies are repositories that write about the same aggregates and remember what each has seen of them, and journals
// whose writers remember nothing.
type copies struct {
	*rapid.T
	repositories []*repository.Repository
	writer       *journal.Journal
	evaluator    *journal.Journal
	process      repository.Process
	tenant       string
	about        aggregate.Key
	keys         []aggregate.Key
	ids          func() string
}

// What a repository remembers is what the stored events give, whoever wrote them and in whatever order it heard of
// them.
func TestWhatIsRememberedIsWhatTheEventsGive(t *testing.T) {
	t.Parallel()
	b := shared.Bus(t)
	writer, evaluator := b.Journal(t, bus.Orchestrator), b.Journal(t, bus.Evaluator)
	rapid.Check(t, func(t *rapid.T) {
		c := &copies{T: t, writer: writer, evaluator: evaluator, tenant: journaltest.NewTenant(), ids: journaltest.NewID,
			process: repository.Process{Actor: story.System("lockbox-orchestrator"), Terms: request.DefaultTerms(),
				Services: repository.CatalogueInForce()},
			repositories: []*repository.Repository{repository.New(writer), repository.New(writer)}}
		c.begin()
		t.Repeat(map[string]func(*rapid.T){
			"":          func(*rapid.T) { c.compare() },
			"command":   func(t *rapid.T) { c.command(t) },
			"duty":      func(t *rapid.T) { c.duty(t) },
			"delivered": func(t *rapid.T) { c.delivered(t) },
			"as of":     func(t *rapid.T) { c.asOf(t) },
		})
	})
}

func (c *copies) person(name string) *lockboxv1.Actor { return story.Customer(c.tenant, name) }

// begin creates the customer and an evaluated request.
func (c *copies) begin() {
	ona, gina := story.Provider("ona", aggregate.Onboarding), c.person("gina")
	subscription := c.tenant + "-prod"
	assign := story.Assign("owner", c.person("otto"), lockboxv1.Role_ROLE_OWNER,
		lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION)
	assign.AggregateId = subscription
	for _, one := range []struct {
		by *lockboxv1.Actor
		c  *lockboxv1.Command
	}{
		{ona, &lockboxv1.Command{Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
			DisplayName: c.tenant, Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_PREMIER, DefaultLanguage: "en",
			Issuer:        &lockboxv1.TenantIssuer{Url: gina.GetPerson().GetIssuer(), Audience: "lockbox"},
			Administrator: gina.GetPerson(),
		}}}},
		{gina, &lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}},
		{ona, &lockboxv1.Command{AggregateId: subscription, Action: &lockboxv1.Command_RegisterSubscription{
			RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: "Production"}}}},
		{gina, assign},
	} {
		c.write(c.repositories[0], one.by, one.c)
		c.must(c.perform(c.repositories[0], aggregate.Ownership(subscription)))
	}
	intent := story.Dump(c.tenant, subscription, "vm")
	intent.Id = c.ids()
	c.about = aggregate.Request(c.tenant, intent.GetId())
	c.keys = []aggregate.Key{c.about, aggregate.Tenant(c.tenant), aggregate.Subscription(c.tenant, subscription)}
	submission, err := request.Receive(intent, journaltest.Tool, 1, time.Now())
	c.must(err)
	submission.By = story.Provider("erin")
	evaluations := repository.New(c.evaluator)
	states, err := evaluations.Basis(c.Context(), c.about)
	c.must(err)
	submitted, err := repository.Reached(request.Submit(states.Request(c.about), submission, c.process.Terms, time.Now()))
	c.must(err)
	verdict := &lockboxv1.AccessEvaluated{Duration: durationpb.New(time.Hour),
		Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES}
	evaluated, err := repository.Reached(request.RecordEvaluation(states.Then(submitted).Request(c.about), verdict,
		story.System("jit-evaluator"), time.Now()))
	c.must(err)
	c.append(evaluations, states, submitted, evaluated)
	c.repositories = append(c.repositories, evaluations)
}

func (c *copies) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// append appends to the stream, and accepts that another writer was first.
func (c *copies) append(r *repository.Repository, states repository.States, decided ...repository.Decided) {
	c.Helper()
	for _, d := range decided {
		c.must(repository.Identify(d.Event))
	}
	if _, err := r.Append(c.Context(), states, decided...); !errors.Is(err, repository.ErrConflict) {
		c.must(err)
	}
}

// decide decides a command, and what follows at once from it.
func (c *copies) decide(states repository.States, by *lockboxv1.Actor, given *lockboxv1.Command) []repository.Decided {
	given.Id, given.Tenant = c.ids(), c.tenant
	d, err := states.Decide(aggregate.Command{Command: given, By: by}, tenant.Limits{}, time.Now())
	if _, refused := refusal.As(err); d.Event == nil && (refused || err == nil) {
		return nil
	}
	c.must(err)
	all := []repository.Decided{d}
	if next, err := c.process.Next(states, d, time.Now()); err == nil && next.Event != nil &&
		aggregate.KeyOf(next.Event) == aggregate.KeyOf(d.Event) {
		all = append(all, next)
	}
	return all
}

func (c *copies) write(r *repository.Repository, by *lockboxv1.Actor, given *lockboxv1.Command) {
	c.Helper()
	given.Tenant = c.tenant
	about, err := aggregate.Of(given)
	c.must(err)
	states, err := r.BasisOf(c.Context(), about, aggregate.Tenant(c.tenant))
	c.must(err)
	if decided := c.decide(states, by, given); decided != nil {
		c.append(r, states, decided...)
	}
}

func (c *copies) perform(r *repository.Repository, about aggregate.Key) error {
	states, err := r.BasisOf(c.Context(), about)
	if err != nil {
		return err
	}
	d, err := c.process.Perform(states, about, "", time.Now())
	if err == nil && d.Event != nil {
		c.append(r, states, d)
	}
	return err
}

// command has somebody give a command about the request or a role: through a copy, on what that remembers of the
// request, which may be too old, or on nothing remembered at all.
func (c *copies) command(t *rapid.T) {
	owner := story.Assign("owner-"+rapid.StringMatching("[a-c]").Draw(t, "assignment"), c.person("olga"),
		lockboxv1.Role_ROLE_OWNER, lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION)
	owner.AggregateId = c.keys[2].ID
	by := rapid.SampledFrom([]*lockboxv1.Actor{c.person("otto"), c.person("gina"), story.Provider("erin")}).Draw(t, "by")
	given := rapid.SampledFrom([]*lockboxv1.Command{
		{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}},
		{Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "Why?"}}},
		{Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "What for?"}}},
		{Action: &lockboxv1.Command_Release{Release: &lockboxv1.Release{Reason: "done"}}},
		owner,
	}).Draw(t, "command")
	if given.GetAggregateId() == "" {
		given.AggregateId = c.about.ID
	}
	r := rapid.SampledFrom(c.repositories[:2]).Draw(t, "copy")
	switch rapid.IntRange(0, 3).Draw(t, "how") {
	case 0:
		given.Tenant = c.tenant
		about, err := aggregate.Of(given)
		c.must(err)
		states, err := r.BasisOf(c.Context(), about)
		c.must(err)
		old, err := r.Recent(c.Context(), about, 0)
		c.must(err)
		states[about] = old[about]
		if decided := c.decide(states, by, given); decided != nil {
			c.append(r, states, decided...)
		}
	case 1:
		c.write(repository.New(c.writer), by, given)
	default:
		c.write(r, by, given)
	}
}

func (c *copies) duty(t *rapid.T) {
	c.must(c.perform(rapid.SampledFrom(c.repositories[:2]).Draw(t, "copy"), c.about))
}

// delivered delivers some of the stored events to a copy, in any order.
func (c *copies) delivered(t *rapid.T) {
	r := rapid.SampledFrom(c.repositories).Draw(t, "copy")
	for _, key := range c.keys {
		entries, err := c.writer.Load(c.Context(), key)
		c.must(err)
		for _, e := range rapid.Permutation(entries).Draw(t, "order")[:rapid.IntRange(0, len(entries)).Draw(t, "some")] {
			r.Saw(e.Seq, e.Event)
		}
	}
}

// asOf compares what a copy says of a time with what the events until then give.
func (c *copies) asOf(t *rapid.T) {
	r := rapid.SampledFrom(c.repositories).Draw(t, "copy")
	entries, err := c.writer.Load(c.Context(), c.about)
	c.must(err)
	at := rapid.SampledFrom(entries).Draw(t, "event").Seq
	states, err := r.At(c.Context(), at, c.about)
	c.must(err)
	i := slices.IndexFunc(entries, func(e journal.Entry) bool { return e.Seq == at })
	c.same(states, entries[:i+1])
}

func (c *copies) compare() {
	for _, r := range c.repositories {
		states, err := r.Basis(c.Context(), c.keys...)
		c.must(err)
		for _, key := range c.keys {
			entries, err := c.writer.Load(c.Context(), key)
			c.must(err)
			c.same(states, entries)
		}
	}
}

func (c *copies) same(states repository.States, entries []journal.Entry) {
	c.Helper()
	folded := repository.States{}
	for _, e := range entries {
		folded.Add(e.Seq, e.Event)
	}
	key := aggregate.KeyOf(entries[0].Event)
	all := cmp.Exporter(func(reflect.Type) bool { return true })
	if diff := cmp.Diff(folded[key], states[key], protocmp.Transform(), all); diff != "" {
		c.Fatalf("%s: remembered and folded differ:\n%s", key, diff)
	}
}
