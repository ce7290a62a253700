package invariant

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// How long a change of sign-in has to wait at least: what one administrator wants, and what the provider recovers.
const (
	aloneWaits    = 24 * time.Hour
	recoveryWaits = 7 * 24 * time.Hour
)

// wish is a change of where a tenant's people sign in, from its proposal on.
type wish struct {
	*lockboxv1.SignInChangeProposed
	id              string
	proposed        Recorded
	confirmed, made *Recorded
	due             time.Time
	roles           []*lockboxv1.RoleAssignment
	stopped         bool
}

// signIn is where a tenant's people sign in, after one of its events.
type signIn struct {
	sequence uint64
	at       time.Time
	// accepted are the issuers' URLs, the present one last; ended those that are accepted no longer.
	accepted, ended []string
	// mapped are the tenant's names of the groups of each of its issuers, by the newest map of its URL.
	mapped map[string][]string
}

// signIns is all that a tenant's events say about it.
type signIns struct {
	steps  []signIn
	wishes []*wish
}

// find returns a proposal that was not stopped or made; nil if there is none.
func (s *signIns) find(id string) *wish {
	for _, w := range s.wishes {
		if w.id == id && !w.stopped && w.made == nil {
			return w
		}
	}
	return nil
}

// signInsOf derives where a tenant's people sign in from its events, whoever wrote them.
func (b *book) signInsOf(tenant string) *signIns {
	if known, ok := b.signIns.Load(tenant); ok {
		return known.(*signIns) //nolint:errcheck,forcetypeassert // nothing else is in it
	}
	s, now := &signIns{}, signIn{}
	for _, r := range b.about[aggregate.Tenant(tenant)] {
		s.step(&now, r)
		now.sequence, now.at = r.Sequence, instant(r)
		s.steps = append(s.steps, now)
	}
	b.signIns.Store(tenant, s)
	return s
}

func (s *signIns) step(now *signIn, r Recorded) {
	switch f := r.Event.GetFact().(type) {
	case *lockboxv1.Event_TenantCreated:
		i := f.TenantCreated.GetIssuer()
		now.accepted, now.mapped = []string{i.GetUrl()}, map[string][]string{i.GetUrl(): mappedNames(i)}
	case *lockboxv1.Event_SignInChangeProposed:
		w := &wish{SignInChangeProposed: f.SignInChangeProposed, id: r.Event.GetCausationId(), proposed: r}
		if at := f.SignInChangeProposed.GetDueAt(); at != nil {
			w.due = at.AsTime()
		}
		s.wishes = append(s.wishes, w)
	case *lockboxv1.Event_SignInChangeConfirmed:
		if w := s.find(f.SignInChangeConfirmed.GetChangeId()); w != nil {
			w.confirmed = &r
			if at := f.SignInChangeConfirmed.GetDueAt(); at != nil {
				w.due = at.AsTime()
				return
			}
			w.make(now, r)
		}
	case *lockboxv1.Event_SignInChangeStopped:
		s.stop(f.SignInChangeStopped.GetChangeId())
	case *lockboxv1.Event_SignInChanged:
		if w := s.find(f.SignInChanged.GetChangeId()); w != nil {
			w.make(now, r)
		}
	case *lockboxv1.Event_FormerSignInEnded:
		last := max(len(now.accepted)-1, 0)
		now.ended = slices.Concat(now.ended, now.accepted[:last])
		now.accepted = now.accepted[last:]
	case *lockboxv1.Event_SignedIn:
		s.stop(f.SignedIn.GetStoppedChangeId())
	}
	now.ended = slices.DeleteFunc(slices.Clone(now.ended), func(url string) bool {
		return slices.Contains(now.accepted, url)
	})
}

func (s *signIns) stop(id string) {
	if w := s.find(id); w != nil {
		w.stopped = true
	}
}

// make applies a change, and says which roles it gives.
func (w *wish) make(now *signIn, r Recorded) {
	w.made = &r
	if next := w.GetChange().GetIssuer().GetUrl(); next != "" {
		if w.GetRoute() == lockboxv1.SignInRoute_SIGN_IN_ROUTE_CORRECTION {
			now.accepted = nil
		}
		now.accepted = append(slices.Clone(now.accepted), next)
		now.mapped = maps.Clone(now.mapped)
		if now.mapped == nil {
			now.mapped = map[string][]string{}
		}
		now.mapped[next] = mappedNames(w.GetChange().GetIssuer())
	}
	for i, p := range w.GetChange().GetAdministrators() {
		w.roles = append(w.roles, &lockboxv1.RoleAssignment{
			Id: "sign-in-" + w.id + "-" + strconv.Itoa(i+1), Person: p,
			Role:  lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT,
		})
	}
}

