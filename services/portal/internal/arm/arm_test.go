package arm_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/arm"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer/bearertest"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	production = "/subscriptions/meadow-production"
	requests   = production + "/providers/Microsoft.CustomerLockbox/requests"
	activity   = production + "/providers/microsoft.insights/eventtypes/management/values"
	lockbox    = "/providers/Microsoft.CustomerLockbox"
	v          = "?api-version=2018-02-28-preview"
	id         = "019b0000-0000-7000-8000-000000000001"
)

var since = "?api-version=2015-04-01&$filter=" + url.QueryEscape("eventTimestamp ge '2026-08-01T00:00:00Z'")

func view() *lockboxv1.RequestView {
	return &lockboxv1.RequestView{
		RequestId: id, Tenant: "meadowbank", Status: lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED, Version: 3,
		CreatedAt: timestamppb.New(sitetest.Now),
		Intent: &lockboxv1.AccessIntent{
			Id: id, Tenant: "meadowbank", SubscriptionId: "meadow-production", ResourceType: "compute/virtual-machines",
			TicketId:      "SR-1",
			Justification: "The machine <hangs>.", ResourceIds: []string{production + "/vm/a", production + "/vm/b"},
		},
		Evaluation: &lockboxv1.AccessEvaluated{Duration: durationpb.New(8 * time.Hour)},
		Lockbox:    &lockboxv1.CustomerNotified{ExpiresAt: timestamppb.New(sitetest.Now.Add(96 * time.Hour))},
	}
}

// bank is the bank's Lockbox: one subscription, in it one request, about which somebody may decide.
func bank() *sitetest.Backend {
	return &sitetest.Backend{
		Queries: map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
			"get_tenant": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Tenant{Tenant: &lockboxv1.TenantView{
					LockboxEnabled: true, Subscriptions: []*lockboxv1.SubscriptionView{{SubscriptionId: "meadow-production"}},
				}}}, nil
			},
			"get_request": func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				if q.GetGetRequest().GetRequestId() != id {
					return nil, refusal.NotFound("request_id", "I9", "there is no such request")
				}
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Request{Request: view()}}, nil
			},
			"list_requests": func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				list := new(lockboxv1.RequestList)
				if q.GetListRequests().GetSubscriptionId() == "meadow-production" && q.GetListRequests().GetPageToken() != "last" {
					list.Requests, list.NextPageToken = []*lockboxv1.RequestView{view()}, "last"
				}
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Requests{Requests: list}}, nil
			},
			"list_activity": func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				list := new(lockboxv1.ActivityList)
				if q.GetListActivity().GetSubscriptionId() == "meadow-production" {
					list.Activities = []*lockboxv1.Activity{{
						Tenant: "meadowbank", RequestId: id, Event: &lockboxv1.Event{Id: "019b0000-0000-7000-8000-00000000000e",
							CausationId: "019b0000-0000-7000-8000-00000000000c"},
						Entry: &lockboxv1.TimelineEntry{
							Sequence: 9, Time: timestamppb.New(sitetest.Now), Type: "CustomerDenied", Action: "Deny Lockbox Request",
							Summary: "Otto Owens denied access.",
							Title:   map[string]string{"fr": "Refuser la demande Lockbox"}[q.GetLanguage()],
							Actor: &lockboxv1.Actor{Person: &lockboxv1.Person{Issuer: "https://login.meadowbank.example", Subject: "otto",
								DisplayName: "Otto Owens", Email: "otto@meadowbank.example"}},
						},
					}}
				}
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Activity{Activity: list}}, nil
			},
		},
		Commands: map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error){},
	}
}

func serve(t *testing.T, b *sitetest.Backend) http.Handler {
	t.Helper()
	return arm.New(bearer.NewDesk(sitetest.New(t, b, nil), "https://lockbox.example"))
}

func body(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil ||
		w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	return m
}

// wrong is a problem in ARM's shape: status, code and target.
func wrong(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	e, is := body(t, w)["error"].(map[string]any)
	if message, _ := e["message"].(string); !is || message == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %v %v", w.Code, e["code"], e["target"]))
}

