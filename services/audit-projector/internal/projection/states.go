package projection

import (
	"context"
	"sync"

	"github.com/openlockbox/lockbox/pkg/cache"
	"github.com/openlockbox/lockbox/pkg/request"
)

// rememberedFolds is the size of the readers' shared cache of folded requests, about 8 KiB each; it holds at most twice
// as many.
const rememberedFolds = 2048

// folds caches folded requests. An entry is valid while the request's last event is the same.
type folds struct {
	known *cache.Cache[uint64, request.State]

	mu sync.Mutex
	// forgotten is how often everything was forgotten.
	forgotten uint64
}

// began returns what a state that is folded from now on is put with.
func (f *folds) began() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.forgotten
}

// forget forgets everything, and what is being folded, too.
func (f *folds) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgotten++
	f.known.Clear()
}

func (f *folds) get(r Row) (request.State, bool) {
	s, known := f.known.Get(r.Sequence)
	return s, known && s.Sequence == r.Last
}

func (f *folds) put(r Row, s request.State, began uint64) {
	if s.Sequence != r.Last {
		return // do not cache an inconsistent history
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.forgotten == began {
		f.known.Put(r.Sequence, s)
	}
}

// States folds the requests of rows, in their order. The states are shared and must not be modified.
func (v *Snapshot) States(ctx context.Context, rows []Row) ([]request.State, error) {
	states, missing := make([]request.State, len(rows)), []Row{}
	for i, r := range rows {
		var known bool
		if states[i], known = v.store.folds.get(r); !known {
			states[i], missing = request.State{}, append(missing, r)
		}
	}
	began := v.store.folds.began()
	history, err := v.History(ctx, missing, false)
	if err != nil {
		return nil, err
	}
	for i, r := range rows {
		events, missed := history[r.Sequence]
		if !missed {
			continue
		}
		for _, e := range events {
			states[i] = request.Evolve(states[i], e.Sequence, e.Event)
		}
		v.store.folds.put(r, states[i], began)
	}
	return states, nil
}
