package tenant

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// InvitationTime is how long an invitation can be redeemed (R66). It is not configurable.
	InvitationTime = 72 * time.Hour
	// invitationsKept is how long what became of an invitation is shown.
	invitationsKept = 30 * 24 * time.Hour

	invitationRule = "R66"
)

// Invitation is a role that waits for whoever holds a link, or what has become of it.
type Invitation struct {
	*lockboxv1.RoleInvitation
	By *lockboxv1.Actor
	At time.Time
	// Redeemer redeemed it, and is called Person in the role that may come of it; nil: nobody has.
	Redeemer   *lockboxv1.Actor
	Person     *lockboxv1.Person
	RedeemedAt time.Time
	// SettledBy confirmed or ended it; nil: nobody has.
	SettledBy *lockboxv1.Actor
	SettledAt time.Time
	confirmed bool
}

// First reports whether it is for the tenant's first Global Administrator: the role counts at once.
func (i Invitation) First() bool { return aggregate.Provider(i.By) }

// State returns how far it has come. present is the tenant's present issuer.
func (i Invitation) State(present string, now time.Time) lockboxv1.InvitationState {
	switch {
	case i.confirmed:
		return lockboxv1.InvitationState_INVITATION_STATE_CONFIRMED
	case i.SettledBy != nil && i.Person != nil:
		return lockboxv1.InvitationState_INVITATION_STATE_TURNED_DOWN
	case i.SettledBy != nil:
		return lockboxv1.InvitationState_INVITATION_STATE_WITHDRAWN
	case i.GetIssuer() != present:
		return lockboxv1.InvitationState_INVITATION_STATE_ISSUER_CHANGED
	case i.Person != nil:
		return lockboxv1.InvitationState_INVITATION_STATE_REDEEMED
	case !now.Before(i.GetUntil().AsTime()):
		return lockboxv1.InvitationState_INVITATION_STATE_EXPIRED
	}
	return lockboxv1.InvitationState_INVITATION_STATE_OPEN
}

// assignment is what comes of it.
func (i Invitation) assignment() *lockboxv1.RoleAssignment {
	return &lockboxv1.RoleAssignment{Id: i.GetId(), Person: i.Person, Role: i.GetRole(), Scope: i.GetScope(),
		EligibleOnly: i.GetEligibleOnly(), ExpiresAt: i.GetExpiresAt()}
}

// Invitations returns the invitations in the order in which they were made.
func (r Roles) Invitations() []Invitation { return slices.Clip(r.invitations) }

// Invitation returns one of them.
func (r Roles) Invitation(id string) (Invitation, bool) {
	if i := r.invitationAt(id); i >= 0 {
		return r.invitations[i], true
	}
	return Invitation{}, false
}

func (r Roles) invitationAt(id string) int {
	return slices.IndexFunc(r.invitations, func(i Invitation) bool { return i.GetId() == id })
}

// InvitationOf returns the invitation that a proof redeems.
func (r Roles) InvitationOf(proof []byte) (Invitation, bool) {
	i := slices.IndexFunc(r.invitations, func(i Invitation) bool { return i.opens(proof) })
	if i < 0 {
		return Invitation{}, false
	}
	return r.invitations[i], true
}

func (i Invitation) opens(proof []byte) bool {
	hash := sha256.Sum256(proof)
	return bytes.Equal(hash[:], i.GetSecretHash())
}

// place is where an invitation belongs: to the roles of a tenant, or of one of its subscriptions. Decisions know the
// tenant in either case. The fold of a subscription does not, and checks all the rest.
type place struct {
	Roles
	tenant   *State // nil: not known
	ofTenant bool
	now      time.Time
}

// changeInvitation decides the commands about invitations; ours is false for all others.
func changeInvitation(
	t State, roles Roles, ofTenant bool, c aggregate.Command, e *lockboxv1.Event, now time.Time,
) (ours bool, err error) {
	p := place{roles, &t, ofTenant, now}
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_InviteRole:
		return true, p.invite(c.By, a.InviteRole.GetInvitation(), e)
	case *lockboxv1.Command_RedeemInvitation:
		return true, p.redeem(c.By, a.RedeemInvitation, e)
	case *lockboxv1.Command_ConfirmInvitation:
		return true, p.confirm(c.By, a.ConfirmInvitation, e)
	case *lockboxv1.Command_EndInvitation:
		id := a.EndInvitation.GetInvitationId()
		if err := p.mayEnd(id, c.By); err != nil {
			return true, err
		}
		if err := p.fresh(c.By); err != nil {
			return true, err
		}
		if err := prose.Check("end_invitation.reason", a.EndInvitation.GetReason(), 0, 1000); err != nil {
			return true, err
		}
		e.Fact = &lockboxv1.Event_InvitationEnded{
			InvitationEnded: &lockboxv1.InvitationEnded{InvitationId: id, Reason: a.EndInvitation.GetReason()}}
		return true, nil
	}
	return false, nil
}

