// Package disclosure implements disclosures of access to a customer's data outside any request: an inadvertent exposure
// (R44) or an external legal demand (R45). The provider's security officer records it and the customer is notified, of
// a legal demand only after its embargo ends (R46). No request is created. It is pure.
package disclosure

import (
	"strconv"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/resource"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	maxResources = 50
	// longestEmbargo limits embargoes, which could otherwise prevent notification indefinitely.
	longestEmbargo = 10 * 366 * 24 * time.Hour
)

// State is a disclosure, folded from its events.
type State struct {
	aggregate.History
	Occurrence *lockboxv1.Occurrence
	// Demand is nil unless this is a legal demand.
	Demand *lockboxv1.LegalDemandDisclosed
	By     *lockboxv1.Actor
	At     time.Time
	// ToldAt is when the customer was notified; zero before.
	ToldAt time.Time
}

// Evolve folds one stored event. An event that is invalid at its position changes nothing but Fault.
func Evolve(s State, sequence uint64, e *lockboxv1.Event) State {
	return aggregate.Fold(s, sequence, e, (*State).apply)
}

func (s *State) apply(e *lockboxv1.Event) (broken string) {
	at := e.GetTime().AsTime()
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_ExposureDisclosed:
		s.Occurrence = f.ExposureDisclosed.GetOccurrence()
	case *lockboxv1.Event_LegalDemandDisclosed:
		s.Occurrence, s.Demand = f.LegalDemandDisclosed.GetOccurrence(), f.LegalDemandDisclosed
	case *lockboxv1.Event_DisclosureTold:
		switch {
		case e.GetVersion() == 1:
			return "a disclosure begins with what is disclosed"
		case !s.ToldAt.IsZero():
			return "the customer is told once"
		case !aggregate.System(e.GetActor()):
			return "the customer is told by Lockbox itself"
		case at.Before(s.tellAt()):
			return "the customer is not told before the embargo ends (R46)"
		}
		s.ToldAt = at
		return ""
	}
	switch {
	case e.GetVersion() != 1:
		return "a disclosure is made once"
	case !aggregate.Provider(e.GetActor(), aggregate.SecurityOfficers):
		return "a security officer discloses (R46)"
	}
	s.By, s.At = e.GetActor(), at
	return ""
}

// tellAt returns when the customer's notification falls due.
func (s State) tellAt() time.Time {
	if end := s.Demand.GetEmbargoUntil(); end != nil && end.AsTime().After(s.At) {
		return end.AsTime()
	}
	return s.At
}

// NextDue returns when the customer is to be notified; false if they already were or there is nothing to disclose.
func NextDue(s State) (time.Time, bool) {
	if s.Fault != nil || !s.Exists() || !s.ToldAt.IsZero() {
		return time.Time{}, false
	}
	return s.tellAt(), true
}

// Owed reports whether the customer's notification is due at now. It is due from the very instant at which the embargo
// ends.
func Owed(s State, now time.Time) bool {
	due, waits := NextDue(s)
	return waits && !now.Before(due)
}

// Tell returns the event that notifies the customer, or neither event nor error if that is not due.
func Tell(s State, by *lockboxv1.Actor, causationID string, now time.Time) (*lockboxv1.Event, error) {
	if !Owed(s, now) {
		return nil, nil
	}
	e := s.Follow(by, causationID, now)
	e.Fact = &lockboxv1.Event_DisclosureTold{DisclosureTold: &lockboxv1.DisclosureTold{}}
	return aggregate.End(s, e, Evolve)
}

// Decide returns the event that results from a command, or neither event nor error if it was already carried out.
func Decide(s State, t tenant.State, c aggregate.Command, now time.Time) (*lockboxv1.Event, error) {
	// This check comes first: a refusal must not reveal that a legal demand exists (R46).
	if !aggregate.Provider(c.By, aggregate.SecurityOfficers) {
		return nil, refusal.Forbidden("token", "R46", "the provider's security officer discloses")
	}
	e, err := s.Begin(c, s.Version, func() error {
		if !t.Exists() {
			return refusal.NotFound("tenant", "I9", "there is no such tenant")
		}
		return nil
	}, now)
	if e == nil || err != nil {
		return nil, err
	}
	if s.Exists() {
		return nil, refusal.Conflict("aggregate_id", "R46", "another disclosure has this id")
	}
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_DiscloseExposure:
		o := a.DiscloseExposure.GetOccurrence()
		e.Fact = &lockboxv1.Event_ExposureDisclosed{ExposureDisclosed: &lockboxv1.ExposureDisclosed{Occurrence: o}}
	case *lockboxv1.Command_DiscloseLegalDemand:
		d := a.DiscloseLegalDemand
		e.Fact = &lockboxv1.Event_LegalDemandDisclosed{LegalDemandDisclosed: &lockboxv1.LegalDemandDisclosed{
			Occurrence: d.GetOccurrence(), Authority: d.GetAuthority(), Reference: d.GetReference(),
			EmbargoUntil: d.GetEmbargoUntil(),
		}}
	default:
		return nil, refusal.Invalid("action", "bad input", "this command is not about a disclosure")
	}
	if err := refusal.First(Faults(c.Command, now)...); err != nil {
		return nil, err
	}
	return aggregate.End(s, e, Evolve)
}

// Faults returns everything that is wrong with what a disclosure says, if the command is one, so that whoever writes it
// can correct it at once. Errors may be nil.
func Faults(c *lockboxv1.Command, now time.Time) []error {
	d := c.GetDiscloseLegalDemand()
	switch {
	case c.GetDiscloseExposure() != nil:
		return faults("disclose_exposure", c.GetDiscloseExposure().GetOccurrence(), now)
	case d == nil:
		return nil
	}
	var embargo error
	if end := d.GetEmbargoUntil(); end != nil && (!end.IsValid() || end.AsTime().Sub(now) > longestEmbargo) {
		embargo = refusal.Invalid("disclose_legal_demand.embargo_until", "R46", "must be a time within ten years")
	}
	return append(faults("disclose_legal_demand", d.GetOccurrence(), now),
		prose.CheckLine("disclose_legal_demand.authority", d.GetAuthority(), 1, 200),
		prose.CheckLine("disclose_legal_demand.reference", d.GetReference(), 1, 200),
		embargo)
}

func faults(in string, o *lockboxv1.Occurrence, now time.Time) []error {
	field := func(name string) string { return in + ".occurrence." + name }
	return []error{
		prose.CheckLine(field("what"), o.GetWhat(), 3, 200),
		past(field("happened_at"), o.GetHappenedAt(), now),
		prose.Check(field("description"), o.GetDescription(), 0, 4000),
		prose.Check(field("reason"), o.GetReason(), 10, 4000),
		resources(field, o),
	}
}

func resources(field func(string) string, o *lockboxv1.Occurrence) error {
	switch n := len(o.GetResourceIds()); {
	case n > maxResources:
		return refusal.Naming(
			refusal.Invalid(field("resource_ids"), "R46", "at most %d resources are named", maxResources),
			"most", strconv.Itoa(maxResources))
	case n == 0 && o.GetDescription() == "":
		return refusal.Invalid(field("description"), "R46", "name the resources, or describe what was reached")
	}
	for _, id := range o.GetResourceIds() {
		if err := resource.Check(field("resource_ids"), id); err != nil {
			return err
		}
	}
	return nil
}

func past(field string, t *timestamppb.Timestamp, now time.Time) error {
	if !t.IsValid() || t.AsTime().After(now) {
		return refusal.OfKind(refusal.Invalid(field, "R46", "must be a time in the past"), "not-past")
	}
	return nil
}
