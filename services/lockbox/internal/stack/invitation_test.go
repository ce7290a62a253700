package stack_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/invitation"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

const freight = "harbour-freight"

// link is an invitation as its makers pass it on: by a link, and perhaps by a code.
type link struct {
	secret invitation.Secret
	code   string
}

func (m *movers) hash(l link) []byte {
	m.Helper()
	hash, err := l.secret.Hash(l.code)
	must(m, err)
	return hash
}

// offered asks what a link offers, as the portal's page does.
func (m *movers) offered(token string, l link, after uint64) (*lockboxv1.InvitationView, *lockboxv1.Refusal) {
	m.Helper()
	proof, err := l.secret.Proof(l.code)
	must(m, err)
	reply := m.query(&lockboxv1.Query{Tenant: harbour, Token: token, MinSequence: after,
		Ask: &lockboxv1.Query_GetInvitation{GetInvitation: &lockboxv1.GetInvitation{Proof: proof}}})
	return reply.GetInvitation(), reply.GetRefusal()
}

func (m *movers) redemption(subscription, id string, l link) *lockboxv1.Command {
	m.Helper()
	proof, err := l.secret.Proof(l.code)
	must(m, err)
	return &lockboxv1.Command{AggregateId: subscription, Action: &lockboxv1.Command_RedeemInvitation{
		RedeemInvitation: &lockboxv1.RedeemInvitation{InvitationId: id, Proof: proof}}}
}

func (m *movers) invites(token, subscription, id string, role lockboxv1.Role) link {
	m.Helper()
	l := link{secret: invitation.New()}
	m.says(token, m.invite(subscription, id, role, l))
	return l
}

func (m *movers) invite(subscription, id string, role lockboxv1.Role, l link) *lockboxv1.Command {
	m.Helper()
	scope := lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT
	if subscription != "" {
		scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION
	}
	return &lockboxv1.Command{AggregateId: subscription, Action: &lockboxv1.Command_InviteRole{
		InviteRole: &lockboxv1.InviteRole{Invitation: &lockboxv1.RoleInvitation{Id: id, Role: role, Scope: scope,
			Note: "whom " + id + " is for", SecretHash: m.hash(l)}}}}
}

func confirmation(subscription, id, issuer, subject string) *lockboxv1.Command {
	return &lockboxv1.Command{AggregateId: subscription, Action: &lockboxv1.Command_ConfirmInvitation{
		ConfirmInvitation: &lockboxv1.ConfirmInvitation{InvitationId: id, Issuer: issuer, Subject: subject}}}
}

func ending(subscription, id string) *lockboxv1.Command {
	return &lockboxv1.Command{AggregateId: subscription, Action: &lockboxv1.Command_EndInvitation{
		EndInvitation: &lockboxv1.EndInvitation{InvitationId: id, Reason: "It was not them."}}}
}

// startInvited is a Lockbox with a customer that came on board by an invitation and a code.
func startInvited(t *testing.T) (*movers, link) {
	l := empty(t, request.DefaultTerms())
	m := &movers{l, l.ownIssuer(nil), l.ownIssuer(nil), l.ownIssuer(nil)}
	l.config.Issuers = append(l.config.Issuers, identity.Issuer{URL: m.provider.URL, Audience: "lockbox",
		JWKS: m.provider.jwks, Side: lockboxv1.Side_SIDE_PROVIDER, Claims: identity.Claims{Human: "employee"}})
	l.restart(0)
	first := link{invitation.New(), invitation.NewCode()}
	m.says(m.onboarding("ona"), &lockboxv1.Command{Action: &lockboxv1.Command_CreateTenant{
		CreateTenant: &lockboxv1.CreateTenant{
			DisplayName: "Harbour Freight", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, DefaultLanguage: "en",
			Issuer:     m.recorded(m.old),
			Invitation: &lockboxv1.RoleInvitation{SecretHash: m.hash(first), Note: "Grace Green"},
		}}})
	return m, first
}

const globalAdministrator, lockboxApprover = lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
	lockboxv1.Role_ROLE_LOCKBOX_APPROVER

