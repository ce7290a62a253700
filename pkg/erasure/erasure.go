// Package erasure decides what is erased, and who decides it (R63): the keys that encrypt a person's details, a mail
// address or somebody's texts are destroyed, so that nobody can read them in any copy of the stream. It takes two of
// the provider's security officers, or one of the tenant's Global Administrators for what is the tenant's own. It is
// pure; package erasable encrypts, package keystore destroys.
package erasure

import (
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Status is how far an erasure has come.
type Status int

// The states of an erasure.
const (
	// Nowhere means that there is no such erasure.
	Nowhere Status = iota
	// Proposed means that a second security officer has to confirm it.
	Proposed
	// Decided means that the keys are being destroyed. It cannot be taken back.
	Decided
	// Declined means that nothing is erased.
	Declined
	// Destroyed means that what was to be erased cannot be read any more.
	Destroyed
)

const (
	rule = "R63"
	// most is how many things one erasure has at most.
	most = 50
)

// State is an erasure, folded from its events.
type State struct {
	aggregate.History
	Status  Status
	Targets []*lockboxv1.ErasureTarget
	// Reason is why it is wanted.
	Reason string
	// ProposedBy is nil if a tenant's administrator decided it alone.
	ProposedBy, DecidedBy *lockboxv1.Actor
	// ProposedAt, DecidedAt and EndedAt are when it came to that; zero before. A declined one has only ended.
	ProposedAt, DecidedAt, EndedAt time.Time
	// Destroyed is how many keys were.
	Destroyed uint32
	// by is who acted last.
	by *lockboxv1.Actor
	at time.Time
}

// Evolve folds one stored event. An event that is invalid at its position changes nothing but Fault.
func Evolve(s State, sequence uint64, e *lockboxv1.Event) State {
	return aggregate.Fold(s, sequence, e, (*State).apply)
}

func (s *State) apply(e *lockboxv1.Event) (broken string) {
	at, by := e.GetTime().AsTime(), e.GetActor()
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_ErasureProposed:
		switch {
		case s.Status != Nowhere:
			return "an erasure is proposed once (R63)"
		case !officer(by):
			return "erasures are proposed by the provider's security officer (R63)"
		case !sound(f.ErasureProposed.GetTargets()):
			return "an erasure names what is erased, and its keys (R63)"
		}
		s.Status, s.Targets, s.Reason = Proposed, f.ErasureProposed.GetTargets(), f.ErasureProposed.GetReason()
		s.ProposedBy, s.ProposedAt = by, at
	case *lockboxv1.Event_ErasureDecided:
		if broken = s.decided(f.ErasureDecided, by); broken != "" {
			return broken
		}
		s.Status, s.DecidedBy, s.DecidedAt = Decided, by, at
	case *lockboxv1.Event_ErasureDeclined:
		switch {
		case s.Status != Proposed:
			return "only a proposed erasure is declined (R63)"
		case !officer(by):
			return "erasures are declined by the provider's security officer (R63)"
		}
		s.Status, s.EndedAt = Declined, at
	case *lockboxv1.Event_KeysDestroyed:
		switch {
		case s.Status != Decided:
			return "keys are destroyed once, after that was decided (R63)"
		case !aggregate.System(by):
			return "keys are destroyed by Lockbox itself (R63)"
		}
		s.Status, s.EndedAt, s.Destroyed = Destroyed, at, f.KeysDestroyed.GetCount()
	default:
		return "the fact belongs to another kind of aggregate"
	}
	s.by, s.at = by, at
	return ""
}

// decided folds a decision: a second officer's, about what was proposed, or a tenant's own.
func (s *State) decided(f *lockboxv1.ErasureDecided, by *lockboxv1.Actor) (broken string) {
	if s.Status == Nowhere {
		if !aggregate.Customer(by) || !sound(f.GetTargets()) {
			return "without a proposal, only the tenant's own people erase, and they name what (R63)"
		}
		s.Targets, s.Reason = f.GetTargets(), f.GetReason()
		return ""
	}
	switch {
	case s.Status != Proposed:
		return "an erasure is decided once (R63)"
	case !officer(by) || tenant.SameHuman(by.GetPerson(), s.ProposedBy.GetPerson()):
		return "an erasure is confirmed by a second security officer of the provider (R63)"
	case !sameTargets(f.GetTargets(), s.Targets):
		return "what is erased is what was proposed (R63)"
	}
	return ""
}

func officer(by *lockboxv1.Actor) bool { return aggregate.Provider(by, aggregate.SecurityOfficers) }

