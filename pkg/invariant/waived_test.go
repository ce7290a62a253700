package invariant_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// unasked is the story of two customers over three days: access that they were not asked about on the first and the
// third, and the tickets that somebody opens on each.
func unasked() []invariant.Recorded {
	s := story.New(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	eve := story.Provider("eve", aggregate.SupportEngineers)
	for _, customer := range []string{"bank", "clinic"} {
		s.Create(customer, customer, nil, story.Customer(customer, "gina"))
		s.Subscription(customer, customer+"-prod", "Production")
	}
	health := func(customer string) {
		in := story.Dump(customer, customer+"-prod", "a")
		in.Scenario = "platform-health"
		s.Submit(eve, in)
	}
	health("bank")
	health("clinic")
	health("bank")
	for i := range 4 {
		s.Now = s.Now.Add(24 * time.Hour)
		if s.Ticket(story.Customer("bank", "gina"), "bank", fmt.Sprint("T-", i), "slow", "bank-prod"); i == 1 {
			health("bank")
		}
	}
	return s.History()
}

// Each day's access is in the report of that day and that customer, once; a day without any has none.
func TestR3EachCustomerIsToldOfEachAccessOnce(t *testing.T) {
	var told []string
	for _, r := range unasked() {
		if f := r.Event.GetWaivedAccessReported(); f != nil {
			told = append(told, fmt.Sprintf("%s %s: %d", r.Event.GetTenant(), r.Event.GetAggregateId(),
				f.GetCounts()[0].GetCount()))
		}
	}
	if want := []string{"bank 20260303T000000Z: 2", "clinic 20260303T000000Z: 1",
		"bank 20260305T000000Z: 1"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if broken := invariant.Check(unasked()); len(broken) > 0 {
		t.Error(broken)
	}
}

// control: nist:AU-6
func TestI17NobodyIsKeptFromLearningThatTheyWereNotAsked(t *testing.T) {
	report := func(e *lockboxv1.Event) *lockboxv1.WaivedAccessReported { return e.GetWaivedAccessReported() }
	grant := func(e *lockboxv1.Event) *lockboxv1.AccessGranted { return e.GetAccessGranted() }
	for name, forge := range map[string]func(e *lockboxv1.Event, n int) (keep bool){
		"a report is missing": func(e *lockboxv1.Event, _ int) bool { return report(e) == nil || e.GetTenant() != "clinic" },
		"a report counts too few": func(e *lockboxv1.Event, _ int) bool {
			if report(e) != nil {
				report(e).Counts[0].Count--
			}
			return true
		},
		"a report gives another reason": func(e *lockboxv1.Event, _ int) bool {
			if report(e) != nil {
				report(e).Counts[0].Waiver = lockboxv1.Waiver_WAIVER_EMERGENCY
			}
			return true
		},
		"a report lists another request": func(e *lockboxv1.Event, _ int) bool {
			if report(e) != nil {
				report(e).Accesses[0].RequestId = story.RequestID
			}
			return true
		},
		"a report says another time": func(e *lockboxv1.Event, _ int) bool {
			if report(e) != nil {
				report(e).Accesses[0].EndsAt = report(e).GetAccesses()[0].GetStartsAt()
			}
			return true
		},
		"a report of another day": func(e *lockboxv1.Event, _ int) bool {
			if report(e) != nil {
				report(e).Until = report(e).GetSince()
			}
			return true
		},
		"a report before its time": func(e *lockboxv1.Event, _ int) bool {
			if report(e) != nil {
				e.Time = timestamppb.New(report(e).GetUntil().AsTime().Add(-1))
			}
			return true
		},
		"a grant that is never reported": func(e *lockboxv1.Event, n int) bool {
			if grant(e) != nil && n > 3 {
				grant(e).ReportAt = nil
			}
			return true
		},
		"a grant that is reported in a year": func(e *lockboxv1.Event, _ int) bool {
			if grant(e) != nil {
				grant(e).ReportAt = timestamppb.New(e.GetTime().AsTime().AddDate(1, 0, 0))
			}
			return true
		},
	} {
		var history []invariant.Recorded
		grants := 0
		for _, r := range unasked() {
			r.Event = proto.CloneOf(r.Event)
			if grant(r.Event) != nil {
				grants++
			}
			if forge(r.Event, grants) {
				history = append(history, r)
			}
		}
		if !slices.ContainsFunc(invariant.Check(history), func(v invariant.Violation) bool { return v.Invariant == "I17" }) {
			t.Errorf("%s is not found", name)
		}
		for i := range history {
			history[i].Stored = history[i].Event.GetTime().AsTime()
		}
		if got, err := booked(t, inStream(t, history)); err != nil || !slices.Equal(got, invariant.Check(history)) {
			t.Errorf("%s: a book finds %v (%v), Check %v", name, got, err, invariant.Check(history))
		}
	}
}

// Earlier versions reported nothing, and what they recorded is no violation.
func TestI17WhatEarlierVersionsGrantedNeedsNoReport(t *testing.T) {
	var history []invariant.Recorded
	for _, r := range unasked() {
		if r.Event = proto.CloneOf(r.Event); r.Event.GetAccessGranted() != nil {
			r.Event.GetAccessGranted().ReportAt = nil
		}
		if r.Event.GetWaivedAccessReported() == nil {
			history = append(history, r)
		}
	}
	if broken := invariant.Check(history); len(broken) > 0 {
		t.Error(broken)
	}
}

// A report that is due is not missing until others could have been stored meanwhile.
func TestI17AReportIsMissingAnHourAfterItIsDue(t *testing.T) {
	for after, want := range map[time.Duration]bool{time.Hour: false, time.Hour + time.Second: true} {
		var history []invariant.Recorded
		for _, r := range unasked() {
			e := proto.CloneOf(r.Event)
			due := time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)
			if e.GetWaivedAccessReported() != nil {
				continue
			}
			if e.GetTime().AsTime().After(due) {
				if e.GetTicketOpened() == nil || len(history) > 0 && history[len(history)-1].Event.GetTicketOpened() != nil {
					continue
				}
				e.Time = timestamppb.New(due.Add(after))
			}
			history = append(history, invariant.Recorded{Sequence: r.Sequence, Event: e})
		}
		if got := len(invariant.Check(history)) > 0; got != want {
			t.Errorf("%s after it was due: %v", after, invariant.Check(history))
		}
	}
}
