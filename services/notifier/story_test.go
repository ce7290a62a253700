package notifier

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const patience = 30 * time.Second

// world is a bus on which the other services' events can be written by hand.
type world struct {
	*testing.T
	bus          *journaltest.Bus
	orchestrator *journal.Journal
	evaluator    *journal.Journal
	compliance   *journal.Journal
	last         map[aggregate.Key]*lockboxv1.Event
	sequence     map[aggregate.Key]uint64
	now          time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	b := journaltest.Start(t, 1)
	return &world{
		T: t, bus: b, orchestrator: b.Journal(t, bus.Orchestrator), evaluator: b.Journal(t, bus.Evaluator),
		compliance: b.Journal(t, bus.Compliance),
		last:       map[aggregate.Key]*lockboxv1.Event{}, sequence: map[aggregate.Key]uint64{},
		now: time.Now().Add(-time.Minute),
	}
}

// runtime is what the notifier runs on, with its own rights.
func (w *world) runtime() *service.Runtime {
	w.Helper()
	nc := w.bus.Connect(w.T, bus.Notifier)
	log := zaptest.NewLogger(w.T, zaptest.Level(zapcore.ErrorLevel))
	j, err := journal.Open(w.Context(), nc, journal.WithLog(log), journal.WithTimeout(2*time.Second))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(j.Close)
	return &service.Runtime{Connected: service.Connected{Identity: bus.Notifier, Conn: nc, Log: log, Now: time.Now},
		Journal: j}
}

// run runs the notifier until stop is called, or the test ends.
func (w *world) run(c Config) (stop func()) {
	w.Helper()
	return w.runOn(w.runtime(), c)
}

func (w *world) runOn(rt *service.Runtime, c Config) (stop func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, rt, c) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("the notifier ended with %v", err)
		}
	}
	w.Cleanup(stop)
	return stop
}

func config(port int) Config {
	return Config{
		SMTP: SMTP{Host: "127.0.0.1", Port: port, TLS: "none", From: "lockbox@northwind.example",
			Timeout: 5 * time.Second},
		Provider: "Northwind Cloud", PortalURL: "https://lockbox.northwind.example", DefaultLanguage: "en",
		Groups: map[string][]string{"devops-managers": {"devops@northwind.example"}},
	}
}

// write appends an event as its writer would.
func (w *world) write(kind, id string, by *lockboxv1.Actor, e *lockboxv1.Event) *lockboxv1.Event {
	w.Helper()
	unique, err := uuid.NewV7()
	if err != nil {
		w.Fatal(err)
	}
	agg := aggregate.Key{Tenant: "meadowbank", Kind: kind, ID: id}
	w.now = w.now.Add(time.Millisecond)
	e.Id, e.Tenant, e.Kind, e.AggregateId, e.Actor = unique.String(), agg.Tenant, kind, id, by
	e.Version, e.Time = w.last[agg].GetVersion()+1, timestamppb.New(w.now)
	if kind == aggregate.KindRequest {
		e.CorrelationId = id
	}
	writer := w.orchestrator
	if e.GetAccessRequested() != nil || e.GetAccessEvaluated() != nil {
		writer = w.evaluator
	}
	seq, err := writer.Append(w.Context(), w.sequence[agg], e)
	if err != nil {
		w.Fatal(err)
	}
	w.last[agg], w.sequence[agg] = e, seq
	return e
}

func person(issuer, subject, language string) *lockboxv1.Person {
	return &lockboxv1.Person{Issuer: issuer, Subject: subject, DisplayName: subject, Email: subject + "@" +
		issuer[len("https://"):], Language: language}
}

const (
	bank      = "https://meadowbank.example"
	northwind = "https://northwind.example"
)

var (
	grace = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: person(bank, "grace", "en")}
	otto  = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: person(bank, "otto", "ja")}
	erin  = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: person(northwind, "erin", "en"),
		Employer: "Fabrikam"}
	orla = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: person(northwind, "orla", "en"),
		Groups: []string{aggregate.Onboarding}}
	clock = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "lockbox-orchestrator"}
)

// tenant makes Meadow Bank, with Grace as its administrator: one mail.
func (w *world) tenant() *lockboxv1.Event {
	w.Helper()
	return w.write(aggregate.KindTenant, "meadowbank", orla,
		&lockboxv1.Event{Fact: &lockboxv1.Event_TenantCreated{TenantCreated: &lockboxv1.TenantCreated{
			DisplayName: "Meadow Bank", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, DefaultLanguage: "fr",
			Issuer: &lockboxv1.TenantIssuer{Url: bank},
			Administrator: &lockboxv1.RoleAssignment{
				Id: "grace", Person: grace.GetPerson(), Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
				Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT,
			},
		}}})
}

// setUp is how many mails a customer's administrator gets of what tenant and asked tell of the customer itself.
const setUp = 3

