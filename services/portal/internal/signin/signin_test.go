package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func TestSomebodyFollowsALinkAndSignsInOnTheWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for link, row := range map[string]struct{ persona, lang, want string }{
		"/t/meadowbank/requests/7?lang=fr": {"grace", "fr",
			"Grace Green of Meadow Bank, /t/meadowbank/requests/7?lang=fr, in fr"},
		"/t/meadowbank/requests/7":     {"fleur", "en", "Fleur Lefèvre of Meadow Bank, /t/meadowbank/requests/7, in fr"},
		"/t/sakura":                    {"kenji", "en", "田中 健二 of Sakura Health, /t/sakura, in ja"},
		"/provider/requests/7?a=b%26c": {"lena", "en", "Lena Lang of Nimbus Cloud, /provider/requests/7?a=b%26c, in en"},
	} {
		b := w.browser(t)
		leaving := b.follow(b.get(link))
		address := link
		shows(t, link, leaving, http.StatusOK, `<html lang="`+row.lang+`">`)
		at, err := url.Parse(refreshOf(t, leaving))
		must(t, err)
		q := at.Query()
		if q.Get("code_challenge_method") != "S256" || len(q.Get("state")) < 20 || len(q.Get("nonce")) < 20 ||
			q.Get("state") == q.Get("nonce") ||
			q.Get("redirect_uri") != w.url+"/callback" || q.Get("ui_locales") != row.lang || q.Get("response_type") != "code" ||
			q.Has("max_age") {
			t.Errorf("%s: the issuer is asked %v", address, q)
		}
		if b.session() != nil {
			t.Errorf("%s: a session before anybody has signed in", address)
		}
		w.active.Store(1 - w.active.Load()) // any copy may finish it
		shows(t, address, b.follow(b.get(b.choose(leaving, row.persona))), http.StatusOK, row.want)
		w.active.Store(1 - w.active.Load())
		shows(t, address+", the other copy", b.get(strings.SplitN(link, "?", 2)[0]), http.StatusOK, row.want[:5])
	}
}

func refreshOf(t *testing.T, p page) string {
	t.Helper()
	to := link(t, p, refresh)
	if shown := link(t, p, mainLink); shown != to {
		t.Errorf("the link leads to %s, and the browser goes to %s", shown, to)
	}
	return to
}

func TestSomebodySignsInByEMailAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for email, want := range map[string]string{
		"grace@meadowbank.example": "grace, Grace Green of Meadow Bank, /t/meadowbank,",
		" HANA@Sakura.Example ":    "hana, 佐藤 花 of Sakura Health, /t/sakura,",
		"lena@nimbus.example":      "lena, Lena Lang of Nimbus Cloud, /provider,",
	} {
		b := w.browser(t)
		shows(t, "the form", b.follow(b.get("/")), http.StatusOK, `<label for="email">Work e-mail address</label>`)
		// Browsers hold a form to this site, over redirects too, so this is a page.
		leaving := b.post("/signin", url.Values{"email": {email}}, "/signin")
		shows(t, email, leaving, http.StatusOK, "sign-in of")
		if at := refreshOf(t, leaving); !strings.Contains(at, url.Values{"login_hint": {strings.TrimSpace(email)}}.Encode()) {
			t.Errorf("%s: not told to the issuer: %s", email, at)
		}
		persona, text, _ := strings.Cut(want, ", ")
		shows(t, email, b.follow(b.get(b.choose(leaving, persona))), http.StatusOK, text)
		shows(t, email+", at home", b.follow(b.get("/")), http.StatusOK, text)
	}
	for email, want := range map[string]string{
		"": "This is not an e-mail address", "grace": "This is not an e-mail address",
		"a@b@meadowbank.example":        "This is not an e-mail address",
		`"><script>@meadowbank.example`: "This is not an e-mail address",
		"grace@other.example":           "No organisation signs in here",
		"x@sub.meadowbank.example":      "No organisation signs in here",
		"grace@example":                 "",
	} {
		p := w.browser(t).post("/signin", url.Values{"email": {email}}, "/signin")
		shows(t, email, p, http.StatusBadRequest, want)
		if strings.Contains(p.body, "<script>") || len(p.cookies) > 0 ||
			!strings.Contains(p.body, `aria-describedby="email-wrong"`) {
			t.Errorf("%s: %v %s", email, p.cookies, p.body)
		}
	}
}

