package answer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/erasure"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func listErasures(tenant, id string) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant,
		Ask: &lockboxv1.Query_ListErasures{ListErasures: &lockboxv1.ListErasures{ErasureId: id}}}
}

// erases decides a command about an erasure, of one key for each target, whose texts are the customer's own.
func (c *cast) erases(by string, about aggregate.Key, command *lockboxv1.Command) {
	c.t.Helper()
	command.Id, command.Tenant, command.AggregateId = c.story.ID(), about.Tenant, about.ID
	given := aggregate.Command{Command: command, By: c.actor(by)}
	given.By.AuthenticatedAt = nil
	for range command.GetEraseDetails().GetTargets() {
		given.Found = append(given.Found, aggregate.Found{Keys: make([]erasable.KeyID, 1), By: c.actor("otto")})
	}
	var t tenant.State
	if about.Tenant != aggregate.ProviderTenant {
		t = c.story.States.Tenant(about.Tenant)
	}
	e, err := erasure.Decide(c.story.States.Erasure(about), t, given, c.story.Now)
	must(c.t, err)
	c.story.Record(e)
}

func wantsErased(targets ...*lockboxv1.ErasureTarget) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_EraseDetails{EraseDetails: &lockboxv1.EraseDetails{
		Targets: targets, Reason: "They left."}}}
}

func eraseTexts(kind, id, version string) *lockboxv1.ErasureTarget {
	return &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Texts{
		Texts: &lockboxv1.ErasedTexts{Kind: kind, AggregateId: id, Version: version}}}
}

func erasePerson(p *lockboxv1.Person) *lockboxv1.ErasureTarget {
	return &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Person{
		Person: &lockboxv1.ErasedPerson{Issuer: p.GetIssuer(), Subject: p.GetSubject()}}}
}

func confirm() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_ConfirmErasure{ConfirmErasure: &lockboxv1.ConfirmErasure{}}}
}

