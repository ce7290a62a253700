package orchestrator

import (
	"context"
	"errors"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
)

// knownTimers is how many timers are remembered, up to twice as many.
const knownTimers = 4096

// timer is a request's timer as this process set it: see "Timers" in the README.
type timer struct {
	// sequence is that of the timer's message, and at its time; zero if nothing is known.
	sequence uint64
	at       time.Time
	// through is the sequence of the request's last event for which nothing but the time may have to change: the timer was
	// there before the basis of that event was read, and by that basis nothing is owed after it.
	through uint64
}

// setTimer sets the timer for the next duty and returns the leader's state after that. An aggregate has only one timer,
// and a concurrent writer may have set it first, so setTimer reads again after setting it. Once the timer is set, the
// check after a lost role or subscription finds the request through it, so no loss falls in between (R23, R48).
func (o *orchestrator) setTimer(
	ctx context.Context, about aggregate.Key, states repository.States,
) (repository.States, error) {
	var set time.Time
	for {
		at, waits := states.NextDue(about)
		if waits && !at.Equal(set) && o.Now().Before(at) {
			if err := o.Journal.SetTimer(ctx, about, at); err != nil {
				return nil, err
			}
			set = at
		}
		keys, read := []aggregate.Key{about}, o.repository.BasisOf
		if few, little := states.DueBy(about); little {
			keys, read = few, o.repository.Basis
		}
		var err error
		if states, err = read(ctx, keys...); err != nil {
			return nil, err
		}
		if next, waits := states.NextDue(about); !waits || next.Equal(set) || !o.Now().Before(next) {
			return states, nil
		}
	}
}

// ask puts a request to the customer, of which the last event is at a sequence, with its timer set before the basis is
// read. It reports false if that is not what is owed, or if somebody else is at it.
func (o *orchestrator) ask(
	ctx context.Context, about aggregate.Key, states repository.States, sequence uint64, causationID string,
) (asked bool, err error) {
	now := o.Now()
	known, err := o.setAhead(ctx, about, states.Request(about), sequence, now)
	if known.sequence == 0 || err != nil {
		return false, err
	}
	if states, err = o.repository.BasisOf(ctx, about); err != nil {
		return false, err
	}
	if h := history(states, about); h.Sequence != sequence || h.Fault != nil {
		return false, nil
	}
	_, err = o.perform(ctx, states, about, duty{causationID, causationID, now, known})
	return true, err
}

// setAhead sets the timer that a request will have once the customer is asked at now; none if it is not to be asked, or
// has a timer.
func (o *orchestrator) setAhead(
	ctx context.Context, about aggregate.Key, r request.State, sequence uint64, now time.Time,
) (known timer, err error) {
	at, owed := request.AskedDue(r, o.process.Terms, now)
	if !owed || len(r.Evaluation.GetInternalStages()) > 0 { // for whose approval it had one already
		return timer{}, nil
	}
	set, err := o.Journal.MoveTimer(ctx, about, at, 0)
	if errors.Is(err, journal.ErrConflict) {
		return timer{}, nil
	}
	if err != nil {
		return timer{}, err
	}
	known = timer{set, at, sequence}
	o.timers.Put(about, known)
	return known, nil
}

// keeps reports whether a request needs nothing more after the event at a sequence than that its timer has the right
// time, and sees to that. Moving a timer says that it was there all along: had another copy set it, or a loss, then the
// request would have to be looked at.
func (o *orchestrator) keeps(
	ctx context.Context, about aggregate.Key, states repository.States, sequence uint64,
) (bool, error) {
	known, _ := o.timers.Get(about)
	at, waits := states.NextDue(about)
	switch {
	case known.sequence == 0 || known.through != sequence || !waits || !o.Now().Before(at):
		return false, nil
	case at.Equal(known.at) && states.Request(about).Status != request.Active:
		return true, nil
	}
	o.timers.Put(about, timer{}) // nobody relies on it meanwhile
	set, err := o.Journal.MoveTimer(ctx, about, at, known.sequence)
	if errors.Is(err, journal.ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	o.timers.Put(about, timer{set, at, sequence})
	return true, nil
}

// reached notes that events were stored up to a sequence that were decided on a basis, read after the timer was known,
// which had the request's last event at another. States are the basis with those events.
func (o *orchestrator) reached(
	about aggregate.Key, known timer, basis, sequence uint64, states repository.States, now time.Time,
) {
	if known.sequence == 0 || known.through != basis {
		return
	}
	if owed, err := o.process.Perform(states, about, "", now); owed.Event != nil || err != nil {
		return
	}
	o.timers.Update(about, func(t timer) (timer, bool) {
		same := t.sequence == known.sequence && t.through == known.through
		t.through = sequence
		return t, same
	})
}

// wake has a request looked at anew, as its timer would.
func (o *orchestrator) wake(ctx context.Context, about aggregate.Key) error {
	return o.Journal.SetTimer(ctx, about, o.Now())
}
