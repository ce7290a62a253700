package stack_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/internal/verify"
	"github.com/openlockbox/lockbox/services/verifier"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What the attempts of the trust table do with the key of a service.

// writes appends an event after those of its aggregate, as the holder of a service's key can.
func (i *insider) writes(id string, e *lockboxv1.Event) {
	i.Helper()
	s := i.state(id)
	e.Id, e.Tenant, e.Kind, e.AggregateId = newID(i), bank, aggregate.KindRequest, id
	e.CorrelationId, e.Version, e.Time = id, s.Version+1, timestamppb.Now()
	if n := e.GetCustomerNotified(); n != nil { // with another deadline the request is at fault
		within := s.Evaluation.GetCustomerAnswerWithin().AsDuration()
		n.ExpiresAt, n.RemindAt = timestamppb.New(e.GetTime().AsTime().Add(within)), nil
		for _, before := range s.Evaluation.GetCustomerRemindBefore() {
			n.RemindAt = append(n.RemindAt, timestamppb.New(n.GetExpiresAt().AsTime().Add(-before.AsDuration())))
		}
	}
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	_, err = j.Append(i.Context(), s.Sequence, e)
	must(i, err)
}

// repeats writes a real request and its evaluation once more, under another id and changed, as the evaluator can.
func (i *insider) repeats(id string, change func(*lockboxv1.AccessEvaluated)) (again string) {
	i.Helper()
	honest := i.history(journal.Replay{Tenant: bank, Kind: aggregate.KindRequest, ID: id})
	again = newID(i)
	first, second := proto.CloneOf(honest[0].Event), proto.CloneOf(honest[1].Event)
	first.GetAccessRequested().GetIntent().Id = again
	i.writes(again, first)
	change(second.GetAccessEvaluated())
	second.CausationId = first.GetId()
	i.writes(again, second)
	return again
}

// waives evaluates a request as if it were about no customer data.
func (i *insider) waives() {
	i.Helper()
	id := i.repeats(i.requested(i.intent("erin"), request.CustomerNotified), func(v *lockboxv1.AccessEvaluated) {
		v.Outcome = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED
		v.Waiver, v.Facts.CustomerData = lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA, false
	})
	i.reaches(id, request.Lapsed)
	i.mailed(id, "access-lapsed", "erin")
	if !slices.ContainsFunc(i.verified().Violations, func(v verify.Violation) bool { return v.Invariant == "I15" }) {
		i.Error("audit verify does not find that it was evaluated otherwise")
	}
}

func (i *insider) asksForAnother() {
	i.Helper()
	id := i.repeats(i.requested(i.intent("erin"), request.CustomerNotified), func(*lockboxv1.AccessEvaluated) {})
	i.reaches(id, request.CustomerNotified)
	i.mailed(id, "customer-asked", "erin")
}

func (i *insider) inventsAnEmergency() {
	i.Helper()
	in := i.intent("rosa")
	in.Emergency, in.ReasonType, in.TicketId = true, lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT, ""
	id := i.repeats(i.requested(in, request.AwaitingInternalApproval), func(v *lockboxv1.AccessEvaluated) {
		v.InternalStages, v.InternalExpiresAt = nil, nil
	})
	i.atFault(id)
}

func (i *insider) storesNoEvent() {
	i.Helper()
	m := &strayMessage{by: bus.Evaluator, data: []byte("x"),
		subject: "lockbox.event." + bank + ".request." + newID(i) + ".1.AccessRequested"}
	i.store(m)
	i.isSetAside(m)
}

// isSetAside expects that everybody is told of a message that is no event, and sets it aside.
func (i *insider) isSetAside(m *strayMessage) {
	i.Helper()
	within(i.T, patience, "an alarm in the stream", func() bool { return i.alarmOf(m) != nil })
	i.logged("ALARM: a stored message is no event", fmt.Sprintf("sequence:%d ", m.seq))
	within(i.T, patience, "a mail to the security officers", func() bool {
		for _, e := range i.history(journal.Replay{Kind: aggregate.KindDelivery, Type: "NotificationSent"}) {
			if e.Event.GetNotificationSent().GetNotification().GetTemplate() == "stray-message" {
				return true
			}
		}
		return false
	})
	i.does("olga", setAside(m))
	id := i.requested(i.intent("erin"), request.CustomerNotified)
	i.does("otto", approve(id))
	within(i.T, 2*patience, "access again", func() bool { return i.state(id).Status == request.Active })
}