func TestAnAnswerThatIsNotToOurQuestionSignsNobodyIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	change := func(name, value string) func(url.Values) {
		return func(q url.Values) {
			if q.Del(name); value != "" {
				q.Set(name, value)
			}
		}
	}
	for name, row := range map[string]struct {
		change func(url.Values)
		status int
		text   string
		again  bool // the same browser may still finish it
	}{
		"no state":      {change("state", ""), 400, "This sign-in is over", true},
		"another state": {change("state", "other"), 400, "This sign-in is over", true},
		"declined": {func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, 403,
			"You did not sign in", false},
		"refused": {func(q url.Values) { q.Del("code"); q.Set("error", "server_error") }, 403,
			"server_error", false},
		"refused, in markup": {change("error", "<b>"), 403, "Your organisation does not sign you in", false},
		"another issuer": {change("iss", w.issuers.TenantIssuer("sakura").GetUrl()), 403,
			"Another identity provider answered than the one that was asked.", false},
		"an issuer without name":  {change("iss", ""), 403, "cannot be trusted", false},
		"no code":                 {change("code", ""), 403, "Your organisation does not sign you in", false},
		"a code that nobody gave": {change("code", "x"), 403, "Your organisation does not sign you in", false},
	} {
		b := w.browser(t)
		back, err := url.Parse(b.choose(b.get("/signin?to=/t/meadowbank/requests/7"), "otto"))
		must(t, err)
		genuine := back.String()
		q := back.Query()
		row.change(q)
		back.RawQuery = q.Encode()
		p := b.get(back.String())
		shows(t, name, p, row.status, row.text)
		if b.session() != nil || strings.Contains(p.body, "<b>") || p.location != "" {
			t.Errorf("%s: %v %s", name, b.session(), p.location)
		}
		if retry := link(t, p, mainLink); !row.again && retry != "/signin?to=%2Ft%2Fmeadowbank%2Frequests%2F7" {
			t.Errorf("%s: no way to try again but %s", name, retry)
		}
		if p = b.follow(b.get(genuine)); (p.status == http.StatusOK) != row.again {
			t.Errorf("%s: then the genuine answer: %d %s", name, p.status, p.body)
		}
	}
}

func TestAnAnswerIsForOneSignInOfOneBrowserOnceAndInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	victim, attacker := w.browser(t), w.browser(t)
	back := attacker.choose(attacker.get("/signin?to=/t/meadowbank"), "otto")
	shows(t, "in another browser", victim.get(back), http.StatusBadRequest, "This sign-in is over")
	shows(t, "in its own", attacker.follow(attacker.get(back)), http.StatusOK, "Otto")
	shows(t, "a second time", attacker.get(back), http.StatusBadRequest, "This sign-in is over")

	// The code of one sign-in with the state of another: its verifier and its nonce are not this one's.
	one, two := victim.get("/signin?to=/t/meadowbank"), victim.get("/signin?to=/t/meadowbank/requests/1")
	first, err := url.Parse(victim.choose(one, "grace"))
	must(t, err)
	second, err := url.Parse(victim.choose(two, "otto"))
	must(t, err)
	q := first.Query()
	q.Set("code", second.Query().Get("code"))
	first.RawQuery = q.Encode()
	shows(t, "codes exchanged", victim.get(first.String()), http.StatusForbidden, "does not sign you in")

	late := w.browser(t)
	back = late.choose(late.get("/signin?to=/t/meadowbank"), "otto")
	w.after(10 * time.Minute)
	shows(t, "too late", late.get(back), http.StatusBadRequest, "This sign-in is over")
	for who, b := range map[string]*browser{"the victim": victim, "who is late": late} {
		if b.session() != nil {
			t.Errorf("%s is signed in", who)
		}
	}
}

