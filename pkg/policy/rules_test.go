package policy_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"
)

func TestTheShippedRulesAreTheBuiltInOnes(t *testing.T) {
	for name, builtin := range map[string][]byte{"rules.yaml": policy.DefaultText(),
		"rules_test.yaml": policy.DefaultCases()} {
		shipped, err := os.ReadFile("../../deploy/config/" + name)
		if err != nil || !bytes.Equal(shipped, builtin) {
			t.Errorf("deploy/config/%s is not pkg/policy/%s (%v)", name, name, err)
		}
	}
}

func TestTheShippedRulesDoWhatTheirCasesSay(t *testing.T) {
	n, err := rules.Check(policy.DefaultCases(), catalogue.Default())
	if err != nil || n < 10 {
		t.Errorf("%d cases: %v", n, err)
	}
	used := map[string]bool{}
	for _, r := range rules.List() {
		used[r.ID] = bytes.Contains(policy.DefaultCases(), []byte(r.ID))
	}
	for id, is := range used {
		if !is {
			t.Errorf("no case is about the rule %s", id)
		}
	}
}

// small is a rule set with every effect, one way of writing each condition, and lines that tests can name.
const small = `name: small
rules:
  - id: never
    when: intent.justification == "never"
    effect: refuse
    field: justification
    message: say something else
    reason: That word is refused.
  - id: twice
    when: 'intent.duration > duration("1h") && "support-engineers" in identity.groups'
    effect: require_internal_approval
    stages:
      - group: devops-managers
        count: 2
        answer_within: 1h
      - {group: customer-support-leads, answer_within: 30m}
    reason: More than an hour needs three people.
  - id: leads
    when: "tenant.support_plan >= SupportPlan.SUPPORT_PLAN_PREMIER"
    effect: require_internal_approval
    stages:
      - group: customer-support-leads
    reason: A premier customer's lead is asked.
  - id: short
    when: |
      intent.duration <= duration("1h")
      && now.getDayOfWeek() != 6
    effect: allow
    reason: An hour is little, except on Saturdays.
`

