package projection_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// listed is what a list is made of, found without an index.
type listed struct {
	seq                      uint64
	tenant, id, subscription string
	state                    request.State
}

// all tells of requests at every step of their lives, at two tenants whose subscriptions have the same names, and
// returns them newest first.
func all(t *testing.T) (st *story.Story, list []listed) {
	t.Helper()
	st = story.New(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC))
	erin, derek := story.Provider("erin", "support-engineers"), story.Provider("derek", "devops-managers")
	tenants := []string{"meadowbank", "sakura"}
	for _, tenant := range tenants {
		admin := story.Customer(tenant, "admin")
		st.Create(tenant, tenant, nil, admin)
		for i := range subscriptions {
			st.Subscription(tenant, subscription(tenant, i), "Subscription")
		}
		st.Ticket(admin, tenant, "T-1", "slow", "")
	}
	for i := range 120 {
		tenant, by := tenants[i%3%2], erin
		if i%7 == 0 {
			by = derek
		}
		intent := story.Dump(tenant, subscription(tenant, i%9*11%subscriptions), "a")
		if i%4 == 0 {
			intent = story.Disk(tenant, subscription(tenant, i%5), "a")
		}
		if i%6 == 5 {
			intent = story.Dump(tenant, subscription(tenant, i%7), "a")
			intent.Scenario = "platform-health" // reaches no customer data
		}
		if i%10 == 3 {
			intent.TicketId = "T-1"
		}
		id := st.Submit(by, intent)
		admin := story.Customer(tenant, "admin")
		if by == erin && i%8 == 0 {
			st.Command(derek, story.InternalApprove(tenant, id))
		}
		if r := st.States.Request(aggregate.Request(tenant, id)); r.Status == request.CustomerNotified {
			switch i % 5 {
			case 0:
				st.Command(admin, story.Deny(tenant, id))
			case 1, 2:
				st.Command(admin, story.Approve(tenant, id))
			}
		}
		st.Now = st.Now.Add(time.Hour)
		list = append(list, listed{tenant: tenant, id: id, subscription: intent.GetSubscriptionId()})
	}
	for i, l := range list {
		list[i].state = st.States.Request(aggregate.Request(l.tenant, l.id))
		list[i].seq = uint64(slices.IndexFunc(entries(st),
			func(e *lockboxv1.Event) bool { return e.GetAggregateId() == l.id })) + 1
	}
	slices.SortFunc(list, func(a, b listed) int { return cmp.Compare(b.seq, a.seq) })
	return st, list
}

// subscriptions are more than are looked at one by one.
const subscriptions = 70

func subscription(tenant string, i int) string { return fmt.Sprintf("%s-%02d", tenant, i) }

func entries(st *story.Story) []*lockboxv1.Event {
	events := make([]*lockboxv1.Event, len(st.Entries))
	for i, e := range st.Entries {
		events[i] = e.Event
	}
	return events
}

// shows says whether scope and filter let a request through at now, by their words alone.
func (l listed) shows(of projection.Scope, f projection.RequestFilter, now time.Time) bool {
	status := l.state.Status
	due := projection.Deadline(l.state)
	overdue := due != nil && !now.Before(due.AsTime())
	if overdue {
		status = projection.Overdue(status)
	}
	audience := []string{projection.Person(l.state.Requester.GetPerson())}
	for _, stage := range l.state.Evaluation.GetInternalStages() {
		audience = append(audience, projection.Group(stage.GetGroup()))
	}
	var waits []string
	switch stage, _ := l.state.Stage(); l.state.Status {
	case request.AwaitingInternalApproval:
		waits = []string{projection.Group(stage.GetGroup())}
	case request.CustomerNotified:
		for _, a := range l.state.Notified.GetApprovers() {
			waits = append(waits, projection.Person(a.GetPerson()))
		}
	}
	either := func(a, b []string) bool {
		return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
	}
	return (of.Tenant == "" || of.Tenant == l.tenant) &&
		(of.All || slices.Contains(of.Subscriptions, l.subscription) || either(of.Principals, audience)) &&
		(f.ID == "" || f.ID == l.id) && (f.TicketID == "" || f.TicketID == l.state.TicketID) &&
		(f.SubscriptionID == "" || strings.EqualFold(f.SubscriptionID, l.subscription)) &&
		(f.Before == 0 || l.seq < f.Before) && l.named(f.Named) &&
		(!f.Waived || l.state.Grant.GetWaiver() != 0 && !l.state.GrantedAt.Before(f.WaivedSince)) &&
		(len(f.Statuses) == 0 || slices.Contains(f.Statuses, status)) &&
		(len(f.Waiting) == 0 || !overdue && either(f.Waiting, waits))
}

