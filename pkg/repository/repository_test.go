package repository_test

import (
	"context"
	"errors"
	"flag"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/longtest"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// shared is the bus of all tests, each of which has a tenant of its own.
var shared journaltest.Shared

func TestMain(m *testing.M) {
	// Random histories are few because each is written to a real stream; -rapid.checks=N says otherwise.
	if err := flag.Set("rapid.checks", strconv.Itoa(longtest.Count(8))); err != nil {
		panic(err)
	}
	shared.Run(m)
}

func newID(t *testing.T) string {
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// requested is the first event of a request of a tenant.
func requested(t *testing.T, tenant string) *lockboxv1.Event {
	intent := story.Dump(tenant, "prod", "vm1")
	intent.Id = newID(t)
	e, err := story.New(time.Now()).Submitted(story.Provider("erin"), intent)
	if err != nil {
		t.Fatal(err)
	}
	e.Id = newID(t)
	return e
}

// withdrawn is its second.
func withdrawn(t *testing.T, first *lockboxv1.Event) *lockboxv1.Event {
	return &lockboxv1.Event{
		Id: newID(t), Tenant: first.GetTenant(), Kind: aggregate.KindRequest, AggregateId: first.GetAggregateId(), Version: 2,
		CausationId: newID(t),
		Time:        timestamppb.Now(), Actor: first.GetActor(),
		Fact: &lockboxv1.Event_RequestWithdrawn{RequestWithdrawn: &lockboxv1.RequestWithdrawn{}},
	}
}

// gone is a context in which nothing can be read from the bus.
func gone(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// connected is a repository with its connection, whose messages can be counted: each is a round trip.
func connected(t *testing.T, b *journaltest.Bus) (*repository.Repository, *nats.Conn) {
	nc := b.Connect(t, bus.Orchestrator)
	j, err := journal.Open(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return repository.New(j), nc
}

func TestWhatIsRememberedIsConfirmedAndNotReadAgain(t *testing.T) {
	t.Parallel()
	b := shared.Bus(t)
	evaluator, orchestrator := b.Journal(t, bus.Evaluator), b.Journal(t, bus.Orchestrator)
	r, nc := connected(t, b)
	first := requested(t, journaltest.NewTenant())
	key := aggregate.KeyOf(first)
	one, err := evaluator.Append(t.Context(), 0, first)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(trips uint64, sequence uint64, status request.Status) {
		t.Helper()
		before := nc.Stats().OutMsgs
		states, err := r.BasisOf(t.Context(), key)
		s := states.Request(key)
		if err != nil || s.Sequence != sequence || s.Status != status {
			t.Errorf("sequence %d, %v, %v; want %d, %v", s.Sequence, s.Status, err, sequence, status)
		}
		if took := nc.Stats().OutMsgs - before; took != trips {
			t.Errorf("%d round trips, not %d", took, trips)
		}
	}
	if _, err := r.Basis(t.Context(), key); err != nil { // it asks once, too, how many replicas there are
		t.Fatal(err)
	}
	expect(1, one, request.Submitted) // with its tenant and subscription, which are not there
	expect(1, one, request.Submitted)

	second := withdrawn(t, first)
	two, err := orchestrator.Append(t.Context(), one, second)
	if err != nil {
		t.Fatal(err)
	}
	expect(1, two, request.Withdrawn) // what followed comes with the answer
	expect(1, two, request.Withdrawn)
	if _, err := r.BasisOf(gone(t), key); err == nil {
		t.Error("nothing can be confirmed, and yet there was an answer")
	}
}

func TestWhatIsReadForTheFirstTimeIsOneQuestion(t *testing.T) {
	t.Parallel()
	b := shared.Bus(t)
	evaluator := b.Journal(t, bus.Evaluator)
	r, nc := connected(t, b)
	var keys []aggregate.Key
	tenant := journaltest.NewTenant()
	for range 40 {
		e := requested(t, tenant)
		if _, err := evaluator.Append(t.Context(), 0, e); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, aggregate.KeyOf(e))
	}
	if _, err := r.Basis(t.Context(), aggregate.Rules); err != nil {
		t.Fatal(err)
	}
	before := nc.Stats().OutMsgs
	states, err := r.Basis(t.Context(), keys...)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if states.Request(key).Status != request.Submitted {
			t.Errorf("%s: %v", key, states.Request(key).Status)
		}
	}
	if took := nc.Stats().OutMsgs - before; took != 1 {
		t.Errorf("%d round trips for forty requests", took)
	}
}

func TestRecentAsksOnlyForWhatIsNotRemembered(t *testing.T) {
	t.Parallel()
	b := shared.Bus(t)
	evaluator, orchestrator := b.Journal(t, bus.Evaluator), b.Journal(t, bus.Orchestrator)
	r := repository.New(orchestrator)
	first := requested(t, journaltest.NewTenant())
	key := aggregate.KeyOf(first)
	one, err := evaluator.Append(t.Context(), 0, first)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(ctx context.Context, at, sequence uint64) {
		t.Helper()
		states, err := r.Recent(ctx, key, at)
		if s := states.Request(key); err != nil || s.Sequence != sequence {
			t.Errorf("at %d: sequence %d, %v; want %d", at, s.Sequence, err, sequence)
		}
	}
	if _, err := r.Recent(gone(t), key, 0); err == nil {
		t.Error("nothing was remembered, and yet there was an answer")
	}
	expect(t.Context(), 0, one)
	expect(gone(t), one, one)
	second := withdrawn(t, first)
	two, err := orchestrator.Append(t.Context(), one, second)
	if err != nil {
		t.Fatal(err)
	}
	// What another copy did is not known here, until somebody asks for it or it is delivered.
	expect(gone(t), 0, one)
	if _, err := r.Recent(gone(t), key, two); err == nil {
		t.Error("what is remembered does not include the second event, and yet there was an answer")
	}
	r.Saw(two, second)
	expect(gone(t), two, two)
	r.Saw(one, first)
	r.Saw(two, second)
	expect(gone(t), two, two)
}

// What is asked as of a sequence is the same whenever it is asked, whether it is remembered or not.
func TestAtIsTheSameWheneverItIsAsked(t *testing.T) {
	t.Parallel()
	b := shared.Bus(t)
	evaluator, orchestrator := b.Journal(t, bus.Evaluator), b.Journal(t, bus.Orchestrator)
	first := requested(t, journaltest.NewTenant())
	key := aggregate.KeyOf(first)
	one, err := evaluator.Append(t.Context(), 0, first)
	if err != nil {
		t.Fatal(err)
	}
	two, err := orchestrator.Append(t.Context(), one, withdrawn(t, first))
	if err != nil {
		t.Fatal(err)
	}
	known := repository.New(orchestrator)
	for range 2 {
		for _, r := range []*repository.Repository{known, repository.New(orchestrator)} {
			for at, want := range map[uint64]request.Status{
				0: request.None, one: request.Submitted, two: request.Withdrawn, two + 7: request.Withdrawn,
			} {
				states, err := r.At(t.Context(), at, key)
				if s := states.Request(key); err != nil || s.Status != want {
					t.Errorf("at %d: %v, %v; want %v", at, s.Status, err, want)
				}
			}
		}
	}
}

// A trail keeps a few states; what lies further back is read again.
func TestAtReachesBackAsFarAsTheAggregateDoes(t *testing.T) {
	t.Parallel()
	j := shared.Bus(t).Journal(t, bus.Orchestrator)
	opened := &lockboxv1.Event{
		Id: newID(t), Tenant: journaltest.NewTenant(), Kind: aggregate.KindTicket, AggregateId: "T-1", Version: 1,
		Time: timestamppb.Now(),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
			Person: &lockboxv1.Person{Issuer: "https://acme.example", Subject: "cora"}},
		Fact: &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{Title: "It hangs"}},
	}
	key := aggregate.KeyOf(opened)
	last, err := j.Append(t.Context(), 0, opened)
	if err != nil {
		t.Fatal(err)
	}
	sequences := []uint64{last}
	for version := uint64(2); version <= 40; version++ {
		commented := &lockboxv1.Event{
			Id: newID(t), Tenant: key.Tenant, Kind: key.Kind, AggregateId: key.ID, Version: version, Time: timestamppb.Now(),
			Actor: opened.GetActor(),
			Fact:  &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{Text: "still"}},
		}
		if last, err = j.Append(t.Context(), last, commented); err != nil {
			t.Fatal(err)
		}
		sequences = append(sequences, last)
	}
	r := repository.New(j)
	for range 2 {
		for i, at := range sequences {
			states, err := r.At(t.Context(), at, key)
			if s := states.Ticket(key.Tenant, "T-1"); err != nil || s.Version != uint64(i)+1 || s.Fault != nil {
				t.Errorf("at %d: version %d, %v, %v; want %d", at, s.Version, s.Fault, err, i+1)
			}
		}
	}
}