func TestARequestAsAzureShowsIt(t *testing.T) {
	h := serve(t, bank())
	want := map[string]any{
		"id": requests + "/" + id, "name": "LockboxRequest_" + id, "type": "requests",
		"properties": map[string]any{
			"requestId": id, "justification": "The machine <hangs>.", "status": "Pending", "lockboxStatus": "CustomerNotified",
			"createdDateTime": "2026-08-03T09:30:00Z", "expirationDateTime": "2026-08-07T09:30:00Z", "duration": "8",
			"resourceIds":          production + "/vm/a," + production + "/vm/b",
			"requestedResourceIds": []any{production + "/vm/a", production + "/vm/b"},
			"resourceType":         "compute/virtual-machines", "supportRequest": "SR-1",
			"supportCaseUrl": "https://lockbox.example/t/meadowbank/tickets/SR-1",
			"workItemSource": "SupportRequest", "subscriptionId": "meadow-production",
		},
	}
	for _, name := range []string{id, "LockboxRequest_" + id, strings.ToUpper("lockboxrequest_" + id)} {
		w := bearertest.Call(h, "GET", requests+"/"+name+v, bearertest.Otto, "")
		if diff := cmp.Diff(want, body(t, w)); diff != "" || w.Code != 200 {
			t.Errorf("%s: %d %s", name, w.Code, diff)
		}
	}
	old := bearertest.Call(h, "GET", requests+"/"+id+v, bearertest.Otto, "", "User-Agent",
		"Go/go1.26 go-autorest/v14.2.1 Azure-SDK-For-Go/v68.0.0 customerlockbox/2018-02-28-preview")
	properties, _ := body(t, old)["properties"].(map[string]any)
	if properties["duration"] != 8.0 {
		t.Errorf("to a client of the older model the duration is %v", properties["duration"])
	}
}

func TestPathsAreTheSameInUpperAndLowerCase(t *testing.T) {
	h := serve(t, bank())
	for _, address := range []string{
		strings.ToLower(requests) + v, "/SUBSCRIPTIONS/meadow-production/PROVIDERS/MICROSOFT.CUSTOMERLOCKBOX/REQUESTS/" + id +
			"?API-VERSION=2018-02-28-PREVIEW", requests + "/" + v,
		"/subscriptions/MEADOW-Production/providers/Microsoft.CustomerLockbox/requests/" + id + v,
	} {
		if w := bearertest.Call(h, "GET", address, bearertest.Otto, ""); w.Code != 200 {
			t.Errorf("%s: %d %s", address, w.Code, w.Body)
		}
	}
}

func TestAListIsFilteredAndGoesOn(t *testing.T) {
	b := bank()
	h := serve(t, b)
	filter := url.QueryEscape("properties/status eq 'Pending'")
	w := bearertest.Call(h, "GET", requests+v+"&$filter="+filter+"&$top=1", bearertest.Otto, "")
	next, _ := body(t, w)["nextLink"].(string)
	rest, ours := strings.CutPrefix(next, "https://lockbox.example")
	if !ours {
		t.Fatalf("the next page is at %q", next)
	}
	w = bearertest.Call(h, "GET", rest, bearertest.Otto, "", "Host", "evil.example")
	if m := body(t, w); w.Code != 200 || m["nextLink"] != nil || len(m["value"].([]any)) != 0 { //nolint:errcheck // a panic fails the test
		t.Errorf("%d %v", w.Code, m)
	}
	for i, token := range []string{"", "last"} {
		asked := b.Asked[i].GetListRequests()
		if !slices.Equal(asked.GetStatuses(),
			[]lockboxv1.RequestStatus{lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED}) || asked.GetLimit() != 1 ||
			asked.GetPageToken() != token {
			t.Errorf("asked: %v", asked)
		}
	}
}

func TestAFilterThatNothingMatchesIsNotNoFilter(t *testing.T) {
	b := bank()
	w := bearertest.Call(serve(t, b), "GET", requests+v+"&$filter="+url.QueryEscape("properties/status eq 'Approving'"),
		bearertest.Otto, "")
	if m := body(t, w); w.Code != 200 || len(m["value"].([]any)) != 0 { //nolint:errcheck // a panic fails the test
		t.Errorf("%d %v", w.Code, m)
	}
	if len(b.Asked) != 1 || b.Asked[0].GetGetTenant_() == nil {
		t.Errorf("asked: %v", b.Asked)
	}
}