// named says whether a request is named so.
func (l listed) named(n projection.Named) bool {
	in, p := l.state.Intent, l.state.Requester.GetPerson()
	engineer := p.GetDisplayName() + "\n" + p.GetEmail() + "\n" + p.GetSubject()
	words := strings.Join(append([]string{engineer, l.id, in.GetTicketId(), in.GetResourceType(), in.GetScenario()},
		in.GetResourceIds()...), "\n")
	part := func(text, of string) bool { return strings.Contains(strings.ToLower(of), strings.ToLower(text)) }
	return (n.Service == "" || n.Service == in.GetResourceType()) &&
		(n.Requester == "" || n.Requester == projection.Person(p)) && (!n.Emergency || in.GetEmergency()) &&
		part(n.Engineer, engineer) && (part(n.Subscription, l.subscription) || slices.Contains(n.Subscriptions,
		l.subscription)) &&
		(part(n.Text, words) || part(n.Text, l.subscription) || slices.Contains(n.TextSubscriptions, l.subscription))
}

// due is the deadline by which a list is ordered.
func (l listed) due() int64 {
	if at := projection.Deadline(l.state); at != nil && l.state.Fault == nil {
		return at.AsTime().UnixNano()
	}
	return math.MaxInt64
}

// What is overdue is counted at the deadline, and not a nanosecond before.
func TestOverdueRequestsAreCounted(t *testing.T) {
	st, list := all(t)
	v := snapshot(t, built(t, asEvents(st.Entries)))
	var dues []int64
	for _, l := range list {
		if due := l.due(); due != math.MaxInt64 {
			dues = append(dues, due)
		}
	}
	slices.Sort(dues)
	if len(dues) < 3 {
		t.Fatalf("only %d requests have a deadline", len(dues))
	}
	for _, at := range []int64{dues[0] - 1, dues[0], dues[len(dues)/2], dues[len(dues)-1]} {
		want := uint64(0)
		for _, due := range dues {
			if due <= at {
				want++
			}
		}
		n, first, err := v.Overdue(t.Context(), time.Unix(0, at))
		if err != nil || n != want || first.IsZero() != (n == 0) || n > 0 && first.UnixNano() != dues[0] {
			t.Errorf("at %d: %d, not %d, the first at %v: %v", at, n, want, first, err)
		}
	}
}

