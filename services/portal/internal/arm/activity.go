package arm

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// listActivity lists what is logged of a subscription or, on the path without one, what is of the tenant alone.
func listActivity(c *bearer.Call) error {
	id := ""
	if c.Param("subscriptionId") != "" {
		var err error
		if id, err = subscription(c); err != nil {
			return err
		}
	}
	selected, err := selection(c)
	if err != nil {
		return err
	}
	text, err := param(c, "$filter")
	if err != nil {
		return err
	}
	filter, err := readActivityFilter(id, text)
	if err != nil {
		return err
	}
	if filter.ask.PageToken, filter.ask.Limit, err = page(c); err != nil {
		return err
	}
	reply := new(lockboxv1.QueryReply)
	if !filter.nothing {
		if reply, err = c.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListActivity{ListActivity: filter.ask}}); err != nil {
			return err
		}
	}
	var values []map[string]any
	for _, a := range reply.GetActivity().GetActivities() {
		a.SubscriptionId = cmp.Or(a.GetSubscriptionId(), id)
		e := export.Azure(a)
		maps.DeleteFunc(e, func(name string, _ any) bool {
			return selected != nil && !slices.Contains(selected, strings.ToLower(name))
		})
		values = append(values, e)
	}
	if len(values) == 0 && id != "" {
		if err := mayKnow(c, id); err != nil {
			return err
		}
	}
	return answerPage(c, values, reply.GetActivity().GetNextPageToken())
}

// documented are the properties of Azure Monitor's entries. Those that ours do not have are absent in the answer.
var documented = []string{"authorization", "caller", "category", "claims", "correlationId", "description",
	"eventDataId", "eventName", "eventTimestamp", "httpRequest", "id", "level", "operationId", "operationName",
	"properties", "resourceGroupName", "resourceId", "resourceProviderName", "resourceType", "status", "subStatus",
	"submissionTimestamp", "subscriptionId", "tenantId", "channels", "eventSource"}

// selection reads $select, in lower case; nil selects everything.
func selection(c *bearer.Call) ([]string, error) {
	text, err := param(c, "$select")
	if err != nil || text == "" {
		return nil, err
	}
	var selected []string
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		is := func(other string) bool { return strings.EqualFold(name, other) }
		if !slices.ContainsFunc(documented, is) {
			return nil, refusal.Naming(
				refusal.Invalid("$select", rule, "there is no property %q; those that there are: %s", name,
					strings.Join(documented, ", ")),
				"name", name, "known", strings.Join(documented, ", "))
		}
		selected = append(selected, strings.ToLower(name))
	}
	return selected, nil
}

const understoodActivity = "understood is: eventTimestamp ge '2026-08-03T00:00:00Z', which is required; " +
	"and with `and`: " +
	"eventTimestamp gt, lt or le, and with eq resourceGroupName, resourceProvider, resourceType, " +
	"resourceUri or resourceId, correlationId, caller, status, levels, eventChannels"

// activityFilter is a parsed $filter; its zero value matches no entry.
type activityFilter struct {
	ask     *lockboxv1.ListActivity
	nothing bool
	group   string // the beginning of the ids in a resource group, in lower case
}

// readActivityFilter parses the $filter of a subscription's log, or of the tenant's own if the subscription is empty.
func readActivityFilter(subscription, text string) (activityFilter, error) {
	f := activityFilter{ask: &lockboxv1.ListActivity{SubscriptionId: subscription, TenantLevel: subscription == ""}}
	for _, l := range export.AzureOperations {
		f.ask.Actions = append(f.ask.Actions, l.Fact)
	}
	if subscription == "" {
		f.ask.Actions = nil
	}
	alternatives, err := parseFilter(text)
	if err != nil {
		return f, err
	}
	if len(alternatives) > 1 {
		return f, invalidFilter(understoodActivity)
	}
	for _, t := range alternatives[0] {
		if t.value == "" {
			return f, invalidFilter(understoodActivity)
		}
		if err := f.add(t); err != nil {
			return f, err
		}
	}
	if f.ask.GetSince() == nil {
		return f, invalidFilter(understoodActivity)
	}
	switch resource := resource.Fold(f.ask.GetResource()); {
	case f.group == "" || strings.HasPrefix(resource, f.group):
	case resource == "":
		f.ask.Resource = f.group
	default:
		f.nothing = true
	}
	return f, nil
}