// fresh demands a fresh sign-in of the tenant's own people (R25).
func (p place) fresh(by *lockboxv1.Actor) error {
	if !aggregate.Customer(by) {
		return nil
	}
	return p.tenant.Fresh(by, p.now)
}

func (p place) invite(by *lockboxv1.Actor, asked *lockboxv1.RoleInvitation, e *lockboxv1.Event) error {
	const field = "invite_role.invitation"
	switch there, exists := p.Invitation(asked.GetId()); {
	case asked.GetUntil() != nil:
		return refusal.OfKind(
			refusal.Invalid(field+".until", invitationRule, "is always %v from now, and not to be said", InvitationTime),
			"invitation-until", "within", InvitationTime.String())
	case exists && bytes.Equal(there.GetSecretHash(), asked.GetSecretHash()) && there.SettledBy == nil:
		return nil
	}
	i := proto.CloneOf(asked)
	if i == nil {
		return refusal.OfKind(refusal.Invalid(field, invitationRule, "is missing"), "invitation-missing")
	}
	i.Until = timestamp(p.now.Add(InvitationTime))
	if i.GetIssuer() == "" {
		i.Issuer = p.tenant.Issuer.GetUrl()
	}
	if err := p.mayInvite(field, i, by); err != nil {
		return err
	}
	if err := p.fresh(by); err != nil {
		return err
	}
	e.Fact = &lockboxv1.Event_RoleInvited{RoleInvited: &lockboxv1.RoleInvited{Invitation: i}}
	return nil
}

// mayInvite refuses an invitation by those who may not invite, and one that is not whole.
func (p place) mayInvite(field string, i *lockboxv1.RoleInvitation, by *lockboxv1.Actor) error {
	switch onboards := p.ofTenant && aggregate.Provider(by, aggregate.Onboarding); {
	case onboards:
		if err := p.mayInviteFirst(field, i); err != nil {
			return err
		}
	case p.tenant != nil:
		if err := p.tenant.administrator(by, invitationRule, p.now); err != nil {
			return err
		}
	}
	if err := input.Token(field+".id", i.GetId()); err != nil {
		return err
	}
	if err := checkPlace(field, i, p.ofTenant, p.now); err != nil {
		return err
	}
	_, invited := p.Invitation(i.GetId())
	switch lasts := i.GetUntil().AsTime().Sub(p.now); {
	case invited || p.taken(i.GetId()):
		return refusal.Conflict(field+".id", invitationRule, "another invitation or assignment has this id")
	case len(i.GetSecretHash()) != sha256.Size:
		return refusal.Invalid(field+".secret_hash", invitationRule, "must be the SHA-256 of the link's proof")
	case p.tenant != nil && i.GetIssuer() != p.tenant.Issuer.GetUrl(), i.GetIssuer() == "":
		return refusal.Invalid(field+".issuer", invitationRule, "must be where the tenant's people sign in now")
	case lasts <= 0 || lasts > InvitationTime:
		return refusal.OfKind(
			refusal.Invalid(field+".until", invitationRule, "an invitation can be accepted for %v", InvitationTime),
			"invitation-until", "within", InvitationTime.String())
	}
	return prose.CheckLine(field+".note", i.GetNote(), 1, 120)
}

// mayInviteFirst refuses an invitation by onboarding, unless it is for the first Global Administrator and the only one.
func (p place) mayInviteFirst(field string, i *lockboxv1.RoleInvitation) error {
	switch {
	case p.administrated:
		return refusal.Forbidden("token", invitationRule,
			"the tenant has or had a Global Administrator, so inviting is for its own administrators")
	case i.GetRole() != lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR || i.GetEligibleOnly() || i.GetExpiresAt() != nil:
		return refusal.Invalid(field+".role", invitationRule,
			"the first invitation is to be Global Administrator, without an end")
	case slices.ContainsFunc(p.invitations, func(other Invitation) bool {
		return other.State(i.GetIssuer(), p.now) == lockboxv1.InvitationState_INVITATION_STATE_OPEN
	}):
		return refusal.Precondition(field, invitationRule,
			"another invitation can still be accepted; withdraw that one first, or wait until it has run out")
	}
	return nil
}

