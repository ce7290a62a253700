package overview_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/overview"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const bank = "/t/meadowbank/overview"

var now = sitetest.Now

func at(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(d)) }

// quarter is a busy quarter of a bank.
func quarter() *lockboxv1.Overview {
	monday := time.Date(2026, 8, 3, 0, 0, 0, 0, time.UTC)
	o := &lockboxv1.Overview{AsOf: timestamppb.New(now), Since: timestamppb.New(monday.AddDate(0, 0, -84)),
		Open: &lockboxv1.OpenFigures{Internal: 2, Waiting: 7, Running: 1, Emergencies: 1,
			OldestWaiting: at(-50*time.Hour - 10*time.Minute), NextDeadline: at(22*time.Hour + 5*time.Minute),
			NextEnd: at(90 * time.Minute)},
		Log: &lockboxv1.LogHealth{SignedAt: at(-4 * time.Second)}}
	made := []uint64{4, 7, 5, 9, 12, 8, 6, 11, 14, 9, 7, 10, 3}
	for i, n := range made {
		w := &lockboxv1.WeekFigures{BeginsAt: timestamppb.New(monday.AddDate(0, 0, 7*(i-12))), Requests: n,
			Access: durationpb.New(time.Duration(n)*130*time.Minute + time.Duration(i)*20*time.Minute)}
		if i == 4 || i == 8 {
			w.Emergencies = uint64(i) / 4
		}
		o.Weeks = append(o.Weeks, w)
	}
	for outcome, n := range []uint64{61, 14, 6, 9, 3, 4, 5, 1, 2} {
		o.Outcomes = append(o.Outcomes, &lockboxv1.OutcomeFigures{
			Outcome: lockboxv1.RequestOutcome(outcome + 1), Count: n}) // #nosec G115 -- nine
	}
	o.Decisions = &lockboxv1.DecisionFigures{Count: 75, Median: durationpb.New(82 * time.Minute),
		Ninetieth: durationpb.New(19*time.Hour + 40*time.Minute)}
	limits := []time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour,
		0}
	for i, n := range []uint64{11, 21, 24, 9, 6, 3, 1} {
		b := &lockboxv1.DecisionBucket{Count: n}
		if limits[i] > 0 {
			b.Below = durationpb.New(limits[i])
		}
		o.Decisions.Buckets = append(o.Decisions.Buckets, b)
	}
	return o
}

func running() *lockboxv1.RequestView {
	return &lockboxv1.RequestView{
		RequestId: "019e1b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b", Tenant: "meadowbank", TenantName: "Meadow Bank",
		Status: lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE, ScenarioName: "Memory dump of a running machine",
		Requester: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Nimbus Cloud",
			Person: &lockboxv1.Person{Subject: "erin", DisplayName: "Erin Ellis"}},
		Intent: &lockboxv1.AccessIntent{Scenario: "memory-dump", SubscriptionId: "production",
			ResourceIds: []string{"/subscriptions/production/virtualMachines/payments-1"}},
		SubscriptionName: "Production",
		Grant:            &lockboxv1.AccessGranted{StartsAt: at(-30 * time.Minute), EndsAt: at(90 * time.Minute)},
	}
}

// world answers as the services would.
func world(o *lockboxv1.Overview, d *lockboxv1.Dashboard) *sitetest.Backend {
	b := &sitetest.Backend{Queries: map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
		"list_requests": func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			list := &lockboxv1.RequestList{Requests: []*lockboxv1.RequestView{running()}, Total: 1}
			if q.GetListRequests().GetAwaitingMe() {
				list = &lockboxv1.RequestList{Total: 3}
			}
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Requests{Requests: list}}, nil
		},
		"get_self": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{Self: &lockboxv1.SelfView{
				Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Groups: []string{aggregate.SecurityOfficers},
					Person: &lockboxv1.Person{Subject: "olga"}}}}}, nil
		},
	}}
	if o != nil {
		b.Queries["get_overview"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Overview{Overview: o}}, nil
		}
	}
	if d != nil {
		b.Queries["get_dashboard"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Dashboard{Dashboard: d}}, nil
		}
	}
	return b
}

