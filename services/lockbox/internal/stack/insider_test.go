package stack_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

// What the attempts of the trust table do with the key of a tool, a command line or the portal.

func (i *insider) forgesToken() {
	i.Helper()
	in := i.intent("erin")
	in.Token = forged(i.T, i.lockbox)
	if outcome := i.submit(in); outcome.GetRefusal().GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED {
		i.Errorf("%v", outcome)
	}
	i.logged("refused ", "request:"+in.GetId())
}

// signsForAnother publishes as the portal what a tool has not signed.
func (i *insider) signsForAnother() {
	i.Helper()
	in := i.intent("erin")
	sealed := &lockboxv1.AccessIntent{Tenant: bank, Token: in.GetToken(), SignedBy: tool, Signed: i.body(in),
		Signature: make([]byte, 64)}
	o, err := bus.Caller{Conn: i.nc}.Submit(i.Context(), in.GetToken(), bus.PortalTool, in.GetId(), sealed, patience)
	must(i, err)
	if r := o.GetRefusal(); r.GetCode() != unauthenticated || r.GetField() != "signature" {
		i.Errorf("%v", o)
	}
}

// asksWithAToken publishes as the portal what an engineer did not ask for.
func (i *insider) asksWithAToken() {
	i.Helper()
	in := i.intent("erin")
	o, err := bus.Caller{Conn: i.nc}.Submit(i.Context(), in.GetToken(), bus.PortalTool, in.GetId(), in, patience)
	must(i, err)
	if o.GetRefusal() != nil {
		i.Errorf("it is refused: say so in the table: %v", o)
	}
	i.mailed(in.GetId(), "customer-asked", "erin")
}

// asksAboutOthers asks what happened to requests, and is told nothing of another tool's.
func (i *insider) asksAboutOthers() {
	i.Helper()
	id := i.requested(i.intent("erin"), request.CustomerNotified) // the other tool's
	updates, _ := i.updatesOf(i.nc, journaltest.OtherTool, 0)
	for _, u := range updates {
		if u.GetRequestId() == id {
			i.Errorf("it is told: %v", u)
		}
	}
}

func (i *insider) replays() {
	i.Helper()
	in := i.intent("erin")
	i.requested(in, request.CustomerNotified)
	before := i.decided()
	if again := i.submit(in); !again.GetDuplicate() || i.decided() != before {
		i.Errorf("%v", again)
	}
}

func (i *insider) speaksForAnother() {
	i.Helper()
	id := i.requested(i.intent("erin"), request.CustomerNotified)
	c := approve(id)
	c.Id, c.Tenant, c.Token = newID(i), bank, forged(i.T, i.lockbox)
	data, err := proto.Marshal(c)
	must(i, err)
	to := bus.CommandSubject(bus.Identity(i.nc.Opts.Name), bus.Verb(c))
	m, err := i.nc.Request(to, data, patience/2)
	for end := time.Now().Add(patience); errors.Is(err, nats.ErrTimeout) && time.Now().Before(end); {
		m, err = i.nc.Request(to, data, patience/2) // a bus that is busy enough cuts whoever reads too slowly
	}
	must(i, err)
	reply := new(lockboxv1.CommandReply)
	must(i, proto.Unmarshal(m.Data, reply))
	if reply.GetRefusal().GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED ||
		i.state(id).Status != request.CustomerNotified {
		i.Errorf("%v", reply)
	}
	i.logged("refused ", "command:"+c.Id)
}

// sends sends a command as it is, and returns the reply.
func (i *insider) sends(c *lockboxv1.Command) *lockboxv1.CommandReply {
	i.Helper()
	data, err := proto.Marshal(c)
	must(i, err)
	m, err := i.nc.Request(bus.CommandSubject(bus.Identity(i.nc.Opts.Name), bus.Verb(c)), data, patience)
	must(i, err)
	reply := new(lockboxv1.CommandReply)
	must(i, proto.Unmarshal(m.Data, reply))
	return reply
}

func (i *insider) decidesWithAToken() {
	i.Helper()
	id := i.requested(i.intent("erin"), request.CustomerNotified)
	c := approve(id)
	c.Id, c.Tenant, c.Token = newID(i), bank, i.token("otto")
	if r := i.sends(c).GetRefusal(); r != nil {
		i.Errorf("it is refused: say so in the table: %v", r)
	}
	i.mailed(id, "access-granted", "otto")
}

