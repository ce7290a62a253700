package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"golang.org/x/sync/errgroup"
)

// Workflow is one run of complete requests: each client starts the next one when the previous one has ended.
type Workflow struct {
	AtOnce int     `json:"at_once"`
	Rate   float64 `json:"requests_per_s"`
	Latency
	// CPU is the CPU time of the whole process (server, services and clients), in milliseconds per request.
	CPU float64 `json:"cpu_ms_per_request"`
	// Written is the number of bytes sent to disk, Stored the growth of the store; both in bytes per request.
	Written float64 `json:"written_bytes_per_request"`
	Stored  float64 `json:"stored_bytes_per_request"`
	// RateToFloor and P50ToFloor are ratios to the mean of the floors measured right before and after.
	RateToFloor float64 `json:"rate_to_floor"`
	P50ToFloor  float64 `json:"p50_to_floor"`
}

func (b *bench) workflow(ctx context.Context) error {
	s, err := newSite(ctx, filepath.Join(b.dir, "workflow"), "")
	if err != nil {
		return err
	}
	if err := b.floor(ctx, "before"); err != nil {
		return err
	}
	for _, n := range b.scale.atOnce {
		b.say("the whole workflow, %d at once", n)
		var row Workflow
		err := s.with(ctx, workflowServices, func(running *stack.Stack) error {
			row, err = b.workflowRun(ctx, s, running, n, fmt.Sprintf("workflow-%d", n))
			return err
		})
		if err != nil {
			return fmt.Errorf("%d at once: %w", n, err)
		}
		if err := b.floor(ctx, fmt.Sprintf("after %d at once", n)); err != nil {
			return err
		}
		floors := b.report.Floor
		row.compare(floors[len(floors)-2], floors[len(floors)-1])
		b.report.Workflow = append(b.report.Workflow, row)
	}
	if err := b.followed(ctx, s); err != nil {
		return err
	}
	return b.staged(ctx)
}

// Followed is another run of the workflow, with a projector, and its lag when the last request had ended.
type Followed struct {
	AtOnce int     `json:"at_once"`
	Rate   float64 `json:"requests_per_s"`
	// Answered is the time until queries included everything, Signed the time until a checkpoint covered everything;
	// both in milliseconds.
	Answered float64 `json:"answered_after_ms"`
	Signed   float64 `json:"signed_after_ms"`
}

func (b *bench) followed(ctx context.Context, s *site) error {
	n := b.scale.atOnce[len(b.scale.atOnce)-1]
	b.say("the same with a projector, %d at once", n)
	return s.with(ctx, append(slices.Clone(workflowServices), bus.Projector), func(running *stack.Stack) error {
		if err := s.answered(ctx, running, 0); err != nil {
			return err
		}
		p, err := connect(ctx, running, bus.Compliance)
		if err != nil {
			return err
		}
		defer p.Close()
		if err := covered(ctx, p.Journal, 1); err != nil { // without a checkpoint, no access is granted
			return err
		}
		row, err := b.workflowRun(ctx, s, running, n, "workflow-followed")
		if err != nil {
			return err
		}
		begun := time.Now()
		copies, err := p.Copies(ctx)
		if err != nil {
			return err
		}
		f := &Followed{AtOnce: n, Rate: row.Rate}
		if err := s.answered(ctx, running, copies.Last); err != nil {
			return err
		}
		f.Answered = millis(time.Since(begun))
		err = covered(ctx, p.Journal, copies.Last)
		f.Signed = millis(time.Since(begun))
		b.report.Followed = f
		return err
	})
}

// floor measures the floor between the runs, because the speed of a busy machine's disk varies.
func (b *bench) floor(ctx context.Context, when string) error {
	b.say("the bare floor, %s", when)
	s, err := newSite(ctx, filepath.Join(b.dir, fmt.Sprintf("floor-%d", len(b.report.Floor))), "")
	if err != nil {
		return err
	}
	floor, err := measureFloor(ctx, s, when, b.scale.floor)
	b.report.Floor = append(b.report.Floor, floor)
	return err
}

