package invariant

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// invitationLasts is how long an invitation can be redeemed at most (R66).
const invitationLasts = 72 * time.Hour

// offer is an invitation with what became of it.
type offer struct {
	*lockboxv1.RoleInvitation
	made     Recorded
	redeemed *Recorded
	over     bool
}

// first reports whether the provider invited: the role counts at once.
func (o *offer) first() bool {
	return o.made.Event.GetActor().GetSide() == lockboxv1.Side_SIDE_PROVIDER
}

// role is what comes of it.
func (o *offer) role() *lockboxv1.RoleAssignment {
	return &lockboxv1.RoleAssignment{Id: o.GetId(), Role: o.GetRole(), Scope: o.GetScope(),
		EligibleOnly: o.GetEligibleOnly(), ExpiresAt: o.GetExpiresAt(),
		Person: o.redeemed.Event.GetInvitationRedeemed().GetPerson()}
}

// offers are the invitations of a tenant or subscription, in the order of its events.
type offers []*offer

// last returns the newest one of an id; nil if there is none.
func (all offers) last(id string) *offer {
	for _, o := range slices.Backward(all) {
		if o.GetId() == id {
			return o
		}
	}
	return nil
}

// step applies an event, and returns the role that comes of it, if any, and the invitation that it is about.
func (all *offers) step(r Recorded) (*lockboxv1.RoleAssignment, *offer) {
	switch f := r.Event.GetFact().(type) {
	case *lockboxv1.Event_TenantCreated:
		if i := f.TenantCreated.GetInvitation(); i != nil {
			*all = append(*all, &offer{RoleInvitation: i, made: r})
			return nil, all.last(i.GetId())
		}
	case *lockboxv1.Event_RoleInvited:
		*all = append(*all, &offer{RoleInvitation: f.RoleInvited.GetInvitation(), made: r})
		return nil, (*all)[len(*all)-1]
	case *lockboxv1.Event_InvitationRedeemed:
		o := all.last(f.InvitationRedeemed.GetInvitationId())
		if o == nil || o.redeemed != nil || o.over {
			return nil, nil
		}
		if o.redeemed = &r; o.first() {
			o.over = true
			return o.role(), o
		}
		return nil, o
	case *lockboxv1.Event_InvitationConfirmed:
		o := all.last(f.InvitationConfirmed.GetAssignment().GetId())
		if o == nil || o.redeemed == nil || o.over {
			return f.InvitationConfirmed.GetAssignment(), nil
		}
		o.over = true
		return f.InvitationConfirmed.GetAssignment(), o
	case *lockboxv1.Event_SubscriptionGivenUp:
		*all = nil
	case *lockboxv1.Event_InvitationEnded:
		o := all.last(f.InvitationEnded.GetInvitationId())
		if o == nil || o.over {
			return nil, nil
		}
		o.over = true
		return nil, o
	}
	return nil, nil
}

// offerAt returns the invitation that an event of an aggregate is about, as it is after the event; nil if it is about
// none.
func (b *book) offerAt(in aggregate.Key, sequence uint64) *offer {
	var all offers
	for _, r := range b.about[in] {
		if _, about := all.step(r); r.Sequence == sequence {
			return about
		}
	}
	return nil
}

