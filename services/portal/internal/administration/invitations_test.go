package administration_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/invitation"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

// invitations is Grace, whose bank has one invitation of each kind.
func invitations() *bank {
	b := administrator()
	lena := person("lena", "Lena Lund", "en")
	view := func(id string, state lockboxv1.InvitationState, by *lockboxv1.Person) *lockboxv1.InvitationView {
		return &lockboxv1.InvitationView{
			Invitation: &lockboxv1.RoleInvitation{Id: id, Note: "Lena of the night shift", Until: ahead(50 * time.Hour),
				Role: lockboxv1.Role_ROLE_LOCKBOX_APPROVER},
			State: state, InvitedAt: ahead(-time.Hour), RedeemedBy: by, RedeemedAt: ahead(-time.Minute),
			InvitedBy: &lockboxv1.Actor{Person: grace}, SubscriptionId: "meadow-production", Where: "Production",
		}
	}
	production := b.tenant.Subscriptions[1]
	production.Invitations = []*lockboxv1.InvitationView{
		view("i-lena", lockboxv1.InvitationState_INVITATION_STATE_REDEEMED, lena),
		view("i-open", lockboxv1.InvitationState_INVITATION_STATE_OPEN, nil),
	}
	production.Assignments[0].NeverSignedIn = true
	former := held("former", person("eva", "Eva Ek", "en"), lockboxv1.Role_ROLE_OWNER, 0)
	former.Assignment.Person.Issuer = "https://old.meadowbank.example"
	production.Assignments = append(production.Assignments, former)
	b.preview.NeverSignedIn = []*lockboxv1.Person{{Issuer: fleur.GetIssuer(), Subject: fleur.GetSubject()}}
	return b
}

func TestR66TheListSaysWhatHasBecomeOfInvitations(t *testing.T) {
	h := served(t, invitations())
	page := get(t, h, "/subscriptions/meadow-production", http.StatusOK)
	holds(t, page, "Accepted, to be confirmed", "Accepted by Lena Lund", "/invitations/i-open", "Confirm or turn down",
		"Of your former sign-in", "/invite?for=Eva")
	if n := strings.Count(page, "Has never signed in"); n != 2 { // an assignment, and somebody who would be asked
		t.Errorf("%d have never signed in", n)
	}
	holds(t, get(t, h, "/subscriptions/meadow-production/invite?for=Eva+Ek&role=ROLE_OWNER", http.StatusOK),
		`value="Eva Ek"`, `value="ROLE_OWNER" required checked`)
	holds(t, get(t, h, "/subscriptions/meadow-production/invitations/i-lena", http.StatusOK), issuer, ">lena<",
		"Name and address prove nothing")
	get(t, h, "/subscriptions/meadow-production/invitations/none", http.StatusNotFound)
	looks := auditor()
	looks.tenant = invitations().tenant
	only := get(t, served(t, looks), "/subscriptions/meadow-production/invitations/i-lena", http.StatusOK)
	if strings.Contains(only, `value="confirm"`) || strings.Contains(only, `value="end"`) {
		t.Error("an auditor is offered to decide")
	}
}

var madeLink = regexp.MustCompile(`value="(https://lockbox\.example/t/meadowbank/invitation#[\w-]{43})"`)

