package pace_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/services/notifier/internal/pace"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

const after = 10 * time.Minute

var noon = time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)

// note is a mail to an approver of Meadow Bank.
func note(id string, t plan.Template, to string) plan.Notification {
	return plan.Notification{ID: id, Template: t, Recipient: to, Standing: plan.Approver,
		Data: plan.Data{TenantID: "meadowbank", RespondBy: noon.Add(96 * time.Hour)}}
}

// due is how long after noon a mail goes that is asked for at a time, as text; "at once" if it is not held.
func due(p *pace.Pacer, n plan.Notification, since, at time.Duration) string {
	b := p.Ask(n, noon.Add(since), noon.Add(at))
	if b == nil {
		return "at once"
	}
	return fmt.Sprintf("%d together at %v", len(b.Held), b.Due.Sub(noon))
}

func TestR52TheFirstOfABurstGoesAtOnceAndTheRestTogether(t *testing.T) {
	const asked, granted = plan.ApprovalRequested, plan.AccessGranted
	p := pace.New(after, 500, 10_000)
	for i, row := range []struct {
		n         plan.Notification
		since, at time.Duration
		want      string
	}{
		{note("1", asked, "otto@b"), 0, 0, "at once"},
		{note("2", asked, "otto@b"), time.Minute, time.Minute, "1 together at 10m0s"},
		{note("1", asked, "otto@b"), 0, time.Minute, "at once"}, // tried again
		{note("3", asked, "OTTO@b"), time.Minute, time.Minute, "2 together at 10m0s"},
		{note("2", asked, "otto@b"), time.Minute, time.Minute, "2 together at 10m0s"},
		{note("4", asked, "fleur@b"), time.Minute, time.Minute, "at once"},
		{note("5", granted, "otto@b"), 4 * time.Minute, 4 * time.Minute, "at once"},
		{note("6", granted, "otto@b"), 5 * time.Minute, 5 * time.Minute, "3 together at 10m0s"},
		{note("7", asked, "otto@b"), 10*time.Minute - 1, 10*time.Minute - 1, "4 together at 10m0s"},
		{note("8", asked, "otto@b"), after, after, "at once"},
		{note("9", asked, "fleur@b"), 12 * time.Minute, 12 * time.Minute, "at once"},
	} {
		if got := due(p, row.n, row.since, row.at); got != row.want {
			t.Errorf("%d: %s goes %s, want %s", i, row.n.ID, got, row.want)
		}
	}
}

func TestWhatIsLateWaitsLess(t *testing.T) {
	p := pace.New(after, 500, 10_000)
	n := note("1", plan.AccessGranted, "otto@b")
	due(p, n, 0, after)
	for i, row := range []struct {
		since time.Duration
		want  string
	}{
		{8 * time.Minute, "1 together at 18m0s"},
		{9 * time.Minute, "2 together at 18m0s"},
		{3 * time.Minute, "3 together at 13m0s"},
		{-time.Hour, "4 together at 11m0s"}, // a tenth of the time, so that a backlog goes together too
	} {
		n.ID = strconv.Itoa(2 + i)
		if got := due(p, n, row.since, after); got != row.want {
			t.Errorf("what happened at %v goes %s, want %s", row.since, got, row.want)
		}
	}
}

func TestR52UrgentMailsAreNeitherHeldNorCounted(t *testing.T) {
	hour := func(left time.Duration) func(*plan.Notification) {
		return func(n *plan.Notification) { n.Data.RespondBy = noon.Add(left) }
	}
	for _, row := range []struct {
		kind   plan.Template
		change func(*plan.Notification)
		urgent bool
	}{
		{plan.EmergencyAccess, nil, true},
		{plan.ExposureDisclosed, nil, true},
		{plan.LegalDemandDisclosed, nil, true},
		{plan.IntegrityAlarm, nil, true},
		{plan.StrayMessage, nil, true},
		{plan.HistoryAlarm, nil, true},
		{plan.MailOverdue, nil, true},
		{plan.Contested, nil, true},
		{plan.InternalApprovalRequested, func(n *plan.Notification) { n.Emergency = true }, true},
		{plan.AccessCompleted, func(n *plan.Notification) { n.Emergency = true }, true},
		{plan.ApprovalRequested, func(n *plan.Notification) { n.Recipient = "" }, true},
		{plan.ApprovalReminder, hour(time.Hour - 1), true},
		{plan.InternalApprovalReminder, hour(1), true},
		{plan.QuestionAsked, hour(time.Hour - 1), true},
		{plan.ApprovalReminder, hour(time.Hour), false},
		{plan.ApprovalReminder, hour(0), false}, // nobody is waited for any more
		{plan.RequestExpired, hour(1), false},
		{plan.ApprovalRequested, nil, false},
		{plan.LockboxDisabled, nil, false},
	} {
		p := pace.New(after, 500, 10_000)
		n := note("1", row.kind, "otto@b")
		if row.change != nil {
			row.change(&n)
		}
		other := note("2", row.kind, n.Recipient)
		if due(p, n, 0, 0) != "at once" {
			t.Errorf("the first %s is held", row.kind)
		}
		// A plain one of its kind follows: it is held if, and only if, the first was counted.
		if other.Recipient != "" && !other.Urgent(noon) && (due(p, other, 0, 0) == "at once") != row.urgent {
			t.Errorf("%s is counted: %v", row.kind, row.urgent)
		}
		n.ID = "3"
		if got := due(p, n, 0, 0); row.urgent != (got == "at once") {
			t.Errorf("another %s goes %s", row.kind, got)
		}
	}
}

