package portal

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/identity/devissuer"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"go.uber.org/zap"
)

func TestThePortalSignsInAtEachOrganisationsIssuer(t *testing.T) {
	issuer := httptest.NewUnstartedServer(nil)
	d, err := devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir(), URL: "http://" + issuer.Listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	issuer.Config.Handler = d.Handler()
	issuer.Start()
	defer issuer.Close()
	b := journaltest.Start(t, 1)
	connection := bus.Connection{Identity: bus.Portal, Seed: b.Keys[bus.Portal], InProcess: b, Log: zap.NewNop()}
	rt, err := service.OpenEdge(t.Context(), connection, new(observe.Counters))
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	c := Config{
		Listen: "127.0.0.1:0", URL: "https://lockbox.nimbus.example", Provider: "Nimbus Cloud",
		Organisations: organisation.List{
			{Tenant: "meadowbank", Name: "Meadow Bank", Issuer: d.TenantIssuer("meadowbank").GetUrl(), ClientID: devissuer.ClientID, Domains: []string{"meadowbank.example"}},
			{Name: "Nimbus Cloud", Issuer: d.ProviderIssuer().URL, ClientID: devissuer.ClientID, Domains: []string{"nimbus.example"}},
		},
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	handler, err := newHandler(rt, c)
	if err != nil {
		t.Fatal(err)
	}
	for to, at := range map[string]string{"/t/meadowbank": d.TenantIssuer("meadowbank").GetUrl(), "/provider": d.ProviderIssuer().URL} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/signin?to="+to, nil))
		cookies := w.Result().Cookies()
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), at+"/authorize?") ||
			!strings.Contains(w.Body.String(), url.QueryEscape(c.URL+"/callback")) || len(cookies) != 1 {
			t.Fatalf("%s: %d %v %s", to, w.Code, cookies, w.Body)
		}
		if got := cookies[0]; !strings.HasPrefix(got.Name, "__Host-") || !got.Secure || !got.HttpOnly || got.SameSite != http.SameSiteLaxMode || got.Path != "/" || got.MaxAge != 600 {
			t.Errorf("%s: %v", to, got)
		}
	}
	c.Organisations[0].ClientSecretFile = "nowhere"
	if _, err := newHandler(rt, c); err == nil {
		t.Error("a secret that cannot be read is no reason not to start")
	}
}
