package request_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// control: nist:AC-6
func TestR49AnApprovalNamesWhatWasAskedForInOtherLetters(t *testing.T) {
	s := asked(t, contoso(owner(otto), owner(olga), demand(2)), diskIntent())
	play(t, s,
		row{1, otto, does(approveFor(0, disk("a"), strings.ToUpper(disk("a")))),
			no(invalid, "approve.resource_ids", "R27", "each once")},
		row{2, otto, does(approveFor(0, disk("a")+"/", disk("a"))), no(invalid, "approve.resource_ids", "R27", "each once")},
		row{3, otto, does(approveFor(0, strings.ToUpper(disk("b")), disk("a")+"/")), is(request.CustomerNotified)},
		row{4, olga, does(approveFor(0, strings.ToUpper(disk("c"))+"/")),
			no(invalid, "approve.resource_ids", "R27", "in common")},
		row{5, olga, does(approveFor(0, strings.ToUpper(disk("a")))), is(request.Approved)},
		row{6, box, owed(request.Grant), is(request.Active)},
	)
	for i, want := range [][]string{{disk("b"), disk("a")}, {disk("a")}} {
		if got := s.Request().CustomerDecisions[i].GetResourceIds(); !slices.Equal(got, want) {
			t.Errorf("approval %d is recorded as %v, and was asked for as %v", i, got, want)
		}
	}
	if got := s.Request().Grant.GetResourceIds(); !slices.Equal(got, []string{disk("a")}) {
		t.Errorf("granted %v", got)
	}
	if broken := invariant.Check(s.History()); len(broken) > 0 {
		t.Error(broken)
	}
}

// What is written stays as it was written.
func TestR49WhatWasAskedForIsShownAsItWasWritten(t *testing.T) {
	in := diskIntent()
	in.ResourceIds = []string{"/Subscriptions/SUB-1/Disks/A/", disk("b")}
	s := asked(t, contoso(owner(otto)), in)
	play(t, s,
		row{1, otto, does(approveFor(0, disk("a"))), is(request.Approved)},
		row{2, box, owed(request.Grant), is(request.Active)},
	)
	if got := s.Request().Grant.GetResourceIds(); !slices.Equal(got, in.ResourceIds[:1]) {
		t.Errorf("granted %v", got)
	}
}

// Requests of earlier versions may hold ids that are refused today, and twice the same one in different letters. What
// was decided about them stays true.
func TestR49WhatWasRecordedBeforeStaysTrue(t *testing.T) {
	old := diskIntent()
	capital := strings.ToUpper(disk("a"))
	old.ResourceIds = []string{disk("a"), capital, disk("раyments-%2f*"), disk("x ")}
	for name, c := range map[string]struct {
		approved, granted []string
		faulty            bool
	}{
		"all of it":                {old.ResourceIds, old.ResourceIds, false},
		"one of two spellings":     {old.ResourceIds[:1], old.ResourceIds[:1], false},
		"the other spelling":       {[]string{capital}, []string{capital}, false},
		"what is refused today":    {old.ResourceIds[2:], old.ResourceIds[2:], false},
		"the spelling not allowed": {old.ResourceIds[:1], []string{capital}, true},
		"both where one is meant":  {old.ResourceIds[:1], old.ResourceIds[:2], true},
	} {
		t.Run(name, func(t *testing.T) {
			s := contoso(owner(otto))
			writes := func(at time.Duration, by *lockboxv1.Actor, fact *lockboxv1.Event) {
				r := s.Request()
				e := r.Follow(by, old.GetId(), start.Add(at))
				e.Tenant, e.Kind, e.AggregateId, e.Fact = old.GetTenant(), "request", old.GetId(), fact.GetFact()
				e.Id = s.ID()
				s.Write(e)
				s.States.Add(s.Entries[len(s.Entries)-1].Seq, e)
			}
			writes(0, eve, &lockboxv1.Event{Fact: &lockboxv1.Event_AccessRequested{
				AccessRequested: &lockboxv1.AccessRequested{Intent: old}}})
			play(t, s,
				row{0, box, evaluates(customerDecides()), is(request.Submitted)},
				row{0, box, owed(request.Notify), is(request.CustomerNotified)},
			)
			approved := &lockboxv1.Event{}
			approves(func(a *lockboxv1.CustomerApproved) { a.ResourceIds = c.approved })(s, approved)
			writes(1, otto, approved)
			writes(2, box, &lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{
				StartsAt: timestamppb.New(start.Add(2)), EndsAt: timestamppb.New(start.Add(8*time.Hour + 2)),
				ResourceIds: c.granted,
			}}})
			if r := s.Request(); (r.Fault != nil) != c.faulty || !c.faulty && r.Status != request.Active {
				t.Errorf("%s, %+v", r.Status, r.Fault)
			}
		})
	}
}

func TestR49IdsOfTheGreatestLengthPassThrough(t *testing.T) {
	in := diskIntent()
	for i := range in.GetResourceIds() {
		in.ResourceIds[i] = disk(strings.Repeat("a", resource.MaxLength-len(disk(""))-1) + string(rune('a'+i)))
	}
	s := asked(t, contoso(owner(otto)), in)
	play(t, s,
		row{1, otto, does(approveFor(0, strings.ToUpper(in.GetResourceIds()[1]))), is(request.Approved)},
		row{2, box, owed(request.Grant), is(request.Active)},
	)
	if got := s.Request().Grant.GetResourceIds(); !slices.Equal(got, in.GetResourceIds()[1:2]) {
		t.Errorf("granted %v", got)
	}
	in = diskIntent()
	in.ResourceIds = []string{disk(strings.Repeat("a", resource.MaxLength))}
	play(t, contoso(), row{0, eve, submits(in), no(invalid, "resource_ids", "bad input", "at most 1024")})
}

func TestR49AGrantNamesTypeScenarioAndMode(t *testing.T) {
	for mode, change := range map[lockboxv1.AccessMode]func(*lockboxv1.EvaluationFacts){
		lockboxv1.AccessMode_ACCESS_MODE_READ:     func(*lockboxv1.EvaluationFacts) {},
		lockboxv1.AccessMode_ACCESS_MODE_CHANGE:   func(f *lockboxv1.EvaluationFacts) { f.Changes = true },
		lockboxv1.AccessMode_ACCESS_MODE_ELEVATED: func(f *lockboxv1.EvaluationFacts) { f.Elevated = true },
	} {
		s, v := contoso(owner(otto)), customerDecides()
		change(v.GetFacts())
		play(t, s,
			row{0, eve, submits(diskIntent()), is(request.Submitted)},
			row{0, box, evaluates(v), is(request.Submitted)},
			row{0, box, owed(request.Notify), is(request.CustomerNotified)},
			row{1, otto, does(approve()), is(request.Approved)},
			row{2, box, owed(request.Grant), is(request.Active)},
		)
		g := s.Request().Grant
		if g.GetMode() != mode || g.GetResourceType() != "compute/disks" || g.GetScenario() != "read-disk" {
			t.Errorf("want %s, got %v", mode, g)
		}
		if broken := invariant.Check(s.History()); len(broken) > 0 {
			t.Error(broken)
		}
	}
}
