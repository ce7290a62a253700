package stack_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

func comment(text string) *lockboxv1.Command {
	return &lockboxv1.Command{AggregateId: demo.BankTicket, Action: &lockboxv1.Command_CommentTicket{
		CommentTicket: &lockboxv1.CommentTicket{Text: text}}}
}

// through sends a command of a persona's as the holder of another key.
func (l *lockbox) through(from bus.Identity, as string, c *lockboxv1.Command) *lockboxv1.CommandReply {
	l.Helper()
	caller := bus.Caller{Conn: l.connect(from), Timeout: patience}
	c.Tenant = bank
	reply, err := caller.Do(l.Context(), l.token(as), c)
	if reply == nil {
		l.Fatal(err)
	}
	return reply
}

// One person sends 10,000 commands: as many as the limit allows are carried out, the others are refused by name and
// stored nowhere, and everybody else is served meanwhile, colleagues too (R52).
func TestR52OnePersonsFloodOfCommandsIsRefused(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	first, second := l.requested(l.intent("erin"), request.CustomerNotified),
		l.requested(l.intent("erin"), request.CustomerNotified)
	const flood = 10_000
	begun, token := time.Now(), l.token("fleur")
	var done, limited, again atomic.Int64
	var all errgroup.Group
	all.SetLimit(64)
	ticket := func(tenant, id string) *lockboxv1.Command {
		return &lockboxv1.Command{Tenant: tenant, AggregateId: id, Action: &lockboxv1.Command_OpenTicket{
			OpenTicket: &lockboxv1.OpenTicket{Title: "Slow.", Description: "It is slow."}}}
	}
	before := len(l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindTicket, Type: "TicketOpened"}))
	send := func(data []byte, subject string) (*lockboxv1.Refusal, error) {
		m, err := l.client.Request(subject, data, patience)
		if err != nil {
			return nil, err
		}
		reply := new(lockboxv1.CommandReply)
		err = proto.Unmarshal(m.Data, reply)
		return reply.GetRefusal(), err
	}
	for n := range flood {
		c := ticket(bank, fmt.Sprintf("SR-flood-%d", n))
		c.Id, c.Token = newID(t), token
		all.Go(func() error {
			data, err := proto.Marshal(c)
			if err != nil {
				return err
			}
			// On a machine that is busy enough some of so many are not carried out in time, though counted. That is no answer
			// to the flood: it is sent again, with its id.
			for {
				r, err := send(data, bus.CommandSubject(bus.Client, bus.Verb(c)))
				switch {
				case errors.Is(err, nats.ErrTimeout), r.GetCode() == lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE:
					again.Add(1)
					continue
				case err != nil:
					return err
				case r == nil:
					done.Add(1)
				case r.GetRule() == "R52" && r.GetCode() == precondition && r.GetField() == "token" &&
					strings.Contains(r.GetMessage(), "600") && strings.Contains(r.GetMessage(), "try again at"):
					limited.Add(1)
				default:
					return fmt.Errorf("refused otherwise: %v", r)
				}
				return nil
			}
		})
	}
	// Meanwhile a colleague decides, somebody of another customer opens a ticket, and an engineer asks.
	l.does("otto", approve(first))
	l.does("kenji", ticket(health, "SR-9"))
	l.requested(l.intent("ivan"), request.CustomerNotified)
	must(t, all.Wait())
	minutes := int64(time.Since(begun)/time.Minute) + 1
	if n := done.Load(); n > minutes*orchestrator.DefaultCommands || n+again.Load() < orchestrator.DefaultCommands ||
		limited.Load() != flood-n {
		t.Errorf("within %d minutes %d were carried out and %d were refused", minutes, n, limited.Load())
	}
	after := len(l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindTicket, Type: "TicketOpened"}))
	if int64(after-before) != done.Load() {
		t.Errorf("%d tickets are stored", after-before)
	}
	l.does("fleur", deny(second, "No.")) // what says no is never refused
}

// What the limit leaves alone: to say no and to take away, and an emergency's approval. It is one limit for each person
// and sender: nobody uses up another's, nor their own at the portal (R52).
func TestR52TheLimitOfCommandsLeavesAlone(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.close()
	l.config.Rates.CommandsPerMinute = 2
	l.open()
	var asked []string
	for range 3 {
		asked = append(asked, l.requested(l.intent("erin"), request.CustomerNotified))
	}
	emergency := func() string {
		in := l.intent("rosa")
		in.Emergency, in.ReasonType, in.TicketId = true, lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT, ""
		return l.requested(in, request.AwaitingInternalApproval)
	}
	spends := func(who string) {
		t.Helper()
		for end := time.Now().Add(patience); time.Now().Before(end); {
			if r := l.command(who, comment("Again.")).GetRefusal(); r.GetRule() == "R52" {
				return
			}
		}
		t.Fatalf("%s is never refused", who)
	}
	l.does("otto", approve(asked[0]))
	l.reaches(asked[0], request.Active)
	spends("otto")
	l.mayNot("otto", approve(asked[1]), precondition, "R52")
	l.does("otto", deny(asked[1], "No."))
	l.does("otto", revoke(asked[0], "Enough."))
	if r := l.through(bus.Portal, "otto", approve(asked[2])).GetRefusal(); r != nil {
		t.Errorf("through the portal: %v", r)
	}
	l.does("fleur", comment("Mine."))

	spends("olga")
	internal := func(id string) *lockboxv1.Command {
		return &lockboxv1.Command{AggregateId: id, Action: &lockboxv1.Command_InternalApprove{
			InternalApprove: &lockboxv1.InternalApprove{Comment: "Payments are down."}}}
	}
	l.does("olga", internal(emergency()))
	// It is the request that says so, and who made it; a command cannot.
	in := l.intent("erin")
	in.Scenario = "managed-disk"
	ordinary := l.requested(in, request.AwaitingInternalApproval)
	spends("derek")
	l.mayNot("derek", internal(ordinary), precondition, "R52")

	spends("grace")
	l.mayNot("grace", &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
		DisableLockbox: &lockboxv1.DisableLockbox{Reason: "quiet"}}}, precondition, "R52")
	l.does("grace", &lockboxv1.Command{AggregateId: demo.BankProduction, Action: &lockboxv1.Command_RemoveRole{
		RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "fleur-approver"}}})
}
