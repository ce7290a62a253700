package notifier

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestAMailNamesTheWholeRootAndWhatItIncludes: half a root would be half as hard to imitate, and a checkpoint from
// before the event proves nothing of it.
func TestAMailNamesTheWholeRootAndWhatItIncludes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, mails := w.mailbox()
	w.tenant()
	n, err := newNotifier(w.runtime(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer n.sender.Close()
	entries, err := w.evaluator.Load(t.Context(), aggregate.Tenant("meadowbank"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := n.read(t.Context(), entries[0])
	if err != nil {
		t.Fatal(err)
	}
	projector := w.bus.Journal(t, bus.Projector)
	now := time.Now()
	n.Now = func() time.Time { return now }
	for i, row := range []struct {
		covered uint64
		says    string
	}{
		{entries[0].Seq - 1, "It does not include yet what this mail is about."},
		{entries[0].Seq, "It includes what this mail is about."},
	} {
		root := [32]byte{0: 0xab, 31: byte(i) + 1}
		at := aggregate.MerkleLog
		if _, _, err := projector.Report(t.Context(), &lockboxv1.Event{
			Id: uuid.Must(uuid.NewV7()).String(), Tenant: at.Tenant, Kind: at.Kind, AggregateId: at.ID,
			ReportKey: fmt.Sprint(i + 1), Time: timestamppb.Now(), Actor: clock,
			Fact: &lockboxv1.Event_CheckpointSigned{CheckpointSigned: &lockboxv1.CheckpointSigned{CoveredSequence: row.covered,
				Note: fmt.Sprintf("log.example/lockbox\n%d\n%s\n\n— log.example/lockbox AAAA\n", i+1,
					base64.StdEncoding.EncodeToString(root[:]))}},
		}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * checkpointAge)
		told := plan.Plan(in, n.settings)[0]
		told.Sequence = entries[0].Seq
		if err := n.deliver(t.Context(), told); err != nil {
			t.Fatal(err)
		}
		all := mails()
		text := strings.Join(strings.Fields(all[len(all)-1].Text), " ")
		if line := fmt.Sprintf("%d:%x", i+1, root); len(all) != i+1 || !strings.HasSuffix(text, row.says+" "+line) {
			t.Errorf("mail %d of %d ends with %q", i+1, len(all), text[max(0, len(text)-300):])
		}
	}
}
