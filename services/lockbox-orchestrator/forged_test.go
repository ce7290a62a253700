package orchestrator

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/signed/signedtest"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// approval is what the customer's approver would have caused, as bytes, and where it would stand.
func (s *scene) approval(key aggregate.Key, states repository.States) (subject string, data []byte) {
	s.Helper()
	e, err := states.Decide(aggregate.Command{By: otto, Command: &lockboxv1.Command{Id: journaltest.NewID(),
		Tenant: key.Tenant, AggregateId: key.ID, Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}}},
		tenant.Limits{}, time.Now())
	if err == nil {
		err = repository.Identify(e.Event)
	}
	if err == nil {
		subject, err = bus.EventSubject(e.Event)
	}
	if err == nil {
		data, err = proto.Marshal(e.Event)
	}
	if err != nil {
		s.Fatal(err)
	}
	return subject, data
}

// asked is a request that waits for the customer.
func (s *scene) asked() (aggregate.Key, repository.States) {
	s.Helper()
	key, _ := s.evaluated(s.customer("contoso"), "contoso")
	if err := s.settle(s.Context(), key, 0, ""); err != nil {
		s.Fatal(err)
	}
	states, err := s.repository.BasisOf(s.Context(), key)
	if err != nil || states.Request(key).Status != request.CustomerNotified {
		s.Fatalf("%s, %v", states.Request(key).Status, err)
	}
	return key, states
}

// Whoever holds the orchestrator's key of the bus, or runs the bus, writes the customer's approval. While the guard
// still says that all is well, because it has not seen it yet, no access begins (R50, I1).
func TestAForgedApprovalIsNeverGranted(t *testing.T) {
	d := signedtest.New(t, "ours")
	for name, row := range map[string]struct {
		deployment *signedtest.Deployment
		sign       func(u signed.Unsigned) []byte
		granted    bool
	}{
		"nothing is signed yet": {nil, func(u signed.Unsigned) []byte { return u.Content }, true},
		"unsigned":              {d, func(u signed.Unsigned) []byte { return u.Content }, false},
		"signed by another writer": {d, func(u signed.Unsigned) []byte {
			stored, err := d.Writer(aggregate.Evaluator).Sign([]signed.Unsigned{u})
			if err != nil {
				t.Fatal(err)
			}
			return stored[0]
		}, false},
		"signed for a request that went another way": {d, func(u signed.Unsigned) []byte {
			u.Previous[0] ^= 1
			stored, err := d.Writer(aggregate.Orchestrator).Sign([]signed.Unsigned{u})
			if err != nil {
				t.Fatal(err)
			}
			return stored[0]
		}, false},
		"as the orchestrator itself writes it": {d, func(u signed.Unsigned) []byte {
			stored, err := d.Writer(aggregate.Orchestrator).Sign([]signed.Unsigned{u})
			if err != nil {
				t.Fatal(err)
			}
			return stored[0]
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSceneOf(t, row.deployment)
			key, states := s.asked()
			s.vouchedFor(row.deployment)
			subject, data := s.approval(key, states)
			entries, err := s.writer.LoadAtLeader(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			before, _, err := signed.Content(entries[len(entries)-1].Data)
			if err != nil {
				t.Fatal(err)
			}
			u := signed.Unsigned{Subject: subject, Previous: signed.Hash(before), Content: data}
			js, err := jetstream.New(s.nc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.Publish(t.Context(), subject, row.sign(u)); err != nil {
				t.Fatal(err)
			}
			_ = s.settle(t.Context(), key, 0, "") // what waits for the guard is an error, too
			after, err := s.repository.Basis(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			r := after.Request(key)
			granted, faulty := r.Status == request.Active, r.Fault != nil && r.Fault.NotAnEvent
			if granted != row.granted || granted == faulty {
				t.Errorf("%s, fault %+v", r.Status, r.Fault)
			}
		})
	}
}

// vouchedFor gives the orchestrator a lease of the guard.
func (s *scene) vouchedFor(d *signedtest.Deployment) {
	s.Helper()
	back := make(chan struct{}, 1)
	holder, err := lease.Listen(s.nc, time.Now, s.Keyring, func() { back <- struct{}{} })
	if err == nil {
		err = s.nc.Flush()
	}
	var signer *signed.Signer
	if d != nil {
		signer = d.Writer(aggregate.Projector)
	}
	if err == nil {
		err = lease.Renew(s.bus.Connect(s, bus.Projector), signer, 0, time.Now())
	}
	if err != nil {
		s.Fatal(err)
	}
	<-back
	s.lease = holder
}
