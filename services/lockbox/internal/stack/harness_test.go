package stack_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/notifier"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"
)

const (
	bank   = devissuer.TenantBank
	health = devissuer.TenantHealth
	tool   = "console"
	// patience is how long a test waits for what must come; failing takes this long, passing does not.
	patience = time.Minute
)

// lockbox is a whole Lockbox with the demo's customers, and the means to use and observe it.
type lockbox struct {
	*testing.T
	config stack.Config
	issuer *devissuer.Issuer
	stack  *stack.Stack
	client *nats.Conn
	tools  *journal.Journal
	// watch has the compliance team's rights.
	watch *journal.Journal
	conns []*nats.Conn
}

func start(t *testing.T, terms request.Terms) *lockbox {
	t.Helper()
	return startWith(t, terms, "")
}

// startWith is start with tokens in the shape of a kind of identity provider.
func startWith(t *testing.T, terms request.Terms, shape string) *lockbox {
	t.Helper()
	l := emptyWith(t, terms, shape)
	must(t, demo.Seed(t.Context(), l.client, l.issuer, time.Now))
	return l
}

// empty is a Lockbox without any customer.
func empty(t *testing.T, terms request.Terms) *lockbox {
	t.Helper()
	return emptyWith(t, terms, "")
}

func emptyWith(t *testing.T, terms request.Terms, shape string) *lockbox {
	t.Helper()
	return emptyOf(t, terms, devissuer.Config{Shape: shape})
}

// emptyOf is empty with a sign-in of its own.
func emptyOf(t *testing.T, terms request.Terms, c devissuer.Config) *lockbox {
	t.Helper()
	l := closed(t, terms, c)
	l.open()
	t.Cleanup(func() { l.close() })
	return l
}

// closed is emptyOf before it is opened.
func closed(t *testing.T, terms request.Terms, c devissuer.Config) *lockbox {
	t.Helper()
	c.Demo, c.Dir = true, t.TempDir()
	issuer, err := devissuer.New(c)
	must(t, err)
	return &lockbox{T: t, issuer: issuer, config: stack.Config{
		Dir: t.TempDir(), Tools: []evaluator.Tool{evaluator.Unlimited(tool)},
		Issuers: []identity.Issuer{issuer.ProviderIssuer()}, Terms: terms,
		LogInterval: time.Second, // many wait until what happened is signed
		// Each mail goes at once: some wait for a second one of a kind.
		Notifier: notifier.Config{Provider: devissuer.Provider, SMTP: notifier.SMTP{From: "lockbox@nimbus.example"}},
		Log:      zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)), Metrics: observe.NewMetrics(),
	}}
}

func (l *lockbox) open() {
	l.Helper()
	var err error
	l.stack, err = stack.Start(context.Background(), l.config)
	must(l, err)
	l.client = l.connect(bus.Client)
	l.tools = l.journal(bus.Tool(tool))
	l.watch = l.journal(bus.Compliance)
}

func (l *lockbox) close() {
	for _, nc := range l.conns {
		nc.Close()
	}
	l.conns = nil
	if err := errors.Join(l.stack.Err(), l.stack.Close()); err != nil {
		l.Error(err)
	}
}

// restart stops everything and starts it again on the same data.
func (l *lockbox) restart(downtime time.Duration) {
	l.Helper()
	l.close()
	time.Sleep(downtime)
	l.open()
}

func (l *lockbox) connect(id bus.Identity) *nats.Conn {
	l.Helper()
	nc, err := l.stack.Connect(id)
	must(l, err)
	l.conns = append(l.conns, nc)
	return nc
}

func (l *lockbox) journal(id bus.Identity) *journal.Journal {
	l.Helper()
	j, err := l.opens(l.connect(id))
	must(l, err)
	return j
}

// certifiedSince makes the writers' keys of a Lockbox that has not been opened, as of a time before now, for tests that
// write the past.
func (l *lockbox) certifiedSince(at time.Time) {
	l.Helper()
	maker := writerkeys.Maker{Dir: filepath.Join(l.config.Dir, "keys"), Origin: "lockbox.localhost/log", Now: at}
	must(l, os.MkdirAll(maker.Dir, 0o700))
	must(l, maker.Begin())
	_, err := maker.Make(bus.Identities())
	must(l, err)
}

