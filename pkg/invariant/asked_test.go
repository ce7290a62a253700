package invariant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	ofSubscription = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION
	ofTenant       = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT
)

// asking is an honest request: each of these owns the subscription, otto is also its Lockbox Approver, lena may become
// an owner, and olga is the tenant's Lockbox Approver. Two have to approve, and two addresses are told.
func asking(fallback lockboxv1.Fallback, owners ...*lockboxv1.Actor) []invariant.Recorded {
	s := story.Case(gina, start)
	assign := func(id string, to *lockboxv1.Actor, r lockboxv1.Role, scope lockboxv1.AssignmentScope, eligible bool) {
		c := story.Assign(id, to, r, scope)
		c.GetAssignRole().GetAssignment().EligibleOnly = eligible
		s.Command(gina, c)
	}
	for _, o := range owners {
		assign("o-"+o.GetPerson().GetSubject(), o, lockboxv1.Role_ROLE_OWNER, ofSubscription, false)
	}
	assign("also", otto, lockboxv1.Role_ROLE_LOCKBOX_APPROVER, ofSubscription, false)
	assign("perhaps", lena, lockboxv1.Role_ROLE_OWNER, ofSubscription, true)
	assign("tenants", olga, lockboxv1.Role_ROLE_LOCKBOX_APPROVER, ofTenant, false)
	s.Command(gina, &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{
		ChangeSettings: &lockboxv1.ChangeSettings{Settings: &lockboxv1.TenantSettings{
			DefaultLanguage: "en", RequiredApprovals: 2, Fallback: fallback,
			Alternates: []*lockboxv1.AlternateAddress{{Email: "soc@contoso.example"}, {Email: "ciso@contoso.example"}},
		}}}})
	for _, o := range owners { // those whose tokens say which human they are have acted before
		e, err := tenant.Identify(s.States.Tenant(story.Tenant), o, "cause", s.Now)
		if err != nil {
			panic(err)
		}
		if e != nil {
			s.Record(e)
		}
	}
	submit(s, decides())
	perform(s, request.Notify, start.Add(time.Hour))
	return s.History()
}

func decides() *lockboxv1.AccessEvaluated {
	return &lockboxv1.AccessEvaluated{
		Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES, Duration: durationpb.New(8 * time.Hour),
		Facts:                &lockboxv1.EvaluationFacts{CustomerData: true, LockboxEnabled: true},
		CustomerAnswerWithin: durationpb.New(96 * time.Hour),
		CustomerRemindBefore: []*durationpb.Duration{durationpb.New(100 * time.Hour), durationpb.New(24 * time.Hour)},
	}
}

const (
	administrators  = lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS
	tenantApprovers = lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS
)

// enough needs no fallback; few and fewer do, of one kind and of the other.
func enough() []invariant.Recorded { return asking(administrators, otto, olga) }
func few() []invariant.Recorded    { return asking(administrators, otto) }
func fewer() []invariant.Recorded  { return asking(tenantApprovers, otto) }

// twice are two accounts of one human.
func twice() []invariant.Recorded {
	return asking(administrators, story.Human("otto", otto), story.Human("otto", story.Customer(story.Tenant, "otto-2")))
}

func TestWhoIsAskedIsDerivedHonestly(t *testing.T) {
	for name, c := range map[string]struct {
		history []invariant.Recorded
		basis   lockboxv1.ApproverBasis
		people  []string
	}{
		"enough": {enough(), lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, []string{"otto", "olga"}},
		"few":    {few(), lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK, []string{"otto", "gina"}},
		"twice":  {twice(), lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK, []string{"otto", "otto-2", "gina"}},
		"fewer":  {fewer(), lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK, []string{"otto", "olga"}},
	} {
		last := c.history[len(c.history)-1].Event.GetCustomerNotified()
		var people []string
		for _, a := range last.GetApprovers() {
			people = append(people, a.GetPerson().GetSubject())
		}
		if last.GetBasis() != c.basis || !slices.Equal(people, c.people) || len(last.GetExcluded()) != 1 ||
			len(last.GetRemindAt()) != 1 {
			t.Errorf("%s: %v", name, last)
		}
		if broken := invariant.Check(c.history); len(broken) > 0 {
			t.Errorf("%s: %v", name, broken)
		}
	}
}

