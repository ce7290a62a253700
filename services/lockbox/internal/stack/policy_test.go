package stack_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Whatever was evaluated comes to the same bytes when it is evaluated again from the stream (R14, I8).
func TestReplayingTheStreamEvaluatesTheSame(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	for _, c := range []struct {
		as     string
		change func(*lockboxv1.AccessIntent)
		ends   request.Status
	}{
		{"erin", func(*lockboxv1.AccessIntent) {}, request.CustomerNotified},
		{"ivan", func(*lockboxv1.AccessIntent) {}, request.CustomerNotified},
		{"sam", func(*lockboxv1.AccessIntent) {}, request.Refused},
		{"erin", func(in *lockboxv1.AccessIntent) { in.Scenario = "platform-health" }, request.Active},
		{"erin", func(in *lockboxv1.AccessIntent) { in.Scenario = "managed-disk" }, request.AwaitingInternalApproval},
		{"erin", func(in *lockboxv1.AccessIntent) { in.ResourceType = "compute/mainframes" }, request.Refused},
		{"erin", func(in *lockboxv1.AccessIntent) { in.TicketId = "SR-1" }, request.Refused},
		{"erin", func(in *lockboxv1.AccessIntent) {
			in.SubscriptionId, in.ResourceIds = "nowhere", []string{demo.Machine("nowhere", "x")}
		}, request.Refused},
		{"erin", func(in *lockboxv1.AccessIntent) {
			in.SubscriptionId, in.ResourceType, in.Scenario = "", "directory/tenants", "directory-content"
			in.ResourceIds = []string{"/tenants/" + bank + "/directory"}
		}, request.AwaitingInternalApproval},
	} {
		in := l.intent(c.as)
		c.change(in)
		l.requested(in, c.ends)
	}
	rules, services := policy.Default(), catalogue.Default()
	states, again := map[string]request.State{}, 0
	for _, e := range l.history(journal.Replay{Kind: "request"}) {
		id := e.Event.GetAggregateId()
		states[id] = request.Evolve(states[id], e.Seq, e.Event)
		stored := e.Event.GetAccessEvaluated()
		if stored == nil {
			continue
		}
		again++
		was, becomes := canonical(t, stored), canonical(t, policy.Again(states[id], rules, services, request.DefaultTerms()))
		if !bytes.Equal(was, becomes) {
			t.Errorf("recorded\n%v\nagain\n%v", stored, policy.Again(states[id], rules, services, request.DefaultTerms()))
		}
	}
	if again != 9 {
		t.Errorf("%d evaluations were recorded", again)
	}
	if v := l.verified(); len(v.Violations)+len(v.Unchecked) > 0 {
		t.Errorf("audit verify finds %v, and cannot check %v", v.Violations, v.Unchecked)
	}
}

func canonical(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	must(t, err)
	return data
}

// What the security officer publishes decides on the next intent; what does not compile changes nothing (R14).
func TestPublishedRulesDecide(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	publish := func(text string) *lockboxv1.Command {
		return &lockboxv1.Command{Tenant: "_", AggregateId: "rules",
			Action: &lockboxv1.Command_PublishRules{PublishRules: &lockboxv1.PublishRules{Text: text}}}
	}
	version := func(id string) string { return l.state(id).Evaluation.GetPolicyVersion() }
	if v := version(l.requested(l.intent("erin"), request.CustomerNotified)); v != policy.Default().Version() {
		t.Errorf("before anything is published it is %s that decides", v)
	}
	const strict = `name: strict
rules:
  - {id: no-dumps, when: intent.scenario == "memory-dump", effect: refuse, message: not these days, reason: Memory dumps are refused.}
  - {id: rest, when: "true", effect: allow, reason: Everything else goes on.}
`
	l.mayNot("erin", publish(strict), forbidden, "R14")
	l.mayNot("derek", publish(strict), forbidden, "R14")
	l.mayNot("grace", publish(strict), unauthenticated, "R13") // a customer's people have no say in the provider's rules
	elsewhere := publish(strict)
	elsewhere.Tenant = bank
	l.mayNot("olga", elsewhere, lockboxv1.RefusalCode_REFUSAL_CODE_INVALID, "bad input")

	if reply := l.does("olga", publish(strict)); reply.GetVersion() != 1 || reply.GetEventId() == "" {
		t.Errorf("%v", reply)
	}
	if reply := l.does("olga", publish(strict)); reply.GetEventId() != "" {
		t.Errorf("what is in force is not published again: %v", reply)
	}
	refused := l.requested(l.intent("erin"), request.Refused)
	if e := l.state(refused).Evaluation; e.GetRefusal().GetMessage() != "not these days" ||
		e.GetRules()[0].GetId() != "no-dumps" {
		t.Errorf("%v", e)
	}
	r := l.mayNot("olga", publish("name: bad\nrules:\n  - {id: a, when: intent.nothing, effect: allow, reason: A.}\n"),
		lockboxv1.RefusalCode_REFUSAL_CODE_INVALID, "R14")
	if !strings.Contains(r.GetMessage(), "3:25: undefined field 'nothing'") {
		t.Errorf("a bad rule is refused at its place: %s", r.GetMessage())
	}
	if v := version(l.requested(l.intent("erin"), request.Refused)); v != version(refused) {
		t.Errorf("after a bad rule set it is %s that decides", v)
	}
	l.restart(0)
	if v := version(l.requested(l.intent("erin"), request.Refused)); v != version(refused) {
		t.Errorf("after a restart it is %s that decides", v)
	}
	l.does("olga", publish(string(policy.DefaultText())))
	if v := version(l.requested(l.intent("erin"), request.CustomerNotified)); v != policy.Default().Version() {
		t.Errorf("after going back it is %s that decides", v)
	}
}

