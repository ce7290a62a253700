package request_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// midnight is the end of the day on which the requests are made.
const midnight = 15 * time.Hour

// A grant names the end of the day in which it begins, and at midnight the next day has begun.
func TestR3AccessWithoutAskingIsReportedAtTheEndOfItsDay(t *testing.T) {
	for granted, reported := range map[time.Duration]time.Duration{
		0: midnight, midnight - 1: midnight, midnight: midnight + day, midnight + 1: midnight + day,
	} {
		s := contoso(owner(otto))
		play(t, s,
			row{0, eve, submits(diskIntent()), is(request.Submitted)},
			row{0, box, evaluates(waived(noCustomerData)), is(request.Approved)},
			row{granted, box, owed(request.Grant), is(request.Active)},
		)
		if at := s.Request().Grant.GetReportAt().AsTime(); !at.Equal(start.Add(reported)) {
			t.Errorf("granted after %s, it is reported at %s", granted, at)
		}
	}
	s := asked(t, contoso(owner(otto)), diskIntent())
	play(t, s, row{1, otto, does(approve()), is(request.Approved)}, row{1, box, owed(request.Grant), is(request.Active)})
	if s.Request().Grant.GetReportAt() != nil {
		t.Error("access that the customer approved is reported as if it had not been")
	}
}

// Whoever holds the orchestrator's key cannot put the report off.
func TestR3AGrantThatIsReportedTooLateIsNone(t *testing.T) {
	for name, at := range map[string]time.Duration{"at once": 0, "before": -1, "a day and more later": day + 1} {
		s := contoso(owner(otto))
		play(t, s,
			row{0, eve, submits(diskIntent()), is(request.Submitted)},
			row{0, box, evaluates(waived(noCustomerData)), is(request.Approved)},
		)
		e, err := s.At(start).Perform(request.Grant)
		if err != nil {
			t.Fatal(err)
		}
		e.GetAccessGranted().ReportAt = timestamppb.New(start.Add(at))
		if after := request.Evolve(s.Request(), 1000, e); after.Fault == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestR3APeriodDividesADay(t *testing.T) {
	for period, good := range map[time.Duration]bool{
		day: true, time.Hour: true, time.Second: true, 20 * time.Second: true,
		0: false, -day: false, 7 * time.Hour: false, 2 * day: false, time.Millisecond: false,
	} {
		terms := request.DefaultTerms()
		terms.WaivedReport = period
		if err := terms.Check(); (err == nil) != good {
			t.Errorf("%s: %v", period, err)
		}
	}
	terms := request.DefaultTerms()
	due := start.Add(midnight)
	if at := terms.ReportMadeAt(due); at.Sub(due) != 2*time.Minute {
		t.Errorf("made %s after it is due", at.Sub(due))
	}
	terms.WaivedReport = 10 * time.Second
	if at := terms.ReportMadeAt(due); at.Sub(due) != time.Second {
		t.Errorf("a short one is made %s after it is due", at.Sub(due))
	}
}

func grantOf(w lockboxv1.Waiver, begins time.Duration, resources ...string) *lockboxv1.AccessGranted {
	return &lockboxv1.AccessGranted{
		Waiver: w, StartsAt: timestamppb.New(start.Add(begins)), EndsAt: timestamppb.New(start.Add(begins + 8*time.Hour)),
		ResourceIds: resources, ResourceType: "compute/disks", Scenario: "read-disk",
		ReportAt: timestamppb.New(start.Add(midnight)),
	}
}

func TestR3AReportCountsAllAndListsTheGravestFirst(t *testing.T) {
	u := request.Unasked{
		"harmless": grantOf(noCustomerData, 0, "a", "b"), "off-late": grantOf(notEnabled, 2), "off": grantOf(notEnabled, 1),
		"emergency": grantOf(emergency, 3),
	}
	s := request.State{Requester: eve, Intent: diskIntent()}
	due := start.Add(midnight)
	f := u.Report(due, request.DefaultTerms(), map[string]request.State{"harmless": s})
	var counts []string
	for _, c := range f.GetCounts() {
		counts = append(counts, fmt.Sprint(c.GetWaiver(), c.GetCount()))
	}
	if !slices.Equal(counts, []string{"WAIVER_EMERGENCY 1", "WAIVER_LOCKBOX_NOT_ENABLED 2", "WAIVER_NO_CUSTOMER_DATA 1"}) {
		t.Errorf("counted %v", counts)
	}
	if !slices.Equal(listed(f), []string{"emergency", "off", "off-late", "harmless"}) {
		t.Errorf("listed %v", listed(f))
	}
	if !f.GetUntil().AsTime().Equal(due) || !f.GetSince().AsTime().Equal(due.Add(-day)) {
		t.Errorf("from %s until %s", f.GetSince().AsTime(), f.GetUntil().AsTime())
	}
	known, unknown := f.GetAccesses()[3], f.GetAccesses()[0]
	if known.GetRequester().GetSubject() != "eve" || known.GetResourceId() != "a" || known.GetResourceCount() != 2 ||
		known.GetSubscriptionId() != story.Subscription || known.GetScenarioName() != "read-disk" {
		t.Errorf("listed as %v", known)
	}
	if unknown.GetRequester() != nil || unknown.GetScenarioName() != "read-disk" || unknown.GetEndsAt() == nil {
		t.Errorf("a request that cannot be read is listed as %v", unknown)
	}
}

func listed(f *lockboxv1.WaivedAccessReported) (ids []string) {
	for _, a := range f.GetAccesses() {
		ids = append(ids, a.GetRequestId())
	}
	return ids
}

// A report fits into the stream, however much there was and whatever it is called; and a flood hides no emergency.
func TestR3AReportHasRoomForEveryCount(t *testing.T) {
	u, states := request.Unasked{"z": grantOf(emergency, time.Hour)}, map[string]request.State{}
	for i := range 5000 {
		id := fmt.Sprintf("flood-%04d", i)
		u[id] = grantOf(noCustomerData, time.Duration(i), strings.Repeat("ü", 1000))
		states[id] = request.State{Requester: eve, Intent: diskIntent()}
	}
	f := u.Report(start.Add(midnight), request.DefaultTerms(), states)
	if n := len(f.GetAccesses()); n == 0 || n > 50 || f.GetAccesses()[0].GetRequestId() != "z" {
		t.Errorf("%d are listed, the first is %s", n, f.GetAccesses()[0].GetRequestId())
	}
	if size := proto.Size(f); size > 48<<10 {
		t.Errorf("it is %d bytes long", size)
	}
	if n := f.GetCounts()[1].GetCount(); n != 5000 {
		t.Errorf("%d are counted", n)
	}
}

// What an earlier configuration with longer periods recorded is still within the time that the report names.
func TestR3AReportCoversWhatLongerPeriodsLeft(t *testing.T) {
	terms := request.DefaultTerms()
	terms.WaivedReport = time.Hour
	f := request.Unasked{"x": grantOf(notEnabled, 0)}.Report(start.Add(midnight), terms, nil)
	if !f.GetSince().AsTime().Equal(start) {
		t.Errorf("it covers access since %s", f.GetSince().AsTime())
	}
}