// A customer of whose people the provider knows nobody: the first administrator comes by link and code, invites an
// approver, confirms who came, and the approver approves a request (R66).
func TestR66ACustomerComesOnBoardByInvitation(t *testing.T) {
	t.Parallel()
	m, first := startInvited(t)
	const firstID = "first-administrator"
	grace, anton := func() string { return m.at(m.old, "grace") }, func() string { return m.at(m.old, "anton") }

	// With the link alone, or as somebody else, nothing comes of it.
	m.fails(grace(), m.redemption("", firstID, link{secret: first.secret}), notFound, "R66")
	m.fails(m.onboarding("ona"), m.redemption("", firstID, first), forbidden, "I10")
	m.fails(m.at(m.old, "ona", "email=ona@nimbus.example"), m.redemption("", firstID, first), forbidden, "R66")
	if _, r := m.offered(grace(), link{secret: first.secret}, 0); r.GetCode() != notFound {
		t.Errorf("the link alone shows something: %v", r)
	}
	offer, r := m.offered(grace(), first, 0)
	if r != nil || offer.GetInvitation().GetId() != firstID || offer.GetInvitation().GetRole() != globalAdministrator ||
		offer.GetWhere() != "Harbour Freight" || len(offer.GetInvitation().GetSecretHash()) != 0 {
		t.Fatalf("offered %v, %v", offer, r)
	}
	m.fails(grace(), enableLockbox(), forbidden, "R2")
	m.says(grace(), m.redemption("", firstID, first))
	m.says(grace(), enableLockbox()) // counts at once
	m.fails(anton(), m.redemption("", firstID, first), precondition, "R66")
	m.fails(m.onboarding("ona"), m.invite("", "again", globalAdministrator, link{secret: invitation.New()}), forbidden,
		"R66")

	// She invites an approver to a subscription. It counts once she has confirmed who came.
	m.says(m.onboarding("ona"), &lockboxv1.Command{AggregateId: freight,
		Action: &lockboxv1.Command_RegisterSubscription{
			RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: "Freight"}}})
	second := m.invites(grace(), freight, "i-anton", lockboxApprover)
	m.fails(anton(), m.invite(freight, "i-self", lockboxApprover, second), forbidden, "R66")
	m.fails(anton(), ending(freight, "i-anton"), forbidden, "R66")
	m.fails(grace(), confirmation(freight, "i-anton", m.old.URL, "anton"), precondition, "R66")
	m.fails(m.token("hana"), m.redemption(freight, "i-anton", second), unauthenticated, "R13") // of another tenant
	m.fails(anton(), m.redemption(freight, "i-anton", link{secret: invitation.New()}), notFound, "R66")
	m.fails(anton(), m.redemption(freight, "unknown", second), notFound, "R66")
	redeemed := m.says(anton(), m.redemption(freight, "i-anton", second))
	if e := m.says(anton(), m.redemption(freight, "i-anton", second)).GetEventId(); e != "" {
		t.Errorf("accepted twice: %s", e)
	}
	m.fails(m.at(m.old, "other"), m.redemption(freight, "i-anton", second), precondition, "R66") // a replayed link
	m.fails(anton(), confirmation(freight, "i-anton", m.old.URL, "anton"), forbidden, "R66")
	m.fails(m.onboarding("ona"), confirmation(freight, "i-anton", m.old.URL, "anton"), forbidden, "R66")
	m.fails(grace(), confirmation(freight, "i-anton", m.old.URL, "grace"), conflict, "R66")
	shown := m.ask(harbour, grace(), redeemed.GetSequence()).GetTenant().GetSubscriptions()[0].GetInvitations()
	if len(shown) != 1 || shown[0].GetState() != lockboxv1.InvitationState_INVITATION_STATE_REDEEMED ||
		shown[0].GetRedeemedBy().GetSubject() != "anton" || shown[0].GetRedeemedBy().GetIssuer() != m.old.URL {
		t.Fatalf("shown %v", shown)
	}
	confirmed := m.says(grace(), confirmation(freight, "i-anton", m.old.URL, "anton"))
	m.fails(grace(), confirmation(freight, "i-anton", m.old.URL, "anton"), precondition, "R66")
	roles := m.ask(harbour, grace(), confirmed.GetSequence()).GetTenant().GetSubscriptions()[0].GetAssignments()
	if len(roles) != 1 || !roles[0].GetActive() || roles[0].GetNeverSignedIn() ||
		roles[0].GetAssignment().GetId() != "i-anton" {
		t.Fatalf("holds %v", roles)
	}

	// He decides.
	in := m.intent("erin")
	in.Tenant, in.SubscriptionId, in.TicketId = harbour, freight, ""
	in.ReasonType = lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE
	in.ResourceIds = []string{"/subscriptions/" + freight +
		"/resourceGroups/x/providers/Microsoft.Compute/virtualMachines/crane-1"}
	if o := m.submit(in); o.GetRefusal() != nil {
		t.Fatal(o)
	}
	m.finally(in.GetId(), "asked", func(e *lockboxv1.Event) bool { return e.GetCustomerNotified() != nil })
	m.says(anton(), approve(in.GetId()))
	m.finally(in.GetId(), "granted", func(e *lockboxv1.Event) bool { return e.GetAccessGranted() != nil })

	// Everybody concerned hears of it.
	for _, mail := range []struct{ template, to string }{
		{"invitation-confirmed", "grace"}, {"role-invited", "grace"}, {"invitation-redeemed", "grace"},
		{"invitation-confirmed", "anton"},
	} {
		within(t, patience, "a mail "+mail.template+" to "+mail.to, func() bool {
			return slices.ContainsFunc(m.history(journal.Replay{Tenant: harbour}), func(e journal.Entry) bool {
				n := e.Event.GetNotificationSent().GetNotification()
				return n.GetTemplate() == mail.template && n.GetRecipient() == mail.to+"@harbour.example"
			})
		})
	}
	m.neverStored(first, second)
	m.holds()
}

