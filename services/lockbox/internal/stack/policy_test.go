package stack_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"google.golang.org/protobuf/proto"
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
			in.SubscriptionId, in.ResourceIds = "nowhere", []string{"/subscriptions/nowhere/vm/x"}
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
		return &lockboxv1.Command{Tenant: "_", AggregateId: "rules", Action: &lockboxv1.Command_PublishRules{PublishRules: &lockboxv1.PublishRules{Text: text}}}
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
	if e := l.state(refused).Evaluation; e.GetRefusal().GetMessage() != "not these days" || e.GetRules()[0].GetId() != "no-dumps" {
		t.Errorf("%v", e)
	}
	r := l.mayNot("olga", publish("name: bad\nrules:\n  - {id: a, when: intent.nothing, effect: allow, reason: A.}\n"), lockboxv1.RefusalCode_REFUSAL_CODE_INVALID, "R14")
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

// A published rule weighs what customers said to the engineer before, whichever customer it was, and no other engineer pays
// for it (R13).
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
	l.does("olga", &lockboxv1.Command{Tenant: "_", AggregateId: "rules", Action: &lockboxv1.Command_PublishRules{PublishRules: &lockboxv1.PublishRules{Text: text}}})
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
		if h.GetAsOfSequence() <= l.state(first).Sequence {
			t.Errorf("it was counted up to %d, and the denial is at %d", h.GetAsOfSequence(), l.state(first).Sequence)
		}
		rules, err := policy.Parse([]byte(text))
		must(t, err)
		if again := policy.Again(s, rules, catalogue.Default(), request.DefaultTerms()); !bytes.Equal(canonical(t, s.Evaluation), canonical(t, again)) {
			t.Errorf("recorded\n%v\nagain\n%v", s.Evaluation, again)
		}
		if h := weighed(l.requested(l.intent("ivan"), request.CustomerNotified)); h.GetDenied() != 0 {
			t.Errorf("the denial is not ivan's: %v", h)
		}
		l.restart(0)
	}
}

// An evaluator that cannot go on counting ends, and so it does when it starts again: what is not known of an engineer is
// never taken for nothing (I11).
func TestAnEvaluatorThatCannotCountEnds(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	config := l.config
	config.Dir, config.Only = t.TempDir(), []bus.Identity{bus.Evaluator}
	for _, first := range []bool{true, false} {
		s, err := stack.Start(t.Context(), config)
		must(t, err)
		if first {
			nc, err := s.Connect(bus.Evaluator)
			must(t, err)
			_, err = nc.Request("lockbox.event."+bank+".request."+newID(l)+".1.AccessRequested", []byte("nonsense"), patience)
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
