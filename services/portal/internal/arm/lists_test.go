package arm_test

import (
	"net/url"
	"strings"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer/bearertest"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A nextLink survives what clients do to it, or is refused; it never lists what its filter leaves out.
func TestANextLinkKeepsItsFilterWhateverClientsDoToIt(t *testing.T) {
	b := bank()
	h := serve(t, b)
	filter := url.QueryEscape("properties/status eq 'Pending'")
	first := bearertest.Call(h, "GET", requests+v+"&$filter="+filter+"&$top=1", bearertest.Otto, "")
	next, _ := body(t, first)["nextLink"].(string)
	rest := strings.TrimPrefix(next, "https://lockbox.example")
	path, query, _ := strings.Cut(rest, "?")
	parsed, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	token := parsed.Get("$skipToken")
	for what, row := range map[string]struct {
		address string
		status  int
	}{
		"as it is":                     {rest, 200},
		"with the version appended":    {rest + "&api-version=2018-02-28-preview", 200},
		"with everything appended":     {rest + "&" + query, 200},
		"with another filter appended": {rest + "&$filter=" + url.QueryEscape("properties/status eq 'Denied'"), 400},
		"encoded once more":            {path + "?" + strings.ReplaceAll(query, "%24", "%2524"), 200},
		"in lower case":                {path + "?" + strings.ReplaceAll(query, "%24skipToken", "$skiptoken"), 200},
		"without the filter":           {path + v + "&$skipToken=" + token, 400},
		"with another filter": {path + v + "&$skipToken=" + token + "&$filter=" +
			url.QueryEscape("properties/status eq 'Denied'"), 400},
		"of another list":                {strings.Replace(rest, "meadow-production", "meadow-test", 1), 400},
		"cut off":                        {path + v + "&$filter=" + filter + "&$skipToken=" + token[:len(token)-1], 400},
		"with a token of another origin": {path + v + "&$filter=" + filter + "&$skipToken=last", 400},
	} {
		b.Asked = nil
		w := bearertest.Call(h, "GET", row.address, bearertest.Otto, "")
		if w.Code != row.status {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
		if row.status != 200 && len(b.Asked) > 0 {
			t.Errorf("%s: asked %v", what, b.Asked)
		}
		if row.status == 200 && (len(b.Asked) == 0 || len(b.Asked[0].GetListRequests().GetStatuses()) != 1 ||
			b.Asked[0].GetListRequests().GetPageToken() != "last") {
			t.Errorf("%s: asked %v", what, b.Asked)
		}
	}
}

// The tenant's own log holds what is of no subscription, and no more.
func TestTheTenantHasALogOfItsOwn(t *testing.T) {
	b := bank()
	b.Queries["list_activity"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Activity{Activity: &lockboxv1.ActivityList{
			Activities: []*lockboxv1.Activity{{Tenant: "meadowbank", Kind: "tenant", AggregateId: "meadowbank",
				Entry: &lockboxv1.TimelineEntry{Type: "LockboxEnabled", Action: "Enable Lockbox", Time: timestamppb.Now()},
				Event: &lockboxv1.Event{Id: id}}}}}}, nil
	}
	w := bearertest.Call(serve(t, b), "GET", "/providers/Microsoft.Insights/eventtypes/management/values"+since,
		bearertest.Otto, "")
	values, _ := body(t, w)["value"].([]any)
	if w.Code != 200 || len(values) != 1 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if entry, _ := values[0].(map[string]any); entry["tenantId"] != "meadowbank" || entry["subscriptionId"] != "" {
		t.Errorf("%v", entry)
	}
	asked := b.Asked[0].GetListActivity()
	if !asked.GetTenantLevel() || asked.GetSubscriptionId() != "" || len(asked.GetActions()) > 0 {
		t.Errorf("asked: %v", asked)
	}
}
