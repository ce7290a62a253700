package activitylog_test

import (
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/activitylog"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// served is the pages as that person sees them.
func served(t *testing.T, b *sitetest.Backend, self *lockboxv1.SelfView) http.Handler {
	t.Helper()
	s := sitetest.New(t, b, signedIn(self))
	routes, err := activitylog.Routes(s)
	if err != nil {
		t.Fatal(err)
	}
	return sitetest.Server(s, routes)
}

// get returns a page with entities resolved, and demands its status.
func get(t *testing.T, h http.Handler, address string, status int) string {
	t.Helper()
	w := sitetest.Get(h, address)
	if w.Code != status {
		t.Errorf("%s: %d, want %d\n%s", address, w.Code, status, w.Body)
	}
	return w.Body.String()
}

func holds(t *testing.T, page string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(html.UnescapeString(page), w) {
			t.Errorf("there is no %q", w)
		}
	}
}

func lacks(t *testing.T, page string, unwanted ...string) {
	t.Helper()
	for _, u := range unwanted {
		if strings.Contains(page, u) {
			t.Errorf("there is %q", u)
		}
	}
}

func TestTheLogReadsInEachLanguage(t *testing.T) {
	for lang, words := range map[string][]string{
		"en": {"Activity log", "Mon 3\u00a0Aug 2026, 07:30:00\u00a0UTC", "Older"},
		"fr": {"Journal d’", "lun. 3\u00a0août 2026 à 07\u00a0h\u00a030\u00a0min\u00a000\u00a0s\u00a0UTC", "Plus anciennes"},
		"ja": {"アクティビティ ログ", "2026年8月3日（月）07:30:00\u00a0UTC", "以前の記録へ"},
	} {
		t.Run(lang, func(t *testing.T) {
			b := backend(grace())
			page := get(t, served(t, b, grace()), "/t/meadowbank/activity?lang="+lang, http.StatusOK)
			holds(t, page, words...)
			holds(t, page, said[lang]...)
			holds(t, page, `<html lang="`+lang+`">`, "Fleur Lefèvre", "Erin Ellis", "Brightline Contractors",
				`href="/t/meadowbank/requests/`+requestID+`"`,
				`href="/t/meadowbank/tickets/SR-2026-0001"`, `datetime="2026-08-03T07:30:00Z"`,
				`<option value="Approve Lockbox Request">`+activity.In(lang).Title("Approve Lockbox Request")+"</option>")
			for _, q := range b.Asked {
				if q.GetListActivity() != nil && (q.GetLanguage() != lang || q.GetTenant() != "meadowbank") {
					t.Errorf("asked for %s in %s", q.GetTenant(), q.GetLanguage())
				}
			}
		})
	}
}

func TestDisclosuresReadInEachLanguage(t *testing.T) {
	for lang, words := range map[string][]string{
		"en": {"Disclosures", "Legal demand", "Inadvertent exposure", "You were told", "Nimbus Cloud told you of"},
		"fr": {"Divulgations", "Demande légale", "Exposition par inadvertance", "Vous en avez été informés"},
		"ja": {"開示", "法的な開示請求", "意図しない開示", "お知らせした日時"},
	} {
		page := get(t, served(t, backend(grace()), grace()), "/t/meadowbank/disclosures?lang="+lang, http.StatusOK)
		holds(t, page, words...)
		holds(t, page, "District Court of Lakeside", "4 K 218/26", "A packet capture held payment traffic for eleven minutes",
			"/networks/core", "Sam Sato", `href="`+sitetest.Statement+`"`)
	}
}

