package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
)

// History is the cost of a long history. It is measured in a separate process.
type History struct {
	Requests int `json:"requests"`
	Events   int `json:"events"`
	// Stored is the size of the store in bytes.
	Stored int64 `json:"stored_bytes"`
	// Projection is the rate of rebuilding the projection from all events, in events per second.
	Projection float64 `json:"projection_events_per_s"`
	Child
}

// Child is what the separate process measured.
type Child struct {
	// Ready is the time from start until queries were answered, in milliseconds.
	Ready float64 `json:"ready_ms"`
	// Load is the time to load a random request; Recent is that of one of the newest, where decisions are made.
	Load   Latency `json:"load"`
	Recent Latency `json:"load_recent"`
	// Replay is the rate of replaying and folding everything, in events per second.
	Replay float64 `json:"replay_events_per_s"`
	// Memory of the process in bytes: when it was ready and idle, after the loads, and after the replay.
	MemoryReady  int64 `json:"memory_ready_bytes"`
	MemoryLoaded int64 `json:"memory_after_loads_bytes"`
	MemoryReplay int64 `json:"memory_after_replay_bytes"`
}

const (
	// populateAtOnce is high enough to fill the journal's group commits.
	populateAtOnce = 512
	// stillActive is the percentage of requests whose grant has not ended, and which therefore have a timer.
	stillActive = 2
	// newest is the number of requests that count as recent.
	newest = 1000
)

func (b *bench) history(ctx context.Context) error {
	s, err := newSite(ctx, filepath.Join(b.dir, "history"), "")
	if err != nil {
		return err
	}
	lives, err := b.bulk(ctx, s, b.scale.bulk)
	if err != nil {
		return err
	}
	recent, err := b.populate(ctx, s, b.scale.history, func(i int) fate {
		if i%100 < stillActive {
			return active
		}
		return over
	})
	if err != nil {
		return err
	}
	lives = append(lives, recent...)
	b.say("history: what waits for the services counts as handled")
	if err := s.with(ctx, none, func(running *stack.Stack) error { return skipAll(ctx, running) }); err != nil {
		return err
	}
	h := History{Requests: len(lives)}
	work := task{Dir: s.dir, Anywhere: sample(lives, b.scale.loads),
		Recent: sample(lives[max(0, len(lives)-newest):], b.scale.loads)}
	if h.Stored, err = dirSize(filepath.Join(s.dir, "nats")); err != nil {
		return err
	}
	b.say("history: the projection")
	begun := time.Now()
	if err := s.with(ctx, []bus.Identity{bus.Projector},
		func(running *stack.Stack) error { return s.answered(ctx, running, 0) }); err != nil {
		return err
	}
	projected := time.Since(begun)
	b.say("history: restart, loads, replay, in a process of its own")
	if h.Child, h.Events, err = runChild(ctx, work); err != nil {
		return err
	}
	h.Projection = perSecond(h.Events, projected)
	b.report.History = &h
	return nil
}

// sample draws n ids with replacement.
func sample(all []string, n int) []string {
	some := make([]string, n)
	for i := range some {
		some[i] = all[rand.IntN(len(all))] // #nosec G404 -- which ones does not matter
	}
	return some
}

// populate writes n requests, each up to its fate, as the services would have, and returns their ids.
func (b *bench) populate(ctx context.Context, s *site, n int, fates func(i int) fate) ([]string, error) {
	ids, numbers := make([]string, n), make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	err := s.with(ctx, none, func(running *stack.Stack) error {
		p, err := connectAll(ctx, running, bus.Evaluator, bus.Orchestrator)
		if err != nil {
			return err
		}
		defer p.Close()
		w, err := newWriter(ctx, s, p[bus.Orchestrator].Journal)
		if err != nil {
			return err
		}
		var done atomic.Int64
		return eachAtOnce(ctx, populateAtOnce, numbers, func(ctx context.Context, i int) error {
			at := time.Now()
			if fates(i) == over {
				at = at.Add(-24 * time.Hour)
			}
			l := w.generate(at, fates(i))
			ids[i] = l.intent.GetId()
			if d := done.Add(1); d%int64(max(1, n/5)) == 0 {
				b.say("writing requests: %d of %d", d, n)
			}
			return record(ctx, p, l, fates(i) == pending || fates(i) == active)
		})
	})
	return ids, err
}

// record stores a life through the journal, without its intent: once evaluated, that is erased.
func record(ctx context.Context, p peers, l life, active bool) error {
	after := uint64(0)
	for _, e := range l.events {
		var err error
		if after, err = p[bus.Identity(aggregate.WriterOf(e))].Append(ctx, after, e); err != nil {
			return err
		}
	}
	if !active {
		return nil
	}
	return p[bus.Orchestrator].SetTimer(ctx, aggregate.KeyOf(l.events[0]), l.timers[len(l.timers)-1])
}

func skipAll(ctx context.Context, running *stack.Stack) error {
	for _, id := range []bus.Identity{bus.Evaluator, bus.Orchestrator, bus.Notifier} {
		if err := skip(ctx, running, id); err != nil {
			return err
		}
	}
	return nil
}

// task tells the child process what to do; it is read from its standard input.
type task struct {
	Dir string `json:"dir"`
	// Anywhere and Recent are the ids of the requests to load.
	Anywhere []string `json:"anywhere"`
	Recent   []string `json:"recent"`
	// Serve is the URL of the demo issuer. If it is set, the child serves the portal instead of measuring, until its
	// input ends. Profile is the file for a CPU profile; empty: none.
	Serve   string `json:"serve"`
	Profile string `json:"profile"`
	// Listen has the bus of that child listen too; StageIn is where its server stages batches.
	Listen  bool   `json:"listen"`
	StageIn string `json:"stage_in"`
	// Follow is the URL of a server for which the child acts as the projector, until its input ends.
	Follow string `json:"follow"`
	// Node has the child be a server of a cluster until its input ends; nil: it is none.
	Node *bus.ServerOptions `json:"node"`
	// Verify is the URL of a server whose stream the child verifies.
	Verify string `json:"verify"`
}

// findings are the child's measurements, written to its standard output.
type findings struct {
	Child
	Events int `json:"events"`
}

// childVariable marks the child process in its environment.
const childVariable = "LOCKBOX_BENCH_CHILD"

func runChild(ctx context.Context, t task) (Child, int, error) {
	o, err := startChild(ctx, t)
	if err != nil {
		return Child{}, 0, err
	}
	var f findings
	err = errors.Join(json.Unmarshal([]byte(o.said), &f), o.end())
	return f.Child, f.Events, err
}

// childProcess is a child process, running this same program.
type childProcess struct {
	// said is the first line of its output.
	said    string
	process *os.Process
	end     func() error
}

// startChild starts a child process and returns after its first line of output.
func startChild(ctx context.Context, t task) (o *childProcess, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self) // #nosec G204 -- this very program
	cmd.Env, cmd.Stderr = append(os.Environ(), childVariable+"=1"), os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	o = &childProcess{process: cmd.Process,
		end: sync.OnceValue(func() error { return errors.Join(input.Close(), cmd.Wait()) })}
	if err := json.NewEncoder(input).Encode(t); err != nil {
		return nil, errors.Join(err, o.end())
	}
	if o.said, err = bufio.NewReader(output).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("the child process: %w", err), o.end())
	}
	o.said = strings.TrimSpace(o.said)
	return o, nil
}