func (p place) redeem(by *lockboxv1.Actor, c *lockboxv1.RedeemInvitation, e *lockboxv1.Event) error {
	person := introduced(by.GetPerson(), c.GetEmail())
	f := &lockboxv1.InvitationRedeemed{InvitationId: c.GetInvitationId(), Proof: c.GetProof(), Person: person}
	if i, known := p.Invitation(f.GetInvitationId()); known && i.opens(f.GetProof()) && i.Person != nil &&
		SamePerson(i.Person, by.GetPerson()) && (i.SettledBy == nil || i.confirmed) {
		return nil
	}
	if err := p.mayRedeem(f, by); err != nil {
		return err
	}
	e.Fact = &lockboxv1.Event_InvitationRedeemed{InvitationRedeemed: f}
	return nil
}

// askAnew is what somebody whose invitation is of no use can do.
const askAnew = "ask whoever invited you for a new one"

// mayRedeem refuses those who do not hold the link, and says to those who do why it is of no use to them.
func (p place) mayRedeem(f *lockboxv1.InvitationRedeemed, by *lockboxv1.Actor) error {
	const field = "redeem_invitation.proof"
	i, known := p.Invitation(f.GetInvitationId())
	switch {
	case !aggregate.Customer(by):
		return refusal.Because(refusal.Forbidden("token", "I10", "only the tenant's own people accept an invitation"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_CUSTOMERS_PEOPLE_ONLY))
	case !known || !i.opens(f.GetProof()):
		return refusal.OfKind(
			refusal.NotFound(field, invitationRule,
				"no invitation here has this link and code; check both for mistakes, or %s", askAnew),
			"invitation-link-code")
	case p.tenant != nil && i.GetIssuer() != p.tenant.Issuer.GetUrl():
		return refusal.Because(refusal.Precondition(field, invitationRule,
			"your organisation has changed where its people sign in since you were invited; %s", askAnew),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_INVITATION_OUTLIVED_BY_SIGN_IN))
	case i.GetIssuer() != by.GetPerson().GetIssuer():
		return refusal.Because(refusal.Forbidden("token", invitationRule,
			"this invitation is for people who sign in through %s; sign in there, and open the link again", i.GetIssuer()),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_INVITATION_OF_ANOTHER_SIGN_IN))
	case i.Person != nil:
		return refusal.Because(refusal.Precondition(field, invitationRule,
			"this invitation has been used already; if it was not by you, tell your administrators at once"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_INVITATION_USED))
	case i.SettledBy != nil:
		return refusal.Because(refusal.Precondition(field, invitationRule, "this invitation was withdrawn; %s", askAnew),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_INVITATION_WITHDRAWN))
	case !p.now.Before(i.GetUntil().AsTime()):
		return refusal.Because(refusal.Precondition(field, invitationRule, "this invitation ran out at %s; %s",
			i.GetUntil().AsTime().UTC().Format(time.RFC3339), askAnew),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_INVITATION_RAN_OUT))
	case i.First() && p.administrated:
		return refusal.Because(refusal.Precondition(field, invitationRule,
			"your organisation has a Global Administrator meanwhile; ask them to invite you"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_ADMINISTRATOR_MEANWHILE))
	case i.First() && SameVoice(i.By.GetPerson(), by.GetPerson()):
		return refusal.Because(refusal.Forbidden("token", invitationRule, "whoever invited cannot accept the invitation"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_OWN_INVITATION))
	case !SamePerson(f.GetPerson(), by.GetPerson()):
		return refusal.Invalid("token", invitationRule, "the role is for whoever accepts the invitation")
	}
	err := checkPerson("redeem_invitation", f.GetPerson(), i.GetIssuer())
	if r, _ := refusal.As(err); r.GetField() == "redeem_invitation.email" && f.GetPerson().GetEmail() == "" {
		return refusal.Because(refusal.Invalid(r.GetField(), "R24",
			"your sign-in names no address of yours: say where mails to you go"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_NO_ADDRESS_IN_SIGN_IN))
	}
	return err
}

