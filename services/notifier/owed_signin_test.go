package notifier

import (
	"crypto/sha256"
	"math/rand/v2"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// mover is a customer whose sign-in changes again and again. Chance is its own, so that it changes nothing for others.
type mover struct {
	*happenings
	chance *rand.Rand
}

const moving = "tailspin"

// step lets somebody do something about where the customer's people sign in, whether they may or not.
func (m *mover) step() {
	ona, onno := story.Provider("ona", aggregate.Onboarding), story.Provider("onno", aggregate.Onboarding)
	s := m.States.Tenant(moving)
	if !s.Exists() {
		first := m.at("https://typo.example", "gina").GetPerson()
		create := &lockboxv1.CreateTenant{DisplayName: "Tailspin", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD,
			DefaultLanguage: "en", Administrator: first,
			Issuer: &lockboxv1.TenantIssuer{Url: first.GetIssuer(), Audience: "lockbox"}}
		if m.chance.IntN(3) == 0 {
			hash := sha256.Sum256(proof("first-administrator"))
			create.Administrator, create.Invitation = nil, &lockboxv1.RoleInvitation{SecretHash: hash[:], Note: "Gina"}
		}
		m.try(ona, moving, "", &lockboxv1.Command{Action: &lockboxv1.Command_CreateTenant{CreateTenant: create}})
		return
	}
	m.Owed(aggregate.Tenant(moving))
	s = m.States.Tenant(moving)
	waits := s.Change != nil && s.Change.Confirmed != nil || s.Change != nil && m.chance.IntN(2) == 0
	if waits && m.chance.IntN(30) > 0 { // mostly nobody stops it
		return
	}
	issuer := s.Issuers()[m.chance.IntN(len(s.Issuers()))].GetUrl()
	by := []*lockboxv1.Actor{ona, onno, m.at(issuer, "gina"), m.at(issuer, "otto"), m.at(issuer, "ada")}[m.chance.IntN(5)]
	c := &lockboxv1.Command{}
	switch m.chance.IntN(16) {
	case 0, 1, 2, 3:
		c.Action = m.proposal(s.Issuer.GetUrl())
	case 4, 5, 6, 7:
		c.Action = &lockboxv1.Command_ConfirmSignInChange{ConfirmSignInChange: &lockboxv1.ConfirmSignInChange{}}
		if s.Change != nil {
			c.GetConfirmSignInChange().ChangeId = s.Change.ID
		}
	case 8:
		c.Action = &lockboxv1.Command_StopSignInChange{StopSignInChange: &lockboxv1.StopSignInChange{Reason: "no"}}
		if s.Change != nil {
			c.GetStopSignInChange().ChangeId = s.Change.ID
		}
	case 9:
		c.Action = &lockboxv1.Command_SignIn{SignIn: &lockboxv1.SignIn{}}
	case 12, 13, 14, 15:
		c = m.invitation(s)
	case 10:
		by = m.at(s.Issuer.GetUrl(), "gina")
		c.Action = &lockboxv1.Command_EndFormerSignIn{EndFormerSignIn: &lockboxv1.EndFormerSignIn{}}
	default:
		c.Action = &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{
			Settings: &lockboxv1.TenantSettings{DefaultLanguage: "en", RequiredApprovals: 1,
				Fallback:   lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS,
				Alternates: []*lockboxv1.AlternateAddress{{Email: "soc@tailspin.example"}}}}}
	}
	m.try(by, moving, "", c)
}

// proposal is one by some route, to some issuer or to new administrators only.
func (m *mover) proposal(present string) *lockboxv1.Command_ProposeSignInChange {
	change := &lockboxv1.SignInChange{Reason: "it has to be"}
	issuer := []string{"https://login.tailspin.example", "https://id.tailspin.example", ""}[m.chance.IntN(3)]
	if issuer == "" {
		issuer = present
	} else {
		change.Issuer = &lockboxv1.TenantIssuer{Url: issuer, Audience: "lockbox"}
	}
	for _, name := range []string{"gina", "otto", "ada"}[:1+m.chance.IntN(3)] {
		change.Administrators = append(change.Administrators, m.at(issuer, name).GetPerson())
	}
	return &lockboxv1.Command_ProposeSignInChange{ProposeSignInChange: &lockboxv1.ProposeSignInChange{
		Route: lockboxv1.SignInRoute(1 + m.chance.IntN(3)), Change: change}}
}

// proof is what the link of an invitation proves.
func proof(id string) []byte {
	sum := sha256.Sum256([]byte(id))
	return sum[:]
}

// invitation is a command about one that there is, or is to be (R66).
func (m *mover) invitation(s tenant.State) *lockboxv1.Command {
	id := "i-" + strconv.Itoa(m.chance.IntN(1<<30))
	hash := sha256.Sum256(proof(id))
	c := &lockboxv1.Command{Action: &lockboxv1.Command_InviteRole{InviteRole: &lockboxv1.InviteRole{
		Invitation: &lockboxv1.RoleInvitation{Id: id, Note: "somebody", SecretHash: hash[:],
			Role:  []lockboxv1.Role{lockboxv1.Role_ROLE_AUDITOR, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR}[m.chance.IntN(2)],
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT}}}}
	there := s.Roles.Invitations()
	if len(there) == 0 {
		return c
	}
	i := there[m.chance.IntN(len(there))]
	switch m.chance.IntN(5) {
	case 0, 1:
		c.Action = &lockboxv1.Command_RedeemInvitation{
			RedeemInvitation: &lockboxv1.RedeemInvitation{InvitationId: i.GetId(), Proof: proof(i.GetId())}}
	case 2, 3:
		c.Action = &lockboxv1.Command_ConfirmInvitation{ConfirmInvitation: &lockboxv1.ConfirmInvitation{
			InvitationId: i.GetId(), Issuer: i.Person.GetIssuer(), Subject: i.Person.GetSubject()}}
	default:
		if m.chance.IntN(3) == 0 {
			c.Action = &lockboxv1.Command_EndInvitation{EndInvitation: &lockboxv1.EndInvitation{InvitationId: i.GetId()}}
		}
	}
	return c
}

// at is somebody as an issuer names them.
func (m *mover) at(issuer, name string) *lockboxv1.Actor {
	a := story.Customer(moving, name)
	a.Person.Issuer = issuer
	if name == "otto" { // has another address at each
		a.Person.Email = "otto@" + issuer[len("https://"):]
	}
	return a
}
