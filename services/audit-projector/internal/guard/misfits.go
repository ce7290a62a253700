package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// misfits are the messages in the stream that cannot be events, or are not signed by their writers, and were not set
// aside when that was last asked.
type misfits struct {
	mu   sync.Mutex
	open []journal.Misfit
	// refused are the sequences of all that there are, also of those that were set aside.
	refused map[uint64]bool
	// seen is the sequence up to which every message was judged. What was judged does not change unnoticed.
	seen uint64
	read bool // what was kept
}

// misfitsNamed is the maximum number of alarms about such messages at a time; when one is set aside, the next is
// raised.
const misfitsNamed = 10

// Judge reports whether a message of the stream is no event, by its form or its writer's signature, at which it looks
// unless it did so before. It is called before the message enters the trees, and again for all that is in them. Of what
// cannot be judged now, nothing is vouched for.
func (g *Guard) Judge(ctx context.Context, s journal.Stored) (refused bool, err error) {
	m := &g.misfits
	m.mu.Lock()
	defer m.mu.Unlock()
	if g.recall(); s.Sequence <= m.seen {
		return m.refused[s.Sequence], nil
	}
	misfit, is, err := g.Stream.Judge(ctx, s)
	if err != nil {
		return false, err
	}
	if s.Sequence == m.seen+1 { // not before what was stored earlier
		m.seen = s.Sequence
	}
	if is {
		m.add(misfit)
		g.conclude(verdict{})
	}
	return is, nil
}

// kept is what a guard that starts again need not judge anew.
type kept struct {
	Through uint64           `json:"through,string"`
	Open    []journal.Misfit `json:"open"`
	Refused []uint64         `json:"refused"`
}

// recall reads what was kept. Without it, everything is judged again.
func (g *Guard) recall() {
	m := &g.misfits
	if m.read || g.File == "" {
		return
	}
	m.read = true
	text, err := os.ReadFile(g.File)
	var k kept
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			g.Log.Warn("every message is judged anew", zap.Error(err))
		}
		return
	}
	m.seen = k.Through
	for _, one := range k.Open {
		m.add(one)
	}
	for _, seq := range k.Refused {
		m.refuse(seq)
	}
}

// keep saves how far messages were judged, as far as the trees cover them, and what was found.
func (g *Guard) keep() {
	m := &g.misfits
	m.mu.Lock()
	defer m.mu.Unlock()
	if g.File == "" || !m.read || g.Ledger.Covered() == 0 {
		return
	}
	text, err := json.Marshal(kept{min(m.seen, g.Ledger.Covered()), m.open, slices.Sorted(maps.Keys(m.refused))})
	if err == nil {
		err = durable.Replace(g.File, text, 0o600)
	}
	if err != nil {
		g.Log.Warn("how far messages were judged is not kept", zap.Error(err))
	}
}

func (m *misfits) any() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open) > 0
}

func (m *misfits) refuse(sequence uint64) {
	if m.refused == nil {
		m.refused = map[uint64]bool{}
	}
	m.refused[sequence] = true
}

func (m *misfits) add(one journal.Misfit) {
	m.refuse(one.Seq)
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

// notEvents returns a difference for each message that cannot be an event and was not set aside. One that is an event
// after all, because what was missing when it was judged is there now, is none.
func (g *Guard) notEvents(ctx context.Context) (found []*lockboxv1.DifferenceFound, err error) {
	g.misfits.mu.Lock()
	open := g.misfits.open
	g.misfits.mu.Unlock()
	aside, absolved := map[uint64]bool{}, map[uint64]bool{}
	for _, m := range open {
		if _, aside[m.Seq], err = g.Stream.SetAside(ctx, m); err != nil {
			return nil, err
		}
		if !aside[m.Seq] {
			if _, err := g.Stream.Misfit(ctx, m.Seq); refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION) {
				aside[m.Seq], absolved[m.Seq] = true, true
			} else if err != nil && !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND) {
				return nil, err
			}
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
	maps.DeleteFunc(g.misfits.refused, func(seq uint64, _ bool) bool { return absolved[seq] })
	return found, nil
}