func TestR39EveryFilterIsAsked(t *testing.T) {
	b := backend(grace())
	h := served(t, b, grace())
	page := get(t, h, "/t/meadowbank/activity?"+url.Values{
		"action": {"Approve Lockbox Request"}, "from": {"2026-08-01T00:00"}, "until": {"2026-08-03T09:00"},
		"person":   {" Otto Owens "},
		"resource": {"/subscriptions/meadow-production"}, "subscription": {"meadow-production"}, "request": {requestID},
		"page": {"token"},
	}.Encode(), http.StatusOK)
	want := &lockboxv1.ListActivity{
		Actions: []string{"Approve Lockbox Request"}, Person: "Otto Owens", Resource: "/subscriptions/meadow-production",
		SubscriptionId: "meadow-production",
		RequestId:      requestID, Limit: 50, PageToken: "token",
		Since: timestamppb.New(time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)),
		Until: timestamppb.New(time.Date(2026, 8, 3, 9, 0, 0, 0, time.UTC)),
	}
	if got := asked(b); len(got) != 1 || !proto.Equal(got[0], want) {
		t.Errorf("asked %v, want %v", got, want)
	}
	holds(t, page, `<option value="Approve Lockbox Request" selected>Approve Lockbox Request<`, `value="2026-08-01T00:00"`,
		`value="Otto Owens"`, `<details class="card filter" open>`,
		`<option value="meadow-production">Production</option>`)
	const action, rest = "action=Approve+Lockbox+Request&", "person=Otto+Owens&request=" + requestID + "&"
	for _, link := range []string{
		"?" + action + "from=2026-08-01T00%3A00&page=older&" + rest, "?" + action + "from=2026-08-01T00%3A00&" + rest,
		"/export?" + action + "format=csv&from=2026-08-01T00%3A00&" + rest, "/export?" + action +
			"format=jsonl&from=2026-08-01T00%3A00&" + rest,
	} {
		holds(t, page, `href="/t/meadowbank/activity`+link)
	}
	b.Asked = nil
	page = get(t, h, "/t/meadowbank/activity", http.StatusOK)
	if got := asked(b); len(got) != 1 || slices.Contains(got[0].GetActions(), "Send Notification") ||
		len(got[0].GetActions()) != len(activity.Actions())-1 {
		t.Errorf("without a filter: %v", got)
	}
	b.Asked = nil
	get(t, h, "/t/meadowbank/activity?mails=yes", http.StatusOK)
	if got := asked(b); len(got) != 1 || !proto.Equal(got[0], &lockboxv1.ListActivity{Limit: 50}) {
		t.Errorf("with mails: %v", got)
	}
	lacks(t, page, " open>", "Show everything")
}

func asked(b *sitetest.Backend) (list []*lockboxv1.ListActivity) {
	for _, q := range b.Asked {
		if q.GetListActivity() != nil {
			list = append(list, q.GetListActivity())
		}
	}
	return list
}

func TestWhatIsWrongWithAFilterStandsBesideItsField(t *testing.T) {
	b := backend(grace())
	h := served(t, b, grace())
	page := get(t, h, "/t/meadowbank/activity?from=yesterday&person=otto", http.StatusBadRequest)
	holds(t, page, `<a href="#from">From</a>`, `From (UTC)</label>`, `id="from-wrong"`,
		`aria-invalid="true" aria-describedby="from-wrong"`, `value="otto"`)
	lacks(t, page, "/activity/export?")
	if len(asked(b)) != 0 {
		t.Error("it was asked all the same")
	}
	b.Queries["list_activity"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return nil, refusal.Invalid("list_activity.person", "bad input", "must be one line without tabs")
	}
	page = get(t, h, "/t/meadowbank/activity?person=a%09b&lang=fr", http.StatusBadRequest)
	holds(t, page, `<a href="#person">Personne</a>`, "Cette valeur ne peut pas être acceptée")
	b.Queries["list_activity"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return nil, refusal.Invalid("list_activity.page_token", "R39", "is not the next_page_token of an earlier answer")
	}
	get(t, h, "/t/meadowbank/activity?page=x", http.StatusBadRequest)
}

func TestNothingIsSaidToBeNothing(t *testing.T) {
	b := backend(grace())
	b.Queries["list_activity"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) { return listed(nil), nil }
	h := served(t, b, grace())
	holds(t, get(t, h, "/t/meadowbank/activity", http.StatusOK), "Nothing has happened yet.")
	holds(t, get(t, h, "/t/meadowbank/activity?person=nobody", http.StatusOK), "Nothing fits the filter.",
		"Show everything")
	b.Queries["list_activity"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return nil, refusal.NotFound("", "I9", "nothing")
	}
	lacks(t, get(t, h, "/t/meadowbank/activity", http.StatusNotFound), "<table")
}