func (l *lockbox) token(persona string) string {
	l.Helper()
	token, err := l.issuer.Token(persona, time.Now())
	must(l, err)
	return token
}

// command sends a command as a persona; id, token and a missing tenant are filled in.
func (l *lockbox) command(as string, c *lockboxv1.Command) *lockboxv1.CommandReply {
	l.Helper()
	if c.GetId() == "" {
		c.Id = newID(l)
	}
	if c.GetTenant() == "" {
		c.Tenant = bank
	}
	if c.GetToken() == "" {
		c.Token = l.token(as)
	}
	data, err := proto.Marshal(c)
	must(l, err)
	return l.send(bus.CommandSubject(bus.Client, bus.Verb(c)), data)
}

func (l *lockbox) send(subject string, data []byte) *lockboxv1.CommandReply {
	l.Helper()
	message, err := l.client.Request(subject, data, patience)
	must(l, err)
	reply := new(lockboxv1.CommandReply)
	must(l, proto.Unmarshal(message.Data, reply))
	return reply
}

// query asks as a client does: again for as long as nobody listens, because the projector may still be starting.
func (l *lockbox) query(q *lockboxv1.Query) *lockboxv1.QueryReply {
	l.Helper()
	data, err := proto.Marshal(q)
	must(l, err)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		m, err := l.client.Request(bus.QuerySubject(bus.Client, bus.QueryName(q)), data, patience)
		if errors.Is(err, nats.ErrNoResponders) && time.Now().Before(deadline) {
			continue
		}
		must(l, err)
		reply := new(lockboxv1.QueryReply)
		must(l, proto.Unmarshal(m.Data, reply))
		return reply
	}
}

// does expects that a command is accepted.
func (l *lockbox) does(as string, c *lockboxv1.Command) *lockboxv1.CommandReply {
	l.Helper()
	reply := l.answered(as, c, lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED)
	if reply.GetRefusal() != nil {
		l.Fatalf("%s: %s is refused: %v", as, bus.Verb(c), reply.GetRefusal())
	}
	return reply
}

// answered sends a command as callers do: again, with its id, while a busy machine does not carry it out in time,
// unless that is what is wanted.
func (l *lockbox) answered(as string, c *lockboxv1.Command, want lockboxv1.RefusalCode) *lockboxv1.CommandReply {
	l.Helper()
	for end := time.Now().Add(patience); ; {
		reply := l.command(as, c)
		code := reply.GetRefusal().GetCode()
		if code != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE || code == want || time.Now().After(end) {
			return reply
		}
	}
}

// mayNot expects a refusal with this code and rule, and that it changed nothing.
func (l *lockbox) mayNot(as string, c *lockboxv1.Command, code lockboxv1.RefusalCode, rule string) *lockboxv1.Refusal {
	l.Helper()
	before := l.decided()
	r := l.answered(as, c, code).GetRefusal()
	if r.GetCode() != code || r.GetRule() != rule || r.GetMessage() == "" {
		l.Errorf("%s: %s: want %v by %s, got %v", as, bus.Verb(c), code, rule, r)
	}
	if after := l.decided(); after != before {
		l.Errorf("%s: %s was refused and yet something was decided after %d, at %d", as, bus.Verb(c), before, after)
	}
	return r
}

// intent is a plausible intent: customer data, no internal approval.
func (l *lockbox) intent(as string) *lockboxv1.AccessIntent {
	l.Helper()
	return &lockboxv1.AccessIntent{
		Id: newID(l), Tenant: bank, Token: l.token(as), SubscriptionId: demo.BankProduction,
		ResourceType: "compute/virtual-machines", Scenario: "memory-dump",
		ResourceIds: []string{demo.Machine(demo.BankProduction, "payments-1"),
			demo.Machine(demo.BankProduction, "payments-2")},
		ReasonType:    lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT,
		Justification: "The machine hangs; a memory dump will show where.", TicketId: demo.BankTicket,
	}
}

