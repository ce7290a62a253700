package evaluator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

func asks(sequence uint64, id string) journal.Entry {
	return journal.Entry{Seq: sequence, Stored: time.Now(), Event: &lockboxv1.Event{
		Tenant: "contoso", AggregateId: id, Actor: &lockboxv1.Actor{Person: erin},
		Fact: &lockboxv1.Event_AccessRequested{
			AccessRequested: &lockboxv1.AccessRequested{Intent: &lockboxv1.AccessIntent{}}},
	}}
}

var erin = &lockboxv1.Person{Issuer: "https://nimbus.example", Subject: "erin"}

func TestAnEvaluationWaitsForWhatCameBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistories(nil, nil, zap.NewNop())
		second := request.State{History: aggregate.History{Tenant: "contoso", ID: "b", Sequence: 7},
			Requester: &lockboxv1.Actor{Person: erin}}
		if err := h.add(t.Context(), asks(6, "a")); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		_, err := h.of(t.Context(), second, time.Now())
		r, is := refusal.As(err)
		if !is || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE || time.Since(begun) != behind {
			t.Fatalf("what is not counted is not known (I11): %v after %v", err, time.Since(begun))
		}
		got := make(chan *lockboxv1.EngineerHistory)
		for range 2 {
			go func() {
				found, err := h.of(t.Context(), second, time.Now())
				if err != nil {
					t.Error(err)
				}
				got <- found
			}()
		}
		synctest.Wait()
		if err := h.add(t.Context(), asks(7, "b")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if found := <-got; found.GetRequests() != 1 || found.GetAsOfSequence() != 7 {
				t.Errorf("%v", found)
			}
		}
		if len(h.awaited) != 0 {
			t.Errorf("%d are still awaited", len(h.awaited))
		}
	})
}