func (i *insider) sendsAgain() {
	i.Helper()
	id := i.requested(i.intent("erin"), request.CustomerNotified)
	c := deny(id, "Not today.")
	c.Id, c.Token = newID(i), i.token("otto")
	i.does("otto", c)
	before := i.decided()
	if r := i.sends(c); r.GetRefusal() != nil || r.GetEventId() != "" || r.GetMessage() == "" || i.decided() != before {
		i.Errorf("%v", r)
	}
}

// endsSessions has a bus of its own: there, nobody is signed in.
func (i *insider) endsSessions() {
	i.Helper()
	_, i = i.elsewhere()
	for _, session := range []string{"sealed", "another"} {
		if m := i.ask("LB.API.$KV."+bus.SessionBucket+".k", session); strings.Contains(m, `"error"`) {
			i.Errorf("it is refused: say so in the table: %s", m)
		}
	}
}

func (i *insider) misdirects() {
	i.Helper()
	id := newID(i)
	subject, err := bus.OutcomeSubject(tool, id)
	must(i, err)
	heard, err := i.conns[1].SubscribeSync(subject) // as the other tool
	must(i, err)
	must(i, i.conns[1].Flush())
	must(i, i.nc.PublishRequest("lockbox.intent."+journaltest.OtherTool+"."+bank, subject, []byte("x")))
	m, err := heard.NextMsg(patience)
	must(i, err)
	outcome := new(lockboxv1.IntentOutcome)
	if err := proto.Unmarshal(m.Data, outcome); err == nil && outcome.GetIntentId() == id {
		i.Errorf("it could be taken for an outcome: %v", outcome)
	}
	must(i, heard.Unsubscribe())
}

// floodsIntents fills a bus without an evaluator, to see the bound, and then makes work for one that runs.
func (i *insider) floodsIntents() {
	i.Helper()
	b, alone := i.elsewhere()
	j, err := i.opens(alone.nc)
	must(i, err)
	defer j.Close()
	var refused atomic.Int64
	var all errgroup.Group
	all.SetLimit(256)
	for n := range bus.MaxIntents + 10 {
		all.Go(func() error {
			_, err := j.SubmitIntent(i.Context(), journaltest.OtherTool,
				&lockboxv1.AccessIntent{Tenant: fmt.Sprintf("invented-%d", n)})
			if refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
				refused.Add(1)
				return nil
			}
			return err
		})
	}
	must(i, all.Wait())
	_, err = b.Journal(i.T, bus.Tool(journaltest.Tool)).SubmitIntent(i.Context(), journaltest.Tool,
		&lockboxv1.AccessIntent{Tenant: bank})
	if refused.Load() != 10 || err != nil {
		i.Errorf("%d were refused, and of the other tool: %v", refused.Load(), err)
	}

	for n := range bus.MaxDeadLetters + 100 {
		must(i, i.nc.Publish(fmt.Sprintf("lockbox.intent.%s.invented-%d", journaltest.OtherTool, n), []byte("x")))
	}
	must(i, i.nc.Flush())
	i.requested(i.intent("erin"), request.CustomerNotified)
	i.logged("ALARM: a dead letter is not kept, because there are too many of its sender")
}

// floodsACustomer has a Lockbox of its own, with the limits that the other attempts would reach together.
func (i *insider) floodsACustomer() {
	i.Helper()
	l := start(i.T, request.DefaultTerms())
	l.close()
	l.config.Notifier.DigestAfter = 5 * time.Second
	l.open()
	for asked := ""; ; {
		in := l.intent("erin")
		r := l.submit(in).GetRefusal()
		if r == nil {
			asked = in.GetId()
			continue
		}
		if r.GetRule() != "R52" || r.GetMessage() == "" || asked == "" {
			i.Errorf("refused as %v", r)
		}
		l.mailed(asked, "approval-requested", "otto")
		return
	}
}

// floodsCommands sends more than may wait, while somebody decides whose token has been verified before.
func (i *insider) floodsCommands() {
	i.Helper()
	first, second := i.requested(i.intent("erin"), request.CustomerNotified),
		i.requested(i.intent("erin"), request.CustomerNotified)
	token := i.token("otto")
	decides := func(id string) {
		c := approve(id)
		c.Token = token
		i.does("otto", c)
	}
	decides(first)
	c := approve(second)
	c.Id, c.Tenant, c.Token = newID(i), bank, forged(i.T, i.lockbox)
	data, err := proto.Marshal(c)
	must(i, err)
	for range 5000 {
		must(i, i.nc.PublishRequest(bus.CommandSubject(bus.Identity(i.nc.Opts.Name), "approve"), i.nc.NewInbox(), data))
	}
	must(i, i.nc.Flush())
	decides(second)
	i.reaches(second, request.Active)
	i.logged("refused ", "command:"+c.Id)
}
