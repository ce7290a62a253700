package devissuer_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
)

func TestThePagesRunNothingAndLoadNothingFromElsewhere(t *testing.T) {
	s := serve(t)
	c := newClient(t, s, s.ProviderIssuer().URL)
	c.RedirectURL = "http://127.0.0.1:5555/callback"
	d, err := c.DeviceAuth(t.Context())
	must(t, err)
	for name, row := range map[string]struct{ at, form string }{
		"chooser":         {request(c, func(url.Values) {}), "'self' http://127.0.0.1:5555"},
		"code":            {d.VerificationURI, "'self'"},
		"wrong code":      {d.VerificationURI + "?user_code=%3Cscript%3E", "'self'"},
		"device":          {d.VerificationURIComplete, "'self'"},
		"home":            {s.URL() + "/", "'self'"},
		"a wrong request": {request(c, func(q url.Values) { q.Del("client_id") }), "'self'"},
	} {
		response, page := newBrowser(t).get(t, row.at)
		h := response.Header
		want := "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action " + row.form
		if h.Get("Content-Security-Policy") != want || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("Cache-Control") != "no-store" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: %v", name, h)
		}
		if strings.Contains(page, "<script") || strings.Contains(page, "style=") ||
			regexp.MustCompile(`(src|href)="[^/]`).MatchString(page) {
			t.Errorf("%s: %s", name, page)
		}
		if !strings.Contains(page, ">Demo<") || !strings.Contains(page, "invented") ||
			!strings.Contains(page, `name="viewport"`) {
			t.Errorf("%s does not say that it is a demo", name)
		}
	}
	if response, css := newBrowser(t).get(t, s.URL()+"/style.css"); response.StatusCode != http.StatusOK ||
		!strings.HasPrefix(response.Header.Get("Content-Type"), "text/css") || strings.Contains(css, "url(") {
		t.Errorf("%s: %v", response.Status, response.Header)
	}
}

func TestEachIssuerShowsItsOwnPeople(t *testing.T) {
	s := serve(t)
	for _, tenant := range append(devissuer.Tenants(), "") {
		issuer := s.ProviderIssuer().URL
		if tenant != "" {
			issuer = s.TenantIssuer(tenant).GetUrl()
		}
		_, page := newBrowser(t).get(t, request(newClient(t, s, issuer), func(url.Values) {}))
		for _, p := range devissuer.Personas() {
			if strings.Contains(page, fmt.Sprintf("value=%q", p.Name)) != (p.Tenant == tenant) {
				t.Errorf("%q: is %s there?", tenant, p.Name)
			}
			if p.Tenant == tenant && (!strings.Contains(page, p.DisplayName) ||
				!strings.Contains(page, html.EscapeString(p.About[1:]))) {
				t.Errorf("%q: %s is not described", tenant, p.Name)
			}
		}
	}
}