// rightlyInvited is I19: nobody holds a role by an invitation that was not redeemed in time by a person of its issuer
// and confirmed by another human who was an administrator then.
func rightlyInvited(b *book, of aggregate.Key, events []Recorded, broken say) {
	if of.Kind != aggregate.KindTenant && of.Kind != aggregate.KindSubscription {
		return
	}
	var all offers
	for _, r := range events {
		_, about := all.step(r)
		by := r.Event.GetActor()
		who := by.GetPerson().GetSubject()
		switch f := r.Event.GetFact().(type) {
		case *lockboxv1.Event_TenantCreated, *lockboxv1.Event_RoleInvited:
			if about != nil {
				b.offered(of, about, broken)
			}
		case *lockboxv1.Event_InvitationRedeemed:
			if about == nil {
				broken("I19", r, "%s redeemed %q, which did not wait", who, f.InvitationRedeemed.GetInvitationId())
				continue
			}
			b.redeemed(of, about, r, broken)
		case *lockboxv1.Event_InvitationConfirmed:
			if about == nil {
				broken("I19", r, "%s confirmed %q, which nobody had redeemed", who,
					f.InvitationConfirmed.GetAssignment().GetId())
				continue
			}
			redeemer := about.redeemed.Event.GetActor().GetPerson()
			if oneVoice(by.GetPerson(), redeemer) ||
				oneVoice(by.GetPerson(), about.redeemed.Event.GetInvitationRedeemed().GetPerson()) {
				broken("I19", r, "%s confirmed what %s redeemed", who, redeemer.GetSubject())
			}
			if !b.administers(of.Tenant, r) {
				broken("I19", r, "%s confirmed %q, and is no administrator", who, about.GetId())
			}
			if !erasable.Alike(f.InvitationConfirmed.GetAssignment(), about.role()) {
				broken("I19", r, "%s confirmed another role than was invited to and redeemed", who)
			}
		case *lockboxv1.Event_InvitationEnded:
			if about == nil {
				broken("I19", r, "%s ended %q, which did not wait", who, f.InvitationEnded.GetInvitationId())
			}
		}
	}
}

// offered checks who invited, and how the invitation is bound.
func (b *book) offered(of aggregate.Key, o *offer, broken say) {
	by := o.made.Event.GetActor()
	switch {
	case !o.first():
		if !b.administers(of.Tenant, o.made) {
			broken("I19", o.made, "%s invited to a role, and is no administrator", by.GetPerson().GetSubject())
		}
	case !slices.Contains(by.GetGroups(), "onboarding") || of.Kind != aggregate.KindTenant || b.everAdministered(of.Tenant,
		o.made.Sequence):
		broken("I19", o.made, "%s of the provider invited to a role of a customer that is not theirs to give",
			by.GetPerson().GetSubject())
	case o.GetRole() != lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR:
		broken("I19", o.made, "%s of the provider invited to another role than the first", by.GetPerson().GetSubject())
	}
	lasts := o.GetUntil().AsTime().Sub(instant(o.made))
	if lasts > invitationLasts || len(o.GetSecretHash()) != sha256.Size {
		broken("I19", o.made, "an invitation for %s, with a hash of %d bytes", lasts, len(o.GetSecretHash()))
	}
	if of.Kind == aggregate.KindTenant && o.made.Event.GetTenantCreated() != nil {
		return // where people sign in is known only from here on
	}
	if !b.presentIs(of.Tenant, o.GetIssuer(), o.made) {
		broken("I19", o.made, "an invitation for people of %s, where the tenant's did not sign in then", o.GetIssuer())
	}
}

// redeemed checks who redeemed an invitation, when, and with what.
func (b *book) redeemed(of aggregate.Key, o *offer, r Recorded, broken say) {
	f, by := r.Event.GetInvitationRedeemed(), r.Event.GetActor()
	who := by.GetPerson().GetSubject()
	if hash := sha256.Sum256(f.GetProof()); string(hash[:]) != string(o.GetSecretHash()) {
		broken("I19", r, "%s redeemed %q without its link", who, o.GetId())
	}
	if !instant(r).Before(o.GetUntil().AsTime()) || instant(r).Sub(instant(o.made)) >= invitationLasts {
		broken("I19", r, "%s redeemed %q at or after %s", who, o.GetId(), o.GetUntil().AsTime())
	}
	if by.GetSide() != lockboxv1.Side_SIDE_TENANT || by.GetPerson().GetIssuer() != o.GetIssuer() ||
		!b.presentIs(of.Tenant, o.GetIssuer(), r) || !same(f.GetPerson(), by.GetPerson()) {
		broken("I19", r, "%s of %s redeemed %q, which is for people of %s", who, by.GetPerson().GetIssuer(), o.GetId(),
			o.GetIssuer())
	}
	if o.first() && (oneVoice(by.GetPerson(), o.made.Event.GetActor().GetPerson()) ||
		b.everAdministered(of.Tenant, r.Sequence)) {
		broken("I19", r, "%s became the first administrator by %q, and was not to", who, o.GetId())
	}
}

