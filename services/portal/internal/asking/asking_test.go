package asking_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/asking"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const machine = "/subscriptions/production/virtualMachines/payments-"

// world answers as the services would.
func world() *sitetest.Backend {
	return &sitetest.Backend{
		Queries: map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
			"list_scenarios": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Scenarios{Scenarios: &lockboxv1.ScenarioList{
					Scenarios: []*lockboxv1.ScenarioView{{ResourceType: "compute/virtual-machines", ServiceName: "Virtual machines",
						Scenario: "memory-dump", DisplayName: "Memory dump of a running machine", CustomerData: true}}}}}, nil
			},
			"list_tickets": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Tickets{Tickets: &lockboxv1.TicketList{
					Tickets: []*lockboxv1.TicketView{{TicketId: "sr-1", Reference: "SR-1", Tenant: "meadowbank",
						Title: "It hangs", SubscriptionId: "production"}}}}}, nil
			},
			"list_similar": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Similar{Similar: &lockboxv1.SimilarList{
					Requests: []*lockboxv1.SimilarRequest{{RequestId: "other", Requester: "Bob Baker",
						Status: lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE, CreatedAt: timestamppb.New(sitetest.Now)}}}}}, nil
			},
		},
		Intents: func(id string, in *lockboxv1.AccessIntent) (*lockboxv1.IntentOutcome, error) {
			o := &lockboxv1.IntentOutcome{IntentId: id, Tenant: in.GetTenant(), Sequence: 7, DryRun: in.GetDryRun(),
				NextStep: lockboxv1.NextStep_NEXT_STEP_CUSTOMER_DECISION,
				Deadline: timestamppb.New(sitetest.Now.Add(96 * time.Hour))}
			if in.GetDryRun() {
				o.Sequence = 0
			}
			return o, nil
		},
	}
}

func portal(t *testing.T, b *sitetest.Backend, who *session.Session) http.Handler {
	t.Helper()
	s := sitetest.New(t, b, who)
	routes, err := asking.Routes(s)
	if err != nil {
		t.Fatal(err)
	}
	return sitetest.Server(s, routes)
}

func typed(h http.Handler, t *testing.T) url.Values {
	t.Helper()
	page := sitetest.Get(h, "/provider/ask").Body.String()
	id := regexp.MustCompile(`name="intent" value="([^"]+)"`).FindStringSubmatch(page)
	if id == nil {
		t.Fatal(page)
	}
	return url.Values{"intent": {id[1]}, "customer": {"meadowbank"}, "subscription": {"production"},
		"operation": {"compute/virtual-machines memory-dump"}, "resources": {machine + "1\r\n\r\n  " + machine + "2\r\n"},
		"reason-type": {"CUSTOMER_INITIATED_SUPPORT"}, "ticket": {"SR-1"},
		"justification": {"It hangs; a dump will show where."}, "duration": {"2h0m0s"}}
}

// get requests a page with the cookie that says that something typed is kept.
func get(h http.Handler, address string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, address, nil)
	r.AddCookie(&http.Cookie{Name: "lockbox-draft", Value: "1"})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func has(t *testing.T, w *httptest.ResponseRecorder, status int, texts ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("%d, want %d", w.Code, status)
	}
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("it does not say %q", text)
		}
	}
}

// R62: an engineer types once, sees what would become of it, and sends it; nothing of it is in an address.
func TestR62AnEngineerAsksForAccess(t *testing.T) {
	b := world()
	h := portal(t, b, sitetest.Lena())
	has(t, sitetest.Get(h, "/provider/ask"), http.StatusOK, `value="meadowbank"`, "Meadow Bank: It hangs",
		"Virtual machines", `value="compute/virtual-machines memory-dump"`, "Support requested by the customer", "8 hours")
	form := typed(h, t)
	w := sitetest.Post(h, "/provider/ask", form)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/provider/ask/review" {
		t.Fatalf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	has(t, get(h, "/provider/ask/review"), http.StatusOK, "The customer is asked to decide.", machine+"2",
		"Reaches the customer’s data", "2 hours", "Bob Baker", "Requests for the same are already open or active")
	if len(b.Submitted) != 1 || !b.Submitted[0].GetDryRun() {
		t.Fatalf("looking has sent %v", b.Submitted)
	}
	w = sitetest.Post(h, "/provider/ask/send", form)
	in := b.Submitted[1]
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/provider/requests/"+in.GetId()+"?after=7" {
		t.Fatalf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	if in.GetTenant() != "meadowbank" || in.GetResourceType() != "compute/virtual-machines" || in.GetDryRun() ||
		in.GetScenario() != "memory-dump" || len(in.GetResourceIds()) != 2 || in.GetResourceIds()[1] != machine+"2" ||
		in.GetDuration().AsDuration() != 2*time.Hour || in.GetTicketId() != "SR-1" || in.GetEmergency() ||
		in.GetReasonType() != lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT || in.GetToken() != "" {
		t.Errorf("sent: %v", in)
	}
	sitetest.Post(h, "/provider/ask/send", form)
	if again := b.Submitted[2]; again.GetId() != in.GetId() {
		t.Error("the same form sent twice is two requests")
	}
	form.Set("duration", "1h0m0s")
	sitetest.Post(h, "/provider/ask/send", form)
	if other := b.Submitted[3]; other.GetId() == in.GetId() {
		t.Error("another request has the id of the first")
	}
	if w := get(h, "/provider/ask"); strings.Contains(w.Body.String(), "It hangs; a dump") {
		t.Error("what was sent is offered again")
	}
}