// The link is in the answer to the form and nowhere else: neither in the command nor in the next answer.
func TestR66TheLinkIsShownOnce(t *testing.T) {
	b := administrator()
	done := map[string]bool{}
	b.Commands["invite_role"] = func(c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		if done[c.GetId()] {
			return &lockboxv1.CommandReply{Sequence: 99}, nil
		}
		done[c.GetId()] = true
		return &lockboxv1.CommandReply{Sequence: 99, EventId: "e"}, nil
	}
	h := served(t, b)
	values := filled(t, get(t, h, "/roles/invite", http.StatusOK), "/roles/invite", "", "role", "ROLE_AUDITOR", "for",
		"Lena", "expires", "2026-12-31T18:00", "eligible", "yes")
	w := sitetest.Post(h, base+"/roles/invite", values)
	found := madeLink.FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusOK || found == nil {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	secret, err := invitation.Parse("link", found[1])
	if err != nil {
		t.Fatal(err)
	}
	hash, err := secret.Hash("")
	if err != nil {
		t.Fatal(err)
	}
	i := b.Done[0].GetInviteRole().GetInvitation()
	if string(i.GetSecretHash()) != string(hash) || i.GetNote() != "Lena" || i.GetRole() != lockboxv1.Role_ROLE_AUDITOR ||
		!i.GetEligibleOnly() || i.GetExpiresAt() == nil || strings.Contains(b.Done[0].String(), secret.String()) {
		t.Errorf("did %v", b.Done[0])
	}
	if again := sitetest.Post(h, base+"/roles/invite", values); again.Code != http.StatusConflict ||
		madeLink.MatchString(again.Body.String()) || !strings.Contains(again.Body.String(), "was made already") {
		t.Errorf("sent twice: %d, %s", again.Code, again.Body)
	}
	b.Commands["invite_role"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.Invalid("invite_role.invitation.note", "bad input", "is too long")
	}
	values.Set("for", "somebody else")
	if w := sitetest.Post(h, base+"/roles/invite", values); w.Code != http.StatusBadRequest ||
		!strings.Contains(w.Body.String(), `id="for-wrong"`) {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestR66WhoeverHasALinkSeesWhatItIsBeforeTheyAccept(t *testing.T) {
	b := newBank(person("lena", "Lena Lund", "en"))
	b.me.Actor.Person.Email = ""
	offer := invitations().tenant.GetSubscriptions()[1].GetInvitations()[1]
	b.Queries["get_invitation"] = func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		if len(q.GetGetInvitation().GetProof()) != 32 {
			t.Errorf("asked for %v", q)
		}
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Invitation{Invitation: offer}}, nil
	}
	b.does(99)
	var refused error
	b.Commands["redeem_invitation"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return &lockboxv1.CommandReply{Sequence: 99, EventId: "e"}, refused
	}
	h := served(t, b)
	const at = "/t/meadowbank/invitation"
	link := invitation.New().Link("https://lockbox.example", "meadowbank")
	send := func(code int, pairs ...string) string {
		t.Helper()
		values := url.Values{"link": {link}, "command": {"01975a2c-7b3c-7e4a-9d8e-0123456789ab"}}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		w := sitetest.Post(h, at, values)
		if w.Code != code {
			t.Errorf("%q: %d, want %d: %s", pairs, w.Code, code, w.Body)
		}
		return w.Body.String()
	}
	if w := sitetest.Get(h, at); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "invitation.js") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	holds(t, send(http.StatusOK), "Grace Green invites you to be Lockbox Approver of Production", ">lena<", `name="email"`)
	if len(b.Done) != 0 {
		t.Fatalf("looking did %v", b.Done)
	}
	holds(t, send(http.StatusOK, "do", "accept", "email", "lena@meadowbank.example"), "Accepted.")
	if c := b.Done[0]; c.GetAggregateId() != "meadow-production" ||
		c.GetRedeemInvitation().GetInvitationId() != "i-open" ||
		c.GetRedeemInvitation().GetEmail() != "lena@meadowbank.example" || len(c.GetRedeemInvitation().GetProof()) != 32 {
		t.Errorf("did %v", c)
	}
	refused = refusal.Because(refusal.Forbidden("token", "R66", "it is your own"),
		reason.Of(lockboxv1.ReasonCode_REASON_CODE_OWN_INVITATION))
	holds(t, send(http.StatusConflict, "do", "accept", "email", "x@meadowbank.example"), "you cannot accept it")
	refused = refusal.Invalid("redeem_invitation.email", "R24", "is no address")
	holds(t, send(http.StatusBadRequest, "do", "accept", "email", "x"), `id="email-wrong"`)
	offer.State = lockboxv1.InvitationState_INVITATION_STATE_EXPIRED
	if page := send(http.StatusOK); !strings.Contains(page, "has run out") || strings.Contains(page, `value="accept"`) {
		t.Error(page)
	}
	holds(t, send(http.StatusBadRequest, "link", "https://lockbox.example"), "This is no invitation link")
	delete(b.Queries, "get_invitation") // whoever holds another link learns nothing
	holds(t, send(http.StatusBadRequest, "code", "0000"), "No invitation has this link and code")
}