// oneVoice reports whether two people must not count as two: one human, or the same address or human at another issuer.
func oneVoice(a, b *lockboxv1.Person) bool {
	if a.GetIssuer() == b.GetIssuer() {
		return oneHuman(a, b)
	}
	return len(a.GetEmail()) > 0 && strings.EqualFold(a.GetEmail(), b.GetEmail()) ||
		len(a.GetHuman()) > 0 && a.GetHuman() == b.GetHuman()
}

// readings are the sequences as of which a tenant can have been read for an event: reading and writing take time.
func (b *book) readings(tenant string, r Recorded) []uint64 {
	list := []uint64{r.Sequence - 1}
	for _, t := range slices.Backward(b.about[aggregate.Tenant(tenant)]) {
		switch {
		case t.Sequence >= r.Sequence:
		case instant(r).Sub(instant(t)) > maxStale:
			return list
		case r.Event.GetKind() != aggregate.KindTenant:
			list = append(list, t.Sequence-1)
		}
	}
	return list
}

// administers reports whether the actor of an event was a Global Administrator then. Of a tenant whose creation is not
// in the history nothing is known.
func (b *book) administers(tenant string, r Recorded) bool {
	home := aggregate.Tenant(tenant)
	if len(b.about[home]) == 0 {
		return true
	}
	by := r.Event.GetActor()
	return by.GetSide() == lockboxv1.Side_SIDE_TENANT && slices.ContainsFunc(b.readings(tenant, r), func(at uint64) bool {
		return slices.ContainsFunc(b.assignments(home, at), func(a assignment) bool {
			return a.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR && same(a.GetPerson(), by.GetPerson()) &&
				a.counts(instant(r))
		})
	})
}

// everAdministered reports whether a tenant had a Global Administrator at any time before a sequence.
func (b *book) everAdministered(tenant string, before uint64) bool {
	home := aggregate.Tenant(tenant)
	return slices.ContainsFunc(b.about[home], func(r Recorded) bool {
		return r.Sequence < before && slices.ContainsFunc(b.assignments(home, r.Sequence), func(a assignment) bool {
			return a.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR
		})
	})
}

// presentIs reports whether an issuer was where a tenant's people sign in when an event was decided, and no former one.
func (b *book) presentIs(tenant, issuer string, r Recorded) bool {
	if len(b.about[aggregate.Tenant(tenant)]) == 0 {
		return true
	}
	return slices.ContainsFunc(b.readings(tenant, r), func(at uint64) bool {
		accepted := b.signInAt(tenant, at).accepted
		return len(accepted) > 0 && accepted[len(accepted)-1] == issuer
	})
}

// invitation returns the invitation that the event is about; nil if it is about none.
func (o *owing) invitation() *offer {
	switch o.r.Event.GetFact().(type) {
	case *lockboxv1.Event_InvitationRedeemed, *lockboxv1.Event_InvitationConfirmed, *lockboxv1.Event_InvitationEnded:
		return o.offerAt(o.q.of, o.r.Sequence)
	}
	return nil
}

// invitationMail: besides the administrators, whoever redeemed an invitation hears what came of it.
func (o *owing) invitationMail() {
	about := o.invitation()
	if about == nil || about.redeemed == nil || o.r.Event.GetInvitationRedeemed() != nil {
		return
	}
	o.tell(changes[aggregate.TypeOf(o.r.Event)],
		[]string{addressOf(about.redeemed.Event.GetInvitationRedeemed().GetPerson())})
}
