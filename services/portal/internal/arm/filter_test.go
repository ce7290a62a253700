package arm

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func TestStatusFilter(t *testing.T) {
	of := func(names ...string) (list []lockboxv1.RequestStatus) {
		for _, name := range names {
			list = append(list, lockboxv1.RequestStatus(lockboxv1.RequestStatus_value["REQUEST_STATUS_"+name]))
		}
		return list
	}
	for filter, want := range map[string][]lockboxv1.RequestStatus{
		"properties/status eq 'Pending'": of(
			"CUSTOMER_NOTIFIED"),
		"  Properties/Status  eq  'pending' ": of(
			"CUSTOMER_NOTIFIED"),
		"properties/status eq 'Initializing'": of("SUBMITTED",
			"AWAITING_INTERNAL_APPROVAL"),
		"properties/status eq 'Approved' or properties/status eq 'Completed'": of("APPROVED",
			"ACTIVE", "COMPLETED", "RELEASED"),
		"properties/status eq 'Pending' and properties/status eq 'Pending'": of(
			"CUSTOMER_NOTIFIED"),
		"properties/status eq 'Pending' and properties/status eq 'Denied'":                                nil,
		"properties/status eq 'Error' or properties/status eq 'Pending' and properties/status eq 'Error'": of("LAPSED"),
		"properties/status eq 'Approving'":                                                                nil,
		"properties/status eq Pending": of(
			"CUSTOMER_NOTIFIED"),
		"(PROPERTIES/STATUS EQ'Pending')OR(properties/status\teq 'Error'and properties/status eq 'Error')": of(
			"CUSTOMER_NOTIFIED", "LAPSED"),
		"properties/status eq 'Pending' and (properties/status eq 'Denied' or properties/status eq 'Pending')": of(
			"CUSTOMER_NOTIFIED"),
	} {
		if got, err := statusFilter(filter); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", filter, got, err)
		}
	}
	for _, filter := range []string{
		" ", "x", "properties/status", "properties/status eq", "(properties/status eq 'Pending'",
		"properties/status eq 'Pending')", "properties/status eq (", "()", "properties/status eq 'Pending",
		"properties/status eq 'Pending'x",
		"properties/status ne 'Pending'", "properties/status is 'Pending'", "properties/status eq 'Asleep'",
		"properties/status eq ''",
		"properties/requestId eq 'Pending'", "'properties/status' eq 'Pending'", "'Pending' eq properties/status",
		"properties/status eq 'Pending' or", "properties/status eq 'Pending' xor properties/status eq 'Pending'",
		"or properties/status eq 'Pending'",
		"not properties/status eq 'Pending'", strings.Repeat("(", 20) + "properties/status eq 'Pending'" +
			strings.Repeat(")", 20), "properties/status in ('Pending','Denied')",
		"contains(properties/status,'P')",
		"properties/status eq 'Pending'; drop table", "properties/status eq 'Pending' 'and' properties/status eq 'Pending'",
		strings.Repeat("properties/status eq 'Pending' or ", 32) + "properties/status eq 'Pending'",
		strings.Repeat("x", 3000),
	} {
		if got, err := statusFilter(filter); err == nil {
			t.Errorf("%q is accepted: %v", filter, got)
		}
	}
}

func TestEveryStateHasANameOfAzures(t *testing.T) {
	official := []string{"Initializing", "Pending", "Approving", "Denying", "Approved", "Denied", "Expired", "Revoking",
		"Revoked", "Error", "Unknown", "Completed", "Completing"}
	for n := range lockboxv1.RequestStatus_name {
		s := lockboxv1.RequestStatus(n)
		name := azureStatus(s)
		if !slices.Contains(official, name) || (name == "Unknown") != (n == 0) {
			t.Errorf("%v is %q", s, name)
		}
	}
	slices.Sort(official)
	if diff := cmp.Diff(official, statusNames()); diff != "" {
		t.Error(diff)
	}
}

func TestAValueMayHoldAnything(t *testing.T) {
	got, err := parseFilter("a eq 'it''s or, and (b)' and b ge 2026-08-03T00:00:00Z or c eq ''''")
	want := [][]term{{{"a", "eq", "it's or, and (b)", true}, {"b", "ge", "2026-08-03T00:00:00Z", false}},
		{{"c", "eq", "'", true}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(term{})); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// FuzzFilter: what is understood means the same when it is written anew.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"properties/status eq 'Pending'", "a eq 'it''s' and b ge 1 or c eq ''", "((", "'",
		"a eq 'b'c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := parseFilter(s)
		if err != nil {
			return
		}
		again, err := parseFilter(written(parsed))
		if diff := cmp.Diff(parsed, again, cmp.AllowUnexported(term{})); diff != "" || err != nil {
			t.Errorf("%q: %v %s", s, err, diff)
		}
		if _, err := statusFilter(s); err == nil && !strings.Contains(strings.ToLower(s), "properties/status") {
			t.Errorf("%q is a filter on the status", s)
		}
		if f, err := readActivityFilter("x", s); err == nil &&
			(f.ask.GetSince() == nil || f.ask.GetSubscriptionId() != "x" || len(f.ask.GetActions()) != 5) {
			t.Errorf("%q: %v", s, f.ask)
		}
	})
}

func written(alternatives [][]term) string {
	var either []string
	for _, terms := range alternatives {
		var all []string
		for _, t := range terms {
			value := t.value
			if t.quoted {
				value = "'" + strings.ReplaceAll(value, "'", "''") + "'"
			}
			all = append(all, t.field+" "+t.operator+" "+value)
		}
		either = append(either, strings.Join(all, " and "))
	}
	return strings.Join(either, " or ")
}