// asked makes Otto an approver of Meadow Bank the first time, and names an alternate: two mails. Then it carries a
// request of Erin's until Otto and Grace are asked: four mails, to them, the alternate and Erin. Forgeries come last.
func (w *world) asked(
	requester *lockboxv1.Actor, forge ...func(*lockboxv1.CustomerNotified),
) (id string, notified *lockboxv1.Event) {
	w.Helper()
	alternates := []*lockboxv1.AlternateAddress{{Email: "security@meadowbank.example"}}
	if w.last[aggregate.Tenant("meadowbank")].GetTenantCreated() != nil {
		w.write(aggregate.KindTenant, "meadowbank", grace,
			&lockboxv1.Event{Fact: &lockboxv1.Event_RoleAssigned{RoleAssigned: &lockboxv1.RoleAssigned{
				Assignment: &lockboxv1.RoleAssignment{
					Id: "otto", Person: otto.GetPerson(), Role: lockboxv1.Role_ROLE_LOCKBOX_APPROVER,
					Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT,
				}}}})
		w.write(aggregate.KindTenant, "meadowbank", grace,
			&lockboxv1.Event{Fact: &lockboxv1.Event_SettingsChanged{SettingsChanged: &lockboxv1.SettingsChanged{
				Settings: &lockboxv1.TenantSettings{DefaultLanguage: "fr", RequiredApprovals: 1, Alternates: alternates}}}})
	}
	unique, err := uuid.NewV7()
	if err != nil {
		w.Fatal(err)
	}
	id = unique.String()
	w.write(aggregate.KindRequest, id, requester,
		&lockboxv1.Event{Fact: &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{
			Intent: intent(id, "SR-1"),
		}}})
	w.write(aggregate.KindRequest, id, clock,
		&lockboxv1.Event{Fact: &lockboxv1.Event_AccessEvaluated{AccessEvaluated: &lockboxv1.AccessEvaluated{
			Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES, Duration: durationpb.New(8 * time.Hour),
			Facts: &lockboxv1.EvaluationFacts{ServiceName: "Directory"},
		}}})
	n := &lockboxv1.CustomerNotified{
		Scope: lockboxv1.Scope_SCOPE_TENANT, Basis: lockboxv1.ApproverBasis_APPROVER_BASIS_TENANT, RequiredApprovals: 1,
		Approvers:      []*lockboxv1.Approver{{Person: otto.GetPerson()}, {Person: grace.GetPerson()}},
		Alternates:     alternates,
		ExpiresAt:      timestamppb.New(w.now.Add(96 * time.Hour)),
		TenantSequence: w.sequence[aggregate.Key{Tenant: "meadowbank", Kind: aggregate.KindTenant, ID: "meadowbank"}],
	}
	for _, change := range forge {
		change(n)
	}
	if len(forge) > 0 {
		w.now = w.now.Add(time.Minute) // what was there before had long been there
	}
	return id, w.write(aggregate.KindRequest, id, clock,
		&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerNotified{CustomerNotified: n}})
}

func intent(id, ticket string) *lockboxv1.AccessIntent {
	return &lockboxv1.AccessIntent{Id: id, Tenant: "meadowbank", ResourceType: "directory/tenants",
		Scenario: "directory-content", ResourceIds: []string{"/tenants/meadowbank/x"},
		ReasonType:    lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE,
		Justification: "The tenant is broken.", TicketId: ticket}
}

func (w *world) denied(id string) *lockboxv1.Event {
	w.Helper()
	return w.write(aggregate.KindRequest, id, otto,
		&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerDenied{
			CustomerDenied: &lockboxv1.CustomerDenied{Reason: "Not now."}}})
}

var errEnough = errors.New("enough")

// reports waits for that many delivery reports and returns all that there are then, by Message-ID.
func (w *world) reports(n int) map[string]*lockboxv1.Event {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	got := map[string]*lockboxv1.Event{}
	err := w.compliance.Replay(ctx, journal.Replay{Kind: aggregate.KindDelivery, Follow: true},
		func(e journal.Entry) error {
			id := notification(e.Event).GetMessageId()
			if got[id] != nil {
				w.Errorf("%s is reported twice", id)
			}
			got[id] = e.Event
			if len(got) >= n && e.Pending == 0 {
				return errEnough
			}
			return nil
		})
	if !errors.Is(err, errEnough) {
		w.Fatalf("%d of %d reports, then: %v", len(got), n, err)
	}
	if len(got) > n {
		w.Errorf("%d reports, not %d", len(got), n)
	}
	return got
}

func notification(e *lockboxv1.Event) *lockboxv1.Notification {
	if f := e.GetNotificationFailed(); f != nil {
		return f.GetNotification()
	}
	return e.GetNotificationSent().GetNotification()
}

// mailbox runs a development mailbox.
func (w *world) mailbox() (c Config, mails func() []mailbox.Message) {
	w.Helper()
	dir := w.TempDir()
	box, err := mailbox.New(mailbox.Config{Dir: dir, SMTPListen: "127.0.0.1:0"})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- box.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
	return config(portOf(w.T, box.SMTPAddr())), func() []mailbox.Message {
		all, err := mailbox.Read(dir)
		if err != nil {
			w.Fatal(err)
		}
		return all
	}
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// once fails unless each Message-ID is there once.
func once(t *testing.T, mails []mailbox.Message, reports map[string]*lockboxv1.Event) {
	t.Helper()
	seen := map[string]int{}
	for _, m := range mails {
		seen[m.MessageID]++
	}
	for id := range reports {
		if seen[id] != 1 {
			t.Errorf("%s is there %d times", id, seen[id])
		}
	}
	if len(seen) != len(reports) {
		t.Errorf("%d mails and %d reports", len(seen), len(reports))
	}
}
