package answer_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/catalogue"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func roles(v *lockboxv1.SelfView) string {
	var list []string
	for _, r := range v.GetRoles() {
		list = append(list, strings.TrimPrefix(r.GetRole().String(), "ROLE_")+"@"+r.GetSubscriptionId())
	}
	return strings.Join(list, " ")
}

func TestPeopleLearnWhoTheyAre(t *testing.T) {
	p := newPlace(t)
	grace := p.actor("grace")
	grace.AuthenticatedAt = timestamppb.New(p.story.Now)
	p.story.Command(grace, &lockboxv1.Command{Tenant: bank,
		Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{
			Settings: &lockboxv1.TenantSettings{
				DefaultLanguage: "fr", Fallback: lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS,
				MaxAuthenticationAge: durationpb.New(10 * time.Minute), TimeZone: "Europe/Paris",
			},
		}}})
	v := p.query("grace", getSelf(bank)).GetSelf()
	if v.GetTenant() != bank || v.GetTenantName() != "The "+bank || v.GetDefaultLanguage() != "fr" ||
		v.GetMaxAuthenticationAge().AsDuration() != 10*time.Minute || v.GetTimeZone() != "Europe/Paris" {
		t.Errorf("of the tenant: %v", v)
	}
	if by := v.GetActor(); by.GetSide() != lockboxv1.Side_SIDE_TENANT || by.GetPerson().GetSubject() != "grace" ||
		by.GetPerson().GetEmail() == "" || roles(v) != "GLOBAL_ADMINISTRATOR@" {
		t.Errorf("the administrator is %v", v)
	}
	// The provider's people are of no tenant, whichever they name.
	for _, tenant := range []string{"", bank, "nowhere"} {
		v := p.query("derek", getSelf(tenant)).GetSelf()
		if v.GetActor().GetSide() != lockboxv1.Side_SIDE_PROVIDER ||
			!slices.Contains(v.GetActor().GetGroups(), "devops-managers") ||
			v.GetTenant() != "" || v.GetTenantName() != "" || len(v.GetRoles()) != 0 {
			t.Errorf("the manager, of %q, is %v", tenant, v)
		}
	}
	// Somebody of the other tenant learns nothing, not even their own name.
	if reply := p.query("hana", getSelf(bank)); reply.GetRefusal().GetCode() != notFound {
		t.Errorf("of another tenant: %v", reply)
	}
}

// Whoever asks who they are need not know their tenant, unless their token is good for two (I9).
func TestATokenFindsItsTenant(t *testing.T) {
	c := newCast(t)
	for who, tenant := range map[string]string{"grace": bank, "hana": health} {
		if v := c.query(who, getSelf("")).GetSelf(); v.GetTenant() != tenant || v.GetActor().GetPerson().GetSubject() != who {
			t.Errorf("%s: %v", who, v)
		}
	}
	if reply := c.query("grace", &lockboxv1.Query{Ask: &lockboxv1.Query_GetTenant_{
		GetTenant_: &lockboxv1.GetTenant{}}}); reply.GetRefusal().GetField() != "tenant" {
		t.Errorf("only who they are: %v", reply)
	}
	c.story.Create("harbour", "Of the same issuer", c.issuer.TenantIssuer(bank), c.actor("grace"))
	if reply := c.query("grace", getSelf("")); reply.GetRefusal().GetField() != "tenant" {
		t.Errorf("good for two: %v", reply)
	}
	if v := c.query("grace", getSelf(bank)).GetSelf(); v.GetTenant() != bank {
		t.Errorf("good for two, and one is named: %v", v)
	}
}

// R20, R21, R22: only what counts at this moment.
func TestTheRolesThatCountNow(t *testing.T) {
	want := map[string]string{
		"Global Administrator": "GLOBAL_ADMINISTRATOR@", "tenant Lockbox Approver": "LOCKBOX_APPROVER@",
		"Auditor":       "AUDITOR@",
		"Owner of prod": "OWNER@prod", "Lockbox Approver of prod": "LOCKBOX_APPROVER@prod",
		"eligible Owner who activated": "OWNER@prod",
	}
	for role, row := range rolesOfTheCustomer {
		p := newPlace(t)
		row.give(p)
		v := p.query("otto", getSelf(bank)).GetSelf()
		if roles(v) != want[role] || v.GetActor().GetPerson().GetSubject() != "otto" {
			t.Errorf("%s: %v", role, v)
		}
	}
	c := newCast(t)
	c.assign("otto", "test", owner, false)
	c.story.Assign(c.actor("grace"), bank, "prod", "again", c.actor("otto"), owner, false)
	c.story.Assign(c.actor("grace"), bank, "", "reads", c.actor("otto"), auditor, false)
	if v := c.query("otto", getSelf(bank)).GetSelf(); roles(v) != "AUDITOR@ OWNER@prod OWNER@test" {
		t.Errorf("several: %v", v)
	}
}

