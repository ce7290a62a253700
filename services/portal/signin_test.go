package portal

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"go.uber.org/zap"
)

func TestThePortalSignsInAtEachOrganisationsIssuer(t *testing.T) {
	issuer := httptest.NewUnstartedServer(nil)
	d, err := devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir(), URL: "http://" +
		issuer.Listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	issuer.Config.Handler = d.Handler()
	issuer.Start()
	defer issuer.Close()
	b := journaltest.Start(t, 1)
	connection := bus.Connection{Identity: bus.Portal, Seed: b.Keys[bus.Portal], InProcess: b, Log: zap.NewNop()}
	rt, err := service.Connect(t.Context(), connection, observe.NewMetrics().For(Name), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	c := Config{
		Listen: "127.0.0.1:0", URL: "https://lockbox.nimbus.example", Provider: "Nimbus Cloud",
		Organisations: organisation.List{
			{Tenant: "meadowbank", Name: "Meadow Bank", Issuer: d.TenantIssuer("meadowbank").GetUrl(),
				ClientID: devissuer.ClientID, Domains: []string{"meadowbank.example"}},
			{Name: "Nimbus Cloud", Issuer: d.ProviderIssuer().URL, ClientID: devissuer.ClientID,
				Domains: []string{"nimbus.example"}},
		},
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	handler, err := newHandler(rt, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for to, at := range map[string]string{"/t/meadowbank": d.TenantIssuer("meadowbank").GetUrl(),
		"/provider": d.ProviderIssuer().URL} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/signin?to="+to, nil))
		cookies := w.Result().Cookies()
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), at+"/authorize?") ||
			!strings.Contains(w.Body.String(), url.QueryEscape(c.URL+"/callback")) || len(cookies) != 1 {
			t.Fatalf("%s: %d %v %s", to, w.Code, cookies, w.Body)
		}
		if got := cookies[0]; !strings.HasPrefix(got.Name, "__Host-") || !got.Secure || !got.HttpOnly ||
			got.SameSite != http.SameSiteLaxMode || got.Path != "/" || got.MaxAge != 600 {
			t.Errorf("%s: %v", to, got)
		}
	}
	// Whatever is answered, a refusal too, is for https only, kept nowhere, framed nowhere, and for no other site.
	for _, path := range []string{
		"/", "/signin", "/nothing", "/t/meadowbank", "/t/meadowbank/live/home", "/assets/nothing", "/lockbox/v1/openapi.json",
		"/lockbox/v1/self", "/lockbox/nothing",
		"/providers/Microsoft.CustomerLockbox/operations", "/subscriptions/x/nothing",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, "PROPFIND"} {
			r := httptest.NewRequest(method, path, nil)
			r.Header.Set("Origin", "https://evil.example")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			h := w.Result().Header
			if w.Code >= http.StatusInternalServerError || !strings.HasPrefix(h.Get("Strict-Transport-Security"), "max-age=") ||
				h.Get("X-Content-Type-Options") != "nosniff" ||
				!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || h.Get("Server") != "" ||
				h.Get("Access-Control-Allow-Origin") != "" ||
				h.Get("Cache-Control") != "no-store" && path != "/assets/nothing" {
				t.Errorf("%s %s: %d %v", method, path, w.Code, h)
			}
		}
	}
	c.Organisations[0].ClientSecretFile = "nowhere"
	if _, err := newHandler(rt, c, nil); err == nil {
		t.Error("a secret that cannot be read is no reason not to start")
	}
}