func TestWhatCannotBeTrueIsAtFaultAndNotRemembered(t *testing.T) {
	t.Parallel()
	b := shared.Bus(t)
	evaluator, orchestrator := b.Journal(t, bus.Evaluator), b.Journal(t, bus.Orchestrator)
	r := repository.New(orchestrator)
	first := requested(t, journaltest.NewTenant())
	key := aggregate.KeyOf(first)
	one, err := evaluator.Append(t.Context(), 0, first)
	if err != nil {
		t.Fatal(err)
	}
	forged := withdrawn(t, first)
	forged.Fact = &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{}}
	r.Saw(one, first)
	r.Saw(one+1, forged)
	if states, err := r.Recent(gone(t), key, one); err != nil || states.Request(key).Fault != nil ||
		states.Request(key).Sequence != one {
		t.Errorf("%+v, %v", states.Request(key).History, err)
	}
	two, err := orchestrator.Append(t.Context(), one, forged)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		states, err := r.Basis(t.Context(), key)
		if s := states.Request(key); err != nil || s.Fault == nil || s.Fault.Sequence != two || s.Sequence != one {
			t.Errorf("%+v, %v", s.History, err)
		}
	}
	// As of the event before, nothing was wrong yet.
	states, err := r.At(t.Context(), one, key)
	if s := states.Request(key); err != nil || s.Fault != nil || s.Status != request.Submitted {
		t.Errorf("%+v, %v", s.History, err)
	}
}