// compare relates the run to the mean of the floors before and after it.
func (w *Workflow) compare(before, after Floor) {
	rate, p50 := (before.Rate+after.Rate)/2, (before.P50+after.P50)/2
	if rate > 0 && p50 > 0 {
		w.RateToFloor, w.P50ToFloor = w.Rate/rate, w.P50/p50
	}
}

func (b *bench) workflowRun(
	ctx context.Context, s *site, running *stack.Stack, n int, profile string,
) (Workflow, error) {
	c, err := newClient(ctx, s, running)
	if err != nil {
		return Workflow{}, err
	}
	defer c.Close()
	return b.crowdRun(ctx, s, n, c.carry, profile)
}

// crowdRun measures n clients, each of which does something again and again.
func (b *bench) crowdRun(
	ctx context.Context, s *site, n int, do func(context.Context) error, profile string,
) (Workflow, error) {
	crowd := startCrowd(ctx, n, do)
	if err := crowd.during(b.scale.warmUp); err != nil {
		return Workflow{}, err
	}
	stopProfile, err := profileInto(b.profile(profile))
	if err != nil {
		return Workflow{}, errors.Join(err, crowd.stop())
	}
	before, err := s.usage()
	if err != nil {
		return Workflow{}, errors.Join(err, crowd.stop())
	}
	crowd.count()
	begun := time.Now()
	var took []time.Duration
	for len(took) == 0 { // on a busy machine, a short window may see none end
		if err := crowd.during(b.scale.workflow); err != nil {
			return Workflow{}, err
		}
		took = crowd.count()
	}
	window := time.Since(begun)
	after, err := s.usage()
	if err := errors.Join(err, stopProfile(), crowd.stop()); err != nil {
		return Workflow{}, err
	}
	used, each := after.since(before), float64(max(1, len(took)))
	return Workflow{
		AtOnce: n, Rate: perSecond(len(took), window), Latency: latency(took), CPU: millis(used.cpu) / each,
		Written: float64(used.written) / each, Stored: float64(used.stored) / each,
	}, nil
}

// profile returns the path of a CPU profile; empty if profiles were not requested, or not of this.
func (b *bench) profile(name string) string {
	if b.options.Profiles == "" || name == "" {
		return ""
	}
	return filepath.Join(b.options.Profiles, name+".pprof")
}

// profileInto writes a CPU profile until the returned function is called; it does nothing if path is empty.
func profileInto(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(path) // #nosec G304 -- the user names the directory
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

// allocationsInto writes an allocation profile beside the CPU profile; it does nothing if path is empty.
func allocationsInto(path string) error {
	if path == "" {
		return nil
	}
	file, err := os.Create(path + ".allocs") // #nosec G304 -- the user names the directory
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(file, 0), file.Close())
}

// crowd runs a function repeatedly in many goroutines.
type crowd struct {
	cancel context.CancelFunc
	all    *errgroup.Group
	// over is done when a call has failed, or all are to end.
	over <-chan struct{}

	mu   sync.Mutex
	took []time.Duration
}

func startCrowd(ctx context.Context, n int, do func(context.Context) error) *crowd {
	ctx, cancel := context.WithCancel(ctx)
	all, ctx := errgroup.WithContext(ctx)
	c := &crowd{cancel: cancel, all: all, over: ctx.Done()}
	for range n {
		all.Go(func() error {
			for ctx.Err() == nil {
				begun := time.Now()
				// A running request is completed, so that nothing is left half done for the next run.
				if err := do(context.WithoutCancel(ctx)); err != nil {
					return err
				}
				c.add(time.Since(begun))
			}
			return nil
		})
	}
	return c
}

func (c *crowd) add(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, took)
}

// count returns the durations of the calls that ended since it was last called.
func (c *crowd) count() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	took := c.took
	c.took = nil
	return took
}

// during waits for the given time, or until a call fails.
func (c *crowd) during(d time.Duration) error {
	select {
	case <-c.over:
		return c.stop()
	case <-time.After(d):
		return nil
	}
}

// stop waits until the running calls have ended.
func (c *crowd) stop() error {
	c.cancel()
	return c.all.Wait()
}
