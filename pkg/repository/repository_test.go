package repository_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const tenantID = "acme"

func newID(t *testing.T) string {
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// requested is a request's first event.
func requested(t *testing.T) *lockboxv1.Event {
	id := newID(t)
	engineer := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: &lockboxv1.Person{Issuer: "https://login.example.org", Subject: "erin"}}
	events, err := request.Submit(request.State{}, request.Submission{By: engineer, Stored: time.Now(), Tool: journaltest.Tool, Sequence: 1, Intent: &lockboxv1.AccessIntent{
		Id: id, Tenant: tenantID, SubscriptionId: "prod", ResourceType: "compute/virtual-machines", Scenario: "memory-dump",
		ResourceIds: []string{"/subscriptions/prod/vm1"}, ReasonType: lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE,
		Justification: "the machine hangs",
	}}, request.DefaultTerms(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	events[0].Id = newID(t)
	return events[0]
}

// withdrawn is its second.
func withdrawn(t *testing.T, first *lockboxv1.Event) *lockboxv1.Event {
	return &lockboxv1.Event{
		Id: newID(t), Tenant: tenantID, Kind: bus.KindRequest, AggregateId: first.GetAggregateId(), Version: 2, CausationId: newID(t),
		Time: timestamppb.Now(), Actor: first.GetActor(), Fact: &lockboxv1.Event_RequestWithdrawn{RequestWithdrawn: &lockboxv1.RequestWithdrawn{}},
	}
}

// gone is a context in which nothing can be read from the bus.
func gone(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestARememberedRequestIsNotReadAgain(t *testing.T) {
	b := journaltest.Start(t, 1)
	evaluator, orchestrator := b.Journal(t, bus.Evaluator), b.Journal(t, bus.Orchestrator)
	first := requested(t)
	id := first.GetAggregateId()
	one, err := evaluator.Append(t.Context(), 0, first)
	if err != nil {
		t.Fatal(err)
	}
	r := repository.NewReader(orchestrator)
	expect := func(ctx context.Context, at, sequence uint64, status request.Status) {
		t.Helper()
		s, err := r.RequestAt(ctx, tenantID, id, at)
		if err != nil || s.Sequence != sequence || s.Status != status {
			t.Errorf("at %d: sequence %d, %v, %v; want %d, %v", at, s.Sequence, s.Status, err, sequence, status)
		}
	}
	if _, err := r.RequestAt(gone(t), tenantID, id, 0); err == nil {
		t.Error("nothing was remembered, and yet there was an answer")
	}
	expect(t.Context(), 0, one, request.Submitted)
	expect(gone(t), one, one, request.Submitted)

	second := withdrawn(t, first)
	two, err := orchestrator.Append(t.Context(), one, second)
	if err != nil {
		t.Fatal(err)
	}
	// What another copy did is not known here, until somebody asks for it.
	expect(gone(t), 0, one, request.Submitted)
	if _, err := r.RequestAt(gone(t), tenantID, id, two); err == nil {
		t.Error("what is remembered does not include the second event, and yet there was an answer")
	}
	r.Saw(two, second)
	expect(gone(t), two, two, request.Withdrawn)
	r.Saw(one, first)
	r.Saw(two, second)
	expect(gone(t), two, two, request.Withdrawn)

	r.Forget(tenantID, id)
	if _, err := r.RequestAt(gone(t), tenantID, id, 0); err == nil {
		t.Error("it was forgotten, and yet there was an answer")
	}
	r.Saw(two, second)
	if _, err := r.RequestAt(gone(t), tenantID, id, 0); err == nil {
		t.Error("a second event without the first is nothing to remember")
	}
	expect(t.Context(), two, two, request.Withdrawn)
}

func TestWhatCannotBeTrueIsNotRemembered(t *testing.T) {
	r := repository.NewReader(journaltest.Start(t, 1).Journal(t, bus.Orchestrator))
	first := requested(t)
	r.Saw(1, first)
	second := withdrawn(t, first)
	second.Fact = &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{}}
	r.Saw(2, second)
	s, err := r.RequestAt(gone(t), tenantID, first.GetAggregateId(), 0)
	if err != nil || s.Fault != nil || s.Sequence != 1 {
		t.Errorf("%+v, %v", s.History, err)
	}
}

func TestAReaderThatRemembersNothing(t *testing.T) {
	var r repository.Reader
	r.Journal = journaltest.Start(t, 1).Journal(t, bus.Orchestrator)
	first := requested(t)
	r.Saw(1, first)
	r.Forget(tenantID, first.GetAggregateId())
	s, err := r.RequestAt(t.Context(), tenantID, first.GetAggregateId(), 0)
	if err != nil || s.Version != 0 {
		t.Errorf("%+v, %v", s.History, err)
	}
}