func TestWhatIsNotThereAndWhatIsAnothersReadTheSame(t *testing.T) {
	h := serve(t, bank())
	words := ""
	for _, call := range [][2]string{
		{"GET", "/subscriptions/sakura-clinic/providers/Microsoft.CustomerLockbox/requests" + v},
		{"GET", "/subscriptions/sakura-clinic/providers/Microsoft.CustomerLockbox/requests" + v + "&$filter=" +
			url.QueryEscape("properties/status eq 'Approving'")},
		{"GET", "/subscriptions/x%2Fy/providers/Microsoft.CustomerLockbox/requests" + v},
		{"GET", "/subscriptions/sakura-clinic/providers/Microsoft.CustomerLockbox/requests/" + id + v},
		{"POST", "/subscriptions/sakura-clinic/providers/Microsoft.CustomerLockbox/requests/" + id + "/updateApproval" + v},
		{"GET", requests + "/019b0000-0000-7000-8000-000000000002" + v},
		{"GET", requests + "/x" + v},
		{"GET", "/subscriptions/sakura-clinic/providers/Microsoft.Insights/eventtypes/management/values" + since},
		{"GET", "/subscriptions/sakura-clinic/providers/Microsoft.Insights/eventtypes/management/values" + since +
			url.QueryEscape(" and status eq 'Failed'")},
		{"GET", lockbox + "/tenantOptedIn/sakura" + v},
		{"GET", lockbox + "/tenantOptedIn/x" + v},
		{"GET", "/subscriptions/meadow-production/resourceGroups"},
		{"GET", "/providers"},
	} {
		text := ""
		if call[0] == "POST" {
			text = `{"status":"Approve"}`
		}
		w := bearertest.Call(h, call[0], call[1], bearertest.Otto, text)
		if words == "" {
			words = w.Body.String()
		}
		if wrong(t, w) != "404 ResourceNotFound <nil>" || w.Body.String() != words {
			t.Errorf("%v: %d %s", call, w.Code, w.Body)
		}
	}
}

func TestEveryPathNeedsACustomersToken(t *testing.T) {
	b := bank()
	for _, route := range arm.New(bearer.NewDesk(sitetest.New(t, b, nil), "")).Routes {
		address := strings.NewReplacer("{subscriptionId}", "meadow-production", "{requestId}", id, "{tenantId}",
			"meadowbank").Replace(route.Path) + v
		if strings.Contains(route.Path, "Insights") {
			address = activity + since
		}
		want, provider := "401 AuthenticationFailed Authorization", "403 AuthorizationFailed Authorization"
		if route.Open {
			if w := bearertest.Call(serve(t, b), route.Method, address, "", ""); w.Code != 200 ||
				strings.Contains(w.Body.String(), "meadow") {
				t.Errorf("%s: %d %s", route.Path, w.Code, w.Body)
			}
			continue
		}
		if got := wrong(t, bearertest.Call(serve(t, b), route.Method, address, "", `{"status":"Approve"}`)); got != want {
			t.Errorf("%s without a token: %s", route.Path, got)
		}
		if got := wrong(t, bearertest.Call(serve(t, b), route.Method, address, bearertest.Lena,
			`{"status":"Approve"}`)); got != provider {
			t.Errorf("%s for the provider: %s", route.Path, got)
		}
	}
	if len(b.Asked)+len(b.Done) > 0 {
		t.Errorf("%v %v", b.Asked, b.Done)
	}
}

