package stack_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/internal/verify"
	"github.com/openlockbox/lockbox/services/verifier"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// strayMessage is a message that is stored where an event belongs.
type strayMessage struct {
	by      bus.Identity
	subject string
	data    []byte
	seq     uint64
}

func (l *lockbox) store(m *strayMessage) {
	l.Helper()
	js, err := jetstream.New(l.connect(m.by))
	must(l, err)
	ack, err := js.Publish(l.Context(), m.subject, m.data)
	must(l, err)
	m.seq = ack.Sequence
}

func setAside(m *strayMessage) *lockboxv1.Command {
	sum := sha256.Sum256(m.data)
	return &lockboxv1.Command{Tenant: aggregate.ProviderTenant, AggregateId: aggregate.Guard.ID,
		Action: &lockboxv1.Command_SetAsideMessage{SetAsideMessage: &lockboxv1.SetAsideMessage{
			Sequence: m.seq, Sha256: sum[:], Reason: "An answer of the bus that was stored by mistake.",
		}}}
}

func (l *lockbox) verified() verify.Verified {
	l.Helper()
	v, err := verify.Stream(l.Context(), l.watch, time.Now(), nil, func(journal.Entry) {})
	must(l, err)
	return v
}

// alarmOf returns the alarm about a message; nil if there is none.
func (l *lockbox) alarmOf(m *strayMessage) *lockboxv1.DifferenceFound {
	l.Helper()
	for _, e := range l.history(journal.Replay{Kind: aggregate.KindAlarm}) {
		f := e.Event.GetDifferenceFound()
		if f.GetKind() == lockboxv1.DifferenceKind_DIFFERENCE_KIND_NOT_AN_EVENT && f.GetFirstSequence() == m.seq {
			return f
		}
	}
	return nil
}

func (l *lockbox) tenantVersion(id string) uint64 {
	l.Helper()
	entries, err := l.watch.LoadAtLeader(l.Context(), aggregate.Tenant(id))
	must(l, err)
	return uint64(len(entries))
}

// receipt asks for a request's receipt and checks it.
func (l *lockbox) receipt(as, id string, through uint64) *verifier.Receipt {
	l.Helper()
	return l.receiptUnder(verifier.Trust{Key: filepath.Join(l.config.Dir, "keys", logkeys.PublicKeyFile)}, as, id, through)
}

func (l *lockbox) receiptUnder(trust verifier.Trust, as, id string, through uint64) *verifier.Receipt {
	l.Helper()
	var reply *lockboxv1.QueryReply
	within(l.T, patience, "a receipt", func() bool {
		reply = l.query(&lockboxv1.Query{Tenant: bank, Token: l.token(as), MinSequence: through,
			Ask: &lockboxv1.Query_GetReceipt{GetReceipt: &lockboxv1.GetReceipt{RequestId: id}}})
		return reply.GetRefusal() == nil
	})
	name := filepath.Join(l.TempDir(), "receipt.json")
	must(l, os.WriteFile(name, reply.GetReceipt().GetFile(), 0o600))
	r, err := verifier.CheckFile(name, trust)
	must(l, err)
	return r
}

// whole waits until a checkpoint covers everything.
func (l *lockbox) whole(through uint64) {
	l.Helper()
	within(l.T, patience, "a checkpoint that covers "+strconv.FormatUint(through, 10), func() bool {
		for _, e := range l.history(journal.Replay{From: through, Kind: aggregate.KindCheckpoint}) {
			if e.Event.GetCheckpointSigned().GetCoveredSequence() >= through {
				return true
			}
		}
		return false
	})
}

// says waits until a watcher is shown what is signed by then and says so, and returns what it wrote meanwhile.
func (l *lockbox) says(w *verifier.Watcher, so func(error) bool) string {
	l.Helper()
	var err error
	within(l.T, patience, "the watcher to see it", func() bool {
		err = w.Watch(l.Context(), time.Minute, true)
		return so(err)
	})
	out, is := w.Out.(*bytes.Buffer)
	if !is {
		l.Fatal("nothing was written")
	}
	return out.String()
}

