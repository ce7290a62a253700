package tenant_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// proofOf is what the link of an invitation proves; it is known by the invitation's id.
func proofOf(id string) []byte {
	proof := sha256.Sum256([]byte("the link of " + id))
	return proof[:]
}

func hashOf(id string) []byte {
	hash := sha256.Sum256(proofOf(id))
	return hash[:]
}

func invitationTo(
	id string, role lockboxv1.Role, scope lockboxv1.AssignmentScope, change ...func(*lockboxv1.RoleInvitation),
) *lockboxv1.Command {
	i := &lockboxv1.RoleInvitation{Id: id, Role: role, Scope: scope, Note: "Lena", SecretHash: hashOf(id)}
	for _, c := range change {
		c(i)
	}
	return on(scope, &lockboxv1.Command{Action: &lockboxv1.Command_InviteRole{
		InviteRole: &lockboxv1.InviteRole{Invitation: i}}})
}

func redeem(id string, scope lockboxv1.AssignmentScope, proof []byte) *lockboxv1.Command {
	return on(scope, &lockboxv1.Command{Action: &lockboxv1.Command_RedeemInvitation{
		RedeemInvitation: &lockboxv1.RedeemInvitation{InvitationId: id, Proof: proof}}})
}

func confirmed(id string, scope lockboxv1.AssignmentScope, who *lockboxv1.Actor) *lockboxv1.Command {
	return on(scope, &lockboxv1.Command{Action: &lockboxv1.Command_ConfirmInvitation{
		ConfirmInvitation: &lockboxv1.ConfirmInvitation{InvitationId: id, Issuer: who.GetPerson().GetIssuer(),
			Subject: who.GetPerson().GetSubject()}}})
}

func endInvitation(id string, scope lockboxv1.AssignmentScope) *lockboxv1.Command {
	return on(scope, &lockboxv1.Command{Action: &lockboxv1.Command_EndInvitation{
		EndInvitation: &lockboxv1.EndInvitation{InvitationId: id, Reason: "no"}}})
}

// createInvited creates the tenant with an invitation instead of a first administrator.
func createInvited(change ...func(*lockboxv1.CreateTenant)) *lockboxv1.Command {
	c := create(premier)
	t := c.GetCreateTenant()
	t.Administrator, t.Invitation = nil, &lockboxv1.RoleInvitation{SecretHash: hashOf(firstAdministrator), Note: "Gina"}
	for _, each := range change {
		each(t)
	}
	return c
}

const (
	firstAdministrator = "first-administrator"

	invitationLasts = 72 * time.Hour
)

