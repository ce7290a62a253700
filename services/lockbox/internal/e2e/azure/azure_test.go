package azure_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/services/preview/customerlockbox/mgmt/2018-02-28-preview/customerlockbox" //nolint:staticcheck // clients in use are of this one, whatever has succeeded it
	"github.com/Azure/azure-sdk-for-go/services/preview/monitor/mgmt/2022-10-01-preview/insights"                //nolint:staticcheck // clients in use are of this one, whatever has succeeded it
	"github.com/Azure/go-autorest/autorest"
	"github.com/Azure/go-autorest/autorest/azure"
	"github.com/Azure/go-autorest/autorest/to"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
)

func TestFromTheIntentToTheActivityLog(t *testing.T) {
	t.Parallel()
	l := start(t)
	began := time.Now().Add(-time.Minute)
	approved := l.submit("The machine hangs; a memory dump will show where.")
	l.pending(1)
	denied := l.submit("It hangs again, and another dump is needed.")
	waiting, _ := l.pending(2)
	if first := waiting[1]; to.String(first.Name) != "LockboxRequest_"+approved || to.String(first.Type) != "requests" ||
		to.String(first.ID) != "/subscriptions/"+production+"/providers/Microsoft.CustomerLockbox/requests/"+approved {
		t.Errorf("%s %s %s", to.String(first.Name), to.String(first.Type), to.String(first.ID))
	}

	otto := l.requests("otto")
	r, err := otto.Get(t.Context(), to.String(waiting[1].Name), production, version)
	must(t, err)
	p := r.Properties
	if to.String(p.RequestID) != approved || p.Status != customerlockbox.Pending || to.Int32(p.Duration) != 8 ||
		to.String(p.SubscriptionID) != production ||
		to.String(p.Justification) != "The machine hangs; a memory dump will show where." ||
		to.String(p.SupportRequest) != demo.BankTicket ||
		to.String(p.ResourceType) != "compute/virtual-machines" || len(to.StringSlice(p.RequestedResourceIds)) != 2 ||
		to.String(p.SupportCaseURL) != l.url+"/t/"+bank+"/tickets/"+demo.BankTicket {
		t.Errorf("%+v", p)
	}
	if days := p.ExpirationDateTime.Sub(p.CreatedDateTime.Time).Hours() / 24; days < 3.9 || days > 4.1 {
		t.Errorf("it expires after %v days", days)
	}

	decision, err := otto.UpdateStatus(t.Context(),
		customerlockbox.Approval{Decision: customerlockbox.Approve, Reason: to.StringPtr("as agreed")}, production, approved,
		version)
	must(t, err)
	if decision.Decision != customerlockbox.Approve || to.String(decision.Reason) != "as agreed" {
		t.Errorf("%+v", decision)
	}
	_, err = otto.UpdateStatus(t.Context(), customerlockbox.Approval{Decision: customerlockbox.Deny}, production, denied,
		version)
	l.refused(err, http.StatusBadRequest, "R28")
	_, err = otto.UpdateStatus(t.Context(),
		customerlockbox.Approval{Decision: customerlockbox.Deny, Reason: to.StringPtr("not twice")}, production, denied,
		version)
	must(t, err)

	// What was decided shows at once, as often as it is decided the same way, and nobody decides otherwise.
	for id, want := range map[string]customerlockbox.Status{approved: customerlockbox.Approved,
		denied: customerlockbox.Denied} {
		if r, err = otto.Get(t.Context(), id, production, version); err != nil || r.Properties.Status != want {
			t.Errorf("%v %+v", err, r.Properties)
		}
	}
	_, err = otto.UpdateStatus(t.Context(), customerlockbox.Approval{Decision: customerlockbox.Approve}, production,
		approved, version)
	must(t, err)
	_, err = l.requests("fleur").UpdateStatus(t.Context(), customerlockbox.Approval{Decision: customerlockbox.Approve},
		production, denied, version)
	l.refused(err, http.StatusConflict, "R29")
	l.pending(0)

	log := l.logged("otto",
		fmt.Sprintf("eventTimestamp ge '%s' and eventTimestamp le '%s' and resourceProvider eq 'Microsoft.CustomerLockbox'",
			began.UTC().Format(time.RFC3339Nano), time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)))
	var got []string
	for _, e := range log {
		got = append(got, to.String(e.OperationName.LocalizedValue)+" of "+to.String(e.CorrelationID)+" by "+to.String(
			e.Caller)+": "+to.String(e.Status.Value))
	}
	slices.Reverse(got)
	if want := []string{
		"Create Lockbox Request of " + approved + " by Customer Lockbox: Succeeded", "Create Lockbox Request of " + denied +
			" by Customer Lockbox: Succeeded",
		"Approve Lockbox Request of " + approved + " by otto@meadowbank.example: Succeeded", "Deny Lockbox Request of " +
			denied + " by otto@meadowbank.example: Succeeded",
	}; !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("%q", got)
	}
	one := l.logged("otto", "eventTimestamp ge '"+began.UTC().Format(time.RFC3339)+"' and correlationId eq '"+denied+"'")
	if e := one[0]; len(one) != 2 ||
		to.String(e.OperationName.Value) != "Microsoft.CustomerLockbox/requests/activitylog/DenyLockboxRequest/action" ||
		to.String(e.ResourceID) != to.String(waiting[0].ID) || to.String(e.Claims["sub"]) != "otto" ||
		to.String(e.TenantID) != bank || e.EventTimestamp.Before(began) {
		t.Errorf("%d %+v", len(one), one[0])
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

// logged lists the activity log over all pages.
func (l *lockbox) logged(persona, filter string) []insights.EventData {
	l.Helper()
	var all []insights.EventData
	entries, err := l.activity(persona, production).ListComplete(l.Context(), filter, "")
	for ; err == nil && entries.NotDone(); err = entries.NextWithContext(l.Context()) {
		all = append(all, entries.Value())
	}
	must(l, err)
	return all
}

func TestListsGoOnOverPages(t *testing.T) {
	t.Parallel()
	l := start(t)
	const many = 60
	ids := map[string]bool{}
	for i := range many {
		ids[l.submit(fmt.Sprintf("%d: %s", i, strings.Repeat("a long story ", 300)))] = true
	}
	waiting, pages := l.pending(many)
	if pages < 2 {
		t.Errorf("%d requests are one page", many)
	}
	otto := l.requests("otto")
	for _, r := range waiting {
		delete(ids, to.String(r.Properties.RequestID))
		_, err := otto.UpdateStatus(t.Context(), customerlockbox.Approval{Decision: customerlockbox.Approve}, production,
			to.String(r.Name), version)
		must(t, err)
	}
	if len(ids) > 0 {
		t.Errorf("%d requests are on no page", len(ids))
	}
	filter := "eventTimestamp ge '" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + "'"
	page, err := l.activity("otto", production).List(t.Context(), filter, "eventTimestamp,operationName,correlationId")
	must(t, err)
	if !page.NotDone() || page.Response().NextLink == nil {
		t.Error("the activity log is one page")
	}
	if e := page.Values()[0]; e.OperationName == nil || e.Caller != nil {
		t.Errorf("not what was selected: %+v", e)
	}
	counts := map[string]int{}
	for _, e := range l.logged("otto", filter) {
		counts[to.String(e.OperationName.LocalizedValue)]++
	}
	if len(counts) != 2 || counts["Create Lockbox Request"] != many || counts["Approve Lockbox Request"] != many {
		t.Errorf("%v", counts)
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	l := start(t)
	id := l.submit("The machine hangs; a memory dump will show where.")
	l.pending(1)
	approve := customerlockbox.Approval{Decision: customerlockbox.Approve}

	_, err := l.requests("audrey").UpdateStatus(t.Context(), approve, production, id, version)
	l.refused(err, http.StatusForbidden, "AuthorizationFailed")
	_, err = l.requests("erin").UpdateStatus(t.Context(), approve, production, id, version)
	l.refused(err, http.StatusForbidden, "AuthorizationFailed")
	for _, stranger := range []string{"kenji", "hana", "eli"} {
		_, err = l.requests(stranger).Get(t.Context(), id, production, version)
		l.refused(err, http.StatusNotFound, "ResourceNotFound")
		_, err = l.requests(stranger).UpdateStatus(t.Context(), approve, production, id, version)
		l.refused(err, http.StatusNotFound, "ResourceNotFound")
	}
	for _, subscription := range []string{demo.HealthClinic, "no-such"} {
		_, err = l.requests("otto").List(t.Context(), subscription, "")
		l.refused(err, http.StatusNotFound, "ResourceNotFound")
		_, err = l.requests("grace").Get(t.Context(), id, subscription, version)
		l.refused(err, http.StatusNotFound, "ResourceNotFound")
		_, err = l.activity("otto", subscription).List(t.Context(), "eventTimestamp ge '2026-01-01T00:00:00Z'", "")
		l.refused(err, http.StatusNotFound, "ResourceNotFound")
	}
	_, err = l.requests("otto").List(t.Context(), production, "properties/requestId eq 'x'")
	l.refused(err, http.StatusBadRequest, "InvalidFilterInQueryString")
	_, err = l.requests("otto").Get(t.Context(), id, production, "2017-01-01")
	l.refused(err, http.StatusBadRequest, "InvalidApiVersionParameter")
	anonymous := customerlockbox.NewRequestsClientWithBaseURI(l.url)
	_, err = anonymous.Get(t.Context(), id, production, version)
	l.refused(err, http.StatusUnauthorized, "AuthenticationFailed")
	l.pending(1)
}

func TestOperations(t *testing.T) {
	t.Parallel()
	l := start(t)
	client := customerlockbox.NewOperationsClientWithBaseURI(l.url)
	client.Authorizer = l.as("otto")
	list, err := client.ListComplete(t.Context(), version)
	names := map[string]bool{}
	for ; err == nil && list.NotDone(); err = list.NextWithContext(t.Context()) {
		names[to.String(list.Value().Name)] = true
	}
	must(t, err)
	for _, name := range []string{"Create", "Approve", "Deny", "Expire", "Cancel"} {
		if !names["Microsoft.CustomerLockbox/requests/activitylog/"+name+"LockboxRequest/action"] {
			t.Errorf("%s is not there: %v", name, names)
		}
	}
}

// TestOptingIn: this version of the SDK has no methods for it, so its client sends what later ones do.
func TestOptingIn(t *testing.T) {
	t.Parallel()
	l := start(t)
	call := func(persona, method, path string) (isOptedIn bool, err error) {
		client := customerlockbox.NewWithBaseURI(l.url)
		client.Authorizer, client.RetryAttempts = l.as(persona), 1
		r, err := autorest.CreatePreparer(autorest.WithMethod(method), autorest.WithBaseURL(client.BaseURI),
			autorest.WithPath("/providers/Microsoft.CustomerLockbox/"+path),
			autorest.WithQueryParameters(map[string]any{"api-version": version})).Prepare(
			(&http.Request{}).WithContext(t.Context()))
		must(t, err)
		response, err := client.Send(r, azure.DoRetryWithRegistration(client.Client))
		must(t, err)
		var body struct {
			IsOptedIn bool `json:"isOptedIn"`
		}
		how := []autorest.RespondDecorator{azure.WithErrorUnlessStatusCode(http.StatusOK)}
		if method == http.MethodGet {
			how = append(how, autorest.ByUnmarshallingJSON(&body))
		}
		err = autorest.Respond(response, append(how, autorest.ByClosing())...)
		if err != nil {
			err = autorest.NewErrorWithError(err, "test", path, response, "refused")
		}
		return body.IsOptedIn, err
	}
	optedIn := func(want bool) {
		t.Helper()
		if is, err := call("otto", http.MethodGet, "tenantOptedIn/"+bank); err != nil || is != want {
			t.Errorf("opted in: %v (%v)", is, err)
		}
	}
	optedIn(true)
	for _, persona := range []string{"otto", "audrey", "olga", "erin"} {
		_, err := call(persona, http.MethodPost, "disableLockbox")
		l.refused(err, http.StatusForbidden, "AuthorizationFailed")
	}
	optedIn(true)
	_, err := call("grace", http.MethodPost, "disableLockbox")
	must(t, err)
	optedIn(false)
	_, err = call("otto", http.MethodPost, "enableLockbox")
	l.refused(err, http.StatusForbidden, "AuthorizationFailed")
	_, err = call("grace", http.MethodPost, "enableLockbox")
	must(t, err)
	optedIn(true)
	_, err = call("otto", http.MethodGet, "tenantOptedIn/"+devissuer.TenantHealth)
	l.refused(err, http.StatusNotFound, "ResourceNotFound")
}
