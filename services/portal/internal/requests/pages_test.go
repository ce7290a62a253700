package requests_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/resource"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	anID    = regexp.MustCompile(` id="([^"]+)"`)
	aRef    = regexp.MustCompile(` (?:for|aria-labelledby|aria-describedby|href)="#?([^"/]+)"`)
	aTag    = regexp.MustCompile(`<[^>]*>`)
	spaces  = regexp.MustCompile(`\s+`)
	control = regexp.MustCompile(`<(?:input|select|textarea)[^>]*>`)
)

// get visits a page of the customer's, which must be there and right.
func get(t *testing.T, h http.Handler, path string, status int) string {
	t.Helper()
	w := sitetest.Get(h, path)
	if w.Code != status {
		t.Fatalf("%s: %d, want %d\n%s", path, w.Code, status, plain(w.Body.String()))
	}
	wellMade(t, path, w.Body.String())
	return w.Body.String()
}

// plain is the text of a page as people read it.
func plain(page string) string {
	text := strings.ReplaceAll(html.UnescapeString(aTag.ReplaceAllString(page, " ")), "\u00a0", " ")
	return spaces.ReplaceAllString(text, " ")
}

// wellMade looks for what makes a page hard to use without eyes: ids that are there twice or not at all, controls
// without a label, and messages that lack a value.
func wellMade(t *testing.T, path, page string) {
	t.Helper()
	ids := map[string]bool{}
	for _, m := range anID.FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("%s: the id %s is there twice", path, m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range aRef.FindAllStringSubmatch(page, -1) {
		if strings.Contains(m[0], "href=") && !strings.Contains(m[0], `"#`) {
			continue
		}
		for _, id := range strings.Fields(m[1]) {
			if !ids[id] {
				t.Errorf("%s: %s leads nowhere", path, m[0])
			}
		}
	}
	for _, c := range control.FindAllString(page, -1) {
		id := anID.FindStringSubmatch(c)
		labelled := strings.Contains(c, `type="hidden"`) || strings.Contains(c, `type="checkbox"`) ||
			strings.Contains(c, `type="radio"`) || id != nil &&
			strings.Contains(page, `for="`+id[1]+`"`)
		if !labelled {
			t.Errorf("%s: %s has no label", path, c)
		}
	}
	if strings.Contains(page, "<no value>") || strings.Contains(page, "%!") || strings.Contains(page, "ZgotmplZ") {
		t.Errorf("%s: something is missing in %s", path, plain(page))
	}
}

func has(t *testing.T, page string, wanted ...string) {
	t.Helper()
	text := plain(page)
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not said in: %.3500s", w, text)
		}
	}
}

func hasNot(t *testing.T, page string, unwanted ...string) {
	t.Helper()
	text := plain(page)
	for _, w := range unwanted {
		if strings.Contains(text, w) {
			t.Errorf("%q is said in: %.3500s", w, text)
		}
	}
}

const bank = "/t/meadowbank"