func TestR66ARoleIsGivenByInvitation(t *testing.T) {
	const proof, until = "redeem_invitation.proof", 1 + invitationLasts
	s := contoso(t, premier)
	twin := story.Human("H-1", story.Customer(id, "lena-admin"))
	lena := story.Human("H-1", lena)
	anonymous := story.Customer(id, "anonymous")
	anonymous.Person.Email, anonymous.Person.DisplayName, anonymous.Person.Language = "", "", "de"
	named := redeem("b", ofTenant, proofOf("b"))
	named.GetRedeemInvitation().Email = "anon@contoso.example"
	for _, scope := range []lockboxv1.AssignmentScope{ofTenant, ofSubscription} {
		invite := func(change ...func(*lockboxv1.RoleInvitation)) *lockboxv1.Command {
			return invitationTo("a", approver, scope, change...)
		}
		redeemed := redeem("a", scope, proofOf("a"))
		s.play(t,
			row{1, otto, invite(), no(forbidden, "token", "R66")},
			row{1, ona, invite(), no(forbidden, "token", "R66")},
			row{1, mole, invite(), no(forbidden, "token", "R66")},
			row{1, gina, invite(func(i *lockboxv1.RoleInvitation) { i.Role = lockboxv1.Role_ROLE_UNSPECIFIED }),
				no(invalid, "invite_role.invitation.role", "R18")},
			row{1, gina, invite(func(i *lockboxv1.RoleInvitation) { i.SecretHash = i.SecretHash[1:] }),
				no(invalid, "invite_role.invitation.secret_hash", "R66")},
			row{1, gina, invite(func(i *lockboxv1.RoleInvitation) { i.Issuer = newHome }),
				no(invalid, "invite_role.invitation.issuer", "R66")},
			row{1, gina, invite(func(i *lockboxv1.RoleInvitation) { i.Until = timestamppb.New(start.Add(time.Hour)) }),
				no(invalid, "invite_role.invitation.until", "R66")},
			row{1, gina, invite(func(i *lockboxv1.RoleInvitation) { i.ExpiresAt = timestamppb.New(start) }),
				no(invalid, "invite_role.invitation.expires_at", "R20")},
			row{1, gina, invite(func(i *lockboxv1.RoleInvitation) { i.Note = "" }),
				no(invalid, "invite_role.invitation.note", "bad input")},
			row{1, gina, invite(), yes},
			row{1, gina, invite(), already},
			row{1, gina, invite(func(i *lockboxv1.RoleInvitation) { i.SecretHash = hashOf("z") }),
				no(conflict, "invite_role.invitation.id", "R66")},
			row{1, gina, assign(assignment("a", otto, approver, scope)), no(conflict, "assign_role.assignment.id", "R66")},
			row{2, gina, confirmed("a", scope, lena), no(precondition, "confirm_invitation.invitation_id", "R66")},
			row{2, eve, redeemed, no(forbidden, "token", "I10")},
			row{2, lena, redeem("a", scope, proofOf("b")), no(notFound, proof, "R66")},
			row{2, lena, redeem("a", scope, nil), no(notFound, proof, "R66")},
			row{2, lena, redeem("none", scope, proofOf("a")), no(notFound, proof, "R66")},
			row{2, mole, redeemed, no(forbidden, "token", "R66")},
			row{until, lena, redeemed, no(precondition, proof, "R66")},
			row{until - 1, lena, redeemed, yes},
			row{until, lena, redeemed, already},
			row{until, otto, redeemed, no(precondition, proof, "R66")},
			row{until, lena, confirmed("a", scope, lena), no(forbidden, "token", "R66")},
			row{until, otto, confirmed("a", scope, lena), no(forbidden, "token", "R66")},
			row{until, ona, confirmed("a", scope, lena), no(forbidden, "token", "R66")},
			row{until, gina, confirmed("a", scope, otto), no(conflict, "confirm_invitation.subject", "R66")},
			row{until, gina, confirmed("none", scope, lena), no(notFound, "confirm_invitation.invitation_id", "R66")})
		roles := func() tenant.Roles {
			if scope == ofTenant {
				return s.tenant().Roles
			}
			return s.subscription().Roles
		}
		if roles().Names(lena.GetPerson()) {
			t.Fatal("held before it was confirmed")
		}
		s.play(t, row{until, gina, confirmed("a", scope, lena), yes},
			row{until, gina, confirmed("a", scope, lena), no(precondition, "confirm_invitation.invitation_id", "R66")},
			row{until, gina, endInvitation("a", scope), no(precondition, "end_invitation.invitation_id", "R66")},
			row{until, lena, redeemed, already})
		if !roles().Holds(lena.GetPerson(), approver, start.Add(until)) {
			t.Fatal("confirmed, and not held")
		}
		s.play(t, row{until, gina, remove(scope, "a"), yes}, row{until, lena, redeemed, already})
	}
	// The other account of the human who accepted it confirms nothing, administrator or not.
	s.play(t,
		row{1, gina, assign(assignment("twin", twin, administrator, ofTenant)),
			no(invalid, "assign_role.assignment.person.human", "R51")},
		row{1, gina, assign(assignment("twin", story.Customer(id, "lena-admin"), administrator, ofTenant)), yes},
		row{1, gina, invitationTo("c", approver, ofTenant), yes},
		row{2, lena, redeem("c", ofTenant, proofOf("c")), yes},
		row{3, twin, confirmed("c", ofTenant, lena), no(forbidden, "token", "R66")},
		row{3, gina, endInvitation("c", ofTenant), yes},
		row{3, gina, confirmed("c", ofTenant, lena), no(precondition, "confirm_invitation.invitation_id", "R66")},
		row{4, lena, redeem("c", ofTenant, proofOf("c")), no(precondition, proof, "R66")})
	// Whose sign-in names no address says where mails go.
	s.play(t,
		row{1, gina, invitationTo("b", auditor, ofTenant), yes},
		row{2, anonymous, redeem("b", ofTenant, proofOf("b")), no(invalid, "redeem_invitation.email", "R24")},
		row{2, anonymous, named, yes},
		row{3, gina, confirmed("b", ofTenant, anonymous), yes})
	if as, _ := s.tenant().Roles.Get("b"); as.GetPerson().GetEmail() != "anon@contoso.example" ||
		as.GetPerson().GetDisplayName() != "anonymous" || as.GetPerson().GetLanguage() != "" {
		t.Errorf("%v", as)
	}
	s.holds(t)
}

