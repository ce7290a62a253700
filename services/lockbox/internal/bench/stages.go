package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
)

// Stage is the throughput of one part of the workflow when it runs alone and all of its work is waiting.
type Stage struct {
	Name     string  `json:"name"`
	Requests int     `json:"requests"`
	Rate     float64 `json:"requests_per_s"`
}

// stageAtOnce is the number of concurrent intents and approvals.
const stageAtOnce = 256

var accessEvaluated = aggregate.TypeOf(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessEvaluated{}})

// stages takes the scale's number of requests through the workflow, all of them through one stage before the next
// begins.
func (b *bench) stages(ctx context.Context) error {
	s, err := newSite(ctx, filepath.Join(b.dir, "stages"), "")
	if err != nil {
		return err
	}
	ids := make([]string, b.scale.stage)
	for i := range ids {
		if ids[i], err = newID(); err != nil {
			return err
		}
	}
	steps := []struct {
		name  string
		runs  []bus.Identity
		stage func(context.Context, *site, *stack.Stack, []string) (time.Duration, error)
	}{
		{"intents published", none, publishAll},
		{"evaluated (jit-evaluator alone)", []bus.Identity{bus.Evaluator}, untilStored(accessEvaluated)},
		{"put to the customer (lockbox-orchestrator alone)", []bus.Identity{bus.Orchestrator}, untilStored(customerNotified)},
		{"approved and granted (lockbox-orchestrator alone)", []bus.Identity{bus.Orchestrator}, approveAll},
	}
	for _, step := range steps {
		b.say("%d requests: %s", len(ids), step.name)
		took, err := runStage(ctx, s, step.runs, ids, step.stage)
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		b.report.Stages = append(b.report.Stages, Stage{step.name, len(ids), perSecond(len(ids), took)})
	}
	return nil
}

func runStage(
	ctx context.Context, s *site, runs []bus.Identity, ids []string,
	stage func(context.Context, *site, *stack.Stack, []string) (time.Duration, error),
) (took time.Duration, err error) {
	err = s.with(ctx, runs, func(running *stack.Stack) error {
		if took, err = stage(ctx, s, running, ids); err != nil {
			return err
		}
		// The next stage begins when this one has no work left.
		for _, id := range runs {
			if err := awaitIdle(ctx, running, id); err != nil {
				return err
			}
		}
		return nil
	})
	return took, err
}

func publishAll(ctx context.Context, s *site, running *stack.Stack, ids []string) (time.Duration, error) {
	return forAll(ctx, s, running, ids, (*client).submit)
}

func approveAll(ctx context.Context, s *site, running *stack.Stack, ids []string) (time.Duration, error) {
	return forAll(ctx, s, running, ids, func(c *client, ctx context.Context, id string) error {
		stored := c.expect(id)
		if err := c.approve(ctx, id); err != nil {
			return err
		}
		return await(ctx, stored.granted)
	})
}

// forAll calls do for each request, many concurrently, and returns the total time.
func forAll(
	ctx context.Context, s *site, running *stack.Stack, ids []string, do func(*client, context.Context, string) error,
) (time.Duration, error) {
	c, err := newClient(ctx, s, running)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	begun := time.Now()
	err = eachAtOnce(ctx, stageAtOnce, ids, func(ctx context.Context, id string) error { return do(c, ctx, id) })
	return time.Since(begun), err
}

// untilStored waits until there is an event of the given type for each request, and returns the time between the first
// and the last of them.
func untilStored(typ string) func(context.Context, *site, *stack.Stack, []string) (time.Duration, error) {
	return func(ctx context.Context, _ *site, running *stack.Stack, ids []string) (time.Duration, error) {
		p, err := connect(ctx, running, bus.Compliance)
		if err != nil {
			return 0, err
		}
		defer p.Close()
		ctx, cancel := context.WithTimeoutCause(ctx, 10*patience, errTimeout)
		defer cancel()
		var first, last time.Time
		count := 0
		of := journal.Replay{Kind: aggregate.KindRequest, Type: typ, Follow: true, Undecoded: true}
		err = p.Replay(ctx, of, func(e journal.Entry) error {
			if count++; count == 1 {
				first = e.Stored
			}
			if last = e.Stored; count == len(ids) {
				return errAll
			}
			return nil
		})
		if !errors.Is(err, errAll) {
			return 0, cmp.Or(err, context.Cause(ctx))
		}
		return last.Sub(first), nil
	}
}

// errAll ends a replay that has seen everything it waited for.
var errAll = errors.New("bench: all are there")
