package tenant

import (
	"slices"
	"strconv"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// How long a change of where people sign in waits (R65). They are not configurable: whoever runs Lockbox could shorten
// them for a customer who is to notice nothing.
const (
	// AloneWait is how long a change that one Global Administrator wants can be stopped by the others.
	AloneWait = 24 * time.Hour
	// RecoveryWait is how long a recovery by the provider can be stopped by any Global Administrator.
	RecoveryWait = 7 * 24 * time.Hour
	// RecoveryReminder is how long before its end everybody is told of a recovery once more.
	RecoveryReminder = 48 * time.Hour

	// maxFormer limits the issuers that are accepted beside the present one.
	maxFormer = 3
	// maxNewAdministrators limits the administrators that one change names.
	maxNewAdministrators = 5
)

// The routes of a change, named shorter.
const (
	correction = lockboxv1.SignInRoute_SIGN_IN_ROUTE_CORRECTION
	byCustomer = lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER
	recovery   = lockboxv1.SignInRoute_SIGN_IN_ROUTE_RECOVERY
)

// SignInChange is a change of where a tenant's people sign in that is not made yet.
type SignInChange struct {
	ID     string
	Route  lockboxv1.SignInRoute
	Wanted *lockboxv1.SignInChange
	By     *lockboxv1.Actor
	At     time.Time
	// Confirmed is the second human of the provider in a recovery; nil before that.
	Confirmed *lockboxv1.Actor
	// DueAt is when it is made unless somebody stops it; zero: when it is confirmed.
	DueAt time.Time
	// RemindAt is when everybody is told once more; zero: not, or not again.
	RemindAt time.Time
}

// Issuers returns the issuers whose tokens are the tenant's people's now, the present one first.
func (s State) Issuers() []*lockboxv1.TenantIssuer {
	if s.Issuer == nil {
		return nil
	}
	list := []*lockboxv1.TenantIssuer{s.Issuer}
	for _, former := range slices.Backward(s.Former) {
		list = append(list, former)
	}
	return list
}

// Accepts reports whether people of an issuer are the tenant's now.
func (s State) Accepts(issuer string) bool {
	return slices.ContainsFunc(s.Issuers(), func(i *lockboxv1.TenantIssuer) bool { return i.GetUrl() == issuer })
}

// Gone reports whether somebody can sign in no longer, because their issuer was replaced.
func (s State) Gone(p *lockboxv1.Person) bool { return slices.Contains(s.ended, p.GetIssuer()) }

// overseer reports whether somebody is or may become a Global Administrator at now: such a person stops a recovery even
// before they have activated the role.
func (s State) overseer(by *lockboxv1.Actor, now time.Time) bool {
	if slices.ContainsFunc(s.Roles.groups, func(g *lockboxv1.RoleAssignment) bool {
		return g.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR && carries(by, g.GetGroup()) &&
			(g.GetExpiresAt() == nil || now.Before(g.GetExpiresAt().AsTime()))
	}) {
		return true
	}
	return aggregate.Customer(by) && slices.ContainsFunc(s.Roles.list, func(a Assignment) bool {
		why := a.Inactive(now)
		return a.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR &&
			SamePerson(a.GetPerson(), by.GetPerson()) && (why == counts || why == notActivated || why == activationEnded)
	})
}

// SignInMatters reports whether the tenant has to record that somebody of it signed in, whatever they want: it is the
// first time, which ends a correction, or it stops a recovery (R65).
func (s State) SignInMatters(by *lockboxv1.Actor, now time.Time) bool {
	return s.Exists() && s.Fault == nil && aggregate.Customer(by) && (!s.SignedIn || s.stoppedBy(by, now))
}

func (s State) stoppedBy(by *lockboxv1.Actor, now time.Time) bool {
	return s.Change != nil && (s.Change.Route == correction || s.Change.Route == recovery && s.overseer(by, now))
}

// RecordSignIn returns the event that records a sign-in; nil if nothing depends on it.
func RecordSignIn(s State, by *lockboxv1.Actor, causationID string, now time.Time) (*lockboxv1.Event, error) {
	if !s.SignInMatters(by, now) {
		return nil, nil
	}
	e := s.Follow(by, causationID, now)
	e.Fact = s.signedIn(by, now)
	return aggregate.End(s, e, Evolve)
}

func (s State) signedIn(by *lockboxv1.Actor, now time.Time) *lockboxv1.Event_SignedIn {
	f := &lockboxv1.SignedIn{First: !s.SignedIn}
	if s.stoppedBy(by, now) {
		f.StoppedChangeId = s.Change.ID
	}
	return &lockboxv1.Event_SignedIn{SignedIn: f}
}

// seen folds that the actor of an event is of the tenant, and so has signed in.
func (s *State) seen(e *lockboxv1.Event) {
	if by := e.GetActor(); aggregate.Customer(by) {
		s.SignedIn = true
		s.Roles.saw(by)
		if s.stoppedBy(by, e.GetTime().AsTime()) {
			s.Change = nil
		}
	}
}

// applySignIn folds the facts about where people sign in; ours is false for all others.
func (s *State) applySignIn(e *lockboxv1.Event) (broken string, ours bool) {
	now, by := e.GetTime().AsTime(), e.GetActor()
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_SignInChangeProposed:
		return s.proposed(e, f.SignInChangeProposed), true
	case *lockboxv1.Event_SignInChangeConfirmed:
		return s.confirmed(e, f.SignInChangeConfirmed), true
	case *lockboxv1.Event_SignInChangeStopped:
		switch {
		case !s.isPending(f.SignInChangeStopped.GetChangeId()):
			return "only a change that waits is stopped", true
		case f.SignInChangeStopped.GetLapsed() && !(aggregate.System(by) && s.lapses(now)),
			!f.SignInChangeStopped.GetLapsed() && s.mayStop(by, now) != nil:
			return "a change of sign-in is stopped by those who may (R65)", true
		}
		s.Change = nil
	case *lockboxv1.Event_SignInChangeReminded:
		if !s.isPending(f.SignInChangeReminded.GetChangeId()) || !aggregate.System(by) || s.Change.RemindAt.IsZero() ||
			now.Before(s.Change.RemindAt) {
			return "everybody is reminded once, at its time (R65)", true
		}
		change := *s.Change
		change.RemindAt, s.Change = time.Time{}, &change
	case *lockboxv1.Event_SignInChanged:
		if !s.isPending(f.SignInChanged.GetChangeId()) || !aggregate.System(by) || s.Change.DueAt.IsZero() ||
			now.Before(s.Change.DueAt) || s.lapses(now) {
			return "a change that waits is made when its time is over (R65)", true
		}
		return s.make(), true
	case *lockboxv1.Event_FormerSignInEnded:
		return s.endFormer(by, now), true
	case *lockboxv1.Event_SignedIn:
		want := s.signedIn(by, now).SignedIn
		if !s.SignInMatters(by, now) && !s.Roles.unseen(by) || f.SignedIn.GetFirst() != want.GetFirst() ||
			f.SignedIn.GetStoppedChangeId() != want.GetStoppedChangeId() || !s.Accepts(by.GetPerson().GetIssuer()) {
			return "a sign-in is recorded when something depends on it (R65), or the first time of whoever holds a role (R66)",
				true
		}
	default:
		return "", false
	}
	return "", true
}

