package plan_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Administrators are told once a day, in their language, at once however many mails they get; nobody else is.
func TestR3AdministratorsAreToldOfTheDaysAccessThatTheyWereNotAskedAbout(t *testing.T) {
	until := start.Truncate(24 * time.Hour).Add(24 * time.Hour)
	about := aggregate.Digest(ofTenant.ID, until)
	s := tell(t).tenant(grace, assigned(role("otto-ga", otto, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR))).
		tenant(grace, assigned(role("fleur-auditor", fleur, lockboxv1.Role_ROLE_AUDITOR)))
	report := &lockboxv1.Event{
		Id: s.ID(), Tenant: about.Tenant, Kind: about.Kind, AggregateId: about.ID, ReportKey: "waived",
		Time: timestamppb.New(until), Actor: clock, Fact: &lockboxv1.Event_WaivedAccessReported{
			WaivedAccessReported: &lockboxv1.WaivedAccessReported{
				Since: timestamppb.New(until.Add(-24 * time.Hour)), Until: timestamppb.New(until),
				Counts: []*lockboxv1.WaivedCount{{Waiver: lockboxv1.Waiver_WAIVER_EMERGENCY, Count: 1},
					{Waiver: lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA, Count: 70}},
			}},
	}
	in := plan.Input{Event: report, Tenant: s.States.Tenant(ofTenant.ID)}
	s.last = plan.Plan(in, settings)
	s.told("waived-access: grace/fr otto/en")
	if d := s.data("otto"); d.Unasked() != 71 || !d.Starts.Equal(until.Add(-24*time.Hour)) || !d.Ends.Equal(until) ||
		d.Tenant != "Meadow Bank" || d.TenantID != ofTenant.ID {
		t.Errorf("the mail says %+v", d)
	}
	if !plan.Tells(report) || !s.last[0].Urgent(until) || s.last[0].Thread != "" || s.last[0].Emergency {
		t.Error("it may be held, or is about one request")
	}
	if ids(s.last)[0] != ids(plan.Plan(in, settings))[0] {
		t.Error("the same report again is another mail (I7)")
	}
}
