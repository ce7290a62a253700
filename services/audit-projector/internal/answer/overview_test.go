package answer_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/answer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func getOverview(tenant string, ask *lockboxv1.GetOverview) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_GetOverview{GetOverview: ask}}
}

func getDashboard(tenant string, ask *lockboxv1.GetDashboard) *lockboxv1.Query {
	return &lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_GetDashboard{GetDashboard: ask}}
}

// outcomes are the counts that are not zero.
func outcomes(o *lockboxv1.Overview) map[lockboxv1.RequestOutcome]uint64 {
	found := map[lockboxv1.RequestOutcome]uint64{}
	for _, f := range o.GetOutcomes() {
		if f.GetCount() > 0 {
			found[f.GetOutcome()] = f.GetCount()
		}
	}
	return found
}

// months lets a customer's year begin: one request approved after half an hour and used for two hours, one denied after
// five hours, one that nobody decided, one withdrawn; then one waits, and one runs.
func (c *cast) months(t *testing.T) (waits, runs string) {
	t.Helper()
	c.assign("otto", "prod", owner, false)
	later := func(d time.Duration) { c.story.Now = c.story.Now.Add(d) }
	ask := func(name string) string { return c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", name)) }
	used := ask("a")
	later(30 * time.Minute)
	yes := story.Approve(bank, used)
	yes.GetApprove().Duration = durationpb.New(2 * time.Hour)
	c.story.Command(c.actor("otto"), yes)
	c.story.Owed(aggregate.Request(bank, used))
	later(2 * time.Hour)
	c.story.Owed(aggregate.Request(bank, used))
	denied := ask("b")
	later(5 * time.Hour)
	c.story.Command(c.actor("otto"), story.Deny(bank, denied))
	ask("c") // nobody decides, and nobody has recorded that
	later(7 * 24 * time.Hour)
	back := ask("d")
	withdraw := story.About(bank, back)
	withdraw.Action = &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{Reason: "Solved."}}
	c.story.Command(c.actor("erin"), withdraw)
	waits = ask("e")
	later(time.Hour)
	runs = ask("f")
	c.story.Command(c.actor("otto"), story.Approve(bank, runs))
	c.story.Owed(aggregate.Request(bank, runs))
	later(time.Hour)
	return waits, runs
}

// R59: figures are of what happened, and of nothing else.
func TestAnOverviewCountsWhatHappened(t *testing.T) {
	c := newCast(t)
	c.months(t)
	o := c.query("grace", getOverview(bank, &lockboxv1.GetOverview{})).GetOverview()
	open := o.GetOpen()
	if open.GetWaiting() != 1 || open.GetRunning() != 1 || open.GetInternal() != 0 || open.GetEmergencies() != 0 {
		t.Errorf("open: %v", open)
	}
	if waited := c.story.Now.Sub(open.GetOldestWaiting().AsTime()); waited != 2*time.Hour {
		t.Errorf("the oldest has waited %v", waited)
	}
	if left := open.GetNextDeadline().AsTime().Sub(c.story.Now); left != 4*24*time.Hour-2*time.Hour {
		t.Errorf("left for it: %v", left)
	}
	if left := open.GetNextEnd().AsTime().Sub(c.story.Now); left != 7*time.Hour {
		t.Errorf("left of the access: %v", left)
	}
	for outcome, want := range map[lockboxv1.RequestOutcome]uint64{
		lockboxv1.RequestOutcome_REQUEST_OUTCOME_APPROVED: 2, lockboxv1.RequestOutcome_REQUEST_OUTCOME_DENIED: 1,
		lockboxv1.RequestOutcome_REQUEST_OUTCOME_EXPIRED: 1, lockboxv1.RequestOutcome_REQUEST_OUTCOME_WITHDRAWN: 1,
		lockboxv1.RequestOutcome_REQUEST_OUTCOME_OPEN: 1,
	} {
		if got := outcomes(o); got[outcome] != want || len(got) != 5 {
			t.Errorf("%v: %v", outcome, got)
		}
	}
	d := o.GetDecisions()
	if d.GetCount() != 3 || d.GetMedian().AsDuration() != 30*time.Minute || d.GetNinetieth().AsDuration() != 5*time.Hour {
		t.Errorf("decisions: %v", d)
	}
	var buckets []uint64
	for _, b := range d.GetBuckets() {
		buckets = append(buckets, b.GetCount())
	}
	if len(buckets) != 7 || buckets[0] != 1 || buckets[1] != 1 || buckets[3] != 1 {
		t.Errorf("how long they took: %v", buckets)
	}
	weeks := o.GetWeeks()
	if len(weeks) != 13 || weeks[0].GetBeginsAt().AsTime() != o.GetSince().AsTime() ||
		o.GetSince().AsTime().Weekday() != time.Monday {
		t.Fatalf("weeks: %v", weeks)
	}
	// The second of March is a Monday; a week later is the week that is not over.
	if last, before := weeks[12], weeks[11]; before.GetRequests() != 3 || last.GetRequests() != 3 ||
		before.GetAccess().AsDuration() != 2*time.Hour || last.GetAccess().AsDuration() != time.Hour {
		t.Errorf("the last two weeks: %v, %v", before, last)
	}
	if o.GetMore() || o.GetLog().GetSignedAt() != nil || !o.GetLog().GetOverdue() {
		t.Errorf("more %v, the log %v", o.GetMore(), o.GetLog())
	}
	if c.story.Now = c.story.Now.Add(14 * 7 * 24 * time.Hour); len(outcomes(
		c.query("grace", getOverview(bank, &lockboxv1.GetOverview{})).GetOverview())) != 0 {
		t.Error("what is older than the weeks is counted")
	}
}

