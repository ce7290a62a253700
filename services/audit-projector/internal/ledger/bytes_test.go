package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// opened returns which of the shown events open the statements of a tenant's tree, and which are withheld.
func opened(t *testing.T, l *Ledger, tenant string, from int64, shown []merkle.Shown) (opens, withheld int) {
	t.Helper()
	_, tree, err := l.shown.slot(tenant)
	must(t, err)
	for i, e := range shown {
		all, err := merkle.Statements(l.tenantTree(tenant), tree, from-1+int64(i))
		must(t, err)
		if e.Withheld {
			if withheld++; e.Salt != nil || e.Bytes != nil {
				t.Errorf("of what is withheld it shows %+v", e)
			}
			continue
		}
		_, err = all[0].Open(merkle.Salt(*e.Salt), e.Bytes)
		must(t, err)
		opens++
	}
	return opens, withheld
}

// A tenant is shown the bytes of its own events, as many as it asks for, without what counts the events of others and
// without what is no event; and what the provider recorded about that, if it asks.
func TestATenantIsShownTheBytesOfItsEvents(t *testing.T) {
	s := &stream{t: t}
	l := begin(t, s, t.TempDir(), keys(t))
	comment(s, 1)
	s.comments(chance(), 40) // of other tenants
	s.add(&lockboxv1.Event{Tenant: "bank", Kind: aggregate.KindRequest, AggregateId: "r1", Version: 1,
		Fact: &lockboxv1.Event_AccessEvaluated{AccessEvaluated: &lockboxv1.AccessEvaluated{
			Facts: &lockboxv1.EvaluationFacts{History: &lockboxv1.EngineerHistory{Requests: 3}}}}})
	misfit := journal.Entry{Seq: uint64(len(s.entries)) + 1, Subject: "lockbox.event.bank.ticket.SR-1.2.TicketCommented",
		Data: []byte("no event")}
	s.entries = append(s.entries, misfit)
	hash, at := sha256.Sum256(misfit.Data), morning()
	s.add(&lockboxv1.Event{Tenant: "_", Kind: aggregate.KindAlarm, AggregateId: "guard", ReportKey: "one",
		Time: timestamppb.New(at), Fact: &lockboxv1.Event_DifferenceFound{DifferenceFound: &lockboxv1.DifferenceFound{
			FirstSequence: misfit.Seq, Subjects: []string{misfit.Subject}, Sha256: hash[:]}}})
	s.add(&lockboxv1.Event{Tenant: "_", Kind: aggregate.KindAlarm, AggregateId: "guard", ReportKey: "two",
		Time: timestamppb.New(at.Add(time.Hour)), Fact: &lockboxv1.Event_MessageSetAside{
			MessageSetAside: &lockboxv1.MessageSetAside{Sequence: misfit.Seq, Subject: misfit.Subject, Sha256: hash[:]}}})
	comment(s, 3)
	passes(t, l)

	b, err := l.Public().Events(t.Context(), "bank", 1, merkle.MaxBundle, false)
	must(t, err)
	if opens, withheld := opened(t, l, "bank", 1, b.Events); opens != 2 || withheld != 2 || len(b.Writers) != 0 {
		t.Errorf("%d open and %d are withheld; %v", opens, withheld, b.Writers)
	}
	if e := b.Events[2]; !e.SetAside.IsZero() || !e.Alarm.IsZero() {
		t.Errorf("without being asked it says %+v", e)
	}
	b, err = l.Public().Events(t.Context(), "bank", 2, 2, true)
	must(t, err)
	if len(b.Events) != 2 || !b.Events[1].Alarm.Equal(at) || !b.Events[1].SetAside.Equal(at.Add(time.Hour)) ||
		!b.Events[0].SetAside.IsZero() {
		t.Errorf("of what was set aside it says %+v", b.Events)
	}
	for _, bad := range []struct {
		tenant      string
		from, count int64
	}{{"bank", 0, 1}, {"bank", -1, 1}, {"bank", 5, 1}, {"bank", 1, 0}, {"nobody", 1, 1}} {
		if _, err := l.Public().Events(t.Context(), bad.tenant, bad.from, bad.count, false); !errors.Is(err, ErrNoTree) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func morning() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) }

// However large events are, an answer is bounded, and the next one goes on where it ended.
func TestAnAnswerWithBytesIsBounded(t *testing.T) {
	s := &stream{t: t}
	l := begin(t, s, t.TempDir(), keys(t))
	for i := range uint64(300) {
		text := ""
		if i > 270 {
			text = strings.Repeat("x", 1<<20)
		}
		s.add(&lockboxv1.Event{Tenant: "bank", Kind: aggregate.KindTicket, AggregateId: "SR-1", Version: i + 1,
			Fact: &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{Text: text}}})
	}
	passes(t, l)
	var all [][]byte
	for from := int64(1); from <= 300; {
		b, err := l.Public().Events(t.Context(), "bank", from, 1<<40, false)
		must(t, err)
		size := 0
		for _, e := range b.Events {
			all = append(all, e.Bytes)
			size += len(e.Bytes)
		}
		if len(b.Events) == 0 || len(b.Events) > merkle.MaxBundle || size > 6<<20 {
			t.Fatalf("%d events of %d bytes", len(b.Events), size)
		}
		from += int64(len(b.Events))
	}
	for i, data := range all {
		if !bytes.Equal(data, s.entries[i].Data) {
			t.Fatalf("event %d is another", i+1)
		}
	}
}
