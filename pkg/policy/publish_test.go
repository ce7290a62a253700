package policy_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

const (
	invalid   = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
	forbidden = lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN
	conflict  = lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT
)

func provider(group string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Groups: []string{group},
		Person: &lockboxv1.Person{Issuer: "https://nimbus.example", Subject: "olga"}}
}

func publish(id, text string, by *lockboxv1.Actor) aggregate.Command {
	return aggregate.Command{By: by, Command: &lockboxv1.Command{
		Id: id, Tenant: "_", AggregateId: "rules",
		Action: &lockboxv1.Command_PublishRules{PublishRules: &lockboxv1.PublishRules{Text: text}},
	}}
}

// control: iso:5.15
func TestRulesArePublishedByTheSecurityOfficer(t *testing.T) {
	officer := provider(aggregate.SecurityOfficers)
	var s policy.Published
	does := func(c aggregate.Command) {
		t.Helper()
		e, err := policy.Decide(s, c, now)
		if err != nil || e == nil {
			t.Fatalf("%v, %v", e, err)
		}
		if s = policy.Evolve(s, s.Sequence+1, e); s.Fault != nil {
			t.Fatalf("%+v", s.Fault)
		}
		if again, err := policy.Decide(s, c, now); again != nil || err != nil {
			t.Errorf("the same command again: %v, %v", again, err)
		}
	}
	mayNot := func(c aggregate.Command, code lockboxv1.RefusalCode, says string) {
		t.Helper()
		rule := "R14"
		if code == conflict {
			rule = "R29"
		}
		e, err := policy.Decide(s, c, now)
		if r, _ := refusal.As(err); e != nil || r.GetCode() != code || r.GetRule() != rule ||
			!strings.Contains(r.GetMessage(), says) {
			t.Errorf("%v, %v", e, err)
		}
	}
	mayNot(publish("1", small, provider(aggregate.DevOpsManagers)), forbidden, "security officer")
	mayNot(publish("1", small, &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
		Groups: []string{aggregate.SecurityOfficers}, Person: officer.GetPerson()}), forbidden, "security officer")
	mayNot(publish("1", strings.Replace(small, "effect: allow", "effect: alow", 1), officer), invalid,
		"28:13: want one of allow")
	mayNot(publish("1", small+strings.Repeat("# \n", 20_000), officer), invalid, "bytes long")
	if s.Exists() {
		t.Fatal("a refusal changes nothing")
	}
	does(publish("2", small, officer))
	if s.Text != small || s.TextVersion != parse(t, small).Version() || !s.At.Equal(now) ||
		s.By.GetPerson().GetSubject() != "olga" {
		t.Errorf("%+v", s)
	}
	if e, err := policy.Decide(s, publish("3", small, officer), now); e != nil || err != nil {
		t.Errorf("what is in force is not published again: %v, %v", e, err)
	}
	late := publish("4", string(policy.DefaultText()), officer)
	late.SeenVersion = 7
	mayNot(late, conflict, "it has changed since you saw it")
	does(publish("5", string(policy.DefaultText()), officer))
	late = publish("7", small, officer)
	late.SeenVersion = 1
	mayNot(late, conflict, "olga changed it at ")
	does(publish("6", small, officer)) // and back again
	if s.Version != 3 {
		t.Errorf("version %d", s.Version)
	}
}

