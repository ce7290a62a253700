package keys_test

import (
	"encoding/hex"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/keys"
	"github.com/openlockbox/lockbox/services/portal/internal/signing"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"

	"encoding/json"
)

const page = "/t/meadowbank/keys"

// bank is a bank where some people have offered keys; the reader is Anna, a Global Administrator.
func bank(t *testing.T, offered ...approval.Enrolment) *sitetest.Backend {
	t.Helper()
	view := &lockboxv1.KeysView{Origin: approvaltest.Origin, Witnesses: approvaltest.Witnesses, Quorum: 2}
	for _, e := range offered {
		id, err := e.Key.ID()
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := hex.DecodeString(id)
		enrolment, err := e.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		view.Keys = append(view.Keys, &lockboxv1.KeyView{KeyId: raw, Kind: e.Key.Kind, Role: e.Role, Enrolment: enrolment,
			Person:   &lockboxv1.Person{Issuer: e.Person.Issuer, Subject: e.Person.Subject, DisplayName: e.Person.Subject},
			Standing: lockboxv1.KeyStanding_KEY_STANDING_OFFERED})
	}
	anna := approvaltest.Person("anna")
	return &sitetest.Backend{
		Queries: map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
			"get_keys": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Keys{Keys: view}}, nil
			},
			"get_self": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{Self: &lockboxv1.SelfView{
					Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: &lockboxv1.Person{Issuer: anna.Issuer,
						Subject: anna.Subject, Human: anna.Human}},
					Roles: []*lockboxv1.HeldRole{{Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR}}}}}, nil
			},
		},
		Commands: map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error){
			"sign_keys": func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
				return &lockboxv1.CommandReply{Sequence: 7}, nil
			},
		},
	}
}

func serve(t *testing.T, b *sitetest.Backend, at string) http.Handler {
	t.Helper()
	s := sitetest.New(t, b, sitetest.Otto())
	s.URL = at
	routes, err := keys.Routes(s)
	if err != nil {
		t.Fatal(err)
	}
	return sitetest.Server(s, routes)
}