func parse(t *testing.T, text string) *policy.Rules {
	t.Helper()
	r, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatEachEffectDoes(t *testing.T) {
	hours := func(n int) func(*policy.Facts) {
		return func(f *policy.Facts) { f.Intent.Duration = durationpb.New(time.Duration(n) * time.Hour) }
	}
	for _, c := range []struct {
		name    string
		change  func(*policy.Facts)
		at      time.Time
		rules   string
		refusal string
		stages  string
		within  time.Duration
	}{
		{name: "allow", change: hours(1), at: now, rules: "short"},
		{name: "nothing matches", change: hours(1), at: now.AddDate(0, 0, 6), refusal: "R15: no rule lets this through"},
		{
			name: "stages in order, each with its time", change: hours(2), at: now, rules: "twice",
			stages: "2 devops-managers 1h0m0s, 1 customer-support-leads 30m0s", within: 90 * time.Minute,
		},
		{
			name: "the stages of two rules are joined in the rules' order", at: now, rules: "twice leads",
			change: func(f *policy.Facts) { hours(2)(f); f.Tenant.Plan = lockboxv1.SupportPlan_SUPPORT_PLAN_PREMIER },
			stages: "2 devops-managers 1h0m0s, 1 customer-support-leads 30m0s, 1 customer-support-leads 24h0m0s",
			within: 25*time.Hour + 30*time.Minute,
		},
		{
			name: "a refusal wins over what demands and allows", at: now, rules: "never twice leads",
			refusal: "R13: say something else",
			change: func(f *policy.Facts) {
				hours(2)(f)
				f.Tenant.Plan, f.Intent.Justification = lockboxv1.SupportPlan_SUPPORT_PLAN_PREMIER, "never"
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := parse(t, small)
			v := policy.Evaluate(facts(c.change), r, catalogue.Default(), terms, c.at)
			var matched, stages []string
			for _, m := range v.GetRules() {
				matched = append(matched, m.GetId())
				if m.GetReason() == "" || m.GetEffect() == 0 {
					t.Errorf("a matching rule is recorded with effect and reason (R14): %v", m)
				}
			}
			for _, s := range v.GetInternalStages() {
				stages = append(stages, fmt.Sprintf("%d %s %s", s.GetCount(), s.GetGroup(), s.GetAnswerWithin().AsDuration()))
			}
			refusal := ""
			if f := v.GetRefusal(); f != nil {
				refusal = f.GetRule() + ": " + f.GetMessage()
			}
			if got := strings.Join(matched, " "); got != c.rules || refusal != c.refusal ||
				strings.Join(stages, ", ") != c.stages {
				t.Errorf("rules %q, refusal %q, stages %q", got, refusal, stages)
			}
			if c.within > 0 && !v.GetInternalExpiresAt().AsTime().Equal(c.at.Add(c.within)) {
				t.Errorf("internal approvals have until %s", v.GetInternalExpiresAt().AsTime())
			}
			refused := v.GetOutcome() == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED
			if refused != (c.refusal != "") {
				t.Errorf("the outcome is %s", v.GetOutcome())
			}
			if v.GetPolicyVersion() != r.Version() || !strings.HasPrefix(r.Version(), "small+") ||
				len(r.Version()) != len("small+")+16 {
				t.Errorf("the version is %q", v.GetPolicyVersion())
			}
		})
	}
}

// control: mcsb:PA-8, iso:5.15
func TestNoRuleWaivesTheCustomer(t *testing.T) {
	r := parse(t, "name: all\nrules:\n  - {id: all, when: 'true', effect: allow, reason: Everything.}\n")
	v := policy.Evaluate(facts(func(*policy.Facts) {}), r, catalogue.Default(), terms, now)
	if v.GetOutcome() != lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES || v.GetWaiver() != 0 {
		t.Errorf("customer data needs the customer whatever rules say: %v", v)
	}
}

func TestARuleSeesNoToken(t *testing.T) {
	r := parse(t, "name: all\nrules:\n  - {id: all, when: 'intent.token == \"\"', effect: allow, reason: Everything.}\n")
	f := facts(func(f *policy.Facts) { f.Intent.Token = "secret" })
	if v := policy.Evaluate(f, r, catalogue.Default(), terms, now); v.GetRefusal() != nil ||
		f.Intent.GetToken() != "secret" {
		t.Errorf("%v", v)
	}
}

// control: iso:5.15
func TestAConditionThatCannotBeEvaluatedRefuses(t *testing.T) {
	const all = "  - {id: all, when: 'true', effect: allow, reason: Everything.}\n"
	for name, condition := range map[string]string{
		"out of range":             `intent.resource_ids[7] == "x"`,
		"division by nothing":      `1 / size(intent.resource_ids) > 0`,
		"more than it may cost":    `identity.groups.all(a, identity.groups.all(b, identity.groups.all(c, identity.groups.all(d, (a + b + c + d).matches("(.*)(.*)(.*)x") == false))))`,
		"what is not a number":     `int(identity.employer) > 0`,
		"not the other way around": `!(intent.resource_ids[7] == "x")`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{
				"name: a\nrules:\n" + all + "  - {id: bad, when: '" + condition + "', effect: allow, reason: Bad.}\n",
				"name: a\nrules:\n" + all + "  - {id: bad, when: '" + condition + "', effect: refuse, message: no, reason: Bad.}\n",
			} {
				f := facts(func(f *policy.Facts) {
					for i := range 20 {
						f.By.Groups = append(f.By.Groups, fmt.Sprintf("group-%d", i))
					}
				})
				v := policy.Evaluate(f, parse(t, text), catalogue.Default(), terms, now)
				last := v.GetRules()[len(v.GetRules())-1]
				if v.GetOutcome() != lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED || v.GetRefusal().GetRule() != "I11" ||
					last.GetId() != "bad" || last.GetEffect() != lockboxv1.RuleEffect_RULE_EFFECT_FAILED {
					t.Errorf("what is not known is refused (I11): %v", v)
				}
			}
		})
	}
}

func TestAConditionStopsAtItsCost(t *testing.T) {
	// Twenty groups, nested six deep, are 64 million steps.
	nested := strings.Repeat("identity.groups.all(g, ", 6) + "true" + strings.Repeat(")", 6)
	r := parse(t, "name: a\nrules:\n  - {id: endless, when: '"+nested+"', effect: allow, reason: Endless.}\n")
	f := facts(func(f *policy.Facts) {
		for i := range 20 {
			f.By.Groups = append(f.By.Groups, fmt.Sprintf("group-%d", i))
		}
	})
	begun := time.Now()
	v := policy.Evaluate(f, r, catalogue.Default(), terms, now)
	if v.GetRefusal().GetRule() != "I11" || time.Since(begun) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(begun), v.GetRefusal())
	}
}

