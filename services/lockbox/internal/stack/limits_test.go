package stack_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// An engineer floods a customer: what is beyond the limit is refused to their tool and is no request, so nobody gets a
// mail about it; others, and emergencies, go on (R52).
func TestNobodyFloodsACustomer(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.close()
	l.config.Limits = policy.Limits{PerEngineer: 3}
	l.open()
	var first *lockboxv1.AccessIntent
	refused := 0
	for range 30 {
		in := l.intent("erin")
		if first == nil {
			first = in
		}
		if r := l.submit(in).GetRefusal(); r != nil {
			if refused++; r.GetRule() != "R52" || r.GetField() != "token" || l.state(in.GetId()).Exists() {
				t.Fatalf("refused: %v", r)
			}
		}
	}
	if refused != 27 {
		t.Errorf("%d of 30 were refused", refused)
	}
	l.requested(l.intent("ivan"), request.CustomerNotified)
	in := l.intent("rosa")
	in.Emergency, in.ReasonType, in.TicketId = true, lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT, ""
	l.requested(in, request.AwaitingInternalApproval)
	// What is decided makes room; so it does after a restart.
	l.reaches(first.GetId(), request.CustomerNotified)
	l.does("otto", deny(first.GetId(), "Too many."))
	l.restart(0)
	l.requested(l.intent("erin"), request.CustomerNotified)
	if r := l.submit(l.intent("erin")).GetRefusal(); r.GetRule() != "R52" {
		t.Errorf("after a restart: %v", r)
	}
	requested := l.history(journal.Replay{Kind: aggregate.KindRequest, Type: "AccessRequested"})
	if len(requested) != 6 {
		t.Errorf("there are %d requests", len(requested))
	}
}
