package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/policy"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Explanation explains an evaluation rule by rule. Without the rule set of that version, only the rules that matched
// are known.
func Explanation(l Look, v *lockboxv1.RequestView, rules []policy.Rule) string {
	e := v.GetEvaluation()
	p := &page{Look: l}
	p.title("Request " + Clean(v.GetRequestId()))
	p.field("Decision", Clean(policy.Verdict(e)))
	if r := e.GetRefusal(); r != nil {
		p.painted("Refusal", bad, RefusalSentence(r))
	}
	p.field("Rule set", Clean(e.GetPolicyVersion()))
	p.field("Catalogue", Clean(e.GetCatalogueVersion()))
	p.heading("Rules, in order")
	p.rules(e, rules)
	p.heading("Reasons")
	p.reasons(e)
	p.heading("Facts that were weighed")
	p.facts(v)
	return p.String()
}

func (p *page) rules(e *lockboxv1.AccessEvaluated, rules []policy.Rule) {
	matched := map[string]*lockboxv1.MatchedRule{}
	for _, m := range e.GetRules() {
		matched[m.GetId()] = m
	}
	if rules == nil {
		for _, m := range e.GetRules() {
			p.matched(m)
		}
		p.hang("  ", dim, "The rule set of that version is not at hand, so those that did not match are not shown; name its file with --rules.")
		return
	}
	for _, rule := range rules {
		if m := matched[rule.ID]; m != nil {
			p.matched(m)
			continue
		}
		why := "not: "
		if len(e.GetRules()) == 0 && e.GetRefusal().GetRule() != "R15" {
			why = "not asked, for the intent was refused before: "
		}
		p.hang("  "+p.glyph("·", "-")+" ", dim, rule.ID+": "+why+Clean(strings.Join(strings.Fields(rule.When), " ")))
	}
}

func (p *page) matched(m *lockboxv1.MatchedRule) {
	mark, color := p.glyph("✓", "+"), good
	if refuses(m) {
		mark, color = p.glyph("✗", "x"), bad
	}
	p.hang("  "+p.paint(color, mark)+" ", plain,
		fmt.Sprintf("%s: %s. %s", Clean(m.GetId()), EffectName(m.GetEffect()), Clean(m.GetReason())))
}

func refuses(m *lockboxv1.MatchedRule) bool {
	return !slices.Contains([]lockboxv1.RuleEffect{
		lockboxv1.RuleEffect_RULE_EFFECT_ALLOW, lockboxv1.RuleEffect_RULE_EFFECT_REQUIRE_INTERNAL_APPROVAL,
	}, m.GetEffect())
}

// EffectName returns the display name of a rule's effect.
func EffectName(e lockboxv1.RuleEffect) string {
	switch e {
	case lockboxv1.RuleEffect_RULE_EFFECT_REFUSE:
		return "refuses"
	case lockboxv1.RuleEffect_RULE_EFFECT_ALLOW:
		return "allows"
	case lockboxv1.RuleEffect_RULE_EFFECT_REQUIRE_INTERNAL_APPROVAL:
		return "demands internal approval"
	case lockboxv1.RuleEffect_RULE_EFFECT_FAILED:
		return "failed, which refuses"
	default:
		return sentence(e.String(), "RULE_EFFECT_")
	}
}