// sound reports whether everything to erase is named, with keys that can be found.
func sound(targets []*lockboxv1.ErasureTarget) bool {
	for _, t := range targets {
		for _, id := range t.GetKeyIds() {
			if _, is := erasable.ParseKeyID(id); !is {
				return false
			}
		}
		if len(t.GetKeyIds()) == 0 || t.GetWhat() == nil {
			return false
		}
	}
	return len(targets) > 0 && len(targets) <= most
}

func sameTargets(a, b []*lockboxv1.ErasureTarget) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !proto.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// Keys returns all keys that the erasure destroys.
func (s State) Keys() (ids []erasable.KeyID) {
	for _, t := range s.Targets {
		for _, b := range t.GetKeyIds() {
			if id, is := erasable.ParseKeyID(b); is {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// Decide returns the event that results from a command about an erasure, or neither event nor error if it would change
// nothing. The command says what was found behind each of its targets.
func Decide(s State, t tenant.State, c aggregate.Command, now time.Time) (*lockboxv1.Event, error) {
	e, err := s.Begin(c, s.Version, func() error {
		if officer(c.By) && (t.Exists() || c.GetTenant() == aggregate.ProviderTenant) {
			return nil
		}
		return t.MayErase(c.By, rule, now)
	}, now)
	if err != nil {
		err = aggregate.Changed{By: s.by, At: s.at, Version: s.Version}.Since(c, err)
	}
	if e == nil || err != nil {
		return nil, err
	}
	if err := s.decide(t, c, e, now); err != nil {
		return nil, err
	}
	return aggregate.End(s, e, Evolve)
}

func (s State) decide(
	t tenant.State, c aggregate.Command, e *lockboxv1.Event, now time.Time,
) error {
	if wanted := c.GetEraseDetails(); wanted != nil {
		return s.erase(t, c, wanted, e, now)
	}
	switch {
	case !s.Exists():
		return refusal.NotFound("aggregate_id", rule, "there is no such erasure")
	case !officer(c.By):
		return refusal.Forbidden("token", rule,
			"a proposed erasure is confirmed or declined by the provider's security officer")
	case s.Status != Proposed:
		return refusal.Precondition("aggregate_id", rule, "this erasure was decided already")
	}
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_ConfirmErasure:
		if tenant.SameHuman(c.By.GetPerson(), s.ProposedBy.GetPerson()) {
			return refusal.OfKind(refusal.Forbidden("token", rule,
				"whoever proposed the erasure cannot confirm it: another security officer has to"), "erasure-same-officer")
		}
		e.Fact = &lockboxv1.Event_ErasureDecided{ErasureDecided: &lockboxv1.ErasureDecided{Targets: s.Targets}}
	case *lockboxv1.Command_DeclineErasure:
		reason := a.DeclineErasure.GetReason()
		e.Fact = &lockboxv1.Event_ErasureDeclined{ErasureDeclined: &lockboxv1.ErasureDeclined{Reason: reason}}
		return prose.Check("decline_erasure.reason", reason, 0, 1000)
	default:
		return refusal.Invalid("action", "bad input", "this command is not about an erasure")
	}
	return nil
}

// erase proposes an erasure or, by the tenant's administrator, decides it.
func (s State) erase(
	t tenant.State, c aggregate.Command, wanted *lockboxv1.EraseDetails, e *lockboxv1.Event, now time.Time,
) error {
	if s.Exists() {
		return refusal.Conflict("aggregate_id", rule, "there is an erasure of this id already; choose another")
	}
	if err := refusal.First(Faults(c.Command)...); err != nil {
		return err
	}
	targets := make([]*lockboxv1.ErasureTarget, len(wanted.GetTargets()))
	for i, target := range wanted.GetTargets() {
		if len(c.Found) != len(targets) {
			return refusal.Unavailable("erase_details.targets", "I11", "what is behind them is not known")
		}
		if err := mayErase(t, c.By, target, c.Found[i], now); err != nil {
			return err
		}
		targets[i] = proto.CloneOf(target)
		if targets[i].GetAddress() != nil {
			targets[i].GetAddress().Address = ""
		}
		for _, id := range c.Found[i].Keys {
			targets[i].KeyIds = append(targets[i].KeyIds, id.Bytes())
		}
	}
	if officer(c.By) {
		e.Fact = &lockboxv1.Event_ErasureProposed{ErasureProposed: &lockboxv1.ErasureProposed{Targets: targets,
			Reason: wanted.GetReason()}}
		return nil
	}
	e.Fact = &lockboxv1.Event_ErasureDecided{ErasureDecided: &lockboxv1.ErasureDecided{Targets: targets,
		Reason: wanted.GetReason()}}
	return nil
}

// mayErase refuses what cannot be erased, or not by this actor.
func mayErase(
	t tenant.State, by *lockboxv1.Actor, target *lockboxv1.ErasureTarget, is aggregate.Found, now time.Time,
) error {
	const field = "erase_details.targets"
	own := false
	switch what := target.GetWhat().(type) {
	case *lockboxv1.ErasureTarget_Person:
		p := &lockboxv1.Person{Issuer: what.Person.GetIssuer(), Subject: what.Person.GetSubject()}
		own = t.Accepts(p.GetIssuer())
		if t.Involves(p, now) || is.Holds {
			return refusal.OfKind(refusal.Precondition(field, rule,
				"the person has a role at the tenant, or is to have one, and could be reached no longer; remove it first"),
				"erasure-holds-role")
		}
		if is.Asks {
			return refusal.OfKind(refusal.Precondition(field, rule,
				"the person has a request at the tenant that has not ended; erase their details when it has"), "erasure-asks")
		}
	case *lockboxv1.ErasureTarget_Address:
		address := erasable.AddressOwner(what.Address.GetAddress())
		for _, a := range t.Settings.GetAlternates() {
			if erasable.AddressOwner(a.GetEmail()) == address {
				return refusal.OfKind(refusal.Precondition(field, rule,
					"the tenant's settings name the address, and could reach it no longer; take it out there first"),
					"erasure-in-settings")
			}
		}
	case *lockboxv1.ErasureTarget_Texts:
		if is.Untold && officer(by) {
			return refusal.OfKind(refusal.Precondition(field, rule,
				"the tenant has not been told of this disclosure yet, and would see that something of it is erased"),
				"erasure-untold")
		}
		if is.By == nil || is.Untold {
			return refusal.OfKind(refusal.NotFound(field, rule, "the tenant has no event %s/%s/%s", what.Texts.GetKind(),
				what.Texts.GetAggregateId(), what.Texts.GetVersion()), "erasure-no-event")
		}
		own = aggregate.Customer(is.By)
	}
	if !own && !officer(by) {
		return refusal.OfKind(refusal.Forbidden(field, rule,
			"the tenant erases details of its own people and what they wrote; anything else is for the provider's security officers"),
			"erasure-not-own")
	}
	if len(is.Keys) == 0 {
		return refusal.OfKind(refusal.Precondition(field, rule,
			"there is nothing to erase: nothing was encrypted for it, or it was erased before"), "erasure-nothing")
	}
	return nil
}

// Faults returns everything that is wrong with what a command about an erasure says. Errors may be nil.
func Faults(c *lockboxv1.Command) []error {
	wanted := c.GetEraseDetails()
	if wanted == nil {
		return nil
	}
	faults := []error{prose.Check("erase_details.reason", wanted.GetReason(), 1, 1000)}
	const field = "erase_details.targets"
	if n := len(wanted.GetTargets()); n == 0 || n > most {
		faults = append(faults, refusal.OfKind(
			refusal.Invalid(field, rule, "are %d; an erasure has 1 to %d", n, most), "erasure-count", "most",
			strconv.Itoa(most)))
	}
	for _, t := range wanted.GetTargets() {
		faults = append(faults, fault(field, t))
	}
	return faults
}

func fault(field string, t *lockboxv1.ErasureTarget) error {
	if len(t.GetKeyIds()) > 0 {
		return refusal.Invalid(field+".key_ids", rule, "are found by Lockbox itself, not named")
	}
	switch what := t.GetWhat().(type) {
	case *lockboxv1.ErasureTarget_Person:
		if strings.TrimSpace(what.Person.GetIssuer()) == "" || strings.TrimSpace(what.Person.GetSubject()) == "" {
			return refusal.Invalid(field+".person", rule, "is named by issuer and subject, both")
		}
	case *lockboxv1.ErasureTarget_Address:
		return input.Email(field+".address", what.Address.GetAddress())
	case *lockboxv1.ErasureTarget_Texts:
		return refusal.First(
			aggregate.CheckKind(what.Texts.GetKind()),
			input.Token(field+".texts.aggregate_id", what.Texts.GetAggregateId()),
			input.Token(field+".texts.version", what.Texts.GetVersion()))
	default:
		return refusal.Invalid(field, rule, "is a person, an address or the texts of an event")
	}
	return nil
}

// Carry returns the event that says that the keys of a decided erasure are destroyed; nil if none is due.
func Carry(s State, destroyed int, by *lockboxv1.Actor, causationID string, now time.Time) (*lockboxv1.Event, error) {
	if s.Status != Decided {
		return nil, nil
	}
	e := s.Follow(by, causationID, now)
	e.Fact = &lockboxv1.Event_KeysDestroyed{KeysDestroyed: &lockboxv1.KeysDestroyed{
		Count: uint32(destroyed)}} //nolint:gosec // G115: few
	return aggregate.End(s, e, Evolve)
}