func TestR66TheFirstAdministratorComesByInvitation(t *testing.T) {
	s := begin()
	guest := story.Customer(id, "guest")
	guest.Person.Email = ona.GetPerson().GetEmail()
	again := invitationTo("again", administrator, ofTenant)
	s.play(t,
		row{0, ona, createInvited(func(t *lockboxv1.CreateTenant) { t.Administrator = gina.GetPerson() }),
			no(invalid, "create_tenant.administrator", "R66")},
		row{0, ona, createInvited(func(t *lockboxv1.CreateTenant) { t.Invitation.EligibleOnly = true }),
			no(invalid, "create_tenant.invitation", "R66")},
		row{0, ona, createInvited(func(t *lockboxv1.CreateTenant) { t.Invitation.SecretHash = nil }),
			no(invalid, "create_tenant.invitation.secret_hash", "R66")},
		row{0, eve, createInvited(), no(forbidden, "token", "R2")},
		row{0, ona, createInvited(), yes},
		row{1, gina, enable(), no(forbidden, "token", "R2")},
		row{1, onno, again, no(precondition, "invite_role.invitation", "R66")},
		row{1, guest, redeem(firstAdministrator, ofTenant, proofOf(firstAdministrator)), no(forbidden, "token", "R66")},
		row{invitationLasts, gina, redeem(firstAdministrator, ofTenant, proofOf(firstAdministrator)),
			no(precondition, "redeem_invitation.proof", "R66")},
		// It ran out, and onboarding makes another one.
		row{invitationLasts, eve, again, no(forbidden, "token", "R66")},
		row{invitationLasts, onno, invitationTo("again", approver, ofTenant),
			no(invalid, "invite_role.invitation.role", "R66")},
		row{invitationLasts, onno, again, yes},
		row{invitationLasts, onno, endInvitation("again", ofTenant), yes},
		row{invitationLasts, onno, invitationTo("third", administrator, ofTenant), yes},
		row{invitationLasts + 1, gina, redeem("third", ofTenant, proofOf("third")), yes},
		row{invitationLasts + 1, gina, enable(), yes},
		row{invitationLasts + 2, onno, invitationTo("fourth", administrator, ofTenant), no(forbidden, "token", "R66")},
		row{invitationLasts + 2, onno, endInvitation("third", ofTenant), no(forbidden, "token", "R66")},
		row{invitationLasts + 2, gina, confirmed("third", ofTenant, gina),
			no(precondition, "confirm_invitation.invitation_id", "R66")})
	s.holds(t)

	// A correction of the issuer ends the invitation, which is bound to the old one.
	s = begin()
	s.play(t, row{0, ona, createInvited(), yes}, row{1, ona, propose(correct, wanted(newHome)), yes})
	s.play(t, row{1, onno, confirm(s), yes},
		row{2, gina2, redeem(firstAdministrator, ofTenant, proofOf(firstAdministrator)),
			no(precondition, "redeem_invitation.proof", "R66")},
		row{2, ona, again, yes},
		row{3, gina, redeem("again", ofTenant, proofOf("again")), no(forbidden, "token", "R66")},
		row{3, gina2, redeem("again", ofTenant, proofOf("again")), yes},
		row{4, gina2, enable(), yes})
	s.holds(t)
}