// Access that began in one week and ends in the next counts in both, as long as it was in each.
func TestAccessOverMidnightOfMondayIsOfBothWeeks(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	c.story.Now = time.Date(2026, 3, 8, 21, 0, 0, 0, time.UTC) // a Sunday
	id := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	c.story.Command(c.actor("otto"), story.Approve(bank, id))
	c.story.Owed(aggregate.Request(bank, id))
	c.story.Now = c.story.Now.Add(24 * time.Hour)
	weeks := c.query("grace", getOverview(bank, &lockboxv1.GetOverview{})).GetOverview().GetWeeks()
	if a, b := weeks[11].GetAccess().AsDuration(), weeks[12].GetAccess().AsDuration(); a != 3*time.Hour ||
		b != 5*time.Hour {
		t.Errorf("%v and %v", a, b)
	}
}

func TestOverviewsAreFiltered(t *testing.T) {
	c := newCast(t)
	c.months(t)
	c.story.Submit(c.actor("derek"), story.Dump(bank, "test", "g"))
	for name, row := range map[string]struct {
		ask            *lockboxv1.GetOverview
		waiting, weeks uint64
	}{
		"nothing":        {&lockboxv1.GetOverview{}, 2, 7},
		"an engineer":    {&lockboxv1.GetOverview{Engineer: "DEREK"}, 1, 1},
		"a subscription": {&lockboxv1.GetOverview{Subscription: "the test"}, 1, 1},
		"both":           {&lockboxv1.GetOverview{Engineer: "erin", Subscription: "test"}, 0, 0},
		"emergencies":    {&lockboxv1.GetOverview{Emergency: true}, 0, 0},
	} {
		o, made := c.query("grace", getOverview(bank, row.ask)).GetOverview(), uint64(0)
		for _, w := range o.GetWeeks() {
			made += w.GetRequests()
		}
		if o.GetOpen().GetWaiting() != row.waiting || made != row.weeks {
			t.Errorf("%s: %d wait, %d were made", name, o.GetOpen().GetWaiting(), made)
		}
	}
}

// I9: everybody's figures are of what they may see, and who may see nothing gets no figures.
func TestI9FiguresAreOfWhatTheReaderMaySee(t *testing.T) {
	c := newCast(t)
	c.months(t)
	c.assign("fleur", "test", owner, false)
	c.story.Submit(c.actor("erin"), story.Dump(bank, "test", "g"))
	for who, row := range map[string]struct {
		tenant string
		made   uint64
	}{
		"grace": {bank, 7}, "otto": {bank, 6}, "fleur": {bank, 1}, "hana": {health, 0}, "olga": {bank, 7},
	} {
		reply, made := c.query(who, getOverview(row.tenant, &lockboxv1.GetOverview{})), uint64(0)
		for _, w := range reply.GetOverview().GetWeeks() {
			made += w.GetRequests()
		}
		if reply.GetOverview() == nil || made != row.made {
			t.Errorf("%s: %d, %v", who, made, reply.GetRefusal())
		}
		if detail := reply.GetOverview().GetLog(); who != "olga" && (detail.GetVerifiedAt() != nil ||
			detail.GetCopies() != 0 || detail.GetWitnesses() != nil || detail.GetLastAlarm() != nil) {
			t.Errorf("%s is told how the provider runs the log: %v", who, detail)
		}
	}
	unknown := c.query("hana", getOverview("nosuchtenant", &lockboxv1.GetOverview{})).GetRefusal()
	for name, q := range map[string]struct {
		who string
		ask *lockboxv1.Query
	}{
		"another customer's administrator": {"hana", getOverview(bank, &lockboxv1.GetOverview{})},
		"nobody's role":                    {"audrey", getOverview(bank, &lockboxv1.GetOverview{})},
		"an engineer's own requests":       {"erin", getOverview("", &lockboxv1.GetOverview{})},
		"an engineer at a customer":        {"erin", getOverview(bank, &lockboxv1.GetOverview{})},
		"an internal approver":             {"derek", getOverview("", &lockboxv1.GetOverview{})},
		"an engineer's dashboard":          {"erin", getDashboard("", &lockboxv1.GetDashboard{})},
		"a lead's dashboard":               {"lena", getDashboard("", &lockboxv1.GetDashboard{})},
		"onboarding's dashboard":           {"onboarding", getDashboard(bank, &lockboxv1.GetDashboard{})},
		"an administrator's dashboard":     {"grace", getDashboard(bank, &lockboxv1.GetDashboard{})},
		"another's dashboard":              {"hana", getDashboard(bank, &lockboxv1.GetDashboard{})},
		"a customer who is not there":      {"olga", getDashboard("nosuchtenant", &lockboxv1.GetDashboard{})},
	} {
		if got := c.query(q.who, q.ask).GetRefusal(); got.GetCode() != notFound || !proto.Equal(got, unknown) {
			t.Errorf("%s: %v", name, got)
		}
	}
	across := c.query("grace", getDashboard("", &lockboxv1.GetDashboard{}))
	if across.GetRefusal().GetCode() != invalid || across.GetDashboard() != nil {
		t.Errorf("an administrator asks about all: %v", across)
	}
}