func portal(t *testing.T, b *sitetest.Backend, who *session.Session) http.Handler {
	t.Helper()
	s := sitetest.New(t, b, who)
	routes, err := overview.Routes(s)
	if err != nil {
		t.Fatal(err)
	}
	return sitetest.Server(s, routes)
}

func get(t *testing.T, h http.Handler, path string, want int) string {
	t.Helper()
	w := sitetest.Get(h, path)
	if w.Code != want {
		t.Fatalf("%s: %d\n%s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

func has(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			t.Errorf("it does not say %q", text)
		}
	}
}

// R59: a customer's people see what is and what was, as numbers before pictures.
func TestACustomerSeesNumbersFirstThenPictures(t *testing.T) {
	page := get(t, portal(t, world(quarter(), nil), sitetest.Otto()), bank, http.StatusOK)
	has(t, page, "Access now", "First ends in 1 hour 30 minutes", "4 waiting for others", "2 days 2 hours",
		"22 hours 5 minutes", "4 seconds ago", "Everything recorded is signed.", "Erin Ellis",
		"/t/meadowbank/requests/019e1b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b",
		"Median: 1 hour 22 minutes", "75 decisions. 90% took no longer than 19 hours 40 minutes.", "105 requests",
		"3 of them were emergencies.", "61 of 105 approved", "Stopped at Nimbus Cloud", `role="img"`)
	if strings.Index(page, "tile-value") > strings.Index(page, "<svg") {
		t.Error("the pictures come first")
	}
	if strings.Count(page, "<svg") != 4 || strings.Count(page, "<desc") != 4 ||
		strings.Count(page, `class="figures"`) != 4 || strings.Contains(page, "style=") {
		t.Error("not every picture has a text and a table, or one has styles of its own")
	}
}

// What is filtered is asked for, and what leads to a list leads to the list of the same.
func TestFiguresAreFiltered(t *testing.T) {
	b := world(quarter(), nil)
	page := get(t, portal(t, b, sitetest.Otto()), bank+"?engineer=Erin&subscription=prod&emergency=yes", http.StatusOK)
	has(t, page, `value="Erin"`, `value="prod"`, "checked",
		"/t/meadowbank/requests?emergency=yes&amp;engineer=Erin&amp;status=active&amp;subscription=prod")
	asked := 0
	for _, q := range b.Asked {
		if o := q.GetGetOverview(); o != nil && o.GetEngineer() == "Erin" && o.GetSubscription() == "prod" &&
			o.GetEmergency() && q.GetTenant() == "meadowbank" {
			asked++
		}
		if r := q.GetListRequests(); r.GetEngineer() == "Erin" && r.GetSubscription() == "prod" && r.GetEmergency() {
			asked++
		}
	}
	if asked != 3 {
		t.Errorf("%d of 3 questions are about what was filtered", asked)
	}
	b = world(quarter(), nil)
	page = get(t, portal(t, b, sitetest.Otto()), bank+"?engineer=a%0Ab", http.StatusBadRequest)
	has(t, page, "Enter one line of at most 200 characters.")
	for _, q := range b.Asked {
		if q.GetGetOverview() != nil {
			t.Error("what cannot be searched for was asked for")
		}
	}
}

func TestTheOverviewOfNothing(t *testing.T) {
	o := quarter()
	o.Open, o.Outcomes, o.Decisions.Count = &lockboxv1.OpenFigures{}, nil, 0
	o.Log = &lockboxv1.LogHealth{Overdue: true}
	for _, b := range o.GetDecisions().GetBuckets() {
		b.Count = 0
	}
	for _, w := range o.GetWeeks() {
		w.Requests, w.Emergencies, w.Access = 0, 0, nil
	}
	b := world(o, nil)
	b.Queries["list_requests"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Requests{Requests: &lockboxv1.RequestList{}}}, nil
	}
	page := get(t, portal(t, b, sitetest.Otto()), bank, http.StatusOK)
	has(t, page, "No access exists now.", "No data for these weeks.", "No decisions", "Signing is overdue.")
	if strings.Contains(page, "<svg") {
		t.Error("nothing is drawn")
	}
	has(t, get(t, portal(t, world(nil, nil), sitetest.Otto()), bank, http.StatusOK), "You have no role")
}

