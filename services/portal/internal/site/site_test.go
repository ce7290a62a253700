package site_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestWhoIsSignedInElsewhereFindsNothing(t *testing.T) {
	s := sitetest.New(t, &sitetest.Backend{}, sitetest.Otto())
	served := 0
	h := sitetest.Server(s, []site.Route{{Method: "GET", Path: "/x", Side: site.Both,
		Serve: func(*site.Visit) error { served++; return nil }}})
	for address, want := range map[string]int{"/t/meadowbank/x": 200, "/t/sakura/x": 404, "/t/meadowbank-2/x": 404,
		"/provider/x": 404} {
		if got := sitetest.Get(h, address).Code; got != want {
			t.Errorf("%s: %d, want %d", address, got, want)
		}
	}
	if served != 1 {
		t.Errorf("served %d times", served)
	}
}

func TestWhoIsNotSignedInIsSentToSignInAndBack(t *testing.T) {
	h := sitetest.Server(sitetest.New(t, &sitetest.Backend{}, nil),
		[]site.Route{{Method: "GET", Path: "/x", Side: site.Both}})
	w := sitetest.Get(h, "/t/meadowbank/x?lang=fr")
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther ||
		to != "/signin?to=%2Ft%2Fmeadowbank%2Fx%3Flang%3Dfr" {
		t.Errorf("%d %s", w.Code, to)
	}
}

func TestARefusalIsAPageInTheVisitorsLanguage(t *testing.T) {
	for lang, want := range map[string]string{"en": "There is nothing here", "fr": "Page introuvable",
		"ja": "ページが見つかりません"} {
		h := sitetest.Server(sitetest.New(t, &sitetest.Backend{}, sitetest.Otto()),
			[]site.Route{{Method: "GET", Path: "/x", Side: site.Both, Serve: func(*site.Visit) error {
				return refusal.NotFound("x", "I9", "the name of a secret")
			}}})
		w := sitetest.Get(h, "/t/meadowbank/x?lang="+lang)
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `<html lang="`+lang+`">`) ||
			!strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s", lang, w.Code, w.Body)
		}
	}
}

func TestAnotherLanguageIsOfTheSamePage(t *testing.T) {
	s := sitetest.New(t, &sitetest.Backend{}, sitetest.Otto())
	h := sitetest.Server(s, []site.Route{{Method: "GET", Path: "/x", Side: site.Both, Serve: func(*site.Visit) error {
		return refusal.NotFound("x", "I9", "nothing")
	}}})
	page := sitetest.Get(h, "/t/meadowbank/x?lang=fr&after=7&q=%22%3E%3Cb%3E&q=2").Body.String()
	if !strings.Contains(page,
		`<input type="hidden" name="q" value="&#34;&gt;&lt;b&gt;"><input type="hidden" name="q" value="2">`) ||
		strings.Contains(page, `name="after"`) {
		t.Error(page)
	}
}

func TestAnAddressOfNothingIsAPageToo(t *testing.T) {
	h := sitetest.Server(sitetest.New(t, &sitetest.Backend{}, sitetest.Otto()),
		[]site.Route{{Method: "GET", Path: "/x", Side: site.Provider}})
	for _, address := range []string{"/nothing", "/t/meadowbank/x", "/t/meadowbank/"} {
		w := sitetest.Get(h, address+"?lang=fr")
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "Page introuvable") {
			t.Errorf("%s: %d %s", address, w.Code, w.Body)
		}
	}
}

func TestARefusalSaysWhatToDoBeforeItsOwnSentence(t *testing.T) {
	h := sitetest.Server(sitetest.New(t, &sitetest.Backend{}, sitetest.Otto()),
		[]site.Route{{Method: "GET", Path: "/x", Side: site.Both, Serve: func(*site.Visit) error {
			return refusal.Forbidden("x", "R18", "only auditors <read> this")
		}}})
	for lang, says := range map[string][2]string{
		"fr": {"adressez-vous à votre administrateur", "Vous n’êtes pas autorisé à effectuer cette action."},
		"en": {"ask your administrator", `<span lang="en">only auditors &lt;read&gt; this</span>`},
	} {
		page := sitetest.Get(h, "/t/meadowbank/x?lang="+lang).Body.String()
		own, theirs := strings.Index(page, says[0]), strings.Index(page, says[1])
		if own < 0 || theirs < own {
			t.Error(page)
		}
	}
}

// Whoever sends something by a role that is gone is told who removed it and when, or that it ended by itself.
func TestWhoLostARoleIsToldByWhomAndWhen(t *testing.T) {
	at := timestamppb.New(sitetest.Now.Add(-time.Hour))
	grace := &lockboxv1.Actor{Person: &lockboxv1.Person{DisplayName: "Grace Global"}}
	b := &sitetest.Backend{Queries: map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
		"get_self": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{Self: &lockboxv1.SelfView{TenantName: "Meadow Bank",
				LostRoles: []*lockboxv1.LostRole{
					{Role: lockboxv1.Role_ROLE_OWNER, SubscriptionName: "Production", By: grace, Time: at},
					{Role: lockboxv1.Role_ROLE_AUDITOR, Time: at}}}}}, nil
		}}}
	h := sitetest.Server(sitetest.New(t, b, sitetest.Otto()), []site.Route{
		{Method: "POST", Path: "/lost", Side: site.Both, Serve: func(*site.Visit) error {
			return site.Lost(refusal.NotFound("x", "I9", "nothing"))
		}},
		{Method: "POST", Path: "/forbidden", Side: site.Both, Serve: func(*site.Visit) error {
			return refusal.Forbidden("x", "R18", "only auditors")
		}},
		{Method: "GET", Path: "/forbidden", Side: site.Both, Serve: func(*site.Visit) error {
			return refusal.Forbidden("x", "R18", "only auditors")
		}}})
	for lang, want := range map[string][]string{
		"en": {"Grace Global removed your role Owner (Production) on", "Your role Auditor (Meadow Bank) ended on"},
		"fr": {"Grace Global vous a retiré le rôle Propriétaire (Production) le",
			"Votre rôle Auditeur (Meadow Bank) a pris fin"},
		"ja": {"Grace Global 様がロール「所有者」（Production）を解除しました", "（Meadow Bank）は、"},
	} {
		for _, path := range []string{"/lost", "/forbidden"} {
			page := sitetest.Post(h, "/t/meadowbank"+path+"?lang="+lang, nil).Body.String()
			for _, part := range want {
				if !strings.Contains(page, part) {
					t.Errorf("%s in %s does not say %q: %s", path, lang, part, page)
				}
			}
		}
	}
	if page := sitetest.Get(h, "/t/meadowbank/forbidden").Body.String(); strings.Contains(page, "Grace") {
		t.Errorf("nothing was sent: %s", page)
	}
}

// What another site sends is refused before anybody looks who it is, so nobody's roles are looked at.
func TestWhatAnotherSiteSendsIsAPageToo(t *testing.T) {
	b := &sitetest.Backend{}
	h := sitetest.Server(sitetest.New(t, b, sitetest.Otto()), []site.Route{{Method: "POST", Path: "/x", Side: site.Both}})
	r := httptest.NewRequest(http.MethodPost, "/t/meadowbank/x", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || len(b.Asked) != 0 {
		t.Errorf("%d, asked %v: %s", w.Code, b.Asked, w.Body)
	}
}
