package ledger

import (
	"errors"
	"fmt"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
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
		file, err := l.Receipt("bank", about, wanted, read)
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
