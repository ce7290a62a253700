package portal_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func chromedpBool(expression string) chromedp.Action[bool] {
	return chromedp.Evaluate[bool](expression)
}

// token is what a program of a persona's holds.
func (w *world) token(persona string) string {
	w.Helper()
	token, err := w.person(persona).Token(w.Context())
	must(w, err)
	return token
}

// issuer is the address of a tenant's.
func (w *world) issuer(tenant string) string {
	w.Helper()
	var claims struct {
		Issuer string `json:"iss"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(w.token(map[string]string{bank: "grace",
		health: "hana"}[tenant]), ".")[1])
	must(w, err)
	must(w, json.Unmarshal(payload, &claims))
	return claims.Issuer
}

// asks sends one request; a body is JSON. It follows nothing.
func (w *world) asks(
	t *testing.T, client *http.Client, method, path, token string, body ...string,
) (visitor.Answer, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.info.PortalURL+path,
		strings.NewReader(strings.Join(body, "")))
	must(t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	follow := *client
	follow.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := visitor.Read(&follow, r)
	must(t, err)
	return answer, answer.Body
}

// calls are all that programs can look at and do about a place in a tenant; those of Azure name no tenant.
func calls(tenant string, p place) (looks, acts []string) {
	const azure = "/providers/Microsoft.CustomerLockbox"
	own, sub := "/lockbox/v1", "/subscriptions/"+p.subscription
	looks = []string{
		own + "/self?tenant=" + tenant, own + "/requests?tenant=" + tenant + "&count=true", own + "/requests/" + p.request +
			"?tenant=" + tenant, own + "/activity?tenant=" + tenant,
		own + "/approvers?subscriptionId=" + p.subscription + "&tenant=" + tenant, azure + "/tenantOptedIn/" + tenant +
			"?api-version=2018-02-28-preview",
		sub + azure + "/requests", sub + azure + "/requests/LockboxRequest_" + p.request + "?api-version=2018-02-28-preview",
		sub + "/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter=" +
			url.QueryEscape("eventTimestamp ge '2020-01-01T00:00:00Z'"),
	}
	for _, verb := range []string{"approve", "deny", "revoke", "ask", "answer", "withdraw", "release", "internal-approve",
		"internal-refuse"} {
		acts = append(acts, own+"/requests/"+p.request+"/"+verb+"?tenant="+tenant)
	}
	return looks, append(acts, sub+azure+"/requests/"+p.request+"/updateApproval?api-version=2018-02-28-preview")
}

func bodyOf(path string) string {
	for verb, body := range map[string]string{
		"/ask?": `{"text": "x"}`, "/answer?": `{"questionId": "019b0000-0000-7000-8000-000000000001", "text": "x"}`,
		"/internal-approve?": `{"comment": "x"}`,
		"/updateApproval?":   `{"status": "Approve", "reason": "x"}`,
	} {
		if strings.Contains(path, verb) {
			return body
		}
	}
	return `{"reason": "x"}`
}

// Everything that programs can call, for every role, about their own tenant and another: nothing foreign is there, not
// a byte of it, and looking changes nothing (I9).
func TestEveryCallForEveryRole(t *testing.T) {
	t.Parallel()
	w := start(t)
	secret := intent()
	secret.Tenant, secret.SubscriptionId, secret.TicketId = health, demo.HealthClinic, demo.HealthTicket
	secret.ResourceIds = []string{demo.Machine(demo.HealthClinic, "booking-secret")}
	secret.Justification = "The booking database is slow; shibboleth."
	of := map[string]place{
		bank:   {request: w.requested("erin", intent(), request.CustomerNotified), subscription: demo.BankProduction},
		health: {request: w.requested("bob", secret, request.CustomerNotified), subscription: demo.HealthClinic},
	}
	w.does("onboarding", &lockboxv1.Command{Tenant: health, AggregateId: "sakura-new",
		Action: &lockboxv1.Command_RegisterSubscription{
			RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: "同じ名前"}}})
	foreignBytes := []string{"shibboleth", "booking-secret", "Sakura", "診療システム", "同じ名前", "田中", "佐藤", "kenji@", "予約"}
	before := w.settled()
	for _, r := range roles {
		t.Run(r.name, func(t *testing.T) {
			token, provider := w.token(r.persona), r.own == "/provider"
			for tenant, p := range of {
				looks, acts := calls(tenant, p)
				for _, path := range looks {
					for _, method := range []string{http.MethodGet, http.MethodHead} {
						answer, body := w.asks(t, http.DefaultClient, method, path, token)
						switch {
						case answer.Status >= 500 || answer.Status == http.StatusUnauthorized:
							t.Errorf("%s %s: %d %s", method, path, answer.Status, body)
						case !provider && tenant == health && answer.Status != http.StatusNotFound:
							t.Errorf("foreign %s %s: %d", method, path, answer.Status)
						}
						if r.persona != "olga" {
							clean(t, path, body, foreignBytes)
						}
						if answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("X-Content-Type-Options") != "nosniff" ||
							answer.Header.Get("Content-Security-Policy") == "" ||
							answer.Header.Get("Access-Control-Allow-Origin") != "" || answer.Header.Get("Server") != "" {
							t.Errorf("%s: %v", path, answer.Header)
						}
					}
					for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, "PROPFIND"} {
						if answer, _ := w.asks(t, http.DefaultClient, method, path, token,
							"{}"); answer.Status != http.StatusMethodNotAllowed {
							t.Errorf("%s %s: %d", method, path, answer.Status)
						}
					}
				}
				for _, path := range acts {
					if tenant == health && !provider {
						answer, body := w.asks(t, http.DefaultClient, http.MethodPost, path, token, bodyOf(path))
						if answer.Status != http.StatusNotFound {
							t.Errorf("foreign %s: %d", path, answer.Status)
						}
						clean(t, path, body, foreignBytes)
						// The same under the own tenant's name.
						answer, body = w.asks(t, http.DefaultClient, http.MethodPost,
							strings.Replace(path, "tenant="+health, "tenant="+bank, 1), token, bodyOf(path))
						if answer.Status != http.StatusNotFound {
							t.Errorf("foreign %s as if of the own tenant: %d", path, answer.Status)
						}
						clean(t, path, body, foreignBytes)
					}
					if answer, _ := w.asks(t, http.DefaultClient, http.MethodGet, path,
						token); answer.Status != http.StatusMethodNotAllowed {
						t.Errorf("GET %s: %d", path, answer.Status)
					}
				}
			}
		})
	}
	hana := w.token("hana")
	sub := "/subscriptions/" + demo.BankProduction + "/providers/Microsoft.CustomerLockbox/requests"
	if answer, body := w.asks(t, http.DefaultClient, http.MethodGet, sub, hana); answer.Status != http.StatusNotFound ||
		strings.Contains(body, of[bank].request) {
		t.Errorf("another's subscription: %d %s", answer.Status, body)
	}
	for _, id := range []string{of[bank].request, "LockboxRequest_" + of[bank].request, "lockboxrequest_" +
		strings.ToUpper(of[bank].request), "LockboxRequest_LockboxRequest_" + of[health].request, "LockboxRequest_",
		"%2e%2e"} {
		if answer, body := w.asks(t, http.DefaultClient, http.MethodGet, sub+"/"+id+"?api-version=2018-02-28-preview",
			hana); answer.Status != http.StatusNotFound {
			t.Errorf("%s in a subscription of the same id: %d %s", id, answer.Status, body)
		}
		if answer, body := w.asks(t, http.DefaultClient, http.MethodPost,
			sub+"/"+id+"/updateApproval?api-version=2018-02-28-preview", hana,
			`{"status": "Approve"}`); answer.Status != http.StatusNotFound {
			t.Errorf("%s approved in a subscription of the same id: %d %s", id, answer.Status, body)
		}
	}
	if after := w.settled(); after != before {
		t.Errorf("%d events were written", after-before)
	}
}

// Tokens that are nearly good.
func TestTokensThatAreNearlyGood(t *testing.T) {
	t.Parallel()
	w := visit(t)
	good := w.token("otto")
	parts := strings.Split(good, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	enc := base64.RawURLEncoding.EncodeToString
	with := func(old, replacement string) string {
		changed := strings.Replace(string(payload), old, replacement, 1)
		if changed == string(payload) {
			t.Fatalf("%s holds no %s", payload, old)
		}
		return parts[0] + "." + enc([]byte(changed)) + "." + parts[2]
	}
	other := strings.Split(w.token("grace"), ".")
	for name, token := range map[string]string{
		"alg none":                  enc([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"alg none, signed":          enc([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2],
		"alg HS256":                 enc([]byte(`{"alg":"HS256","kid":"1"}`)) + "." + parts[1] + "." + parts[2],
		"somebody else's signature": parts[0] + "." + parts[1] + "." + other[2],
		"iss with a slash":          with(w.issuer(bank), w.issuer(bank)+"/"),
		"iss of another tenant":     with(w.issuer(bank), w.issuer(health)),
		"sub of somebody else":      with(`"sub":"otto"`, `"sub":"grace"`),
		"sub twice":                 with(`"sub":"otto"`, `"sub":"otto","sub":"grace"`),
		"Sub besides sub":           with(`"sub":"otto"`, `"Sub":"grace","sub":"otto"`),
		"no signature":              parts[0] + "." + parts[1] + ".",
		"four parts":                good + ".x",
		"two parts":                 parts[0] + "." + parts[1],
		"too long":                  good + strings.Repeat("A", 17<<10),
		"blank within":              good[:len(good)-4] + " " + good[len(good)-4:],
	} {
		for _, path := range []string{"/lockbox/v1/self", "/lockbox/v1/self?after=99999999", "/subscriptions/" +
			demo.BankProduction + "/providers/Microsoft.CustomerLockbox/requests"} {
			answer, body := w.asks(t, http.DefaultClient, http.MethodGet, path, token)
			// before anybody has looked at it
			waits := strings.Contains(path, "after") && answer.Status == http.StatusServiceUnavailable
			if answer.Status != http.StatusUnauthorized && !waits || strings.Contains(body, "Otto") {
				t.Errorf("%s at %s: %d %s", name, path, answer.Status, body)
			}
		}
	}
	// Who is signed in with a browser is nobody to programs' calls.
	client, err := visitor.SignIn(t.Context(), w.info.PortalURL+"/t/"+bank, "otto")
	must(t, err)
	if answer, _ := w.asks(t, client, http.MethodGet, "/lockbox/v1/self", ""); answer.Status != http.StatusUnauthorized {
		t.Errorf("a cookie: %d", answer.Status)
	}
	if answer, _ := w.asks(t, http.DefaultClient, http.MethodGet, "/t/"+bank, good); answer.Status != http.StatusSeeOther {
		t.Errorf("a token to a page: %d", answer.Status)
	}
}

// No address that somebody else wrote leads away.
func TestNothingLeadsAway(t *testing.T) {
	t.Parallel()
	w := visit(t)
	otto, err := visitor.SignIn(t.Context(), w.info.PortalURL+"/t/"+bank, "otto")
	must(t, err)
	targets := []string{
		"//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, "/%2f%2fevil.example", "/%5cevil.example",
		"https:evil.example", "https://evil.example/t/" + bank,
		"javascript:alert(1)//evil.example", "/t/" + bank + "@evil.example", "/t/" + bank + "//evil.example", "/t/" + bank +
			"/../..//evil.example", "/t/" + bank + "/%2e%2e/%2e%2e//evil.example",
		"/\t/evil.example", "/t/" + bank + "\r\nLocation: https://evil.example", "\x00//evil.example", " //evil.example",
		"//evil.example/t/" + bank, "/provider.evil.example", "http:///evil.example",
	}
	leads := func(what string, answer visitor.Answer) {
		if at := answer.Header.Get("Location"); at != "" &&
			(!strings.HasPrefix(at, "/") || strings.HasPrefix(at, "//") || strings.HasPrefix(at, `/\`)) {
			t.Errorf("%s: leads to %q", what, at)
		}
		for _, attribute := range []string{`href="`, `action="`, `url=`, `data-live="`} {
			for _, away := range []string{"//evil", "///evil", `/\evil`, `\`, "https:evil", "https://evil", "javascript:"} {
				if strings.Contains(answer.Body, attribute+away) {
					t.Errorf("%s: the page has %s%s", what, attribute, away)
				}
			}
		}
	}
	for _, to := range targets {
		for _, client := range []*http.Client{http.DefaultClient, otto} {
			for _, path := range []string{"/signin?to=", "/signin?again=1&to=", "/callback?state=x&to=", "/signout?to=", "/?to=",
				"/t/" + bank + "?to=", "/t/" + bank + "/requests?page="} {
				answer, _ := w.asks(t, client, http.MethodGet, path+url.QueryEscape(to), "")
				leads(path+to, answer)
			}
		}
		if path, err := url.Parse(to); err == nil && path.Host == "" || strings.HasPrefix(to, "//") {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				conn := &http.Client{}
				r, err := http.NewRequestWithContext(t.Context(), method, w.info.PortalURL, nil)
				must(t, err)
				r.URL.Opaque = "" // the path goes out as it stands
				r.URL.Path, r.URL.RawPath = to, ""
				if !strings.HasPrefix(to, "/") {
					continue
				}
				conn.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				r.Header.Set("Sec-Fetch-Site", "cross-site")
				answer, err := visitor.Read(conn, r)
				must(t, err)
				leads(method+" "+to, answer)
			}
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.info.PortalURL+"/t/"+bank+"/requests/x/deny",
			strings.NewReader(""))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Referer", w.info.PortalURL+strings.NewReplacer("\t", "", "\r\n", "", "\x00", "").Replace(to))
		answer, err := visitor.Read(http.DefaultClient, r)
		must(t, err)
		leads("from "+to, answer)
	}
}

// A session's cookie is worth nothing once its owner has signed out or in again, and was never anybody else's to
// choose.
func TestAStolenCookieEndsWithTheSession(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	w := startLogging(t, zap.New(core))
	at, err := url.Parse(w.info.PortalURL)
	must(t, err)
	page := "/t/" + bank
	otto, err := visitor.SignIn(t.Context(), w.info.PortalURL+page, "otto")
	must(t, err)
	session := func() string {
		for _, c := range otto.Jar.Cookies(at) {
			if c.Name == "lockbox-session" {
				return c.Value
			}
		}
		return ""
	}
	stolen := func(value string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.info.PortalURL+page, nil)
		must(t, err)
		r.AddCookie(&http.Cookie{Name: "lockbox-session", Value: value})
		thief := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		answer, err := visitor.Read(thief, r)
		must(t, err)
		return answer.Status
	}
	first := session()
	if first == "" || stolen(first) != http.StatusOK {
		t.Fatalf("the cookie %q is not the session: %d", first, stolen(first))
	}
	if got := stolen("planted"); got != http.StatusSeeOther {
		t.Errorf("a planted cookie: %d", got)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.info.PortalURL+"/signout", strings.NewReader(""))
	must(t, err)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	_, err = visitor.Read(otto, r)
	must(t, err)
	if got := stolen(first); got != http.StatusSeeOther {
		t.Errorf("after signing out: %d", got)
	}
	w.requested("erin", intent(), request.CustomerNotified)
	w.mail("otto@meadowbank.example", "memory dump")
	token := w.token("grace")
	w.asks(t, http.DefaultClient, http.MethodGet, "/lockbox/v1/self", token)
	w.asks(t, http.DefaultClient, http.MethodGet, "/lockbox/v1/self", token+"x")
	w.asks(t, http.DefaultClient, http.MethodGet, "/callback?state=s3cret-state&code=s3cret-code", "")
	secrets := map[string]string{"a cookie": first, "a token": token, "any token": "eyJ", "a code": "s3cret",
		"a mail": "The machine hangs"}
	for _, entry := range logs.All() {
		line, err := json.Marshal(entry.ContextMap())
		must(t, err)
		for what, bytes := range secrets {
			if strings.Contains(entry.Message+string(line), bytes) {
				t.Errorf("the log holds %s: %s %s", what, entry.Message, line)
			}
		}
	}
	if logs.Len() == 0 {
		t.Error("nothing is logged at all")
	}
}
