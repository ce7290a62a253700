package projection_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"pgregory.net/rapid"
)

// oracle filters events the plain way: one by one, by what each says and what its request began with.
type oracle struct {
	events []projection.Event
	began  map[string]*lockboxv1.Event // by tenant and request
	asked  map[string][]string         // groups, by tenant and request
}

func newOracle(events []projection.Event) *oracle {
	o := &oracle{events: events, began: map[string]*lockboxv1.Event{}, asked: map[string][]string{}}
	for _, e := range events {
		of := requestOf(e.Event)
		if e.Event.GetAccessRequested() != nil {
			o.began[of] = e.Event
		}
		for _, stage := range e.Event.GetAccessEvaluated().GetInternalStages() {
			o.asked[of] = append(o.asked[of], stage.GetGroup())
		}
	}
	return o
}

func requestOf(e *lockboxv1.Event) string {
	return e.GetTenant() + "/" + activity.Concerned(e).RequestID
}

func (o *oracle) subscription(e *lockboxv1.Event) string {
	if s := activity.Concerned(e).SubscriptionID; s != "" {
		return s
	}
	return o.began[requestOf(e)].GetAccessRequested().GetIntent().GetSubscriptionId()
}

func (o *oracle) sees(of projection.Scope, e *lockboxv1.Event) bool {
	if of.Tenant != "" && e.GetTenant() != of.Tenant {
		return false
	}
	principals := []string{projection.Person(o.began[requestOf(e)].GetActor().GetPerson())}
	for _, g := range o.asked[requestOf(e)] {
		principals = append(principals, projection.Group(g))
	}
	return of.All || slices.Contains(of.Subscriptions, o.subscription(e)) ||
		e.GetKind() == "request" && slices.ContainsFunc(of.Principals,
			func(p string) bool { return slices.Contains(principals, p) })
}

func (o *oracle) fits(f projection.ActivityFilter, e projection.Event) bool {
	person, at := e.Event.GetActor().GetPerson(), e.Event.GetTime().AsTime()
	is := func(s string) bool { return strings.EqualFold(s, f.Person) }
	return (len(f.Types) == 0 || slices.Contains(f.Types, aggregate.TypeOf(e.Event))) &&
		(f.Since.IsZero() || !at.Before(f.Since)) && (f.Until.IsZero() || at.Before(f.Until)) &&
		(f.Person == "" || is(person.GetSubject()) || is(person.GetDisplayName()) || is(person.GetEmail())) &&
		(f.SubscriptionID == "" || strings.EqualFold(o.subscription(e.Event), f.SubscriptionID)) &&
		(!f.TenantLevel || o.subscription(e.Event) == "") &&
		(f.RequestID == "" || activity.Concerned(e.Event).RequestID == f.RequestID) &&
		(f.Before == 0 || e.Sequence < f.Before) &&
		(f.Resource == "" || slices.ContainsFunc(
			o.began[requestOf(e.Event)].GetAccessRequested().GetIntent().GetResourceIds(),
			func(r string) bool { return strings.HasPrefix(strings.ToLower(r)+"/", strings.ToLower(f.Resource)) }))
}

func (o *oracle) activities(of projection.Scope, f projection.ActivityFilter) []uint64 {
	var found []uint64
	for _, e := range slices.Backward(o.events) {
		if o.sees(of, e.Event) && o.fits(f, e) {
			found = append(found, e.Sequence)
		}
	}
	return found
}

