package request_test

import (
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestAnIntentIsRefusedByFieldAndRule(t *testing.T) {
	for name, c := range map[string]struct {
		change      func(in *lockboxv1.AccessIntent)
		field, rule string
	}{
		"no id": {func(in *lockboxv1.AccessIntent) { in.Id = "" }, "id", "bad input"},
		"an id of another version": {func(in *lockboxv1.AccessIntent) { in.Id = "018f3a00-aaaa-4000-8000-000000000001" },
			"id", "bad input"},
		"an id in capitals": {func(in *lockboxv1.AccessIntent) { in.Id = strings.ToUpper(in.GetId()) }, "id",
			"bad input"},
		"a tenant with a dot":  {func(in *lockboxv1.AccessIntent) { in.Tenant = "con.toso" }, "tenant", "bad input"},
		"a tenant with a star": {func(in *lockboxv1.AccessIntent) { in.Tenant = "*" }, "tenant", "bad input"},
		"a tenant that looks alike": {func(in *lockboxv1.AccessIntent) { in.Tenant = "c\u043entoso" }, "tenant",
			"bad input"},
		"no resource type": {func(in *lockboxv1.AccessIntent) { in.ResourceType = "" }, "resource_type",
			"bad input"},
		"no scenario": {func(in *lockboxv1.AccessIntent) { in.Scenario = "" }, "scenario", "bad input"},
		"a short justification": {func(in *lockboxv1.AccessIntent) { in.Justification = "because" }, "justification",
			"bad input"},
		"a long justification": {func(in *lockboxv1.AccessIntent) { in.Justification = strings.Repeat("x", 4001) },
			"justification", "bad input"},
		"a justification of what nobody sees": {func(in *lockboxv1.AccessIntent) {
			in.Justification = "fix it\u200b\u200b\u200b\u200b\u2060\U000e0041"
		}, "justification", "bad input"},
		"a trace in two lines": {func(in *lockboxv1.AccessIntent) { in.TraceParent = "00-\n" }, "trace_parent",
			"bad input"},
		"no reason type":           {func(in *lockboxv1.AccessIntent) { in.ReasonType = 0 }, "reason_type", "R4"},
		"a later reason type":      {func(in *lockboxv1.AccessIntent) { in.ReasonType = 99 }, "reason_type", "R4"},
		"support without a ticket": {func(in *lockboxv1.AccessIntent) { in.TicketId = "" }, "ticket_id", "R4"},
		"a ticket that is too long": {func(in *lockboxv1.AccessIntent) { in.TicketId = strings.Repeat("T", 201) },
			"ticket_id", "bad input"},
		"a subscription with a star": {func(in *lockboxv1.AccessIntent) { in.SubscriptionId = "*" }, "subscription_id",
			"bad input"},
		"a demand that the customer may not be told of": {func(in *lockboxv1.AccessIntent) {
			in.ReasonType = lockboxv1.ReasonType_REASON_TYPE_THIRD_PARTY_DATA_REQUEST
		}, "customer_may_be_told", "R4"},
		"no resource": {func(in *lockboxv1.AccessIntent) { in.ResourceIds = nil }, "resource_ids", "R18"},
		"51 resources": {func(in *lockboxv1.AccessIntent) { in.ResourceIds = make([]string, 51) },
			"resource_ids", "R18"},
		"an empty resource": {func(in *lockboxv1.AccessIntent) { in.ResourceIds = []string{""} }, "resource_ids",
			"bad input"},
		"no time": {func(in *lockboxv1.AccessIntent) { in.Duration = durationpb.New(0) }, "duration",
			"R27"},
		"less than a second": {func(in *lockboxv1.AccessIntent) { in.Duration = durationpb.New(time.Second - 1) },
			"duration", "R27"},
		"time that runs back": {func(in *lockboxv1.AccessIntent) { in.Duration = durationpb.New(-time.Hour) },
			"duration", "R27"},
		"more than eight hours": {func(in *lockboxv1.AccessIntent) { in.Duration = durationpb.New(8*time.Hour + 1) },
			"duration", "R27"},
		"a broken duration": {func(in *lockboxv1.AccessIntent) {
			in.Duration = &durationpb.Duration{Seconds: 3600, Nanos: 1_000_000_000}
		}, "duration", "R27"},
	} {
		t.Run(name, func(t *testing.T) {
			in := diskIntent()
			c.change(in)
			play(t, contoso(), row{0, eve, submits(in), no(invalid, c.field, c.rule)})
		})
	}
}

// control: nist:AC-6
func TestR18AResourceIsAPathBelowItsSubscription(t *testing.T) {
	for id, rule := range map[string]string{
		"/": "R49", "/subscriptions/": "R18", "/subscriptions/sub-1//disks": "R49", "subscriptions/sub-1/disks": "R49",
		"/subscriptions/sub-2/disks/a": "R18", "/subscriptions/sub-10/disks": "R18", "/tenants/contoso/directory": "R18",
		"/subscriptions/sub-1/../sub-2/disks": "R49", "/subscriptions/sub-1/disks/..": "R49",
		"/subscriptions/sub-1/./disks": "R49", "/subscriptions/sub-1/disks/*": "R49",
		"/subscriptions/sub-1/disks/d%61ta": "R49", "/subscriptions/sub-1/disks/раyments-1": "R49",
	} {
		in := diskIntent()
		in.ResourceIds = []string{disk("a"), id}
		play(t, contoso(), row{0, eve, submits(in), no(invalid, "resource_ids", rule)})
	}
	for _, again := range []string{disk("a"), strings.ToUpper(disk("a")), disk("a") + "/"} {
		twice := diskIntent()
		twice.ResourceIds = []string{disk("a"), disk("b"), again}
		play(t, contoso(), row{0, eve, submits(twice), no(invalid, "resource_ids", "R18", "once")})
	}

	foreign := tenantIntent()
	foreign.ResourceIds = []string{"/tenants/fabrikam/directory"}
	play(t, contoso(), row{0, eve, submits(foreign), no(invalid, "resource_ids", "R18")})
	wide := tenantIntent()
	wide.ResourceIds = []string{disk("a")}
	play(t, contoso(), row{0, eve, submits(wide), no(invalid, "resource_ids", "R18")})
}

func TestWhatAnIntentMaySay(t *testing.T) {
	for _, change := range []func(in *lockboxv1.AccessIntent){
		func(in *lockboxv1.AccessIntent) { in.Duration = durationpb.New(time.Second) },
		func(in *lockboxv1.AccessIntent) { in.Duration = durationpb.New(8 * time.Hour) },
		func(in *lockboxv1.AccessIntent) { in.Justification = strings.Repeat("x", 10) },
		func(in *lockboxv1.AccessIntent) {
			in.ReasonType, in.TicketId = lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT, ""
		},
		func(in *lockboxv1.AccessIntent) {
			in.ResourceIds = []string{disk("..a"), disk("a.b") + "/", disk("本番データ")}
		},
		// The catalogue says whether a type's resource is the subscription itself.
		func(in *lockboxv1.AccessIntent) { in.ResourceIds = []string{"/Subscriptions/SUB-1"} },
	} {
		in := diskIntent()
		change(in)
		play(t, contoso(), row{0, eve, submits(in), is(request.Submitted)})
	}
}

func TestAnIDStandsForOneIntent(t *testing.T) {
	other, again := diskIntent(), diskIntent()
	other.Justification = "the machine does boot"
	again.Token = "another token of the same engineer"
	play(t, contoso(),
		row{0, otto, submits(diskIntent()), no(forbidden, "token", "R5")},
		row{0, eve, submits(diskIntent()), is(request.Submitted)},
		row{1, eve, submits(again), already(request.Submitted)},
		row{1, eve, submits(other), no(conflict, "id", "bad input")},
		row{1, fred, submits(diskIntent()), no(conflict, "id", "bad input")},
	)
}

func TestTheTokenIsNotKept(t *testing.T) {
	s := contoso()
	play(t, s, row{0, eve, submits(diskIntent()), is(request.Submitted)})
	if token := s.Request().Intent.GetToken(); token != "" {
		t.Errorf("the event holds the token %q", token)
	}
}

func TestACommandAboutSomethingElse(t *testing.T) {
	s := asked(t, contoso(owner(otto)), diskIntent())
	for _, c := range []*lockboxv1.Command{{}, {Action: &lockboxv1.Command_OpenTicket{}}} {
		_, _, err := request.Decide(s.Request(), s.Given(otto, s.ID(), c), s.World(), start)
		if r := refusal.Of(err); r.GetCode() != invalid || r.GetField() != "action" || r.GetRule() != "bad input" {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// The aggregates that a decision rests on are not always there to be read, and never another tenant's (I9, I11).
//
// control: iso:5.15
func TestI11WithoutTheTenantAndItsSubscriptionTheAnswerIsNo(t *testing.T) {
	states := story.Case(gina, start).States
	other, others := states.Tenant(story.Tenant), states.Subscription(story.Tenant, story.Subscription)
	other.ID, others.Tenant = "fabrikam", "fabrikam"
	for name, spoil := range map[string]func(*request.World){
		"no tenant":                 func(w *request.World) { *w = request.World{Subscription: w.Subscription} },
		"another tenant":            func(w *request.World) { w.Tenant = other },
		"no subscription":           func(w *request.World) { w.Subscription = nil },
		"another's subscription":    func(w *request.World) { w.Subscription = &others },
		"another subscription":      func(w *request.World) { w.Subscription.ID = "sub-2" },
		"a tenant at fault":         func(w *request.World) { w.Tenant.Fail(9, "") },
		"a subscription at fault":   func(w *request.World) { w.Subscription.Fail(9, "") },
		"a subscription of nowhere": func(w *request.World) { w.Subscription.Tenant = "" },
	} {
		t.Run(name, func(t *testing.T) {
			refused := func(s *story.Story, decide func(request.World) error) {
				t.Helper()
				w := s.World()
				spoil(&w)
				if err := decide(w); !refusal.Is(err, unavailable) {
					t.Errorf("%s: %v", s.Request().Status, err)
				}
			}
			perform := func(s *story.Story) {
				t.Helper()
				refused(s, func(w request.World) error {
					_, _, err := request.Perform(s.Request(), w, s.Terms, box, "", start)
					return err
				})
			}
			s := contoso(owner(otto))
			play(t, s, asks(diskIntent())[:2]...)
			perform(s)
			s = asked(t, contoso(owner(otto)), diskIntent())
			perform(s)
			for _, c := range []*lockboxv1.Command{approve(), deny("no"), ask("why?"), revoke("x")} {
				refused(s, func(w request.World) error {
					_, _, err := request.Decide(s.Request(), s.Given(otto, s.ID(), c), w, start)
					return err
				})
			}
			play(t, s, row{0, otto, does(approve()), is(request.Approved)})
			perform(s)
		})
	}
}

// state is the request's state, to be spoiled.
func state(s *story.Story) *request.State {
	r := s.States[aggregate.Request(story.Tenant, story.RequestID)]
	return r.(*request.State) //nolint:forcetypeassert,errcheck // it was asked for
}

func TestAFaultyRequestDecidesNothing(t *testing.T) {
	early := contoso(owner(otto))
	play(t, early, asks(diskIntent())[:2]...)
	state(early).Fail(9, "somebody wrote nonsense")
	if duty, err := request.Owed(early.Request(), early.World(), start); duty != request.Nothing || err != nil {
		t.Errorf("owed: %d, %v", duty, err)
	}
	s := asked(t, contoso(owner(otto)), diskIntent())
	state(s).Fail(9, "somebody wrote nonsense")
	for _, c := range []*lockboxv1.Command{approve(), deny("no"), withdraw(), revoke("x")} {
		if _, err := s.At(start).Decide(otto, s.ID(), c); !refusal.Is(err, precondition) {
			t.Errorf("%v: %v", c, err)
		}
	}
	for d := request.Notify; d <= request.ReportUnavailable; d++ {
		if e, err := s.At(start.Add(4 * day)).Perform(d); e != nil || err != nil {
			t.Errorf("duty %d: %v, %v", d, e, err)
		}
	}
	if duty, err := request.Owed(s.Request(), s.World(), start.Add(4*day)); duty != request.Nothing || err != nil {
		t.Errorf("owed: %d, %v", duty, err)
	}
	if !request.Settled(s.Request()) {
		t.Error("what is at fault waits for nothing")
	}
	if _, timed := request.NextDue(s.Request()); timed {
		t.Error("it waits for a deadline")
	}
}
