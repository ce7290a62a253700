package requests_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
)

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// carried is what the form on a page, the one that is sent there, sends by itself.
func carried(t *testing.T, page, to string) url.Values {
	t.Helper()
	_, form, found := strings.Cut(page, `action="`+to+`"`)
	if !found {
		t.Fatalf("there is no form that is sent to %s", to)
	}
	form, _, _ = strings.Cut(form, "</form>")
	values := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(form, -1) {
		values.Add(m[1], html.UnescapeString(m[2]))
	}
	return values
}

// onward sends what was typed to a page that does not decide, and returns the page to which it leads.
func onward(t *testing.T, h http.Handler, to string, values url.Values) string {
	t.Helper()
	sent := sitetest.Post(h, to, values)
	if sent.Code != http.StatusSeeOther || strings.Contains(sent.Header().Get("Location"), "?") {
		t.Fatalf("%d to %s", sent.Code, sent.Header().Get("Location"))
	}
	return restored(t, h, sent.Header().Get("Location"), sent.Result().Cookies())
}

// restored is a page as a browser with these cookies gets it.
func restored(t *testing.T, h http.Handler, path string, cookies []*http.Cookie) string {
	t.Helper()
	r, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
	for _, c := range cookies {
		r.AddCookie(c)
	}
	if h.ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Fatalf("%s: %d", path, w.Code)
	}
	wellMade(t, path, w.Body.String())
	return w.Body.String()
}

var done = &lockboxv1.CommandReply{Sequence: 77}

// only is the one command that was given.
func (w *world) only(t *testing.T) *lockboxv1.Command {
	t.Helper()
	if len(w.Done) != 1 {
		t.Fatalf("%d commands were given", len(w.Done))
	}
	return w.Done[0]
}

func same(t *testing.T, got, want *lockboxv1.Command) {
	t.Helper()
	if err := input.UUIDv7("id", got.GetId()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(got, "id")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFromTheRequestToAnApprovalAsAskedForInTwoSteps(t *testing.T) {
	w := newWorld(otto, alone()).answers("approve", done, nil)
	h, at := w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump
	link := regexp.MustCompile(`href="(` + at +
		`/approve/confirm\?[^"]+)"`).FindStringSubmatch(get(t, h, at, http.StatusOK))
	if link == nil {
		t.Fatal("the request does not lead to its confirmation")
	}
	confirm := get(t, h, html.UnescapeString(link[1]), http.StatusOK)
	has(t, confirm, "permission for a memory dump of payments-1 and payments-2: for 8 hours, from the moment you approve",
		"Allow less, or add a reason")
	if sent := sitetest.Post(h, at+"/approve", carried(t, confirm, at+"/approve")); sent.Code != http.StatusSeeOther {
		t.Errorf("%d", sent.Code)
	}
	same(t, w.only(t), &lockboxv1.Command{Tenant: "meadowbank", AggregateId: memoryDump, SeenVersion: 3,
		Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{
			Duration: durationpb.New(8 * time.Hour), ResourceIds: []string{payments + "1", payments + "2"},
		}}})
}

func TestAnApprovalMayAllowLess(t *testing.T) {
	w := newWorld(otto, alone()).answers("approve", done, nil)
	h, at := w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump
	form := get(t, h, at+"/approve", http.StatusOK)
	has(t, form, "8 hours (as asked for)", "4 hours", "15 minutes", payments+"1")
	values := carried(t, form, at+"/approve/confirm")
	values["duration"], values["resource"], values["reason"] = []string{"4h0m0s"}, []string{"2"},
		[]string{"One is enough."}

	confirm := onward(t, h, at+"/approve/confirm", values)
	has(t, confirm, "You give Erin Ellis of Nimbus Cloud permission for a memory dump of payments-2: for 4 hours, from the moment you approve, and you can revoke it at any time.",
		"Not allowed payments-1", "One is enough.", "Approve now")
	if len(w.Done) != 0 {
		t.Fatal("looking at it decided it")
	}
	sent := sitetest.Post(h, at+"/approve", carried(t, confirm, at+"/approve"))
	if to := sent.Header().Get("Location"); sent.Code != http.StatusSeeOther || to != at+"?after=77" {
		t.Errorf("%d to %s", sent.Code, to)
	}
	same(t, w.only(t), &lockboxv1.Command{Tenant: "meadowbank", AggregateId: memoryDump, SeenVersion: 3,
		Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{
			Reason: "One is enough.", Duration: durationpb.New(4 * time.Hour), ResourceIds: []string{payments + "2"},
		}}})
}

