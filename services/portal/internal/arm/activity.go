package arm

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func listActivity(c *bearer.Call) error {
	id, err := subscription(c)
	if err != nil {
		return err
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
		entry := export.AzureEntry(id, a)
		maps.DeleteFunc(entry, func(name string, _ any) bool {
			return selected != nil && !slices.Contains(selected, strings.ToLower(name))
		})
		values = append(values, entry)
	}
	if len(values) == 0 {
		if err := mayKnow(c, id); err != nil {
			return err
		}
	}
	return answerPage(c, values, reply.GetActivity().GetNextPageToken())
}

// selection reads $select, in lower case; nil selects everything.
func selection(c *bearer.Call) ([]string, error) {
	text, err := param(c, "$select")
	if err != nil || text == "" {
		return nil, err
	}
	known := export.AzureEntry("", new(lockboxv1.Activity))
	var selected []string
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		is := func(other string) bool { return strings.EqualFold(name, other) }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(known)), is) {
			return nil, refusal.Invalid("$select", rule, "there is no property %q; those that there are: %s", name,
				strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		selected = append(selected, strings.ToLower(name))
	}
	return selected, nil
}

const understoodActivity = "understood is: eventTimestamp ge '2026-08-03T00:00:00Z', which is required; and with `and`, each at most once: " +
	"eventTimestamp le, resourceProvider eq, resourceUri eq or resourceId eq, correlationId eq, caller eq, status eq"

// activityFilter is a parsed $filter; its zero value matches no entry.
type activityFilter struct {
	ask     *lockboxv1.ListActivity
	nothing bool
}

func readActivityFilter(subscription, text string) (activityFilter, error) {
	f := activityFilter{ask: &lockboxv1.ListActivity{SubscriptionId: subscription}}
	for _, l := range export.AzureOperations {
		f.ask.Actions = append(f.ask.Actions, l.Fact)
	}
	alternatives, err := parseFilter(text)
	if err != nil {
		return f, err
	}
	if len(alternatives) > 1 {
		return f, invalidFilter(understoodActivity)
	}
	seen := map[string]bool{}
	for _, t := range alternatives[0] {
		key := strings.ToLower(t.field) + " " + t.operator
		if key == "resourceuri eq" {
			key = "resourceid eq"
		}
		if seen[key] {
			return f, invalidFilter(understoodActivity)
		}
		seen[key] = true
		if err := f.add(key, t.value); err != nil {
			return f, err
		}
	}
	if f.ask.GetSince() == nil {
		return f, invalidFilter(understoodActivity)
	}
	return f, nil
}

func (f *activityFilter) add(key, value string) error {
	switch key {
	case "eventtimestamp ge", "eventtimestamp le":
		at, err := readTime(value)
		if err != nil {
			return err
		}
		if key == "eventtimestamp ge" {
			f.ask.Since = timestamppb.New(at)
		} else { // inclusive, whereas our upper bound is exclusive
			f.ask.Until = timestamppb.New(at.Add(1))
		}
	case "resourceprovider eq":
		f.nothing = f.nothing || !strings.EqualFold(value, provider)
	case "status eq":
		f.nothing = f.nothing || !strings.EqualFold(value, export.AzureSucceeded)
	case "caller eq":
		f.ask.Person = value
	case "correlationid eq":
		f.about(value)
	case "resourceid eq":
		lockbox := strings.ToLower(export.AzureRequestID(f.ask.GetSubscriptionId(), ""))
		if id, is := strings.CutPrefix(strings.ToLower(value), lockbox); is {
			f.about(id)
		} else {
			f.ask.Resource = value
		}
	default:
		return invalidFilter(understoodActivity)
	}
	if value == "" {
		return invalidFilter(understoodActivity)
	}
	return nil
}

// about restricts the filter to one request. Two different ones match nothing.
func (f *activityFilter) about(request string) {
	request = strings.TrimPrefix(strings.ToLower(request), strings.ToLower(requestPrefix))
	f.nothing = f.nothing || f.ask.GetRequestId() != "" && f.ask.GetRequestId() != request
	f.ask.RequestId = request
}

// readTime parses a time (RFC 3339). Clients also omit the zone, meaning UTC.
func readTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalidFilter("%q is not a time as in 2026-08-03T09:30:00Z", s)
}