func TestACookieThatSomebodyPlantedLeadsNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser(t)
	back := b.choose(b.get("/signin?to=/t/meadowbank"), "otto")
	u, err := url.Parse(w.url)
	must(t, err)
	for _, c := range b.Jar.Cookies(u) {
		if strings.HasPrefix(c.Name, "lockbox-signin-") {
			for _, value := range []string{"", "x", "e30", "bnVsbA"} {
				b.Jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Value: value}})
				shows(t, value, b.get(back), http.StatusBadRequest, "This sign-in is over")
			}
		}
	}
}

func TestSigningInBeginsASessionThatNobodyKnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser(t)
	u, err := url.Parse(w.url)
	must(t, err)
	planted := strings.Repeat("x", 43)
	b.Jar.SetCookies(u, []*http.Cookie{{Name: "lockbox-session", Value: planted}})
	b.signIn("otto", "/t/meadowbank")
	first := b.session()
	if first == nil || first.Value == planted {
		t.Fatalf("%v", first)
	}
	b.signIn("lena", "/provider") // to another organisation
	shows(t, "now", b.get("/provider"), http.StatusOK, "Lena Lang")
	shows(t, "where they are not signed in any more", b.get("/t/meadowbank"), http.StatusNotFound, "There is nothing here")
	for name, value := range map[string]string{"planted": planted, "of before": first.Value} {
		other := w.browser(t)
		other.Jar.SetCookies(u, []*http.Cookie{{Name: "lockbox-session", Value: value}})
		for _, at := range []string{"/t/meadowbank", "/provider"} {
			if p := other.get(at); p.status != http.StatusSeeOther || !strings.HasPrefix(p.location, "/signin?") {
				t.Errorf("%s: %d %s", name, p.status, p.body)
			}
		}
	}
}

func TestSigningOutIsForEveryCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser(t)
	b.signIn("otto", "/t/meadowbank")
	kept := b.session()
	w.active.Store(1)
	p := b.post("/signout", nil, "/t/meadowbank")
	shows(t, "out", p, http.StatusOK, "You may still be signed in at Meadow Bank itself")
	if b.session() != nil || strings.Contains(p.body, "Otto") {
		t.Errorf("%v %s", b.session(), p.body)
	}
	u, err := url.Parse(w.url)
	must(t, err)
	b.Jar.SetCookies(u, []*http.Cookie{kept})
	for i := range w.copies {
		w.active.Store(int32(i))
		if p := b.get("/t/meadowbank"); p.status != http.StatusSeeOther {
			t.Errorf("copy %d: %d %s", i, p.status, p.body)
		}
	}
	shows(t, "out again", b.post("/signout", nil, ""), http.StatusOK, "You are signed out")
	shows(t, "out, in French", b.get("/signout?lang=fr"), http.StatusOK, "Déconnexion effectuée")
	b.signIn("otto", "/t/meadowbank")
	shows(t, "a link does not sign out", b.follow(b.get("/signout")), http.StatusOK, "Otto")
}

func TestTabsDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser(t)
	one, two := b.get("/signin?to=/t/meadowbank/requests/1"), b.get("/signin?to=/t/meadowbank/requests/2")
	backOne, backTwo := b.choose(one, "otto"), b.choose(two, "otto")
	shows(t, "the second", b.follow(b.get(backTwo)), http.StatusOK, "Otto Owens of Meadow Bank, /t/meadowbank/requests/2")
	shows(t, "the first", b.follow(b.get(backOne)), http.StatusOK, "Otto Owens of Meadow Bank, /t/meadowbank/requests/1")

	var backs []string
	for range 7 { // each could be as large as can be
		leaving := b.get("/signin?" + url.Values{"to": {"/t/meadowbank/requests/1?a=" + strings.Repeat("x", 2000)}}.Encode())
		backs = append(backs, b.choose(leaving, "otto"))
		w.after(time.Second)
	}
	for i, back := range backs {
		p := b.follow(b.get(back))
		if want := i >= 2; (p.status == http.StatusOK) != want {
			t.Errorf("tab %d: %d %s", i, p.status, p.at)
		}
	}
}