func TestTheConfirmationSpeaksTheReadersLanguage(t *testing.T) {
	h := newWorld(otto, alone()).portal(t, sitetest.Otto())
	for language, want := range map[string]string{
		"fr": "Vous accordez à Erin Ellis (Nimbus Cloud) l’autorisation suivante : un vidage de la mémoire de payments-1 et payments-2, pendant 8 heures à compter de votre approbation, et vous pouvez la révoquer à tout moment.",
		"ja": "Erin Ellis（Nimbus Cloud）に、payments-1、payments-2 のメモリ ダンプの取得を、承認した時点から 8 時間許可します（いつでも取り消せます）。",
	} {
		path := "/requests/" + memoryDump + "/approve/confirm?seen=3&duration=8h&resource=1&resource=2&lang=" + language
		has(t, get(t, h, bank+path, http.StatusOK), want)
	}
}

func TestAConfirmationOfNothingIsTheForm(t *testing.T) {
	page := get(t, newWorld(otto, alone()).portal(t, sitetest.Otto()),
		bank+"/requests/"+memoryDump+"/approve/confirm?lang=fr", http.StatusOK)
	if has(t, page, "Approuver cette demande", "Continuer"); strings.Count(page, " checked") != 3 {
		t.Error("it is not as it was asked for")
	}
}

func TestWithOthersApprovalsTheLeastIsSaid(t *testing.T) {
	v := pending()
	v.Lockbox.RequiredApprovals = 4
	v.CustomerDecisions[0].ResourceIds = []string{payments + "1"}
	page := get(t, newWorld(otto, v).portal(t, sitetest.Otto()),
		bank+"/requests/"+memoryDump+"/approve/confirm?seen=6&duration=8h&resource=1&resource=2", http.StatusOK)
	has(t, page, "a memory dump of payments-1: for 2 hours, from the moment 2 more people approve",
		"Others allowed less than you do.")
}

func TestEachFormBecomesItsCommand(t *testing.T) {
	for _, row := range []struct {
		who  *session.Session
		view *lockboxv1.RequestView
		verb string
		path string
		form url.Values
		want *lockboxv1.Command
	}{
		{sitetest.Otto(), alone(), "deny", "deny", url.Values{"reason": {" Not during\r\nthe audit. "}},
			&lockboxv1.Command{SeenVersion: 3,
				Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: "Not during\nthe audit."}}}},
		{sitetest.Otto(), active(), "revoke", "revoke", url.Values{"reason": {"done"}},
			&lockboxv1.Command{Action: &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: "done"}}}},
		{sitetest.Otto(), alone(), "ask", "ask", url.Values{"reason": {"Both?"}},
			&lockboxv1.Command{Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "Both?"}}}},
		{sitetest.Lena(), alone(), "answer", "answer", url.Values{"reason": {"Yes."}, "question": {"q-1"}},
			&lockboxv1.Command{Action: &lockboxv1.Command_Answer{Answer: &lockboxv1.Answer{QuestionId: "q-1", Text: "Yes."}}}},
		{sitetest.Lena(), alone(), "withdraw", "withdraw", url.Values{},
			&lockboxv1.Command{Action: &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{}}}},
		{sitetest.Lena(), active(), "release", "release", url.Values{"reason": {"done"}},
			&lockboxv1.Command{Action: &lockboxv1.Command_Release{Release: &lockboxv1.Release{Reason: "done"}}}},
		{sitetest.Lena(), alone(), "internal_approve", "internal/approve", url.Values{"reason": {"fine"}},
			&lockboxv1.Command{SeenVersion: 3,
				Action: &lockboxv1.Command_InternalApprove{InternalApprove: &lockboxv1.InternalApprove{Comment: "fine"}}}},
		{sitetest.Lena(), alone(), "internal_refuse", "internal/refuse", url.Values{"reason": {"no"}},
			&lockboxv1.Command{SeenVersion: 3,
				Action: &lockboxv1.Command_InternalRefuse{InternalRefuse: &lockboxv1.InternalRefuse{Reason: "no"}}}},
	} {
		row.view.Allowed = []string{row.verb}
		w := newWorld(otto, row.view).answers(row.verb, done, nil)
		at := bank + "/requests/" + memoryDump
		if row.who.Tenant == "" {
			at = "/provider/requests/" + memoryDump
		}
		h := w.portal(t, row.who)
		values := carried(t, get(t, h, at+"/"+row.path, http.StatusOK), at+"/"+row.path)
		for name, v := range row.form {
			values[name] = v
		}
		if sent := sitetest.Post(h, at+"/"+row.path, values); sent.Code != http.StatusSeeOther ||
			sent.Header().Get("Location") != at+"?after=77" {
			t.Errorf("%s: %d to %s", row.verb, sent.Code, sent.Header().Get("Location"))
		}
		row.want.Tenant, row.want.AggregateId = "meadowbank", memoryDump
		if got := w.only(t); bus.Verb(got) != row.verb {
			t.Errorf("%s became %s", row.verb, bus.Verb(got))
		}
		same(t, w.only(t), row.want)
	}
}