func TestEveryPageInEveryLanguage(t *testing.T) {
	list := []*lockboxv1.RequestView{pending(), internal()}
	ends := map[lockboxv1.RequestStatus]string{
		lockboxv1.RequestStatus_REQUEST_STATUS_DENIED:    "CustomerDenied",
		lockboxv1.RequestStatus_REQUEST_STATUS_EXPIRED:   "RequestExpired",
		lockboxv1.RequestStatus_REQUEST_STATUS_WITHDRAWN: "RequestWithdrawn",
		lockboxv1.RequestStatus_REQUEST_STATUS_LAPSED:    "AccessLapsed",
		lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED:   "AccessRevoked",
		lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED: "AccessCompleted",
	}
	for status, typ := range ends {
		v := ended(status, typ, "Not during the audit.")
		v.RequestId = "ended-" + typ
		list = append(list, v)
	}
	running := active()
	running.RequestId = "running"
	submitted := base("submitted", lockboxv1.RequestStatus_REQUEST_STATUS_SUBMITTED, time.Second)
	submitted.Evaluation, submitted.Timeline = nil, submitted.GetTimeline()[:1]
	list = append(list, running, submitted)

	for _, who := range []*session.Session{sitetest.Otto(), sitetest.Lena()} {
		reader, root := otto, bank
		paths := []string{"/requests/" + memoryDump + "/approve", "/requests/" + memoryDump + "/deny", "/requests/" +
			memoryDump + "/ask", "/requests/running/revoke"}
		if who.Tenant == "" {
			reader, root = erin, "/provider"
			paths = []string{"/requests/" + internally + "/internal/approve", "/requests/" + internally + "/internal/refuse"}
		}
		h := newWorld(reader, list...).portal(t, who)
		paths = append(paths, "", "/requests", "/requests?status=past&ticket=SR-2026-0001", "/tickets",
			"/tickets/SR-2026-0001")
		for _, v := range list {
			paths = append(paths, "/requests/"+v.GetRequestId())
		}
		for _, language := range tenant.Languages {
			for _, path := range paths {
				join := "?"
				if strings.Contains(path, "?") {
					join = "&"
				}
				page := get(t, h, root+path+join+"lang="+language, http.StatusOK)
				if !strings.Contains(page, `<html lang="`+language+`">`) {
					t.Errorf("%s is not in %s", path, language)
				}
			}
		}
	}
}

func TestTheFirstPageSaysWhatWaitsForTheVisitor(t *testing.T) {
	others := pending()
	others.RequestId, others.Allowed = "of-others", nil
	w := newWorld(otto, alone(), others, active())
	for language, want := range map[string][]string{
		"en": {"1 request waits for your decision.",
			"Erin Ellis of Nimbus Cloud asks for a memory dump of payments-1 and payments-2", "Time left: 3 days 4 hours",
			"Also pending in your organisation"},
		"fr": {"1 demande attend votre décision.",
			"Erin Ellis (Nimbus Cloud) demande un vidage de la mémoire de payments-1 et payments-2",
			"Temps restant : 3 jours 4 heures", "Également en attente"},
		"ja": {"承認待ちの要求が 1 件あります。", "payments-1、payments-2 のメモリ ダンプの取得", "残り時間： 3 日 4 時間", "組織内のその他"},
	} {
		page := get(t, w.portal(t, sitetest.Otto()), bank+"?lang="+language, http.StatusOK)
		has(t, page, want...)
		if strings.Count(page, `href="/t/meadowbank/requests/`+memoryDump+`"`) != 3 || !strings.Contains(page,
			"/requests/of-others") {
			t.Errorf("it lists something else: %s", plain(page))
		}
		if !strings.Contains(page, `data-live="/t/meadowbank/live/home?shown=`) {
			t.Error("it does not hear of changes")
		}
	}
}

func TestSomebodyWithoutARoleIsToldThatNothingWaits(t *testing.T) {
	w := newWorld(otto)
	w.Queries["list_requests"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) { return nil, errNotThere }
	h := w.portal(t, sitetest.Otto())
	has(t, get(t, h, bank, http.StatusOK), "Nothing waits for your decision.")
	has(t, get(t, h, bank+"/requests", http.StatusOK), "No request matches.")
}

func TestTheProvidersFirstPageListsInternalApprovalsAndOnesOwnRequests(t *testing.T) {
	asked, foreign := pending(), alone()
	asked.Allowed, foreign.Allowed, foreign.RequestId, foreign.Requester = []string{"answer"}, nil, "of-others", lena
	page := get(t, newWorld(erin, internal(), asked, foreign).portal(t, sitetest.Lena()), "/provider", http.StatusOK)
	has(t, page, "Access that exists now", "1 request waits for your decision.", "Your open requests",
		"1 question for you",
		"Meadow Bank")
	if strings.Contains(page, "of-others") {
		t.Error("somebody else's request is called theirs")
	}
}