func (i *insider) forgesApproval() {
	i.Helper()
	id := i.requested(i.intent("erin"), request.CustomerNotified)
	otto := i.requested(i.intent("erin"), request.CustomerNotified)
	i.does("otto", approve(otto)) // a real one, to take the approver's identity from
	forgery := &lockboxv1.Event{CausationId: newID(i)}
	for _, e := range i.history(journal.Replay{Tenant: bank, Kind: aggregate.KindRequest, ID: otto}) {
		if e.Event.GetCustomerApproved() != nil {
			forgery.Actor, forgery.Fact = e.Event.GetActor(), e.Event.GetFact()
		}
	}
	i.writes(id, forgery)
	i.reaches(id, request.Active)
	i.mailed(id, "access-granted", "otto")
}

func (i *insider) misdirectsMails() {
	i.Helper()
	i.asksOthers(func(n *lockboxv1.CustomerNotified) {
		n.Alternates = nil
		for _, a := range n.GetApprovers() {
			a.Person.Email = "insider@nimbus.example"
		}
	})
}

func (i *insider) leavesOut() {
	i.Helper()
	i.asksOthers(func(n *lockboxv1.CustomerNotified) { n.Approvers = n.GetApprovers()[:1] })
}

// asksOthers stands in for the orchestrator of a Lockbox of its own, and changes whom it asks.
func (i *insider) asksOthers(change func(*lockboxv1.CustomerNotified)) {
	i.Helper()
	l := start(i.T, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	forgery := &lockboxv1.Event{CausationId: newID(i)}
	for _, e := range l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindRequest, ID: id}) {
		if e.Event.GetCustomerNotified() != nil {
			forgery.Actor, forgery.Fact = e.Event.GetActor(), e.Event.GetFact()
		}
	}
	change(forgery.GetCustomerNotified())
	l.close()
	l.config.Only = []bus.Identity{bus.Evaluator, bus.Projector, bus.Notifier}
	l.open()
	i = &insider{l, l.connect(bus.Orchestrator), i.said}
	in := i.intent("erin")
	i.submit(in)
	i.until(in.GetId(), "evaluated", func(s request.State) bool { return s.Evaluation != nil })
	i.writes(in.GetId(), forgery)
	i.mailed(in.GetId(), "approvers-differ", "grace@")
	i.mailed(in.GetId(), "approval-requested", "otto@")
	if !slices.ContainsFunc(i.verified().Violations, func(v verify.Violation) bool { return v.Invariant == "I1" }) {
		i.Error("audit verify does not find that the request asks others than the roles name")
	}
}

func (i *insider) grantsUnapproved() {
	i.Helper()
	approved := i.requested(i.intent("erin"), request.CustomerNotified)
	i.does("otto", approve(approved))
	i.reaches(approved, request.Active)
	id := i.requested(i.intent("erin"), request.CustomerNotified)
	forgery := &lockboxv1.Event{CausationId: newID(i)}
	for _, e := range i.history(journal.Replay{Tenant: bank, Kind: aggregate.KindRequest, ID: approved}) {
		if e.Event.GetAccessGranted() != nil {
			forgery.Actor, forgery.Fact = e.Event.GetActor(), e.Event.GetFact()
		}
	}
	i.writes(id, forgery)
	seq := i.atFault(id)
	if v := i.verified().Violations; !slices.ContainsFunc(v, func(v verify.Violation) bool { return v.Sequence == seq }) {
		i.Errorf("audit verify does not name event %d: %+v", seq, v)
	}
}

// atFault expects that a request is, because of its last event, and that this is noticed.
func (i *insider) atFault(id string) (seq uint64) {
	i.Helper()
	s := i.state(id)
	if s.Fault == nil || s.Status == request.Active {
		i.Fatalf("it is %v: say so in the table", s.Status)
	}
	i.logged("ALARM: inconsistent history; no more decisions are based on it", "request:"+id,
		fmt.Sprintf("sequence:%d ", s.Fault.Sequence))
	return s.Fault.Sequence
}

