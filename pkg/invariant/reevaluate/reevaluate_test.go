package reevaluate_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/invariant/reevaluate"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

	gina = story.Customer("contoso", "gina")
	otto = story.Customer("contoso", "otto")
	eve  = story.Provider("eve", aggregate.SupportEngineers)
	sven = story.Provider("sven", aggregate.SecurityOfficers)
)

// told is an honest history: eve asks for a memory dump, and for a disk, which needs an internal approval first.
// What was published comes before, and its age says how long before.
func told(age time.Duration, rules ...string) []invariant.Recorded {
	s := story.New(start)
	s.Create("contoso", "Contoso", nil, gina)
	s.Subscription("contoso", "sub-1", "Production")
	s.Assign(gina, "contoso", "sub-1", "otto", otto, lockboxv1.Role_ROLE_OWNER, false)
	for _, text := range rules {
		s.Command(sven, &lockboxv1.Command{Tenant: aggregate.ProviderTenant, AggregateId: aggregate.Rules.ID,
			Action: &lockboxv1.Command_PublishRules{PublishRules: &lockboxv1.PublishRules{Text: text}}})
	}
	s.At(start.Add(age))
	s.Submit(eve, story.Dump("contoso", "sub-1", "vm-1"))
	s.Submit(eve, story.Disk("contoso", "sub-1", "vm-1"))
	return s.History()
}

// renamed is the built-in rule set under another name, and so of another version.
func renamed(name string) string {
	_, rest, _ := strings.Cut(string(policy.DefaultText()), "\nname: ")
	_, rest, _ = strings.Cut(rest, "\n")
	return "name: " + name + "\n" + rest
}

// evaluated has the evaluations made with other rules instead.
func evaluated(history []invariant.Recorded, text string) []invariant.Recorded {
	rules, err := policy.Parse([]byte(text))
	if err != nil {
		panic(err)
	}
	for i, r := range history {
		if v := r.Event.GetAccessEvaluated(); v != nil {
			asked := history[i-1].Event
			again := policy.Again(request.State{Intent: asked.GetAccessRequested().GetIntent(), Requester: asked.GetActor(),
				Evaluation: v}, rules, catalogue.Default(), request.DefaultTerms())
			history[i].Event = proto.CloneOf(r.Event)
			history[i].Event.Fact = &lockboxv1.Event_AccessEvaluated{AccessEvaluated: again}
		}
	}
	return history
}

// forged has one evaluation changed: that of the dump (0) or of the disk (1).
func forged(history []invariant.Recorded, which int, change func(v *lockboxv1.AccessEvaluated)) []invariant.Recorded {
	for i, r := range history {
		if r.Event.GetAccessEvaluated() == nil {
			continue
		}
		if which == 0 {
			history[i].Event = proto.CloneOf(r.Event)
			change(history[i].Event.GetAccessEvaluated())
		}
		which--
	}
	return history
}

func TestI15AnHonestEvaluationFollows(t *testing.T) {
	const hour = time.Hour
	second := renamed("standard-2")
	for name, history := range map[string][]invariant.Recorded{
		"built-in":                    told(hour),
		"published":                   evaluated(told(hour, second), second),
		"published again":             evaluated(told(hour, renamed("standard-1b"), second), second),
		"published just before":       told(time.Second, second),
		"published just before, seen": evaluated(told(time.Second, second), second),
		"a crowd":                     story.Crowd(200).History(),
	} {
		if broken, unchecked := reevaluate.Check(history); len(broken)+len(unchecked) > 0 {
			t.Errorf("%s: %v, not checked: %v", name, broken, unchecked)
		}
	}
}

