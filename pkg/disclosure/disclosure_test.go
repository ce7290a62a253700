package disclosure_test

import (
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	sven  = story.Provider("sven", aggregate.SecurityOfficers)
	eve   = story.Provider("eve", aggregate.SupportEngineers, aggregate.DevOpsManagers, aggregate.EmergencyResponders)
	gina  = story.Customer(story.Tenant, "gina")
)

const (
	id      = "018f3a00-aaaa-7000-8000-000000000001"
	command = "018f3a00-bbbb-7000-8000-000000000001"
	day     = 24 * time.Hour
)

func occurrence() *lockboxv1.Occurrence {
	return &lockboxv1.Occurrence{
		What: "A packet capture held traffic", HappenedAt: timestamppb.New(start.Add(-time.Hour)),
		ResourceIds: []string{"/subscriptions/sub-1/disks/a"}, Reason: "taken to find a faulty line card",
	}
}

func exposure() *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_DiscloseExposure{
		DiscloseExposure: &lockboxv1.DiscloseExposure{Occurrence: occurrence()}}}
}

func demand(embargo time.Duration) *lockboxv1.Command {
	d := &lockboxv1.DiscloseLegalDemand{Occurrence: occurrence(), Authority: "A court", Reference: "12/34"}
	if embargo != 0 {
		d.EmbargoUntil = timestamppb.New(start.Add(embargo))
	}
	return &lockboxv1.Command{Action: &lockboxv1.Command_DiscloseLegalDemand{DiscloseLegalDemand: d}}
}

func decide(s disclosure.State, by *lockboxv1.Actor, c *lockboxv1.Command, now time.Time) (*lockboxv1.Event, error) {
	c = proto.CloneOf(c)
	if c.GetId() == "" {
		c.Id = command
	}
	c.Tenant, c.AggregateId = story.Tenant, id
	of := story.Case(gina, start.Add(-day)).States.Tenant(story.Tenant)
	return disclosure.Decide(s, of, aggregate.Command{Command: c, By: by}, now)
}

// disclosed is what a command made true at the start.
func disclosed(t *testing.T, c *lockboxv1.Command) disclosure.State {
	t.Helper()
	e, err := decide(disclosure.State{}, sven, c, start)
	if err != nil || e == nil {
		t.Fatalf("%v, %v", e, err)
	}
	return disclosure.Evolve(disclosure.State{}, 7, e)
}

func tell(t *testing.T, s disclosure.State, at time.Time) disclosure.State {
	t.Helper()
	e, err := disclosure.Tell(s, story.System("lockbox"), "", at)
	if err != nil {
		t.Fatal(err)
	}
	if e != nil {
		s = disclosure.Evolve(s, s.Sequence+1, e)
	}
	if s.Fault != nil {
		t.Fatalf("%+v", *s.Fault)
	}
	return s
}

func TestR44TheCustomerIsToldOfAnExposureAtOnceAndOnce(t *testing.T) {
	s := disclosed(t, exposure())
	if due, waits := disclosure.NextDue(s); !waits || !due.Equal(start) {
		t.Errorf("told at %v, %t", due, waits)
	}
	told := tell(t, s, start)
	if !told.ToldAt.Equal(start) || told.Version != 2 {
		t.Errorf("%+v", told)
	}
	again := tell(t, told, start.Add(time.Hour))
	if _, waits := disclosure.NextDue(again); again.Version != 2 || waits {
		t.Error("the customer is told twice")
	}
}

// R45: it is an aggregate of its own, and no request.
func TestR46ALegalDemandIsToldAtTheInstantThatItsEmbargoEnds(t *testing.T) {
	const embargo = 90 * day
	s, end := disclosed(t, demand(embargo)), start.Add(embargo)
	if due, waits := disclosure.NextDue(s); !waits || !due.Equal(end) {
		t.Errorf("told at %v, %t", due, waits)
	}
	for _, at := range []time.Duration{-embargo, -1} {
		if early := tell(t, s, end.Add(at)); !early.ToldAt.IsZero() || disclosure.Owed(s, end.Add(at)) {
			t.Errorf("told %v before the end", at)
		}
	}
	for _, at := range []time.Duration{0, 1} {
		if due := tell(t, s, end.Add(at)); !due.ToldAt.Equal(end.Add(at)) || !disclosure.Owed(s, end.Add(at)) {
			t.Errorf("not told %v after the end", at)
		}
	}
	for name, c := range map[string]*lockboxv1.Command{"no embargo": demand(0), "an embargo that is over": demand(-1),
		"one that ends now": demand(time.Duration(0))} {
		if !disclosure.Owed(disclosed(t, c), start) {
			t.Errorf("%s: the customer waits", name)
		}
	}
}

func TestR46OnlyTheSecurityOfficerDiscloses(t *testing.T) {
	for _, by := range []*lockboxv1.Actor{eve, gina, story.System("lockbox"), nil} {
		for _, c := range []*lockboxv1.Command{exposure(), demand(day)} {
			e, err := decide(disclosure.State{}, by, c, start)
			if r, ok := refusal.As(err); !ok || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN ||
				r.GetRule() != "R46" || e != nil {
				t.Errorf("%v: %v, %v", by, e, err)
			}
		}
	}
}

func TestTheSameCommandIsOneDisclosureAndAnotherIsRefused(t *testing.T) {
	s := disclosed(t, demand(day))
	if e, err := decide(s, sven, demand(day), start); err != nil || e != nil {
		t.Errorf("again: %v, %v", e, err)
	}
	other := exposure()
	other.Id = "018f3a00-bbbb-7000-8000-000000000002"
	if _, err := decide(s, sven, other, start); err == nil {
		t.Error("another disclosure under the same id")
	}
	of := story.Case(gina, start).States.Tenant(story.Tenant)
	if e, err := disclosure.Decide(disclosure.State{}, of, aggregate.Command{
		Command: &lockboxv1.Command{Id: command, Tenant: story.Tenant, AggregateId: id,
			Action: &lockboxv1.Command_OpenTicket{}}, By: sven,
	}, start); err == nil {
		t.Errorf("another kind of command: %v", e)
	}
}

