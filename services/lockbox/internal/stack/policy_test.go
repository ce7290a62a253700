package stack_test

import (
	"bytes"
	"testing"

	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Whatever was evaluated comes to the same bytes when it is evaluated again from the stream (R14, I8).
func TestReplayingTheStreamEvaluatesTheSame(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	for _, c := range []struct {
		as     string
		change func(*lockboxv1.AccessIntent)
		ends   request.Status
	}{
		{"erin", func(*lockboxv1.AccessIntent) {}, request.CustomerNotified},
		{"ivan", func(*lockboxv1.AccessIntent) {}, request.CustomerNotified},
		{"sam", func(*lockboxv1.AccessIntent) {}, request.Refused},
		{"erin", func(in *lockboxv1.AccessIntent) { in.Scenario = "platform-health" }, request.Active},
		{"erin", func(in *lockboxv1.AccessIntent) { in.Scenario = "managed-disk" }, request.AwaitingInternalApproval},
		{"erin", func(in *lockboxv1.AccessIntent) { in.ResourceType = "compute/mainframes" }, request.Refused},
		{"erin", func(in *lockboxv1.AccessIntent) { in.TicketId = "SR-1" }, request.Refused},
		{"erin", func(in *lockboxv1.AccessIntent) {
			in.SubscriptionId, in.ResourceIds = "nowhere", []string{"/subscriptions/nowhere/vm/x"}
		}, request.Refused},
		{"erin", func(in *lockboxv1.AccessIntent) {
			in.SubscriptionId, in.ResourceType, in.Scenario = "", "directory/tenants", "directory-content"
			in.ResourceIds = []string{"/tenants/" + bank + "/directory"}
		}, request.AwaitingInternalApproval},
	} {
		in := l.intent(c.as)
		c.change(in)
		l.requested(in, c.ends)
	}
	rules, services := policy.Default(), catalogue.Default()
	states, again := map[string]request.State{}, 0
	for _, e := range l.history(journal.Replay{Kind: "request"}) {
		id := e.Event.GetAggregateId()
		states[id] = request.Evolve(states[id], e.Seq, e.Event)
		stored := e.Event.GetAccessEvaluated()
		if stored == nil {
			continue
		}
		again++
		was, becomes := canonical(t, stored), canonical(t, policy.Again(states[id], rules, services, request.DefaultTerms()))
		if !bytes.Equal(was, becomes) {
			t.Errorf("recorded\n%v\nagain\n%v", stored, policy.Again(states[id], rules, services, request.DefaultTerms()))
		}
	}
	if again != 9 {
		t.Errorf("%d evaluations were recorded", again)
	}
}

func canonical(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	must(t, err)
	return data
}