func customers() *lockboxv1.Dashboard {
	open := quarter().GetOpen()
	return &lockboxv1.Dashboard{AsOf: timestamppb.New(now), Since: at(-84 * 24 * time.Hour),
		MailsSince: at(-7 * 24 * time.Hour), Count: 3,
		Total: &lockboxv1.CustomerFigures{Open: open, Emergencies: 3, FailedMails: 2},
		Customers: []*lockboxv1.CustomerFigures{
			{Tenant: "meadowbank", TenantName: "Meadow Bank", Open: open, Emergencies: 3, FailedMails: 2},
			{Tenant: "sakura", TenantName: "Sakura Health", Open: &lockboxv1.OpenFigures{}, Fault: true},
		},
		Log: &lockboxv1.LogHealth{SignedAt: at(-4 * time.Second), VerifiedAt: at(-20 * time.Second), Copies: 3,
			Witnesses: []*lockboxv1.WitnessHealth{{Name: "witness.bank.example", CosignedAt: at(-5 * time.Second)},
				{Name: "witness.other.example"}}, Alarms: 1001, SetAside: 1, RestoredAt: at(-900 * time.Hour),
			LastAlarm:   &lockboxv1.DifferenceFound{Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHANGED},
			LastAlarmAt: at(-901 * time.Hour)},
	}
}

// R59: the provider's security officers see it of each customer, and of the log.
func TestSecurityOfficersSeeHowThingsStandAtEachCustomer(t *testing.T) {
	d := customers()
	page := get(t, portal(t, world(quarter(), d), sitetest.Lena()), "/provider/overview", http.StatusOK)
	has(t, page, "Waiting for customers", "Waiting internally", "Meadow Bank", "/provider/overview?customer=meadowbank",
		"Sakura Health", "Contradictory history", "1 more customer is not listed.", "Health of the log", "Healthy",
		"witness.bank.example", "Has not cosigned yet", "1,000&#43;", "events were changed", "Failed e-mails")
	for name, ill := range map[string]func(*lockboxv1.LogHealth){
		"unsigned":  func(h *lockboxv1.LogHealth) { h.Overdue = true },
		"no guard":  func(h *lockboxv1.LogHealth) { h.VerifiedAt = nil },
		"a copy":    func(h *lockboxv1.LogHealth) { h.CopiesAway = 1 },
		"different": func(h *lockboxv1.LogHealth) { h.Differences = []*lockboxv1.DifferenceFigures{{Kind: 1, Count: 4}} },
	} {
		d := customers()
		ill(d.Log)
		page := get(t, portal(t, world(quarter(), d), sitetest.Lena()), "/provider/overview", http.StatusOK)
		if !strings.Contains(page, "Needs attention") || strings.Contains(page, "Healthy") {
			t.Errorf("%s: the log is shown as healthy", name)
		}
	}
	b := world(quarter(), customers())
	get(t, portal(t, b, sitetest.Lena()), "/provider/overview?customer=sakura&engineer=erin", http.StatusOK)
	of := map[string]int{}
	for _, q := range b.Asked {
		if q.GetGetDashboard().GetEngineer() == "erin" || q.GetGetOverview().GetEngineer() == "erin" ||
			q.GetListRequests().GetEngineer() == "erin" {
			of[q.GetTenant()]++
		}
	}
	if of["sakura"] != 3 || of[""] != 1 { // and once for the names to choose from
		t.Errorf("asked about %v", of)
	}
}

var liveAddress = regexp.MustCompile(`data-live="([^"]*)"`)