// What the holder of the evaluator's key could write.
//
// control: nist:AU-6, nist:AC-3
func TestI15AForgedEvaluationIsFound(t *testing.T) {
	const dump, disk = 0, 1
	second := renamed("standard-2")
	for name, c := range map[string]struct {
		of     []invariant.Recorded
		which  int
		change func(v *lockboxv1.AccessEvaluated)
	}{
		"a waiver": {told(time.Hour), dump, func(v *lockboxv1.AccessEvaluated) {
			v.Outcome = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED
			v.Waiver, v.Facts.CustomerData = lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA, false
		}},
		"a waiver by a fact of the tenant": {told(time.Hour), dump, func(v *lockboxv1.AccessEvaluated) {
			v.Facts.LockboxEnabled = false
			v.Outcome = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED
			v.Waiver, v.CodedReasons = lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED, nil
		}},
		"a tenant from before": {told(time.Hour), dump, func(v *lockboxv1.AccessEvaluated) {
			v.Facts.LockboxEnabled, v.Facts.TenantSequence = false, 1
			v.Outcome = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED
			v.Waiver, v.CodedReasons = lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED, nil
		}},
		"no tenant": {told(time.Hour), dump, func(v *lockboxv1.AccessEvaluated) { v.Facts.TenantSequence = 3 }},
		"another plan": {told(time.Hour), dump,
			func(v *lockboxv1.AccessEvaluated) { v.Facts.SupportPlan = lockboxv1.SupportPlan_SUPPORT_PLAN_PREMIER }},
		"a rule's match": {told(time.Hour), dump, func(v *lockboxv1.AccessEvaluated) {
			v.Rules = append(v.Rules, &lockboxv1.MatchedRule{Id: "trusted",
				Effect: lockboxv1.RuleEffect_RULE_EFFECT_ALLOW})
		}},
		"no rule's match": {told(time.Hour), disk, func(v *lockboxv1.AccessEvaluated) { v.Rules = nil }},
		"a dropped internal stage": {told(time.Hour), disk, func(v *lockboxv1.AccessEvaluated) {
			v.InternalStages, v.InternalExpiresAt, v.InternalRemindBefore = nil, nil, nil
		}},
		"another group": {told(time.Hour), disk,
			func(v *lockboxv1.AccessEvaluated) { v.InternalStages[0].Group = aggregate.SupportEngineers }},
		"a stage's deadline": {told(time.Hour), disk, func(v *lockboxv1.AccessEvaluated) {
			v.InternalExpiresAt = timestamppb.New(start.Add(1000 * time.Hour))
		}},
		"a stage's own time": {told(time.Hour), disk, func(v *lockboxv1.AccessEvaluated) {
			v.InternalStages[0].AnswerWithin = durationpb.New(-time.Hour)
		}},
		"a second factor": {told(time.Hour), dump, func(v *lockboxv1.AccessEvaluated) {
			v.Facts.MultiFactor = !v.GetFacts().GetMultiFactor()
		}},
		"another moment": {told(time.Hour), dump,
			func(v *lockboxv1.AccessEvaluated) { v.Facts.Time = timestamppb.New(start.Add(-time.Hour)) }},
		"a refusal": {told(time.Hour), dump, func(v *lockboxv1.AccessEvaluated) {
			v.Outcome = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED
			v.Refusal = &lockboxv1.Refusal{Code: lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN, Field: "token"}
		}},
		"other reasons": {told(time.Hour), dump,
			func(v *lockboxv1.AccessEvaluated) { v.CodedReasons = v.GetCodedReasons()[:1] }},
		"rules that were superseded": {told(time.Hour, second), dump, func(*lockboxv1.AccessEvaluated) {}},
		"rules that nobody published": {evaluated(told(time.Hour, second), second), dump,
			func(v *lockboxv1.AccessEvaluated) { v.PolicyVersion = "mine+00000000" }},
	} {
		history := forged(c.of, c.which, c.change)
		broken, unchecked := reevaluate.Check(history)
		if len(broken) == 0 || len(unchecked) > 0 || slices.ContainsFunc(broken, func(v invariant.Violation) bool {
			return v.Invariant != "I15" || history[v.Sequence-1].Event.GetAccessEvaluated() == nil
		}) {
			t.Errorf("%s: %v, not checked: %v", name, broken, unchecked)
		}
	}
}

// What this version does not have is neither fine nor broken.
func TestI15WhatCannotBeChecked(t *testing.T) {
	unreadable := told(time.Hour, renamed("standard-2"))
	for i, r := range unreadable {
		if f := r.Event.GetRulesPublished(); f != nil {
			f = proto.CloneOf(f)
			f.Version = "of a later version"
			unreadable[i].Event = proto.CloneOf(r.Event)
			unreadable[i].Event.Fact = &lockboxv1.Event_RulesPublished{RulesPublished: f}
		}
	}
	for name, c := range map[string]struct {
		history []invariant.Recorded
		change  func(v *lockboxv1.AccessEvaluated)
		want    string
	}{
		"built-in rules of another version": {told(time.Hour),
			func(v *lockboxv1.AccessEvaluated) { v.PolicyVersion = "standard-0+12345678" },
			`this version of Lockbox does not have the built-in rules "standard-0+12345678"`},
		"a built-in catalogue of another version": {told(time.Hour),
			func(v *lockboxv1.AccessEvaluated) { v.CatalogueVersion = "before" },
			`this version of Lockbox does not have the built-in catalogue "before"`},
		"rules that only a later version reads": {unreadable,
			func(v *lockboxv1.AccessEvaluated) { v.PolicyVersion = "of a later version" },
			`this version of Lockbox cannot read the published rules "of a later version"`},
	} {
		history := forged(forged(c.history, 0, c.change), 1, c.change)
		broken, unchecked := reevaluate.Check(history)
		if len(broken) > 0 || len(unchecked) != 1 || unchecked[0].Count != 2 || unchecked[0].What != c.want ||
			unchecked[0].First >= unchecked[0].Last {
			t.Errorf("%s: %v, not checked: %+v", name, broken, unchecked)
		}
	}
}