func TestNobodysMailIsInAnotherCustomersDigest(t *testing.T) {
	p := pace.New(after, 500, 10_000)
	for i, n := range []plan.Notification{
		{Standing: plan.Approver, Data: plan.Data{TenantID: "meadowbank"}},
		{Standing: plan.Approver, Data: plan.Data{TenantID: "harbor"}},
		{Standing: plan.Requester, Data: plan.Data{TenantID: "meadowbank"}},
	} {
		n.ID, n.Template, n.Recipient = strconv.Itoa(i), plan.AccessGranted, "msp@example.org"
		if got := due(p, n, 0, 0); got != "at once" {
			t.Errorf("%s at %s goes %s", n.Standing, n.Data.TenantID, got)
		}
	}
	// One of the provider's people has one digest about all customers.
	n := plan.Notification{ID: "4", Template: plan.AccessGranted, Recipient: "msp@example.org", Standing: plan.Requester,
		Data: plan.Data{TenantID: "harbor"}}
	if got := due(p, n, 0, 0); got != "1 together at 10m0s" {
		t.Errorf("the requester's second goes %s", got)
	}
}

func TestWhatIsHeldIsBounded(t *testing.T) {
	p := pace.New(after, 3, 5)
	var got []string
	for i := range 9 {
		got = append(got, due(p, note(strconv.Itoa(i), plan.ApprovalRequested, "otto@b"), 0, time.Second))
	}
	// Three for an address go at once, and others follow in another digest; five in all, and each goes with what waits.
	want := "[at once 1 together at 10m0s 2 together at 10m0s 3 together at 1s " +
		"1 together at 10m0s 2 together at 1s 3 together at 1s 1 together at 1s 2 together at 1s]"
	if fmt.Sprint(got) != want {
		t.Errorf("held\n%v, want\n%v", got, want)
	}
	for i := range 9 {
		p.Forget(strconv.Itoa(i))
	}
	if got := due(p, note("10", plan.ApprovalRequested, "otto@b"), 0, time.Second); got != "3 together at 1s" {
		t.Errorf("after all are reported, another goes %s", got)
	}
}

func TestAClosedBatchTakesNothingMore(t *testing.T) {
	p := pace.New(after, 500, 10_000)
	due(p, note("1", plan.ApprovalRequested, "otto@b"), 0, 0)
	b := p.Ask(note("2", plan.ApprovalRequested, "otto@b"), noon, noon)
	p.Close(b)
	if got := p.Ask(note("3", plan.ApprovalRequested, "otto@b"), noon, noon); got == b || len(b.Held) != 1 {
		t.Errorf("a closed batch holds %d", len(b.Held))
	}
	if p.Ask(note("2", plan.ApprovalRequested, "otto@b"), noon, noon.Add(time.Hour)) != b || p.Forget("2") != b ||
		p.Forget("2") != nil {
		t.Error("what is in a batch does not stay there until it is reported")
	}
}

func TestANegativeTimeHoldsNothing(t *testing.T) {
	p := pace.New(-1, 500, 10_000)
	for i := range 3 {
		if got := due(p, note(strconv.Itoa(i), plan.ApprovalRequested, "otto@b"), 0, 0); got != "at once" {
			t.Errorf("%d goes %s", i, got)
		}
	}
}

// Setting a customer up is one piece of work: the first mail goes at once, and the rest in one. What weakens its
// protection goes at once all the same.
func TestR52SettingUpIsOneBurst(t *testing.T) {
	p := pace.New(10*time.Minute, 500, 1000)
	now := time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
	for i, c := range []struct {
		template plan.Template
		waits    bool
	}{
		{plan.TenantCreated, false}, {plan.SubscriptionRegistered, true}, {plan.RoleInvited, true},
		{plan.RoleAssigned, true}, {plan.LockboxEnabled, true}, {plan.LockboxDisabled, false},
		{plan.SettingsChanged, false}, {plan.RoleRemoved, false}, {plan.InvitationRedeemed, false},
		{plan.InvitationConfirmed, true}, {plan.WebhookAdded, false},
	} {
		n := plan.Notification{ID: fmt.Sprint(i), Template: c.template, Recipient: "gina@contoso.example",
			Standing: plan.Administrator, Data: plan.Data{TenantID: "contoso"}}
		if b := p.Ask(n, now, now); (b != nil) != c.waits {
			t.Errorf("%s waits: %t", c.template, b != nil)
		}
	}
}