func TestADashboardSaysHowThingsStandAtEachCustomer(t *testing.T) {
	c := newCast(t)
	waits, _ := c.months(t)
	c.story.Undelivered(bank, waits, "desk@meadowbank.example", "550 no such mailbox")
	c.answerer.Health = func() answer.Health {
		return answer.Health{Verified: c.story.Now, Current: 2, Away: 1,
			Witnesses: map[string]time.Time{"w2": c.story.Now, "w1": {}}}
	}
	d := c.query("olga", getDashboard("", &lockboxv1.GetDashboard{})).GetDashboard()
	if d.GetCount() != 2 || len(d.GetCustomers()) != 2 || d.GetCustomers()[0].GetTenant() != bank {
		t.Fatalf("customers: %v", d.GetCustomers())
	}
	atBank, atHealth, total := d.GetCustomers()[0], d.GetCustomers()[1], d.GetTotal()
	if atBank.GetOpen().GetWaiting() != 1 || atBank.GetOpen().GetRunning() != 1 || atBank.GetFailedMails() != 1 ||
		atBank.GetEmergencies() != 0 || atBank.GetTenantName() != "The "+bank {
		t.Errorf("the bank: %v", atBank)
	}
	if atHealth.GetOpen().GetWaiting() != 0 || atHealth.GetOpen().GetNextDeadline() != nil ||
		atHealth.GetFailedMails() != 0 {
		t.Errorf("the other: %v", atHealth)
	}
	if !proto.Equal(total.GetOpen(), atBank.GetOpen()) || total.GetFailedMails() != 1 || total.GetTenant() != "" {
		t.Errorf("the total: %v", total)
	}
	log := d.GetLog()
	if !log.GetOverdue() || log.GetVerifiedAt().AsTime() != c.story.Now || log.GetCopies() != 2 ||
		log.GetCopiesAway() != 1 || log.GetAlarms() != 0 || len(log.GetWitnesses()) != 2 ||
		log.GetWitnesses()[0].GetCosignedAt() != nil || log.GetWitnesses()[1].GetCosignedAt() == nil {
		t.Errorf("the log: %v", log)
	}
	for name, row := range map[string]struct {
		tenant    string
		ask       *lockboxv1.GetDashboard
		customers int
		waiting   uint64
	}{
		"one customer":    {health, &lockboxv1.GetDashboard{}, 1, 0},
		"an engineer":     {"", &lockboxv1.GetDashboard{Engineer: "erin"}, 2, 1},
		"another":         {"", &lockboxv1.GetDashboard{Engineer: "bob"}, 2, 0},
		"emergencies":     {"", &lockboxv1.GetDashboard{Emergency: true}, 2, 0},
		"at one customer": {bank, &lockboxv1.GetDashboard{Engineer: "erin"}, 1, 1},
	} {
		d := c.query("olga", getDashboard(row.tenant, row.ask)).GetDashboard()
		if len(d.GetCustomers()) != row.customers || d.GetTotal().GetOpen().GetWaiting() != row.waiting {
			t.Errorf("%s: %v", name, d)
		}
	}
}