// paged reads all pages of a list.
func paged(t fataler, v *projection.Snapshot, of projection.Scope, f projection.ActivityFilter, limit int) []uint64 {
	t.Helper()
	var found []uint64
	for {
		page, err := v.Activities(context.Background(), of, f, limit)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		for _, e := range page {
			found = append(found, e.Sequence)
			f.Before = e.Sequence
		}
		if len(page) < limit {
			return found
		}
	}
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// R39: each filter alone.
//
// control: nist:AU-6
func TestEachFilterOfTheActivityLog(t *testing.T) {
	events := some()
	o, v := newOracle(events), snapshot(t, built(t, events))
	middle := events[len(events)/2].Event.GetTime().AsTime()
	id := events[len(events)-1].Event.GetCorrelationId()
	bank := projection.Scope{Tenant: "meadowbank", All: true}
	for name, row := range map[string]struct {
		scope  projection.Scope
		filter projection.ActivityFilter
	}{
		"nothing": {bank, projection.ActivityFilter{}},
		"action":  {bank, projection.ActivityFilter{Types: []string{"CustomerDenied"}}},
		"several actions": {bank,
			projection.ActivityFilter{Types: []string{"CustomerDenied", "CustomerApproved", "RoleAssigned"}}},
		"since":                    {bank, projection.ActivityFilter{Since: middle}},
		"until":                    {bank, projection.ActivityFilter{Until: middle}},
		"an hour":                  {bank, projection.ActivityFilter{Since: middle, Until: middle.Add(time.Hour)}},
		"a person's subject":       {bank, projection.ActivityFilter{Person: "owner-01-1"}},
		"a person's name, loud":    {bank, projection.ActivityFilter{Person: "ENGINEER 06"}},
		"a person's address, loud": {bank, projection.ActivityFilter{Person: "Admin@MeadowBank.example"}},
		"a resource": {bank,
			projection.ActivityFilter{Resource: "/subscriptions/sub-07/providers/Microsoft.Compute/virtualMachines/vm-00001"}},
		"a resource in other letters, with a slash": {bank, projection.ActivityFilter{
			Resource: "/Subscriptions/SUB-07/Providers/microsoft.compute/VIRTUALMACHINES/vm-00001/"}},
		"what is below a subscription": {bank, projection.ActivityFilter{Resource: "/SUBSCRIPTIONS/sub-07/"}},
		"a subscription, loud":         {bank, projection.ActivityFilter{SubscriptionID: "SUB-03"}},
		"an owner's subscription, loud": {projection.Scope{Tenant: "meadowbank",
			Subscriptions: []string{"sub-03", "sub-07"}}, projection.ActivityFilter{SubscriptionID: "Sub-07"}},
		"the beginning of a resource": {bank, projection.ActivityFilter{Resource: "/subscriptions/sub-0"}},
		"a subscription":              {bank, projection.ActivityFilter{SubscriptionID: "sub-03"}},
		"of no subscription":          {bank, projection.ActivityFilter{TenantLevel: true}},
		"a request":                   {projection.Scope{All: true}, projection.ActivityFilter{RequestID: id}},
		"everybody's":                 {projection.Scope{All: true}, projection.ActivityFilter{}},
		"owner of two subscriptions": {projection.Scope{Tenant: "meadowbank",
			Subscriptions: []string{"sub-03", "sub-07"}}, projection.ActivityFilter{}},
		"own requests": {projection.Scope{Principals: []string{
			projection.Person(story.Provider("engineer-06").GetPerson())}}, projection.ActivityFilter{}},
		"a group's requests": {projection.Scope{Principals: []string{projection.Group("devops-managers")}},
			projection.ActivityFilter{}},
		"a group's requests, one tenant": {projection.Scope{Tenant: "sakura",
			Principals: []string{projection.Group("devops-managers")}}, projection.ActivityFilter{}},
	} {
		t.Run(name, func(t *testing.T) {
			want := o.activities(row.scope, row.filter)
			if len(want) == 0 {
				t.Fatal("the story has nothing to find")
			}
			if got := paged(t, v, row.scope, row.filter, 7); !slices.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
	for name, row := range map[string]struct {
		scope  projection.Scope
		filter projection.ActivityFilter
	}{
		"no scope":                   {projection.Scope{}, projection.ActivityFilter{}},
		"no scope, one tenant":       {projection.Scope{Tenant: "meadowbank"}, projection.ActivityFilter{}},
		"a tenant that is not there": {projection.Scope{Tenant: "nowhere", All: true}, projection.ActivityFilter{}},
		"a subscription of no concern": {projection.Scope{Tenant: "meadowbank", Subscriptions: []string{"sub-03"}},
			projection.ActivityFilter{SubscriptionID: "sub-07"}},
		"a person that is not there":       {bank, projection.ActivityFilter{Person: "nobody"}},
		"a subscription that is not there": {bank, projection.ActivityFilter{SubscriptionID: "sub-99"}},
		"a request that is not there":      {bank, projection.ActivityFilter{RequestID: "sub-99"}},
		"a resource that is not there":     {bank, projection.ActivityFilter{Resource: "%"}},
		"a type that is not there":         {bank, projection.ActivityFilter{Types: []string{"Nothing"}}},
		"before time began":                {bank, projection.ActivityFilter{Until: time.Unix(0, 0)}},
		"after time ended":                 {bank, projection.ActivityFilter{Since: time.Unix(1<<40, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := paged(t, v, row.scope, row.filter, 7); len(got) > 0 {
				t.Errorf("found %v", got)
			}
		})
	}
}

// R39: all of them together, in any combination, for anybody.
func TestFiltersOfTheActivityLogCombined(t *testing.T) {
	events := some()
	o, v := newOracle(events), snapshot(t, built(t, events))
	first, last := events[0].Event.GetTime().AsTime(), events[len(events)-1].Event.GetTime().AsTime()
	var types, ids []string
	for _, e := range events {
		if typ := aggregate.TypeOf(e.Event); !slices.Contains(types, typ) {
			types = append(types, typ)
		}
		if id := activity.Concerned(e.Event).RequestID; id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		maybe := func(name string, draw func()) {
			if rapid.Bool().Draw(t, name) {
				draw()
			}
		}
		moment := func(name string) time.Time {
			return first.Add(time.Duration(rapid.Int64Range(0, int64(last.Sub(first))).Draw(t, name)))
		}
		sub := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("sub-%02d", rapid.IntRange(0, 9).Draw(t, "n")) })
		f, of := projection.ActivityFilter{}, projection.Scope{}
		maybe("of one tenant", func() { of.Tenant = rapid.SampledFrom([]string{"meadowbank", "sakura"}).Draw(t, "tenant") })
		switch rapid.IntRange(0, 3).Draw(t, "who") {
		case 0:
			of.Tenant, of.Subscriptions = "meadowbank", rapid.SliceOfN(sub, 1, 3).Draw(t, "their subscriptions")
		case 1:
			of.Principals = []string{projection.Group("devops-managers"),
				projection.Person(story.Provider("engineer-07").GetPerson())}
		default:
			of.All = true
		}
		maybe("by action", func() { f.Types = rapid.SliceOfN(rapid.SampledFrom(types), 1, 4).Draw(t, "types") })
		maybe("by since", func() { f.Since = moment("since") })
		maybe("by until", func() { f.Until = moment("until") })
		maybe("by person", func() {
			f.Person = rapid.SampledFrom([]string{"Engineer 01", "engineer-07", "derek@nimbus.example", "Admin",
				"owner-03-1@meadowbank.example"}).Draw(t, "person")
		})
		maybe("by resource", func() {
			f.Resource = rapid.SampledFrom([]string{"/", "/subscriptions/sub-03", "/Subscriptions/SUB-03/",
				"/subscriptions/sub-07/providers/Microsoft.Compute/virtualMachines/vm-0001"}).Draw(t, "resource")
		})
		maybe("by subscription", func() {
			f.SubscriptionID = sub.Draw(t, "subscription")
			maybe("tenant level too", func() { f.TenantLevel = true })
			maybe("loud", func() { f.SubscriptionID = strings.ToUpper(f.SubscriptionID) })
		})
		maybe("by request", func() { f.RequestID = rapid.SampledFrom(ids).Draw(t, "request") })
		limit := rapid.IntRange(1, 50).Draw(t, "limit")
		if got, want := paged(t, v, of, f, limit), o.activities(of, f); !slices.Equal(got, want) {
			t.Fatalf("%+v %+v\ngot  %v\nwant %v", of, f, got, want)
		}
	})
}

func TestRequestsByStatusAreAsOfNow(t *testing.T) {
	st := story.New(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC))
	grace, erin, derek := story.Customer("meadowbank", "grace"),
		story.Provider("erin", "support-engineers"), story.Provider("derek", "devops-managers")
	st.Create("meadowbank", "Meadow Bank", nil, grace)
	st.Subscription("meadowbank", "prod", "Production")
	pending := st.Submit(erin, story.Dump("meadowbank", "prod", "a"))
	active := st.Submit(erin, story.Dump("meadowbank", "prod", "b"))
	st.Command(grace, story.Approve("meadowbank", active))
	internal := st.Submit(erin, story.Disk("meadowbank", "prod", "c"))
	denied := st.Submit(erin, story.Dump("meadowbank", "prod", "d"))
	st.Command(grace, story.Deny("meadowbank", denied))
	cleared := st.Submit(erin, story.Disk("meadowbank", "prod", "e"))
	st.Command(derek, story.InternalApprove("meadowbank", cleared))
	v := snapshot(t, built(t, asEvents(st.Entries)))

	terms := request.DefaultTerms()
	for name, row := range map[string]struct {
		statuses []request.Status
		after    time.Duration
		want     []string
	}{
		"pending": {[]request.Status{request.CustomerNotified}, 0, []string{cleared, pending}},
		"just before the deadline": {[]request.Status{request.CustomerNotified}, terms.CustomerApproval - 1,
			[]string{cleared, pending}},
		"at the deadline": {[]request.Status{request.CustomerNotified}, terms.CustomerApproval, nil},
		"expired though not recorded": {[]request.Status{request.Expired}, terms.CustomerApproval,
			[]string{cleared, pending}},
		"not expired before":   {[]request.Status{request.Expired}, terms.CustomerApproval - 1, nil},
		"active until the end": {[]request.Status{request.Active}, terms.Grant - 1, []string{active}},
		"over at the end": {[]request.Status{request.Active, request.CustomerNotified}, terms.Grant,
			[]string{cleared, pending}},
		"completed though not recorded": {[]request.Status{request.Completed}, terms.Grant, []string{active}},
		"internal": {[]request.Status{request.AwaitingInternalApproval}, terms.InternalApproval - 1,
			[]string{internal}},
		"internal, over": {[]request.Status{request.InternalExpired}, terms.InternalApproval,
			[]string{internal}},
		"several, some recorded, some not": {[]request.Status{request.Denied, request.Expired, request.Completed},
			terms.CustomerApproval, []string{cleared, denied, active, pending}},
		"any": {nil, terms.CustomerApproval,
			[]string{cleared, denied, internal, active, pending}},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := v.Requests(t.Context(), projection.Scope{Tenant: "meadowbank", All: true},
				projection.RequestFilter{Statuses: row.statuses}, st.Now.Add(row.after), 100)
			must(t, err)
			var got []string
			for _, r := range rows {
				got = append(got, r.ID)
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}

	person := func(a *lockboxv1.Actor) []string { return []string{projection.Person(a.GetPerson())} }
	for name, row := range map[string]struct {
		scope  projection.Scope
		filter projection.RequestFilter
		want   []string
	}{
		"waiting for the approver": {projection.Scope{All: true}, projection.RequestFilter{Waiting: person(grace)},
			[]string{cleared, pending}},
		"waiting for the group": {projection.Scope{All: true},
			projection.RequestFilter{Waiting: []string{projection.Group("devops-managers")}}, []string{internal}},
		"waiting for nobody else": {projection.Scope{All: true}, projection.RequestFilter{Waiting: person(erin)}, nil},
		"the requester's own": {projection.Scope{Principals: person(erin)}, projection.RequestFilter{},
			[]string{cleared, denied, internal, active, pending}},
		"those that reached the group": {projection.Scope{Principals: []string{projection.Group("devops-managers")}},
			projection.RequestFilter{}, []string{cleared, internal}},
		"by id": {projection.Scope{All: true}, projection.RequestFilter{ID: active}, []string{active}},
		"by subscription": {projection.Scope{Tenant: "meadowbank", All: true},
			projection.RequestFilter{SubscriptionID: "prod"}, []string{cleared, denied, internal, active, pending}},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := v.Requests(t.Context(), row.scope, row.filter, st.Now, 100)
			must(t, err)
			var got []string
			for _, r := range rows {
				got = append(got, r.ID)
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}
