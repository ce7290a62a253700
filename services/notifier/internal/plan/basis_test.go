package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// A request that asks others than the roles name is told to all administrators, and its mails go only to addresses that
// the roles and settings name.
//
// control: nist:AC-3, nist:AU-6
func TestARequestThatAsksOthersThanTheRolesName(t *testing.T) {
	const differs = "approvers-differ: grace/fr"
	alternates, erins := "approval-requested-alternate: security/fr audit/ja", "customer-asked: erin/en"
	for name, c := range map[string]struct {
		forge func(n *lockboxv1.CustomerNotified)
		told  []string
		want  plan.Differences
	}{
		"somebody missing": {func(n *lockboxv1.CustomerNotified) { n.Approvers = n.GetApprovers()[:1] },
			[]string{"approval-requested: otto/en", alternates, erins, differs},
			plan.Differences{Missing: []string{"Fleur Martin"}}},
		"somebody added": {func(n *lockboxv1.CustomerNotified) {
			n.Approvers = append(n.Approvers, &lockboxv1.Approver{Person: customer("mallory", "Mallory", "en").GetPerson()})
		}, []string{"approval-requested: otto/en fleur/fr", alternates, erins, differs},
			plan.Differences{Added: []string{"Mallory"}}},
		"another address": {func(n *lockboxv1.CustomerNotified) { n.Approvers[1].Person.Email = "fleur@evil.example" },
			[]string{"approval-requested: otto/en fleur/fr", alternates, erins, differs},
			plan.Differences{Altered: []string{"Fleur Martin"}}},
		"another name": {func(n *lockboxv1.CustomerNotified) { n.Approvers[1].Person.DisplayName = "Otto Brandt" },
			[]string{"approval-requested: otto/en fleur/fr", alternates, erins, differs},
			plan.Differences{Altered: []string{"Fleur Martin"}}},
		"another language": {func(n *lockboxv1.CustomerNotified) { n.Approvers[1].Person.Language = "ja" },
			[]string{"approval-requested: otto/en fleur/fr", alternates, erins, differs},
			plan.Differences{Altered: []string{"Fleur Martin"}}},
		"a dropped alternate": {func(n *lockboxv1.CustomerNotified) { n.Alternates = n.GetAlternates()[:2] },
			[]string{"approval-requested: otto/en fleur/fr", alternates, erins, differs}, plan.Differences{Otherwise: true}},
		"a foreign alternate": {func(n *lockboxv1.CustomerNotified) {
			n.Alternates = append(n.Alternates, &lockboxv1.AlternateAddress{Email: "mallory@evil.example"})
		}, []string{"approval-requested: otto/en fleur/fr", alternates, erins, differs}, plan.Differences{Otherwise: true}},
		"more approvals": {func(n *lockboxv1.CustomerNotified) { n.RequiredApprovals = 2 },
			[]string{"approval-requested: otto/en fleur/fr", alternates, erins, differs}, plan.Differences{Otherwise: true}},
		"another basis": {func(n *lockboxv1.CustomerNotified) { n.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK },
			[]string{"approval-requested: otto/en fleur/fr", alternates, erins, differs}, plan.Differences{Otherwise: true}},
		"nobody": {func(n *lockboxv1.CustomerNotified) {
			n.Approvers, n.Basis = nil, lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY
		}, []string{"nobody-to-ask: grace/fr security/fr Otto/fr audit/ja", erins, differs},
			plan.Differences{Missing: []string{"Otto Brandt", "Fleur Martin"}, Otherwise: true}},
	} {
		t.Run(name, func(t *testing.T) {
			s := misled(t, c.forge).told(c.told...)
			for _, n := range s.last {
				if n.Recipient == "fleur@evil.example" || n.Recipient == "mallory@evil.example" {
					t.Errorf("%s is told", n.Recipient)
				}
				if n.Template == plan.ApproversDiffer {
					if !n.Urgent(s.Now) {
						t.Error("it may be held")
					}
					if diff := cmp.Diff(c.want, *n.Data.Differences); diff != "" {
						t.Errorf("the differences (-want +got):\n%s", diff)
					}
				} else if n.Data.Differences != nil && n.Standing != plan.Administrator {
					t.Errorf("%s reads of differences", n.Recipient)
				}
			}
		})
	}
}

func TestAnHonestRequestDiffersInNothing(t *testing.T) {
	waiting(t).told("approval-requested: otto/en fleur/fr", "approval-requested-alternate: security/fr audit/ja",
		"customer-asked: erin/en")
}

// Where the subscription may have been another's, its roles may not have counted; where the event rests on what had
// long been overtaken, that alone is a difference.
func TestWhatARequestRestsOn(t *testing.T) {
	fallback := func(n *lockboxv1.CustomerNotified) {
		n.Basis, n.Approvers = lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY, nil
	}
	for name, c := range map[string]struct {
		change      func(b *plan.Basis)
		forge       func(n *lockboxv1.CustomerNotified)
		differences bool
	}{
		"lost":               {func(b *plan.Basis) { b.Lost = true }, fallback, false},
		"lost, and not seen": {func(b *plan.Basis) { b.Lost = true }, func(*lockboxv1.CustomerNotified) {}, false},
		"lost, and one of two": {func(b *plan.Basis) { b.Lost = true },
			func(n *lockboxv1.CustomerNotified) { n.Approvers = n.GetApprovers()[:1] }, true},
		"stale": {func(b *plan.Basis) { b.Stale = true }, func(*lockboxv1.CustomerNotified) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := tell(t).requested().evaluated(customerDecides)
			n := notified()
			s.basis = s.givenBy(n)
			c.change(&s.basis)
			c.forge(n)
			s.then(clock, &lockboxv1.Event_CustomerNotified{CustomerNotified: n})
			told := false
			for _, n := range s.last {
				told = told || n.Template == plan.ApproversDiffer
			}
			if told != c.differences {
				t.Errorf("told: %t", told)
			}
		})
	}
}