// takes serves requests beside the service whose key it is, as one of its copies would, until one was taken.
func (i *insider) takes(subject string, answer proto.Message, ask func() (taken bool)) {
	i.Helper()
	data, err := proto.Marshal(answer)
	must(i, err)
	sub, err := i.nc.QueueSubscribe(subject, micro.DefaultQueueGroup, func(m *nats.Msg) { _ = m.Respond(data) })
	must(i, err)
	must(i, i.nc.Flush())
	for n := 0; !ask(); n++ {
		if n == 100 {
			i.Fatal("nothing was taken: say so in the table")
		}
	}
	must(i, sub.Unsubscribe())
	must(i, i.nc.Flush())
}

func (i *insider) answersCommands() {
	i.Helper()
	const done = "This is not the orchestrator."
	i.takes(bus.AnyCommand, &lockboxv1.CommandReply{Message: done}, func() bool {
		id := i.requested(i.intent("erin"), request.CustomerNotified)
		if i.command("otto", approve(id)).GetMessage() != done {
			return false
		}
		if s := i.state(id); s.Status != request.CustomerNotified { // as the approver sees it
			i.Errorf("it is %v: say so in the table", s.Status)
		}
		return true
	})
}

func (i *insider) answersQueries() {
	i.Helper()
	id := i.requested(i.intent("erin"), request.CustomerNotified)
	i.takes(bus.AnyQuery, &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Receipt{
		Receipt: &lockboxv1.Receipt{File: []byte("{}")}}}, func() bool {
		reply := i.query(&lockboxv1.Query{Tenant: bank, Token: i.token("otto"),
			Ask: &lockboxv1.Query_GetReceipt{GetReceipt: &lockboxv1.GetReceipt{RequestId: id}}})
		if string(reply.GetReceipt().GetFile()) != "{}" {
			return false
		}
		name := filepath.Join(i.TempDir(), "receipt.json")
		must(i, os.WriteFile(name, reply.GetReceipt().GetFile(), 0o600))
		if _, err := verifier.CheckFile(name, verifier.Trust{
			Key: filepath.Join(i.config.Dir, "keys", logkeys.PublicKeyFile)}); err == nil {
			i.Error("it passes for a receipt: say so in the table")
		}
		return true
	})
}

// withholds asks for messages as the notifier does, but oftener, until it has one that says that a customer is asked.
func (i *insider) withholds() {
	i.Helper()
	js, err := bus.JetStream(i.nc)
	must(i, err)
	consumer, err := js.Consumer(i.Context(), bus.StreamEvents, bus.DurableNotifier)
	must(i, err)
	var pulls errgroup.Group
	taken, enough := make(chan *lockboxv1.Event, 1000), make(chan struct{})
	for range 32 {
		pulls.Go(func() error {
			for {
				batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(2*time.Second))
				if err != nil {
					return err
				}
				for m := range batch.Messages() {
					e := new(lockboxv1.Event)
					if err := errors.Join(m.DoubleAck(i.Context()), proto.Unmarshal(m.Data(), e)); err != nil {
						return err
					}
					taken <- e
				}
				select {
				case <-enough:
					return nil
				default:
				}
			}
		})
	}
	ids := []string{i.requested(i.intent("erin"), request.CustomerNotified)}
	var asked *lockboxv1.Event
	for asked == nil {
		select {
		case e := <-taken:
			if e.GetCustomerNotified() != nil && slices.Contains(ids, e.GetAggregateId()) {
				asked = e
			}
		case <-time.After(time.Second):
			if ids = append(ids, i.requested(i.intent("erin"), request.CustomerNotified)); len(ids) == 100 {
				i.Fatal("nothing was taken: say so in the table")
			}
		}
	}
	close(enough)
	must(i, pulls.Wait())
	within(i.T, patience, "the notifier to have nothing left to do", func() bool {
		info, err := consumer.Info(i.Context())
		must(i, err)
		return info.NumPending == 0 && info.NumAckPending == 0
	})
	if mails := i.history(journal.Replay{Kind: aggregate.KindDelivery, ID: asked.GetId()}); len(mails) > 0 {
		i.Errorf("%d mails went out: say so in the table", len(mails))
	}
	i.missed(asked, "customer-asked to "+i.state(asked.GetAggregateId()).Requester.GetPerson().GetEmail())
}