func TestAFormSentTwiceIsOneCommand(t *testing.T) {
	w := newWorld(otto, alone()).answers("deny", done, nil)
	h, at := w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump+"/deny"
	values := carried(t, get(t, h, at, http.StatusOK), at)
	values.Set("reason", "no")
	for range 2 {
		if sent := sitetest.Post(h, at, values); sent.Code != http.StatusSeeOther {
			t.Errorf("%d", sent.Code)
		}
	}
	if len(w.Done) != 2 || w.Done[0].GetId() != w.Done[1].GetId() {
		t.Error("the services cannot tell that it is one decision")
	}
	if other := carried(t, get(t, h, at, http.StatusOK), at); other.Get("command") == values.Get("command") {
		t.Error("another visit is the same command")
	}
}

const anID7 = "019e1b50-0000-7000-8000-000000000001"

func TestWhatIsNotRightIsSaidNextToTheField(t *testing.T) {
	ok := func(change func(url.Values)) url.Values {
		v := url.Values{"seen": {"3"}, "command": {anID7}, "duration": {"8h0m0s"}, "resource": {"1", "2"}, "reason": {"fine"}}
		change(v)
		return v
	}
	for name, row := range map[string]struct {
		verb, field, want string
		form              url.Values
	}{
		"too long a time": {"approve", "duration", "Choose a duration of at most 8 hours.",
			ok(func(v url.Values) { v.Set("duration", "8h0m1s") })},
		"no time": {"approve", "duration", "Choose a duration",
			ok(func(v url.Values) { v.Set("duration", "0s") })},
		"what is no time": {"approve", "duration", "Choose a duration",
			ok(func(v url.Values) { v.Set("duration", "for ever") })},
		"an endless time": {"approve", "duration", "Choose a duration",
			ok(func(v url.Values) { v.Set("duration", "9999999999h") })},
		"no resource": {"approve", "resource", "Choose at least one of the resources",
			ok(func(v url.Values) { v.Del("resource") })},
		"a resource twice": {"approve", "resource", "Choose at least one",
			ok(func(v url.Values) { v["resource"] = []string{"1", "1"} })},
		"another resource": {"approve", "resource", "Choose at least one",
			ok(func(v url.Values) { v["resource"] = []string{"1", "3"} })},
		"what is no resource": {"approve", "resource", "Choose at least one",
			ok(func(v url.Values) { v["resource"] = []string{payments + "1"} })},
		"a long reason": {"approve", "reason", "Write at most 500 characters.",
			ok(func(v url.Values) { v.Set("reason", strings.Repeat("花", 501)) })},
		"a reason that nobody sees": {"deny", "reason", "Write something here.",
			ok(func(v url.Values) { v.Set("reason", "\u202e\u200b") })},
		"no reason to deny": {"deny", "reason", "Write something here.",
			ok(func(v url.Values) { v.Set("reason", " \r\n ") })},
		"no question":             {"ask", "reason", "Write something here.", ok(func(v url.Values) { v.Del("reason") })},
		"no reason in the answer": {"deny", "reason", "Write something here.", ok(func(v url.Values) { v.Del("reason") })},
	} {
		w := newWorld(otto, alone()).answers(row.verb, done, nil)
		h, at := w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump+"/"+row.verb
		sent := sitetest.Post(h, at, row.form)
		if sent.Code != http.StatusBadRequest || len(w.Done) != 0 {
			t.Errorf("%s: %d, %d commands", name, sent.Code, len(w.Done))
		}
		wellMade(t, name, sent.Body.String())
		has(t, sent.Body.String(), "Something is not right yet. Nothing was sent.", row.want)
		if !strings.Contains(sent.Body.String(), `id="`+row.field+`-wrong"`) ||
			!strings.Contains(sent.Body.String(), `href="#`+row.field+`"`) {
			t.Errorf("%s: it is not said at %s", name, row.field)
		}
		if row.verb == "approve" {
			if sent := sitetest.Post(h, at+"/confirm", row.form); sent.Code != http.StatusBadRequest {
				t.Errorf("%s: it is confirmed: %d", name, sent.Code)
			}
		}
	}
}

