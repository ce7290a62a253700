package guard

import (
	"context"
	"errors"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Order looks at an event that is not the next version of its aggregate, as far as the trees know. If that is because
// its history contradicts itself, Say says so. Messages that are no events are none of its versions.
//
// It ends no lease: no event can be set aside, so that nobody could mend it, and nothing is decided any more about
// what contradicts itself.
func (g *Guard) Order(ctx context.Context, s journal.Stored) error {
	if _, is, err := g.Stream.Judge(ctx, s); is || err != nil {
		return err
	}
	at, err := bus.ParseEventSubject(s.Subject)
	if err != nil || aggregate.Reported(at.Kind) {
		return nil //nolint:nilerr // no event, and judged so by whoever looks at the form
	}
	wrong, err := g.outOfOrder(ctx, at.Key, s.Sequence)
	if err != nil || wrong == nil {
		return err
	}
	g.contradicts(at.Key, wrong)
	return nil
}

// outOfOrder returns what is wrong with an aggregate's events up to a sequence of the stream; nil if nothing is.
func (g *Guard) outOfOrder(ctx context.Context, of aggregate.Key, through uint64) (*lockboxv1.DifferenceFound, error) {
	enough := errors.New("enough")
	last, subject := uint64(0), ""
	var wrong *lockboxv1.DifferenceFound
	err := g.Stream.Replay(ctx, journal.Replay{Tenant: of.Tenant, Kind: of.Kind, ID: of.ID, Undecoded: true},
		func(e journal.Entry) error {
			if e.Seq > through {
				return enough
			}
			is := journal.Stored{Sequence: e.Seq, Subject: e.Subject, Data: e.Data}
			if _, misfit, err := g.Stream.Judge(ctx, is); misfit || err != nil {
				return err
			}
			at, err := bus.ParseEventSubject(e.Subject)
			if err != nil {
				return err
			}
			if at.Version == last+1 {
				last, subject = at.Version, e.Subject
				return nil
			}
			wrong = &lockboxv1.DifferenceFound{
				Where: aggregate.AlarmHistory, Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHANGED, FirstSequence: e.Seq,
				LastSequence: e.Seq, Count: 1, Subjects: []string{e.Subject},
				Detail: fmt.Sprintf("It is stored after %s.", subject),
			}
			return enough
		})
	if errors.Is(err, enough) {
		err = nil
	}
	return wrong, err
}

// Say records in the stream what was found about messages that stand in it: those that are no events and were not set
// aside, and histories that contradict themselves. It returns the sequence of the last such record. Nothing is signed
// that covers what is wrong, and not this.
func (g *Guard) Say(ctx context.Context) (through uint64, err error) {
	var found []*lockboxv1.DifferenceFound
	if g.misfits.any() {
		if found, err = g.notEvents(ctx); err != nil {
			return 0, err
		}
	}
	g.histories.Lock()
	for _, wrong := range g.contradictions {
		found = append(found, wrong)
	}
	g.histories.Unlock()
	for _, d := range found {
		sequence, err := g.record(ctx, d)
		if err != nil {
			return 0, err
		}
		through = max(through, sequence)
	}
	return through, nil
}