func TestARequestIsToldInFull(t *testing.T) {
	h := newWorld(otto, pending()).portal(t, sitetest.Otto())
	page := get(t, h, bank+"/requests/"+memoryDump, http.StatusOK)
	has(t, page,
		"Erin Ellis of Nimbus Cloud asks for a memory dump of payments-1 and payments-2",
		"Nobody has access. Without a decision by Thu 6 Aug 2026, 13:50 UTC",
		"Memory dump of a running machine", "Virtual machines", "The engineer will be able to see your data.", payments+"2",
		"Production", "8 hours",
		"The payment service hangs", "Support you requested", "SR-2026-0001", "With a second factor",
		"Approvals so far: 1 of 2.",
		"Otto Owens (you)", "Has not decided", "Fleur Lefèvre Lockbox Approver Approved", "Allez-y.",
		"Delivery of the e-mail not confirmed",
		"security-desk@meadowbank.example E-mail could not be delivered: 550 5.1.1 no such mailbox",
		"Eli Edwards Owner Eligible for the role, but the role is not activated",
		"Do you need both machines at the same time?", "No, one after the other is fine.", "Not answered yet",
		"ordinary-permission", "standard-1+5c1a0d2e4f6b8a90",
		"Fleur Lefèvre approved access to 2 resources for 2 hours")
	for _, part := range []string{`<svg class="line w960"`, `<svg class="line w320"`,
		`role="img" aria-labelledby="line-title-960"`,
		`<a class="mono" href="/t/meadowbank/tickets/SR-2026-0001">`} {
		if !strings.Contains(page, part) {
			t.Errorf("%s is not there", part)
		}
	}
	has(t, get(t, h, bank+"/requests/"+memoryDump+"?lang=fr", http.StatusOK),
		"Éligible au rôle, mais celui-ci n’est pas activé", "Données L’ingénieur pourra voir vos données.")
	has(t, get(t, h, bank+"/requests/"+memoryDump+"?lang=ja", http.StatusOK), "ロールの対象ですが", "お客様のデータにアクセスする操作です。")
}

func TestAccountsOfOnePersonAndSharedAddressesAreOnThePage(t *testing.T) {
	v := proto.CloneOf(pending())
	path := "/requests/" + v.GetRequestId()
	page := plain(get(t, newWorld(otto, v).portal(t, sitetest.Otto()), bank+path, http.StatusOK))
	hasNot(t, page, "share the address", "accounts of one person")
	for _, a := range v.GetLockbox().GetApprovers() {
		a.Person.Email = "team@meadowbank.example"
	}
	second := proto.CloneOf(v.GetTimeline()[0])
	second.GetActor().GetPerson().Subject, second.GetActor().GetPerson().DisplayName = "erin-admin", "Erin (admin)"
	v.Timeline = append(v.GetTimeline(), second)
	for _, e := range []*lockboxv1.TimelineEntry{v.GetTimeline()[0], second} {
		e.GetActor().GetPerson().Human = "N-7"
	}
	page = plain(get(t, newWorld(otto, v).portal(t, sitetest.Otto()), bank+path, http.StatusOK))
	has(t, page, "share the address team@meadowbank.example.", "and Erin (admin) are accounts of one person")
}

// control: nist:PS-7
func TestWhoWorksForTheProviderAsASubcontractorIsSaidToBe(t *testing.T) {
	page := get(t, newWorld(otto, internal()).portal(t, sitetest.Otto()), bank+"/requests/"+internally, http.StatusOK)
	has(t, page, "Brightline Contractors works for Nimbus Cloud as a subcontractor", "With an isolated identity",
		"Includes administrator rights.", "DevOps managers 0 of 1", "platform-review 0 of 2")
}

