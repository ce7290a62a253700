package story

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// The customer of a Case, its subscription, and the one request.
const (
	Tenant       = "contoso"
	Subscription = "sub-1"
	RequestID    = "018f3a00-aaaa-7000-8000-000000000001"
)

// Case begins the story of one request, told by hand: a customer with Lockbox enabled, one subscription and one Global
// Administrator.
func Case(administrator *lockboxv1.Actor, now time.Time) *Story {
	s := New(now)
	s.ByHand = true
	s.Create(Tenant, "Contoso", nil, administrator)
	s.Subscription(Tenant, Subscription, "Production")
	return s
}

// Request returns the one request.
func (s *Story) Request() request.State {
	return s.States.Request(aggregate.Request(Tenant, RequestID))
}

// World returns what a decision on the one request reads from other aggregates.
func (s *Story) World() request.World { return s.world(aggregate.Request(Tenant, RequestID)) }

// Perform returns the event of a duty to the one request, or none if that duty is not due. It does not record it.
func (s *Story) Perform(d request.Duty) (*lockboxv1.Event, error) {
	owed, err := request.Owed(s.Request(), s.World(), s.Now)
	if owed != d || err != nil {
		return nil, err
	}
	return s.next(aggregate.Request(Tenant, RequestID))
}