func (p place) confirm(by *lockboxv1.Actor, c *lockboxv1.ConfirmInvitation, e *lockboxv1.Event) error {
	i, _ := p.Invitation(c.GetInvitationId())
	as := i.assignment()
	as.Id = c.GetInvitationId()
	if err := p.mayConfirm(as, by); err != nil {
		return err
	}
	if i.Person.GetIssuer() != c.GetIssuer() || i.Person.GetSubject() != c.GetSubject() {
		return refusal.Conflict("confirm_invitation.subject", invitationRule,
			"somebody else accepted it: %s of %s; look at it again", i.Person.GetSubject(), i.Person.GetIssuer())
	}
	if err := p.fresh(by); err != nil {
		return err
	}
	e.Fact = &lockboxv1.Event_InvitationConfirmed{InvitationConfirmed: &lockboxv1.InvitationConfirmed{Assignment: as}}
	return nil
}

// mayConfirm refuses those who may not confirm who redeemed an invitation, and another role than it is for.
func (p place) mayConfirm(as *lockboxv1.RoleAssignment, by *lockboxv1.Actor) error {
	const field = "confirm_invitation.invitation_id"
	if p.tenant != nil {
		if err := p.tenant.administrator(by, invitationRule, p.now); err != nil {
			return err
		}
	}
	i, known := p.Invitation(as.GetId())
	switch {
	case !known:
		return refusal.NotFound(field, invitationRule, "there is no such invitation")
	case i.SettledBy != nil:
		return refusal.Because(refusal.Precondition(field, invitationRule, "it was confirmed or ended already"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_INVITATION_SETTLED))
	case i.Person == nil:
		return refusal.Because(refusal.Precondition(field, invitationRule,
			"nobody has accepted it yet, so there is nobody to confirm"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_INVITATION_NOT_ACCEPTED_YET))
	case p.tenant != nil && i.GetIssuer() != p.tenant.Issuer.GetUrl():
		return refusal.Because(refusal.Precondition(field, invitationRule,
			"your people sign in elsewhere since it was made; turn it down, and invite them anew"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_SIGN_IN_CHANGED_SINCE_INVITATION))
	case SameVoice(i.Redeemer.GetPerson(), by.GetPerson()) || SameVoice(i.Person, by.GetPerson()):
		return refusal.Because(refusal.Forbidden("token", invitationRule,
			"another administrator has to confirm it, because you accepted it yourself"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_INVITATION_ACCEPTED_BY_YOURSELF))
	case i.GetExpiresAt() != nil && !i.GetExpiresAt().AsTime().After(p.now):
		return refusal.OfKind(
			refusal.Precondition(field, "R20", "the role would have ended by now; turn it down, and invite them anew"),
			"invited-role-ended")
	case !erasable.Alike(as, i.assignment()):
		return refusal.OfKind(
			refusal.Invalid(field, invitationRule,
				"the role is the one of the invitation, and its holder is whoever accepted it"),
			"invitation-role")
	}
	return nil
}

// mayEnd refuses those who may not withdraw an invitation or turn down who redeemed it. It is never too late to.
func (p place) mayEnd(id string, by *lockboxv1.Actor) error {
	const field = "end_invitation.invitation_id"
	i, known := p.Invitation(id)
	if onboards := p.ofTenant && aggregate.Provider(by, aggregate.Onboarding) && !p.administrated; p.tenant != nil &&
		!onboards {
		if err := p.tenant.administrator(by, invitationRule, p.now); err != nil {
			return err
		}
	}
	switch {
	case !known:
		return refusal.NotFound(field, invitationRule, "there is no such invitation")
	case i.confirmed:
		return refusal.Because(refusal.Precondition(field, invitationRule, "it was confirmed already; remove the role"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_INVITATION_CONFIRMED_ALREADY))
	case i.SettledBy != nil:
		return refusal.Because(refusal.Precondition(field, invitationRule, "it was ended already"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_INVITATION_SETTLED))
	}
	return nil
}