// R59: a page hears of changes to what it shows, with its filter; that time passes, that the log is signed and
// compared, and that access goes on, are none.
func TestAnOverviewHearsOfChanges(t *testing.T) {
	address := func(o *lockboxv1.Overview, d *lockboxv1.Dashboard, path string) string {
		who := sitetest.Otto()
		if !strings.HasPrefix(path, bank) {
			who = sitetest.Lena()
		}
		found := liveAddress.FindStringSubmatch(get(t, portal(t, world(o, d), who), path, http.StatusOK))
		if found == nil {
			t.Fatalf("%s hears of nothing", path)
		}
		return html.UnescapeString(found[1])
	}
	const officers, filter = "/provider/overview", "?customer=sakura&emergency=yes&engineer=Erin"
	for path, want := range map[string]string{bank: "/t/meadowbank/live/overview?",
		officers: "/provider/live/overview?"} {
		before := address(quarter(), customers(), path)
		if !strings.HasPrefix(before, want+"shown=") {
			t.Errorf("%s hears at %s", path, before)
		}
		o, d := quarter(), customers()
		o.AsOf, o.Log.SignedAt, o.Weeks[12].Access = at(time.Minute), at(time.Minute), durationpb.New(time.Hour)
		d.AsOf, d.MailsSince, d.Log.SignedAt, d.Log.VerifiedAt = at(time.Minute), at(0), at(time.Minute), at(time.Minute)
		d.Log.Witnesses[0].CosignedAt = at(time.Minute)
		if after := address(o, d, path); after != before {
			t.Errorf("%s hears that time passes: %s, %s", path, before, after)
		}
		o.Open.Waiting++
		if after := address(o, d, path); after == before {
			t.Errorf("%s does not hear of a request", path)
		}
	}
	d := customers()
	d.Log.VerifiedAt = nil
	if address(quarter(), d, officers) == address(quarter(), customers(), officers) {
		t.Error("officers do not hear that nothing is compared")
	}
	if got := address(quarter(), customers(), officers+filter); !strings.HasSuffix(got, "&"+filter[1:]) {
		t.Errorf("what is filtered hears at %s", got)
	}
	page := get(t, portal(t, world(quarter(), customers()), sitetest.Lena()), officers+filter+"&after=3", http.StatusOK)
	has(t, page, `data-page="`+html.EscapeString(officers+filter)+`"`)
}

// Whoever the services tell nothing has no page, and a customer's people cannot name another customer.
func TestI9OverviewsOfOthers(t *testing.T) {
	get(t, portal(t, world(nil, nil), sitetest.Lena()), "/provider/overview", http.StatusNotFound)
	get(t, portal(t, world(quarter(), nil), sitetest.Lena()), "/provider/overview", http.StatusNotFound)
	b := world(quarter(), customers())
	get(t, portal(t, b, sitetest.Otto()), bank+"?customer=sakura", http.StatusOK)
	for _, q := range b.Asked {
		if q.GetTenant() != "meadowbank" {
			t.Errorf("%v is about %q", q.GetAsk(), q.GetTenant())
		}
	}
	get(t, portal(t, b, sitetest.Otto()), "/provider/overview", http.StatusNotFound)
}

func TestTheOverviewIsInEveryLanguage(t *testing.T) {
	for language, texts := range map[string][]string{
		"fr": {"Accès en cours", "61 sur 105 approuvées", "dont 3 urgences.",
			"Médiane\u00a0: 1 heure 22 minutes", "Semaine du 1er\u00a0juin"},
		"ja": {"現在有効なアクセス", "105 件中 61 件を承認", "中央値 1 時間 22 分", "6月1日からの週", "うち緊急は 3 件です。"},
	} {
		for _, path := range []string{bank, "/provider/overview"} {
			who := sitetest.Otto()
			if path != bank {
				who = sitetest.Lena()
			}
			has(t, get(t, portal(t, world(quarter(), customers()), who), path+"?lang="+language, http.StatusOK), texts...)
		}
	}
}
