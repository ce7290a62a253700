package projection_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"go.uber.org/zap/zaptest"
	"pgregory.net/rapid"
)

// life is a random history of requests at two customers, and a projection that follows it.
type life struct {
	t     *rapid.T
	test  *testing.T
	story *story.Story
	made  []aggregate.Key
	dir   string
	store *projection.Store
	taken int
}

var (
	customers = []string{"meadowbank", "sakura"}
)

func newLife(test *testing.T, t *rapid.T) *life {
	l := &life{t: t, test: test, story: story.New(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC))}
	for _, tenant := range customers {
		l.story.Create(tenant, tenant, nil, story.Customer(tenant, "admin"))
		for i := range 3 {
			l.story.Subscription(tenant, subscription(tenant, i), "Subscription")
		}
	}
	l.dir = l.directory()
	l.store = open(test, l.dir)
	return l
}

func (l *life) directory() string {
	dir, err := os.MkdirTemp(l.test.TempDir(), "")
	must(l.test, err)
	return dir
}

// step lets something happen: somebody asks for access, decides, gives access back or ends it, or time passes.
func (l *life) step() {
	st := l.story
	if len(l.made) == 0 || rapid.IntRange(0, 2).Draw(l.t, "asks") == 0 {
		tenant := rapid.SampledFrom(customers).Draw(l.t, "customer")
		in := story.Dump(tenant, subscription(tenant, rapid.IntRange(0, 2).Draw(l.t, "subscription")), "a")
		who := "erin"
		switch rapid.IntRange(0, 5).Draw(l.t, "what") {
		case 0:
			in = story.Disk(tenant, in.GetSubscriptionId(), "a")
		case 1:
			in.Scenario = "platform-health" // reaches no customer data
		case 2:
			who, in.Emergency, in.TicketId = "rosa", true, ""
			in.ReasonType = lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT
		}
		id := st.Submit(story.Provider(who, aggregate.SupportEngineers, aggregate.EmergencyResponders), in)
		l.made = append(l.made, aggregate.Request(tenant, id))
		return
	}
	about := rapid.SampledFrom(l.made).Draw(l.t, "request")
	admin := story.Customer(about.Tenant, "admin")
	c := story.About(about.Tenant, about.ID)
	switch rapid.IntRange(0, 7).Draw(l.t, "then") { // whatever is not possible is refused
	case 0:
		_ = st.Try(admin, story.Approve(about.Tenant, about.ID))
	case 1:
		_ = st.Try(admin, story.Deny(about.Tenant, about.ID))
	case 2:
		for _, who := range []string{"lena", "derek"} {
			_ = st.Try(story.Provider(who, aggregate.SupportLeads, aggregate.DevOpsManagers),
				story.InternalApprove(about.Tenant, about.ID))
		}
	case 3:
		c.Action = &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{Reason: "Solved."}}
		_ = st.Try(story.Provider("erin", aggregate.SupportEngineers), c)
	case 4:
		c.Action = &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: "Enough."}}
		_ = st.Try(admin, c)
	case 5:
		st.Owed(about)
	default:
		st.Now = st.Now.Add(time.Duration(rapid.Int64Range(0, int64(9*24*time.Hour)).Draw(l.t, "time")))
	}
}

// follow has the projection take what has happened, in pieces, and closes and opens it now and then.
func (l *life) follow() {
	for l.taken < len(l.story.Entries) {
		n := min(rapid.IntRange(1, 40).Draw(l.t, "batch"), len(l.story.Entries)-l.taken)
		must(l.test, l.store.Apply(l.test.Context(), asEvents(l.story.Entries[l.taken:l.taken+n])))
		l.taken += n
	}
	switch rapid.IntRange(0, 3).Draw(l.t, "the projection") {
	case 0:
		must(l.test, l.store.Complete(l.test.Context()))
	case 1:
		must(l.test, l.store.Complete(l.test.Context()))
		must(l.test, l.store.Close())
		l.store = open(l.test, l.dir)
	}
}

// figures are counted one by one, from the requests as they are folded.
func (l *life) figures(of projection.Scope, n projection.Named, weeks int, now time.Time) *projection.Figures {
	f := &projection.Figures{Weeks: make([]projection.WeekCount, weeks), Made: map[projection.Standing]uint64{},
		Took: [][]time.Duration{nil}}
	monday := now.UTC().Truncate(24 * time.Hour)
	for monday.Weekday() != time.Monday {
		monday = monday.AddDate(0, 0, -1)
	}
	for _, about := range l.made {
		s := l.story.States.Request(about)
		if !(listed{tenant: about.Tenant, subscription: s.Intent.GetSubscriptionId(), state: s}).shows(of,
			projection.RequestFilter{Named: n}, now) {
			continue
		}
		status := s.Status
		if due := projection.Deadline(s); due != nil && !now.Before(due.AsTime()) {
			status = projection.Overdue(status)
		}
		f.Open.Add(openly(s, status))
		for i := range f.Weeks {
			begins := monday.AddDate(0, 0, 7*(i-weeks+1))
			ends := begins.AddDate(0, 0, 7)
			f.Weeks[i].Access += overlap(s, begins, earliest(ends, now))
			if s.RequestedAt.Before(begins) || !s.RequestedAt.Before(ends) {
				continue
			}
			f.Weeks[i].Requests++
			if s.Intent.GetEmergency() {
				f.Weeks[i].Emergencies++
			}
			f.Made[projection.Standing{Status: status, Emergency: s.Intent.GetEmergency(),
				Waived: s.Grant.GetWaiver() != 0}]++
			if n := len(s.CustomerDecisions); n > 0 && s.Waiver() == 0 && s.Status != request.CustomerNotified &&
				s.Status != request.Expired && s.Status != request.Withdrawn {
				f.Took[0] = append(f.Took[0], s.CustomerDecisions[n-1].GetTime().AsTime().Sub(s.NotifiedAt))
			}
		}
	}
	return f
}