// finally waits until something has happened to a request of the customer.
func (m *movers) finally(id, what string, is func(*lockboxv1.Event) bool) {
	m.Helper()
	within(m.T, patience, what, func() bool {
		entries, err := m.watch.LoadAtLeader(m.Context(), aggregate.Request(harbour, id))
		must(m, err)
		return slices.ContainsFunc(entries, func(e journal.Entry) bool { return is(e.Event) })
	})
}

// neverStored expects that no event holds a link's secret or a code, as bytes or as people write them.
func (m *movers) neverStored(links ...link) {
	m.Helper()
	for _, e := range m.history(journal.Replay{}) {
		data, err := proto.Marshal(e.Event)
		must(m, err)
		for _, l := range links {
			if bytes.Contains(data, l.secret[:]) || bytes.Contains(data, []byte(l.secret.String())) ||
				l.code != "" && bytes.Contains(data, []byte(l.code)) {
				m.Errorf("event %d holds a secret", e.Seq)
			}
		}
	}
}

// What an invitation is bound to: the issuer that is the tenant's at that time. Old roles are carried over by it (R65,
// R66).
func TestR66RolesAreCarriedOverToANewIssuer(t *testing.T) {
	t.Parallel()
	m, first := startInvited(t)
	grace := func() string { return m.at(m.old, "grace") }
	m.says(grace(), m.redemption("", "first-administrator", first))
	before := m.invites(grace(), "", "before", lockboxApprover)
	waits := m.invites(grace(), "", "waits", lockboxApprover)
	m.says(m.at(m.old, "anton"), m.redemption("", "waits", waits))
	m.proposes(grace(), customers, &lockboxv1.SignInChange{Issuer: m.recorded(m.new),
		Administrators: []*lockboxv1.Person{{Issuer: m.new.URL, Subject: "n-grace", DisplayName: "Grace",
			Email: "g@new.example"}}})
	ada := link{secret: invitation.New()}
	m.says(grace(), m.invite("", "ada", globalAdministrator, ada))
	m.says(m.at(m.old, "ada"), m.redemption("", "ada", ada))
	m.says(grace(), confirmation("", "ada", m.old.URL, "ada"))
	m.says(m.at(m.old, "ada"), m.confirmation())

	// From now on people sign in at the new one, and the old one is a former one.
	m.fails(m.at(m.old, "lena"), m.redemption("", "before", before), precondition, "R66")
	m.fails(m.at(m.new, "lena"), m.redemption("", "before", before), precondition, "R66")
	m.fails(grace(), confirmation("", "waits", m.old.URL, "anton"), precondition, "R66")
	carried := m.invites(grace(), "", "carried", lockboxApprover)
	m.fails(m.at(m.old, "anton"), m.redemption("", "carried", carried), forbidden, "R66")
	m.says(m.at(m.new, "n-anton", "email=anton@new.example"), m.redemption("", "carried", carried))
	m.says(grace(), confirmation("", "carried", m.new.URL, "n-anton"))
	m.says(m.at(m.new, "n-grace", "email=g@new.example"), finish())
	if s := m.state(); !s.Roles.Names(&lockboxv1.Person{Issuer: m.new.URL, Subject: "n-anton"}) ||
		s.Roles.Names(&lockboxv1.Person{Issuer: m.old.URL, Subject: "ada"}) {
		t.Errorf("roles are %v", s.Roles.All())
	}
	m.holds()
}

// Former keys of the same issuer are accepted for everything but this: they do not show that it is the present one
// (R66).
func TestR66AnInvitationIsNotAcceptedThroughFormerKeys(t *testing.T) {
	t.Parallel()
	m, first := startInvited(t)
	grace := func() string { return m.at(m.old, "grace") }
	m.says(grace(), m.redemption("", "first-administrator", first))
	ada := m.invites(grace(), "", "ada", globalAdministrator)
	m.says(m.at(m.old, "ada"), m.redemption("", "ada", ada))
	m.says(grace(), confirmation("", "ada", m.old.URL, "ada"))
	rotated := m.ownIssuer(nil)
	rotated.URL = m.old.URL
	m.proposes(grace(), customers, &lockboxv1.SignInChange{Issuer: m.recorded(rotated)})
	m.says(m.at(m.old, "ada"), m.confirmation())
	l := m.invites(grace(), "", "anton", lockboxApprover)
	m.fails(m.at(m.old, "anton"), m.redemption("", "anton", l), unauthenticated, "R13")
	m.says(m.at(rotated, "anton"), m.redemption("", "anton", l))
	m.holds()
}