// report is a report of a mail that was not sent.
func (i *insider) report(about string) *lockboxv1.Event {
	return &lockboxv1.Event{Id: newID(i), Tenant: bank, Kind: aggregate.KindDelivery, AggregateId: about,
		ReportKey: newID(i), Time: timestamppb.Now(), CorrelationId: about,
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: string(bus.Notifier)},
		Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{
			Notification: &lockboxv1.Notification{Template: "approval-requested", Recipient: "otto@meadowbank.example"}}}}
}

func (i *insider) reports() {
	i.Helper()
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	id := newID(i)
	seq, _, err := j.Report(i.Context(), i.report(id))
	must(i, err)
	reply := i.query(&lockboxv1.Query{Tenant: bank, Token: i.token("audrey"), MinSequence: seq,
		Ask: &lockboxv1.Query_ListActivity{ListActivity: &lockboxv1.ListActivity{}}})
	if !slices.ContainsFunc(reply.GetActivity().GetActivities(), func(a *lockboxv1.Activity) bool {
		return a.GetAggregateId() == id
	}) {
		i.Errorf("the activity log does not show it: %v", reply.GetRefusal())
	}
}

func (i *insider) floodsEvents() {
	i.Helper()
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	id := newID(i)
	var all errgroup.Group
	all.SetLimit(64)
	for range 2000 {
		all.Go(func() error {
			_, _, err := j.Report(i.Context(), i.report(id))
			return err
		})
	}
	waiting := i.requested(i.intent("erin"), request.CustomerNotified)
	i.does("otto", approve(waiting))
	i.reaches(waiting, request.Active)
	must(i, all.Wait())
	if n := len(i.history(journal.Replay{Kind: aggregate.KindDelivery, ID: id})); n != 2000 {
		i.Errorf("%d are stored: say so in the table", n)
	}
}

func (i *insider) ask(subject, question string) string {
	i.Helper()
	m, err := i.nc.Request(subject, []byte(question), patience)
	must(i, err)
	return string(m.Data)
}

func (i *insider) saysAllIsWell() {
	i.Helper()
	orchestrator := i.connect(bus.Orchestrator)
	heard, err := orchestrator.SubscribeSync(bus.LeaseSubject)
	must(i, err)
	must(i, orchestrator.Flush())
	must(i, i.nc.Publish(bus.LeaseSubject, []byte("all is well")))
	for {
		m, err := heard.NextMsg(patience)
		must(i, err)
		if string(m.Data) == "all is well" {
			return
		}
	}
}

// elsewhere is an insider on a bus of their own, without services.
func (i *insider) elsewhere() (*journaltest.Bus, *insider) {
	i.Helper()
	b := journaltest.Start(i.T, 1)
	return b, &insider{i.lockbox, b.Connect(i.T, bus.Identity(i.nc.Opts.Name)), i.said}
}

func (i *insider) erases() {
	i.Helper()
	b, i := i.elsewhere()
	_, err := b.Connect(i.T, bus.Tool(journaltest.Tool)).Request("lockbox.intent."+journaltest.Tool+"."+bank, []byte("x"),
		patience)
	must(i, err)
	if m := i.ask("LB.API.CONSUMER.MSG.NEXT.INTENTS."+bus.DurableEvaluator, "1"); m != "x" {
		i.Errorf("it is not taken: say so in the table: %s", m)
	}
	if m := i.ask("LB.API.STREAM.PURGE.INTENTS", ""); !strings.Contains(m, `"purged":1`) {
		i.Errorf("it is refused: say so in the table: %s", m)
	}
}

