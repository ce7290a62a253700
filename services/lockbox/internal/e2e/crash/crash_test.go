// Package crash_test kills Lockbox's processes at random moments and looks whether anybody could tell afterwards.
package crash_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/durable/durabletest"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/longtest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"google.golang.org/protobuf/proto"
)

const (
	tool = "console"
	bank = devissuer.TenantBank
	// kills is how often a process is killed; LOCKBOX_TEST_LONG asks for more.
	kills = 20
	// patience is how long anything may take before the test fails.
	patience = 2 * time.Minute
)

// customer drives requests from the outside, and writes down what it was told.
type customer struct {
	*machine
	client *nats.Conn
	ids    io.Reader
	tools  *journal.Journal
	watch  *journal.Journal
	// acknowledged events, by the sequence that the reply named.
	acknowledged map[uint64]string
	want         map[string]request.Status
}

// Which process is killed, when, whether the bus stages batches in memory, and the ids of everything that is asked for
// follow from the seed in the log.
//
// control: nist:AU-12
func TestKilledAtAnyPoint(t *testing.T) {
	random := longtest.Random(t)
	stageIn := ""
	if random.IntN(2) == 0 {
		stageIn = durabletest.Disk(t, 64)
	}
	t.Logf("the bus stages batches in memory: %t", stageIn != "")
	m := boot(t, stageIn)
	c := attend(m, random)
	victims := append([]*process{m.nats}, m.services...)
	slices.SortFunc(victims, func(a, b *process) int { return strings.Compare(a.name, b.name) })
	random.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	for run := range longtest.Count(kills) {
		victim := victims[run%len(victims)]
		pause := time.Duration(random.IntN(700)) * time.Millisecond
		// Now and then the bus goes too, while the victim starts.
		starting := time.Duration(random.IntN(400)) * time.Millisecond
		both := victim != m.nats && random.IntN(3) == 0
		t.Logf("run %d: kill -9 %s after %v, and the bus %v later: %t", run+1, victim.name, pause, starting, both)
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			time.Sleep(pause)
			victim.kill()
			victim.start()
			if both {
				time.Sleep(starting)
				m.nats.kill()
				m.nats.start()
			}
		}()
		c.fourRequests()
		<-killed
		for _, p := range victims {
			if p.ended() {
				c.Fatalf("%s has stopped by itself", p.name)
			}
		}
	}
	for id, want := range c.want {
		c.reaches(id, want)
	}
	c.eventually("the portal answers", func() error {
		answer, err := http.Get("http://" + c.portal + "/")
		if err != nil {
			return err
		}
		return answer.Body.Close()
	})
	for id, want := range c.want {
		c.eventually("the projector knows how "+id+" ended", func() error { return c.shows(id, want) })
	}
	c.audit()
}

// attend opens what the customers and the tool use, and makes the customers known.
func attend(m *machine, random *rand.Rand) *customer {
	m.Helper()
	c := &customer{machine: m, ids: chance(random), client: m.connect(bus.Client), acknowledged: map[uint64]string{},
		want: map[string]request.Status{}}
	c.tools, c.watch = m.journal(bus.Tool(tool)), m.journal(bus.Compliance)
	c.eventually("the demo's customers", func() error { return demo.Seed(m.Context(), c.client, m.issuer, time.Now) })
	return c
}

// shows asks the projector, as the engineer does.
func (c *customer) shows(id string, want request.Status) error {
	q := &lockboxv1.Query{Tenant: bank, Token: c.token("erin"),
		Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}}
	data, err := proto.Marshal(q)
	must(c, err)
	message, err := c.client.Request(bus.QuerySubject(bus.Client, bus.QueryName(q)), data, 2*time.Second)
	if err != nil {
		return err
	}
	reply := new(lockboxv1.QueryReply)
	must(c, proto.Unmarshal(message.Data, reply))
	if shown := reply.GetRequest().GetStatus(); shown != want {
		return fmt.Errorf("it shows %v: %v", shown, reply.GetRefusal())
	}
	return nil
}