// R63: erasures are shown to those whom they concern, in words, with who may do what about them. A name is shown until
// it is erased.
func TestR63WhoSeesErasuresAndWhatTheySay(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	c.assign("audrey", tenantRole, auditor, false)
	id := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	c.story.Command(c.actor("otto"), story.Deny(bank, id))
	isDenial := func(e journal.Entry) bool { return e.Event.GetCustomerDenied() != nil }
	denied := c.story.Entries[slices.IndexFunc(c.story.Entries, isDenial)].Event

	proposed := aggregate.Erasure(bank, c.story.ID())
	c.erases("olga", proposed, wantsErased(erasePerson(c.actor("erin").GetPerson()), &lockboxv1.ErasureTarget{
		What: &lockboxv1.ErasureTarget_Address{Address: &lockboxv1.ErasedAddress{Address: "old@bank.example"}}}))
	own := aggregate.Erasure(bank, c.story.ID())
	c.erases("grace", own, wantsErased(eraseTexts(aggregate.KindRequest, id, "4"),
		eraseTexts(aggregate.KindTenant, bank, "2")))
	provider := aggregate.Erasure(aggregate.ProviderTenant, c.story.ID())
	c.erases("olga", provider, wantsErased(erasePerson(c.actor("rosa").GetPerson())))

	seen := func(who, tenant string) (ids []string) {
		for _, e := range c.query(who, listErasures(tenant, "")).GetErasures().GetErasures() {
			ids = append(ids, e.GetErasureId())
		}
		return ids
	}
	for who, want := range map[string][]string{"grace": {own.ID, proposed.ID}, "audrey": {own.ID, proposed.ID},
		"olga": {own.ID, proposed.ID}, "rosa-admin": {own.ID, proposed.ID}} {
		if got := seen(who, bank); !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", who, got, want)
		}
	}
	if got := seen("olga", ""); !slices.Equal(got, []string{provider.ID, own.ID, proposed.ID}) {
		t.Errorf("across tenants: %v", got)
	}
	if got := seen("hana", health); len(got) != 0 {
		t.Errorf("another tenant's administrator sees %v", got)
	}
	for who, of := range map[string]string{"otto": bank, "erin": bank, "lena": "", "hana": bank, "onboarding": bank} {
		if r := c.query(who, listErasures(of, "")).GetRefusal(); r.GetCode() != notFound {
			t.Errorf("%s: %v", who, r)
		}
	}
	if r := c.query("olga", listErasures(bank, "no id!")).GetRefusal(); r.GetCode() != invalid ||
		r.GetField() != "list_erasures.erasure_id" {
		t.Errorf("%v", r)
	}

	one := func(who, tenant, id string) *lockboxv1.ErasureView {
		list := c.query(who, listErasures(tenant, id)).GetErasures().GetErasures()
		if len(list) != 1 || list[0].GetErasureId() != id {
			t.Fatalf("%v", list)
		}
		return list[0]
	}
	p := one("grace", bank, proposed.ID)
	if p.GetStatus() != lockboxv1.ErasureStatus_ERASURE_STATUS_PROPOSED || p.GetReason() != "They left." ||
		p.GetProposedBy().GetPerson().GetSubject() != "olga" || p.GetDecidedBy() != nil || len(p.GetAllowed()) != 0 ||
		p.GetTargets()[0].GetPerson().GetDisplayName() != "Erin Ellis" ||
		p.GetTargets()[1].GetTarget().GetAddress().GetAddress() != "" {
		t.Errorf("proposed: %v", p)
	}
	if got := one("olga", bank, proposed.ID).GetAllowed(); !slices.Equal(got, []string{"decline_erasure"}) {
		t.Errorf("who proposed may %v", got)
	}
	if got := one("rosa-admin", bank, proposed.ID).GetAllowed(); !slices.Equal(got,
		[]string{"confirm_erasure", "decline_erasure"}) {
		t.Errorf("a second officer may %v", got)
	}
	o := one("audrey", bank, own.ID)
	first, second := o.GetTargets()[0], o.GetTargets()[1]
	if o.GetStatus() != lockboxv1.ErasureStatus_ERASURE_STATUS_DECIDED || o.GetProposedBy() != nil ||
		o.GetDecidedBy().GetPerson().GetSubject() != "grace" || first.GetType() != "CustomerDenied" ||
		first.GetTitle() == "" || !first.GetTime().AsTime().Equal(denied.GetTime().AsTime()) ||
		first.GetActor().GetPerson().GetSubject() != "otto" || second.GetType() != "LockboxEnabled" {
		t.Errorf("decided by the customer: %v", o)
	}

	c.erases("rosa-admin", proposed, confirm())
	e, err := erasure.Carry(c.story.States.Erasure(proposed), 2, story.System("lockbox-orchestrator"), c.story.ID(),
		c.story.Now)
	must(t, err)
	e.Id = c.story.ID()
	c.story.Record(e)
	p = one("grace", bank, proposed.ID)
	if p.GetStatus() != lockboxv1.ErasureStatus_ERASURE_STATUS_ERASED || p.GetKeysDestroyed() != 2 ||
		p.GetDecidedBy().GetPerson().GetSubject() != "rosa-admin" || p.GetEndedAt() == nil ||
		p.GetTargets()[0].GetPerson().GetDisplayName() != "" || !p.GetTargets()[0].GetPerson().GetErased() {
		t.Errorf("erased: %v", p)
	}
	c.erases("rosa-admin", provider, &lockboxv1.Command{Action: &lockboxv1.Command_DeclineErasure{
		DeclineErasure: &lockboxv1.DeclineErasure{Reason: "She works here."}}})
	if d := one("olga", "", provider.ID); d.GetStatus() != lockboxv1.ErasureStatus_ERASURE_STATUS_DECLINED ||
		d.GetDeclinedBy().GetPerson().GetSubject() != "rosa-admin" || d.GetDeclinedReason() != "She works here." {
		t.Errorf("declined: %v", d)
	}
}

// R46: an erasure in a disclosure that the customer has not been told of is not shown to them.
func TestR46AnErasureTellsNothingOfADisclosureUnderEmbargo(t *testing.T) {
	c := newCast(t)
	id := c.story.Disclose(c.actor("olga"), bank, "account records", 1000*time.Hour)
	about := aggregate.Erasure(bank, c.story.ID())
	c.erases("olga", about, wantsErased(eraseTexts(aggregate.KindDisclosure, id, "1")))
	if got := c.query("grace", listErasures(bank, "")).GetErasures().GetErasures(); len(got) != 0 {
		t.Errorf("the customer sees %v", got)
	}
	if got := c.query("olga", listErasures(bank, "")).GetErasures().GetErasures(); len(got) != 1 ||
		got[0].GetTargets()[0].GetType() != "LegalDemandDisclosed" {
		t.Errorf("the officer sees %v", got)
	}
}
