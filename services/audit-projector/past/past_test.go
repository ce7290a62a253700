package past_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/past"
)

// A day in the life of a customer, and what stood at each hour of it (R40).
//
// control: nist:AU-6
func TestWhatStoodAtEachHour(t *testing.T) {
	begun := time.Date(2026, 5, 12, 8, 0, 0, 0, time.UTC)
	s := story.New(begun)
	grace, otto := story.Customer("meadowbank", "grace"), story.Customer("meadowbank", "otto")
	erin, olga := story.Provider("erin", "support-engineers"), story.Provider("olga", "security-officers")
	at := func(hour float64) past.At {
		return past.At{Stream: &story.Stream{Entries: s.Entries}, Time: begun.Add(time.Duration(hour * float64(time.Hour)))}
	}
	turn := func(hour int) { s.Now = begun.Add(time.Duration(hour) * time.Hour) }

	s.Create("meadowbank", "Meadow Bank", nil, grace)
	turn(1)
	s.Subscription("meadowbank", "prod", "Production")
	s.Assign(grace, "meadowbank", "prod", "otto-owner", otto, lockboxv1.Role_ROLE_OWNER, false)
	s.Ticket(otto, "meadowbank", "SR-1", "It hangs", "prod")
	turn(2)
	id := s.Submit(erin, story.Dump("meadowbank", "prod", "vm1"))
	turn(3)
	s.Command(otto, story.Approve("meadowbank", id))
	s.Command(erin, &lockboxv1.Command{Tenant: "meadowbank", AggregateId: "SR-1",
		Action: &lockboxv1.Command_CommentTicket{CommentTicket: &lockboxv1.CommentTicket{Text: "I look."}}})
	exposure := s.Disclose(olga, "meadowbank", "A dump was opened", 0)
	turn(4)
	s.Publish(olga, string(catalogue.DefaultText())+"\n# Another one.\n")

	t.Run("a tenant", func(t *testing.T) {
		for hour, subscriptions := range map[float64]int{0.5: 0, 1.5: 1} {
			v, err := at(hour).TenantView(t.Context(), "meadowbank")
			if err != nil || len(v.GetSubscriptions()) != subscriptions || !v.GetLockboxEnabled() && v.GetVersion() == 0 {
				t.Errorf("at %v: %v, %v", hour, v, err)
			}
			if subscriptions == 1 && v.GetSubscriptions()[0].GetAssignments()[0].GetAssignment().GetId() != "otto-owner" {
				t.Errorf("at %v: %v", hour, v)
			}
		}
	})
	t.Run("a request", func(t *testing.T) {
		for hour, status := range map[float64]lockboxv1.RequestStatus{
			2.5: lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED,
			3.5: lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE,
			// What has ended by time has ended, though nobody wrote that down here.
			300: lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED,
		} {
			v, err := at(hour).Request(t.Context(), id)
			if err != nil || v.GetStatus() != status || len(v.GetTimeline()) != int(v.GetVersion()) { // #nosec G115 -- few
				t.Errorf("at %v: %v, %v", hour, v, err)
			}
		}
	})
	t.Run("a ticket", func(t *testing.T) {
		for hour, entries := range map[float64]int{1.5: 1, 3.5: 2} {
			if v, err := at(hour).Ticket(t.Context(), "SR-1"); err != nil || len(v.GetHistory()) != entries ||
				v.GetTitle() != "It hangs" {
				t.Errorf("at %v: %v, %v", hour, v, err)
			}
		}
	})
	t.Run("a disclosure", func(t *testing.T) {
		if v, err := at(3).Disclosure(t.Context(), exposure); err != nil ||
			v.GetOccurrence().GetWhat() != "A dump was opened" {
			t.Errorf("%v, %v", v, err)
		}
	})
	t.Run("the catalogue", func(t *testing.T) {
		for hour, published := range map[float64]bool{3.5: false, 4: true} {
			if p, err := at(hour).Published(t.Context(), aggregate.Catalogue); err != nil || p.Exists() != published {
				t.Errorf("at %v: %v, %v", hour, p, err)
			}
		}
	})
	t.Run("what was not there yet, never was, or is another customer's", func(t *testing.T) {
		elsewhere := at(9)
		elsewhere.Tenant = "sakura"
		for name, err := range map[string]error{
			"tenant not yet":     second(at(-1).TenantView(t.Context(), "meadowbank")),
			"request not yet":    second(at(1.5).Request(t.Context(), id)),
			"ticket not yet":     second(at(0.5).Ticket(t.Context(), "SR-1")),
			"disclosure not yet": second(at(2.5).Disclosure(t.Context(), exposure)),
			"no such tenant":     second(at(9).TenantView(t.Context(), "nobody")),
			"another's request":  second(elsewhere.Request(t.Context(), id)),
		} {
			if !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }
