package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer/bearertest"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	id    = "019b0000-0000-7000-8000-000000000001"
	other = "019b0000-0000-7000-8000-000000000002"
)

func view() *lockboxv1.RequestView {
	otto := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: &lockboxv1.Person{Subject: "otto"},
		TokenSha256: []byte{1, 2}, AuthenticatedAt: timestamppb.New(sitetest.Now)}
	return &lockboxv1.RequestView{
		RequestId: id, Tenant: "meadowbank", Status: lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED, Version: 3,
		CreatedAt: timestamppb.New(sitetest.Now),
		Intent: &lockboxv1.AccessIntent{Id: id, ResourceIds: []string{"/subscriptions/x/y"},
			ReasonType: lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT, Duration: durationpb.New(90 * time.Minute)},
		Lockbox: &lockboxv1.CustomerNotified{Approvers: []*lockboxv1.Approver{{Person: otto.GetPerson(),
			Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER}}}, RequiredApprovals: 1},
		Evaluation: &lockboxv1.AccessEvaluated{
			Facts: &lockboxv1.EvaluationFacts{TenantSequence: 5,
				History: &lockboxv1.EngineerHistory{Requests: 2}},
			InternalRemindBefore: []*durationpb.Duration{durationpb.New(time.Hour + time.Millisecond)},
		},
		CustomerDecisions: []*lockboxv1.Decision{{Actor: otto, Approved: true, Time: timestamppb.New(sitetest.Now)}},
		Timeline:          []*lockboxv1.TimelineEntry{{Sequence: 7, Version: 1, Type: "AccessRequested"}},
		Allowed:           []string{"approve"},
	}
}

// bank answers everything.
func bank() *sitetest.Backend {
	query := func(r *lockboxv1.QueryReply) func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) { r.Sequence = 42; return r, nil }
	}
	b := &sitetest.Backend{
		Queries: map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
			"get_self": query(&lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{Self: &lockboxv1.SelfView{
				Tenant: "meadowbank", Roles: []*lockboxv1.HeldRole{{Role: lockboxv1.Role_ROLE_OWNER, SubscriptionId: "x"}},
				MaxAuthenticationAge: durationpb.New(time.Hour),
			}}}),
			"list_requests": query(&lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Requests{Requests: &lockboxv1.RequestList{
				Requests: []*lockboxv1.RequestView{view()}, NextPageToken: "next", Total: 1 << 60,
			}}}),
			"get_request": query(&lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Request{Request: view()}}),
			"list_activity": query(&lockboxv1.QueryReply{
				Answer: &lockboxv1.QueryReply_Activity{Activity: &lockboxv1.ActivityList{
					Activities: []*lockboxv1.Activity{{Entry: &lockboxv1.TimelineEntry{Type: "CustomerDenied"},
						Event: &lockboxv1.Event{
							Id: other, Fact: &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{Reason: "no"}},
						}}},
				}}}),
			"list_access": query(&lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Access{Access: &lockboxv1.AccessList{
				Records: []*lockboxv1.AccessRecord{{Id: other, Kind: lockboxv1.AccessKind_ACCESS_KIND_READ, Count: 3,
					Who: &lockboxv1.AccessPerson{Subject: "erin", Side: lockboxv1.Side_SIDE_PROVIDER}}}, NextPageToken: "next",
			}}}),
			"get_overview": query(&lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Overview{Overview: &lockboxv1.Overview{
				Open: &lockboxv1.OpenFigures{Waiting: 3}, Outcomes: []*lockboxv1.OutcomeFigures{{Count: 2,
					Outcome: lockboxv1.RequestOutcome_REQUEST_OUTCOME_DENIED}},
				Decisions: &lockboxv1.DecisionFigures{Median: durationpb.New(90 * time.Minute)}}}}),
			"get_dashboard": query(&lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Dashboard{
				Dashboard: &lockboxv1.Dashboard{Count: 1, Customers: []*lockboxv1.CustomerFigures{{Tenant: "meadowbank"}},
					Log: &lockboxv1.LogHealth{LastAlarm: &lockboxv1.DifferenceFound{
						Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_GAP}}}}}),
			"preview_approvers": query(&lockboxv1.QueryReply{
				Answer: &lockboxv1.QueryReply_Approvers{Approvers: &lockboxv1.ApproversPreview{
					Basis: lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, RequiredApprovals: 2,
				}}}),
		},
		Commands: map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error){},
	}
	for _, verb := range []string{"approve", "deny", "revoke", "ask", "answer", "withdraw", "release", "internal_approve",
		"internal_refuse"} {
		b.Commands[verb] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
			return &lockboxv1.CommandReply{Sequence: 43, Version: 4, EventId: other}, nil
		}
	}
	return b
}

// call calls, and compares with the document.
func call(
	t *testing.T, b *sitetest.Backend, method, address, token, body string, headers ...string,
) *httptest.ResponseRecorder {
	t.Helper()
	w := bearertest.Call(serve(t, b), method, prefix+address, token, body, headers...)
	r := httptest.NewRequest(method, prefix+address, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	documented(t, r, body, w)
	return w
}

func TestWhatIsRead(t *testing.T) {
	customers, of := "meadowbank", func(token string) string {
		return map[string]string{bearertest.Otto: "otto", bearertest.Lena: "lena"}[token]
	}
	for _, c := range []struct {
		token, address string
		asked          *lockboxv1.Query
		answer         proto.Message
	}{
		{bearertest.Otto, "/self", &lockboxv1.Query{Tenant: customers,
			Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}}, new(lockboxv1.SelfView)},
		{
			bearertest.Otto, "/requests?status=REQUEST_STATUS_ACTIVE&status=REQUEST_STATUS_DENIED&subscriptionId=x&ticketId=SR-1&awaitingMe=true&waived=true&waivedSince=2026-08-03T09:30:00Z&count=true&limit=7&pageToken=p&after=41&resourceType=t&engineer=erin&subscription=prod&emergency=true&text=x",
			&lockboxv1.Query{Tenant: customers, MinSequence: 41,
				Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{
					Statuses: []lockboxv1.RequestStatus{lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE,
						lockboxv1.RequestStatus_REQUEST_STATUS_DENIED},
					SubscriptionId: "x", TicketId: "SR-1", AwaitingMe: true, Count: true, Limit: 7, PageToken: "p",
					Waived: true, WaivedSince: timestamppb.New(time.Date(2026, 8, 3, 9, 30, 0, 0, time.UTC)),
					ResourceType: "t", Engineer: "erin", Subscription: "prod", Emergency: true, Text: "x",
				}}}, new(lockboxv1.RequestList),
		},
		{bearertest.Lena, "/requests",
			&lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{}}},
			new(lockboxv1.RequestList)},
		{bearertest.Lena, "/requests?tenant=meadowbank",
			&lockboxv1.Query{Tenant: customers, Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{}}},
			new(lockboxv1.RequestList)},
		{
			bearertest.Otto, "/requests/" + id + "?tenant=meadowbank",
			&lockboxv1.Query{Tenant: customers,
				Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}}, new(lockboxv1.RequestView),
		},
		{
			bearertest.Otto, "/activity?action=CustomerDenied&action=Approve%20Lockbox%20Request&since=2026-08-03T09:30:00Z&until=2026-08-04T09:30:00.5%2B02:00&person=otto&resource=/a&subscriptionId=x&requestId=" + id + "&limit=1000&pageToken=p",
			&lockboxv1.Query{Tenant: customers, Ask: &lockboxv1.Query_ListActivity{ListActivity: &lockboxv1.ListActivity{
				Actions: []string{"CustomerDenied", "Approve Lockbox Request"}, Since: timestamppb.New(sitetest.Now),
				Until:  timestamppb.New(time.Date(2026, 8, 4, 7, 30, 0, 500_000_000, time.UTC)),
				Person: "otto", Resource: "/a", SubscriptionId: "x", RequestId: id, Limit: 1000, PageToken: "p",
			}}}, new(lockboxv1.ActivityList),
		},
		{
			bearertest.Otto, "/tenants/meadowbank/access-records?kind=READ&kind=SIGN_IN_FAILED&since=2026-08-03T09:30:00Z" +
				"&person=erin&providerOnly=true&limit=10&pageToken=p",
			&lockboxv1.Query{Tenant: customers, Ask: &lockboxv1.Query_ListAccess{ListAccess: &lockboxv1.ListAccess{
				Kinds: []lockboxv1.AccessKind{lockboxv1.AccessKind_ACCESS_KIND_READ,
					lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED},
				Since: timestamppb.New(sitetest.Now), Person: "erin", ProviderOnly: true, Limit: 10, PageToken: "p",
			}}}, new(lockboxv1.AccessList),
		},
		{
			bearertest.Lena, "/tenants/meadowbank/access-records",
			&lockboxv1.Query{Tenant: customers, Ask: &lockboxv1.Query_ListAccess{ListAccess: &lockboxv1.ListAccess{}}},
			new(lockboxv1.AccessList),
		},
		{
			bearertest.Otto, "/approvers?subscriptionId=x",
			&lockboxv1.Query{Tenant: customers,
				Ask: &lockboxv1.Query_PreviewApprovers{PreviewApprovers: &lockboxv1.PreviewApprovers{SubscriptionId: "x"}}},
			new(lockboxv1.ApproversPreview),
		},
		{
			bearertest.Otto, "/overview?engineer=erin&subscription=prod&emergency=true",
			&lockboxv1.Query{Tenant: customers, Ask: &lockboxv1.Query_GetOverview{GetOverview: &lockboxv1.GetOverview{
				Engineer: "erin", Subscription: "prod", Emergency: true}}}, new(lockboxv1.Overview),
		},
		{
			bearertest.Lena, "/dashboard?engineer=erin&emergency=true&after=41",
			&lockboxv1.Query{MinSequence: 41, Ask: &lockboxv1.Query_GetDashboard{GetDashboard: &lockboxv1.GetDashboard{
				Engineer: "erin", Emergency: true}}}, new(lockboxv1.Dashboard),
		},
	} {
		t.Run(of(c.token)+" "+c.address, func(t *testing.T) {
			b := bank()
			w := call(t, b, "GET", c.address, c.token, "", "Accept-Language", "ja")
			if c.asked.Language = "ja"; w.Code != 200 || len(b.Asked) != 1 || w.Header().Get("Lockbox-Sequence") != "42" {
				t.Fatalf("%d %s, asked %v", w.Code, w.Body, b.Asked)
			}
			if diff := cmp.Diff(c.asked, b.Asked[0], protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if err := protojson.Unmarshal(w.Body.Bytes(), c.answer); err != nil || proto.Size(c.answer) == 0 {
				t.Errorf("%v: %s", err, w.Body)
			}
		})
	}
}

func TestWhatIsDone(t *testing.T) {
	for _, c := range []struct {
		token, verb, body string
		want              *lockboxv1.Command
	}{
		{bearertest.Otto, "approve", `{"reason":"ok","duration":"5400s","resourceIds":["/a"],"seenVersion":3}`,
			&lockboxv1.Command{SeenVersion: 3, Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{
				Reason: "ok", Duration: durationpb.New(90 * time.Minute), ResourceIds: []string{"/a"},
			}}}},
		{bearertest.Otto, "approve", `{}`,
			&lockboxv1.Command{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}}},
		{bearertest.Otto, "deny", `{"reason":"no","seenVersion":"3"}`,
			&lockboxv1.Command{SeenVersion: 3, Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: "no"}}}},
		{bearertest.Otto, "deny", `{"reason":"no","seenVersion":"18446744073709551615"}`,
			&lockboxv1.Command{SeenVersion: 1<<64 - 1, Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: "no"}}}},
		{bearertest.Otto, "revoke", `{"reason":"enough"}`,
			&lockboxv1.Command{Action: &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: "enough"}}}},
		{bearertest.Otto, "ask", `{"text":"Why?"}`,
			&lockboxv1.Command{Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "Why?"}}}},
		{bearertest.Lena, "answer", `{"questionId":"q","text":"So."}`,
			&lockboxv1.Command{Action: &lockboxv1.Command_Answer{Answer: &lockboxv1.Answer{QuestionId: "q", Text: "So."}}}},
		{bearertest.Lena, "withdraw", `{"reason":"solved"}`,
			&lockboxv1.Command{Action: &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{Reason: "solved"}}}},
		{bearertest.Lena, "release", `{}`,
			&lockboxv1.Command{Action: &lockboxv1.Command_Release{Release: &lockboxv1.Release{}}}},
		{bearertest.Lena, "internal-approve", `{"comment":"ok"}`,
			&lockboxv1.Command{Action: &lockboxv1.Command_InternalApprove{
				InternalApprove: &lockboxv1.InternalApprove{Comment: "ok"}}}},
		{bearertest.Lena, "internal-refuse", `{"reason":"no"}`,
			&lockboxv1.Command{Action: &lockboxv1.Command_InternalRefuse{
				InternalRefuse: &lockboxv1.InternalRefuse{Reason: "no"}}}},
	} {
		t.Run(c.verb, func(t *testing.T) {
			b := bank()
			w := call(t, b, "POST", "/requests/"+id+"/"+c.verb+"?tenant=meadowbank", c.token, c.body, "Idempotency-Key", other)
			if w.Code != 200 || len(b.Done) != 1 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			c.want.Id, c.want.Tenant, c.want.AggregateId = b.Done[0].GetId(), "meadowbank", id
			if diff := cmp.Diff(c.want, b.Done[0], protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if got := w.Body.String(); got != `{"sequence":"43","version":"4","eventId":"`+other+`"}` {
				t.Error(got)
			}
		})
	}
}