func TestApproveAndDeny(t *testing.T) {
	for text, want := range map[string]string{
		`{"status":"Approve","reason":"as agreed"}`:         "approve as agreed",
		`{"decision":"Approve"}`:                            "approve ",
		`{"status":"approve","decision":"Approve"}`:         "approve ",
		`{"status":"Deny","reason":"not now"}`:              "deny not now",
		`{"decision":"Deny","reason":"no"}`:                 "deny no",
		`{"status":"Deny","decision":"Approve"}`:            "400 BadRequest status",
		`{"status":"ApproveApprove"}`:                       "400 BadRequest status",
		`{"status":"Pending"}`:                              "400 BadRequest status",
		`{"status":""}`:                                     "400 BadRequest status",
		`{"reason":"x"}`:                                    "400 BadRequest status",
		`{"properties":{"status":"Approve"}}`:               "400 BadRequest status",
		"\uFEFF" + `{"Status":"Approve","REASON":"ok"}`:     "approve ok",
		`{"status":"Approve","reason":null,"etag":"x"}`:     "approve ",
		`{"status":"Approve","Status":"Deny"}`:              "400 BadRequest status",
		`{"status":"Deny","reason":"` + long(70_000) + `"}`: "413 RequestEntityTooLarge <nil>",
	} {
		b := bank()
		b.Commands["approve"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
			return &lockboxv1.CommandReply{Sequence: 12}, nil
		}
		b.Commands["deny"] = b.Commands["approve"]
		w := bearertest.Call(serve(t, b), "POST", requests+"/"+id+"/UpdateApproval"+v, bearertest.Otto, text)
		if w.Code != 200 {
			if got := wrong(t, w); got != want || len(b.Done) > 0 {
				t.Errorf("%.60s: %s, want %s", text, got, want)
			}
			continue
		}
		done := b.Done[0]
		got := "approve " + done.GetApprove().GetReason()
		if done.GetDeny() != nil {
			got = "deny " + done.GetDeny().GetReason()
		}
		if got != want || done.GetAggregateId() != id || done.GetTenant() != "meadowbank" {
			t.Errorf("%s: %v", text, done)
		}
		if last := b.Asked[len(b.Asked)-1]; last.GetMinSequence() != 12 {
			t.Errorf("%s is answered before it shows: %v", text, last)
		}
		m := body(t, w)
		if verdict := strings.ToUpper(got[:1]) + strings.Fields(got)[0][1:]; m["status"] != verdict ||
			m["decision"] != verdict {
			t.Errorf("%s: %v", text, m)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func TestRefusalsInARMsShape(t *testing.T) {
	for want, err := range map[string]error{
		"400 BadRequest reason":                refusal.Invalid("deny.reason", "R28", "is required"),
		"401 InvalidAuthenticationToken token": refusal.Unauthenticated("token", "R13", "has expired"),
		"403 AuthorizationFailed token":        refusal.Forbidden("token", "R20", "you were not an approver"),
		"404 ResourceNotFound <nil>":           refusal.NotFound("aggregate_id", "I9", "there is no such request"),
		"409 Conflict aggregate_id":            refusal.Conflict("aggregate_id", "R29", "approved by Otto"),
		"409 OperationNotAllowed aggregate_id": refusal.Precondition("aggregate_id", "R26", "expired"),
		"503 ServiceUnavailable <nil>":         refusal.Unavailable("", "I11", "nobody answers"),
		"500 InternalServerError <nil>":        fmt.Errorf("secret: %w", http.ErrBodyNotAllowed),
	} {
		b := bank()
		b.Commands["deny"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) { return nil, err }
		w := bearertest.Call(serve(t, b), "POST", requests+"/"+id+"/updateApproval"+v, bearertest.Otto, `{"status":"Deny"}`)
		if got := wrong(t, w); got != want || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %s", err, w.Body)
		}
		if strings.Contains(want, "reason") && !strings.Contains(w.Body.String(), "(R28)") {
			t.Errorf("the rule is not named: %s", w.Body)
		}
	}
}

func TestVersionsAndParameters(t *testing.T) {
	h := serve(t, bank())
	for address, want := range map[string]string{
		lockbox + "/operations":                               "400 MissingApiVersionParameter api-version",
		lockbox + "/operations?api-version=2020-01-01":        "400 InvalidApiVersionParameter api-version",
		lockbox + "/operations" + v + "&API-Version=2018":     "400 InvalidApiVersionParameter api-version",
		requests + "/" + id:                                   "400 MissingApiVersionParameter api-version",
		requests + "?api-version=2015-04-01":                  "400 InvalidApiVersionParameter api-version",
		activity + v:                                          "400 InvalidApiVersionParameter api-version",
		activity + "?api-version=2015-04-01":                  "400 InvalidFilterInQueryString $filter",
		activity + since + "&$select=eventTimestamp,password": "400 BadRequest $select",
		requests + v + "&$filter=x":                           "400 InvalidFilterInQueryString $filter",
		requests + v + "&$filter=x&$FILTER=y":                 "400 InvalidFilterInQueryString $filter",
		requests + v + "&$top=0":                              "400 BadRequest $top",
		requests + v + "&$top=1001":                           "400 BadRequest $top",
		requests + "?a;b":                                     "400 BadRequest query",
	} {
		if got := wrong(t, bearertest.Call(h, "GET", address, bearertest.Otto, "")); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if w := bearertest.Call(h, "GET", requests, bearertest.Otto, ""); w.Code != 200 {
		t.Errorf("the SDK sends no api-version with the list: %d %s", w.Code, w.Body)
	}
	if got := wrong(t, bearertest.Call(h, "GET", lockbox+"/enableLockbox"+v, bearertest.Otto,
		"")); got != "405 MethodNotAllowed <nil>" {
		t.Error(got)
	}
}

func TestEnableAndDisable(t *testing.T) {
	b := bank()
	b.Commands["enable_lockbox"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return &lockboxv1.CommandReply{Sequence: 4}, nil
	}
	b.Commands["disable_lockbox"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.Forbidden("token", "R2", "only a Global Administrator may do this")
	}
	h := serve(t, b)
	if w := bearertest.Call(h, "POST", lockbox+"/enableLockbox"+v, bearertest.Otto, ""); w.Code != 200 ||
		w.Body.Len() > 0 || b.Done[0].GetTenant() != "meadowbank" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := wrong(t, bearertest.Call(h, "POST", lockbox+"/disableLockbox"+v, bearertest.Otto,
		"")); got != "403 AuthorizationFailed token" {
		t.Error(got)
	}
	if m := body(t, bearertest.Call(h, "GET", lockbox+"/tenantoptedin/MeadowBank"+v, bearertest.Otto,
		"")); m["isOptedIn"] != true {
		t.Error(m)
	}
}

func TestTheActivityLogAsAzureMonitorShowsIt(t *testing.T) {
	h := serve(t, bank())
	list, _ := body(t, bearertest.Call(h, "GET", activity+since, bearertest.Otto, "", "Accept-Language",
		"fr-CH, en;q=0.5"))["value"].([]any)
	denied := provider + "/requests/activitylog/DenyLockboxRequest/action"
	want := []any{map[string]any{
		"id":            requests + "/" + id + "/events/019b0000-0000-7000-8000-00000000000e/ticks/639213462000000000",
		"authorization": map[string]any{"action": denied, "scope": requests + "/" + id},
		"caller":        "otto@meadowbank.example",
		"claims":        map[string]any{"iss": "https://login.meadowbank.example", "sub": "otto", "name": "Otto Owens"},
		"category":      map[string]any{"value": "Administrative", "localizedValue": "Administrative"},
		"correlationId": id, "description": "Otto Owens denied access.",
		"eventDataId":    "019b0000-0000-7000-8000-00000000000e",
		"eventName":      map[string]any{"value": "CustomerDenied", "localizedValue": "Refuser la demande Lockbox"},
		"eventTimestamp": "2026-08-03T09:30:00Z", "submissionTimestamp": "2026-08-03T09:30:00Z", "level": "Informational",
		"operationId":          "019b0000-0000-7000-8000-00000000000c",
		"operationName":        map[string]any{"value": denied, "localizedValue": "Refuser la demande Lockbox"},
		"properties":           map[string]any{"requestId": id, "sequence": "9"},
		"resourceId":           requests + "/" + id,
		"resourceProviderName": map[string]any{"value": provider, "localizedValue": "Customer Lockbox"},
		"resourceType":         map[string]any{"value": provider + "/requests", "localizedValue": provider + "/requests"},
		"status":               map[string]any{"value": "Succeeded", "localizedValue": "Succeeded"},
		"subscriptionId":       "meadow-production", "tenantId": "meadowbank",
	}}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Error(diff)
	}
	list, _ = body(t, bearertest.Call(h, "GET", activity+since+"&$select=eventTimestamp,%20Caller", bearertest.Otto,
		""))["value"].([]any)
	if diff := cmp.Diff([]any{map[string]any{"eventTimestamp": "2026-08-03T09:30:00Z",
		"caller": "otto@meadowbank.example"}}, list); diff != "" {
		t.Error(diff)
	}
}

const provider = "Microsoft.CustomerLockbox"

func TestGettingChangesNothing(t *testing.T) {
	b := bank()
	h := serve(t, b)
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		for _, address := range []string{requests + v, requests + "/" + id + v, requests + "/" + id + "/updateApproval" + v,
			lockbox + "/enableLockbox" + v, lockbox + "/disableLockbox" + v, activity + since} {
			bearertest.Call(h, method, address, bearertest.Otto, `{"status":"Approve"}`)
		}
	}
	if len(b.Done) > 0 {
		t.Errorf("%v", b.Done)
	}
}

func TestRequestsHaveIds(t *testing.T) {
	const theirs = "11111111-2222-3333-4444-555555555555"
	h := serve(t, bank())
	w := bearertest.Call(h, "GET", requests, bearertest.Otto, "", "x-ms-client-request-id", theirs,
		"x-ms-return-client-request-id", "true", "x-ms-correlation-request-id", "a\nb")
	header := w.Header()
	if header.Get("x-ms-request-id") == "" || header.Get("x-ms-correlation-request-id") != header.Get("x-ms-request-id") ||
		header.Get("x-ms-client-request-id") != theirs {
		t.Errorf("%v", header)
	}
	w = bearertest.Call(h, "GET", "/providers/x", "", "", "x-ms-correlation-request-id", theirs)
	if header := w.Header(); header.Get("x-ms-correlation-request-id") != theirs ||
		header.Get("x-ms-client-request-id") != "" || header.Get("x-ms-request-id") == theirs {
		t.Errorf("%v", header)
	}
}