// Whoever can no longer see a request learns which role is gone, who took it and when; and only of roles of their own.
func TestPeopleLearnWhichRolesTheyLost(t *testing.T) {
	c := newCast(t)
	otto, grace := c.actor("otto"), c.actor("grace")
	c.story.Assign(grace, bank, "prod", "owns", otto, owner, false)
	c.story.Assign(grace, bank, "prod", "of-another", c.actor("fleur"), owner, false)
	c.story.Assign(grace, bank, "", "reads", otto, auditor, false)
	c.story.Assign(grace, bank, "", "reads-too", otto, auditor, false)
	remove := func(aggregateID, id string) {
		c.story.Command(grace, &lockboxv1.Command{Tenant: bank, AggregateId: aggregateID,
			Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: id}}})
	}
	if lost := c.query("otto", getSelf(bank)).GetSelf().GetLostRoles(); len(lost) != 0 {
		t.Errorf("before: %v", lost)
	}
	remove("prod", "owns")
	remove("prod", "of-another")
	remove("", "reads") // and holds it by another assignment
	at := c.story.Now
	lost := c.query("otto", getSelf(bank)).GetSelf().GetLostRoles()
	if len(lost) != 1 || lost[0].GetRole() != owner || lost[0].GetSubscriptionId() != "prod" ||
		lost[0].GetSubscriptionName() == "" || lost[0].GetBy().GetPerson().GetSubject() != "grace" ||
		lost[0].GetTime().AsTime().After(at) {
		t.Errorf("lost: %v", lost)
	}
	c.story.Assign(grace, bank, "prod", "again", otto, owner, false)
	if lost := c.query("otto", getSelf(bank)).GetSelf().GetLostRoles(); len(lost) != 0 {
		t.Errorf("has it again: %v", lost)
	}
}

func TestTheServicesInForce(t *testing.T) {
	p := newPlace(t)
	shipped := p.query("otto", listServices(bank)).GetServices()
	if all := catalogue.Default().Services(); shipped.GetVersion() != catalogue.Default().Version() ||
		len(shipped.GetServices()) != len(all) ||
		shipped.GetServices()[0].GetResourceType() != all[0].Type ||
		shipped.GetServices()[0].GetDisplayName() != all[0].Name || shipped.GetServices()[0].GetStage() != all[0].Stage {
		t.Errorf("that ships: %v", shipped)
	}
	const text = `
version: "7"
services:
  - type: compute/virtual-machines
    name: Machines of our own
    stage: preview
    paths: [Microsoft.Compute/virtualMachines/*]
    scenarios:
      - {id: memory-dump, name: A dump, customer_data: true, elevated: false, scope: subscription}
`
	p.story.Publish(p.actor("olga"), text)
	for who, tenant := range map[string]string{"otto": bank, "hana": health, "derek": "", "onboarding": bank} {
		list := p.query(who, listServices(tenant)).GetServices()
		want := []*lockboxv1.ServiceView{{
			ResourceType: "compute/virtual-machines", DisplayName: "Machines of our own",
			Stage: lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW,
		}}
		if !strings.HasPrefix(list.GetVersion(), "7+") || len(list.GetServices()) != 1 ||
			!proto.Equal(list.GetServices()[0], want[0]) {
			t.Errorf("%s: %v", who, list)
		}
	}
	// I11: what contradicts itself is not shown as if it were in force.
	e := proto.CloneOf(p.story.Entries[len(p.story.Entries)-1].Event)
	e.Version++
	e.GetCataloguePublished().Sha256 = []byte("another")
	p.story.Write(e)
	if got := p.query("otto", listServices(bank)).GetRefusal(); got.GetCode() != unavailable {
		t.Errorf("a forged one: %v", got)
	}
}

// R13: only the services know how an issuer is configured, so they say what a claim counted for.
func TestR13PeopleLearnWhatTheirClaimsCountFor(t *testing.T) {
	p := newPlace(t)
	for who, fact := range map[string]string{"derek": "groups", "grace": "multi_factor"} {
		found := ""
		for _, c := range p.query(who, getSelf(bank)).GetSelf().GetClaims() {
			if c.GetFact() == fact {
				found = c.GetCountsAs()
			}
		}
		if found != map[string]string{"derek": "devops-managers", "grace": "a second factor"}[who] {
			t.Errorf("%s: %s counts as %q", who, fact, found)
		}
	}
	v := p.query("grace", &lockboxv1.Query{Tenant: bank, Ask: &lockboxv1.Query_GetTenant_{
		GetTenant_: &lockboxv1.GetTenant{}}}).GetTenant()
	if v.GetIssuerKeys() != 1 || len(v.GetIssuerKeysPassedOver()) != 0 {
		t.Errorf("the keys are %d, %v", v.GetIssuerKeys(), v.GetIssuerKeysPassedOver())
	}
}