// Two events that follow each other are appended together, and remembered.
func TestEventsThatFollowEachOtherAreAppendedTogether(t *testing.T) {
	t.Parallel()
	b := journaltest.Start(t, 1) // where nobody else's event comes between
	r := repository.New(b.Journal(t, bus.Orchestrator))
	opened := &lockboxv1.Event{
		Tenant: journaltest.NewTenant(), Kind: aggregate.KindTicket, AggregateId: "T-2", Version: 1, Time: timestamppb.Now(),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
			Person: &lockboxv1.Person{Issuer: "https://acme.example", Subject: "cora"}},
		Fact: &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{Title: "It hangs"}},
	}
	commented := proto.CloneOf(opened)
	commented.Version = 2
	commented.Fact = &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{Text: "still"}}
	key := aggregate.KeyOf(opened)
	states, err := r.BasisOf(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := repository.Identify(opened, commented); err != nil {
		t.Fatal(err)
	}
	first, second := repository.Decided{Event: opened}, repository.Decided{Event: commented}
	stored, err := r.Append(t.Context(), states, first, second)
	if err != nil || len(stored) != 2 || stored[1] != stored[0]+1 {
		t.Fatalf("%v, %v", stored, err)
	}
	if s := states.Ticket(key.Tenant, "T-2"); s.Version != 2 || s.Sequence != stored[1] {
		t.Errorf("%+v", s.History)
	}
	if again, err := r.Append(t.Context(), repository.States{}, first, second); err != nil ||
		!slices.Equal(again, stored) {
		t.Errorf("the very same again: %v, %v", again, err)
	}
	late := proto.CloneOf(commented)
	if err := repository.Identify(late); err != nil {
		t.Fatal(err)
	}
	behind := repository.States{}
	behind.Add(stored[0], opened)
	stored, err = r.Append(t.Context(), behind, repository.Decided{Event: late})
	if !errors.Is(err, repository.ErrConflict) || len(stored) > 0 {
		t.Errorf("another second event: %v, %v", stored, err)
	}
}