func TestAnIssuerThatIsDownHoldsUpItsOwnPeopleOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser(t)
	w.down.Store(true)
	p := b.get("/signin?to=/t/meadowbank/requests/7")
	shows(t, "down", p, http.StatusServiceUnavailable, "The sign-in of Meadow Bank cannot be reached")
	shows(t, "down, by address", b.post("/signin", url.Values{"email": {"grace@meadowbank.example"}}, ""),
		http.StatusServiceUnavailable, "cannot be reached")
	w.down.Store(false)
	shows(t, "another", b.get("/signin?to=/t/sakura"), http.StatusOK, "sign-in of Sakura Health")
	w.after(5 * time.Second)
	leaving := b.get(link(t, p, mainLink))
	shows(t, "up again", leaving, http.StatusOK, "sign-in of Meadow Bank")
	back := b.choose(leaving, "otto")
	w.down.Store(true)
	shows(t, "down in between", b.get(back), http.StatusServiceUnavailable, "cannot be reached")
	if b.session() != nil {
		t.Error("somebody is signed in")
	}
}

func TestWithoutTheBusNobodyIsSignedInOrOut(t *testing.T) {
	t.Parallel()
	w := newWorldOn(t, journaltest.Start(t, 1))
	b, other := w.browser(t), w.browser(t)
	b.signIn("otto", "/t/meadowbank")
	back := other.choose(other.get("/signin?to=/t/meadowbank"), "grace")
	w.bus.Stop()
	shows(t, "looking", b.get("/t/meadowbank"), http.StatusServiceUnavailable, "Not available right now")
	shows(t, "signing out", b.post("/signout", nil, ""), http.StatusServiceUnavailable, "Not available right now")
	shows(t, "signing in", other.get(back), http.StatusServiceUnavailable, "Not available right now")
	shows(t, "beginning to", w.browser(t).get("/signin?to=/t/meadowbank"), http.StatusOK, "sign-in of Meadow Bank")
	if b.session() == nil || other.session() != nil {
		t.Errorf("%v, %v", b.session(), other.session())
	}
}

// Else a sign-in that the services do not take would go round and round.
func TestWhoHasJustSignedInAndIsNotAcceptedIsToldSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.Queries = map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
		"get_self": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return nil, refusal.Because(refusal.Unauthenticated("token", "R13", "is of an issuer that nobody knows"),
				reason.Of(lockboxv1.ReasonCode_REASON_CODE_TOKEN_ISSUER_NOT_TRUSTED))
		},
	}
	b := w.browser(t)
	leaving := b.get("/signin?to=/t/meadowbank/asks")
	p := b.follow(b.get(b.choose(leaving, "otto")))
	shows(t, "just now", p, http.StatusUnauthorized, "not trusted here")
	for lang, want := range map[string]string{"fr": "n’est pas reconnu ici", "ja": "ここでは信頼されていません"} {
		page := b.get("/t/meadowbank/asks?lang=" + lang)
		if shows(t, lang, page, http.StatusUnauthorized, want); strings.Contains(page.body, "nobody knows") {
			t.Errorf("in %s it is said in English: %s", lang, page.body)
		}
	}
	w.after(time.Minute)
	if p := b.get("/t/meadowbank/asks"); p.status != http.StatusSeeOther ||
		p.location != "/signin?to=%2Ft%2Fmeadowbank%2Fasks" {
		t.Errorf("later: %d %s", p.status, p.location)
	}
}
