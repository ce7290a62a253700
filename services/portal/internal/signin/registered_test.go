package signin_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
)

// A customer that came on board just now signs in without a line of configuration, and its sign-in is recorded (R65).
func TestR65ANewCustomerSignsInWithoutConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var recorded []string
	w.backend.Commands = map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error){
		"sign_in": func(c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
			recorded = append(recorded, c.GetTenant())
			return &lockboxv1.CommandReply{}, nil
		},
	}
	b := w.browser(t)
	shows(t, "before it is there", b.get("/signin?to=/t/harbour"), http.StatusOK, "e-mail")
	issuer := &lockboxv1.TenantIssuer{Url: w.issuers.TenantIssuer("meadowbank").GetUrl(), ClientId: devissuer.ClientID}
	w.registered = map[string]*lockboxv1.SignInOptions{
		"harbour": {DisplayName: "Harbour Freight", Issuers: []*lockboxv1.TenantIssuer{issuer}},
		"lagoon": {DisplayName: "Lagoon", Issuers: []*lockboxv1.TenantIssuer{{Url: issuer.GetUrl(),
			ClientId: issuer.GetClientId(), PrivateKeyJwt: true}}},
		"inside": {DisplayName: "Inside", Issuers: []*lockboxv1.TenantIssuer{{Url: "https://10.0.0.1", ClientId: "x"}}},
	}
	w.after(10 * time.Second)
	shows(t, "signed in", b.signIn("otto", "/t/harbour"), http.StatusOK, "Harbour Freight")
	if len(recorded) != 1 || recorded[0] != "harbour" {
		t.Errorf("recorded for %v", recorded)
	}
	shows(t, "an issuer that wants a key of the portal's", w.browser(t).get("/signin?to=/t/lagoon"), http.StatusOK,
		"e-mail")
	shows(t, "an issuer within the provider's network", w.browser(t).get("/signin?to=/t/inside"),
		http.StatusServiceUnavailable, "")
	// Where the issuer changes meanwhile, what was begun at the former one is not finished at the other.
	c := w.browser(t)
	leaving := c.follow(c.get("/signin?to=/t/harbour"))
	w.registered["harbour"].Issuers[0] = &lockboxv1.TenantIssuer{
		Url: w.issuers.TenantIssuer("sakura").GetUrl(), ClientId: devissuer.ClientID}
	w.after(2 * time.Minute)
	if p := c.get(c.choose(leaving, "otto")); p.status == http.StatusSeeOther || c.session() != nil {
		t.Errorf("%d %s", p.status, p.location)
	}
}

// A customer's issuer with a certificate of the customer's own authority is reached by the authority that is recorded
// with it, and by that alone (R65).
func TestR65AnIssuerIsKnownByItsTenantsAuthority(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(map[string]string{"issuer": server.URL, "jwks_uri": server.URL + "/keys",
			"authorization_endpoint": server.URL + "/authorize", "token_endpoint": server.URL + "/token"})
	}))
	t.Cleanup(server.Close)
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	at := func(authorities []byte) *lockboxv1.SignInOptions {
		return &lockboxv1.SignInOptions{DisplayName: "Harbour Freight", Issuers: []*lockboxv1.TenantIssuer{
			{Url: server.URL, ClientId: "portal", Authorities: authorities}}}
	}
	w.registered = map[string]*lockboxv1.SignInOptions{"harbour": at(own), "stranger": at(nil)}
	shows(t, "by its authority", w.browser(t).get("/signin?to=/t/harbour"), http.StatusOK, server.URL+"/authorize")
	shows(t, "without it", w.browser(t).get("/signin?to=/t/stranger"), http.StatusServiceUnavailable, "")
}

// While a customer moves from one issuer to another, people sign in at whichever has their account, and are asked again
// at the same one; whoever chose one does not come back from the other (R65).
func TestR65BothIssuersAreOfferedWhileBothAreAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.Commands = map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error){
		"sign_in": func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) { return &lockboxv1.CommandReply{}, nil },
	}
	at := func(tenant string) *lockboxv1.TenantIssuer {
		return &lockboxv1.TenantIssuer{Url: w.issuers.TenantIssuer(tenant).GetUrl(), ClientId: devissuer.ClientID}
	}
	w.registered = map[string]*lockboxv1.SignInOptions{
		"harbour": {DisplayName: "Harbour Freight", Issuers: []*lockboxv1.TenantIssuer{at("sakura"), at("meadowbank")}},
	}
	for _, c := range []struct{ tenant, persona string }{{"sakura", "hana"}, {"meadowbank", "otto"}} {
		b := w.browser(t)
		choice := b.follow(b.get("/signin?to=/t/harbour/asks"))
		shows(t, "the choice", choice, http.StatusOK, "both are accepted")
		leaving := b.get(link(t, choice, regexp.MustCompile(`<a href="([^"]*`+c.tenant+`[^"]*)">`)))
		shows(t, c.persona, b.follow(b.get(b.choose(leaving, c.persona))), http.StatusOK, "Harbour Freight")
		again := b.get("/signin?again=1&to=/t/harbour/asks")
		if to := link(t, again, mainLink); !strings.HasPrefix(to, at(c.tenant).GetUrl()) {
			t.Errorf("%s is asked again at %s", c.persona, to)
		}
	}
	// A customer whose former issuer is in the portal's configuration, and whose new one in its own events.
	w.registered["meadowbank"] = &lockboxv1.SignInOptions{DisplayName: "Meadow Bank",
		Issuers: []*lockboxv1.TenantIssuer{at("sakura")}}
	b := w.browser(t)
	shows(t, "configured and registered", b.get("/signin?to=/t/meadowbank"), http.StatusOK, at("sakura").GetUrl())
	shows(t, "an issuer that is none of theirs", b.get("/signin?to=/t/meadowbank&issuer=https://evil.example"),
		http.StatusOK, "both are accepted")
}