// What the holder of the orchestrator's key could write about whom a request asks.
//
// control: nist:AU-6, nist:AC-3
func TestAForgedListOfApproversIsFound(t *testing.T) {
	role := func(p *lockboxv1.Actor, r lockboxv1.Role) *lockboxv1.Approver {
		return &lockboxv1.Approver{Person: p.GetPerson(), Roles: []lockboxv1.Role{r}}
	}
	alternate := func(address string) *lockboxv1.AlternateAddress {
		return &lockboxv1.AlternateAddress{Email: address}
	}
	forge := func(of []invariant.Recorded, change func(n *lockboxv1.CustomerNotified)) forgery {
		return forgery{of, "CustomerNotified", func(e *lockboxv1.Event) { change(e.GetCustomerNotified()) }, nil, "I1"}
	}
	for name, f := range map[string]forgery{
		"a missing approver": forge(enough(), func(n *lockboxv1.CustomerNotified) { n.Approvers = n.GetApprovers()[:1] }),
		"an approver more": forge(enough(), func(n *lockboxv1.CustomerNotified) {
			n.Approvers = append(n.Approvers, role(lena, lockboxv1.Role_ROLE_OWNER))
		}),
		"an approver without a role": forge(enough(), func(n *lockboxv1.CustomerNotified) {
			n.Approvers = append(n.Approvers, &lockboxv1.Approver{Person: gina.GetPerson()})
		}),
		"an approver twice": forge(enough(),
			func(n *lockboxv1.CustomerNotified) { n.Approvers = append(n.Approvers, n.GetApprovers()[0]) }),
		"another address": forge(enough(),
			func(n *lockboxv1.CustomerNotified) { n.Approvers[1].Person.Email = "olga@evil.example" }),
		"another name": forge(enough(), func(n *lockboxv1.CustomerNotified) { n.Approvers[1].Person.DisplayName = "Lena" }),
		"another language": forge(enough(),
			func(n *lockboxv1.CustomerNotified) { n.Approvers[1].Person.Language = "ja" }),
		"a role left out": forge(enough(), func(n *lockboxv1.CustomerNotified) {
			n.Approvers[0].Roles = n.GetApprovers()[0].GetRoles()[:1]
		}),
		"an assignment left out": forge(enough(), func(n *lockboxv1.CustomerNotified) { n.Excluded = nil }),
		"a dropped alternate": forge(enough(),
			func(n *lockboxv1.CustomerNotified) { n.Alternates = n.GetAlternates()[1:] }),
		"a foreign alternate": forge(enough(), func(n *lockboxv1.CustomerNotified) {
			n.Alternates = append(n.Alternates, alternate("eve@evil.example"))
		}),
		"an exchanged alternate": forge(enough(),
			func(n *lockboxv1.CustomerNotified) { n.Alternates[0] = alternate("eve@evil.example") }),
		"a fallback without need": forge(enough(), func(n *lockboxv1.CustomerNotified) {
			n.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK
			n.Approvers = append(n.Approvers, role(gina, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR))
		}),
		"only said to be a fallback": forge(enough(), func(n *lockboxv1.CustomerNotified) {
			n.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK
		}),
		"one human as two": forge(twice(), func(n *lockboxv1.CustomerNotified) {
			n.Basis, n.Approvers = lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, n.GetApprovers()[:2]
		}),
		"two humans as one": forge(enough(), func(n *lockboxv1.CustomerNotified) {
			for _, a := range n.GetApprovers() {
				a.Person.Human = "7"
			}
		}),
		"no fallback": forge(few(), func(n *lockboxv1.CustomerNotified) {
			n.Basis, n.Approvers = lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, n.GetApprovers()[:1]
		}),
		"another fallback than the tenant's": forge(fewer(), func(n *lockboxv1.CustomerNotified) {
			n.Approvers[1] = role(gina, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)
		}),
		"said to ask nobody": forge(few(), func(n *lockboxv1.CustomerNotified) {
			n.Basis, n.Approvers = lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY, nil
		}),
		"fewer required": forge(enough(), func(n *lockboxv1.CustomerNotified) { n.RequiredApprovals = 1 }),
		"more required":  forge(enough(), func(n *lockboxv1.CustomerNotified) { n.RequiredApprovals = 3 }),
		"another scope":  forge(enough(), func(n *lockboxv1.CustomerNotified) { n.Scope = lockboxv1.Scope_SCOPE_TENANT }),
		"another tenant's name": forge(enough(),
			func(n *lockboxv1.CustomerNotified) { n.TenantName = "Fabrikam" }),
		"another subscription's name": forge(enough(),
			func(n *lockboxv1.CustomerNotified) { n.SubscriptionName = "Test" }),
		"a subscription that was not read": forge(enough(), func(n *lockboxv1.CustomerNotified) {
			n.SubscriptionSequence, n.SubscriptionName, n.Excluded = 0, "", nil
			n.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK
			n.Approvers = []*lockboxv1.Approver{role(gina, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)}
		}),
	} {
		t.Run(name, f.isFound)
	}
}