// Whoever can write events with the orchestrator's key cannot give a role by an invitation that nobody accepted: what
// the decision checks, the fold checks too (R66, I19).
func TestR66TheFoldRefusesForgedInvitations(t *testing.T) {
	for _, scope := range []lockboxv1.AssignmentScope{ofTenant, ofSubscription} {
		s := contoso(t, premier)
		s.play(t, row{1, gina, invitationTo("a", approver, scope), yes},
			row{1, gina, invitationTo("b", approver, scope), yes})
		open := s.Clone()
		s.play(t, row{2, lena, redeem("a", scope, proofOf("a")), yes})
		waits := s.Clone()
		s.play(t, row{3, gina, confirmed("a", scope, lena), yes})
		as := assignment("a", lena, approver, scope)
		other := proto.CloneOf(as)
		other.Role = ownerRole
		longer := proto.CloneOf(as)
		longer.Person = otto.GetPerson()
		redeemed := func(proof []byte, who *lockboxv1.Actor) *lockboxv1.Event {
			return &lockboxv1.Event{Actor: who, Fact: &lockboxv1.Event_InvitationRedeemed{
				InvitationRedeemed: &lockboxv1.InvitationRedeemed{InvitationId: "a", Proof: proof, Person: who.GetPerson()}}}
		}
		confirms := func(who *lockboxv1.Actor, as *lockboxv1.RoleAssignment) *lockboxv1.Event {
			return &lockboxv1.Event{Actor: who, Fact: &lockboxv1.Event_InvitationConfirmed{
				InvitationConfirmed: &lockboxv1.InvitationConfirmed{Assignment: as}}}
		}
		for name, c := range map[string]struct {
			after *story.Story
			at    time.Duration
			event *lockboxv1.Event
			only  lockboxv1.AssignmentScope // where only one fold can know it
		}{
			"confirmed without having been accepted": {open, 2, confirms(gina, as), 0},
			"accepted without the link":              {open, 2, redeemed(proofOf("x"), lena), 0},
			"accepted with another's link":           {open, 2, redeemed(proofOf("b"), lena), 0},
			"accepted too late":                      {open, 1 + invitationLasts, redeemed(proofOf("a"), lena), 0},
			"accepted at another issuer":             {open, 2, redeemed(proofOf("a"), mole), 0},
			"accepted by the provider":               {open, 2, redeemed(proofOf("a"), ona), 0},
			"accepted twice":                         {waits, 3, redeemed(proofOf("a"), otto), 0},
			"confirmed by whoever accepted it":       {waits, 3, confirms(lena, as), 0},
			"confirmed by nobody's administrator":    {waits, 3, confirms(otto, as), ofTenant},
			"confirmed by the provider":              {waits, 3, confirms(ona, as), 0},
			"confirmed with another role":            {waits, 3, confirms(gina, other), 0},
			"confirmed for another person":           {waits, 3, confirms(gina, longer), 0},
			"confirmed twice":                        {s.Story, 4, confirms(gina, as), 0},
			"ended after it was confirmed": {s.Story, 4, &lockboxv1.Event{Actor: gina, Fact: &lockboxv1.Event_InvitationEnded{
				InvitationEnded: &lockboxv1.InvitationEnded{InvitationId: "a"}}}, 0},
			"invited for longer": {open, 2, invitedFor(gina, home, 73*time.Hour, scope), 0},
			"invited elsewhere":  {open, 2, invitedFor(gina, newHome, time.Hour, scope), ofTenant},
			"invited by anybody": {open, 2, invitedFor(otto, home, time.Hour, scope), ofTenant},
			"invited by onboarding, though there is an administrator": {open, 2, invitedFor(ona, home, time.Hour, scope), 0},
		} {
			if c.only != 0 && c.only != scope {
				continue
			}
			key := aggregate.Tenant(id)
			if scope == ofSubscription {
				key = aggregate.Subscription(id, sub)
			}
			history := c.after.States[key].Folded()
			e := c.event
			e.Tenant, e.Kind, e.AggregateId, e.Version = key.Tenant, key.Kind, key.ID, history.Version+1
			e.Time = timestamppb.New(start.Add(c.at))
			states := c.after.Clone().States
			if after := states.Add(history.Sequence+100, e); after.Folded().Fault == nil {
				t.Errorf("%v, %s: believed", scope, name)
			}
		}
	}
}

