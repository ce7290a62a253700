// Package reevaluate implements I15: it evaluates each stored AccessEvaluated again, with the rules and the catalogue
// that were in force, and reports what does not follow from them. It is apart from package invariant because it needs
// the engine of the rules, which is the one that is checked: what it finds is a forged event, not a wrong rule. It is
// pure.
package reevaluate

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Unchecked are evaluations that cannot be evaluated again, because this program does not have what they rest on. That
// says nothing about whether they are right.
type Unchecked struct {
	What        string
	Count       int
	First, Last uint64 // sequences
}

// Checker evaluates again. It may be used by several goroutines at once.
type Checker struct {
	rules     texts[*policy.Rules]
	catalogue texts[*catalogue.Catalogue]
	mu        sync.Mutex
	unchecked map[string]Unchecked
}

// New returns a Checker.
func New() *Checker {
	return &Checker{
		rules: texts[*policy.Rules]{what: "rules", about: aggregate.Rules, compile: policy.Parse,
			builtin: sync.OnceValue(policy.Default), compiled: map[string]*policy.Rules{}},
		catalogue: texts[*catalogue.Catalogue]{what: "catalogue", about: aggregate.Catalogue, compile: catalogue.Parse,
			builtin: sync.OnceValue(catalogue.Default), compiled: map[string]*catalogue.Catalogue{}},
		unchecked: map[string]Unchecked{},
	}
}

// Check checks a whole history that is held in memory.
func Check(history []invariant.Recorded) ([]invariant.Violation, []Unchecked) {
	about, order := map[aggregate.Key][]invariant.Recorded{}, []aggregate.Key{}
	for _, r := range history {
		key := aggregate.KeyOf(r.Event)
		if about[key] == nil {
			order = append(order, key)
		}
		about[key] = append(about[key], r)
	}
	c := New()
	var found []invariant.Violation
	for _, key := range order {
		found = append(found, c.Look(key, about[key], func(k aggregate.Key) []invariant.Recorded { return about[k] })...)
	}
	return found, c.Unchecked()
}

// Unchecked returns what could not be evaluated again, in the order of the first.
func (c *Checker) Unchecked() (list []Unchecked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.unchecked {
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b Unchecked) int { return cmp.Compare(a.First, b.First) })
	return list
}

func (c *Checker) cannot(at uint64, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, known := c.unchecked[what]
	if !known {
		u = Unchecked{What: what, First: at, Last: at}
	}
	u.Count++
	u.First, u.Last = min(u.First, at), max(u.Last, at)
	c.unchecked[what] = u
}

// Look checks the evaluations of one aggregate; about gives the events of others, see invariant.Book.Also.
func (c *Checker) Look(
	of aggregate.Key, events []invariant.Recorded, about func(aggregate.Key) []invariant.Recorded,
) (found []invariant.Violation) {
	if of.Kind != aggregate.KindRequest || events[0].Event.GetAccessRequested() == nil {
		return nil
	}
	for _, r := range events {
		if r.Event.GetAccessEvaluated() == nil {
			continue
		}
		for _, what := range c.differences(events[0], r, about) {
			found = append(found, invariant.Violation{Invariant: "I15", Sequence: r.Sequence, What: what})
		}
	}
	return found
}

func (c *Checker) differences(
	asked, r invariant.Recorded, about func(aggregate.Key) []invariant.Recorded,
) (found []string) {
	was := r.Event.GetAccessEvaluated()
	rules, wrong, unknown := c.rules.inForce(about(aggregate.Rules), was.GetPolicyVersion(), r)
	services, wrongToo, unknownToo := c.catalogue.inForce(about(aggregate.Catalogue), was.GetCatalogueVersion(), r)
	found = append(differentFacts(asked.Event, r, about), nonEmpty(wrong, wrongToo)...)
	for _, what := range nonEmpty(unknown, unknownToo) {
		c.cannot(r.Sequence, what)
	}
	if rules == nil || services == nil {
		return found
	}
	again := policy.Again(request.State{
		Intent: asked.Event.GetAccessRequested().GetIntent(), Requester: asked.Event.GetActor(),
		RequestedAt: asked.Event.GetTime().AsTime(), Evaluation: was,
	}, rules, services, terms(was))
	return append(found, compare(was, again, asked.Event.GetAccessRequested().GetIntent())...)
}