// add restricts the filter by another comparison.
func (f *activityFilter) add(t term) error {
	field := strings.ToLower(t.field)
	if field == "eventtimestamp" {
		return f.bound(t)
	}
	if t.operator != "eq" {
		return invalidFilter(understoodActivity)
	}
	is := func(what string) { f.nothing = f.nothing || !strings.EqualFold(t.value, what) }
	among := func(what string) { // a list in one text: 'Admin, Operation'
		f.nothing = f.nothing || !slices.ContainsFunc(strings.Split(t.value, ","),
			func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), what) })
	}
	switch field {
	case "resourceprovider", "resourceprovidername":
		is(provider)
	case "resourcetype":
		is(provider + "/requests")
	case "status":
		is(export.AzureSucceeded)
	case "levels", "level":
		among(export.AzureLevel)
	case "eventchannels", "channels":
		among("Operation")
	case "caller":
		f.one(&f.ask.Person, t.value)
	case "correlationid":
		f.about(t.value)
	case "resourcegroupname", "resourcegroup":
		f.one(&f.group, resource.Fold(resource.Root("", f.ask.GetSubscriptionId())+"/resourceGroups/"+t.value+"/"))
	case "resourceid", "resourceuri":
		if !strings.HasPrefix(t.value, "/") { // Azure writes some ids without it
			t.value = "/" + t.value
		}
		lockbox := strings.ToLower(export.AzureRequestID(f.ask.GetSubscriptionId(), ""))
		if id, is := strings.CutPrefix(strings.ToLower(t.value), lockbox); is {
			f.about(id)
		} else {
			f.one(&f.ask.Resource, t.value)
		}
	default:
		return refusal.OfKind(invalidFilter("there is no filter by %q; %s", t.field, understoodActivity),
			"filter-field", "name", t.field)
	}
	return nil
}

// bound restricts the time. Our upper bound is exclusive.
func (f *activityFilter) bound(t term) error {
	at, err := readTime(t.value)
	if err != nil {
		return err
	}
	switch t.operator {
	case "gt", "le":
		at = at.Add(1)
	case "ge", "lt":
	default:
		return invalidFilter(understoodActivity)
	}
	switch since, until := f.ask.GetSince(), f.ask.GetUntil(); t.operator {
	case "ge", "gt":
		if since == nil || since.AsTime().Before(at) {
			f.ask.Since = timestamppb.New(at)
		}
	default:
		if until == nil || until.AsTime().After(at) {
			f.ask.Until = timestamppb.New(at)
		}
	}
	return nil
}

// one sets a value that can be only one: two different ones match nothing.
func (f *activityFilter) one(of *string, value string) {
	f.nothing = f.nothing || *of != "" && resource.Canonical(*of) != resource.Canonical(value)
	*of = value
}

// about restricts the filter to one request.
func (f *activityFilter) about(request string) {
	f.one(&f.ask.RequestId, strings.TrimPrefix(strings.ToLower(request), strings.ToLower(requestPrefix)))
}

// times are the forms in which Azure's documentation and clients write times. Without a zone they mean UTC; a plus sign
// that a client did not escape has become a blank.
var times = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00",
	"2006-01-02T15:04", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04",
	"2006-01-02Z", time.DateOnly,
}

// readTime parses a time.
func readTime(s string) (time.Time, error) {
	text := strings.ToUpper(strings.TrimSpace(s))
	if i := strings.LastIndexByte(text, ' '); i > len(time.DateOnly) {
		text = text[:i] + "+" + text[i+1:]
	}
	for _, layout := range times {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, refusal.OfKind(invalidFilter("%q is not a time as in 2026-08-03T09:30:00Z", s),
		"filter-time", "given", s)
}
