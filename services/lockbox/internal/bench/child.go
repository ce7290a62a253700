package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
)

// child starts a Lockbox on an existing store, measures, and writes its findings to out.
func child(ctx context.Context, in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return err
	}
	if t.Node != nil {
		return node(ctx, *t.Node, in, out)
	}
	s, err := openSite(t.Dir, t.Serve)
	if err != nil {
		return err
	}
	if t.Follow != "" {
		return followInChild(ctx, s, t, in, out)
	}
	if t.Verify != "" {
		return verifyInChild(ctx, s, t, out)
	}
	stack.LimitMemory() // as `lockbox up` does
	if t.Serve != "" {
		s.stageIn = t.StageIn
		if t.Listen {
			s.host = "127.0.0.1"
		}
		return serve(ctx, s, t.Profile, in, out)
	}
	var f findings
	begun := time.Now()
	return s.with(ctx, nil, func(running *stack.Stack) error {
		if err := s.answered(ctx, running, 0); err != nil {
			return err
		}
		f.Ready = millis(time.Since(begun))
		if err := rest(ctx); err != nil {
			return err
		}
		if err := f.measure(ctx, running, t); err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(f)
	})
}

func (f *findings) measure(ctx context.Context, running *stack.Stack, t task) error {
	p, err := connect(ctx, running, bus.Compliance)
	if err != nil {
		return err
	}
	defer p.Close()
	if f.MemoryReady, err = memory(); err != nil {
		return err
	}
	if f.Recent, err = loads(ctx, p.Journal, t.Recent); err != nil {
		return err
	}
	if f.Load, err = loads(ctx, p.Journal, t.Anywhere); err != nil {
		return err
	}
	if f.MemoryLoaded, err = memory(); err != nil {
		return err
	}
	begun := time.Now()
	if f.Events, err = replay(ctx, p.Journal); err != nil {
		return err
	}
	f.Replay = perSecond(f.Events, time.Since(begun))
	f.MemoryReplay, err = memory()
	return err
}

const (
	restWatch = 250 * time.Millisecond
	restShare = 10 // percent of one processor
)

// rest waits, up to patience, until the work caused by the start has ended and the process is nearly idle.
func rest(ctx context.Context) error {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		before, err := cpuTime()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(restWatch):
		}
		after, err := cpuTime()
		if err != nil || after-before < restWatch*restShare/100 {
			return err
		}
	}
	return nil
}

// loads reads and folds the requests one after the other.
func loads(ctx context.Context, j *journal.Journal, ids []string) (Latency, error) {
	took := make([]time.Duration, len(ids))
	for i, id := range ids {
		begun := time.Now()
		about := aggregate.Request(customer, id)
		states, err := repository.New(j).Basis(ctx, about)
		if err != nil {
			return Latency{}, err
		}
		took[i] = time.Since(begun)
		state := states.Request(about)
		if state.Fault != nil || state.Grant == nil {
			return Latency{}, fmt.Errorf("request %s differs from what was written: %s", id, request.Outcome(state))
		}
	}
	return latency(took), nil
}

// replay folds every event, keeps the state of live aggregates, and returns the number of events.
func replay(ctx context.Context, j *journal.Journal) (int, error) {
	states := repository.States{}
	events := 0
	err := j.Replay(ctx, journal.Replay{}, func(e journal.Entry) error {
		events++
		about := aggregate.KeyOf(e.Event)
		after := states.Add(e.Seq, e.Event)
		if after != nil && after.Folded().Fault != nil {
			return fmt.Errorf("%s: %s", about, after.Folded().Fault.Rule)
		}
		if about.Kind == aggregate.KindRequest && request.Ended(states.Request(about).Status) {
			delete(states, about)
		}
		return nil
	})
	return events, err
}