func TestADisclosureIsRefusedByFieldAndRule(t *testing.T) {
	for name, c := range map[string]struct {
		change func(d *lockboxv1.DiscloseLegalDemand)
		field  string
	}{
		"nothing happened": {func(d *lockboxv1.DiscloseLegalDemand) { d.Occurrence = nil }, "occurrence.what"},
		"two lines": {func(d *lockboxv1.DiscloseLegalDemand) { d.Occurrence.What = "one\ntwo" },
			"occurrence.what"},
		"no time": {func(d *lockboxv1.DiscloseLegalDemand) { d.Occurrence.HappenedAt = nil },
			"occurrence.happened_at"},
		"a time to come": {func(d *lockboxv1.DiscloseLegalDemand) {
			d.Occurrence.HappenedAt = timestamppb.New(start.Add(1))
		}, "occurrence.happened_at"},
		"nothing reached": {func(d *lockboxv1.DiscloseLegalDemand) { d.Occurrence.ResourceIds = nil },
			"occurrence.description"},
		"51 resources": {func(d *lockboxv1.DiscloseLegalDemand) { d.Occurrence.ResourceIds = make([]string, 51) },
			"occurrence.resource_ids"},
		"an empty resource": {func(d *lockboxv1.DiscloseLegalDemand) { d.Occurrence.ResourceIds = []string{""} },
			"occurrence.resource_ids"},
		"a resource with a wildcard": {func(d *lockboxv1.DiscloseLegalDemand) {
			d.Occurrence.ResourceIds = []string{"/subscriptions/sub-1/*"}
		}, "occurrence.resource_ids"},
		"a resource that looks like another": {func(d *lockboxv1.DiscloseLegalDemand) {
			d.Occurrence.ResourceIds = []string{"/subscriptions/sub-1/раyments-1"}
		}, "occurrence.resource_ids"},
		"no reason": {func(d *lockboxv1.DiscloseLegalDemand) { d.Occurrence.Reason = "because" },
			"occurrence.reason"},
		"a long description": {func(d *lockboxv1.DiscloseLegalDemand) {
			d.Occurrence.Description = strings.Repeat("x",
				4001)
		}, "occurrence.description"},
		"nobody demands it": {func(d *lockboxv1.DiscloseLegalDemand) { d.Authority = "" }, "authority"},
		"no reference":      {func(d *lockboxv1.DiscloseLegalDemand) { d.Reference = "" }, "reference"},
		"an embargo for ever": {func(d *lockboxv1.DiscloseLegalDemand) {
			d.EmbargoUntil = timestamppb.New(start.Add(20 * 366 * day))
		}, "embargo_until"},
		"an embargo of no day": {func(d *lockboxv1.DiscloseLegalDemand) {
			d.EmbargoUntil = &timestamppb.Timestamp{Nanos: -1}
		}, "embargo_until"},
	} {
		t.Run(name, func(t *testing.T) {
			command := demand(day)
			c.change(command.GetDiscloseLegalDemand())
			e, err := decide(disclosure.State{}, sven, command, start)
			if r, ok := refusal.As(err); !ok || r.GetField() != "disclose_legal_demand."+c.field || e != nil {
				t.Errorf("%v, %v", e, err)
			}
		})
	}
}

// The fold checks whoever wrote an event: nobody else discloses, and nobody breaks an embargo.
func TestWhatCannotBeTrueIsAFault(t *testing.T) {
	made, err := decide(disclosure.State{}, sven, demand(day), start)
	if err != nil {
		t.Fatal(err)
	}
	told := func(at time.Time, version uint64) *lockboxv1.Event {
		return &lockboxv1.Event{
			Tenant: story.Tenant, Kind: "disclosure", AggregateId: id, Version: version, Time: timestamppb.New(at),
			Actor: story.System("lockbox"),
			Fact:  &lockboxv1.Event_DisclosureTold{DisclosureTold: &lockboxv1.DisclosureTold{}},
		}
	}
	by := func(a *lockboxv1.Actor) *lockboxv1.Event {
		e := proto.CloneOf(made)
		e.Actor = a
		return e
	}
	second := proto.CloneOf(made)
	second.Version = 2
	for name, events := range map[string][]*lockboxv1.Event{
		"by an engineer":          {by(eve)},
		"by the customer":         {by(gina)},
		"disclosed twice":         {made, second},
		"told of nothing":         {told(start, 1)},
		"told within the embargo": {made, told(start.Add(day-1), 2)},
		"told by somebody": {made, func() *lockboxv1.Event {
			e := told(start.Add(day),
				2)
			e.Actor = sven
			return e
		}()},
		"told twice": {made, told(start.Add(day), 2), told(start.Add(day), 3)},
		"another kind of fact": {{Tenant: story.Tenant, Kind: "disclosure", AggregateId: id, Version: 1,
			Time: timestamppb.New(start), Actor: sven,
			Fact: &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{}}}},
	} {
		var s disclosure.State
		for i, e := range events {
			s = disclosure.Evolve(s, uint64(i)+1, e)
		}
		if s.Fault == nil || s.Fault.Sequence != uint64(len(events)) || s.Version != uint64(len(events)-1) {
			t.Errorf("%s: %+v", name, s)
		}
		if _, waits := disclosure.NextDue(s); waits {
			t.Errorf("%s: something is owed to a history that contradicts itself", name)
		}
	}
}