// What the security officer publishes as the catalogue says what the next intent may be for; what cannot be used
// changes nothing, and what was evaluated before stays what it was (R6, R10, I8).
func TestThePublishedCatalogueSaysWhatMayBeAskedFor(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	publish := func(text string) *lockboxv1.Command {
		return &lockboxv1.Command{
			Tenant: "_", AggregateId: "catalogue",
			Action: &lockboxv1.Command_PublishCatalogue{PublishCatalogue: &lockboxv1.PublishCatalogue{Text: text}},
		}
	}
	const invalid = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
	// By the first a memory dump reaches no customer data, so nobody is asked; the second has no machines.
	machines, quantum := catalogueOf("compute/virtual-machines", "memory-dump", false),
		catalogueOf("quantum/computers", "entanglement", true)
	first := l.requested(l.intent("erin"), request.CustomerNotified)
	if v := l.state(first).Evaluation.GetCatalogueVersion(); v != catalogue.Default().Version() {
		t.Errorf("before anything is published it is %s that says", v)
	}
	l.mayNot("erin", publish(machines), forbidden, "R6")
	// a customer's people have no say in the provider's catalogue
	l.mayNot("grace", publish(machines), unauthenticated, "R13")
	for _, change := range []func(*lockboxv1.Command){
		func(c *lockboxv1.Command) { c.Tenant = bank },
		func(c *lockboxv1.Command) { c.AggregateId = "rules" },
	} {
		elsewhere := publish(machines)
		change(elsewhere)
		l.mayNot("olga", elsewhere, invalid, "bad input")
	}
	if reply := l.does("olga", publish(machines)); reply.GetVersion() != 1 || reply.GetEventId() == "" {
		t.Errorf("%v", reply)
	}
	if reply := l.does("olga", publish(machines)); reply.GetEventId() != "" {
		t.Errorf("what is in force is not published again: %v", reply)
	}
	second := l.requested(l.intent("erin"), request.Active)
	if e := l.state(second).Evaluation; e.GetWaiver() != lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA ||
		e.GetCatalogueVersion() != version(t, machines) {
		t.Errorf("%v", e)
	}
	r := l.mayNot("olga", publish(strings.Replace(machines, "generally available", "someday", 1)), invalid, "R6")
	if !strings.Contains(r.GetMessage(), `services.yaml:5: want one of`) {
		t.Errorf("a bad catalogue is refused at its line: %s", r.GetMessage())
	}

	l.does("olga", publish(quantum))
	third := l.requested(l.intent("erin"), request.Refused)
	if e := l.state(third).Evaluation; e.GetRefusal().GetRule() != "R10" ||
		e.GetCatalogueVersion() != version(t, quantum) {
		t.Errorf("%v", e)
	}
	l.restart(0)
	fourth := l.requested(l.intent("erin"), request.Refused)
	l.does("olga", publish(string(catalogue.DefaultText())))
	fifth := l.requested(l.intent("erin"), request.CustomerNotified)

	for id, text := range map[string]string{
		first: string(catalogue.DefaultText()), second: machines, third: quantum, fourth: quantum,
		fifth: string(catalogue.DefaultText()),
	} {
		s := l.state(id)
		c, err := catalogue.Parse([]byte(text))
		must(t, err)
		again := policy.Again(s, policy.Default(), c, request.DefaultTerms())
		if !bytes.Equal(canonical(t, s.Evaluation), canonical(t, again)) {
			t.Errorf("recorded\n%v\nagain\n%v", s.Evaluation, again)
		}
	}
}

// Access without the customer needs a catalogue that says so when it begins, not only when it was evaluated (I3).
func TestACatalogueThatIsPublishedMeanwhileEndsAWaiver(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	in := l.intent("erin")
	in.Scenario = "restart" // elevated, and reaches no customer data
	id := l.requested(in, request.AwaitingInternalApproval)
	l.does("olga", &lockboxv1.Command{Tenant: "_", AggregateId: "catalogue", Action: &lockboxv1.Command_PublishCatalogue{
		PublishCatalogue: &lockboxv1.PublishCatalogue{Text: catalogueOf("compute/virtual-machines", "restart", true)},
	}})
	l.does("derek", &lockboxv1.Command{AggregateId: id,
		Action: &lockboxv1.Command_InternalApprove{InternalApprove: &lockboxv1.InternalApprove{}}})
	l.reaches(id, request.Lapsed)
}

