package render

import (
	"strings"
	"testing"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// quarter is a busy quarter of a customer.
func quarter() *lockboxv1.Overview {
	monday := time.Date(2026, 2, 16, 0, 0, 0, 0, time.UTC)
	o := &lockboxv1.Overview{AsOf: timestamppb.New(now), Since: timestamppb.New(monday),
		Open: &lockboxv1.OpenFigures{Internal: 2, Waiting: 7, Running: 1, Emergencies: 1,
			OldestWaiting: ago(50 * time.Hour), NextDeadline: ago(-22*time.Hour - 5*time.Minute),
			NextEnd: ago(-90 * time.Minute)},
		Decisions: &lockboxv1.DecisionFigures{Count: 75, Median: durationpb.New(82 * time.Minute),
			Ninetieth: durationpb.New(19*time.Hour + 40*time.Minute), Buckets: []*lockboxv1.DecisionBucket{
				{Below: durationpb.New(15 * time.Minute), Count: 11}, {Below: durationpb.New(time.Hour), Count: 21},
				{Below: durationpb.New(48 * time.Hour), Count: 42}, {Count: 1}}},
		Log: &lockboxv1.LogHealth{SignedAt: ago(4 * time.Second)}}
	for i, n := range []uint64{4, 7, 5, 9, 12, 8, 6, 11, 14, 9, 7, 10, 3} {
		w := &lockboxv1.WeekFigures{BeginsAt: timestamppb.New(monday.AddDate(0, 0, 7*i)), Requests: n,
			Access: durationpb.New(time.Duration(n) * 130 * time.Minute)}
		if i == 8 {
			w.Emergencies = 2
		}
		o.Weeks = append(o.Weeks, w)
	}
	for i, n := range []uint64{61, 14, 6, 9, 3, 4, 5, 1, 2} {
		o.Outcomes = append(o.Outcomes, &lockboxv1.OutcomeFigures{
			Outcome: lockboxv1.RequestOutcome(i + 1), Count: n}) // #nosec G115 -- nine
	}
	return o
}

// standings are how things stand at three customers, of whom one is not listed.
func standings() *lockboxv1.Dashboard {
	open := quarter().GetOpen()
	return &lockboxv1.Dashboard{AsOf: timestamppb.New(now), Since: quarter().GetSince(),
		MailsSince: ago(7 * 24 * time.Hour), Count: 3,
		Total: &lockboxv1.CustomerFigures{Open: open, Emergencies: 3, FailedMails: 2},
		Customers: []*lockboxv1.CustomerFigures{
			{Tenant: "meadowbank", TenantName: "Meadow Bank", Open: open, Emergencies: 3, FailedMails: 2},
			{Tenant: "sakura", TenantName: "さくら病院", Open: new(lockboxv1.OpenFigures), Fault: true},
		},
		Log: &lockboxv1.LogHealth{SignedAt: ago(time.Minute), Overdue: true, Copies: 2, CopiesAway: 1,
			Differences: []*lockboxv1.DifferenceFigures{{Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHANGED, Count: 4}},
			Witnesses: []*lockboxv1.WitnessHealth{{Name: "witness.bank.example", CosignedAt: ago(5 * time.Second)},
				{Name: "witness.other.example"}}, Alarms: 1001, SetAside: 1,
			LastAlarm:   &lockboxv1.DifferenceFound{Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_GAP},
			LastAlarmAt: ago(900 * time.Hour), RestoredAt: ago(800 * time.Hour)}}
}

// No number is left out on a terminal of 80 columns.
func TestFiguresFitATerminal(t *testing.T) {
	look := Look{Width: 80, Now: now}
	for _, title := range []string{"CUSTOMER", "WAITING", "INTERNAL", "OLDEST", "DEADLINE", "ACCESS", "URGENT", "FAILED"} {
		if !strings.Contains(Dashboard(look, standings()), title) {
			t.Errorf("there is no %s", title)
		}
	}
	if empty := Overview(look, "", &lockboxv1.Overview{}); !strings.Contains(empty, "all customers") ||
		!strings.Contains(empty, "No decisions.") || !strings.Contains(empty, "never") {
		t.Errorf("of nothing:\n%s", empty)
	}
}

// Every outcome and every difference has words of its own.
func TestFiguresHaveWords(t *testing.T) {
	said := map[string]bool{}
	for n := range lockboxv1.RequestOutcome_name {
		if n > 0 {
			said[outcomeName(lockboxv1.RequestOutcome(n))] = true
		}
	}
	for n := range lockboxv1.DifferenceKind_name {
		said[differenceName(lockboxv1.DifferenceKind(n))] = true
	}
	if want := len(lockboxv1.RequestOutcome_name) - 1 + len(lockboxv1.DifferenceKind_name); len(said) != want {
		t.Errorf("%d of %d have words: %v", len(said), want, said)
	}
}
