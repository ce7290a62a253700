package tenant_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// forgery is what no service of ours would write, and why the fold does not believe it.
type forgery struct {
	of              *customerStory
	kind, aggregate string
	says            *lockboxv1.Event
	rule            string
}

func (f forgery) event(h aggregate.History) *lockboxv1.Event {
	e := h.Follow(ona, "", start)
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
	activated = &lockboxv1.Event{Fact: &lockboxv1.Event_RoleActivated{RoleActivated: &lockboxv1.RoleActivated{AssignmentId: "otto"}}}
	removed   = &lockboxv1.Event{Fact: &lockboxv1.Event_RoleRemoved{RoleRemoved: &lockboxv1.RoleRemoved{AssignmentId: "lena"}}}
	nameless  = &lockboxv1.Event{Fact: &lockboxv1.Event_RoleAssigned{}}
	switched  = &lockboxv1.Event{Fact: &lockboxv1.Event_LockboxEnabled{}}
)

func TestTheTenantsFoldRefusesWhatNobodyDecided(t *testing.T) {
	nobody, there := new(customerStory), contoso(t, premier)
	for name, f := range map[string]forgery{
		"no beginning":                    {nobody, "tenant", id, assigned, "begins"},
		"another name":                    {nobody, "tenant", "fabrikam", created, "about itself"},
		"another kind":                    {nobody, "ticket", id, created, "about itself"},
		"a second beginning":              {there, "tenant", id, created, "begins"},
		"a subscription's fact":           {there, "tenant", id, registered, "another kind"},
		"another aggregate":               {there, "tenant", "fabrikam", removed, "one aggregate"},
		"the activation of nobody's role": {there, "tenant", id, activated, "eligible"},
	} {
		t.Run(name, func(t *testing.T) {
			f.refused(t, tenant.Evolve(f.of.tenant, 100, f.event(f.of.tenant.History)).Fault)
		})
	}
}

func TestTheSubscriptionsFoldRefusesWhatNobodyDecided(t *testing.T) {
	nobody, there := new(customerStory), contoso(t, premier)
	there.play(t, row{0, gina, owner(otto), yes})
	for name, f := range map[string]forgery{
		"no beginning":                  {nobody, "subscription", sub, assigned, "begins"},
		"another kind":                  {nobody, "ticket", sub, registered, "about a subscription"},
		"a second beginning":            {there, "subscription", sub, registered, "begins"},
		"a tenant's fact":               {there, "subscription", sub, switched, "another kind"},
		"an assignment's id again":      {there, "subscription", sub, assigned, "used once"},
		"an assignment without an id":   {there, "subscription", sub, nameless, "used once"},
		"the removal of nobody's role":  {there, "subscription", sub, removed, "exists"},
		"an activation nobody needs":    {there, "subscription", sub, activated, "eligible"},
		"another subscription's event":  {there, "subscription", "sub-2", removed, "one aggregate"},
		"an event of the tenant itself": {there, "tenant", id, removed, "one aggregate"},
	} {
		t.Run(name, func(t *testing.T) {
			f.refused(t, tenant.EvolveSubscription(f.of.subscription, 100, f.event(f.of.subscription.History)).Fault)
		})
	}
}