func TestAfterADecisionThePageSaysWhatIsNowTrue(t *testing.T) {
	asked, w := 0, newWorld(otto)
	w.Queries["get_request"] = func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		if q.GetMinSequence() != 77 {
			t.Errorf("sequence %d is waited for", q.GetMinSequence())
		}
		v := active()
		if asked++; asked < 3 { // access begins a moment later
			v.Status, v.Grant = lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED, nil
		}
		return &lockboxv1.QueryReply{Sequence: 80, Answer: &lockboxv1.QueryReply_Request{Request: v}}, nil
	}
	page := get(t, w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump+"?after=77", http.StatusOK)
	has(t, page, "Access is active until Mon 3 Aug 2026, 11:20 UTC.",
		"You approved on Mon 3 Aug 2026, 09:20 UTC, for 2 hours.", "Only to payments-1", "Rights Read only")
}

// What is the reader's own is known from their session: nobody is asked again who they are with each click.
func TestWhoReadsIsKnownFromTheirSession(t *testing.T) {
	w, who, asked := newWorld(otto, active()), sitetest.Otto(), 0
	who.Issuer, who.Subject = otto.GetPerson().GetIssuer(), otto.GetPerson().GetSubject()
	self := w.Queries["get_self"]
	w.Queries["get_self"] = func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		asked++ // once, for the time zone
		return self(q)
	}
	h := w.portal(t, who)
	for _, after := range []string{"", "?after=77", "?after=78"} {
		has(t, get(t, h, bank+"/requests/"+memoryDump+after, http.StatusOK), "You approved")
	}
	if asked != 1 {
		t.Errorf("who they are was asked %d times", asked)
	}
}

func TestHowARequestEndedIsSaidWithWhoEndedIt(t *testing.T) {
	for _, row := range []struct {
		status    lockboxv1.RequestStatus
		typ, want string
	}{
		{lockboxv1.RequestStatus_REQUEST_STATUS_DENIED, "CustomerDenied",
			"Fleur Lefèvre denied the request on Mon 3 Aug 2026, 08:30 UTC. No access was given. Not during the audit."},
		{lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED, "AccessRevoked",
			"Fleur Lefèvre revoked access on Mon 3 Aug 2026, 08:30 UTC. Nobody has access. Not during the audit."},
		{lockboxv1.RequestStatus_REQUEST_STATUS_EXPIRED, "RequestExpired", "The request expired and no access was given."},
	} {
		page := get(t, newWorld(otto, ended(row.status, row.typ, "Not during the audit.")).portal(t, sitetest.Otto()),
			bank+"/requests/"+memoryDump, http.StatusOK)
		has(t, page, row.want)
		if row.typ == "RequestExpired" {
			hasNot(t, page, "Not during the audit.")
		}
	}
}

func TestARequestBelongsToThePageWhereItIsListed(t *testing.T) {
	for id, want := range map[string]string{memoryDump: `<a href="/t/meadowbank" aria-current="true">`,
		"running": `<a href="/t/meadowbank/requests" aria-current="true">`} {
		running := active()
		running.RequestId = "running"
		page := get(t, newWorld(otto, alone(), running).portal(t, sitetest.Otto()), bank+"/requests/"+id, http.StatusOK)
		if !strings.Contains(page, want) || strings.Count(page, "aria-current") != 1 {
			t.Errorf("%s is marked elsewhere", id)
		}
	}
}