// A stored message that is no event stops nobody but the guard, and what it stands beside, until a security officer
// sets it aside.
//
// control: nist:SI-7
func TestAMessageThatIsNoEventStopsGrantsUntilItIsSetAside(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.close()
	heard := alarms{zapcore.NewNopCore(), new(sync.Mutex), new(bytes.Buffer)}
	l.config.Notifier.Groups = map[string][]string{aggregate.SecurityOfficers: {"security@nimbus.example"}}
	l.config.Log, l.config.RescanEvery, l.config.LogInterval = zap.New(heard), 200*time.Millisecond, time.Second
	l.config.LogAddr = "127.0.0.1:0"
	l.open()
	shadowed := l.requested(l.intent("erin"), request.CustomerNotified)
	other := l.requested(l.intent("erin"), request.CustomerNotified)
	next := l.state(shadowed).Version + 1
	event := l.history(journal.Replay{Kind: aggregate.KindTenant})[0]
	size, err := l.watch.Latest(t.Context(), aggregate.MerkleLog)
	must(t, err)
	log, err := strconv.Atoi(size.Event.GetReportKey())
	must(t, err)
	messages := []*strayMessage{
		{by: bus.Evaluator, subject: "lockbox.event." + bank + ".request.garbage.1.AccessRequested",
			data: []byte(`{"stream":"EVENTS","seq":7}`)},
		// on the next version of a request that waits, and an event that belongs elsewhere
		{by: bus.Orchestrator, data: event.Data,
			subject: fmt.Sprintf("lockbox.event.%s.request.%s.%d.CustomerDenied", bank, shadowed, next)},
		// where checkpoints are going to be reported
		{by: bus.Projector, subject: fmt.Sprintf("lockbox.event._.checkpoint.log.%d.CheckpointSigned", log+3)},
		// on the next version of a customer
		{by: bus.Orchestrator, data: []byte("+OK"), subject: fmt.Sprintf("lockbox.event.%s.tenant.%s.%d.SupportPlanChanged",
			health, health, l.tenantVersion(health)+1)},
		// of a tenant that does not exist, on a version that is none
		{by: bus.Orchestrator, subject: "lockbox.event.nobody-here.tenant.x.y.TenantCreated", data: []byte("\xff")},
	}
	for _, m := range messages {
		l.store(m)
	}
	last := messages[len(messages)-1].seq

	for _, m := range messages {
		sum := sha256.Sum256(m.data)
		within(t, time.Minute, "an alarm about "+m.subject, func() bool { return l.alarmOf(m) != nil })
		if f := l.alarmOf(m); !bytes.Equal(f.GetSha256(), sum[:]) || f.GetLastSequence() != m.seq || f.GetCount() != 1 ||
			len(f.GetSubjects()) != 1 || f.GetSubjects()[0] != m.subject {
			t.Errorf("the alarm is %v", f)
		}
	}
	within(t, time.Minute, "a mail to the security officer", func() bool {
		mails, err := filepath.Glob(filepath.Join(l.stack.MailboxDir(), "*"))
		must(t, err)
		for _, name := range mails {
			if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte("audit set-aside")) {
				return true
			}
		}
		return false
	})
	leases, err := l.connect(bus.Orchestrator).SubscribeSync(bus.LeaseSubject)
	must(t, err)
	l.whole(last)
	if m, err := leases.NextMsg(6 * time.Second); err == nil {
		t.Errorf("the lease is renewed: %x", m.Data)
	}

	w := l.watcher("audrey")
	words := l.says(w, func(err error) bool {
		return errors.Is(err, verifier.ErrInconclusive) &&
			strings.Contains(err.Error(), "the log shows no bytes for entry") &&
			strings.Contains(err.Error(), "is no event, or not rightly there: an alarm says so since")
	})

	l.restart(0)
	third := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(other))
	l.mayNot("otto", approve(shadowed), lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION, "I6")
	l.does("otto", deny(third, "Not today."))
	enable := &lockboxv1.Command{Tenant: health, Action: &lockboxv1.Command_ChangeSettings{
		ChangeSettings: &lockboxv1.ChangeSettings{}}}
	l.mayNot("hana", enable, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE, "I6")
	time.Sleep(2 * time.Second) // a grant would have come by now
	if s := l.state(other); s.Status != request.Approved {
		t.Errorf("without a lease the approved request is %v", s.Status)
	}
	v, unread := l.verified(), 0
	for _, broken := range v.Violations { // besides what then rests on nothing
		if broken.Invariant == "I6" {
			unread++
		}
	}
	if len(v.Strays) != len(messages) || unread != len(messages) {
		t.Errorf("audit verify finds %+v, %+v", v.Violations, v.Strays)
	}

	const (
		conflict = lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT
		notFound = lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND
		invalid  = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
	)
	first := messages[0]
	l.mayNot("erin", setAside(first), forbidden, "I6")
	l.mayNot("grace", setAside(first), unauthenticated, "R13")
	l.mayNot("olga", setAside(&strayMessage{seq: first.seq, data: []byte("others")}), conflict, "I6")
	l.mayNot("olga", setAside(&strayMessage{seq: 1 << 40}), notFound, "journal")
	l.mayNot("olga", setAside(&strayMessage{seq: event.Seq, data: event.Data}),
		lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION, "I6")
	silent, elsewhere := setAside(first), setAside(first)
	silent.GetSetAsideMessage().Reason = " "
	elsewhere.Tenant = bank
	l.mayNot("olga", silent, invalid, "bad input")
	l.mayNot("olga", elsewhere, invalid, "bad input")
	if n := len(l.history(journal.Replay{Type: "MessageSetAside"})); n > 0 {
		t.Errorf("%d messages were set aside", n)
	}

	leases, err = l.connect(bus.Orchestrator).SubscribeSync(bus.LeaseSubject)
	must(t, err)
	for i, m := range messages {
		if s := l.state(other); s.Status != request.Approved {
			t.Errorf("after %d of %d were set aside: %v", i, len(messages), s.Status)
		}
		if reply := l.does("olga", setAside(m)); reply.GetEventId() == "" {
			t.Errorf("%v", reply)
		}
		if reply := l.does("olga", setAside(m)); reply.GetEventId() != "" || reply.GetMessage() == "" {
			t.Errorf("again: %v", reply)
		}
	}
	// What could not be granted is tried when the lease returns, and not at the end of an interval of up to a minute.
	within(t, time.Minute, "access of what was approved", func() bool {
		return l.state(other).Status == request.Active
	})
	if renewed, _, err := leases.Pending(); err != nil || renewed > 2 {
		t.Errorf("it was granted only after the lease was renewed %d times: %v", renewed, err)
	}
	l.does("otto", approve(shadowed))
	l.reaches(shadowed, request.Active)
	l.restart(0)
	fourth := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(fourth))
	l.reaches(fourth, request.Active)
	l.does("otto", revoke(shadowed, "Enough."))
	end := l.reaches(shadowed, request.Revoked).Sequence

	v = l.verified()
	if len(v.Violations) > 0 || len(v.Strays) != len(messages) {
		t.Errorf("audit verify finds %+v, %+v", v.Violations, v.Strays)
	}
	for i, s := range v.Strays {
		if s.Subject != messages[i].subject || s.SetAside == nil || s.SetAside.By == "" || s.SetAside.Reason == "" {
			t.Errorf("it says of %s: %+v", messages[i].subject, s)
		}
	}
	l.whole(end)
	w.Log = l.stack.LogURL()
	words += l.says(w, func(err error) bool { return errors.Is(err, verifier.ErrContradiction) })
	if n := strings.Count(words, "is no event, and that its officers set it aside at"); n < 2 {
		t.Errorf("of what was set aside the customer's watcher says %s", words)
	}
	w.Acknowledge = true
	l.says(w, func(err error) bool { return err == nil })
	// The log counts the message, which no receipt shows as an event.
	r, shows := l.receipt("otto", shadowed, end), l.state(shadowed).Version
	if uint64(len(r.Events)) != shows || r.All || *r.Head != (verifier.Head{Count: shows + 1, Version: shows}) {
		t.Errorf("of %d versions the receipt shows %d of %+v", shows, len(r.Events), r.Head)
	}
	if r := l.receipt("otto", other, end); !r.All {
		t.Errorf("of another request the receipt shows %d of %+v", len(r.Events), r.Head)
	}
	if signed := l.history(journal.Replay{Kind: aggregate.KindCheckpoint}); !slices.ContainsFunc(signed,
		func(e journal.Entry) bool {
			return e.Event.GetReportKey() == fmt.Sprintf("%d-%d", log+3, messages[2].seq)
		}) {
		t.Error("no checkpoint was reported beside the message that took its place")
	}
	l.close()
	var said strings.Builder
	job := repairOf(t, l.config.Dir, &said)
	must(t, job.Run(t.Context()))
	for _, m := range messages {
		want := fmt.Sprintf("Message %d on %q is not an event", m.seq, m.subject)
		if !strings.Contains(said.String(), want) ||
			strings.Contains(said.String(), "lockbox audit set-aside") {
			t.Errorf("audit repair says\n%s", said.String())
		}
	}
	// A stream that is written anew holds them too.
	flipText(t, file(t, filepath.Join(l.config.Dir, "nats"), "1.blk"), "memory-dump")
	job.Do = true
	must(t, job.Run(t.Context()))
	l.open()
	if v := l.verified(); len(v.Violations) > 0 || len(v.Strays) != len(messages) {
		t.Errorf("after a repair audit verify finds %+v, %+v", v.Violations, v.Strays)
	}
	fifth := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(fifth))
	l.reaches(fifth, request.Active)
}
