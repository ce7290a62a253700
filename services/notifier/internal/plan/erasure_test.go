package plan_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// erasure is one of the tenant's, or of the provider's own events.
func erasure(tenant string) aggregate.Key {
	return aggregate.Erasure(tenant, "01975a2c-7b3c-7e4a-9d8e-0123456789ac")
}

var (
	sofia = member(employee("sofia", "Sofia Lund", "Northwind Cloud"), aggregate.SecurityOfficers)
	sam   = member(employee("sam", "Sam Okafor", "Northwind Cloud"), aggregate.SecurityOfficers)

	erased = []*lockboxv1.ErasureTarget{{What: &lockboxv1.ErasureTarget_Person{
		Person: &lockboxv1.ErasedPerson{Issuer: northwind, Subject: "erin"}}, KeyIds: [][]byte{erasable.KeyID{}.Bytes()}}}
	proposed = &lockboxv1.Event_ErasureProposed{ErasureProposed: &lockboxv1.ErasureProposed{Targets: erased,
		Reason: "Erin asked for it."}}
	decided = &lockboxv1.Event_ErasureDecided{ErasureDecided: &lockboxv1.ErasureDecided{Targets: erased}}
)

// No erasure is hidden from the customer, whoever wants it; and a second officer hears of each that they may confirm.
func TestR63WhoHearsOfAnErasure(t *testing.T) {
	about := erasure(ofTenant.ID)
	s := tell(t).happens(about, sofia, proposed).
		told("erasure-confirmation: officers/en", "erasure-proposed: grace/fr")
	if d := s.data("grace"); d.By != "Sofia Lund" || d.Proposer != "Sofia Lund" || d.Text != "Erin asked for it." ||
		d.ErasureID != about.ID || len(d.Erased) != 1 || d.Tenant != "Meadow Bank" || !s.last[1].Urgent(s.Now) {
		t.Errorf("proposed: %+v", d)
	}
	s.happens(about, sam, decided).told("erasure-decided: grace/fr officers/en")
	if d := s.data("grace"); d.By != "Sam Okafor" || d.Proposer != "Sofia Lund" || d.Text != "Erin asked for it." ||
		!s.last[0].Urgent(s.Now) {
		t.Errorf("decided: %+v", d)
	}
	s.happens(about, clock, &lockboxv1.Event_KeysDestroyed{KeysDestroyed: &lockboxv1.KeysDestroyed{Count: 1}}).told()

	s = tell(t).happens(about, sofia, proposed).happens(about, sam, &lockboxv1.Event_ErasureDeclined{
		ErasureDeclined: &lockboxv1.ErasureDeclined{Reason: "A court asks for it."}}).
		told("erasure-declined: grace/fr officers/en")
	if d := s.data("officers"); d.Text != "A court asks for it." {
		t.Errorf("declined: %+v", d)
	}

	own := &lockboxv1.Event_ErasureDecided{ErasureDecided: &lockboxv1.ErasureDecided{Targets: erased,
		Reason: "Otto left."}}
	s = tell(t).happens(about, grace, own).told("erasure-decided: grace/fr")
	if d := s.data("grace"); d.By != "Grace Hall" || d.Proposer != "" || d.Text != "Otto left." {
		t.Errorf("the tenant's own: %+v", d)
	}
}

// An erasure of the provider's own events concerns no customer.
func TestR63AnErasureOfTheProvidersOwn(t *testing.T) {
	about := erasure(aggregate.ProviderTenant)
	s := tell(t)
	for _, step := range []struct {
		by    *lockboxv1.Actor
		fact  any
		wants string
	}{
		{sofia, proposed, "erasure-confirmation: officers/en"},
		{sam, decided, "erasure-decided: officers/en"},
	} {
		e := s.event(about, step.by, step.fact)
		s.Record(e)
		s.last = plan.Plan(plan.Input{Event: e, Erasure: s.States.Erasure(about)}, settings)
		s.told(step.wants)
		if d := s.data("officers"); d.Tenant != "Northwind Cloud" || d.TenantID != aggregate.ProviderTenant {
			t.Errorf("it is about the records of %q", d.Tenant)
		}
	}
}

// Whose address was erased gets no mail, and is no reason that others get none: a person without an address is reported
// still, and of one without an address nobody says that it was erased.
func TestR63AnErasedAddressGetsNoMail(t *testing.T) {
	gone := &lockboxv1.Person{Issuer: bank, Subject: "otto", Erased: true}
	nowhere := &lockboxv1.Person{Issuer: bank, Subject: "pat", DisplayName: "Pat"}
	s := tell(t)
	for id, p := range map[string]*lockboxv1.Person{"otto-ga": gone, "pat-ga": nowhere} {
		s.tenant(grace, assigned(role(id, &lockboxv1.Actor{Person: p}, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)))
	}
	s.tenant(grace, &lockboxv1.Event_LockboxEnabled{LockboxEnabled: &lockboxv1.LockboxEnabled{}})
	var reached, unreachable, left int
	for _, n := range s.last {
		switch {
		case n.Erased:
			left++
		case n.Recipient == "":
			unreachable++
		default:
			reached++
		}
	}
	if reached != 1 || unreachable != 1 || left != 1 {
		t.Errorf("%d are reached, %d have no address, of %d it was erased", reached, unreachable, left)
	}
	if got := plan.Name(gone); got != "otto [erased]" {
		t.Errorf("they are called %q", got)
	}
}
