package answer_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func listDisclosures(tenant string) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant,
		Ask: &lockboxv1.Query_ListDisclosures{ListDisclosures: &lockboxv1.ListDisclosures{}}}
}

// R46: before the customer is told, nothing that they can ask shows that there is anything, in whatever way it is
// asked.
func TestR46UntilTheEmbargoEndsTheCustomerSeesNothing(t *testing.T) {
	const what, embargo = "account records", 90 * 24 * time.Hour
	p := newPlace(t)
	before := map[string]*lockboxv1.QueryReply{}
	asked := func() map[string]*lockboxv1.Query {
		list := p.questions(bank)
		for name, f := range map[string]*lockboxv1.ListActivity{
			"by action": {Actions: []string{"LegalDemandDisclosed", "Tell of Disclosure"}},
			"by person": {Person: p.actor("olga").GetPerson().GetSubject()},
			"by time":   {Since: timestamppb.New(p.story.Now.Add(-embargo))}, "by resource": {Resource: "/"},
			"a page": {Limit: 1},
		} {
			list[name] = listActivity(bank, f)
		}
		return list
	}
	for name, q := range asked() {
		before[name] = p.query("grace", q)
	}
	id := p.story.Disclose(p.actor("olga"), bank, what, embargo)
	for name, q := range asked() {
		reply := p.query("grace", q)
		noneOf(t, name, reply, what, id, "olga")
		if a, b := len(reply.GetActivity().GetActivities()), len(before[name].GetActivity().GetActivities()); a != b ||
			reply.GetActivity().GetNextPageToken() != before[name].GetActivity().GetNextPageToken() {
			t.Errorf("%s: %d activities, %d before", name, a, b)
		}
	}
	if n := len(p.query("grace", listDisclosures(bank)).GetDisclosures().GetDisclosures()); n != 0 {
		t.Errorf("%d disclosures", n)
	}
	officers := p.query("olga", listDisclosures(bank)).GetDisclosures().GetDisclosures()
	if len(officers) != 1 || officers[0].GetDisclosureId() != id || officers[0].GetToldAt() != nil ||
		officers[0].GetAuthority() == "" {
		t.Errorf("the security officer sees %v", officers)
	}
	if n := len(p.query("olga", listActivity(bank,
		&lockboxv1.ListActivity{Actions: []string{"Disclose Legal Demand"}})).GetActivity().GetActivities()); n != 1 {
		t.Errorf("the security officer sees %d activities", n)
	}

	// A nanosecond too early nobody is told.
	p.story.Now = p.story.Now.Add(embargo - 1)
	p.story.Owed(aggregate.Disclosure(bank, id))
	if n := len(p.query("grace", listDisclosures(bank)).GetDisclosures().GetDisclosures()); n != 0 {
		t.Errorf("%d disclosures a nanosecond before the end", n)
	}
	p.story.Now = p.story.Now.Add(1)
	p.story.Owed(aggregate.Disclosure(bank, id))
	for _, who := range []string{"grace", "olga"} {
		list := p.query(who, listDisclosures(bank)).GetDisclosures().GetDisclosures()
		if len(list) != 1 || list[0].GetOccurrence().GetWhat() != what || !list[0].GetToldAt().AsTime().Equal(p.story.Now) {
			t.Errorf("%s sees %v", who, list)
		}
		log := p.query(who, listActivity(bank,
			&lockboxv1.ListActivity{Actions: []string{"Disclose Legal Demand",
				"Tell of Disclosure"}})).GetActivity().GetActivities()
		if len(log) != 2 {
			t.Errorf("%s reads %v", who, log)
		}
	}
	// It is told to those who see the whole tenant, and to no other tenant.
	p.assign("otto", "prod", owner, false)
	if r := p.query("otto", listDisclosures(bank)).GetRefusal(); r.GetCode() != notFound {
		t.Errorf("the owner of a subscription: %v", r)
	}
	noneOf(t, "the other tenant", p.query("hana", listDisclosures(health)), what, id)
	noneOf(t, "the other tenant's log", p.query("hana", listActivity(health, &lockboxv1.ListActivity{})), what, id)
}

// Not even who holds the orchestrator's key shows it earlier: what cannot be true shows nothing.
func TestR46AForgedTellingShowsNothing(t *testing.T) {
	p := newPlace(t)
	id := p.story.Disclose(p.actor("olga"), bank, "account records", time.Hour)
	p.story.Write(&lockboxv1.Event{
		Id: p.story.ID(), Tenant: bank, Kind: "disclosure", AggregateId: id, Version: 2, Time: timestamppb.New(p.story.Now),
		Fact: &lockboxv1.Event_DisclosureTold{DisclosureTold: &lockboxv1.DisclosureTold{}},
	})
	noneOf(t, "disclosures", p.query("grace", listDisclosures(bank)), "account records")
	noneOf(t, "activity", p.query("grace", listActivity(bank, &lockboxv1.ListActivity{})), "account records", id)
}

// control: nist:SA-9, iso:5.23
func TestR44AnExposureIsSeenOnceItIsTold(t *testing.T) {
	p := newPlace(t)
	id := p.story.Disclose(p.actor("olga"), bank, "a packet capture", 0)
	noneOf(t, "disclosures", p.query("grace", listDisclosures(bank)), "packet")
	p.story.Owed(aggregate.Disclosure(bank, id))
	if list := p.query("grace", listDisclosures(bank)).GetDisclosures().GetDisclosures(); len(list) != 1 ||
		list[0].GetDisclosureId() != id {
		t.Errorf("%v", list)
	}
}