func TestOnlyWhatIsAllowedHasAButton(t *testing.T) {
	for _, row := range []struct {
		who     *session.Session
		allowed []string
		want    []string
	}{
		{sitetest.Otto(), nil, nil},
		{sitetest.Otto(), []string{"approve", "deny", "ask"}, []string{"approve", "deny", "ask"}},
		{sitetest.Otto(), []string{"revoke"}, []string{"revoke"}},
		// not the customer's to do, whatever is said
		{sitetest.Otto(), []string{"withdraw", "internal_approve", "answer"}, nil},
		{sitetest.Lena(), []string{"internal_approve", "internal_refuse", "revoke"},
			[]string{"internal/approve", "internal/refuse", "revoke"}},
		{sitetest.Lena(), []string{"withdraw", "answer"}, []string{"withdraw", "answer"}},
		{sitetest.Lena(), []string{"release"}, []string{"release"}},
		{sitetest.Lena(), []string{"approve", "deny"}, nil},
	} {
		v := pending()
		v.Allowed = row.allowed
		root := bank
		if row.who.Tenant == "" {
			root = "/provider"
		}
		page := get(t, newWorld(otto, v).portal(t, row.who), root+"/requests/"+memoryDump, http.StatusOK)
		for _, path := range []string{"approve", "deny", "ask", "revoke", "internal/approve", "internal/refuse", "withdraw",
			"release", "answer"} {
			to := path + `"`
			if path == "approve" { // as asked for, which is confirmed
				to = "approve/confirm?duration="
			}
			got, want := strings.Contains(page, `"`+root+"/requests/"+memoryDump+"/"+to), false
			for _, w := range row.want {
				want = want || w == path
			}
			if got != want {
				t.Errorf("%v for %q: %s is offered: %v", row.allowed, row.who.Tenant, path, got)
			}
		}
	}
}

func TestTheListIsFilteredAndHasPages(t *testing.T) {
	w := newWorld(otto)
	lists := func(total uint64, next string) {
		list := &lockboxv1.RequestList{Requests: []*lockboxv1.RequestView{active()}, Total: total, NextPageToken: next}
		w.Queries["list_requests"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Requests{Requests: list}}, nil
		}
	}
	lists(41, "n/x+t")
	page := get(t, w.portal(t, sitetest.Otto()), bank+"/requests?status=active&subscription=prod&ticket=SR-1&page=tok",
		http.StatusOK)
	has(t, page, "41 requests")
	for _, link := range []string{
		`/t/meadowbank/requests?page=n%2Fx%2Bt&amp;status=active&amp;subscription=prod&amp;ticket=SR-1`,
		`href="/t/meadowbank/requests?status=active&amp;subscription=prod&amp;ticket=SR-1"`,
	} {
		if !strings.Contains(page, link) {
			t.Errorf("%s is not there", link)
		}
	}
	var by *lockboxv1.ListRequests
	for _, q := range w.Asked {
		if l := q.GetListRequests(); l.GetTicketId() != "" {
			by = l
		}
	}
	if by.GetSubscription() != "prod" || by.GetTicketId() != "SR-1" || by.GetPageToken() != "tok" || !by.GetCount() ||
		len(by.GetStatuses()) != 2 {
		t.Errorf("asked %v", by)
	}
	for language, want := range map[string]string{
		"en": "1,000+ requests", "ja": "1,000+ 件",
		"fr": "1 000+ demandes",
	} {
		lists(1001, "")
		page := get(t, w.portal(t, sitetest.Otto()), bank+"/requests?lang="+language, http.StatusOK)
		number := strings.ReplaceAll(want[:strings.IndexByte(want, '+')+1], " ", "\u00a0")
		count := `<span class="count">` + strings.ReplaceAll(number, "+", "&#43;") + "</span>"
		if has(t, page, want); !strings.Contains(page, count) {
			t.Errorf("the navigation does not say %s", number)
		}
	}
	wrong := get(t, newWorld(otto, active()).portal(t, sitetest.Otto()), bank+"/requests?subscription=a%0Ab",
		http.StatusBadRequest)
	has(t, wrong, "Enter one line of at most 200 characters.")
}

