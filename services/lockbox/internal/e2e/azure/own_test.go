package azure_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/go-autorest/autorest/to"
	"github.com/openlockbox/lockbox/pkg/resource"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
)

// own calls /lockbox/v1, which has what Azure's API lacks, and returns the answer's status and members.
func (l *lockbox) own(persona, method, path string, body any) (int, map[string]any) {
	l.Helper()
	token, err := l.issuer.Token(persona, time.Now())
	must(l, err)
	var sent io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		must(l, err)
		sent = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(l.Context(), method, l.url+"/lockbox/v1"+path, sent)
	must(l, err)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	must(l, err)
	defer response.Body.Close()
	members := map[string]any{}
	must(l, json.NewDecoder(response.Body).Decode(&members))
	return response.StatusCode, members
}

// does expects that it is done.
func (l *lockbox) does(persona, path string, body map[string]any) (sequence string) {
	l.Helper()
	status, reply := l.own(persona, http.MethodPost, path, body)
	sequence, done := reply["sequence"].(string)
	if status != http.StatusOK || !done {
		l.Fatalf("%s: %s: %d %v", persona, path, status, reply)
	}
	return sequence
}

func TestWhatAzuresAPILacks(t *testing.T) {
	t.Parallel()
	l := start(t)
	id := l.submit("The machine hangs; a memory dump will show where.")
	waiting, _ := l.pending(1)
	at := "/requests/" + id
	status, seen := l.own("otto", http.MethodGet, at, nil)
	if status != http.StatusOK || seen["status"] != "REQUEST_STATUS_CUSTOMER_NOTIFIED" {
		t.Fatalf("%d %v", status, seen)
	}

	asked := l.does("otto", at+"/ask", map[string]any{"text": "Which machine?"})
	_, now := l.own("erin", http.MethodGet, at+"?tenant="+bank+"&after="+asked, nil)
	questions, _ := now["questions"].([]any)
	if len(questions) != 1 {
		t.Fatalf("%v", now)
	}
	question, _ := questions[0].(map[string]any)
	answered := l.does("erin", at+"/answer?tenant="+bank,
		map[string]any{"questionId": question["questionId"], "text": "payments-1 only."})

	if status, problem := l.own("otto", http.MethodPost, at+"/approve",
		map[string]any{"seenVersion": seen["version"]}); status != http.StatusConflict || problem["rule"] != "R29" {
		t.Errorf("what was said since is not seen: %d %v", status, problem)
	}
	_, seen = l.own("otto", http.MethodGet, at+"?after="+answered, nil)
	one := (*waiting[0].Properties.RequestedResourceIds)[:1]
	if status, problem := l.own("otto", http.MethodPost, at+"/approve",
		map[string]any{"duration": "36000s"}); status != http.StatusBadRequest || problem["rule"] != "R27" {
		t.Errorf("an approval may widen: %d %v", status, problem)
	}
	approved := l.does("otto", at+"/approve",
		map[string]any{"seenVersion": seen["version"], "duration": "3600s", "resourceIds": one})
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		_, seen = l.own("otto", http.MethodGet, at+"?after="+approved, nil)
		if seen["status"] == "REQUEST_STATUS_ACTIVE" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v", seen)
		}
	}
	grant, _ := seen["grant"].(map[string]any)
	if resources, _ := grant["resourceIds"].([]any); len(resources) != 1 || resources[0] != one[0] {
		t.Errorf("%v", grant)
	}
	revoked := l.does("otto", at+"/revoke", map[string]any{"reason": "That is enough."})
	if _, seen = l.own("otto", http.MethodGet, at+"?after="+revoked, nil); seen["status"] != "REQUEST_STATUS_REVOKED" {
		t.Errorf("%v", seen)
	}
	if status, problem := l.own("kenji", http.MethodGet, at, nil); status != http.StatusNotFound ||
		problem["code"] != "REFUSAL_CODE_NOT_FOUND" {
		t.Errorf("%d %v", status, problem)
	}
	for path, member := range map[string]string{
		"/requests?status=REQUEST_STATUS_REVOKED&count=true": "requests", "/activity?action=Revoke%20Access&requestId=" +
			id: "activities",
		"/approvers?subscriptionId=" + production: "approvers",
	} {
		if status, list := l.own("otto", http.MethodGet, path, nil); status != http.StatusOK || list[member] == nil {
			t.Errorf("%s: %d %v", path, status, list)
		}
	}
}

// Ids of the greatest length, in whatever letters, get through both APIs, and are shown as they were written.
func TestR49IdsAreTheSameInUpperAndLowerCase(t *testing.T) {
	t.Parallel()
	l := start(t)
	began := time.Now().Add(-time.Minute)
	var ids []string
	for _, n := range []string{"A", "b"} {
		id := demo.Machine(production, n)
		ids = append(ids, id+strings.Repeat("x", resource.MaxLength-len(id)))
	}
	id := l.submitFor("The machine hangs; a memory dump will show where.", ids...)
	l.pending(1)
	loud := strings.ToUpper(production)
	r, err := l.requests("otto").Get(t.Context(), id, loud, version)
	must(t, err)
	if got := to.StringSlice(r.Properties.RequestedResourceIds); !slices.Equal(got, ids) ||
		to.String(r.Properties.SubscriptionID) != production {
		t.Errorf("%v", got)
	}
	status, list := l.own("otto", http.MethodGet, "/requests?subscriptionId="+loud, nil)
	if found, _ := list["requests"].([]any); status != http.StatusOK || len(found) != 1 {
		t.Errorf("%d %v", status, list)
	}
	l.does("otto", "/requests/"+id+"/approve", map[string]any{"resourceIds": []string{strings.ToUpper(ids[1]) + "/"}})
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		_, seen := l.own("otto", http.MethodGet, "/requests/"+id, nil)
		grant, _ := seen["grant"].(map[string]any)
		if resources, _ := grant["resourceIds"].([]any); len(resources) == 1 && resources[0] == ids[1] {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v", seen)
		}
	}
	for _, written := range []string{ids[0], strings.ToUpper(ids[0]), strings.ToLower(ids[0]) + "/"} {
		if log := l.logged("otto", "eventTimestamp ge '"+began.UTC().Format(time.RFC3339)+"' and resourceUri eq '"+written+
			"'"); len(log) == 0 {
			t.Errorf("nothing is found by %.120s", written)
		}
	}
	if log := l.logged("otto", "eventTimestamp ge '"+began.UTC().Format(time.RFC3339)+"' and resourceUri eq '"+
		demo.Machine(production, "c")+"'"); len(log) != 0 {
		t.Errorf("%d entries are found by another machine", len(log))
	}
}
