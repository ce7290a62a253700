package notifier

import (
	"math/rand/v2"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/story"
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
		m.try(ona, moving, "", &lockboxv1.Command{Action: &lockboxv1.Command_CreateTenant{
			CreateTenant: &lockboxv1.CreateTenant{DisplayName: "Tailspin", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD,
				DefaultLanguage: "en", Administrator: first,
				Issuer: &lockboxv1.TenantIssuer{Url: first.GetIssuer(), Audience: "lockbox"}}}})
		return
	}
	m.Owed(aggregate.Tenant(moving))
	s = m.States.Tenant(moving)
	waits := s.Change != nil && s.Change.Confirmed != nil || s.Change != nil && m.chance.IntN(2) == 0
	if waits && m.chance.IntN(30) > 0 { // mostly nobody stops it
		return
	}
	issuer := s.Issuers()[m.chance.IntN(len(s.Issuers()))].GetUrl()
	by := []*lockboxv1.Actor{ona, onno, m.at(issuer, "gina"), m.at(issuer, "otto")}[m.chance.IntN(4)]
	c := &lockboxv1.Command{}
	switch m.chance.IntN(12) {
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

// at is somebody as an issuer names them.
func (m *mover) at(issuer, name string) *lockboxv1.Actor {
	a := story.Customer(moving, name)
	a.Person.Issuer = issuer
	if name == "otto" { // has another address at each
		a.Person.Email = "otto@" + issuer[len("https://"):]
	}
	return a
}