func TestApprovalsThatHaveNothingInCommonAreRefusedBeforeTheyAreSent(t *testing.T) {
	v := pending()
	v.CustomerDecisions[0].ResourceIds = []string{payments + "1"}
	page := get(t, newWorld(otto, v).portal(t, sitetest.Otto()),
		bank+"/requests/"+memoryDump+"/approve/confirm?seen=6&duration=8h&resource=2", http.StatusBadRequest)
	has(t, page, "Nothing would be left to allow")

	v.CustomerDecisions[0].ResourceIds = []string{strings.ToUpper(payments+"2") + "/"} // the same in other letters
	get(t, newWorld(otto, v).portal(t, sitetest.Otto()),
		bank+"/requests/"+memoryDump+"/approve/confirm?seen=6&duration=8h&resource=2", http.StatusOK)
}

// What was typed is kept for the page, and is in no address: an address is in histories and proxies' logs.
func TestWhatWasFilledInIsThereAgain(t *testing.T) {
	h, at := newWorld(otto, alone()).portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump
	page := onward(t, h, at+"/approve/edit", url.Values{"seen": {"3"}, "duration": {"4h0m0s"}, "resource": {"2"},
		"reason": {"One is <enough>"}})
	for _, part := range []string{`name="duration" value="4h0m0s" checked>`, `value="2" checked`,
		`One is &lt;enough&gt;</textarea>`} {
		if !strings.Contains(page, part) {
			t.Errorf("%s is not there", part)
		}
	}
	if strings.Contains(page, `value="1" checked`) {
		t.Error("what was left out is back")
	}
	if page := onward(t, h, at+"/deny/edit", url.Values{"seen": {"3"}, "reason": {"Later"}}); !strings.Contains(page,
		"Later</textarea>") {
		t.Error("the reason is gone")
	}
	for _, path := range []string{"/deny?seen=3&reason=Later", "/approve?seen=3&duration=4h&reason=Later",
		"/approve/confirm?seen=3&duration=4h&resource=1&reason=Later"} {
		if strings.Contains(get(t, h, at+path, http.StatusOK), "Later") {
			t.Errorf("%s: a text is taken from an address", path)
		}
	}
}

// R25: who has to sign in again first finds what they typed, on the page from which they sent it.
func TestAFreshSignInLosesNothing(t *testing.T) {
	stale := refusal.Unauthenticated("token.auth_time", "R25", "sign in again to decide")
	for path, row := range map[string]struct{ verb, page string }{
		"/approve": {"approve", "/approve/confirm"}, "/deny": {"deny", "/deny"}, "/ask": {"ask", "/ask"}} {
		w := newWorld(otto, alone()).answers(row.verb, nil, stale)
		h, at := w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump
		sent := sitetest.Post(h, at+path, url.Values{"seen": {"3"}, "command": {anID7}, "duration": {"4h"}, "resource": {"1"},
			"reason": {"As <we> agreed"}})
		to, err := url.QueryUnescape(sent.Header().Get("Location"))
		if err != nil || sent.Code != http.StatusSeeOther || to != "/signin?again=1&to="+at+row.page {
			t.Errorf("%s: %d to %s", path, sent.Code, to)
		}
		if page := restored(t, h, at+row.page, sent.Result().Cookies()); !strings.Contains(page, "As &lt;we&gt; agreed") {
			t.Errorf("%s: it is gone", path)
		}
	}
	w := newWorld(otto, many()...).answers("deny", nil, stale)
	h := w.portal(t, sitetest.Otto())
	sent := sitetest.Post(h, bank+"/requests/deny", url.Values{"request": {"one:3", "two:4"}, "command": {anID7},
		"reason": {"As <we> agreed"}})
	page := restored(t, h, bank+"/requests/deny", sent.Result().Cookies())
	has(t, page, "As <we> agreed", "You deny these 2 requests")
}