func (i *insider) setsAside() {
	i.Helper()
	b, i := i.elsewhere()
	i.ask("lockbox.event."+bank+".request.x.1.AccessGranted", "x")
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	m, err := j.Misfit(i.Context(), 1)
	must(i, err)
	_, _, err = j.Report(i.Context(), &lockboxv1.Event{
		Id: newID(i), Tenant: aggregate.Guard.Tenant, Kind: aggregate.Guard.Kind, AggregateId: aggregate.Guard.ID,
		ReportKey: newID(i), Time: timestamppb.Now(),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Groups: []string{aggregate.SecurityOfficers},
			Person: &lockboxv1.Person{Issuer: "https://login.example.org", Subject: "olga"}},
		Fact: &lockboxv1.Event_MessageSetAside{MessageSetAside: &lockboxv1.MessageSetAside{
			Sequence: m.Seq, Sha256: m.SHA256, Subject: m.Subject, Reason: "Nothing to see."}},
	})
	must(i, err)
	if _, aside, err := b.Journal(i.T, bus.Compliance).SetAside(i.Context(), m); !aside || err != nil {
		i.Errorf("it is not accepted: say so in the table: %v", err)
	}
}

// changesAConsumer has a bus of its own.
func (i *insider) changesAConsumer() {
	i.Helper()
	b, i := i.elsewhere()
	js, err := bus.JetStream(i.nc)
	must(i, err)
	consumer, err := js.Consumer(i.Context(), bus.StreamEvents, bus.DurableNotifier)
	must(i, err)
	changed := consumer.CachedInfo().Config
	changed.FilterSubjects = changed.FilterSubjects[1:]
	_, err = js.UpdateConsumer(i.Context(), bus.StreamEvents, changed)
	must(i, err)
	err = b.Journal(i.T, bus.Notifier, journal.WithLog(zap.New(i.said))).Follow(i.Context(),
		journal.Following{Stream: bus.StreamEvents, Durable: bus.DurableNotifier}, nil)
	if drift := new(bus.DriftError); !errors.As(err, &drift) {
		i.Errorf("%v", err)
	}
	i.logged("ALARM: the consumer was changed")
}

// movesAConsumer has a bus of its own.
func (i *insider) movesAConsumer() {
	i.Helper()
	b, i := i.elsewhere()
	must(i, func() error {
		m, err := b.Connect(i.T, bus.Tool(journaltest.Tool)).Request("lockbox.intent."+journaltest.Tool+"."+bank,
			[]byte(`{"seq":1000}`), patience)
		if err == nil && strings.Contains(string(m.Data), `"error"`) {
			err = errors.New(string(m.Data))
		}
		return err
	}())
	question := fmt.Sprintf(`{"stream_name":"INTENTS","config":{"name":"x","deliver_policy":"all","ack_policy":"none",`+
		`"deliver_subject":%q}}`, "$JS.API.CONSUMER.RESET.EVENTS."+bus.DurableNotifier)
	if m := i.ask("LB.API.CONSUMER.CREATE.INTENTS.x", question); strings.Contains(m, `"error"`) {
		i.Errorf("it is refused: say so in the table: %s", m)
	}
	within(i.T, patience, "the consumer to be moved", func() bool {
		return strings.Contains(i.ask("LB.API.CONSUMER.INFO.EVENTS."+bus.DurableNotifier, ""), `"stream_seq":999`)
	})
}

// deletesByHeartbeat has a bus of its own.
func (i *insider) deletesByHeartbeat() {
	i.Helper()
	_, i = i.elsewhere()
	question := fmt.Sprintf(`{"stream_name":"DEADLETTER","config":{"name":"x","deliver_policy":"new","ack_policy":"none",`+
		`"deliver_subject":%q,"idle_heartbeat":100000000}}`, "$JS.API.STREAM.DELETE.DEADLETTER")
	if m := i.ask("LB.API.CONSUMER.CREATE.DEADLETTER.x", question); strings.Contains(m, `"error"`) {
		i.Errorf("it is refused: say so in the table: %s", m)
	}
	for range 5 {
		time.Sleep(100 * time.Millisecond)
		if m := i.ask("LB.API.STREAM.INFO.DEADLETTER", ""); strings.Contains(m, `"error"`) {
			i.Fatalf("%s", m)
		}
	}
}