// applyInvitation folds the facts about invitations, by the rules by which they were decided; ours is false for others.
func (r *Roles) applyInvitation(t *State, e *lockboxv1.Event) (broken string, ours bool) {
	by, p := e.GetActor(), place{*r, t, t != nil, e.GetTime().AsTime()}
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_RoleInvited:
		return r.invited(p, f.RoleInvited.GetInvitation(), by), true
	case *lockboxv1.Event_InvitationRedeemed:
		redeemed := proto.CloneOf(f.InvitationRedeemed)
		redeemed.Person = whole(redeemed.GetPerson())
		if err := p.mayRedeem(redeemed, by); err != nil {
			return "an invitation is redeemed once, in time, by a person of its issuer who holds the link (R66)", true
		}
		var first bool
		r.settle(f.InvitationRedeemed.GetInvitationId(), func(i *Invitation) {
			i.Redeemer, i.Person, i.RedeemedAt, first = by, f.InvitationRedeemed.GetPerson(), p.now, i.First()
			if first {
				i.SettledBy, i.SettledAt, i.confirmed = by, p.now, true
			}
		})
		if i, _ := r.Invitation(f.InvitationRedeemed.GetInvitationId()); first {
			return r.assign(i.assignment()), true
		}
	case *lockboxv1.Event_InvitationConfirmed:
		as := f.InvitationConfirmed.GetAssignment()
		if err := p.mayConfirm(as, by); err != nil {
			return "who redeemed an invitation is confirmed by another human who is an administrator (R66)", true
		}
		r.settle(as.GetId(), func(i *Invitation) { i.SettledBy, i.SettledAt, i.confirmed = by, p.now, true })
		return r.assign(as), true
	case *lockboxv1.Event_InvitationEnded:
		if err := p.mayEnd(f.InvitationEnded.GetInvitationId(), by); err != nil {
			return "an invitation that waits is ended by those who may (R66)", true
		}
		r.settle(f.InvitationEnded.GetInvitationId(), func(i *Invitation) { i.SettledBy, i.SettledAt = by, p.now })
	default:
		return "", false
	}
	return "", true
}

// invited folds that somebody is invited, and forgets what nobody needs to see any more.
func (r *Roles) invited(p place, i *lockboxv1.RoleInvitation, by *lockboxv1.Actor) (broken string) {
	if p.mayInvite("invitation", i, by) != nil {
		return "somebody is invited by those who may, to a role that is there, for 72 hours (R66)"
	}
	kept := slices.DeleteFunc(slices.Clone(r.invitations), func(old Invitation) bool {
		waits := old.Person != nil && old.SettledBy == nil
		return !waits && p.now.Sub(old.GetUntil().AsTime()) >= invitationsKept
	})
	r.invitations = append(kept, Invitation{RoleInvitation: i, By: by, At: p.now})
	return ""
}

func (r *Roles) settle(id string, change func(*Invitation)) {
	r.invitations = slices.Clone(r.invitations)
	change(&r.invitations[r.invitationAt(id)])
}

// CarriesOver reports whether a role of somebody of a former issuer is still to be carried over to the present one: it
// can be held there, whoever has the same name holds none like it there, and no invitation for that name waits. Names
// prove nothing, so this only says whom to invite.
func CarriesOver(
	as *lockboxv1.RoleAssignment, present string, roles []*lockboxv1.AssignmentView, waits []*lockboxv1.InvitationView,
) bool {
	// A group is the organisation's, wherever it signs in.
	if as.GetPerson().GetIssuer() == present || as.GetGroup() != "" ||
		as.GetScope() == lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP {
		return false
	}
	name := as.GetPerson().GetDisplayName()
	alike := func(p *lockboxv1.Person) bool { // two whose names were erased are not
		return name != "" && p.GetDisplayName() == name || ShareAddress(p, as.GetPerson())
	}
	return !slices.ContainsFunc(roles, func(other *lockboxv1.AssignmentView) bool {
		held := other.GetAssignment()
		return held.GetPerson().GetIssuer() == present && held.GetRole() == as.GetRole() &&
			alike(held.GetPerson())
	}) && !slices.ContainsFunc(waits, func(i *lockboxv1.InvitationView) bool {
		open := i.GetState() == lockboxv1.InvitationState_INVITATION_STATE_OPEN ||
			i.GetState() == lockboxv1.InvitationState_INVITATION_STATE_REDEEMED
		return open && i.GetInvitation().GetRole() == as.GetRole() && name != "" && i.GetInvitation().GetNote() == name
	})
}