// Whatever index a list goes by, and however it is counted, it is what scope and filter say.
func TestListsAreWhatScopeAndFilterSay(t *testing.T) {
	st, list := all(t)
	v := snapshot(t, built(t, asEvents(st.Entries)))
	var names []string
	for i := range subscriptions {
		names = append(names, subscription("meadowbank", i))
	}
	people := []string{
		projection.Group("devops-managers"), projection.Group("customer-support-leads"),
		projection.Person(story.Provider("erin").GetPerson()),
		projection.Person(story.Provider("derek").GetPerson()),
		projection.Person(story.Customer("meadowbank", "admin").GetPerson()),
	}
	some := func(t *rapid.T, what string, from []string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 1, len(from), rapid.ID[string]).Draw(t, what)
	}
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		var of projection.Scope
		switch rapid.IntRange(0, 3).Draw(t, "scope") {
		case 0:
			of = projection.Scope{All: true}
		case 1:
			of = projection.Scope{Tenant: "meadowbank", All: true}
		case 2:
			of = projection.Scope{Tenant: "meadowbank",
				Subscriptions: some(t, "subscriptions", names[:rapid.SampledFrom([]int{2, 9, subscriptions}).Draw(t, "of")])}
		default:
			of = projection.Scope{Tenant: rapid.SampledFrom([]string{"", "sakura"}).Draw(t, "tenant"),
				Principals: some(t, "principals", people[:4])}
		}
		f := projection.RequestFilter{
			SubscriptionID: rapid.SampledFrom([]string{"", "", "", names[0], names[11], strings.ToUpper(names[0]),
				"none"}).Draw(t, "subscription"),
			TicketID: rapid.SampledFrom([]string{"", "", "", "t-1", "t-2"}).Draw(t, "ticket"),
		}
		for _, s := range rapid.SliceOfNDistinct(rapid.IntRange(1, 15), 0, 6, rapid.ID[int]).Draw(t, "statuses") {
			f.Statuses = append(f.Statuses, request.Status(s)) // #nosec G115 -- a status
		}
		if rapid.IntRange(0, 2).Draw(t, "waits") == 0 {
			f.Waiting = some(t, "waiting", people)
		}
		if f.Waived = rapid.IntRange(0, 2).Draw(t, "waived") == 0; f.Waived && rapid.Bool().Draw(t, "since") {
			f.WaivedSince = rapid.SampledFrom(list).Draw(t, "from").state.RequestedAt
		}
		if rapid.IntRange(0, 5).Draw(t, "named") == 0 {
			f.ID = rapid.SampledFrom(list).Draw(t, "request").id
		}
		f.Service = rapid.SampledFrom([]string{"", "", "", story.Dump("", "", "").GetResourceType(), "none"}).Draw(t,
			"service")
		f.Engineer = rapid.SampledFrom([]string{"", "", "", "ERIN", "derek", "e", "nobody"}).Draw(t, "engineer")
		f.Emergency = rapid.IntRange(0, 9).Draw(t, "emergency") == 0
		f.Requester = rapid.SampledFrom([]string{"", "", "", people[2]}).Draw(t, "requester")
		f.Subscription = rapid.SampledFrom([]string{"", "", "", "Bank-1", "-0"}).Draw(t, "part of a subscription")
		f.Text = rapid.SampledFrom([]string{"", "", "", "t-1", "sakura-1", "Erin"}).Draw(t, "text")
		if f.Subscription != "" {
			f.Subscriptions = names[:rapid.IntRange(0, 3).Draw(t, "by name")]
		}
		if rapid.Bool().Draw(t, "wide") { // of all these together, most let nothing through
			of, f = projection.Scope{All: true}, projection.RequestFilter{}
		}
		f.ByDeadline = rapid.Bool().Draw(t, "by deadline")
		now := st.Now.Add(time.Duration(rapid.IntRange(-50, 150).Draw(t, "hours")) * time.Hour)
		count, err := v.CountRequests(t.Context(), of, f, now)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		in := slices.Clone(list)
		if f.ByDeadline {
			slices.SortFunc(in, func(a, b listed) int {
				return cmp.Or(cmp.Compare(a.due(), b.due()), cmp.Compare(a.seq,
					b.seq))
			})
		}
		for _, l := range in {
			if l.shows(of, f, now) {
				want = append(want, l.id)
			}
		}
		if count != uint64(len(want)) {
			t.Fatalf("counted %d, want %d", count, len(want))
		}
		var got []string
		for page := rapid.IntRange(1, 50).Draw(t, "page"); ; {
			rows, err := v.Requests(t.Context(), of, f, now, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				got = append(got, r.ID)
				f = f.From(r)
			}
			if len(rows) < page {
				break
			}
		}
		if f.Backward = true; len(got) > 1 { // and back from the last
			back, err := v.Requests(t.Context(), of, f, now, len(got))
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range back {
				if r.ID != want[len(want)-2-i] {
					t.Fatalf("back from the last: %v, want the reverse of %v", back, want)
				}
			}
			if len(back) != len(want)-1 {
				t.Fatalf("%d come before the last of %d", len(back), len(want))
			}
		}
		if found += len(got); !slices.Equal(got, want) {
			t.Fatalf("listed %v, want %v", got, want)
		}
	})
	if found == 0 {
		t.Error("nothing was ever found")
	}
}