func invitedFor(
	by *lockboxv1.Actor, issuer string, lasts time.Duration, scope lockboxv1.AssignmentScope,
) *lockboxv1.Event {
	return &lockboxv1.Event{Actor: by, Fact: &lockboxv1.Event_RoleInvited{RoleInvited: &lockboxv1.RoleInvited{
		Invitation: &lockboxv1.RoleInvitation{Id: "f", Role: approver, Scope: scope, Note: "x", SecretHash: hashOf("f"),
			Issuer: issuer, Until: timestamppb.New(start.Add(2 + lasts))}}}}
}

// Invitations count among the changes of roles that somebody can make in a day, and taking them back is never refused
// (R52).
func TestR66InvitationsCountAsChangesOfRoles(t *testing.T) {
	s := contoso(t, premier)
	s.Limits = tenant.Limits{RoleChangesPerDay: 3}
	s.play(t,
		row{1, gina, invitationTo("a", approver, ofTenant), yes},
		row{2, gina, invitationTo("b", approver, ofTenant), yes},
		row{3, gina, assign(assignment("c", otto, approver, ofTenant)), yes},
		row{4, gina, invitationTo("d", approver, ofTenant), no(precondition, "token", "R52")},
		row{5, gina, endInvitation("a", ofTenant), yes},
		row{6, lena, redeem("b", ofTenant, proofOf("b")), yes},
		row{7, gina, confirmed("b", ofTenant, lena), no(precondition, "token", "R52")},
		row{1 + day, gina, confirmed("b", ofTenant, lena), no(precondition, "token", "R52")},
		row{2 + day, gina, confirmed("b", ofTenant, lena), yes})
	// What is long over is forgotten, and its id can be used again.
	s.play(t, row{40 * day, gina, invitationTo("z", approver, ofTenant), yes})
	if list := s.tenant().Roles.Invitations(); len(list) != 1 || list[0].GetId() != "z" {
		t.Errorf("kept: %v", list)
	}
	s.holds(t)
}

// Only the first sign-in of whoever holds a role is recorded, and never anybody else's (R66).
func TestR66AFirstSignInIsRecordedOnce(t *testing.T) {
	s := contoso(t, premier)
	here := func(scope lockboxv1.AssignmentScope) *lockboxv1.Command { return on(scope, signIn()) }
	s.play(t,
		row{1, gina, enable(), yes},
		row{2, gina, owner(otto), yes},
		row{2, gina, assign(assignment("lena", lena, auditor, ofTenant)), yes},
		row{3, otto, here(ofTenant), already},
		row{3, otto, here(ofSubscription), yes},
		row{4, otto, here(ofSubscription), already},
		row{4, lena, here(ofSubscription), already},
		row{4, lena, here(ofTenant), yes},
		row{5, lena, here(ofTenant), already},
		row{5, story.Customer(id, "employee"), here(ofTenant), already},
		row{5, ona, here(ofTenant), no(forbidden, "token", "R65")})
	s.holds(t)
}
