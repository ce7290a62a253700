// Package story simulates one customer and one request for tests: it decides, records and folds events as the services
// do, without a bus or a clock.
package story

import (
	"fmt"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Story is the state at some point of the simulation. The zero value has no events.
type Story struct {
	Tenant       tenant.State
	Subscription tenant.Subscription
	Request      request.State
	Terms        request.Terms
	// Resource is what the catalogue says at the time of the grant; nil: the same as evaluated.
	Resource *request.Resource
	// History is the stream: all recorded events, in order.
	History []invariant.Recorded
	ids     int
}

// ID returns the next id of the story, in the form of a UUIDv7.
func (s *Story) ID() string {
	s.ids++
	return fmt.Sprintf("018f3a00-0000-7000-8000-%012d", s.ids)
}

// World returns what a decision on the request reads from other aggregates.
func (s *Story) World() request.World {
	w := request.World{Tenant: s.Tenant, Resource: s.Resource}
	if f := s.Request.Evaluation.GetFacts(); w.Resource == nil && f != nil {
		w.Resource = &request.Resource{CustomerData: f.GetCustomerData(),
			Preview: f.GetStage() == lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW}
	}
	if s.Request.Intent.GetSubscriptionId() != "" {
		sub := s.Subscription
		w.Subscription = &sub
	}
	return w
}

// Decide decides on a command without recording the result.
func (s *Story) Decide(c aggregate.Command, now time.Time) (*lockboxv1.Event, error) {
	about, err := aggregate.Of(c.Command)
	switch about.Kind {
	case aggregate.KindTenant:
		return tenant.Decide(s.Tenant, c, now)
	case aggregate.KindSubscription:
		if err != nil {
			return nil, err
		}
		return tenant.DecideSubscription(s.Tenant, s.Subscription, c, now)
	}
	return request.Decide(s.Request, c, s.World(), now) // the only request, so a command need not name it
}

// Command wraps an actor's action on the tenant (empty id), the subscription or the request.
func (s *Story) Command(by *lockboxv1.Actor, id string, c *lockboxv1.Command) aggregate.Command {
	c = proto.CloneOf(c)
	c.Id, c.Tenant = id, Tenant
	return aggregate.Command{Command: c, By: by}
}

// Perform returns the event of a duty, or none if that duty is not due. It does not record it.
func (s *Story) Perform(d request.Duty, now time.Time) (*lockboxv1.Event, error) {
	owed, err := request.Owed(s.Request, s.World(), now)
	if owed != d || err != nil {
		return nil, err
	}
	return request.Perform(s.Request, s.World(), s.Terms, Lockbox(), "", now)
}

// Record appends events to the stream and folds them; nil events are skipped.
func (s *Story) Record(events ...*lockboxv1.Event) {
	for _, e := range events {
		if e == nil {
			continue
		}
		e.Id = s.ID()
		sequence := uint64(len(s.History)) + 1
		s.History = append(s.History, invariant.Recorded{Sequence: sequence, Event: e})
		switch e.GetKind() {
		case aggregate.KindTenant:
			s.Tenant = tenant.Evolve(s.Tenant, sequence, e)
		case aggregate.KindSubscription:
			s.Subscription = tenant.EvolveSubscription(s.Subscription, sequence, e)
		default:
			s.Request = request.Evolve(s.Request, sequence, e)
		}
	}
}

// Must records the result of a command, and panics if it is refused. It is for test setup.
func (s *Story) Must(by *lockboxv1.Actor, c *lockboxv1.Command, now time.Time) {
	e, err := s.Decide(s.Command(by, s.ID(), c), now)
	if err != nil {
		panic(err)
	}
	s.Record(e)
}