func (s *State) isPending(id string) bool { return s.Change != nil && s.Change.ID == id }

// proposed folds a proposal.
func (s *State) proposed(e *lockboxv1.Event, f *lockboxv1.SignInChangeProposed) (broken string) {
	now, due := e.GetTime().AsTime(), time.Time{}
	if f.GetDueAt() != nil {
		due = f.GetDueAt().AsTime()
	}
	alone := f.GetRoute() == byCustomer
	switch {
	case s.Change != nil || e.GetCausationId() == "":
		return "one change of sign-in waits at a time, known by its command (R65)"
	case s.mayPropose(e.GetActor(), f.GetRoute(), now) != nil:
		return "a change of sign-in is proposed by those who may, by their route (R65)"
	case s.checkChange(f.GetRoute(), wholeChange(f.GetChange())) != nil:
		return "a change of sign-in is whole, and about the tenant's own people (R65)"
	case alone != !due.IsZero(), alone && due.Sub(now) < AloneWait:
		return "what one administrator wants waits for a day, and what onboarding wants for a second human (R65)"
	}
	s.Change = &SignInChange{ID: e.GetCausationId(), Route: f.GetRoute(), Wanted: f.GetChange(), By: e.GetActor(),
		At: now, DueAt: due}
	return ""
}

// confirmed folds the second human's word.
func (s *State) confirmed(e *lockboxv1.Event, f *lockboxv1.SignInChangeConfirmed) (broken string) {
	now := e.GetTime().AsTime()
	if !s.isPending(f.GetChangeId()) || s.mayConfirm(e.GetActor(), now) != nil {
		return "a change of sign-in is confirmed by a second human who may propose it (R65)"
	}
	if s.Change.Route != recovery {
		if f.GetDueAt() != nil || f.GetRemindAt() != nil {
			return "only a recovery waits after it was confirmed (R65)"
		}
		return s.make()
	}
	if f.GetDueAt() == nil || f.GetDueAt().AsTime().Sub(now) < RecoveryWait {
		return "a recovery waits for seven days (R65)"
	}
	change := *s.Change
	change.Confirmed, change.DueAt, change.RemindAt = e.GetActor(), f.GetDueAt().AsTime(), f.GetRemindAt().AsTime()
	s.Change = &change
	return ""
}

