package policy_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/policy"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// denials is the example of README.md.
const denials = `name: denials
rules:
  - id: denied-before
    when: history.denied >= 3
    effect: require_internal_approval
    stages: [{group: customer-support-leads}]
    reason: Customers denied this engineer three times in 30 days.
  - {id: rest, when: "true", effect: allow, reason: Everything else goes on.}
`

// counting tells events to Histories, one after the other.
type counting struct {
	*testing.T
	*policy.Histories
	sequence uint64
}

func newCounting(t *testing.T) *counting { return &counting{T: t, Histories: policy.NewHistories()} }

func person(name string) *lockboxv1.Person {
	return &lockboxv1.Person{Issuer: "https://nimbus.example", Subject: name}
}

// nobody is asked for a request that began within the timeline.
func nobody(tenant, id string) (*lockboxv1.Person, error) {
	return nil, fmt.Errorf("%s of %s is not known", id, tenant)
}

func (c *counting) add(at time.Time, id string, of *lockboxv1.Event, asked policy.Requester) error {
	c.sequence++
	e := proto.CloneOf(of)
	e.Tenant, e.AggregateId = "contoso", id
	return c.Add(c.sequence, at, e, asked)
}

// tell adds events about a request, all stored at one time.
func (c *counting) tell(at time.Time, id string, events ...*lockboxv1.Event) {
	c.Helper()
	for _, e := range events {
		if err := c.add(at, id, e, nobody); err != nil {
			c.Fatal(err)
		}
	}
}

func (c *counting) is(name string, at time.Time, request, want string) {
	c.Helper()
	h := c.Of(person(name), at, "contoso", request)
	got := fmt.Sprintf("%d asked %d granted %d refused %d denied %d revoked %d emergencies", h.GetRequests(),
		h.GetGranted(), h.GetRefused(), h.GetDenied(), h.GetRevoked(), h.GetEmergencies())
	if got != want || h.GetAsOfSequence() != c.sequence {
		c.Errorf("%s: want %s as of %d, got %s as of %d", name, want, c.sequence, got, h.GetAsOfSequence())
	}
}

func asks(name string, emergency bool) *lockboxv1.Event {
	return &lockboxv1.Event{
		Actor: &lockboxv1.Actor{Person: person(name)},
		Fact: &lockboxv1.Event_AccessRequested{
			AccessRequested: &lockboxv1.AccessRequested{Intent: &lockboxv1.AccessIntent{Emergency: emergency}}},
	}
}

func comesTo(o lockboxv1.EvaluationOutcome) *lockboxv1.Event {
	return &lockboxv1.Event{Fact: &lockboxv1.Event_AccessEvaluated{
		AccessEvaluated: &lockboxv1.AccessEvaluated{Outcome: o}}}
}

var (
	refusedAtOnce = comesTo(lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED)
	goesOn        = comesTo(lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES)
	refusedInside = &lockboxv1.Event{Fact: &lockboxv1.Event_InternalApprovalRefused{}}
	denied        = &lockboxv1.Event{Fact: &lockboxv1.Event_CustomerDenied{}}
	approved      = &lockboxv1.Event{Fact: &lockboxv1.Event_CustomerApproved{}}
	granted       = &lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{}}
	revoked       = &lockboxv1.Event{Fact: &lockboxv1.Event_AccessRevoked{}}
	completed     = &lockboxv1.Event{Fact: &lockboxv1.Event_AccessCompleted{}}
)

const nothing = "0 asked 0 granted 0 refused 0 denied 0 revoked 0 emergencies"

func TestWhatBecameOfAnEngineersRequests(t *testing.T) {
	c := newCounting(t)
	c.is("erin", now, "", nothing)
	c.tell(now, "a", asks("erin", false), refusedAtOnce)
	c.tell(now, "b", asks("erin", false), goesOn, refusedInside)
	c.tell(now, "c", asks("erin", false), goesOn, denied)
	c.tell(now, "d", asks("erin", true), goesOn, granted, revoked)
	c.tell(now, "e", asks("erin", false), goesOn, approved, granted, completed)
	c.tell(now, "f", asks("sam", false), goesOn, denied)
	c.tell(now, "g", asks("erin", true))
	c.is("erin", now, "", "6 asked 2 granted 2 refused 1 denied 1 revoked 2 emergencies")
	// without the one that is evaluated
	c.is("erin", now, "g", "5 asked 2 granted 2 refused 1 denied 1 revoked 1 emergencies")
	c.is("sam", now, "g", "1 asked 0 granted 0 refused 1 denied 0 revoked 0 emergencies")
	c.is("ivan", now, "", nothing)
	elsewhere := &lockboxv1.Person{Issuer: "https://other.example", Subject: "erin"}
	if h := c.Of(elsewhere, now, "", ""); h.GetRequests() != 0 {
		t.Errorf("another issuer's erin is somebody else: %v", h)
	}
}