// fourRequests takes four requests to four different ends; the one that nobody answers ends later.
func (c *customer) fourRequests() {
	c.Helper()
	used, denied, unanswered, revoked := c.submit(), c.submit(), c.submit(), c.submit()
	for _, id := range []string{used, denied, unanswered, revoked} {
		c.reaches(id, request.CustomerNotified)
	}
	c.does("otto", used, &lockboxv1.Command{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}})
	c.does("fleur", denied, &lockboxv1.Command{Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: "Not now."}}})
	c.does("fleur", revoked, &lockboxv1.Command{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}})
	c.want[used], c.want[denied], c.want[unanswered], c.want[revoked] = request.Completed, request.Denied, request.Expired,
		request.Revoked
	r := c.command("otto", revoked,
		&lockboxv1.Command{Action: &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: "A key was lost."}}})
	if r.GetRefusal() != nil { // The grant of two seconds ran out while something was down.
		c.want[revoked] = request.Completed
	}
}

func (c *customer) submit() string {
	c.Helper()
	in := &lockboxv1.AccessIntent{
		Id: c.newID(), Tenant: bank, Token: c.token("erin"), SubscriptionId: demo.BankProduction,
		ResourceType: "compute/virtual-machines", Scenario: "memory-dump",
		ResourceIds:   []string{demo.Machine(demo.BankProduction, "payments-1")},
		ReasonType:    lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE,
		Justification: "The machine hangs; a memory dump will show where.",
	}
	c.eventually("the bus takes the intent", func() error {
		_, err := c.tools.SubmitIntent(c.Context(), tool, in)
		return err
	})
	return in.GetId()
}

// command sends one command, under one id, until somebody answers.
func (c *customer) command(as, about string, command *lockboxv1.Command) *lockboxv1.CommandReply {
	c.Helper()
	command.Id, command.Tenant, command.AggregateId, command.Token = c.newID(), bank, about, c.token(as)
	data, err := proto.Marshal(command)
	must(c, err)
	reply := new(lockboxv1.CommandReply)
	c.eventually("an answer to "+bus.Verb(command), func() error {
		message, err := c.client.Request(bus.CommandSubject(bus.Client, bus.Verb(command)), data, 2*time.Second)
		if err != nil {
			return err
		}
		reply.Reset()
		if err := proto.Unmarshal(message.Data, reply); err != nil {
			return err
		}
		if reply.GetRefusal().GetCode() == lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE {
			return &refusal.Error{Refusal: reply.GetRefusal()}
		}
		return nil
	})
	if reply.GetEventId() != "" {
		c.acknowledged[reply.GetSequence()] = reply.GetEventId()
	}
	return reply
}

func (c *customer) does(as, about string, command *lockboxv1.Command) {
	c.Helper()
	if r := c.command(as, about, command); r.GetRefusal() != nil {
		c.Fatalf("%s of %s as %s is refused: %v", bus.Verb(command), about, as, r.GetRefusal())
	}
}

func (c *customer) reaches(id string, want request.Status) {
	c.Helper()
	c.eventually(id+" is "+want.String(), func() error {
		about := aggregate.Request(bank, id)
		states, err := repository.New(c.watch).Basis(c.Context(), about)
		s := states.Request(about)
		switch {
		case err != nil:
			return err
		case s.Status != want && (request.Ended(s.Status) || s.Fault != nil):
			c.Fatalf("%s ended as %v (fault %v), not as %v", id, s.Status, s.Fault, want)
		case s.Status != want:
			return errors.New(s.Status.String())
		}
		return nil
	})
}