// changedRoles applies to a tenant's assignments what a change of sign-in, made at a sequence, does to them.
func (b *book) changedRoles(tenant string, sequence uint64, list []assignment) []assignment {
	for _, w := range b.signInsOf(tenant).wishes {
		if w.made == nil || w.made.Sequence != sequence {
			continue
		}
		if w.GetRoute() == lockboxv1.SignInRoute_SIGN_IN_ROUTE_CORRECTION && len(w.roles) > 0 {
			list = nil
		}
		for _, as := range w.roles {
			if !slices.ContainsFunc(list, func(a assignment) bool {
				return same(a.GetPerson(), as.GetPerson()) && a.GetRole() == as.GetRole() && !a.GetEligibleOnly() &&
					a.GetExpiresAt() == nil
			}) {
				list = append(slices.Clip(list), assignment{RoleAssignment: as})
			}
		}
	}
	return list
}

// signInAt returns where a tenant's people signed in as of a sequence.
func (b *book) signInAt(tenant string, sequence uint64) (at signIn) {
	for _, s := range b.signInsOf(tenant).steps {
		if s.sequence <= sequence {
			at = s
		}
	}
	return at
}

// couldSignIn reports whether people of an issuer were a tenant's when an event was decided. As for roles, reading and
// writing take time. Of a tenant whose creation is not in the history nothing is known.
func (b *book) couldSignIn(tenant, issuer string, r Recorded) bool {
	steps := b.signInsOf(tenant).steps
	if len(steps) == 0 || len(steps[0].accepted) == 0 {
		return len(steps) == 0
	}
	for i, s := range steps {
		until := i+1 == len(steps) || steps[i+1].sequence > r.Sequence || instant(r).Sub(steps[i+1].at) <= maxStale
		if s.sequence <= r.Sequence && until && slices.Contains(s.accepted, issuer) {
			return true
		}
	}
	return false
}

// overseer reports whether a person was, or could become by activating it, a Global Administrator.
func (b *book) overseer(tenant string, r Recorded) bool {
	by, home := r.Event.GetActor(), aggregate.Tenant(tenant)
	if by.GetSide() == lockboxv1.Side_SIDE_TENANT && slices.ContainsFunc(b.groupRolesAt(home, r.Sequence), func(
		g *lockboxv1.RoleAssignment,
	) bool {
		return g.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR && slices.Contains(by.GetGroups(), g.GetGroup()) &&
			(g.GetExpiresAt() == nil || instant(r).Before(g.GetExpiresAt().AsTime()))
	}) {
		return true
	}
	return slices.ContainsFunc(b.assignments(home, r.Sequence), func(a assignment) bool {
		a.activated, a.until = true, instant(r).Add(time.Second)
		return a.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR && a.counts(instant(r)) &&
			same(a.GetPerson(), by.GetPerson())
	})
}

// signInChangesRightly is I18.
func signInChangesRightly(b *book, of aggregate.Key, events []Recorded, broken say) {
	for _, r := range events {
		if by := r.Event.GetActor(); by.GetSide() == lockboxv1.Side_SIDE_TENANT {
			b.spokeRightly(of, r, broken)
		}
	}
	if of.Kind != aggregate.KindTenant {
		return
	}
	wishes := b.signInsOf(of.Tenant).wishes
	for _, w := range wishes {
		b.wishedRightly(of, w, broken)
	}
	for _, r := range events {
		switch f := r.Event.GetFact().(type) {
		case *lockboxv1.Event_SignInChangeConfirmed:
			if !slices.ContainsFunc(wishes, func(w *wish) bool { return r.is(w.confirmed) }) {
				broken("I18", r, "confirms %q, which did not wait", f.SignInChangeConfirmed.GetChangeId())
			}
		case *lockboxv1.Event_SignInChanged:
			if !slices.ContainsFunc(wishes, func(w *wish) bool { return r.is(w.made) }) {
				broken("I18", r, "makes %q, which did not wait", f.SignInChanged.GetChangeId())
			}
		case *lockboxv1.Event_FormerSignInEnded:
			accepted := b.signInAt(of.Tenant, r.Sequence).accepted
			if !b.overseer(of.Tenant, r) || !slices.Equal(accepted, []string{r.Event.GetActor().GetPerson().GetIssuer()}) {
				broken("I18", r, "%s ended former issuers, and is no administrator of the present one",
					r.Event.GetActor().GetPerson().GetSubject())
			}
		}
	}
}

// is reports whether other is the same event.
func (r Recorded) is(other *Recorded) bool { return other != nil && other.Sequence == r.Sequence }

// spokeRightly checks an event by one of the tenant's people: their issuer was accepted, it is not followed by a
// correction, and no recovery that it should have stopped was made.
func (b *book) spokeRightly(of aggregate.Key, r Recorded, broken say) {
	who := r.Event.GetActor().GetPerson()
	if !b.couldSignIn(of.Tenant, who.GetIssuer(), r) {
		broken("I18", r, "%s acted through %s, which was not accepted then", who.GetSubject(), who.GetIssuer())
	}
	for _, w := range b.signInsOf(of.Tenant).wishes {
		if w.made == nil || w.made.Sequence <= r.Sequence {
			continue
		}
		switch w.GetRoute() {
		case lockboxv1.SignInRoute_SIGN_IN_ROUTE_CORRECTION:
			broken("I18", r, "%s had signed in before the correction at %d", who.GetSubject(), w.made.Sequence)
		case lockboxv1.SignInRoute_SIGN_IN_ROUTE_RECOVERY:
			// That an account was identified tells of what was done before.
			if r.Event.GetAccountIdentified() == nil && r.Sequence > w.proposed.Sequence && b.overseer(of.Tenant, r) {
				broken("I18", r, "%s acted, and yet the recovery at %d was made", who.GetSubject(), w.made.Sequence)
			}
		}
	}
}

