package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// ordinary holds the default facts of a case: an engineer with a second factor requests a memory dump of a customer
// that has Lockbox enabled, and has made no request recently. A case overrides them key by key. The resource is one of
// the type that is requested.
var ordinary = map[string]map[string]any{
	"intent": {
		"tenant": "contoso", "subscription_id": "production", "resource_type": "compute/virtual-machines",
		"scenario":      "memory-dump",
		"reason_type":   "REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT",
		"justification": "The machine hangs; a memory dump will show where.",
	},
	"identity": {
		"side": "SIDE_PROVIDER", "employer": "Nimbus Cloud", "groups": []any{"support-engineers"}, "multi_factor": true,
		"person": map[string]any{"issuer": "https://login.nimbus.example", "subject": "erin"},
	},
	"tenant":  {"lockbox_enabled": true, "support_plan": "SUPPORT_PLAN_STANDARD"},
	"history": {},
}

var ordinaryTime = time.Date(2026, 5, 12, 10, 0, 0, 0, time.UTC)

var outcomes = map[string]lockboxv1.EvaluationOutcome{
	"refused":          lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED,
	"customer_decides": lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES,
	"customer_waived":  lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED,
}

const maxCases = 1000

// Check evaluates test cases for the rules, in the format of rules_test.yaml, and returns how many there are. The error
// is a Problems that lists every unexpected result with the position of its case.
func (r *Rules) Check(cases []byte, c *catalogue.Catalogue) (int, error) {
	f, root := newFile(cases)
	if root == nil {
		return 0, f.problems
	}
	list := f.list(f.object(root, []string{"cases"}, nil)["cases"], maxCases)
	names := map[string]bool{}
	for _, n := range list {
		name := f.check(n, r, c)
		if names[name] && name != "" {
			f.say(n, "case %q is given twice", name)
		}
		names[name] = true
	}
	return len(list), f.err()
}

func (f *file) check(n *yaml.Node, r *Rules, c *catalogue.Catalogue) (name string) {
	before := len(f.problems)
	m := f.object(n, []string{"name", "expect"}, []string{"facts"})
	name = f.line(m["name"])
	facts := f.object(m["facts"], nil, []string{"intent", "identity", "tenant", "history", "now"})
	s := subject{intent: &lockboxv1.AccessIntent{}, by: &lockboxv1.Actor{}, tenant: &lockboxv1.TenantFacts{},
		history: &lockboxv1.EngineerHistory{}}
	for key, fact := range map[string]proto.Message{"intent": s.intent, "identity": s.by, "tenant": s.tenant,
		"history": s.history} {
		f.fact(facts[key], n, ordinary[key], fact)
	}
	s.tenant.Id = s.intent.GetTenant()
	if len(s.intent.GetResourceIds()) == 0 {
		service, _, _ := c.Lookup(s.intent.GetResourceType(), s.intent.GetScenario())
		s.intent.ResourceIds = []string{service.Example(root(s.intent))}
	}
	now := ordinaryTime
	if at := facts["now"]; at != nil {
		var err error
		if now, err = time.Parse(time.RFC3339, at.Value); err != nil {
			f.say(at, "want a time such as 2026-05-12T10:00:00Z")
		}
	}
	want := f.object(m["expect"], []string{"outcome"}, []string{"rules", "stages"})
	outcome := oneOf(f, want["outcome"], outcomes)
	var rules []string
	for _, id := range f.list(want["rules"], maxRules) {
		rules = append(rules, f.matching(id, idForm, "a rule's id"))
	}
	stages := f.stages(want["stages"])
	if len(f.problems) > before {
		return name
	}
	v := s.evaluate(r, c, request.DefaultTerms(), now)
	if v.GetOutcome() != outcome {
		f.say(want["outcome"], "%q: the outcome is %s%s", name, outcomeName(v.GetOutcome()), because(v))
	}
	if got := matchedIDs(v); !slices.Equal(got, rules) {
		f.say(or(want["rules"], m["expect"]), "%q: the rules that match are [%s]", name, strings.Join(got, ", "))
	}
	if got, expected := stageNames(v.GetInternalStages()), stageNames(stages); !slices.Equal(got, expected) {
		f.say(or(want["stages"], m["expect"]), "%q: the internal stages are [%s]", name, strings.Join(got, ", "))
	}
	f.explainFailures(or(want["rules"], m["expect"]), name, s, v, r, now)
	return name
}

// explainFailures reports why conditions could not be evaluated; an evaluation does not record that.
func (f *file) explainFailures(
	n *yaml.Node, name string, s subject, v *lockboxv1.AccessEvaluated, r *Rules, now time.Time,
) {
	for _, m := range v.GetRules() {
		if m.GetEffect() != lockboxv1.RuleEffect_RULE_EFFECT_FAILED {
			continue
		}
		i := slices.IndexFunc(r.list, func(rule Rule) bool { return rule.ID == m.GetId() })
		_, err := r.list[i].holds(r.weigh(s, resourceFacts(v.GetFacts()), now))
		f.say(n, "%q: the rule %s could not be evaluated: %s", name, m.GetId(), clean(fmt.Sprint(err)))
	}
}

// fact fills a message from the default facts, overridden by a case's keys.
func (f *file) fact(n, whole *yaml.Node, ordinary map[string]any, into proto.Message) {
	values := maps.Clone(ordinary)
	if n != nil {
		var own map[string]any
		if err := n.Decode(&own); err != nil {
			f.say(n, "want keys with values")
			return
		}
		maps.Copy(values, own)
	}
	data, err := json.Marshal(values)
	if err == nil {
		err = protojson.Unmarshal(data, into)
	}
	if err != nil {
		f.say(or(n, whole), "%s", strings.TrimPrefix(clean(strings.ReplaceAll(err.Error(), "\u00a0", " ")), "proto: "))
	}
}

func or(n, otherwise *yaml.Node) *yaml.Node {
	if n == nil {
		return otherwise
	}
	return n
}

func because(v *lockboxv1.AccessEvaluated) string {
	if v.GetRefusal() == nil {
		return ""
	}
	return ": " + v.GetRefusal().GetMessage()
}

func outcomeName(o lockboxv1.EvaluationOutcome) string {
	for name, outcome := range outcomes {
		if outcome == o {
			return name
		}
	}
	return o.String()
}

func matchedIDs(v *lockboxv1.AccessEvaluated) []string {
	var ids []string
	for _, m := range v.GetRules() {
		ids = append(ids, m.GetId())
	}
	return ids
}

func stageNames(stages []*lockboxv1.InternalStage) []string {
	var names []string
	for _, s := range stages {
		names = append(names, fmt.Sprintf("%d %s", s.GetCount(), s.GetGroup()))
	}
	return names
}