// catalogueOf has one type, with one scenario.
func catalogueOf(resourceType, scenario string, customerData bool) string {
	return fmt.Sprintf(`version: "2030.1"
services:
  - type: %s
    name: Machines
    stage: generally available
    paths: [Microsoft.Compute/virtualMachines/*]
    scenarios:
      - {id: %s, name: Something, customer_data: %t, elevated: false, scope: subscription}
`, resourceType, scenario, customerData)
}

func version(t *testing.T, text string) string {
	t.Helper()
	c, err := catalogue.Parse([]byte(text))
	must(t, err)
	return c.Version()
}

// A published rule weighs what customers said to the engineer before, whichever customer it was, and no other engineer
// pays for it (R13).
func TestARuleWeighsTheEngineersHistory(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	const text = `name: denials
rules:
  - id: denied-before
    when: history.denied >= 1
    effect: require_internal_approval
    stages: [{group: customer-support-leads}]
    reason: A customer denied this engineer access in the last 30 days.
  - {id: rest, when: history.denied == 0, effect: allow, reason: Nobody denied this engineer anything lately.}
`
	l.does("olga", &lockboxv1.Command{Tenant: "_", AggregateId: "rules",
		Action: &lockboxv1.Command_PublishRules{PublishRules: &lockboxv1.PublishRules{Text: text}}})
	weighed := func(id string) *lockboxv1.EngineerHistory { return l.state(id).Evaluation.GetFacts().GetHistory() }

	first := l.requested(l.intent("erin"), request.CustomerNotified)
	if h := weighed(first); h.GetRequests() != 0 || h.GetDenied() != 0 || h.GetAsOfSequence() == 0 {
		t.Errorf("her first request has nothing before it: %v", h)
	}
	l.does("fleur", deny(first, "Not in this window."))
	for range 2 { // The second time after a restart: what is in memory is counted again from the stream.
		id := l.requested(l.intent("erin"), request.AwaitingInternalApproval)
		s := l.state(id)
		h, asked := weighed(id), s.Evaluation.GetInternalStages()
		if h.GetDenied() != 1 || h.GetGranted() != 0 || len(asked) != 1 || asked[0].GetGroup() != "customer-support-leads" {
			t.Errorf("after a denial a support lead is asked: %v", s.Evaluation)
		}
		if h.GetAsOfSequence() < l.state(first).Sequence {
			t.Errorf("it was counted up to %d, and the denial is at %d", h.GetAsOfSequence(), l.state(first).Sequence)
		}
		rules, err := policy.Parse([]byte(text))
		must(t, err)
		if again := policy.Again(s, rules, catalogue.Default(),
			request.DefaultTerms()); !bytes.Equal(canonical(t, s.Evaluation), canonical(t, again)) {
			t.Errorf("recorded\n%v\nagain\n%v", s.Evaluation, again)
		}
		if h := weighed(l.requested(l.intent("ivan"), request.CustomerNotified)); h.GetDenied() != 0 {
			t.Errorf("the denial is not ivan's: %v", h)
		}
		l.restart(0)
	}
}

// An evaluator that cannot go on counting ends, and so it does when it starts again: what is not known of an engineer
// is never taken for nothing (I11).
func TestAnEvaluatorThatCannotCountEnds(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	config := l.config
	config.Dir, config.Only = t.TempDir(), []bus.Identity{bus.Orchestrator}
	s, err := stack.Start(t.Context(), config) // so that signing begins
	must(t, err)
	must(t, s.Close())
	config.Only = []bus.Identity{bus.Evaluator}
	for _, first := range []bool{true, false} {
		s, err := stack.Start(t.Context(), config)
		must(t, err)
		if first {
			nc, err := s.Connect(bus.Evaluator)
			must(t, err)
			id := newID(l)
			later, err := proto.Marshal(&lockboxv1.Event{Id: newID(l), Tenant: bank, Kind: aggregate.KindRequest,
				AggregateId: id, Version: 1, Time: timestamppb.Now()})
			must(t, err)
			// A fact of a later version.
			later = protowire.AppendBytes(protowire.AppendTag(later, 4000, protowire.BytesType), nil)
			keys, err := s.Writer(bus.Evaluator)
			must(t, err)
			subject := "lockbox.event." + bank + ".request." + id + ".1.AccessRequested"
			stored, err := keys.Signer.Sign([]signed.Unsigned{{Subject: subject, Content: later}})
			must(t, err)
			_, err = nc.Request(subject, stored[0], patience)
			must(t, err)
			nc.Close()
		}
		select {
		case <-s.Done():
		case <-time.After(patience):
			t.Error("it still runs")
		}
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), "counting histories") {
			t.Errorf("first %t: %v", first, err)
		}
		must(t, s.Close())
	}
}
