package stack_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/verify"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// signatures verifies the stream under the deployment's key.
func (l *lockbox) signatures() verify.Verified {
	l.Helper()
	deployment, err := writerkeys.ReadDeployment(filepath.Join(l.config.Dir, "keys", writerkeys.PublicKeyFile))
	must(l, err)
	keys := signed.NewKeyring(deployment.Origin, deployment)
	v, err := verify.Stream(l.Context(), l.watch, time.Now(), keys, func(journal.Entry) {})
	must(l, err)
	return v
}

// Whoever has the orchestrator's key of the bus adds a customer's approval. The guard finds it although it is an event,
// nothing is granted any more, also after a restart, and everything goes on once a security officer set it aside (R50).
func TestI14AnAddedEventStopsGrantsUntilItIsSetAside(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.close()
	l.config.RescanEvery = 200 * time.Millisecond
	l.open()
	first := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(first))
	l.reaches(first, request.Active)
	if v := l.signatures(); len(v.Violations) > 0 || v.Signatures.Began != 1 || v.Signatures.Verified == 0 {
		t.Fatalf("before: %+v, %+v", v.Violations, v.Signatures)
	}

	forged, other := l.requested(l.intent("erin"), request.CustomerNotified),
		l.requested(l.intent("erin"), request.CustomerNotified)
	approval := l.history(journal.Replay{Type: "CustomerApproved"})[0].Event
	approval.Id, approval.AggregateId, approval.Time = newID(l), forged, timestamppb.Now()
	approval.Version, approval.CorrelationId = l.state(forged).Version+1, forged
	data, err := proto.Marshal(approval)
	must(t, err)
	m := &strayMessage{by: bus.Orchestrator, data: data,
		subject: fmt.Sprintf("lockbox.event.%s.request.%s.%d.CustomerApproved", bank, forged, approval.GetVersion())}
	l.store(m)
	within(t, time.Minute, "an alarm", func() bool { return l.alarmOf(m) != nil })
	found := false
	for _, broken := range l.signatures().Violations {
		found = found || broken.Invariant == "I14" && broken.Sequence == m.seq
	}
	if !found {
		t.Error("audit verify does not find it")
	}
	l.isShownNowhere(approval, m)

	// Nor does a projection that is made again show it.
	l.close()
	must(t, os.Remove(filepath.Join(l.config.Dir, "projection", "projection.db")))
	l.open()
	l.isShownNowhere(approval, m)
	l.does("otto", approve(other))
	l.mayNot("otto", deny(forged, "Who approved this?"), lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION, "I6")
	leases, err := l.connect(bus.Orchestrator).SubscribeSync(bus.LeaseSubject)
	must(t, err)
	if m, err := leases.NextMsg(6 * time.Second); err == nil {
		t.Errorf("the lease is renewed: %x", m.Data)
	}
	if s := l.state(other); s.Status != request.Approved {
		t.Errorf("without a lease the approved request is %v", s.Status)
	}
	l.does("olga", setAside(m))
	l.reaches(other, request.Active)
	l.does("otto", deny(forged, "Nobody approved this."))
	if v := l.signatures(); len(v.Violations) > 0 || len(v.Strays) != 1 {
		t.Errorf("once it was set aside: %+v, %+v", v.Violations, v.Strays)
	}
	l.close()
	must(t, os.Remove(filepath.Join(l.config.Dir, "projection", "projection.db")))
	l.open()
	if v := l.shown("otto", forged); v.GetStatus() != lockboxv1.RequestStatus_REQUEST_STATUS_DENIED ||
		len(v.GetCustomerDecisions()) != 1 {
		t.Errorf("shown, once it was set aside: %v", v)
	}
}

// isShownNowhere checks that nobody is told of a customer's approval that nobody signed.
func (l *lockbox) isShownNowhere(of *lockboxv1.Event, forged *strayMessage) {
	l.Helper()
	id := of.GetAggregateId()
	ask := func(as string, q *lockboxv1.Query) *lockboxv1.QueryReply {
		l.Helper()
		q.Tenant, q.Token, q.MinSequence = bank, l.token(as), forged.seq
		reply := l.query(q)
		if reply.GetRefusal() != nil {
			l.Errorf("%s: %v", as, reply.GetRefusal())
		}
		return reply
	}
	is := func(e *lockboxv1.TimelineEntry) bool { return e.GetSequence() == forged.seq }
	for _, as := range []string{"otto", "erin"} {
		v := ask(as, &lockboxv1.Query{Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}}).
			GetRequest()
		if v.GetStatus() != lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED || len(v.GetCustomerDecisions()) > 0 ||
			slices.ContainsFunc(v.GetTimeline(), is) {
			l.Errorf("the request as %s is shown it: %v", as, v)
		}
	}
	for _, format := range []string{"", "csv"} {
		list := ask("audrey", &lockboxv1.Query{Ask: &lockboxv1.Query_ListActivity{ListActivity: &lockboxv1.ListActivity{
			RequestId: id, Export: format}}}).GetActivity().GetActivities()
		if len(list) == 0 || slices.ContainsFunc(list, func(a *lockboxv1.Activity) bool { return is(a.GetEntry()) }) {
			l.Errorf("the activity log, exported as %q: %v", format, list)
		}
	}
	l.whole(forged.seq)
	r := l.receipt("otto", id, forged.seq)
	for _, e := range r.Events {
		if strings.HasSuffix(e.Subject, ".CustomerApproved") {
			l.Errorf("the receipt shows %s", e.Subject)
		}
	}
	for _, e := range l.history(journal.Replay{Kind: aggregate.KindDelivery}) {
		if e.Event.GetAggregateId() == of.GetId() {
			l.Errorf("somebody is told: %v", e.Event)
		}
	}
}

// forgesUnsigned adds an approval with the key of the bus alone.
func (i *insider) forgesUnsigned() {
	i.Helper()
	otto := i.requested(i.intent("erin"), request.CustomerNotified)
	i.does("otto", approve(otto)) // a real one, to take the approver's identity from
	id := i.requested(i.intent("erin"), request.CustomerNotified)
	e := i.history(journal.Replay{Tenant: bank, ID: otto, Type: "CustomerApproved"})[0].Event
	e.Id, e.AggregateId, e.CorrelationId, e.Version = newID(i), id, id, i.state(id).Version+1
	subject, err := bus.EventSubject(e)
	must(i, err)
	data, err := proto.Marshal(e)
	must(i, err)
	m := &strayMessage{by: bus.Orchestrator, subject: subject, data: data}
	i.store(m)
	i.isSetAside(m)
	i.does("otto", deny(id, "I did not approve this."))
}
