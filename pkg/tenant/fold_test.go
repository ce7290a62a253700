package tenant_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// forgery is what no service of ours would write, and why the fold does not believe it.
type forgery struct {
	of              customerStory
	by              *lockboxv1.Actor // nil: whoever may do such a thing
	kind, aggregate string
	says            *lockboxv1.Event
	rule            string
}

func (f forgery) event(h aggregate.History) *lockboxv1.Event {
	by := f.by
	if by == nil {
		by = gina
	}
	if h.Version == 0 || f.says == created || f.says == registered {
		by = ona
	}
	e := h.Follow(by, "", start)
	e.Tenant, e.Kind, e.AggregateId, e.Fact = id, f.kind, f.aggregate, f.says.GetFact()
	return e
}

func (f forgery) refused(t *testing.T, fault *aggregate.Fault) {
	t.Helper()
	if fault == nil || !strings.Contains(fault.Rule, f.rule) || fault.Sequence != 100 {
		t.Errorf("fault %v, want %q", fault, f.rule)
	}
}

var (
	created = &lockboxv1.Event{Fact: &lockboxv1.Event_TenantCreated{TenantCreated: &lockboxv1.TenantCreated{
		Administrator: assignment("first-administrator", gina, administrator, ofTenant),
	}}}
	registered = &lockboxv1.Event{Fact: &lockboxv1.Event_SubscriptionRegistered{}}
	assigned   = &lockboxv1.Event{Fact: &lockboxv1.Event_RoleAssigned{RoleAssigned: &lockboxv1.RoleAssigned{
		Assignment: assignment("otto", otto, ownerRole, ofSubscription),
	}}}
	activated = &lockboxv1.Event{Fact: &lockboxv1.Event_RoleActivated{
		RoleActivated: &lockboxv1.RoleActivated{AssignmentId: "otto"}}}
	removed = &lockboxv1.Event{Fact: &lockboxv1.Event_RoleRemoved{
		RoleRemoved: &lockboxv1.RoleRemoved{AssignmentId: "lena"}}}
	nameless = &lockboxv1.Event{Fact: &lockboxv1.Event_RoleAssigned{}}
	switched = &lockboxv1.Event{Fact: &lockboxv1.Event_LockboxEnabled{}}
)

func TestTheTenantsFoldRefusesWhatNobodyDecided(t *testing.T) {
	nobody, there := begin(), contoso(t, premier)
	for name, f := range map[string]forgery{
		"no beginning":                    {nobody, nil, "tenant", id, assigned, "begins"},
		"another name":                    {nobody, nil, "tenant", "fabrikam", created, "about itself"},
		"another kind":                    {nobody, nil, "ticket", id, created, "another kind"},
		"a second beginning":              {there, nil, "tenant", id, created, "begins"},
		"a subscription's fact":           {there, nil, "tenant", id, registered, "another kind"},
		"another aggregate":               {there, nil, "tenant", "fabrikam", removed, "one aggregate"},
		"the activation of nobody's role": {there, nil, "tenant", id, activated, "eligible"},
	} {
		t.Run(name, func(t *testing.T) {
			f.refused(t, tenant.Evolve(f.of.tenant(), 100, f.event(f.of.tenant().History)).Fault)
		})
	}
}

func TestTheSubscriptionsFoldRefusesWhatNobodyDecided(t *testing.T) {
	nobody, there := begin(), contoso(t, premier)
	there.play(t, row{0, gina, owner(otto), yes})
	for name, f := range map[string]forgery{
		"no beginning":                  {nobody, nil, "subscription", sub, assigned, "begins"},
		"another kind":                  {nobody, nil, "ticket", sub, registered, "another kind"},
		"a second beginning":            {there, nil, "subscription", sub, registered, "begins"},
		"a tenant's fact":               {there, nil, "subscription", sub, switched, "another kind"},
		"an assignment's id again":      {there, nil, "subscription", sub, assigned, "used once"},
		"an assignment without an id":   {there, nil, "subscription", sub, nameless, "used once"},
		"the removal of nobody's role":  {there, nil, "subscription", sub, removed, "exists"},
		"an activation nobody needs":    {there, nil, "subscription", sub, activated, "eligible"},
		"another subscription's event":  {there, nil, "subscription", "sub-2", removed, "one aggregate"},
		"an event of the tenant itself": {there, nil, "tenant", id, removed, "one aggregate"},
	} {
		t.Run(name, func(t *testing.T) {
			f.refused(t, tenant.EvolveSubscription(f.of.subscription(), 100, f.event(f.of.subscription().History)).Fault)
		})
	}
}

// Who may change a tenant or subscription is asked by the fold too: a key of the orchestrator is not enough.
func TestTheFoldsRefuseWhoMayNot(t *testing.T) {
	there := contoso(t, premier)
	there.play(t, row{0, gina, owner(otto), yes})
	settings := &lockboxv1.Event{Fact: &lockboxv1.Event_SettingsChanged{}}
	admin := &lockboxv1.Event{Fact: &lockboxv1.Event_RoleAssigned{RoleAssigned: &lockboxv1.RoleAssigned{
		Assignment: assignment("otto-too", otto, administrator, ofTenant),
	}}}
	plan := &lockboxv1.Event{Fact: &lockboxv1.Event_SupportPlanChanged{}}
	box := story.System("lockbox-orchestrator")
	for name, f := range map[string]forgery{
		"an owner switches Lockbox on":       {there, otto, "tenant", id, switched, "Global Administrator"},
		"the provider switches Lockbox on":   {there, ona, "tenant", id, switched, "Global Administrator"},
		"a service changes settings":         {there, box, "tenant", id, settings, "Global Administrator"},
		"an owner makes administrators":      {there, otto, "tenant", id, admin, "Global Administrator"},
		"nobody makes administrators":        {there, new(lockboxv1.Actor), "tenant", id, admin, "Global Administrator"},
		"an administrator raises the plan":   {there, gina, "tenant", id, plan, "onboarding"},
		"an engineer raises the plan":        {there, eve, "tenant", id, plan, "onboarding"},
		"an administrator activates another": {there, gina, "tenant", id, activated, "eligible"},
	} {
		t.Run(name, func(t *testing.T) {
			f.refused(t, tenant.Evolve(there.tenant(), 100, f.event(there.tenant().History)).Fault)
		})
	}
	for name, f := range map[string]forgery{
		"the provider makes owners":    {there, ona, "subscription", sub, assigned, "the customer's"},
		"a service removes owners":     {there, box, "subscription", sub, removed, "the customer's"},
		"an engineer activates a role": {there, eve, "subscription", sub, activated, "the customer's"},
	} {
		t.Run(name, func(t *testing.T) {
			f.refused(t, tenant.EvolveSubscription(there.subscription(), 100, f.event(there.subscription().History)).Fault)
		})
	}
	for name, by := range map[string]*lockboxv1.Actor{"an engineer": eve, "an administrator": gina, "nobody": nil} {
		nobody := forgery{begin(), by, "tenant", id, created, "onboarding"}
		e := nobody.event(aggregate.History{})
		e.Version, e.Actor = 1, by
		if fault := tenant.Evolve(tenant.State{}, 100, e).Fault; fault == nil || !strings.Contains(fault.Rule, "onboarding") {
			t.Errorf("%s creates a tenant: %+v", name, fault)
		}
	}
}