// A fold that is remembered is that of the snapshot that asks, and what contradicts itself is folded anew each time.
func TestSharedFoldsAreOfTheirMoment(t *testing.T) {
	st := story.New(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC))
	grace := story.Customer("meadowbank", "grace")
	st.Create("meadowbank", "Meadow Bank", nil, grace)
	st.Subscription("meadowbank", "prod", "Production")
	id := st.Submit(story.Provider("erin", "support-engineers"), story.Dump("meadowbank", "prod", "a"))
	s := built(t, asEvents(st.Entries))
	told := len(st.Entries)
	look := func(v *projection.Snapshot) request.State {
		t.Helper()
		rows, err := v.Requests(t.Context(), projection.Scope{All: true}, projection.RequestFilter{ID: id}, st.Now, 1)
		must(t, err)
		states, err := v.States(t.Context(), rows)
		must(t, err)
		return states[0]
	}
	before := snapshot(t, s)
	first := look(before)
	st.Command(grace, story.Deny("meadowbank", id))
	must(t, s.Apply(t.Context(), asEvents(st.Entries[told:])))
	told = len(st.Entries)
	after := snapshot(t, s)
	for range 2 {
		if got := look(before); got.Status != request.CustomerNotified || got.Sequence != first.Sequence {
			t.Errorf("before: %v at %d", got.Status, got.Sequence)
		}
		if got := look(after); got.Status != request.Denied || got.EndReason != "not this week" {
			t.Errorf("after: %v", got.Status)
		}
	}
	e := proto.CloneOf(st.Entries[told-1].Event)
	e.Version++
	st.Write(e)
	must(t, s.Apply(t.Context(), asEvents(st.Entries[told:])))
	faulty := snapshot(t, s)
	for range 2 {
		if got := look(faulty); got.Fault == nil || got.Status != request.Denied {
			t.Errorf("faulty: %v, %v", got.Status, got.Fault)
		}
		if got := look(after); got.Fault != nil {
			t.Errorf("after, with a fault: %v", got.Fault)
		}
	}
}

func TestRequestsAreGroupedByTicketAndByEngineer(t *testing.T) {
	st, list := all(t)
	v := snapshot(t, built(t, asEvents(st.Entries)))
	of := projection.Scope{Tenant: "meadowbank", All: true}
	for _, by := range []projection.Grouping{projection.ByTicket, projection.ByEngineer} {
		want, due := map[string]uint64{}, map[string]int64{}
		key := func(l listed) string { return l.state.TicketID }
		if by == projection.ByEngineer {
			key = func(l listed) string { return l.state.Requester.GetPerson().GetSubject() }
		}
		for _, l := range list {
			if f := (projection.RequestFilter{}); l.shows(of, f, st.Now) {
				if d, known := due[key(l)]; !known || l.due() < d {
					due[key(l)] = l.due()
				}
				want[key(l)]++
			}
		}
		groups, more, err := v.Groups(t.Context(), of, projection.RequestFilter{}, by, st.Now, 10)
		must(t, err)
		if more || len(groups) != len(want) || len(want) < 2 {
			t.Fatalf("%s: %d groups, more: %t, want %d", by, len(groups), more, len(want))
		}
		for _, g := range groups {
			i := slices.IndexFunc(list, func(l listed) bool { return l.seq == g.Newest.Sequence })
			if k := key(list[i]); g.Count != want[k] || g.Newest.Due != due[k] {
				t.Errorf("%s %q: %d due %d, want %d due %d", by, k, g.Count, g.Newest.Due, want[k], due[k])
			}
		}
		if one, more, err := v.Groups(t.Context(), of, projection.RequestFilter{}, by, st.Now, 1); err != nil || !more ||
			len(one) != 1 || one[0] != groups[0] {
			t.Errorf("%s: the first of them is %v, more: %t, %v", by, one, more, err)
		}
	}
}

func TestManyAreNotAllCounted(t *testing.T) {
	st := story.New(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC))
	grace, erin := story.Customer("meadowbank", "grace"), story.Provider("erin", "support-engineers")
	st.Create("meadowbank", "Meadow Bank", nil, grace)
	st.Subscription("meadowbank", "prod", "Production")
	count := func(s *projection.Store) (counts [4]uint64) {
		t.Helper()
		v := snapshot(t, s)
		who := []string{projection.Person(grace.GetPerson())}
		for i, f := range []projection.RequestFilter{
			{}, {SubscriptionID: "prod"}, {Waiting: who}, {Statuses: []request.Status{request.CustomerNotified, request.Denied}},
		} {
			n, err := v.CountRequests(t.Context(), projection.Scope{Tenant: "meadowbank", All: true}, f, st.Now)
			must(t, err)
			counts[i] = n
		}
		return counts
	}
	for range input.MaxCount - 1 {
		st.Submit(erin, story.Dump("meadowbank", "prod", "a"))
	}
	s := built(t, asEvents(st.Entries))
	for _, want := range []uint64{input.MaxCount - 1, input.MaxCount, input.MaxCount + 1, input.MaxCount + 1} {
		if got := count(s); got != [4]uint64{want, want, want, want} {
			t.Errorf("counted %d, want %d", got, want)
		}
		told := len(st.Entries)
		st.Submit(erin, story.Dump("meadowbank", "prod", "a"))
		must(t, s.Apply(t.Context(), asEvents(st.Entries[told:])))
	}
}