func nonEmpty(list ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// maxStale is how long before an evaluation something may have been stored that it did not see, as in package
// invariant.
const maxStale = 30 * time.Second

// texts are the rule sets, or the catalogues, that were published.
type texts[T interface {
	comparable
	Version() string
}] struct {
	what    string
	about   aggregate.Key
	builtin func() T
	compile func([]byte) (T, error)

	mu       sync.Mutex
	compiled map[string]T // by version; the zero value cannot be compiled
}

// inForce returns what an evaluation says it rested on, or else what is wrong with that, or why it is not known. What
// was in force until shortly before the evaluation may have been all that it saw.
func (t *texts[T]) inForce(
	published []invariant.Recorded, version string, r invariant.Recorded,
) (is T, wrong, unknown string) {
	var none T
	var last policy.Published
	candidates := []policy.Published{last} // the built-in one
	for _, p := range published {
		if p.Sequence > r.Sequence {
			break
		}
		if last = policy.Evolve(last, p.Sequence, p.Event); last.Fault != nil {
			return none, "", fmt.Sprintf("the history of the %s contradicts itself at sequence %d", t.what,
				last.Fault.Sequence)
		}
		if r.Event.GetTime().AsTime().Sub(last.At) > maxStale {
			candidates = nil
		}
		candidates = append(candidates, last)
	}
	for _, c := range candidates {
		switch {
		case !c.Exists() && t.builtin().Version() == version:
			return t.builtin(), "", ""
		case !c.Exists():
			unknown = fmt.Sprintf("this version of Lockbox does not have the built-in %s %q", t.what, version)
		case c.TextVersion == version:
			if is = t.compiledAs(version, c.Text); is == none {
				return none, "", fmt.Sprintf("this version of Lockbox cannot read the published %s %q", t.what, version)
			}
			return is, "", ""
		}
	}
	if unknown != "" {
		return none, "", unknown
	}
	return none, fmt.Sprintf("was evaluated with the %s %q where %q was in force", t.what, version, last.TextVersion), ""
}

// compiledAs compiles a published text once; zero if it cannot be read, or is read as another version.
func (t *texts[T]) compiledAs(version, text string) T {
	t.mu.Lock()
	defer t.mu.Unlock()
	is, known := t.compiled[version]
	if !known {
		if c, err := t.compile([]byte(text)); err == nil && c.Version() == version {
			is = c
		}
		t.compiled[version] = is
	}
	return is
}

// unsaid stands for the provider's own time for an internal approval, which no event records by itself.
const unsaid = time.Nanosecond

// terms returns the terms of an evaluation as far as it records them.
func terms(was *lockboxv1.AccessEvaluated) request.Terms {
	longest := was.GetDuration().AsDuration()
	return request.Terms{InternalApproval: unsaid, CustomerApproval: was.GetCustomerAnswerWithin().AsDuration(),
		Grant: longest, EmergencyGrant: longest}
}

// differentFacts checks what an evaluation says of the tenant and of the time against their own events: the rules
// cannot find a fact that was forged.
func differentFacts(
	requested *lockboxv1.Event, r invariant.Recorded, about func(aggregate.Key) []invariant.Recorded,
) (found []string) {
	f, at := r.Event.GetAccessEvaluated().GetFacts(), r.Event.GetTime().AsTime()
	var plan lockboxv1.SupportPlan
	var enabled, preview, read bool
	var off, left tenant.Stored // without the signature that they needed, they counted for nothing (R42)
	var keys keychain.State
	for _, e := range about(aggregate.Keys(r.Event.GetTenant())) {
		if e.Sequence < r.Sequence {
			keys = keychain.Evolve(keys, e.Sequence, e.Event)
		}
	}
	resource := requested.GetAccessRequested().GetIntent().GetResourceType()
	for _, e := range about(aggregate.Tenant(r.Event.GetTenant())) {
		if e.Sequence > f.GetTenantSequence() {
			if e.Sequence < r.Sequence && at.Sub(e.Event.GetTime().AsTime()) > maxStale {
				found = append(found, fmt.Sprintf("does not know of event %d of the tenant, which was there before", e.Sequence))
			}
			break
		}
		read = e.Sequence == f.GetTenantSequence() && e.Sequence < r.Sequence
		switch fact := e.Event.GetFact().(type) {
		case *lockboxv1.Event_TenantCreated:
			plan = fact.TenantCreated.GetPlan()
		case *lockboxv1.Event_SupportPlanChanged:
			plan = fact.SupportPlanChanged.GetTo()
		case *lockboxv1.Event_LockboxEnabled:
			enabled, off = true, tenant.Stored{}
		case *lockboxv1.Event_LockboxDisabled:
			enabled, off = false, tenant.Stored{Sequence: e.Sequence, Event: e.Event}
		case *lockboxv1.Event_PreviewSignedUp:
			preview = preview || fact.PreviewSignedUp.GetResourceType() == resource
		case *lockboxv1.Event_PreviewSignedOff:
			if fact.PreviewSignedOff.GetResourceType() == resource {
				preview, left = false, tenant.Stored{Sequence: e.Sequence, Event: e.Event}
			}
		}
	}
	if !read {
		found = append(found, fmt.Sprintf("rests on sequence %d, which is no earlier event of the tenant",
			f.GetTenantSequence()))
	}
	enabled = enabled || off.Event != nil && !keys.Holds(off)
	preview = preview || left.Event != nil && !keys.Holds(left)
	if f.GetLockboxEnabled() != enabled || f.GetPreviewSignedUp() != preview ||
		f.GetSupportPlan() != plan && f.GetTime() != nil { // earlier versions recorded neither
		found = append(found, "says of the tenant what was not so at the sequence that it read")
	}
	if f.GetTime() != nil && at.Sub(f.GetTime().AsTime()).Abs() > maxStale {
		found = append(found, fmt.Sprintf("says that it was made at %s", f.GetTime().AsTime()))
	}
	return found
}

// compare says in what an evaluation differs from the one that was made again. Sentences are not compared, because
// versions word them differently; nor is what earlier versions did not record.
func compare(was, again *lockboxv1.AccessEvaluated, in *lockboxv1.AccessIntent) (found []string) {
	if w, a := policy.Verdict(was), policy.Verdict(again); w != a {
		found = append(found, fmt.Sprintf("comes to %q; evaluated again it comes to %q", w, a))
	}
	if was.GetRefusal().GetCode() != again.GetRefusal().GetCode() ||
		was.GetRefusal().GetField() != again.GetRefusal().GetField() {
		found = append(found, "is refused for another reason when it is evaluated again")
	}
	if !slices.EqualFunc(was.GetRules(), again.GetRules(), func(a, b *lockboxv1.MatchedRule) bool {
		return a.GetId() == b.GetId() && a.GetEffect() == b.GetEffect()
	}) {
		found = append(found, fmt.Sprintf("says that the rules %v matched; evaluated again, %v match", ids(was), ids(again)))
	}
	facts := proto.CloneOf(again.GetFacts())
	facts.Time = was.GetFacts().GetTime() // absent in evaluations of earlier versions
	if !proto.Equal(was.GetFacts(), facts) {
		found = append(found, "weighed other facts than token, intent and catalogue give")
	}
	if in.GetDuration() != nil && !proto.Equal(was.GetDuration(), again.GetDuration()) {
		found = append(found, "allows access for another time than was asked for")
	}
	if len(was.GetCodedReasons()) > 0 && !slices.EqualFunc(was.GetCodedReasons(), again.GetCodedReasons(),
		func(a, b *lockboxv1.Reason) bool { return proto.Equal(a, b) }) {
		found = append(found, "gives other reasons than when it is evaluated again")
	}
	return append(found, compareStages(was, again)...)
}

func ids(v *lockboxv1.AccessEvaluated) []string {
	list := []string{}
	for _, r := range v.GetRules() {
		list = append(list, r.GetId())
	}
	return list
}

// compareStages compares the internal approvals, and their deadline.
func compareStages(was, again *lockboxv1.AccessEvaluated) (found []string) {
	if !slices.EqualFunc(was.GetInternalStages(), again.GetInternalStages(), func(a, b *lockboxv1.InternalStage) bool {
		return a.GetGroup() == b.GetGroup() && a.GetCount() == b.GetCount()
	}) {
		return []string{"demands other internal approvals than when it is evaluated again"}
	}
	if len(was.GetInternalStages()) == 0 {
		return nil
	}
	var all time.Duration
	var own *durationpb.Duration // of the provider's terms
	for i, stage := range was.GetInternalStages() {
		within, ruled := stage.GetAnswerWithin(), again.GetInternalStages()[i].GetAnswerWithin()
		if within == nil {
			return nil // earlier versions recorded only the deadline of all
		}
		if ruled.AsDuration() == unsaid {
			if own == nil {
				own = within
			}
			ruled = own
		}
		if !proto.Equal(within, ruled) {
			found = append(found, fmt.Sprintf("gives internal stage %d %s to answer where the rules say %s", i+1,
				within.AsDuration(), ruled.AsDuration()))
		}
		all += within.AsDuration()
	}
	if at := was.GetFacts().GetTime(); at != nil && !was.GetInternalExpiresAt().AsTime().Equal(at.AsTime().Add(all)) {
		found = append(found, "sets the internal approvals another deadline than their stages have together")
	}
	return found
}