func openly(s request.State, status request.Status) (o projection.OpenCount) {
	switch status {
	case request.CustomerNotified:
		o.Waiting, o.OldestWaiting, o.NextDeadline = 1, s.NotifiedAt, s.ExpiresAt()
	case request.Approved:
		o.Running = 1
	case request.Active:
		o.Running, o.NextEnd = 1, s.Grant.GetEndsAt().AsTime()
	case request.Submitted, request.AwaitingInternalApproval:
		o.Internal = 1
	default:
		return o
	}
	if s.Intent.GetEmergency() {
		o.Emergencies = 1
	}
	return o
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// overlap is how long access existed between two times.
func overlap(s request.State, from, to time.Time) time.Duration {
	if s.Grant == nil {
		return 0
	}
	begins, ends := s.Grant.GetStartsAt().AsTime(), earliest(to, s.Grant.GetEndsAt().AsTime())
	if !s.EndedAt.IsZero() {
		ends = earliest(ends, s.EndedAt)
	}
	if begins.Before(from) {
		begins = from
	}
	return max(0, ends.Sub(begins))
}

// spelled is everything in figures.
func spelled(f *projection.Figures) string {
	at := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		return t.UnixNano()
	}
	o := f.Open
	return fmt.Sprint(o.Internal, o.Waiting, o.Running, o.Emergencies, at(o.OldestWaiting), at(o.NextDeadline),
		at(o.NextEnd), f.Weeks, f.Made, slices.Sorted(slices.Values(slices.Concat(f.Took...))))
}

// However a history went, and however often it was asked about meanwhile, its figures are those of its requests one by
// one, for every scope and filter: those that were kept as it went, those that were read again, and those of a
// projection that is built from nothing.
func TestFiguresAreThoseOfTheRequestsOneByOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLife(t, rt)
		defer func() { must(t, l.store.Close()) }()
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			for range rapid.IntRange(1, 20).Draw(rt, "steps") {
				l.step()
			}
			l.follow()
			if !l.store.Building() {
				l.compare(l.store, 2)
			}
		}
		must(t, l.store.Complete(t.Context()))
		l.compare(l.store, 4)
		anew, err := projection.Open(t.Context(), l.directory(), projection.Options{Log: zaptest.NewLogger(t)})
		must(t, err)
		defer func() { must(t, anew.Close()) }()
		must(t, anew.Apply(t.Context(), asEvents(l.story.Entries)))
		must(t, anew.Complete(t.Context()))
		l.compare(anew, 4)
	})
}

// compare asks a projection, and counts.
func (l *life) compare(store *projection.Store, times int) {
	v, err := store.Snapshot(l.test.Context())
	must(l.test, err)
	defer func() { must(l.test, v.Close()) }()
	for range times {
		of, n := projection.Scope{All: true}, projection.Named{}
		of.Tenant = rapid.SampledFrom([]string{"", "meadowbank", "sakura", "nobody"}).Draw(l.t, "tenant")
		if of.Tenant == "sakura" && rapid.Bool().Draw(l.t, "an owner") {
			of.All, of.Subscriptions = false, []string{"sakura-00", "sakura-02"}
		}
		if rapid.Bool().Draw(l.t, "filtered") {
			n.Engineer = rapid.SampledFrom([]string{"", "", "ERIN", "r", "nobody"}).Draw(l.t, "engineer")
			n.Emergency = rapid.IntRange(0, 3).Draw(l.t, "emergencies") == 0
			n.Subscription = rapid.SampledFrom([]string{"", "", "-01", "BANK", "none"}).Draw(l.t, "named")
		}
		now := l.story.Now.Add(time.Duration(rapid.Int64Range(0, int64(5*7*24*time.Hour)).Draw(l.t, "later")))
		weeks := rapid.SampledFrom([]int{1, 4, 13}).Draw(l.t, "weeks")
		got, err := v.Figures(l.test.Context(), of, n, weeks, now)
		must(l.test, err)
		if want := l.figures(of, n, weeks, now); spelled(got) != spelled(want) {
			l.t.Fatalf("%+v %+v, %d weeks at %v\ngot  %s\nwant %s", of, n, weeks, now, spelled(got), spelled(want))
		}
		each, err := v.FiguresByTenant(l.test.Context(), of, n, weeks, now)
		must(l.test, err)
		for tenant, got := range each {
			alone := of
			alone.Tenant = tenant
			if want := l.figures(alone, n, weeks, now); spelled(got) != spelled(want) {
				l.t.Fatalf("%s: %+v %+v, %d weeks at %v\ngot  %s\nwant %s", tenant, of, n, weeks, now, spelled(got),
					spelled(want))
			}
		}
		if of.Tenant == "" && strings.Join(slices.Sorted(maps.Keys(each)), " ") != strings.Join(l.tenants(), " ") {
			l.t.Fatalf("figures of %v", slices.Sorted(maps.Keys(each)))
		}
	}
}

// tenants are those who have had a request.
func (l *life) tenants() (list []string) {
	for _, tenant := range customers {
		if slices.ContainsFunc(l.made, func(about aggregate.Key) bool { return about.Tenant == tenant }) {
			list = append(list, tenant)
		}
	}
	return list
}