func TestABadRuleIsRefusedAtItsPlace(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "effect: allow", "effect: allow\n    efect: allow",
			`29:5: unknown key "efect"; did you mean "effect"?`},
		{"unknown effect", "effect: allow", "effect: alow",
			`28:13: want one of allow, refuse, require_internal_approval, got "alow"; did you mean "allow"?`},
		{"no effect", "    effect: allow\n", "", `24:5: key "effect" is missing`},
		{"no reason", "    reason: An hour is little, except on Saturdays.\n", "", `24:5: key "reason" is missing`},
		{"empty reason", "An hour is little, except on Saturdays.", `""`, `29:13: `},
		{"a reason that turns text around", "An hour is little", "\"\u202e\" # An hour is little", `29:13: `},
		{"id twice", "id: short", "id: never", `24:9: rule never is given twice, first in line 3`},
		{"id of another form", "id: short", "id: Short One", `24:9: want an id such as second-factor, got "Short One"`},
		{"name of another form", "name: small", "name: small + x", `1:7: want a name such as "standard-1", got "small + x"`},
		{"group of another form", "group: devops-managers", "group: DevOps managers",
			`13:16: want a group such as devops-managers, got "DevOps managers"`},
		{"nobody in a stage", "count: 2", "count: 0", `14:16: want how many different people, 1 to 10`},
		{"no time in a stage", "answer_within: 1h", "answer_within: soon", `15:24: want a time such as 24h, at most 720h`},
		{"a demand without stages", "    stages:\n      - group: customer-support-leads\n", "",
			`20:13: key "stages" is missing: this effect needs it`},
		{"a demand with an empty list", "stages:\n      - group: customer-support-leads\n", "stages: []\n",
			`21:13: there must be at least one stage`},
		{"a refusal without message", "    message: say something else\n", "",
			`5:13: key "message" is missing: this effect needs it`},
		{"an allowance with stages", "effect: allow", "effect: allow\n    stages: [{group: a}]",
			`29:13: stages says nothing where the effect is allow`},
		{"an allowance with a field", "effect: allow", "effect: allow\n    field: token",
			`29:12: field says nothing where the effect is allow`},
		{"syntax, plain", `intent.justification == "never"`, `intent.justification ==== "never"`, `4:34: Syntax error`},
		{"a name that is not there, plain", "intent.justification ==", "intent.justificaton ==",
			`4:17: undefined field 'justificaton'`},
		{"a name that is not there, in single quotes", `"support-engineers" in identity.groups`,
			`"support-engineers" in identiy.groups`, `10:71: undeclared reference to 'identiy'`},
		{"after a quote in single quotes", `"support-engineers" in identity.groups`, `"it''s" in identiy.groups`,
			`10:59: undeclared reference to 'identiy'`},
		{"in double quotes", `"tenant.support_plan >= S`, `"tenant.suport_plan >= S`, `19:18: undefined field 'suport_plan'`},
		{"after an escape in double quotes", `"tenant.support_plan >= SupportPlan.SUPPORT_PLAN_PREMIER"`,
			`"tenant.id == \"é\" && nobody"`, `19:34: undeclared reference to 'nobody'`},
		{"on the second line of a block", "&& now.getDayOfWeek()", "&& now.getDayOfWeak()",
			`27:26: undeclared reference to 'getDayOfWeak'`},
		{"on the second line of a folded block",
			"when: |\n      intent.duration <= duration(\"1h\")\n      && now.getDayOfWeek()",
			"when: >-\n      intent.duration <= duration(\"1h\")\n      && now.getDayOfWeak()",
			`27:26: undeclared reference to 'getDayOfWeak'`},
		{"on the second line of plain text",
			"when: |\n      intent.duration <= duration(\"1h\")\n      && now.getDayOfWeek()",
			"when: intent.duration <= duration(\"1h\")\n      && now.getDayOfWeak()",
			`26:26: undeclared reference to 'getDayOfWeak'`},
		{"a type error", `intent.justification == "never"`, `intent.justification == 7`,
			`4:32: found no matching overload for '_==_' applied to '(string, int)'`},
		{"not true or false", `intent.justification == "never"`, `intent.justification`,
			`4:11: a condition is true or false; this one comes to string`},
		{"no condition", `intent.justification == "never"`, ``, `4:10: want a condition in CEL`},
		{"a duration that is none", `duration("1h") &&`, `duration("one hour") &&`, `10:39: invalid duration argument`},
		{"a pattern that is none", `intent.justification == "never"`, `intent.justification.matches("(")`,
			`4:40: invalid matches argument`},
		{"what history does not know", `intent.justification == "never"`, `history.visits > 7`,
			`4:18: undefined field 'visits'`},
		{"rules missing", small[strings.Index(small, "rules:"):], "", `1:1: key "rules" is missing`},
		{"no rules", small[strings.Index(small, "rules:"):], "rules: []\n",
			`2:8: there is no rule, so nothing would ever be let through`},
		{"an alias", "reason: A premier customer's lead is asked.",
			"reason: &x A.\n  - id: b\n    when: 'true'\n    effect: allow\n    reason: *x", `27:13: want a text`},
		{"two documents", "name: small", "a: b\n---\nname: small", `holds more than one document`},
		{"not YAML", "name: small", "name: [", `2:1: `},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(small, c.old, c.new, 1)
			if changed == small {
				t.Fatal("the change changes nothing")
			}
			_, err := policy.Parse([]byte(changed))
			var problems policy.Problems
			if !errors.As(err, &problems) || len(problems) == 0 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got\n%v\nwant %s", err, c.want)
			}
		})
	}
	for _, empty := range []string{"", "# nothing\n"} {
		if _, err := policy.Parse([]byte(empty)); err == nil || err.Error() != "1:1: is empty" {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

func TestAllProblemsAreTold(t *testing.T) {
	text := strings.NewReplacer("effect: allow", "effect: alow", "intent.justification", "intent.justificaton",
		"tenant.support_plan", "tenant.suport_plan").Replace(small)
	_, err := policy.Parse([]byte(text))
	var problems policy.Problems
	if !errors.As(err, &problems) || len(problems) != 3 || problems[0].Line != 4 || problems[1].Line != 19 ||
		problems[2].Line != 28 {
		t.Errorf("%v", err)
	}
}

func TestACaseThatComesOutOtherwiseIsAProblemAtItsPlace(t *testing.T) {
	const cases = `cases:
  - name: a
    facts:
      identity: {multi_factor: false}
    expect:
      outcome: refused
      rules: [second-factor, ordinary-permission]
`
	if n, err := rules.Check([]byte(cases), catalogue.Default()); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"outcome", "refused", "customer_decides", `6:16: "a": the outcome is refused: sign in with`},
		{"rules", "[second-factor, ordinary-permission]", "[second-factor]",
			`7:14: "a": the rules that match are [second-factor, ordinary-permission]`},
		{"no rules", "      rules: [second-factor, ordinary-permission]\n", "", `6:7: "a": the rules that match are`},
		{"stages", "rules:", "stages: [{group: devops-managers}]\n      rules:", `7:15: "a": the internal stages are []`},
		{"a fact that is not there", "multi_factor: false", "multifactor: false", `4:17: `},
		{"facts of nothing", "identity:", "identiy:", `4:7: unknown key "identiy"; did you mean "identity"?`},
		{"an outcome that is not there", "outcome: refused", "outcome: refuse",
			`6:16: want one of customer_decides, customer_waived, refused, got "refuse"`},
		{"twice", "cases:\n",
			"cases:\n  - name: a\n    facts: {identity: {multi_factor: false}}\n    expect: {outcome: refused, rules: [second-factor, ordinary-permission]}\n", `5:5: case "a" is given twice`},
		{"time", "identity: {multi_factor: false}", "identity: {multi_factor: false}\n      now: soon",
			`5:12: want a time such as`},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(cases, c.old, c.new, 1)
			if changed == cases {
				t.Fatal("the change changes nothing")
			}
			if _, err := rules.Check([]byte(changed), catalogue.Default()); err == nil ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	failing := parse(t, "name: a\nrules:\n  - {id: bad, when: 'intent.resource_ids[7] == \"\"', effect: allow, reason: Bad.}\n")
	if _, err := failing.Check([]byte(cases), catalogue.Default()); err == nil ||
		!strings.Contains(err.Error(), `the rule bad could not be evaluated: index out of bounds: 7`) {
		t.Errorf("a case says why a rule fails: %v", err)
	}
}

// What was recorded is enough to come to the same again, byte for byte, whatever was weighed (R14, I8).
func TestTheSameFactsComeToTheSameBytes(t *testing.T) {
	sets := []*policy.Rules{rules, parse(t, small), parse(t, denials)}
	services := catalogue.Default().Services()
	rapid.Check(t, func(t *rapid.T) {
		service := rapid.SampledFrom(services).Draw(t, "service")
		scenario := "look-around"
		if len(service.Scenarios) > 0 {
			scenario = rapid.SampledFrom(service.Scenarios).Draw(t, "scenario").ID
		}
		yes := func(what string) bool { return rapid.Bool().Draw(t, what) }
		f := policy.Facts{
			Intent: &lockboxv1.AccessIntent{
				Id: "019b0000-0000-7000-8000-000000000001", Tenant: "contoso", ResourceType: service.Type, Scenario: scenario,
				Justification: rapid.SampledFrom([]string{"never", "because"}).Draw(t, "justification"),
			},
			By: &lockboxv1.Actor{
				Side: lockboxv1.Side_SIDE_PROVIDER, MultiFactor: yes("factors"), IsolatedIdentity: yes("isolated"),
				Employer: rapid.SampledFrom([]string{"", "Nimbus Cloud"}).Draw(t, "employer"),
				Groups: []string{rapid.SampledFrom([]string{aggregate.SupportEngineers, aggregate.SecurityOfficers}).Draw(t,
					"group")},
				Person: &lockboxv1.Person{Issuer: "https://nimbus.example", Subject: "erin"},
			},
			Tenant: bank(),
		}
		f.Tenant.Enabled, f.Tenant.Plan = yes("enabled"), lockboxv1.SupportPlan(rapid.Int32Range(1, 5).Draw(t, "plan"))
		if yes("signed up") {
			f.Tenant = signedUp(f.Tenant, service.Type)
		}
		if yes("subscription") {
			f.Intent.SubscriptionId = "production"
			f.Subscription = &tenant.Subscription{}
			if yes("exists") {
				f.Subscription.Version = 1
			}
			if yes("faulty") {
				f.Subscription.Fault = &aggregate.Fault{Sequence: 1, Rule: "none"}
			}
		}
		if yes("ticket") {
			f.Ticket = &ticket.State{}
			if yes("opened") {
				f.Ticket.Version, f.Ticket.OpenedBy = 1, grace
			}
			if yes("of the provider") {
				f.Ticket.OpenedBy = f.By
			}
			if yes("closed") {
				f.Ticket.ClosedBy = grace
				f.Tenant.Settings = &lockboxv1.TenantSettings{AccessEndsWithTicket: yes("ends")}
			}
		}
		if yes("history") {
			count := rapid.Int32Range(0, 4)
			f.History = &lockboxv1.EngineerHistory{
				Requests: count.Draw(t, "requests"), Granted: count.Draw(t, "granted"), Refused: count.Draw(t, "refused"),
				Denied: count.Draw(t, "denied"), Revoked: count.Draw(t, "revoked"), Emergencies: count.Draw(t, "emergencies"),
				AsOfSequence: rapid.Uint64().Draw(t, "as of"),
			}
		}
		if yes("duration") {
			f.Intent.Duration = durationpb.New(time.Duration(rapid.IntRange(1, 8*3600).Draw(t, "seconds")) * time.Second)
		}
		at := now.Add(time.Duration(rapid.Int64Range(0, int64(30*24*time.Hour)).Draw(t, "later")))
		set := rapid.SampledFrom(sets).Draw(t, "rules")
		first := policy.Evaluate(f, set, catalogue.Default(), terms, at)

		stored, err := proto.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		recorded := new(lockboxv1.AccessEvaluated)
		if err := proto.Unmarshal(stored, recorded); err != nil {
			t.Fatal(err)
		}
		state := request.State{Intent: f.Intent, Requester: f.By, RequestedAt: at.Add(-time.Minute), Evaluation: recorded}
		again := policy.Again(state, set, catalogue.Default(), terms)
		if !bytes.Equal(canonical(t, first), canonical(t, again)) {
			t.Fatalf("first %v\nagain %v", first, again)
		}
	})
}

func canonical(t interface{ Fatal(args ...any) }, m proto.Message) []byte {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add(policy.DefaultText())
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := policy.Parse(text)
		var problems policy.Problems
		if err != nil && (!errors.As(err, &problems) || len(problems) == 0) {
			t.Fatalf("%v", err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("%+v", p)
			}
		}
		if err == nil {
			policy.Evaluate(facts(func(*policy.Facts) {}), r, catalogue.Default(), terms, now)
		}
	})
}
