package shown_test

import (
	"slices"
	"testing"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// halfway waits for the customer: asked 25 hours ago, internally approved an hour later, with 72 hours to go.
func halfway() *lockboxv1.RequestView {
	v := intent("memory-dump", "a")
	v.Status, v.CreatedAt = lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED, at(-25*time.Hour)
	v.Evaluation = &lockboxv1.AccessEvaluated{InternalStages: []*lockboxv1.InternalStage{{Group: "devops-managers",
		Count: 1}}, Duration: durationpb.New(8 * time.Hour)}
	v.Lockbox = &lockboxv1.CustomerNotified{ExpiresAt: at(72 * time.Hour), RemindAt: []*timestamppb.Timestamp{
		at(-2 * time.Hour), at(24 * time.Hour), at(48 * time.Hour)}}
	v.Timeline = []*lockboxv1.TimelineEntry{
		{Type: "AccessRequested", Time: at(-25 * time.Hour)}, {Type: "AccessEvaluated", Time: at(-25 * time.Hour)},
		{Type: "InternalApprovalGiven", Time: at(-24 * time.Hour)}, {Type: "CustomerNotified", Time: at(-24 * time.Hour)},
		{Type: "QuestionAsked", Time: at(-12 * time.Hour)}, {Type: "ApprovalReminderDue", Time: at(-2 * time.Hour)},
	}
	return v
}

func TestTheLineOfTimeIsToScale(t *testing.T) {
	for _, l := range request(t, "en", halfway()).Lines() {
		scale := float64(l.Width-20) / 97 // units an hour, from the beginning to the deadline
		hour := func(after int) int { return 10 + int(float64(after)*scale+0.5) }
		near := func(what string, got, want int) {
			t.Helper()
			if got < want-2 || got > want+2 {
				t.Errorf("%d wide: %s is at %d, want %d", l.Width, what, got, want)
			}
		}
		var ids []string
		for _, lane := range l.Lanes {
			ids = append(ids, lane.ID)
		}
		if want := []string{"status.phase.internal", "status.phase.decision", "status.line.if-approved"}; !slices.Equal(ids,
			want) {
			t.Fatalf("%v", ids)
		}
		decision, access := l.Lanes[1], l.Lanes[2]
		near("now", *l.Now, hour(25))
		near("the end of the internal approval", l.Lanes[0].X+l.Lanes[0].Width, hour(1))
		near("the beginning of the decision", decision.X, hour(1))
		near("the deadline", decision.X+decision.Width, hour(97))
		near("what has passed of it", decision.X+decision.Filled, hour(25))
		near("access, if approved now", access.X, hour(25))
		near("the end of that", access.X+access.Width, hour(33))
		if !access.Planned || access.Filled > 0 || decision.Planned {
			t.Errorf("what nobody has allowed looks like what is: %+v", access)
		}
		if len(decision.Marks) != 4 || len(l.Lanes[0].Marks) != 1 {
			t.Fatalf("marks: %+v", decision.Marks)
		}
		for i, want := range []int{13, 23, 49, 73} { // a question, a reminder, and two to come
			near("a mark", decision.Marks[i].X, hour(want))
			if decision.Marks[i].Reminder != (i > 0) {
				t.Errorf("mark %d: %+v", i, decision.Marks[i])
			}
		}
		for i := 1; i < len(l.Scale); i++ {
			if apart := l.Scale[i].X - l.Scale[i-1].X; apart < 60 {
				t.Errorf("%d wide: labels of the scale are %d apart", l.Width, apart)
			}
		}
		if len(l.Scale) < 3 || l.Height <= l.ScaleY {
			t.Errorf("%d wide: %+v", l.Width, l.Scale)
		}
	}
}

func TestTheScaleCountsDaysOfTheReadersZone(t *testing.T) {
	for zone, want := range map[string]string{"UTC": "4\u00a0Aug", "America/New_York": "4\u00a0Aug"} {
		r := request(t, "en", halfway())
		r.Say = r.Say.At(zone)
		line := r.Lines()[0]
		i := slices.IndexFunc(line.Scale, func(tick shown.Tick) bool { return tick.Label == want })
		if i < 0 {
			t.Fatalf("%s: %+v", zone, line.Scale)
		}
		midnight := time.Date(2026, 8, 4, 0, 0, 0, 0, r.Say.Zone())
		hours := midnight.Sub(now.Add(-25 * time.Hour)).Hours()
		if x := 10 + int(hours*940/97+0.5); x != line.Scale[i].X {
			t.Errorf("%s: midnight is at %d, want %d", zone, line.Scale[i].X, x)
		}
	}
}

func TestTheLineIsToldInWords(t *testing.T) {
	list, err := request(t, "en", halfway()).Moments()
	if err != nil {
		t.Fatal(err)
	}
	want := []shown.Moment{
		{Symbol: "due", Label: "Decide by", Text: "Thu 6\u00a0Aug 2026, 09:30\u00a0UTC"},
		{Symbol: "later", Label: "Reminders",
			Text: "Tue 4\u00a0Aug 2026, 09:30\u00a0UTC · Wed 5\u00a0Aug 2026, 09:30\u00a0UTC"},
		{Symbol: "planned", Label: "If approved now, access ends", Text: "Mon 3\u00a0Aug 2026, 17:30\u00a0UTC"},
	}
	if !slices.Equal(list, want) {
		t.Errorf("%+v", list)
	}
}

func TestARequestThatIsOverHasNoPresent(t *testing.T) {
	v := halfway()
	v.Status, v.EndedAt = lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED, at(-time.Hour)
	v.Grant = &lockboxv1.AccessGranted{StartsAt: at(-3 * time.Hour), EndsAt: at(5 * time.Hour)}
	v.Timeline = append(v.Timeline, &lockboxv1.TimelineEntry{Type: "AccessRevoked", Time: at(-time.Hour)})
	for _, l := range request(t, "en", v).Lines() {
		last := l.Lanes[len(l.Lanes)-1]
		if l.Now != nil || last.ID != "status.phase.access" || last.X+last.Width != l.Width-10 ||
			last.Filled != last.Width || len(last.Marks) != 1 {
			t.Errorf("%+v", l)
		}
	}
}

func TestARequestOfWhichLittleIsKnownHasNoLineOrAGoodOne(t *testing.T) {
	for status := range lockboxv1.RequestStatus_name {
		v := intent("memory-dump", "a")
		v.Status = lockboxv1.RequestStatus(status)
		if _, err := request(t, "en", v).Moments(); err != nil {
			t.Error(err)
		}
		v.CreatedAt, v.Lockbox = at(-time.Hour), &lockboxv1.CustomerNotified{ExpiresAt: at(time.Hour)}
		v.Grant, v.EndedAt = &lockboxv1.AccessGranted{StartsAt: at(-time.Minute), EndsAt: at(time.Hour)}, at(0)
		for _, l := range request(t, "en", v).Lines() {
			for _, lane := range l.Lanes {
				if lane.X < 0 || lane.X+lane.Width > l.Width || lane.Filled > lane.Width {
					t.Errorf("%v: %+v", v.GetStatus(), lane)
				}
			}
		}
	}
}
