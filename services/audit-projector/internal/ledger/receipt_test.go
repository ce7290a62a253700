package ledger

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// comment adds a version of one ticket, and returns its sequence.
func comment(s *stream, version uint64) uint64 {
	return s.add(&lockboxv1.Event{
		Id: fmt.Sprintf("019b0000-0000-7000-8000-%012d", version), Tenant: "bank", Kind: aggregate.KindTicket,
		AggregateId: "SR-1", Version: version,
		Fact: &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{Text: "What now?"}},
	})
}

// A receipt is of one moment: whoever read the events before it asks again, and what is no event is not waited for.
func TestAReceiptShowsAllThatItsCheckpointCovers(t *testing.T) {
	s, k := &stream{t: t}, keys(t)
	l := begin(t, s, t.TempDir(), k)
	policy, err := k.Policy()
	must(t, err)
	const about = "lockbox.event.bank.ticket.SR-1"
	report := func(read uint64, sequences ...uint64) (merkle.Report, error) {
		var wanted []Wanted
		for _, sequence := range sequences {
			wanted = append(wanted, Wanted{Sequence: sequence})
		}
		file, err := l.Public().Receipt(t.Context(), "bank", about, wanted, read)
		if err != nil {
			return merkle.Report{}, err
		}
		return merkle.VerifyReceipt(file, policy)
	}
	first := comment(s, 1)
	passes(t, l)
	if r, err := report(first, first); err != nil || !r.Complete() || r.Head.Version != 1 {
		t.Errorf("%+v, %v", r, err)
	}

	second := comment(s, 2)
	if r, err := report(second, first); err != nil || !r.Complete() {
		t.Errorf("as of the checkpoint before: %+v, %v", r, err)
	}
	if _, err := report(second, first, second); !errors.Is(err, ErrNotCovered) {
		t.Errorf("the second is in no checkpoint: %v", err)
	}
	passes(t, l)
	if _, err := report(first, first); !errors.Is(err, ErrNewer) {
		t.Errorf("read before the second: %v", err)
	}
	if r, err := report(second, first, second); err != nil || !r.Complete() || r.Head.Version != 2 {
		t.Errorf("%+v, %v", r, err)
	}

	end := uint64(len(s.entries)) + 1
	s.entries = append(s.entries, journal.Entry{Seq: end, Subject: about + ".3.Nonsense", Data: []byte("no event")})
	passes(t, l)
	if r, err := report(end, first, second); err != nil || r.Complete() || r.Head.Count != 3 || len(r.Events) != 2 {
		t.Errorf("beside a message that is no event: %+v, %v", r, err)
	}
}

// A customer never sees the provider's tree, in which certificates stand: a receipt brings those that it needs.
func TestAReceiptCarriesTheCertificatesOfItsWriters(t *testing.T) {
	s, k := &stream{t: t}, keys(t)
	private, public, err := note.GenerateKey(rand.Reader, signed.DeploymentName(origin))
	must(t, err)
	deployment, err := note.NewSigner(private)
	must(t, err)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	certify := func(w aggregate.Writer) (*signed.Signer, string) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		must(t, err)
		signer, err := signed.NewSigner(origin, key, w)
		must(t, err)
		text, err := signed.Certificate{Origin: origin, Identity: string(w), Key: signed.PublicOf(key), From: now,
			Until: now.Add(time.Hour)}.Issue(deployment)
		must(t, err)
		return signer, string(text)
	}
	first, one := certify(aggregate.Orchestrator)
	_, other := certify(aggregate.Evaluator)
	later, two := certify(aggregate.Orchestrator)
	at := aggregate.SigningWriters
	s.add(&lockboxv1.Event{Tenant: at.Tenant, Kind: at.Kind, AggregateId: at.ID, Version: 1,
		Fact: &lockboxv1.Event_SigningBegan{SigningBegan: &lockboxv1.SigningBegan{DeploymentKey: public,
			Certificates: []string{one, other}}}})
	var before []byte
	sign := func(version uint64, by *signed.Signer) {
		seq := comment(s, version)
		e := &s.entries[seq-1]
		e.Event.Time = timestamppb.New(now)
		content, err := proto.Marshal(e.Event)
		must(t, err)
		u := signed.Unsigned{Subject: e.Subject, Content: content}
		if before != nil {
			u.Previous = signed.Hash(before)
		}
		stored, err := by.Sign([]signed.Unsigned{u})
		must(t, err)
		e.Data, before = stored[0], content
	}
	sign(1, first)
	s.add(&lockboxv1.Event{Tenant: at.Tenant, Kind: at.Kind, AggregateId: at.ID, Version: 2,
		Fact: &lockboxv1.Event_WriterCertified{WriterCertified: &lockboxv1.WriterCertified{Certificate: two}}})
	sign(2, later)
	l := begin(t, s, t.TempDir(), k)
	passes(t, l)
	wanted := []Wanted{{Sequence: 2}, {Sequence: 4}}
	file, err := l.Public().Receipt(t.Context(), "bank", "lockbox.event.bank.ticket.SR-1", wanted, 4)
	must(t, err)
	policy, err := k.Policy()
	must(t, err)
	pinned, err := signed.Pin(public)
	must(t, err)
	report, err := merkle.Trust{Policy: policy, Writers: pinned}.VerifyReceipt(file)
	must(t, err)
	r, err := merkle.ParseReceipt(file)
	must(t, err)
	if len(r.Writers) != 2 || r.Writers[0] != one || r.Writers[1] != two || !report.Judged ||
		report.Events[1].Writer != string(aggregate.Orchestrator) {
		t.Errorf("it carries %q, and proves %+v", r.Writers, report)
	}
}
