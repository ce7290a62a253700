package guard

import (
	"context"
	"fmt"
	"sync"

	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// misfits are the messages in the stream that cannot be events and were not set aside when that was last asked.
type misfits struct {
	mu   sync.Mutex
	open []journal.Misfit
	// seen is the sequence of the last message that was looked at. What was looked at does not change unnoticed.
	seen uint64
}

// misfitsNamed is the maximum number of alarms about such messages at a time; when one is set aside, the next is
// raised.
const misfitsNamed = 10

// see looks at the next message of the stream, or at one that was seen before.
func (m *misfits) see(s journal.Stored) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.Sequence <= m.seen {
		return
	}
	m.seen = s.Sequence
	if misfit, is := journal.IsMisfit(s.Sequence, s.Subject, s.Data); is {
		m.add(misfit)
	}
}

func (m *misfits) any() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open) > 0
}

func (m *misfits) add(one journal.Misfit) {
	for _, known := range m.open {
		if known.Seq == one.Seq {
			return
		}
	}
	m.open = append(m.open, one)
}

// Misfit is called by whoever comes upon a message that cannot be an event before the guard has compared it: nothing is
// vouched for from now on, until the guard has looked.
func (g *Guard) Misfit(m journal.Misfit) {
	g.misfits.mu.Lock()
	g.misfits.add(m)
	g.misfits.mu.Unlock()
	g.conclude(verdict{})
}

// notEvents returns a difference for each message that cannot be an event and was not set aside.
func (g *Guard) notEvents(ctx context.Context) (found []*lockboxv1.DifferenceFound, err error) {
	g.misfits.mu.Lock()
	open := g.misfits.open
	g.misfits.mu.Unlock()
	aside := map[uint64]bool{}
	for _, m := range open {
		if _, aside[m.Seq], err = g.Stream.SetAside(ctx, m); err != nil {
			return nil, err
		}
		if !aside[m.Seq] && len(found) < misfitsNamed {
			found = append(found, &lockboxv1.DifferenceFound{
				Where: "stream", Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_NOT_AN_EVENT, FirstSequence: m.Seq,
				LastSequence: m.Seq, Count: 1, Subjects: []string{m.Subject}, Sha256: m.SHA256,
				Detail: fmt.Sprintf("SHA-256 %x, %d bytes. Not true of it: %s.", m.SHA256, m.Size, m.Rule),
			})
		}
	}
	g.misfits.mu.Lock()
	defer g.misfits.mu.Unlock()
	var still []journal.Misfit
	for _, m := range g.misfits.open {
		if !aside[m.Seq] {
			still = append(still, m)
		}
	}
	g.misfits.open = still
	return found, nil
}