// Onboarding's first invitation was not used: it makes another one, as long as nobody has ever administered the tenant
// (R66).
func TestR66OnboardingInvitesAnewUntilSomebodyIsThere(t *testing.T) {
	t.Parallel()
	m, first := startInvited(t)
	anew := link{invitation.New(), invitation.NewCode()}
	again := func() *lockboxv1.Command { return m.invite("", "again", globalAdministrator, anew) }
	m.fails(m.at(m.old, "grace"), again(), forbidden, "R66")
	m.fails(m.at(m.provider, "eve"), again(), forbidden, "R66")
	m.fails(m.onboarding("onno"), again(), precondition, "R66") // the first one can still be redeemed
	m.fails(m.onboarding("onno"), m.invite("", "again", lockboxApprover, anew), invalid, "R66")
	m.says(m.onboarding("onno"), ending("", "first-administrator"))
	m.fails(m.at(m.old, "grace"), m.redemption("", "first-administrator", first), precondition, "R66")
	made := m.says(m.onboarding("onno"), again())
	shown := m.ask(harbour, m.onboarding("ona"), made.GetSequence()).GetTenant().GetInvitations()
	if len(shown) != 2 || shown[0].GetState() != lockboxv1.InvitationState_INVITATION_STATE_OPEN ||
		shown[1].GetState() != lockboxv1.InvitationState_INVITATION_STATE_WITHDRAWN {
		t.Errorf("onboarding sees %v", shown)
	}
	m.says(m.at(m.old, "grace"), m.redemption("", "again", anew))
	m.fails(m.onboarding("onno"), ending("", "again"), forbidden, "R66")
	m.fails(m.at(m.old, "grace"), ending("", "again"), precondition, "R66")
	m.neverStored(first, anew)
	m.holds()
}

// Whoever holds a role and has never been seen is shown as such, until they sign in (R66).
func TestR66WhoHasNeverSignedInIsShown(t *testing.T) {
	t.Parallel()
	m, first := startInvited(t)
	grace := func() string { return m.at(m.old, "grace") }
	m.says(grace(), m.redemption("", "first-administrator", first))
	m.says(m.onboarding("ona"), &lockboxv1.Command{AggregateId: freight,
		Action: &lockboxv1.Command_RegisterSubscription{
			RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: "Freight"}}})
	assigned := m.says(grace(), &lockboxv1.Command{AggregateId: freight, Action: &lockboxv1.Command_AssignRole{
		AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{Id: "otto", Person: m.person(m.old, "otto"),
			Role: lockboxv1.Role_ROLE_OWNER, Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}}}})
	unseen := func(after uint64) bool {
		reply := m.ask(harbour, grace(), after).GetTenant()
		if reply.GetAssignments()[0].GetNeverSignedIn() {
			t.Error("grace has signed in")
		}
		preview := m.query(&lockboxv1.Query{Tenant: harbour, Token: grace(), MinSequence: after,
			Ask: &lockboxv1.Query_PreviewApprovers{PreviewApprovers: &lockboxv1.PreviewApprovers{SubscriptionId: freight}}})
		never := reply.GetSubscriptions()[0].GetAssignments()[0].GetNeverSignedIn()
		if never != (len(preview.GetApprovers().GetNeverSignedIn()) == 1) {
			t.Errorf("the approvers say otherwise: %v", preview)
		}
		return never
	}
	if !unseen(assigned.GetSequence()) {
		t.Error("otto is nowhere")
	}
	self := func(after uint64) *lockboxv1.SelfView {
		return m.query(&lockboxv1.Query{Tenant: harbour, Token: m.at(m.old, "otto"), MinSequence: after,
			Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}}).GetSelf()
	}
	if at := self(assigned.GetSequence()).GetFirstSignIn(); at != freight {
		t.Fatalf("to be recorded on %q", at)
	}
	signed := signInCommand()
	signed.AggregateId = freight
	reply := m.says(m.at(m.old, "otto"), signed)
	if unseen(reply.GetSequence()) || self(reply.GetSequence()).GetFirstSignIn() != "" {
		t.Error("otto has signed in, and nobody sees it")
	}
	// Of those who hold no role nothing is recorded.
	for _, subscription := range []string{"", freight} {
		nobody := signInCommand()
		nobody.AggregateId = subscription
		if e := m.says(m.at(m.old, "nobody"), nobody).GetEventId(); e != "" {
			t.Errorf("recorded of an employee: %s", e)
		}
	}
	m.holds()
}
