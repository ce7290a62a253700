package administration_test

import (
	"bytes"
	"encoding/hex"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/invitation"
	"github.com/openlockbox/lockbox/pkg/keychain"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

// demanding has the bank demand signatures, and Grace have a key in the browser.
func demanding(t *testing.T, b *bank) {
	t.Helper()
	k := approvaltest.New("grace", approvaltest.ES256)
	k.RelyingParty, k.Origins = "lockbox.example", []string{"https://lockbox.example"}
	enrolment, err := k.Enrol("grace", approval.Administrator).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	id, err := hex.DecodeString(k.ID())
	if err != nil {
		t.Fatal(err)
	}
	b.Queries["get_signing"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Signing{Signing: &lockboxv1.SigningView{
			Demand: string(approval.DemandSignatures), Origin: approvaltest.Origin, Tenant: "meadowbank",
			Genesis: bytes.Repeat([]byte{7}, 32),
			Keys:    []*lockboxv1.KeyView{{KeyId: id, Kind: approval.KindWebAuthn, Enrolment: enrolment}},
			Events:  []*lockboxv1.RestsOn{{Version: 3, Type: "RoleAssigned", Sha256: bytes.Repeat([]byte{8}, 32)}},
		}}}, nil
	}
}

// signed is the form of a page on which it is signed, as its script sends it.
func signed(page string) url.Values {
	_, form, _ := strings.Cut(page, `id="sign"`)
	form, _, _ = strings.Cut(form, "</form>")
	values := url.Values{"signature": {"AA"}}
	for _, m := range hiddenInput.FindAllStringSubmatch(form, -1) {
		values.Add(m[1], html.UnescapeString(m[2]))
	}
	return values
}

// agreed is what is signed of a command; it is exactly what the command does.
func agreed(t *testing.T, c *lockboxv1.Command) approval.Change {
	t.Helper()
	salt, err := hex.DecodeString(c.GetSigned().GetCommentSalt())
	if err != nil {
		t.Fatal(err)
	}
	want, err := keychain.Change(c, salt)
	if err != nil {
		t.Fatal(err)
	}
	is, err := approval.ParseChange(c.GetSigned().GetStatement())
	if err != nil || !slices.Equal(is.Content, want.Content) {
		t.Errorf("%v: signed %v, sent %v", err, is.Content, want.Content)
	}
	return is
}

// A role that is given is signed, with the id under which it is given.
func TestAnAssignmentIsSignedAsItIsMade(t *testing.T) {
	b := administrator()
	demanding(t, b)
	b.Commands["assign_role"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return &lockboxv1.CommandReply{Sequence: 99, EventId: "e"}, nil
	}
	h := served(t, b)
	at := "/subscriptions/meadow-production/assign"
	values := filled(t, get(t, h, at, http.StatusOK), at, "", "role", "ROLE_LOCKBOX_APPROVER")
	values.Set("subject", "lena")
	values.Set("person", "")
	w := sitetest.Post(h, base+at, values)
	if w.Code != http.StatusOK || len(b.Done) > 0 {
		t.Fatalf("not signed yet: %d, did %v:\n%s", w.Code, b.Done, w.Body)
	}
	w = sitetest.Post(h, base+at, signed(w.Body.String()))
	if w.Code != http.StatusSeeOther || len(b.Done) != 1 {
		t.Fatalf("signed: %d, did %v:\n%s", w.Code, b.Done, w.Body)
	}
	agreed(t, b.Done[0])
}

// Where signatures are demanded, an invitation is signed before it is made: what is signed is exactly what is sent, and
// the link that is shown then is that of the hash that was signed.
func TestAnInvitationIsSignedBeforeItIsMade(t *testing.T) {
	for _, scope := range []string{"/roles", "/subscriptions/meadow-production"} {
		b := administrator()
		demanding(t, b)
		b.Commands["invite_role"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
			return &lockboxv1.CommandReply{Sequence: 99, EventId: "e"}, nil
		}
		h := served(t, b)
		values := filled(t, get(t, h, scope+"/invite", http.StatusOK), scope+"/invite", "", "role", "ROLE_LOCKBOX_APPROVER",
			"for", "Lena", "expires", "2026-12-31T18:00")
		w := sitetest.Post(h, base+scope+"/invite", values)
		if page := w.Body.String(); w.Code != http.StatusOK || len(b.Done) > 0 || madeLink.MatchString(page) ||
			!strings.Contains(page, `id="sign"`) {
			t.Fatalf("%s, not signed yet: %d, did %v:\n%s", scope, w.Code, b.Done, page)
		}
		_, form, _ := strings.Cut(w.Body.String(), `id="sign"`)
		form, _, _ = strings.Cut(form, "</form>")
		signed := url.Values{}
		for _, m := range hiddenInput.FindAllStringSubmatch(form, -1) {
			signed.Set(m[1], html.UnescapeString(m[2]))
		}
		signed.Set("signature", "AA")
		w = sitetest.Post(h, base+scope+"/invite", signed)
		found := madeLink.FindStringSubmatch(w.Body.String())
		if w.Code != http.StatusOK || found == nil || len(b.Done) != 1 {
			t.Fatalf("%s, signed: %d, did %v:\n%s", scope, w.Code, b.Done, w.Body)
		}
		c := b.Done[0]
		secret, err := invitation.Parse("link", found[1])
		if err != nil {
			t.Fatal(err)
		}
		hash, err := secret.Hash("")
		if err != nil {
			t.Fatal(err)
		}
		if is := agreed(t, c); is.Change != approval.Roles ||
			!bytes.Equal(c.GetInviteRole().GetInvitation().GetSecretHash(), hash) {
			t.Errorf("%s: signed %+v, sent %v", scope, is, c)
		}
		if strings.Contains(c.String(), secret.String()) {
			t.Error("the secret is in the command")
		}
	}
}

// To confirm who accepted an invitation gives them the role, and is signed; to end one, and to accept one, is not.
func TestWhatGivesARoleIsSigned(t *testing.T) {
	for do, asks := range map[string]bool{"confirm": true, "end": false} {
		b := invitations()
		demanding(t, b)
		for _, verb := range []string{"confirm_invitation", "end_invitation"} {
			b.Commands[verb] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
				return &lockboxv1.CommandReply{Sequence: 99, EventId: "e"}, nil
			}
		}
		h := served(t, b)
		at := "/subscriptions/meadow-production/invitations/i-lena"
		values := filled(t, get(t, h, at, http.StatusOK), at, `value="`+do+`"`)
		values.Set("do", do)
		w := sitetest.Post(h, base+at, values)
		if shown := strings.Contains(w.Body.String(), `id="sign"`); shown != asks || (len(b.Done) > 0) == asks {
			t.Errorf("%s: signed %v, did %v", do, shown, b.Done)
		}
	}
	if keychain.Signs(&lockboxv1.Command{Action: &lockboxv1.Command_RedeemInvitation{}}) {
		t.Error("whoever accepts an invitation has no key yet")
	}
}