func TestWhoSawAnEarlierVersionIsShownWhatChangedAndGoesOn(t *testing.T) {
	w := newWorld(otto, alone())
	h, at := w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump
	values := carried(t, onward(t, h, at+"/approve/confirm", url.Values{"seen": {"3"}, "duration": {"4h"},
		"resource": {"1"}, "reason": {"ok"}}), at+"/approve")
	w.requests[0] = pending() // version 6
	w.answers("approve", nil, refusal.Conflict("seen_version", "R29",
		"it has changed since you saw it: version 3 then, 6 now"))

	sent := sitetest.Post(h, at+"/approve", values)
	if sent.Code != http.StatusConflict {
		t.Fatalf("%d", sent.Code)
	}
	page := sent.Body.String()
	wellMade(t, "conflict", page)
	has(t, page, "The request has changed since you looked at it. Nothing has been decided by you.", "Otto Owens asked",
		"Erin Ellis (Nimbus Cloud) answered",
		"You give Erin Ellis of Nimbus Cloud permission for a memory dump of payments-1: for 2 hours")
	if changed, _, _ := strings.Cut(page, `<form class="card"`); strings.Contains(changed, "The customer was notified") {
		t.Error("what they had seen is called new")
	}
	w.answers("approve", done, nil)
	again := carried(t, page, at+"/approve")
	if again.Get("command") == values.Get("command") || again.Get("seen") != "6" || again.Get("reason") != "ok" {
		t.Errorf("they go on with %v", again)
	}
	if sent := sitetest.Post(h, at+"/approve", again); sent.Code != http.StatusSeeOther ||
		w.Done[1].GetSeenVersion() != 6 {
		t.Errorf("%d with version %d", sent.Code, w.Done[1].GetSeenVersion())
	}
}

func TestWhoComesTooLateHearsWhoDecidedAndWhen(t *testing.T) {
	w := newWorld(otto, ended(lockboxv1.RequestStatus_REQUEST_STATUS_DENIED, "CustomerDenied", "Not now."))
	w.answers("approve", nil, refusal.Conflict("aggregate_id", "R29",
		"already denied by Fleur Lefèvre at 2026-08-03 08:30:00 UTC"))
	form := url.Values{"seen": {"3"}, "command": {anID7}, "duration": {"4h"}, "resource": {"1"}}
	sent := sitetest.Post(w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump+"/approve?lang=fr", form)
	if sent.Code != http.StatusConflict {
		t.Errorf("%d", sent.Code)
	}
	has(t, sent.Body.String(), "Votre décision n’a pas été enregistrée.",
		"La demande a été décidée ou a pris fin entre-temps. Son état actuel figure ci-dessous.",
		"Fleur Lefèvre a refusé la demande le lun. 3 août 2026 à 08 h 30 UTC.",
		"Ce qui s’est passé depuis que vous l’avez consultée")
}

// What others did in between is said with its time by name, whether the command was refused or the form comes too late;
// somebody who saw all of it is told nothing twice.
func TestWhoComesTooLateReadsWhatOthersDidMeanwhile(t *testing.T) {
	w := newWorld(otto, active())
	w.answers("approve", nil, refusal.Conflict("aggregate_id", "R29", "already approved"))
	h, path := w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump+"/approve"
	const meanwhile = `<section class="note wait" aria-labelledby="meanwhile">`
	const title = "What happened since you looked at it"
	form := url.Values{"seen": {"3"}, "command": {anID7}, "duration": {"4h"}, "resource": {"1"}}
	refused := sitetest.Post(h, path, form).Body.String()
	late := get(t, h, path+"/confirm?seen=3", http.StatusConflict)
	for _, page := range []string{refused, late} {
		_, after, _ := strings.Cut(page, meanwhile)
		list, _, _ := strings.Cut(after, "</section>")
		has(t, list, title, "Otto Owens approved access to 1 resource for 2 hours.", "3 Aug 2026, 09:20 UTC")
		if strings.Contains(list, "The customer was notified.") {
			t.Errorf("what was seen is said again: %s", list)
		}
	}
	if page := get(t, h, path+"/confirm?seen=5", http.StatusConflict); strings.Contains(page, title) {
		t.Error(page)
	}
}