func TestPublishedRulesThatCannotBeTrueAreAFault(t *testing.T) {
	e, err := policy.Decide(policy.Published{}, publish("1", small, provider(aggregate.SecurityOfficers)), now)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*lockboxv1.Event){
		"another text than its hash":  func(e *lockboxv1.Event) { e.GetRulesPublished().Text += " " },
		"by somebody else":            func(e *lockboxv1.Event) { e.Actor = provider(aggregate.DevOpsManagers) },
		"about something else":        func(e *lockboxv1.Event) { e.AggregateId = "catalogue" },
		"a fact of something else":    func(e *lockboxv1.Event) { e.Fact = &lockboxv1.Event_LockboxEnabled{} },
		"a version that is not next":  func(e *lockboxv1.Event) { e.Version = 2 },
		"a kind that is another kind": func(e *lockboxv1.Event) { e.Kind = "tenant" },
	} {
		e := proto.CloneOf(e)
		change(e)
		if s := policy.Evolve(policy.Published{}, 1, e); s.Fault == nil || s.Exists() {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func publishCatalogue(id, text string, by *lockboxv1.Actor) aggregate.Command {
	return aggregate.Command{By: by, Command: &lockboxv1.Command{
		Id: id, Tenant: "_", AggregateId: "catalogue",
		Action: &lockboxv1.Command_PublishCatalogue{PublishCatalogue: &lockboxv1.PublishCatalogue{Text: text}},
	}}
}

const tiny = `version: "1"
services:
  - type: compute/virtual-machines
    name: Virtual machines
    stage: generally available
    paths: [Microsoft.Compute/virtualMachines/*]
    scenarios:
      - {id: memory-dump, name: Memory dump, customer_data: true, elevated: false, scope: subscription}
`

func TestTheCatalogueIsPublishedByTheSecurityOfficer(t *testing.T) {
	officer := provider(aggregate.SecurityOfficers)
	var s policy.Published
	does := func(c aggregate.Command) {
		t.Helper()
		e, err := policy.Decide(s, c, now)
		if err != nil || e == nil || e.GetAggregateId() != "catalogue" || e.GetCataloguePublished() == nil {
			t.Fatalf("%v, %v", e, err)
		}
		if s = policy.Evolve(s, s.Sequence+1, e); s.Fault != nil {
			t.Fatalf("%+v", s.Fault)
		}
		if again, err := policy.Decide(s, c, now); again != nil || err != nil {
			t.Errorf("the same command again: %v, %v", again, err)
		}
	}
	mayNot := func(c aggregate.Command, code lockboxv1.RefusalCode, says string) {
		t.Helper()
		e, err := policy.Decide(s, c, now)
		r, _ := refusal.As(err)
		if rule := map[bool]string{false: "R6", true: "R29"}[code == conflict]; e != nil || r.GetCode() != code ||
			r.GetRule() != rule || !strings.Contains(r.GetMessage(), says) {
			t.Errorf("%v, %v", e, err)
		}
		if len(r.GetMessage()) > 2_100 {
			t.Errorf("the refusal has %d bytes", len(r.GetMessage()))
		}
	}
	mayNot(publishCatalogue("1", tiny, provider(aggregate.DevOpsManagers)), forbidden, "security officer")
	mayNot(publishCatalogue("1", tiny, &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
		Groups: []string{aggregate.SecurityOfficers}, Person: officer.GetPerson()}), forbidden, "security officer")
	mayNot(publishCatalogue("1", strings.Replace(tiny, "true", "perhaps", 1), officer), invalid,
		"services.yaml:8: want true or false")
	mayNot(publishCatalogue("1", small, officer), invalid, "services.yaml:1: unknown key")
	mayNot(publishCatalogue("1", "", officer), invalid, "is empty")
	mayNot(publishCatalogue("1", strings.Replace(tiny, "memory-dump", strings.Repeat("\u00e9", 20_000), 1), officer),
		invalid, "services.yaml:8: want an id")
	mayNot(publishCatalogue("1", tiny+strings.Repeat("# \n", 20_000), officer), invalid, "bytes long")
	if s.Exists() {
		t.Fatal("a refusal changes nothing")
	}
	does(publishCatalogue("2", tiny, officer))
	if s.Text != tiny || !strings.HasPrefix(s.TextVersion, "1+") || !s.At.Equal(now) ||
		s.By.GetPerson().GetSubject() != "olga" {
		t.Errorf("%+v", s)
	}
	if e, err := policy.Decide(s, publishCatalogue("3", tiny, officer), now); e != nil || err != nil {
		t.Errorf("what is in force is not published again: %v, %v", e, err)
	}
	late := publishCatalogue("4", string(catalogue.DefaultText()), officer)
	late.SeenVersion = 7
	mayNot(late, conflict, "it has changed since you saw it")
	does(publishCatalogue("5", string(catalogue.DefaultText()), officer)) // what ships is small enough
	if s.TextVersion != catalogue.Default().Version() {
		t.Errorf("%s", s.TextVersion)
	}
	does(publishCatalogue("6", tiny, officer)) // and back again
	if s.Version != 3 {
		t.Errorf("version %d", s.Version)
	}
}

func TestAPublishedCatalogueThatCannotBeTrueIsAFault(t *testing.T) {
	e, err := policy.Decide(policy.Published{}, publishCatalogue("1", tiny, provider(aggregate.SecurityOfficers)), now)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*lockboxv1.Event){
		"another text than its hash": func(e *lockboxv1.Event) { e.GetCataloguePublished().Text += " " },
		"by somebody else":           func(e *lockboxv1.Event) { e.Actor = provider(aggregate.DevOpsManagers) },
		"about the rules":            func(e *lockboxv1.Event) { e.AggregateId = "rules" },
		"of another kind":            func(e *lockboxv1.Event) { e.Kind = "tenant" },
		"rules as a catalogue": func(e *lockboxv1.Event) {
			p := e.GetCataloguePublished()
			e.Fact = &lockboxv1.Event_RulesPublished{RulesPublished: &lockboxv1.RulesPublished{Text: p.GetText(),
				Version: p.GetVersion(), Sha256: p.GetSha256()}}
		},
	} {
		e := proto.CloneOf(e)
		change(e)
		if s := policy.Evolve(policy.Published{}, 1, e); s.Fault == nil || s.Exists() {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
