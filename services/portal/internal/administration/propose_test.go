package administration_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/proto"
)

// settled is the bank without a change that waits.
func settled(b *bank) *bank {
	b = moving(b, byCustomer, otto)
	b.tenant.SignIn.Pending = nil
	b.tenant.SignIn.Issuer.GroupMap = []*lockboxv1.MappedGroup{{Id: "g-1", Name: "approvers"}}
	return b
}

func proposal(changes ...string) url.Values {
	v := url.Values{"seen": {"7"}, "url": {issuer}, "audience": {"lockbox"}, "client": {"portal"},
		"keys": {issuer + "/keys"}, "reason": {"We move <b>"}, "command": {"019e1b3d-0000-7000-8000-0000000000aa"}}
	for i := 0; i < len(changes); i += 2 {
		v.Set(changes[i], changes[i+1])
	}
	return v
}

// withDraft requests a page with the cookie that says that something typed is kept.
func withDraft(h http.Handler, address string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, address, nil)
	r.AddCookie(&http.Cookie{Name: "lockbox-draft", Value: "1"})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const proposing = "/t/meadowbank/administration/sign-in/propose"

// An administrator proposes another identity provider: the form, what it means, and the command as the command line
// sends it. Keys, groups and authorities of the present one do not move along (R65).
func TestR65AnAdministratorProposesAChangeOfSignIn(t *testing.T) {
	b := settled(administrator())
	b.Commands["propose_sign_in_change"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return &lockboxv1.CommandReply{Sequence: 9}, nil
	}
	h := served(t, b)
	holds(t, get(t, h, "/sign-in", http.StatusOK), "Propose another sign-in")
	holds(t, get(t, h, "/sign-in/propose", http.StatusOK), issuer, "Address of the identity provider")
	const next = "https://id.meadowbank.example"
	form := proposal("url", next, "keys", next+"/keys", "subject", "a71c", "name", "Grace Green", "email",
		"grace@meadowbank.example")
	for lang, words := range map[string][]string{
		"en": {"after 1 day unless somebody stops it", "Nobody’s roles move along", "do not count there"},
		"fr": {"au bout de 1 jour si personne ne l’arrête", "Aucun rôle ne suit"},
		"ja": {"1 日後に変更されます", "ロールは引き継がれません"},
	} {
		sitetest.Post(h, proposing+"?lang="+lang, form)
		page := withDraft(h, proposing+"/review?lang="+lang).Body.String()
		holds(t, page, append(words, next, issuer, "a71c", "We move <b>")...)
	}
	if len(b.Done) != 0 {
		t.Errorf("looking sent %v", b.Done)
	}
	if page := get(t, h, "/sign-in/propose?"+form.Encode(), http.StatusOK); strings.Contains(page, next+`" aria`) {
		t.Errorf("a link says what is proposed: %s", page)
	}
	sent := sitetest.Post(h, proposing+"/review", form)
	if sent.Code != http.StatusSeeOther || len(b.Done) != 1 {
		t.Fatalf("%d: %v, %s", sent.Code, b.Done, sent.Body)
	}
	want := &lockboxv1.SignInChange{Reason: "We move <b>", Issuer: &lockboxv1.TenantIssuer{Url: next, Audience: "lockbox",
		ClientId: "portal", JwksUrl: next + "/keys"},
		Administrators: []*lockboxv1.Person{{Issuer: next, Subject: "a71c", DisplayName: "Grace Green",
			Email: "grace@meadowbank.example"}}}
	got := b.Done[0]
	if p := got.GetProposeSignInChange(); !proto.Equal(p.GetChange(), want) || p.GetRoute() != byCustomer ||
		got.GetSeenVersion() != 7 {
		t.Errorf("sent %v, want %v", got, want)
	}
}

// At the same identity provider what the form has no fields for stays, and nothing is said of people who move.
func TestR65AProposalAtTheSameIssuerKeepsTheRest(t *testing.T) {
	b := settled(administrator())
	b.Commands["propose_sign_in_change"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.Naming(
			refusal.Invalid("propose_sign_in_change.change.issuer.client_id", "R13", "must be ASCII"), "most", "256")
	}
	h := served(t, b)
	form := proposal("client", "portal-2")
	sitetest.Post(h, proposing, form)
	page := withDraft(h, proposing+"/review").Body.String()
	if holds(t, page, "portal-2"); strings.Contains(page, "move along") || strings.Contains(page, "do not count there") {
		t.Error(page)
	}
	sent := sitetest.Post(h, proposing+"/review?lang=fr", form)
	if sent.Code != http.StatusBadRequest || len(b.Done) != 1 {
		t.Fatalf("%d: %v", sent.Code, b.Done)
	}
	holds(t, sent.Body.String(), "Indiquez l’identifiant client, 256 caractères", `value="portal-2"`)
	if next := b.Done[0].GetProposeSignInChange().GetChange().GetIssuer(); len(next.GetGroupMap()) != 1 {
		t.Errorf("the groups are gone: %v", next)
	}
}

// Another identity provider is never believed by the keys of the present one.
func TestR65AnotherIssuerNeedsKeysOfItsOwn(t *testing.T) {
	for _, keys := range []string{"", issuer + "/keys"} {
		b := settled(administrator())
		h := served(t, b)
		form := proposal("url", "https://id.meadowbank.example", "keys", keys)
		for _, path := range []string{proposing, proposing + "/review"} {
			sent := sitetest.Post(h, path, form)
			if sent.Code != http.StatusBadRequest || len(b.Done) != 0 {
				t.Errorf("%s with %q: %d, %v", path, keys, sent.Code, b.Done)
			}
			holds(t, sent.Body.String(), "Another identity provider has keys of its own",
				"Enter a Global Administrator at the other identity provider")
		}
	}
}

// Nobody else is offered it, nor while a change waits.
func TestR65WhoMayNotProposeIsNotOfferedIt(t *testing.T) {
	for name, row := range map[string]struct {
		bank   *bank
		status int
	}{
		"an auditor":          {settled(auditor()), http.StatusNotFound},
		"while another waits": {moving(administrator(), byCustomer, otto), http.StatusConflict},
	} {
		h := served(t, row.bank)
		if page := get(t, h, "/sign-in", http.StatusOK); strings.Contains(page, "sign-in/propose") {
			t.Errorf("%s is offered it", name)
		}
		for _, path := range []string{"/sign-in/propose", "/sign-in/propose/review"} {
			get(t, h, path, row.status)
			if sent := sitetest.Post(h, "/t/meadowbank/administration"+path, proposal()); sent.Code != row.status {
				t.Errorf("%s posts to %s: %d", name, path, sent.Code)
			}
		}
		if len(row.bank.Done) != 0 {
			t.Errorf("%s: %v", name, row.bank.Done)
		}
	}
}
