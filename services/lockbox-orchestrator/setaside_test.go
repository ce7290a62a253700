package orchestrator

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A request beside which a message is stored that is no event is at fault, although this copy had read it before and
// the message stands where nobody looks; what was due meanwhile is done once the message was set aside.
func TestWhatIsDueIsDoneOnceAMessageIsSetAside(t *testing.T) {
	s := newScene(t)
	key, _ := s.evaluated(s.customer("contoso"), "contoso")
	states, err := s.repository.BasisOf(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	notified, err := s.process.Perform(states, key, "", time.Now())
	if err != nil || notified.GetCustomerNotified() == nil {
		t.Fatalf("%v, %v", notified, err)
	}
	js, err := jetstream.New(s.nc)
	if err != nil {
		t.Fatal(err)
	}
	subject := "lockbox.event.contoso.request." + key.ID + ".99.CustomerDenied"
	if _, err := js.Publish(t.Context(), subject, []byte("+ACK")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), s.repository, states, notified); !errors.Is(err, repository.ErrConflict) {
		t.Errorf("appended beside it: %v", err)
	}
	faulty, err := s.repository.Basis(t.Context(), key)
	if f := faulty.Request(key).Fault; err != nil || f == nil || !f.NotAnEvent {
		t.Fatalf("%v, %v", f, err)
	}
	withdraw := aggregate.Command{By: erin, Command: &lockboxv1.Command{Id: journaltest.NewID(), Tenant: "contoso",
		AggregateId: key.ID, Action: &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{}}}}
	if e, err := faulty.Decide(withdraw, tenant.Limits{}, time.Now()); !refusal.Is(err,
		lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION) {
		t.Errorf("a command: %v, %v", e, err)
	}
	for _, sequence := range []uint64{0, states.Request(key).Sequence} { // a timer, an event
		err := s.settle(t.Context(), key, sequence, "")
		if !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
			t.Errorf("what is due is given up: %v", err)
		}
	}

	m, err := s.writer.Misfit(t.Context(), faulty.Request(key).Fault.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	s.setsAside(m)
	if err := s.settle(t.Context(), key, 0, ""); err != nil {
		t.Fatal(err)
	}
	now, err := repository.New(s.writer).Basis(t.Context(), key)
	if r := now.Request(key); err != nil || r.Status != request.CustomerNotified || r.Version != 3 {
		t.Errorf("%v at version %d, %v", r.Status, r.Version, err)
	}
}

func (s *scene) setsAside(m journal.Misfit) {
	s.Helper()
	at := aggregate.Guard
	e := &lockboxv1.Event{
		Tenant: at.Tenant, Kind: at.Kind, AggregateId: at.ID, ReportKey: journaltest.NewID(), Time: timestamppb.Now(),
		Actor: story.Provider("olga", aggregate.SecurityOfficers),
		Fact: &lockboxv1.Event_MessageSetAside{MessageSetAside: &lockboxv1.MessageSetAside{
			Sequence: m.Seq, Sha256: m.SHA256, Subject: m.Subject, Reason: "it says nothing",
		}},
	}
	if err := repository.Identify(e); err != nil {
		s.Fatal(err)
	}
	if _, _, err := s.writer.Report(s.Context(), e); err != nil {
		s.Fatal(err)
	}
}