// An emergency is open until it ends, counts in its week, and is an outcome of its own once access began.
func TestEmergenciesAreCountedApart(t *testing.T) {
	c := newCast(t)
	in := story.Dump(bank, "prod", "a")
	in.Emergency, in.TicketId = true, ""
	in.ReasonType = lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT
	urgent := c.story.Submit(c.actor("rosa"), in)
	c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "b"))
	o := c.query("grace", getOverview(bank, &lockboxv1.GetOverview{})).GetOverview()
	if open := o.GetOpen(); open.GetInternal() != 1 || open.GetWaiting() != 1 || open.GetEmergencies() != 1 {
		t.Fatalf("open: %v", open)
	}
	for _, who := range []string{"lena", "derek", "olga"} { // whoever is asked, until access begins
		_ = c.story.Try(c.actor(who), story.InternalApprove(bank, urgent))
	}
	c.story.Owed(aggregate.Request(bank, urgent))
	o = c.query("grace", getOverview(bank, &lockboxv1.GetOverview{})).GetOverview()
	week := o.GetWeeks()[12]
	if o.GetOpen().GetRunning() != 1 || week.GetRequests() != 2 || week.GetEmergencies() != 1 ||
		outcomes(o)[lockboxv1.RequestOutcome_REQUEST_OUTCOME_EMERGENCY] != 1 || o.GetDecisions().GetCount() != 0 {
		t.Errorf("after it began: %v", o)
	}
	only := c.query("grace", getOverview(bank, &lockboxv1.GetOverview{Emergency: true})).GetOverview()
	if got := outcomes(only); len(got) != 1 || only.GetOpen().GetWaiting() != 0 || only.GetOpen().GetRunning() != 1 {
		t.Errorf("emergencies alone: %v", only)
	}
	d := c.query("olga", getDashboard("", &lockboxv1.GetDashboard{})).GetDashboard()
	if d.GetTotal().GetEmergencies() != 1 || d.GetTotal().GetOpen().GetEmergencies() != 1 {
		t.Errorf("of all customers: %v", d.GetTotal())
	}
}

// The log is signed in time if nothing but checkpoints is younger than half a minute and in none; alarms, repairs and
// messages set aside are told to officers.
func TestTheHealthOfTheLogIsOfWhatIsStored(t *testing.T) {
	c := newCast(t)
	c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	write := func(kind, typ string, of *lockboxv1.Event) {
		of.Id, of.Tenant, of.Kind, of.AggregateId = c.story.ID(), aggregate.ProviderTenant, kind, c.story.ID()
		of.ReportKey, of.Time, of.Actor = typ, timestamppb.New(c.story.Now), story.System("audit-projector")
		c.story.Write(of)
	}
	sign := func() {
		write(aggregate.KindCheckpoint, "signed", &lockboxv1.Event{Fact: &lockboxv1.Event_CheckpointSigned{
			CheckpointSigned: &lockboxv1.CheckpointSigned{CoveredSequence: uint64(len(c.story.Entries))}}})
	}
	health := func() *lockboxv1.LogHealth {
		return c.query("olga", getDashboard("", &lockboxv1.GetDashboard{})).GetDashboard().GetLog()
	}
	sign()
	c.story.Now = c.story.Now.Add(time.Hour) // nothing happens, so nothing has to be signed
	if h := health(); h.GetOverdue() || c.story.Now.Sub(h.GetSignedAt().AsTime()) != time.Hour {
		t.Errorf("in a quiet hour: %v", h)
	}
	c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "b"))
	c.story.Now = c.story.Now.Add(30 * time.Second)
	if h := health(); h.GetOverdue() {
		t.Errorf("at thirty seconds: %v", h)
	}
	c.story.Now = c.story.Now.Add(time.Nanosecond)
	if h := health(); !h.GetOverdue() {
		t.Errorf("after thirty seconds: %v", h)
	}
	sign()
	if h := health(); h.GetOverdue() || h.GetLastAlarm() != nil || h.GetAlarms() != 0 {
		t.Errorf("signed again: %v", h)
	}
	write(aggregate.KindAlarm, "differs", &lockboxv1.Event{Fact: &lockboxv1.Event_DifferenceFound{
		DifferenceFound: &lockboxv1.DifferenceFound{Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_GAP, Count: 3}}})
	h := health()
	if h.GetAlarms() != 1 || h.GetLastAlarm().GetCount() != 3 || !h.GetLastAlarmAt().AsTime().Equal(c.story.Now) {
		t.Errorf("after an alarm: %v", h)
	}
	own := c.query("grace", getOverview(bank, &lockboxv1.GetOverview{})).GetOverview().GetLog()
	if own.GetSignedAt() == nil || own.GetAlarms() != 0 || own.GetLastAlarm() != nil {
		t.Errorf("a customer is told of the provider's alarms: %v", own)
	}
}
