package policy_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/event"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

func provider(group string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Groups: []string{group}, Person: &lockboxv1.Person{Issuer: "https://nimbus.example", Subject: "olga"}}
}

func publish(id, text string, by *lockboxv1.Actor) event.Command {
	return event.Command{By: by, Command: &lockboxv1.Command{
		Id: id, Tenant: "_", AggregateId: "rules", Action: &lockboxv1.Command_PublishRules{PublishRules: &lockboxv1.PublishRules{Text: text}},
	}}
}

func TestRulesArePublishedByTheSecurityOfficer(t *testing.T) {
	officer := provider(event.SecurityOfficers)
	var s policy.Published
	does := func(c event.Command) {
		t.Helper()
		events, err := policy.Decide(s, c, now)
		if err != nil || len(events) != 1 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		if s = policy.Evolve(s, s.Sequence+1, events[0]); s.Fault != nil {
			t.Fatalf("%+v", s.Fault)
		}
		if again, err := policy.Decide(s, c, now); len(again) > 0 || err != nil {
			t.Errorf("the same command again: %d events, %v", len(again), err)
		}
	}
	mayNot := func(c event.Command, code lockboxv1.RefusalCode, says string) {
		t.Helper()
		events, err := policy.Decide(s, c, now)
		if r, _ := refusal.As(err); len(events) > 0 || r.GetCode() != code || r.GetRule() != "R14" || !strings.Contains(r.GetMessage(), says) {
			t.Errorf("%d events, %v", len(events), err)
		}
	}
	const invalid, forbidden, conflict = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID, lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN, lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT
	mayNot(publish("1", small, provider(event.DevOpsManagers)), forbidden, "security officer")
	mayNot(publish("1", small, &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Groups: []string{event.SecurityOfficers}, Person: officer.GetPerson()}), forbidden, "security officer")
	mayNot(publish("1", strings.Replace(small, "effect: allow", "effect: alow", 1), officer), invalid, "28:13: want one of allow")
	mayNot(publish("1", small+strings.Repeat("# \n", 20_000), officer), invalid, "bytes long")
	if s.Exists() {
		t.Fatal("a refusal changes nothing")
	}
	does(publish("2", small, officer))
	if s.Text != small || s.PolicyVersion != parse(t, small).Version() || !s.At.Equal(now) || s.By.GetPerson().GetSubject() != "olga" {
		t.Errorf("%+v", s)
	}
	if events, err := policy.Decide(s, publish("3", small, officer), now); len(events) > 0 || err != nil {
		t.Errorf("what is in force is not published again: %d events, %v", len(events), err)
	}
	late := publish("4", string(policy.DefaultText()), officer)
	late.SeenVersion = 7
	mayNot(late, conflict, "other rules were published since")
	does(publish("5", string(policy.DefaultText()), officer))
	does(publish("6", small, officer)) // and back again
	if s.Version != 3 {
		t.Errorf("version %d", s.Version)
	}
}

func TestPublishedRulesThatCannotBeTrueAreAFault(t *testing.T) {
	events, err := policy.Decide(policy.Published{}, publish("1", small, provider(event.SecurityOfficers)), now)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*lockboxv1.Event){
		"another text than its hash":  func(e *lockboxv1.Event) { e.GetRulesPublished().Text += " " },
		"by somebody else":            func(e *lockboxv1.Event) { e.Actor = provider(event.DevOpsManagers) },
		"about something else":        func(e *lockboxv1.Event) { e.AggregateId = "catalogue" },
		"a fact of something else":    func(e *lockboxv1.Event) { e.Fact = &lockboxv1.Event_LockboxEnabled{} },
		"a version that is not next":  func(e *lockboxv1.Event) { e.Version = 2 },
		"a kind that is another kind": func(e *lockboxv1.Event) { e.Kind = "tenant" },
	} {
		e := proto.CloneOf(events[0])
		change(e)
		if s := policy.Evolve(policy.Published{}, 1, e); s.Fault == nil || s.Exists() {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