// make puts the pending change into effect.
func (s *State) make() (broken string) {
	c := s.Change
	s.Change = nil
	if next := c.Wanted.GetIssuer(); next != nil {
		// Until somebody signed in, nobody depends on what is replaced.
		if c.Route != correction {
			s.replaced(next)
		}
		s.Issuer = next
		s.ended = slices.DeleteFunc(slices.Clone(s.ended), func(url string) bool { return url == next.GetUrl() })
	}
	if name := c.Wanted.GetDisplayName(); name != "" {
		s.Name = name
	}
	if c.Route == correction && len(c.Wanted.GetAdministrators()) > 0 {
		s.Roles.list = nil
	}
	for i, p := range c.Wanted.GetAdministrators() {
		if slices.ContainsFunc(s.Roles.list, func(a Assignment) bool {
			return permanentAdministrator(a) && SamePerson(a.GetPerson(), p)
		}) {
			continue
		}
		if broken := s.Roles.assign(&lockboxv1.RoleAssignment{
			Id: administratorID(c.ID, i), Person: p, Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT,
		}); broken != "" {
			return broken
		}
	}
	return ""
}

// replaced keeps the present issuer as a former one. Which groups an issuer's tokens name is what its newest map says,
// with whatever keys they are signed: a group that was mapped by mistake counts no longer.
func (s *State) replaced(next *lockboxv1.TenantIssuer) {
	former := append(slices.Clone(s.Former), s.Issuer)
	for i, f := range former {
		if f.GetUrl() == next.GetUrl() {
			former[i] = proto.CloneOf(f)
			former[i].GroupsClaim, former[i].GroupMap = next.GetGroupsClaim(), next.GetGroupMap()
		}
	}
	// One that differed by its groups alone has nothing left of its own.
	s.Former = slices.DeleteFunc(former, func(f *lockboxv1.TenantIssuer) bool { return proto.Equal(f, next) })
}

// administratorID is the id of the assignment that a change makes.
func administratorID(change string, i int) string {
	return "sign-in-" + change + "-" + strconv.Itoa(i+1)
}

// endFormer folds that the former issuers are accepted no longer. The roles of their people end.
func (s *State) endFormer(by *lockboxv1.Actor, now time.Time) (broken string) {
	if s.mayEndFormer(by, now) != nil {
		return "former issuers are ended by a Global Administrator of the present one (R65)"
	}
	for _, former := range s.Former {
		if url := former.GetUrl(); url != s.Issuer.GetUrl() && !slices.Contains(s.ended, url) {
			s.ended = append(slices.Clip(s.ended), url)
		}
	}
	s.Former = nil
	s.Roles.list = slices.DeleteFunc(slices.Clone(s.Roles.list), func(a Assignment) bool { return s.Gone(a.GetPerson()) })
	return ""
}

// lapses reports whether the change must not be made: the administrator who wants it is none any more.
func (s *State) lapses(now time.Time) bool {
	return s.Change.Route == byCustomer && s.administrator(s.Change.By, rule, now) != nil
}

// NextDue returns the next time at which something falls due for a tenant without further events; false if never.
func NextDue(s State) (time.Time, bool) {
	change, waits := s.changeDue()
	if _, ends := s.Roles.nextEnd(); s.Fault == nil && !ends.IsZero() && (!waits || ends.Before(change)) {
		return ends, true
	}
	return change, waits
}

// changeDue is NextDue as far as a change of sign-in is concerned.
func (s State) changeDue() (time.Time, bool) {
	switch {
	case s.Fault != nil || s.Change == nil || s.Change.DueAt.IsZero():
		return time.Time{}, false
	case !s.Change.RemindAt.IsZero() && s.Change.RemindAt.Before(s.Change.DueAt):
		return s.Change.RemindAt, true
	}
	return s.Change.DueAt, true
}

// Perform returns the event that is due for a tenant at now; nil if none is.
func Perform(s State, by *lockboxv1.Actor, causationID string, now time.Time) (*lockboxv1.Event, error) {
	due, waits := NextDue(s)
	if !waits || now.Before(due) {
		return nil, nil
	}
	e := s.Follow(by, causationID, now)
	if change, changes := s.changeDue(); !changes || due.Before(change) {
		e.Fact = s.Roles.ending()
		return aggregate.End(s, e, Evolve)
	}
	id := s.Change.ID
	switch {
	case !s.Change.RemindAt.IsZero():
		e.Fact = &lockboxv1.Event_SignInChangeReminded{
			SignInChangeReminded: &lockboxv1.SignInChangeReminded{ChangeId: id}}
	case s.lapses(now):
		e.Fact = &lockboxv1.Event_SignInChangeStopped{
			SignInChangeStopped: &lockboxv1.SignInChangeStopped{ChangeId: id, Lapsed: true}}
	default:
		e.Fact = &lockboxv1.Event_SignInChanged{SignInChanged: &lockboxv1.SignInChanged{ChangeId: id}}
	}
	return aggregate.End(s, e, Evolve)
}