func TestActivityFilter(t *testing.T) {
	const (
		id    = "019b0000-0000-7000-8000-000000000001"
		since = "eventTimestamp ge '2026-08-03T00:00:00Z'"
		from  = "2026-08-03T00:00:00Z"
	)
	for filter, want := range map[string]string{
		since: from + " -",
		"eventTimestamp ge '2026-08-03T00:00:00.1234567Z' and " +
			"eventTimestamp le '2026-08-03T02:00:00+01:00'": "2026-08-03T00:00:00.1234567Z 2026-08-03T01:00:00.000000001Z",
		"eventTimestamp ge 2026-08-03T00:00:00.5 and " +
			"eventTimestamp le 2026-08-04T00:00:00Z": "2026-08-03T00:00:00.5Z 2026-08-04T00:00:00.000000001Z",
		since + " and resourceProvider eq 'microsoft.customerlockbox'": from + " -",
		since + " and resourceProvider eq Microsoft.Compute":           "nothing",
		since + " and status eq 'Failed'":                              "nothing",
		since + " and status eq 'Succeeded' and " +
			"caller eq 'otto@meadowbank.example'": from + " - person=otto@meadowbank.example",
		since + " and correlationId eq '" + id + "'": from + " - request=" + id,
		since + " and resourceUri eq " +
			"'/Subscriptions/PROD/providers/microsoft.customerlockbox/Requests/LockboxRequest_" + id +
			"'": from + " - request=" + id,
		since + " and resourceId eq '/subscriptions/prod/vm/x'": from + " - resource=/subscriptions/prod/vm/x",
		// What Azure's documentation and its clients send.
		"eventTimestamp ge '2015-01-21T20:00:00Z' and eventTimestamp le '2015-01-23T20:00:00Z' and " +
			"resourceGroupName eq 'MSSupportGroup'": "2015-01-21T20:00:00Z 2015-01-23T20:00:00.000000001Z " +
			"resource=/subscriptions/prod/resourcegroups/mssupportgroup/",
		"eventTimestamp ge '2017-08-18' and eventTimestamp le '2017-08-19'and eventChannels eq 'Admin, Operation'": "" +
			"2017-08-18T00:00:00Z 2017-08-19T00:00:00.000000001Z",
		"(eventTimestamp GE '2026-08-03T00:00Z') AND (levels eq 'Critical,Informational')": from + " -",
		since + " and levels eq 'Critical,Error'":                                          "nothing",
		since + " and eventChannels eq 'Admin'":                                            "nothing",
		since + " and resourceType eq 'Microsoft.Compute/virtualMachines'":                 "nothing",
		"eventTimestamp gt '2026-08-02T23:59:59.999999999Z' and eventTimestamp lt 2026-08-04": from +
			" 2026-08-04T00:00:00Z",
		"eventTimestamp ge '2026-08-03 00:00:00'":               from + " -",
		"eventTimestamp ge '2026-08-03T02:00:00 02:00'":         from + " -", // a plus sign that became a blank
		"eventTimestamp ge datetime'2026-08-03T00:00:00'":       from + " -",
		"eventTimestamp ge '2026-08-01' and " + since:           from + " -",
		since + " and caller eq 'a' and caller eq 'b'":          "nothing",
		since + " and resourceId eq 'a' and resourceUri eq 'b'": "nothing",
		since + " and resourceGroupName eq 'x' and resourceGroupName eq 'X'": from +
			" - resource=/subscriptions/prod/resourcegroups/x/",
		since + " and resourceGroupName eq 'x' and " +
			"resourceUri eq '/subscriptions/prod/resourceGroups/y/vm/1'": "nothing",
		since + " and resourceGroupName eq 'x' and " +
			"resourceUri eq '/subscriptions/Prod/resourceGroups/X/vm/1'": from +
			" - resource=/subscriptions/Prod/resourceGroups/X/vm/1",
		since + " and resourceUri eq 'SUBSCRIPTIONS/prod/vm/x'": from + " - resource=/SUBSCRIPTIONS/prod/vm/x",
		since + " and correlationId eq 'a' and " +
			"resourceId eq '/subscriptions/prod/providers/Microsoft.CustomerLockbox/requests/b'": "nothing",
	} {
		f, err := readActivityFilter("prod", filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		until := "-"
		if f.ask.GetUntil() != nil {
			until = f.ask.GetUntil().AsTime().Format("2006-01-02T15:04:05.999999999Z07:00")
		}
		got := f.ask.GetSince().AsTime().Format("2006-01-02T15:04:05.999999999Z07:00") + " " + until
		for name, value := range map[string]string{"person": f.ask.GetPerson(), "request": f.ask.GetRequestId(),
			"resource": f.ask.GetResource()} {
			if value != "" {
				got += " " + name + "=" + value
			}
		}
		if f.nothing {
			got = "nothing"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", filter, got, want)
		}
	}
	for _, filter := range []string{
		"", "eventTimestamp le '2026-08-03T00:00:00Z'", "eventTimestamp ge 'yesterday'",
		"eventTimestamp ne '2026-08-03T00:00:00Z'", "eventTimestamp ge '2026-13-01'",
		"eventTimestamp ge '2026-08-03T00:00:00Z' and operationVersion eq '1'",
		"eventTimestamp ge '2026-08-03T00:00:00Z' and caller ne 'a'",
		"eventTimestamp ge '2026-08-03T00:00:00Z' or eventTimestamp ge '2026-08-04T00:00:00Z'",
		"eventTimestamp ge '2026-08-03T00:00:00Z' and caller eq ''",
		"resourceProvider eq 'Microsoft.CustomerLockbox'",
	} {
		if _, err := readActivityFilter("prod", filter); err == nil {
			t.Errorf("%q is accepted", filter)
		}
	}
}