// wrong is a problem's status, code and field.
func wrong(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var d details
	strict := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&d); err != nil || d.Status != w.Code || d.Detail == "" ||
		w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%v: %d %s", err, w.Code, w.Body)
	}
	return strings.TrimSpace(http.StatusText(d.Status) + ": " + strings.TrimPrefix(d.Code, "REFUSAL_CODE_") + " " +
		d.Field)
}

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	for _, c := range [][3]string{
		{"GET", "/requests?Status=REQUEST_STATUS_ACTIVE", "Status"}, {"GET", "/requests?status=1", "status"},
		{"GET", "/requests?status=REQUEST_STATUS_UNSPECIFIED", "status"},
		{"GET", "/requests?limit=0", "limit"}, {"GET", "/requests?limit=x", "limit"},
		{"GET", "/requests?limit=1&limit=2", "limit"}, {"GET", "/requests?after=-1", "after"},
		{"GET", "/requests?awaitingMe=1", "awaitingMe"}, {"GET", "/requests?subscriptionId=", "subscriptionId"},
		{"GET", "/requests?a;b", "query"},
		{"GET", "/tenants/meadowbank/access-records?kind=LOOK", "kind"},
		{"GET", "/tenants/meadowbank/access-records?tenant=meadowbank", "tenant"},
		{"GET", "/activity?since=yesterday", "since"}, {"GET", "/self?limit=1", "limit"},
		{"GET", "/requests/" + id + "?subscriptionId=x", "subscriptionId"},
		{"POST", "/requests/" + id + `/deny {"reason":"x","more":1}`, "more"},
		{"POST", "/requests/" + id + `/deny {"Reason":"x"}`, "Reason"},
		{"POST", "/requests/" + id + `/deny {"reason":"x","token":"y"}`, "token"},
		{"POST", "/requests/" + id + `/approve {"duration":8}`, "duration"},
		{"POST", "/requests/" + id + `/approve {"duration":"8"}`, "duration"},
		{"POST", "/requests/" + id + `/approve {"resourceIds":[1]}`, "resourceIds"},
		{"POST", "/requests/" + id + `/approve {"seenVersion":-1}`, "seenVersion"},
		{"POST", "/requests/" + id + `/approve {"seenVersion":1.5}`, "seenVersion"},
		{"POST", "/requests/" + id + `/approve {"seenVersion":"x"}`, "seenVersion"},
		{"POST", "/requests/" + id + `/approve {"seenVersion":[1]}`, "seenVersion"},
		{"POST", "/requests/" + id + `/approve {"seenVersion":18446744073709551616}`, "seenVersion"},
		{"POST", "/requests/" + id + `/answer {"question_id":"q"}`, "question_id"},
		{"POST", "/requests/" + id + `/deny {"reason":"x","reason":"y"}`, "body"},
		{"POST", "/requests/" + id + `/approve?after=1 {}`, "after"},
	} {
		b := bank()
		address, body, _ := strings.Cut(c[1], " ")
		if got := wrong(t, call(t, b, c[0], address, bearertest.Otto, body)); got != "Bad Request: INVALID "+c[2] {
			t.Errorf("%s: %s", c[1], got)
		}
		if len(b.Asked)+len(b.Done) > 0 {
			t.Errorf("%s: %v %v", c[1], b.Asked, b.Done)
		}
	}
	for _, keys := range [][]string{{"Idempotency-Key", "x"}, {"Idempotency-Key", "11111111-2222-4333-8444-555555555555"},
		{"Idempotency-Key", id, "Idempotency-Key", other}} {
		b := bank()
		if got := wrong(t, call(t, b, "POST", "/requests/"+id+"/approve", bearertest.Otto, "{}",
			keys...)); got != "Bad Request: INVALID Idempotency-Key" || len(b.Done) > 0 {
			t.Errorf("%v: %s", keys, got)
		}
	}
}