func TestWhatIsMissingIsSaidAtItsField(t *testing.T) {
	b := world()
	h := portal(t, b, sitetest.Lena())
	for name, row := range map[string][2]string{
		"customer": {"", "Enter the ID of one of the customers."}, "operation": {"", "Choose an operation."},
		"resources": {" \r\n ", "Enter 1 to 50 resource IDs"}, "reason-type": {"OTHER", "Choose another kind of reason."},
		"justification": {"short", "Enter 10 to 4,000 characters."}, "ticket": {"", "Enter one of the customer’s support"},
	} {
		form := typed(h, t)
		form.Set(name, row[0])
		for _, path := range []string{"/provider/ask", "/provider/ask/send"} {
			w := sitetest.Post(h, path, form)
			has(t, w, http.StatusBadRequest, row[1], `href="#`+name+`"`, `aria-invalid="true"`)
			if name != "justification" {
				has(t, w, http.StatusBadRequest, "It hangs; a dump will show where.")
			}
		}
	}
	form := typed(h, t)
	form.Set("reason-type", "THIRD_PARTY_DATA_REQUEST")
	has(t, sitetest.Post(h, "/provider/ask", form), http.StatusBadRequest, "Confirm that the customer may be told.")
	if len(b.Submitted) > 0 {
		t.Errorf("sent: %v", b.Submitted)
	}
}

// What the evaluator refuses stands at its field, in the reader's language, and everything typed is still there.
func TestWhatTheEvaluatorRefusesIsSaidAtItsField(t *testing.T) {
	for name, row := range map[string]struct {
		refused *lockboxv1.Refusal
		status  int
		texts   []string
	}{
		"resources": {refusal.Of(refusal.OfKind(
			refusal.Invalid("resource_ids", "R18", "must be /subscriptions/x or a path below it"),
			"resource-outside", "root", "/subscriptions/x")),
			http.StatusBadRequest,
			[]string{`href="#resources"`, "1 à 50 identifiants", "Indiquez /subscriptions/x ou un chemin"}},
		"a ticket": {refusal.Of(refusal.NotFound("ticket_id", "R11", "the tenant has no such ticket")),
			http.StatusBadRequest, []string{`href="#ticket"`, "Saisissez un ticket", "ou vous n’y avez pas accès"}},
		"a limit": {refusal.Of(refusal.OfKind(refusal.Precondition("token", "R52", "there are too many"),
			"waiting-engineer", "count", "60", "most", "50")), http.StatusConflict,
			[]string{"60 de vos demandes attendent une décision", "le maximum est de 50"}},
		"the engineer": {refusal.Of(refusal.Forbidden("token", "R13", "no second factor")), http.StatusConflict,
			[]string{"Une règle du fournisseur n’autorise pas"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := world()
			b.Intents = func(string, *lockboxv1.AccessIntent) (*lockboxv1.IntentOutcome, error) {
				return &lockboxv1.IntentOutcome{Refusal: row.refused}, nil
			}
			h := portal(t, b, sitetest.Lena())
			form := typed(h, t)
			texts := append(row.texts, form.Get("justification"), machine+"2", "selected", form.Get("intent"))
			has(t, sitetest.Post(h, "/provider/ask/send?lang=fr", form), row.status, texts...)
			sitetest.Post(h, "/provider/ask", form)
			has(t, get(h, "/provider/ask/review?lang=fr"), row.status, texts...)
		})
	}
	b := world()
	b.Intents = func(_ string, _ *lockboxv1.AccessIntent) (*lockboxv1.IntentOutcome, error) { // recorded all the same
		return &lockboxv1.IntentOutcome{Sequence: 9,
			Refusal: refusal.Of(refusal.Forbidden("token", "R13", "no second factor"))}, nil
	}
	h := portal(t, b, sitetest.Lena())
	if w := sitetest.Post(h, "/provider/ask/send", typed(h, t)); w.Code != http.StatusSeeOther {
		t.Errorf("a request that was refused is not shown: %d", w.Code)
	}
}

// Without an answer in time nothing is called done, and the link leads to where it will be.
func TestAnEvaluationThatTakesLongIsSaidSo(t *testing.T) {
	b := world()
	b.Intents = nil
	h := portal(t, b, sitetest.Lena())
	form := typed(h, t)
	sitetest.Post(h, "/provider/ask", form)
	has(t, get(h, "/provider/ask/review"), http.StatusOK, "There was no answer in time.")
	w := sitetest.Post(h, "/provider/ask/send", form)
	has(t, w, http.StatusAccepted, "still being evaluated", "/provider/requests/"+b.Submitted[1].GetId())
}

// A customer's people have no such page, and nobody is led to a form that an address has filled in.
func TestNobodyElseAsksAndNoAddressFillsIn(t *testing.T) {
	b := world()
	for _, path := range []string{"/t/meadowbank/ask", "/provider/ask"} {
		has(t, sitetest.Get(portal(t, b, sitetest.Otto()), path), http.StatusNotFound)
		has(t, sitetest.Post(portal(t, b, sitetest.Otto()), path+"/send", url.Values{}), http.StatusNotFound)
	}
	h := portal(t, b, sitetest.Lena())
	page := sitetest.Get(h, "/provider/ask?justification=made+up+by+others").Body.String()
	if strings.Contains(page, "made up by others</textarea>") {
		t.Error("an address fills in the form")
	}
	if w := get(h, "/provider/ask/review"); w.Code != http.StatusSeeOther {
		t.Errorf("a review of nothing: %d", w.Code)
	}
	form := typed(h, t)
	form.Set("intent", "not-an-id")
	if w := sitetest.Post(h, "/provider/ask/send", form); w.Code != http.StatusBadRequest || len(b.Submitted) > 0 {
		t.Errorf("an id that is none: %d, %v", w.Code, b.Submitted)
	}
}
