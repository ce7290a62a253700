package guard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// subjectsNamed is the maximum number of affected events that an alarm names.
const subjectsNamed = 10

// where identifies a difference by its place and kind.
type where struct {
	name string
	kind lockboxv1.DifferenceKind
}

// differences collects those of one comparison, one for each place and kind.
type differences map[where]*lockboxv1.DifferenceFound

var kinds = map[merkle.Kind]lockboxv1.DifferenceKind{
	merkle.Gap:        lockboxv1.DifferenceKind_DIFFERENCE_KIND_GAP,
	merkle.Regression: lockboxv1.DifferenceKind_DIFFERENCE_KIND_REGRESSION,
	merkle.Changed:    lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHANGED,
	merkle.Unrecorded: lockboxv1.DifferenceKind_DIFFERENCE_KIND_UNRECORDED,
}

func (d *differences) add(at where, sequence uint64, subject, detail string) {
	if *d == nil {
		*d = differences{}
	}
	f := (*d)[at]
	if f == nil {
		f = &lockboxv1.DifferenceFound{Where: at.name, Kind: at.kind, FirstSequence: sequence, Detail: detail}
		(*d)[at] = f
	}
	f.FirstSequence, f.LastSequence = min(f.GetFirstSequence(), sequence), max(f.GetLastSequence(), sequence)
	if sequence > 0 {
		f.Count++
	}
	if subject != "" && len(f.GetSubjects()) < subjectsNamed {
		f.Subjects = append(f.Subjects, subject)
	}
}

// join adds the differences of another copy.
func (d *differences) join(other differences) {
	if *d == nil {
		*d = differences{}
	}
	maps.Copy(*d, other)
}

func (d *differences) differ(name string, found []merkle.Difference) {
	for _, one := range found {
		d.add(where{name, kinds[one.Kind]}, one.Sequence, one.Recorded.Subject, "")
	}
}

func (d *differences) missing(servers []string) {
	for _, s := range servers {
		d.add(where{"replica " + s, lockboxv1.DifferenceKind_DIFFERENCE_KIND_MISSING}, 0, "",
			"it is offline, or not up to date")
	}
}

// tiles records an error of reading trees as a difference if it is one; otherwise it returns the error.
func (d *differences) tiles(err error) error {
	if err == nil || !damaged(err) {
		return err
	}
	d.add(where{"tiles", lockboxv1.DifferenceKind_DIFFERENCE_KIND_TILES}, 0, "", err.Error())
	return nil
}

func (d *differences) all() []*lockboxv1.DifferenceFound {
	var list []*lockboxv1.DifferenceFound
	for _, f := range *d {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b *lockboxv1.DifferenceFound) int {
		return cmp.Or(strings.Compare(a.GetWhere(), b.GetWhere()), cmp.Compare(a.GetKind(), b.GetKind()))
	})
	return list
}

// raise raises the alarm: in the log and the metric each time, in the stream once. The security officers are mailed the
// report from the stream; if the stream accepts no writes, there are only the log and the metric.
func (g *Guard) raise(ctx context.Context, d *lockboxv1.DifferenceFound) {
	g.Log.Error("ALARM: stored data differs from what was recorded; no access is granted until it is repaired",
		zap.String("where", d.GetWhere()),
		zap.Stringer("kind", d.GetKind()), zap.Uint64("first", d.GetFirstSequence()), zap.Uint64("last", d.GetLastSequence()),
		zap.Uint64("count", d.GetCount()), zap.Strings("subjects", d.GetSubjects()), zap.String("detail", d.GetDetail()))
	if _, err := g.record(ctx, d); err != nil {
		g.Log.Error("the alarm could not be written to the stream yet", zap.Error(err))
	}
}

// record writes an alarm to the stream, once, and returns its sequence there.
func (g *Guard) record(ctx context.Context, d *lockboxv1.DifferenceFound) (sequence uint64, err error) {
	key := keyOf(d)
	g.recording.Lock()
	defer g.recording.Unlock()
	if sequence := g.told[key]; sequence > 0 {
		return sequence, nil
	}
	g.Alarm()
	at := aggregate.Guard
	sequence, _, err = g.Stream.Report(ctx, &lockboxv1.Event{
		Id: uuid.Must(uuid.NewV7()).String(), Tenant: at.Tenant, Kind: at.Kind, AggregateId: at.ID, ReportKey: key,
		Time:  timestamppb.New(g.Now()),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: string(bus.Projector)},
		Fact:  &lockboxv1.Event_DifferenceFound{DifferenceFound: d},
	})
	if err != nil {
		return 0, err
	}
	if g.told == nil {
		g.told = map[string]uint64{}
	}
	g.told[key] = sequence
	if aggregate.ContradictsItself(d) {
		g.Log.Error("ALARM: the events of an aggregate contradict each other; nothing is decided about it any more",
			zap.Uint64("sequence", d.GetFirstSequence()), zap.Strings("subjects", d.GetSubjects()),
			zap.String("detail", d.GetDetail()))
	}
	return sequence, nil
}

// keyOf returns the same key for the same difference, independent of the finder and the number of findings.
func keyOf(d *lockboxv1.DifferenceFound) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%d\n%d\n%d\n%s", d.GetWhere(), d.GetKind(), d.GetFirstSequence(),
		d.GetLastSequence(), d.GetCount(), d.GetDetail()))
	return hex.EncodeToString(sum[:16])
}
