package activitylog_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/activitylog"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

const recording = "/provider/disclosures/new"

// office is where a security officer records, or somebody else of that group.
func office(t *testing.T, group string) (*sitetest.Backend, http.Handler) {
	t.Helper()
	b := &sitetest.Backend{
		Queries: map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
			"get_self": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{Self: &lockboxv1.SelfView{
					Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Groups: []string{group},
						Person: &lockboxv1.Person{Subject: "olga"}}}}}, nil
			},
			"get_dashboard": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Dashboard{Dashboard: &lockboxv1.Dashboard{
					Customers: []*lockboxv1.CustomerFigures{{Tenant: "meadowbank", TenantName: "Meadow Bank"}}}}}, nil
			},
		},
		Commands: map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error){},
	}
	for _, verb := range []string{"disclose_exposure", "disclose_legal_demand"} {
		b.Commands[verb] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
			return &lockboxv1.CommandReply{Sequence: 9}, nil
		}
	}
	s := sitetest.New(t, b, sitetest.Lena())
	routes, err := activitylog.Routes(s)
	if err != nil {
		t.Fatal(err)
	}
	return b, sitetest.Server(s, routes)
}

func recorded(changes ...string) url.Values {
	v := url.Values{"command": {"019e1b3d-0000-7000-8000-0000000000aa"}, "customer": {"meadowbank"}, "kind": {"exposure"},
		"what": {"A packet capture held traffic"}, "happened": {"2026-08-02T10:00"}, "description": {"Health checks."},
		"reason": {"Taken to find a faulty line card."}, "checked": {"yes"}}
	for i := 0; i < len(changes); i += 2 {
		v.Set(changes[i], changes[i+1])
	}
	return v
}

// R44, R45: a security officer records what happened outside of any request; the form sent twice is one disclosure.
func TestASecurityOfficerRecordsADisclosure(t *testing.T) {
	b, h := office(t, aggregate.SecurityOfficers)
	if page := sitetest.Get(h, recording).Body.String(); !strings.Contains(page, "Meadow Bank") {
		t.Errorf("no customer to choose: %s", page)
	}
	made := recording + "?description=made+up+by+others"
	if page := sitetest.Get(h, made).Body.String(); strings.Contains(page, "made up by others</textarea>") {
		t.Error("an address fills in the form")
	}
	w := sitetest.Post(h, recording, recorded())
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/provider/disclosures?after=9" {
		t.Fatalf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	sitetest.Post(h, recording, recorded())
	first, again := b.Done[0], b.Done[1]
	o := first.GetDiscloseExposure().GetOccurrence()
	if first.GetTenant() != "meadowbank" || o.GetDescription() != "Health checks." ||
		!o.GetHappenedAt().AsTime().Equal(time.Date(2026, 8, 2, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("recorded: %v", first)
	}
	if first.GetAggregateId() != again.GetAggregateId() || first.GetId() != again.GetId() {
		t.Error("the form sent twice is two disclosures")
	}
	sitetest.Post(h, recording, recorded("kind", "demand", "authority", "A court", "reference", "4 Js 1/26",
		"embargo", "2026-09-01T00:00", "resources", "/a\r\n/b"))
	d := b.Done[2].GetDiscloseLegalDemand()
	if d.GetAuthority() != "A court" || d.GetReference() != "4 Js 1/26" || len(d.GetOccurrence().GetResourceIds()) != 2 ||
		d.GetEmbargoUntil().AsTime().Month() != time.September {
		t.Errorf("demanded: %v", d)
	}
}

func TestADisclosureIsCheckedBeforeItIsRecorded(t *testing.T) {
	b, h := office(t, aggregate.SecurityOfficers)
	for name, values := range map[string]url.Values{
		"customer": recorded("customer", ""), "kind": recorded("kind", ""), "what": recorded("what", "x"),
		"happened": recorded("happened", "2026-09-01T00:00"), "description": recorded("description", ""),
		"reason": recorded("reason", "short"), "authority": recorded("kind", "demand", "reference", "x"),
		"reference": recorded("kind", "demand", "authority", "x"), "embargo": recorded("embargo", "2026-09-01T00:00"),
		"checked": recorded("checked", ""),
	} {
		w := sitetest.Post(h, recording, values)
		if page := w.Body.String(); w.Code != http.StatusBadRequest || !strings.Contains(page, `href="#`+name+`"`) ||
			name != "what" && !strings.Contains(page, "A packet capture held traffic") {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if len(b.Done) > 0 {
		t.Errorf("recorded: %v", b.Done)
	}
	b.Commands["disclose_exposure"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.Invalid("disclose_exposure.occurrence.resource_ids", "R49", "must not hold two slashes in a row")
	}
	w := sitetest.Post(h, recording, recorded("resources", "//x"))
	if page := w.Body.String(); w.Code != http.StatusBadRequest || !strings.Contains(page, `href="#resources"`) ||
		!strings.Contains(page, `lang="en">must not hold two slashes`) || !strings.Contains(page, "//x") {
		t.Errorf("%d %s", w.Code, page)
	}
}

// R46: who is no security officer does not even learn that there is such a page.
func TestR46NobodyElseRecordsDisclosures(t *testing.T) {
	for _, group := range []string{aggregate.SupportEngineers, aggregate.SupportLeads, aggregate.Onboarding} {
		b, h := office(t, group)
		if w := sitetest.Get(h, recording); w.Code != http.StatusNotFound {
			t.Errorf("%s sees the form: %d", group, w.Code)
		}
		if w := sitetest.Post(h, recording, recorded()); w.Code != http.StatusNotFound || len(b.Done) > 0 {
			t.Errorf("%s records: %d, %v", group, w.Code, b.Done)
		}
	}
}
