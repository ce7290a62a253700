package invariant_test

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// proofOf is what the link of an invitation proves.
func proofOf(id string) []byte {
	proof := sha256.Sum256([]byte(id))
	return proof[:]
}

func hashOf(id string) []byte {
	hash := sha256.Sum256(proofOf(id))
	return hash[:]
}

// invitations is a customer whose first administrator and whose approver come by invitation.
func invitations() []invariant.Recorded {
	const t = story.Tenant
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	s := story.New(start)
	gina, otto := story.Customer(t, "gina"), story.Customer(t, "otto")
	s.Command(story.Provider("ona", aggregate.Onboarding), &lockboxv1.Command{Action: &lockboxv1.Command_CreateTenant{
		CreateTenant: &lockboxv1.CreateTenant{DisplayName: "Contoso", DefaultLanguage: "en",
			Plan:       lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD,
			Issuer:     &lockboxv1.TenantIssuer{Url: gina.GetPerson().GetIssuer(), Audience: "lockbox"},
			Invitation: &lockboxv1.RoleInvitation{Note: "Gina", SecretHash: hashOf("first-administrator")}}}})
	redeem := func(by *lockboxv1.Actor, subscription, id string) {
		s.Command(by, &lockboxv1.Command{AggregateId: subscription, Action: &lockboxv1.Command_RedeemInvitation{
			RedeemInvitation: &lockboxv1.RedeemInvitation{InvitationId: id, Proof: proofOf(id)}}})
	}
	s.At(start.Add(time.Hour))
	redeem(gina, "", "first-administrator")
	s.Subscription(t, story.Subscription, "Production")
	s.Command(gina, &lockboxv1.Command{AggregateId: story.Subscription, Action: &lockboxv1.Command_InviteRole{
		InviteRole: &lockboxv1.InviteRole{Invitation: &lockboxv1.RoleInvitation{Id: "otto", Note: "Otto",
			Role: lockboxv1.Role_ROLE_OWNER, Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION,
			SecretHash: hashOf("otto")}}}})
	s.At(start.Add(2 * time.Hour))
	redeem(otto, story.Subscription, "otto")
	s.At(start.Add(3 * time.Hour))
	s.Command(gina, &lockboxv1.Command{AggregateId: story.Subscription, Action: &lockboxv1.Command_ConfirmInvitation{
		ConfirmInvitation: &lockboxv1.ConfirmInvitation{InvitationId: "otto", Issuer: otto.GetPerson().GetIssuer(),
			Subject: "otto"}}})
	return s.History()
}

// Whoever can write events gives a role by an invitation that nobody accepted, or somebody else, or too late, and the
// oracle, which knows nothing of the fold, says so (I19).
func TestI19ForgedInvitationsAreFound(t *testing.T) {
	history := invitations()
	if broken := invariant.Check(history); len(broken) > 0 {
		t.Fatalf("the honest story: %v", broken)
	}
	const first, made, accepted, confirmed = "first accepted", "made", "accepted", "confirmed"
	is := map[string]func(*lockboxv1.Event) bool{
		"created": func(e *lockboxv1.Event) bool { return e.GetTenantCreated() != nil },
		first:     func(e *lockboxv1.Event) bool { return e.GetInvitationRedeemed() != nil && e.GetKind() == "tenant" },
		made:      func(e *lockboxv1.Event) bool { return e.GetRoleInvited() != nil },
		accepted:  func(e *lockboxv1.Event) bool { return e.GetInvitationRedeemed() != nil && e.GetKind() != "tenant" },
		confirmed: func(e *lockboxv1.Event) bool { return e.GetInvitationConfirmed() != nil },
	}
	otto, mole := story.Customer(story.Tenant, "otto"), story.Customer("fabrikam", "otto")
	by := func(a *lockboxv1.Actor) func(*lockboxv1.Event) { return func(e *lockboxv1.Event) { e.Actor = a } }
	for name, c := range map[string]struct {
		which  string
		change func(*lockboxv1.Event) // nil: it is left out
	}{
		"nobody accepted":         {accepted, nil},
		"nobody was invited":      {made, nil},
		"confirmed by itself":     {confirmed, by(otto)},
		"confirmed by nobody":     {confirmed, by(story.Customer(story.Tenant, "lena"))},
		"confirmed by a provider": {confirmed, by(story.Provider("ona", aggregate.Onboarding))},
		"another role":            {confirmed, func(e *lockboxv1.Event) { e.GetInvitationConfirmed().Assignment.Role = 3 }},
		"another person": {confirmed, func(e *lockboxv1.Event) {
			e.GetInvitationConfirmed().Assignment.Person.Subject = "x"
		}},
		"without the link":  {accepted, func(e *lockboxv1.Event) { e.GetInvitationRedeemed().Proof[0]++ }},
		"of another issuer": {accepted, by(mole)},
		"for somebody else": {accepted, func(e *lockboxv1.Event) { e.GetInvitationRedeemed().Person.Subject = "x" }},
		"too late": {accepted, func(e *lockboxv1.Event) {
			e.Time = timestamppb.New(e.GetTime().AsTime().Add(72 * time.Hour))
		}},
		"invited by nobody":     {made, by(otto)},
		"invited by a provider": {made, by(story.Provider("ona", aggregate.Onboarding))},
		"bound to another issuer": {made, func(e *lockboxv1.Event) {
			e.GetRoleInvited().Invitation.Issuer = "https://elsewhere.example"
		}},
		"for longer": {made, func(e *lockboxv1.Event) {
			e.GetRoleInvited().Invitation.Until = timestamppb.New(e.GetTime().AsTime().Add(73 * time.Hour))
		}},
		"without a hash":           {made, func(e *lockboxv1.Event) { e.GetRoleInvited().Invitation.SecretHash = nil }},
		"the first without a code": {first, func(e *lockboxv1.Event) { e.GetInvitationRedeemed().Proof = proofOf("x") }},
		"the first by onboarding": {first, func(e *lockboxv1.Event) {
			e.Actor.Person.Email = "ona@nimbus.example"
		}},
		"the first to another role": {"created", func(e *lockboxv1.Event) {
			e.GetTenantCreated().Invitation.Role = lockboxv1.Role_ROLE_AUDITOR
		}},
		"the first by another group": {"created", func(e *lockboxv1.Event) {
			e.Actor.Groups = []string{"support-engineers"}
		}},
	} {
		var forged []invariant.Recorded
		for _, r := range history {
			e := proto.CloneOf(r.Event)
			if is[c.which](e) {
				if c.change == nil {
					continue
				}
				c.change(e)
			}
			forged = append(forged, invariant.Recorded{Sequence: r.Sequence, Event: e})
		}
		if !slices.ContainsFunc(invariant.Check(forged), func(v invariant.Violation) bool { return v.Invariant == "I19" }) {
			t.Errorf("%s: not found: %v", name, invariant.Check(forged))
		}
	}
}