func (p *page) facts(v *lockboxv1.RequestView) {
	f := v.GetEvaluation().GetFacts()
	p.field("Sign-in", signIn(&lockboxv1.Actor{MultiFactor: f.GetMultiFactor(),
		IsolatedIdentity: f.GetIsolatedIdentity()}))
	p.field("Groups", Clean(strings.Join(v.GetRequester().GetGroups(), ", ")))
	p.field("Employer", Clean(v.GetRequester().GetEmployer()))
	if f.GetServiceName() != "" {
		p.field("Service", Clean(f.GetServiceName())+", "+strings.ToLower(sentence(f.GetStage().String(), "SERVICE_STAGE_")))
		p.field("Scenario", Clean(f.GetScenarioName()))
		p.field("Customer data", yesNo(f.GetCustomerData()))
		p.field("Elevated", yesNo(f.GetElevated()))
	}
	p.field("Scope", strings.ToLower(sentence(f.GetScope().String(), "SCOPE_")))
	p.field("Lockbox on", yesNo(f.GetLockboxEnabled()))
	if f.GetSupportPlan() != 0 {
		p.field("Support plan", strings.ToLower(sentence(f.GetSupportPlan().String(), "SUPPORT_PLAN_")))
	}
	if f.GetStage() == lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW {
		p.field("Signed up", yesNo(f.GetPreviewSignedUp()))
	}
	const none = "the customer has none of that id"
	if f.GetSubscriptionMissing() {
		p.painted("Subscription", bad, none)
	}
	if f.GetTicketMissing() {
		p.painted("Ticket", bad, none)
	}
	if f.GetTicketOfProvider() {
		p.field("Ticket", "opened by the provider")
	}
	if f.GetTicketClosed() {
		p.painted("Ticket", bad, "closed, and access ends with it")
	}
	if f.GetTime() != nil {
		p.field("At", p.Stamp(f.GetTime()))
	}
	p.field("Tenant as of", fmt.Sprintf("sequence %d", f.GetTenantSequence()))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// Change is a decision that would differ under the other rule set.
type Change struct {
	Request string   `json:"request_id"`
	Tenant  string   `json:"tenant"`
	Was     string   `json:"was"`
	Becomes string   `json:"becomes"`
	Rules   []string `json:"rules"`
}

// Transition counts the decisions that would change in the same way.
type Transition struct {
	Was     string `json:"was"`
	Becomes string `json:"becomes"`
	Count   int    `json:"count"`
}

// Simulation is the result of evaluating past intents under another rule set (R16).
type Simulation struct {
	PolicyVersion string `json:"policy_version"`
	Intents       int    `json:"intents"`
	Changed       int    `json:"changed"`
	// OtherCatalogue counts intents that were evaluated with a different catalogue than the simulation's; Waiting
	// counts those not evaluated yet.
	OtherCatalogue int          `json:"other_catalogue"`
	Waiting        int          `json:"not_evaluated"`
	Transitions    []Transition `json:"transitions"`
	Changes        []Change     `json:"changes"`
}

// Simulated renders the changes, followed by a summary.
func Simulated(l Look, s Simulation) string {
	p := &page{Look: l}
	if len(s.Changes) > 0 {
		var rows [][]cell
		for _, c := range s.Changes {
			id := Clean(c.Request)
			if l.Width > 0 {
				id = ShortID(id)
			}
			rows = append(rows, []cell{{id, accent}, text(c.Tenant), text(c.Was), {Clean(c.Becomes), bold},
				text(strings.Join(c.Rules, ", "))})
		}
		p.b.WriteString(l.table([]column{
			{title: "REQUEST"}, {title: "TENANT", drop: 1}, {title: "WAS", min: 20}, {title: "WOULD BE", min: 20},
			{title: "BY", min: 16, drop: 2},
		}, rows))
		p.line("")
	}
	p.hang("", bold, fmt.Sprintf("%s by %s: %d would change.", plural(s.Intents, "intent", "intents"),
		Clean(s.PolicyVersion), s.Changed))
	for _, t := range s.Transitions {
		p.hang("  ", plain, fmt.Sprintf("%6d  %s %s %s", t.Count, Clean(t.Was), p.glyph("→", "->"), Clean(t.Becomes)))
	}
	if s.OtherCatalogue > 0 {
		p.hang("  ", dim, fmt.Sprintf("%d were evaluated with another version of the catalogue; it is the one in force that was used here.", s.OtherCatalogue))
	}
	if s.Waiting > 0 {
		p.hang("  ", dim, fmt.Sprintf("%d had no evaluation yet and were left out.", s.Waiting))
	}
	return p.String()
}