// No browser has keys for an address: whoever opens the portal by one is told where to open it.
func TestAnAddressHasNoKeys(t *testing.T) {
	for at, want := range map[string]string{"http://127.0.0.1:8080": "http://localhost:8080",
		"https://192.0.2.1": "needs a host name", "http://[::1]:8080": "http://localhost:8080"} {
		body := sitetest.Get(serve(t, bank(t), at), page+"/enrol").Body.String()
		if !strings.Contains(body, want) || strings.Contains(body, "data-keys") {
			t.Errorf("%s: does not say %q:\n%s", at, want, body)
		}
	}
	body := sitetest.Get(serve(t, bank(t), "https://portal.bank.example"), page+"/enrol").Body.String()
	for _, want := range []string{`data-party="portal.bank.example"`, `data-origin="https://portal.bank.example"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %s", want)
		}
	}
}

// What is drafted is what the form says; nobody has signed it yet.
func TestAGenesisIsDraftedAsItWasChosen(t *testing.T) {
	anna, otto := approvaltest.New("anna", approvaltest.ES256), approvaltest.New("otto", approvaltest.EdDSA)
	cold := approvaltest.New("offline", approvaltest.Ed25519)
	b := bank(t, anna.Enrol("anna", approval.Administrator), otto.Enrol("otto", approval.Administrator))
	h := serve(t, b, "https://portal.bank.example")
	form := url.Values{"command": {"01a2304d-0000-7000-8000-000000000001"}, "administrator": {anna.ID(), otto.ID()},
		"threshold": {"2"}, "recovery": {cold.AuthorizedKey() + " recovery"}, "demand": {"command-line"},
		"delay": {"3600"}, "recovery-delay": {"604800"}}
	if w := sitetest.Post(h, page+"/genesis", form); w.Code != http.StatusSeeOther {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	change := b.Done[0].GetSignKeys().GetChange()
	g, err := approval.ParseGenesis(change.GetStatement())
	if err != nil || len(change.GetSignatures()) != 0 {
		t.Fatalf("%v: %s", err, change)
	}
	if g.Demand != approval.DemandCommandLine || g.DelaySeconds != 3600 || g.RecoverySeconds != 604800 ||
		len(g.Administrators) != 2 || g.Recovery.Public != cold.Public || g.Quorum != 2 ||
		g.Tenant != "meadowbank" || g.Origin != approvaltest.Origin || len(g.Witnesses) != 3 {
		t.Errorf("drafted: %+v", g)
	}
	for name, wrong := range map[string]url.Values{
		"two different people": {"administrator": {anna.ID()}},
		"number from two":      {"threshold": {"3"}},
		"ssh-keygen writes it": {"recovery": {"-----BEGIN OPENSSH PRIVATE KEY-----"}},
		"cannot be shorter":    {"delay": {"2592000"}},
	} {
		values := url.Values{}
		for k, v := range form {
			values[k] = v
		}
		for k, v := range wrong {
			values[k] = v
		}
		w := sitetest.Post(h, page+"/genesis", values)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), name) {
			t.Errorf("%q is not said: %d", name, w.Code)
		}
	}
	if len(b.Done) != 1 {
		t.Errorf("%d drafts were sent", len(b.Done))
	}
}

// What no page has asked a browser for is no key.
func TestAKeyIsMadeOnThePage(t *testing.T) {
	b := bank(t)
	h := serve(t, b, "https://portal.bank.example")
	sitetest.Get(h, page+"/enrol")
	w := sitetest.Post(h, page+"/enrol", url.Values{"label": {"blue"}, "attestation": {`{"id":"AAAA","rawId":"AAAA",` +
		`"type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"}}`}})
	if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "was not made on this page") || len(b.Done) > 0 {
		t.Errorf("%d: %d commands", w.Code, len(b.Done))
	}
}

// Without a session, the page shows what its reader brings and nothing else, and asks nothing.
func TestARevocationNeedsNoSession(t *testing.T) {
	story := approvaltest.Begin()
	d := story.Decide(approval.Revoke, "anna", story.Anna)
	statement, err := d.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	saved, err := json.Marshal(signing.Saved{Format: signing.SavedFormat, Statement: string(statement),
		Credential: story.Anna.Credential, Label: "blue"})
	if err != nil {
		t.Fatal(err)
	}
	b := &sitetest.Backend{Commands: map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error){
		"revoke": func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
			return nil, refusal.OfKind(refusal.Unauthenticated("signed", "R64", "x"), "key-unknown")
		}}}
	s := sitetest.New(t, b, nil)
	s.URL = "https://portal.bank.example"
	mux := http.NewServeMux()
	if err := keys.Mount(mux, s); err != nil {
		t.Fatal(err)
	}
	h := s.Secured(mux)
	if w := sitetest.Get(h, "/revoke"); w.Code != http.StatusOK {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	w := sitetest.Post(h, "/revoke", url.Values{"saved": {string(saved)}, "reason": {"We have seen enough."}})
	body := html.UnescapeString(w.Body.String())
	for _, want := range []string{d.Request, "You revoke this access", story.Anna.Credential, sitetest.Now.Format("2006-01-02")} {
		if !strings.Contains(body, want) {
			t.Errorf("%d: the page does not show %q", w.Code, want)
		}
	}
	approve, err := story.Decide(approval.Approve, "anna", story.Anna).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"x", "{}", strings.Replace(string(saved), "/v1", "/v2", 1)} {
		if w := sitetest.Post(h, "/revoke", url.Values{"saved": {bad}, "reason": {"x"}}); w.Code != http.StatusBadRequest {
			t.Errorf("%q: %d", bad, w.Code)
		}
	}
	sent := url.Values{"command": {"01a2304d-0000-7000-8000-000000000002"}, "signature": {"AA"}, "reason": {"x"}}
	sent.Set("statement", string(approve)) // no approval comes in by this way
	if w := sitetest.Post(h, "/revoke", sent); w.Code != http.StatusBadRequest || len(b.Done) > 0 {
		t.Errorf("%d, %d commands", w.Code, len(b.Done))
	}
	sent.Set("statement", string(statement))
	w = sitetest.Post(h, "/revoke", sent)
	if !strings.Contains(w.Body.String(), "only a revocation that is signed with an active key") || len(b.Done) != 1 ||
		b.Done[0].GetAggregateId() != d.Request || b.Done[0].GetSigned() == nil || len(b.Asked) > 0 {
		t.Errorf("%d: %v, asked %v", w.Code, b.Done, b.Asked)
	}
}