func TestATicketTellsItsHistoryAndItsRequests(t *testing.T) {
	foreign := alone()
	foreign.Tenant, foreign.RequestId = "sakura", "of-another-customer"
	h := newWorld(otto, pending(), foreign).portal(t, sitetest.Otto())
	page := get(t, h, bank+"/tickets/SR-2026-0001", http.StatusOK)
	has(t, page, "The payment service does not answer", "SERVICE REQUEST ID SR-2026-0001", "It needs a restart each time.",
		"Compute support", "Lena Lang (Nimbus Cloud) gave it to Erin Ellis",
		"A memory dump of payments-1 and payments-2"[2:])
	if strings.Contains(page, "of-another-customer") {
		t.Error("a ticket of the same id at another customer has requests here")
	}
	has(t, get(t, h, bank+"/tickets", http.StatusOK), "The payment service does not answer", "Erin Ellis")
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	h := newWorld(otto, pending()).portal(t, sitetest.Otto())
	for _, path := range []string{
		"/requests/other", "/requests/other/approve", "/requests/other/approve/confirm",
		"/t/sakura/requests/" + memoryDump, "/requests/" + memoryDump + "/internal/approve",
	} {
		if w := sitetest.Get(h, bank+path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestADeadlineThatIsNearIsShownSo(t *testing.T) {
	v := alone()
	v.Lockbox.ExpiresAt = timestamppb.New(now.Add(90 * time.Minute))
	page := get(t, newWorld(otto, v).portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump, http.StatusOK)
	if has(t, page, "Time left: 1 hour 30 minutes"); !strings.Contains(page, `class="left hurry"`) {
		t.Error("it looks like any other")
	}
}

// R49: an id of the greatest length is there as a whole, wherever a decision rests on it.
func TestLongIdsAreShownAsAWhole(t *testing.T) {
	v := alone()
	for i, id := range v.Intent.GetResourceIds() {
		v.Intent.ResourceIds[i] = id + strings.Repeat("x", resource.MaxLength-len(id))
	}
	h, at := newWorld(otto, v).portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump
	for _, address := range []string{at, at + "/approve",
		at + "/approve/confirm?seen=3&duration=8h0m0s&resource=1&resource=2"} {
		page := get(t, h, address, http.StatusOK)
		for _, id := range v.Intent.GetResourceIds() {
			if !strings.Contains(page, id) {
				t.Errorf("%s does not show %s", address, id)
			}
		}
	}
}

// What is over is told as over: no time that was to come, no duty that nobody has any more.
func TestWhatIsOverHasNoFuture(t *testing.T) {
	v := ended(lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED, "AccessRevoked", "Seen enough.")
	v.Grant, v.EndedBy, v.Questions = active().GetGrant(), fleur, pending().GetQuestions()
	v.Grant.StartsAt = ago(2 * time.Hour)
	v.Lockbox.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY
	page := get(t, newWorld(otto, v).portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump, http.StatusOK)
	has(t, page, "Erin Ellis of Nimbus Cloud had access:", "Ended Mon 3 Aug 2026, 08:30 UTC Fleur Lefèvre",
		"Did not decide", "Was not answered", "Nobody could decide this request.")
	hasNot(t, page, "Until", "Time left", "11:20", "waits until", "Has not decided", "Not answered yet", "will be able",
		"Cloud has access")
	v.Grant, v.Status = nil, lockboxv1.RequestStatus_REQUEST_STATUS_DENIED
	page = get(t, newWorld(otto, v).portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump, http.StatusOK)
	has(t, page, "Erin Ellis of Nimbus Cloud asked for a memory dump")
}

// I9: who decides at the customer is hidden from the provider's people, and is not shown as if it were nobody.
func TestI9WhatIsHiddenIsNotShownAsIfItWereNot(t *testing.T) {
	v := pending()
	v.Lockbox.Approvers, v.Lockbox.Excluded, v.Lockbox.Alternates, v.Deliveries = nil, nil, nil, nil
	v.CustomerDecisions[0].Actor = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
		Person: &lockboxv1.Person{DisplayName: "Fleur Lefèvre"}}
	page := get(t, newWorld(erin, v).portal(t, sitetest.Lena()), "/provider/requests/"+memoryDump, http.StatusOK)
	has(t, page, "Who can decide is the customer’s affair.", "Approvals so far: 1 of 2.", "Fleur Lefèvre Approved")
	hasNot(t, page, "Nobody can decide", "Has not decided", "Delivery of the e-mail", "Also told",
		"were not asked, and why")
}
