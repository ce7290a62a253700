package site_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

// zoned serves a page that says in which zone its reader is.
func zoned(t *testing.T, b *sitetest.Backend, who *session.Session, zone string) (get func(path string) string) {
	t.Helper()
	s := sitetest.New(t, b, who)
	now := sitetest.Now
	s.ProvidersZone, s.Now = zone, func() time.Time { now = now.Add(15 * time.Second); return now }
	page := site.Route{Method: http.MethodGet, Path: "/zone", Side: site.Both, Serve: func(v *site.Visit) error {
		_, err := v.W.Write([]byte(v.Say.Instant(sitetest.Now)))
		return err
	}}
	administered := page
	administered.Path = "/administration/zone"
	h := sitetest.Server(s, []site.Route{page, administered})
	return func(path string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Body.String()
	}
}

func TestR60TimesAreInTheZoneOfTheReadersOrganisation(t *testing.T) {
	zone, asked := "Europe/Paris", 0
	var fails error
	b := &sitetest.Backend{Queries: map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
		"get_self": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			asked++
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{Self: &lockboxv1.SelfView{TimeZone: zone}}}, fails
		}}}
	const paris, tokyo, utc = "Mon 3\u00a0Aug 2026, 11:30\u00a0CEST (09:30\u00a0UTC)",
		"Mon 3\u00a0Aug 2026, 18:30\u00a0JST (09:30\u00a0UTC)", "Mon 3\u00a0Aug 2026, 09:30\u00a0UTC"
	get := zoned(t, b, sitetest.Otto(), "America/New_York")
	for range 2 {
		if got := get("/t/meadowbank/zone"); got != paris {
			t.Errorf("a customer's person reads %q", got)
		}
	}
	if asked != 1 {
		t.Errorf("it was asked %d times within the minute", asked)
	}
	if zone = "Asia/Tokyo"; get("/t/meadowbank/zone?after=7") != paris || asked != 1 {
		t.Error("it is asked after every click")
	}
	if get("/t/meadowbank/administration/zone?after=7") != tokyo {
		t.Error("whoever has just changed it does not see it")
	}
	fails = refusal.Unavailable("", "I11", "nobody answers")
	for range 10 {
		if got := get("/t/meadowbank/zone"); got != tokyo {
			t.Errorf("while nobody answers, times are %q", got)
		}
	}
	if got := zoned(t, b, sitetest.Lena(), "America/New_York")("/provider/zone"); got !=
		"Mon 3\u00a0Aug 2026, 05:30\u00a0EDT (09:30\u00a0UTC)" {
		t.Errorf("the provider's person reads %q", got)
	}
	if got := zoned(t, b, sitetest.Lena(), "")("/provider/zone"); got != utc {
		t.Errorf("without a zone, it is %q", got)
	}
}