func TestAnEventCountsOnce(t *testing.T) {
	c := newCounting(t)
	c.tell(now, "a", asks("erin", false), denied)
	c.sequence = 0
	c.tell(now, "a", asks("erin", false), denied)
	c.is("erin", now, "", "1 asked 0 granted 0 refused 1 denied 0 revoked 0 emergencies")
}

func TestAHistoryGoesBackThirtyDays(t *testing.T) {
	const day = 24 * time.Hour
	one := "1 asked 0 granted 0 refused 1 denied 0 revoked 0 emergencies"
	midnight := now.Truncate(day)
	for name, r := range map[string]struct {
		stored, at time.Time
		want       string
	}{
		"now":                                    {now, now, one},
		"30 times 24 hours ago, at any time":     {now.Add(-30 * day), now, one},
		"when the first day begins":              {midnight.Add(-30 * day), now, one},
		"after the first day began":              {midnight.Add(-30*day + 1), now, one},
		"before the first day begins":            {midnight.Add(-30*day - 1), now, nothing},
		"when the last day ends":                 {now, midnight.Add(31*day - 1), one},
		"when the day after it begins":           {now, midnight.Add(31 * day), nothing},
		"after the day after it began":           {now, midnight.Add(31*day + 1), nothing},
		"by an evaluator whose clock is behind":  {midnight, midnight.Add(-1), one},
		"in another zone, where it is yesterday": {midnight.Add(-30 * day).In(time.FixedZone("", -5*3600)), now, one},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCounting(t)
			c.tell(r.stored, "a", asks("erin", false), denied)
			c.is("erin", r.at, "", r.want)
			c.tell(r.at, "b", asks("sam", false), denied) // time goes on, and old days fall away
			c.is("erin", r.at, "", r.want)
		})
	}
}

// A request may have begun before anything was counted; whose it is, is then asked for, and not guessed.
func TestTheOutcomeOfAnOlderRequest(t *testing.T) {
	c := newCounting(t)
	failed := errors.New("the bus does not answer")
	if err := c.add(now, "a", denied, func(string, string) (*lockboxv1.Person, error) {
		return nil,
			failed
	}); !errors.Is(err, failed) || c.Sequence() != 0 {
		t.Fatalf("what is not known is not counted: %v, %d", err, c.Sequence())
	}
	asked := ""
	if err := c.add(now, "a", denied, func(tenant, id string) (*lockboxv1.Person, error) {
		asked = tenant + "/" + id
		return person("erin"), nil
	}); err != nil || asked != "contoso/a" {
		t.Fatalf("%v, %q", err, asked)
	}
	c.is("erin", now, "", "0 asked 0 granted 0 refused 1 denied 0 revoked 0 emergencies")
}

func TestARuleOnTheHistory(t *testing.T) {
	r := parse(t, denials)
	for _, c := range []struct {
		history *lockboxv1.EngineerHistory
		stages  int
		refusal string
	}{
		{&lockboxv1.EngineerHistory{Denied: 2, Refused: 9}, 0, ""},
		{&lockboxv1.EngineerHistory{Denied: 3}, 1, ""},
		{nil, 0, "I11"}, // not known is not none
	} {
		v := policy.Evaluate(facts(func(f *policy.Facts) { f.History = c.history }), r, catalogue.Default(), terms, now)
		if len(v.GetInternalStages()) != c.stages || v.GetRefusal().GetRule() != c.refusal ||
			!proto.Equal(v.GetFacts().GetHistory(), c.history) {
			t.Errorf("%v: %v", c.history, v)
		}
	}
	if v := policy.Evaluate(facts(func(*policy.Facts) {}), rules, catalogue.Default(), terms, now); v.GetRefusal() != nil {
		t.Errorf("rules that do not weigh it need no history: %v", v)
	}
}

func TestACaseSaysTheHistory(t *testing.T) {
	const cases = `cases:
  - name: nothing lately
    expect: {outcome: customer_decides, rules: [rest]}
  - name: three denials
    facts:
      history: {denied: 3}
    expect:
      outcome: customer_decides
      rules: [denied-before, rest]
      stages: [{group: customer-support-leads}]
`
	if n, err := parse(t, denials).Check([]byte(cases), catalogue.Default()); n != 2 || err != nil {
		t.Errorf("%d cases: %v", n, err)
	}
}