func TestWhoMaySeeDisclosuresIsShownTheWay(t *testing.T) {
	owner := &lockboxv1.SelfView{Actor: otto, Tenant: "meadowbank",
		Roles: []*lockboxv1.HeldRole{{Role: lockboxv1.Role_ROLE_OWNER, SubscriptionId: "meadow-production"}}}
	engineer := &lockboxv1.SelfView{Actor: erin}
	for _, c := range []struct {
		self *lockboxv1.SelfView
		base string
		link bool
	}{{grace(), "/t/meadowbank", true}, {owner, "/t/meadowbank", false}, {sam(), "/provider", true},
		{engineer, "/provider", false}} {
		page := get(t, served(t, backend(c.self), c.self), c.base+"/activity", http.StatusOK)
		if got := strings.Contains(page, `href="`+c.base+`/disclosures"`); got != c.link {
			t.Errorf("%s %v: link %t", c.base, c.self.GetRoles(), got)
		}
	}
	b := backend(owner)
	b.Queries["list_disclosures"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return nil, refusal.NotFound("", "I9", "nothing")
	}
	get(t, served(t, b, owner), "/t/meadowbank/disclosures", http.StatusNotFound)
}

func TestSecurityOfficersSeeTheLogOfAllCustomers(t *testing.T) {
	b := backend(sam())
	h := served(t, b, sam())
	page := get(t, h, "/provider/activity", http.StatusOK)
	holds(t, page, "Everything that happened at all customers", `data-label="Customer">Meadow Bank<`,
		`href="/provider/requests/`+requestID+`"`)
	hidden := told()
	hidden[0].ToldAt, hidden[0].EmbargoUntil = nil, timestamppb.New(sitetest.Now.Add(time.Hour))
	hidden[1].ToldAt = nil
	b.Queries["list_disclosures"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Disclosures{
			Disclosures: &lockboxv1.DisclosureList{Disclosures: append(hidden, told()[0])}}}, nil
	}
	holds(t, get(t, h, "/provider/disclosures", http.StatusOK), "Under embargo", "Customer is being told", "Customer told",
		"Meadow Bank")
	for _, q := range b.Asked {
		if q.GetTenant() != "" || q.GetGetTenant_() != nil {
			t.Errorf("asked %v", q)
		}
	}
}

// payloads try to become part of the page.
var payloads = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`,
	`</textarea><script>alert(1)</script>`, `{{.Visit.Session.Token}}`, "https://elsewhere.example",
	"www.elsewhere.example",
	`javascript:alert(1)`, `</title><svg/onload=alert(1)>`, `<!--`, `&lt;script&gt;`, "\u202e<b>",
}

func TestWhatPeopleWroteStaysText(t *testing.T) {
	for _, p := range payloads {
		by := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Employer: p, Person: &lockboxv1.Person{DisplayName: p}}
		a := entry(1, time.Hour, "AccessRequested", p, by, p, p)
		a.RequestId, a.Tenant = p, p
		ticket := proto.CloneOf(a)
		ticket.RequestId, ticket.Kind, ticket.AggregateId = "", "ticket", p
		subscription := proto.CloneOf(a)
		subscription.RequestId, subscription.SubscriptionId = "", p
		b := backend(sam())
		b.Queries["list_activity"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return listed(&lockboxv1.ActivityList{Activities: []*lockboxv1.Activity{a, ticket, subscription}, NextPageToken: p}),
				nil
		}
		b.Queries["list_disclosures"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Disclosures{
				Disclosures: &lockboxv1.DisclosureList{Disclosures: []*lockboxv1.DisclosureView{{
					DisclosureId: p, Tenant: p, Authority: p, Reference: p, DisclosedBy: by,
					Occurrence: &lockboxv1.Occurrence{What: p, Description: p, Reason: p, ResourceIds: []string{p}},
				}}}}}, nil
		}
		h := served(t, b, sam())
		query := url.Values{"person": {p}, "resource": {p}, "subscription": {p}, "request": {p}, "action": {p}, "from": {p}}
		for _, page := range []string{
			get(t, h, "/provider/activity", http.StatusOK), get(t, h, "/provider/disclosures", http.StatusOK),
			get(t, h, "/provider/activity?"+query.Encode(), http.StatusBadRequest),
		} {
			page = strings.ReplaceAll(page, `href="`+sitetest.Statement+`"`, "")
			lacks(t, page, "<script>alert", "<img src=x", "onmouseover='", "<svg", "<b>", `href="javascript:`,
				`href="https:`, `href="www`, "token\"")
			if strings.ContainsAny(p, `<"'`) {
				lacks(t, page, p)
			}
		}
	}
}