// submit publishes an intent and returns its outcome.
func (l *lockbox) submit(in *lockboxv1.AccessIntent) *lockboxv1.IntentOutcome {
	l.Helper()
	nc := l.conns[1]
	subject, err := bus.OutcomeSubject(tool, in.GetId())
	must(l, err)
	sub, err := nc.SubscribeSync(subject)
	must(l, err)
	must(l, nc.Flush())
	defer func() { _ = sub.Unsubscribe() }()
	_, err = l.tools.SubmitIntent(l.Context(), tool, in)
	must(l, err)
	message, err := sub.NextMsg(patience)
	must(l, err)
	outcome := new(lockboxv1.IntentOutcome)
	must(l, proto.Unmarshal(message.Data, outcome))
	return outcome
}

// requested submits an intent and waits for where it should get to.
func (l *lockbox) requested(in *lockboxv1.AccessIntent, want request.Status) string {
	l.Helper()
	if o := l.submit(in); o.GetRefusal() != nil && want != request.Refused {
		l.Fatalf("the intent is refused: %v", o.GetRefusal())
	}
	l.reaches(in.GetId(), want)
	return in.GetId()
}

// reaches waits until a request of the bank has come to a status, and returns its state then: on a busy machine it may
// have gone on meanwhile.
func (l *lockbox) reaches(id string, want request.Status) request.State {
	l.Helper()
	return l.until(id, want.String(), func(s request.State) bool { return s.Status == want })
}

// reachesOf is reaches for a request of another tenant.
func (l *lockbox) reachesOf(tenant, id string, want request.Status) request.State {
	l.Helper()
	return l.untilOf(tenant, id, want.String(), func(s request.State) bool { return s.Status == want })
}

func (l *lockbox) until(id, what string, done func(request.State) bool) request.State {
	l.Helper()
	return l.untilOf(bank, id, what, done)
}

func (l *lockbox) untilOf(tenant, id, what string, done func(request.State) bool) request.State {
	l.Helper()
	deadline := time.Now().Add(patience)
	for {
		entries, err := l.watch.LoadAtLeader(l.Context(), aggregate.Request(tenant, id))
		must(l, err)
		var s request.State
		for _, e := range entries {
			if s = request.Evolve(s, e.Seq, e.Event); done(s) {
				return s
			}
		}
		if time.Now().After(deadline) || s.Fault != nil {
			l.Fatalf("%s: not %s but %v (fault %v, evaluation %v)", id, what, s.Status, s.Fault, s.Evaluation)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (l *lockbox) state(id string) request.State {
	l.Helper()
	about := aggregate.Request(bank, id)
	states, err := repository.New(l.watch).Basis(l.Context(), about)
	s := states.Request(about)
	must(l, err)
	return s
}

// history replays events.
func (l *lockbox) history(r journal.Replay) []journal.Entry {
	l.Helper()
	var all []journal.Entry
	must(l, l.watch.Replay(l.Context(), r, func(e journal.Entry) error {
		all = append(all, e)
		return nil
	}))
	return all
}

// decided is the sequence of the last event that somebody decided; mails about earlier ones may be reported at any
// time.
func (l *lockbox) decided() uint64 {
	l.Helper()
	last := uint64(0)
	// What comes by itself, and what is recorded of whoever commands, whatever comes of the command.
	besides := []string{"ApprovalReminderDue", "InternalReminderDue", "RequestExpired", "InternalApprovalExpired",
		"AccessCompleted", "AccountIdentified", "SignedIn"}
	for _, e := range l.history(journal.Replay{}) {
		if !aggregate.Reported(e.Event.GetKind()) && !slices.Contains(besides, aggregate.TypeOf(e.Event)) {
			last = e.Seq
		}
	}
	return last
}

func approve(id string) *lockboxv1.Command {
	return &lockboxv1.Command{AggregateId: id, Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}}
}

func deny(id, reason string) *lockboxv1.Command {
	return &lockboxv1.Command{AggregateId: id, Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: reason}}}
}

func revoke(id, reason string) *lockboxv1.Command {
	return &lockboxv1.Command{AggregateId: id,
		Action: &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: reason}}}
}

func newID(t testing.TB) string {
	t.Helper()
	id, err := uuid.NewV7()
	must(t, err)
	return id.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