// A key stands for one call of one caller. The services take a command whose id they know for one that is carried out,
// so what is sent under a key that stands for something else must not get the same id: nobody would hear that it was
// not done.
func TestAKeyStandsForOneCallOfOneCaller(t *testing.T) {
	from := func(subject string) string {
		return bearertest.TokenOf(subject, "https://login.meadowbank.example", "lockbox")
	}
	seen := map[string]string{}
	for _, c := range []struct{ what, key, token, request, verb, body string }{
		{"a call", other, from("otto"), id, "approve", `{"reason": "x"}`},
		{"another key", id, from("otto"), id, "approve", `{"reason": "x"}`},
		{"another verb", other, from("otto"), id, "revoke", `{"reason": "x"}`},
		{"another one that takes the same", other, from("otto"), id, "deny", `{"reason": "x"}`},
		{"other words", other, from("otto"), id, "approve", `{"reason": "y"}`},
		{"another request", other, from("otto"), other, "approve", `{"reason": "x"}`},
		{"another version", other, from("otto"), id, "approve", `{"reason": "x", "seenVersion": 3}`},
		{"somebody else", other, from("fleur"), id, "approve", `{"reason": "x"}`},
	} {
		b := bank()
		for range 2 {
			if w := call(t, b, "POST", "/requests/"+c.request+"/"+c.verb, c.token, c.body, "Idempotency-Key",
				c.key); w.Code != 200 {
				t.Fatalf("%s: %d %s", c.what, w.Code, w.Body)
			}
		}
		first := b.Done[0].GetId()
		if b.Done[1].GetId() != first || input.UUIDv7("id", first) != nil {
			t.Errorf("%s: sent twice it is %s and %s", c.what, first, b.Done[1].GetId())
		}
		if as, taken := seen[first]; taken {
			t.Errorf("%s is the same as %s", c.what, as)
		}
		seen[first] = c.what
	}
}

// control: soc2:CC6.1
func TestAnotherTenantIsNotThere(t *testing.T) {
	b := bank()
	for _, route := range serve(t, b).Routes {
		address := strings.NewReplacer(prefix, "", "{requestId}", id, "{tenant}", "sakura").Replace(route.Path) +
			"?tenant=sakura"
		if route.Open {
			continue
		}
		body := ""
		if route.Method == http.MethodPost {
			body = "{}"
		}
		if got := wrong(t, call(t, b, route.Method, address, bearertest.Otto, body)); got != "Not Found: NOT_FOUND" {
			t.Errorf("%s: %s", address, got)
		}
		if got := wrong(t, call(t, b, route.Method, address, "",
			body)); got != "Unauthorized: UNAUTHENTICATED Authorization" {
			t.Errorf("%s: %s", address, got)
		}
	}
	if len(b.Asked)+len(b.Done) > 0 {
		t.Errorf("%v %v", b.Asked, b.Done)
	}
}

func TestRefusalsAreProblems(t *testing.T) {
	for want, err := range map[string]error{
		"Bad Request: INVALID deny.reason":    refusal.Invalid("deny.reason", "R28", "is required"),
		"Forbidden: FORBIDDEN token":          refusal.Forbidden("token", "R20", "you were not an approver"),
		"Not Found: NOT_FOUND":                refusal.NotFound("aggregate_id", "I9", "there is no such request"),
		"Conflict: CONFLICT seen_version":     refusal.Conflict("seen_version", "R29", "it has changed"),
		"Conflict: PRECONDITION aggregate_id": refusal.Precondition("aggregate_id", "R26", "expired"),
		"Service Unavailable: UNAVAILABLE":    refusal.Unavailable("", "I11", "nobody answers"),
		"Internal Server Error: UNAVAILABLE":  io.ErrUnexpectedEOF,
	} {
		b := bank()
		b.Commands["deny"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) { return nil, err }
		w := call(t, b, "POST", "/requests/"+id+"/deny", bearertest.Otto, `{"reason":"no"}`)
		if got := wrong(t, w); got != want || strings.Contains(w.Body.String(), "EOF") {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestTheDocumentIsServedToEverybody(t *testing.T) {
	w := call(t, bank(), "GET", "/openapi.json", "", "")
	var served map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &served); err != nil || served["openapi"] != "3.0.3" {
		t.Errorf("%v %.100s", err, w.Body)
	}
}

func TestGettingChangesNothing(t *testing.T) {
	b := bank()
	for _, route := range serve(t, b).Routes {
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			bearertest.Call(serve(t, b), method, strings.ReplaceAll(route.Path, "{requestId}", id), bearertest.Otto, "{}")
		}
	}
	if len(b.Done) > 0 {
		t.Errorf("%v", b.Done)
	}
}