// audit replays everything, holds the invariants against it, and looks for what was acknowledged and for every mail.
func (c *customer) audit() {
	c.Helper()
	var history []invariant.Recorded
	told := map[string]map[string]string{} // event → recipient → Message-ID
	c.eventually("every notification is reported", func() error {
		history, told = nil, map[string]map[string]string{}
		err := c.watch.Replay(c.Context(), journal.Replay{}, func(e journal.Entry) error {
			history = append(history, invariant.Recorded{Sequence: e.Seq, Stored: e.Stored, Event: e.Event})
			if n := e.Event.GetNotificationSent().GetNotification(); n != nil {
				if told[n.GetEventId()] == nil {
					told[n.GetEventId()] = map[string]string{}
				}
				told[n.GetEventId()][n.GetRecipient()] = n.GetMessageId()
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, e := range history {
			for _, recipient := range concerned(e.Event) {
				if told[e.Event.GetId()][recipient] == "" {
					return fmt.Errorf("%s has not been told of event %d, %s %s; told are %v", recipient, e.Sequence,
						aggregate.TypeOf(e.Event), e.Event.GetId(), told[e.Event.GetId()])
				}
			}
		}
		return nil
	})
	for i, e := range history {
		if e.Sequence != uint64(i+1) {
			c.Fatalf("the stream has a gap before %d (I6)", e.Sequence)
		}
		if id, acknowledged := c.acknowledged[e.Sequence]; acknowledged && id != e.Event.GetId() {
			c.Errorf("event %s was acknowledged at %d, where there is %s now (I5)", id, e.Sequence, e.Event.GetId())
		}
		delete(c.acknowledged, e.Sequence)
		if late := lateness(e.Event, history); late > 30*time.Second {
			c.Errorf("%s expired %v late (I3)", e.Event.GetAggregateId(), late)
		}
	}
	if len(c.acknowledged) > 0 {
		c.Errorf("acknowledged and gone (I5): %v", c.acknowledged)
	}
	for _, broken := range invariant.Check(history) {
		c.Errorf("%v", broken)
	}
	c.mailsArrived(told)
	c.Logf("%d events, %d requests", len(history), len(c.want))
}

// concerned are the people who must hear of an event, whatever else is told to whomever.
func concerned(e *lockboxv1.Event) []string {
	switch e.GetFact().(type) {
	case *lockboxv1.Event_CustomerNotified, *lockboxv1.Event_AccessGranted, *lockboxv1.Event_CustomerDenied,
		*lockboxv1.Event_RequestExpired, *lockboxv1.Event_AccessRevoked:
		return []string{"erin@nimbus.example", "otto@meadowbank.example", "fleur@meadowbank.example",
			"security-desk@meadowbank.example"}
	}
	return nil
}

func lateness(e *lockboxv1.Event, history []invariant.Recorded) time.Duration {
	if e.GetRequestExpired() == nil {
		return 0
	}
	for _, other := range history {
		if n := other.Event.GetCustomerNotified(); n != nil && other.Event.GetAggregateId() == e.GetAggregateId() {
			return e.GetTime().AsTime().Sub(n.GetExpiresAt().AsTime())
		}
	}
	return 0
}

// mailsArrived looks for each reported mail in the mailbox. One may be there twice, with the same Message-ID (I7).
func (c *customer) mailsArrived(told map[string]map[string]string) {
	c.Helper()
	messages, err := mailbox.Read(c.mailDir)
	must(c, err)
	arrived := map[string]int{}
	for _, m := range messages {
		arrived[m.MessageID]++
	}
	twice := 0
	for event, recipients := range told {
		for recipient, id := range recipients {
			if arrived[id] == 0 {
				c.Errorf("the mail to %s about %s was reported and is not there", recipient, event)
			} else if arrived[id] > 1 {
				twice++
			}
		}
	}
	c.Logf("%d mails, %d of them sent again after a kill", len(messages), twice)
}

func (c *customer) eventually(what string, try func() error) {
	c.Helper()
	deadline := time.Now().Add(patience)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.Log(c.consumer(bus.Notifier, bus.DurableNotifier), c.consumer(bus.Orchestrator, bus.DurableOrchestrator))
			c.Fatalf("not within %v: %s: %v", patience, what, err)
		}
		time.Sleep(pause)
	}
}

func (c *customer) token(persona string) string {
	c.Helper()
	token, err := c.issuer.Token(persona, time.Now())
	must(c, err)
	return token
}

// chance is what ids are made of, besides the time.
func chance(from *rand.Rand) io.Reader {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(from.Uint32())
	}
	return rand.NewChaCha8(seed)
}

func (c *customer) newID() string {
	c.Helper()
	id, err := uuid.NewV7FromReader(c.ids)
	must(c, err)
	return id.String()
}

// consumer is what the bus knows of a durable consumer of EVENTS.
func (c *customer) consumer(id bus.Identity, durable string) string {
	c.Helper()
	answer, err := c.connect(id).Request("LB.API.CONSUMER.INFO."+bus.StreamEvents+"."+durable, nil, time.Second)
	if err != nil {
		return err.Error()
	}
	return string(answer.Data)
}

func (m *machine) connect(id bus.Identity) *nats.Conn {
	m.Helper()
	nc, err := bus.Connect(bus.Connection{URL: m.url, Identity: id, SeedFile: m.path("keys", string(id)+".nk"), CA: m.ca})
	must(m, err)
	m.Cleanup(nc.Close)
	return nc
}

func (m *machine) journal(id bus.Identity) *journal.Journal {
	m.Helper()
	j, err := journal.Open(context.Background(), m.connect(id), journal.WithTimeout(2*time.Second))
	must(m, err)
	return j
}