func TestWhatCannotBeDoneAnyMoreShowsWhereTheRequestStands(t *testing.T) {
	h := newWorld(otto, active()).portal(t, sitetest.Otto())
	for _, path := range []string{"/approve", "/approve/confirm?seen=3", "/deny", "/ask"} {
		has(t, get(t, h, bank+"/requests/"+memoryDump+path, http.StatusConflict), "You may not do that, or not any more.",
			"Access is active until")
	}
}

func TestNobodyIsToldThatNothingHappenedWhenThatIsNotKnown(t *testing.T) {
	w := newWorld(otto, alone()).answers("approve", nil, refusal.Unavailable("", "I11", "no answer, twice"))
	form := url.Values{"seen": {"3"}, "command": {anID7}, "duration": {"4h0m0s"}, "resource": {"2"}, "reason": {"ok"}}
	h, at := w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump+"/approve"
	sent := sitetest.Post(h, at, form)
	if sent.Code != http.StatusServiceUnavailable {
		t.Errorf("%d", sent.Code)
	}
	has(t, sent.Body.String(), "it is not known whether this was recorded")
	if again := carried(t, sent.Body.String(), at); again.Encode() != form.Encode() {
		t.Errorf("sent again it is %v", again)
	}
}

func TestRefusalsOfTheServices(t *testing.T) {
	form := url.Values{"seen": {"3"}, "command": {anID7}, "duration": {"4h0m0s"}, "resource": {"2"}, "reason": {"ok"}}
	for _, row := range []struct {
		err    error
		status int
		want   string
	}{
		{refusal.Invalid("approve.duration", "R27", "an approval may shorten the time"), http.StatusBadRequest,
			"You may shorten the time that was asked for, never lengthen it."},
		{refusal.Invalid("approve.resource_ids", "R27", "others were asked for"), http.StatusBadRequest,
			"Choose at least one of the resources that were asked for"},
		{refusal.Forbidden("token", "R20", "you were not an approver when this request was created"), http.StatusForbidden,
			"you were not an approver"},
		{refusal.NotFound("aggregate_id", "I9", "nothing"), http.StatusNotFound, "There is nothing here"},
		{refusal.Unauthenticated("token", "R25", "the token is too old"), http.StatusUnauthorized, "Please sign in again"},
	} {
		w := newWorld(otto, alone()).answers("approve", nil, row.err)
		sent := sitetest.Post(w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump+"/approve", form)
		if sent.Code != row.status {
			t.Errorf("%v: %d", row.err, sent.Code)
		}
		has(t, sent.Body.String(), row.want)
	}
}

func TestAFormThatSaysNotWhatWasSeenIsNoForm(t *testing.T) {
	for name, form := range map[string]url.Values{
		"no version":    {"command": {anID7}, "reason": {"no"}},
		"no command":    {"seen": {"3"}, "reason": {"no"}},
		"other command": {"seen": {"3"}, "command": {"1"}, "reason": {"no"}},
	} {
		w := newWorld(otto, alone()).answers("deny", done, nil)
		if sent := sitetest.Post(w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump+"/deny?seen=3&command="+anID7,
			form); sent.Code != http.StatusBadRequest || len(w.Done) != 0 {
			t.Errorf("%s: %d, %d commands", name, sent.Code, len(w.Done))
		}
	}
}

func TestLookingDecidesNothing(t *testing.T) {
	w := newWorld(otto, alone())
	h := w.portal(t, sitetest.Otto())
	for _, path := range []string{"", "/requests", "/requests/" + memoryDump, "/requests/" + memoryDump + "/approve",
		"/requests/" + memoryDump + "/deny?reason=no&seen=3", "/requests/" + memoryDump +
			"/approve/confirm?seen=3&duration=4h&resource=1"} {
		get(t, h, bank+path, http.StatusOK)
	}
	if len(w.Done) != 0 {
		t.Errorf("%d commands were given", len(w.Done))
	}
}