// Whoever shares the requester's address is not asked; versions before that did ask, and their events stay true.
func TestWhoSharesTheRequestersAddressIsNotAsked(t *testing.T) {
	shared := story.Customer(story.Tenant, "olga")
	shared.Person.Email = strings.ToUpper(eve.GetPerson().GetEmail())
	for name, c := range map[string]struct {
		asks, recordsTerms, honest bool
	}{
		"not asked":             {false, true, true},
		"asked":                 {true, true, false},
		"asked, as before":      {true, false, true},
		"not asked, recordless": {false, false, true},
	} {
		history := asking(administrators, otto, shared)
		for i, r := range history {
			e := proto.CloneOf(r.Event)
			history[i].Event = e
			if v := e.GetAccessEvaluated(); v != nil && !c.recordsTerms {
				v.CustomerAnswerWithin = nil
			}
			if n := e.GetCustomerNotified(); n != nil && c.asks {
				n.Approvers[1] = &lockboxv1.Approver{Person: shared.GetPerson(),
					Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER}}
				n.Basis, n.Excluded = lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, n.GetExcluded()[1:]
			}
		}
		if broken := invariant.Check(history); len(broken) == 0 != c.honest {
			t.Errorf("%s: %v", name, broken)
		}
	}
}

// A deadline follows from what the evaluator recorded, which is another identity than the one that asks.
func TestAForgedDeadlineIsFound(t *testing.T) {
	at := start.Add(time.Hour)
	ends := func(after time.Duration) func(e *lockboxv1.Event) {
		return func(e *lockboxv1.Event) {
			e.GetCustomerNotified().ExpiresAt, e.GetCustomerNotified().RemindAt = timestamppb.New(at.Add(after)), nil
		}
	}
	const year = 365 * 24 * time.Hour
	for name, f := range map[string]forgery{
		"ten years":                    {enough(), "CustomerNotified", ends(10 * year), nil, "I3"},
		"one second":                   {enough(), "CustomerNotified", ends(time.Second), nil, "I3"},
		"ten years, an old evaluation": {told(), "CustomerNotified", ends(10 * year), nil, "I3"},
		"at once, an old evaluation":   {told(), "CustomerNotified", ends(0), nil, "I3"},
		"a reminder after it, an old evaluation": {told(), "CustomerNotified", func(e *lockboxv1.Event) {
			e.GetCustomerNotified().RemindAt[0] = timestamppb.New(at.Add(year))
		}, nil, "I3"},
		"ten years in the evaluation too": {enough(), "CustomerNotified", ends(10 * year), nil, "I3"},
		"no reminder":                     {enough(), "CustomerNotified", ends(96 * time.Hour), nil, "I3"},
	} {
		if name == "ten years in the evaluation too" {
			i := slices.IndexFunc(f.of, func(r invariant.Recorded) bool { return r.Event.GetAccessEvaluated() != nil })
			f.of[i].Event = proto.CloneOf(f.of[i].Event)
			f.of[i].Event.GetAccessEvaluated().CustomerAnswerWithin = durationpb.New(10 * year)
		}
		t.Run(name, f.isFound)
	}
	shorter := forgery{told(), "CustomerNotified", ends(24 * time.Hour), nil, ""}.forged(t)[:10]
	if broken := invariant.Check(shorter); len(broken) > 0 {
		t.Errorf("other terms of an earlier version: %v", broken)
	}
}

// What is not the tenant's any more does not count, and who reads at the same moment may see either.
func TestRolesCountWhileTheSubscriptionIsTheTenants(t *testing.T) {
	moved := func(before time.Duration) []invariant.Recorded {
		e := owned(1, 2, moved())
		e.Time = timestamppb.New(start.Add(time.Hour - before))
		return forgery{enough(), "AccessEvaluated", nil, e, ""}.forged(t)
	}
	fallback := func(history []invariant.Recorded) []invariant.Recorded {
		n := history[len(history)-1].Event.GetCustomerNotified()
		n.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK
		n.Approvers = []*lockboxv1.Approver{
			{Person: gina.GetPerson(), Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR}}}
		n.Excluded = nil
		return history
	}
	given := func(history []invariant.Recorded) []invariant.Recorded {
		return slices.DeleteFunc(history, func(r invariant.Recorded) bool {
			return r.Event.GetKind() == aggregate.KindOwnership
		})
	}
	for name, c := range map[string]struct {
		history []invariant.Recorded
		honest  bool
	}{
		"just now, seen":     {fallback(moved(time.Second)), true},
		"just now, not seen": {moved(time.Second), true},
		"before, seen":       {fallback(moved(time.Minute)), true},
		"before, not seen":   {moved(time.Minute), false},
		"still the tenant's": {fallback(enough()), false},
		"nobody knows":       {fallback(given(enough())), false},
	} {
		broken := slices.DeleteFunc(invariant.BasisHeld(c.history), func(v invariant.Violation) bool {
			return v.Invariant != "I1"
		})
		if len(broken) == 0 != c.honest {
			t.Errorf("%s: %v", name, broken)
		}
	}
}