// wishedRightly checks who wanted a change, who confirmed it, and how long it waited.
func (b *book) wishedRightly(of aggregate.Key, w *wish, broken say) {
	customer := w.GetRoute() == lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER
	may := func(r Recorded) bool {
		by := r.Event.GetActor()
		if customer {
			return by.GetSide() == lockboxv1.Side_SIDE_TENANT && b.overseer(of.Tenant, r)
		}
		return by.GetSide() == lockboxv1.Side_SIDE_PROVIDER && slices.Contains(by.GetGroups(), "onboarding")
	}
	by := w.proposed.Event.GetActor().GetPerson()
	if !may(w.proposed) || w.GetRoute() == lockboxv1.SignInRoute_SIGN_IN_ROUTE_UNSPECIFIED {
		broken("I18", w.proposed, "%s proposed to change where people sign in", by.GetSubject())
	}
	if w.GetChange().GetIssuer().GetUrl() == by.GetIssuer() && !customer {
		broken("I10", w.proposed, "%s makes people of the provider the tenant's", by.GetSubject())
	}
	if c := w.confirmed; c != nil && (!may(*c) || oneHuman(by, c.Event.GetActor().GetPerson())) {
		broken("I18", *c, "%s confirmed what %s wants", c.Event.GetActor().GetPerson().GetSubject(), by.GetSubject())
	}
	if w.made == nil {
		return
	}
	waited := instant(*w.made).Sub(instant(w.proposed))
	if w.confirmed != nil {
		waited = instant(*w.made).Sub(instant(*w.confirmed))
	}
	long := true
	switch {
	case w.GetRoute() == lockboxv1.SignInRoute_SIGN_IN_ROUTE_RECOVERY:
		long = w.confirmed != nil && waited >= recoveryWaits
	case w.confirmed == nil:
		long = customer && waited >= aloneWaits
	}
	if !long || w.made.Event.GetSignInChanged() != nil && instant(*w.made).Before(w.due) {
		broken("I18", *w.made, "the sign-in changed after %s, without what it needs", waited)
	}
}

// signInMails are the mails about where a tenant's people sign in.
var signInMails = map[string]string{
	"SignInChangeProposed": "sign-in-proposed", "SignInChangeConfirmed": "sign-in-changed",
	"SignInChangeReminded": "sign-in-reminder", "SignInChanged": "sign-in-changed",
	"SignInChangeStopped": "sign-in-stopped", "SignedIn": "sign-in-stopped",
	"FormerSignInEnded": "former-sign-in-ended",
}

// signInChange: whoever could be locked out or let in by a change hears of each step, at all addresses, old and new
// (R65).
func (o *owing) signInChange() {
	template, id := signInMails[aggregate.TypeOf(o.r.Event)], ""
	switch f := o.r.Event.GetFact().(type) {
	case *lockboxv1.Event_SignInChangeProposed:
		id = o.r.Event.GetCausationId()
	case *lockboxv1.Event_SignInChangeConfirmed:
		if id = f.SignInChangeConfirmed.GetChangeId(); f.SignInChangeConfirmed.GetDueAt() != nil {
			template = "sign-in-recovery" // it waits still
		}
	case *lockboxv1.Event_SignInChangeReminded:
		id = f.SignInChangeReminded.GetChangeId()
	case *lockboxv1.Event_SignInChanged:
		id = f.SignInChanged.GetChangeId()
	case *lockboxv1.Event_SignInChangeStopped:
		id = f.SignInChangeStopped.GetChangeId()
	case *lockboxv1.Event_SignedIn:
		if id = f.SignedIn.GetStoppedChangeId(); id == "" {
			return
		}
	}
	if template != "" {
		o.tell(template, o.administrators(o.r.Sequence-1), o.administrators(o.r.Sequence), o.alternatesNow(),
			o.wishedFor(id))
	}
	if o.r.Event.GetFormerSignInEnded() != nil {
		o.tell(template, o.relieved())
	}
}

// wishedFor returns the addresses of those whom a change makes administrators, whatever became of it.
func (o *owing) wishedFor(id string) (addresses []string) {
	for _, w := range o.signInsOf(o.q.of.Tenant).wishes {
		if w.id == id && w.proposed.Sequence <= o.r.Sequence {
			for _, p := range w.GetChange().GetAdministrators() {
				addresses = append(addresses, addressOf(p))
			}
		}
	}
	return addresses
}
