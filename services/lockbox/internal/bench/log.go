package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	projector "github.com/openlockbox/lockbox/services/audit-projector"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/lockbox/internal/verify"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// Log is the cost of the audit log with a long history. The projector is a process of its own and reads over a socket;
// the server and the verifier are separate processes, too.
type Log struct {
	Requests int `json:"requests"`
	Events   int `json:"events"`
	// Read is the floor: the rate of a reader that ignores the events, in events per second.
	Read float64 `json:"read_events_per_s"`
	// Answered is the rate from an empty directory until queries are answered; Signed is that until a checkpoint
	// covers every event. Both are in events per second and measured in the same run.
	Answered float64 `json:"projection_events_per_s"`
	Signed   float64 `json:"trees_events_per_s"`
	// Vouched is the time from the same start until the guard first reports that all is well, in milliseconds.
	Vouched float64 `json:"vouched_ms"`
	// Look is the time from a restart with existing data until the guard has compared everything and reports it, in
	// milliseconds.
	Look float64 `json:"restart_to_vouched_ms"`
	// Verify is the time to read the whole stream and check every invariant, in milliseconds.
	Verify float64 `json:"verify_ms"`
	// Query is the latency of an activity log query with three filters, at a steady rate (questions over looking),
	// while the guard compares everything again.
	Query Latency `json:"query"`
	// Memory of the projector in bytes: the peak while everything was built, the resident memory after queries and
	// comparisons, and the peak after a restart.
	MemoryMaking  int64 `json:"memory_making_bytes"`
	MemoryAfter   int64 `json:"memory_after_bytes"`
	MemoryRestart int64 `json:"memory_restart_bytes"`
}

func (b *bench) log(ctx context.Context) error {
	s, err := newSite(ctx, filepath.Join(b.dir, "log"), "")
	if err != nil {
		return err
	}
	s.host = "127.0.0.1"
	if _, err := b.populate(ctx, s, b.scale.logged, func(int) fate { return granted }); err != nil {
		return err
	}
	if _, err := logkeys.LoadOrCreate(s.keysDir(), "lockbox.bench/log"); err != nil {
		return err
	}
	return s.with(ctx, none, func(running *stack.Stack) error {
		p, err := connectAll(ctx, running, bus.Compliance, bus.Orchestrator, bus.Client)
		if err != nil {
			return err
		}
		defer p.Close()
		l := &Log{Requests: b.scale.logged}
		if err := l.measure(ctx, b, s, running, p); err != nil {
			return err
		}
		b.report.Log = l
		return nil
	})
}

func (l *Log) measure(ctx context.Context, b *bench, s *site, running *stack.Stack, p peers) error {
	b.say("log: the floor")
	begun := time.Now()
	var last uint64
	err := p[bus.Compliance].Replay(ctx, journal.Replay{}, func(e journal.Entry) error {
		l.Events++
		last = e.Seq
		return nil
	})
	if err != nil {
		return err
	}
	l.Read = perSecond(l.Events, time.Since(begun))

	b.say("log: projection and trees from nothing, in a process of their own")
	leases, err := p[bus.Orchestrator].SubscribeSync(bus.LeaseSubject)
	if err != nil {
		return err
	}
	begun = time.Now()
	made, err := startChild(ctx, task{Dir: s.dir, Follow: running.URL(), Profile: b.profile("log-made")})
	if err != nil {
		return err
	}
	defer func() { _ = made.end() }() // no effect if it has ended already
	var signing errgroup.Group
	signing.Go(func() error {
		err := covered(ctx, p[bus.Compliance].Journal, last)
		l.Signed = perSecond(l.Events, time.Since(begun))
		return err
	})
	if err := s.answered(ctx, running, 0); err != nil {
		return err
	}
	l.Answered = perSecond(l.Events, time.Since(begun))
	if err := signing.Wait(); err != nil {
		return err
	}
	if _, err := leases.NextMsgWithContext(ctx); err != nil {
		return err
	}
	l.Vouched = millis(time.Since(begun))
	if l.MemoryMaking, err = made.memory("VmHWM"); err != nil {
		return err
	}

	b.say("log: questions, while the guard looks again")
	if l.Query, err = s.threeFilters(ctx, p[bus.Client], b.scale.questions, b.scale.looking); err != nil {
		return err
	}
	if l.MemoryAfter, err = made.memory("VmRSS"); err != nil {
		return err
	}

	b.say("log: a restart")
	if err := made.end(); err != nil {
		return err
	}
	for { // drains reports from before its end
		if _, err := leases.NextMsg(time.Millisecond); err != nil {
			break
		}
	}
	begun = time.Now()
	again, err := startChild(ctx, task{Dir: s.dir, Follow: running.URL(), Profile: b.profile("log-restart")})
	if err != nil {
		return err
	}
	if _, err := leases.NextMsgWithContext(ctx); err != nil {
		return errors.Join(err, again.end())
	}
	l.Look = millis(time.Since(begun))
	l.MemoryRestart, err = again.memory("VmHWM")
	if err := errors.Join(err, again.end()); err != nil {
		return err
	}

	b.say("log: every invariant over everything")
	begun = time.Now()
	verified, err := startChild(ctx, task{Dir: s.dir, Verify: running.URL(), Profile: b.profile("log-verify")})
	if err != nil {
		return err
	}
	l.Verify = millis(time.Since(begun))
	return verified.end()
}

// covered waits until a checkpoint covers the stream up to the given sequence.
func covered(ctx context.Context, j *journal.Journal, last uint64) error {
	for {
		newest, err := j.Latest(ctx, aggregate.MerkleLog)
		if err != nil {
			return err
		}
		if newest.Event.GetCheckpointSigned().GetCoveredSequence() >= last {
			return nil
		}
		time.Sleep(pollEvery)
	}
}

// verifyInChild does the work of `lockbox audit verify --stream`, and prints a line when it has finished.
func verifyInChild(ctx context.Context, s *site, t task, out io.Writer) error {
	stop, err := profileInto(t.Profile)
	if err != nil {
		return err
	}
	keys, err := bus.LoadOrCreateKeys(s.keysDir(), []string{tool})
	if err != nil {
		return err
	}
	nc, err := bus.Connect(bus.Connection{URL: t.Verify, Identity: bus.Compliance, Seed: keys[bus.Compliance]})
	if err != nil {
		return err
	}
	defer nc.Close()
	j, err := journal.Open(ctx, nc)
	if err != nil {
		return err
	}
	defer j.Close()
	// The benchmark's story has no notifier: as of no time, no mail is overdue.
	v, err := verify.Stream(ctx, j, time.Time{}, nil, func(journal.Entry) {})
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	if len(v.Violations) > 0 {
		return fmt.Errorf("the benchmark's data violates %v", v.Violations[0])
	}
	_, err = fmt.Fprintln(out, v.Events)
	return err
}

// threeFilters queries the activity log n times by action, person and subscription, evenly spread over long.
func (s *site) threeFilters(ctx context.Context, client peer, n int, long time.Duration) (Latency, error) {
	token, err := s.issuer.Token(administrator, time.Now())
	if err != nil {
		return Latency{}, err
	}
	query := &lockboxv1.Query{Tenant: customer, Token: token,
		Ask: &lockboxv1.Query_ListActivity{ListActivity: &lockboxv1.ListActivity{
			Actions: []string{"CustomerApproved"}, Person: approver, SubscriptionId: demo.BankProduction, Limit: 50,
		}}}
	took := make([]time.Duration, n)
	first := time.Now()
	for i := range took {
		time.Sleep(time.Until(first.Add(long * time.Duration(i) / time.Duration(n))))
		begun := time.Now()
		reply, err := ask(ctx, client.Conn, query)
		if err != nil {
			return Latency{}, err
		}
		took[i] = time.Since(begun)
		list := reply.GetActivity()
		if len(list.GetActivities()) == 0 {
			return Latency{}, errors.New("the activity log shows no approval")
		}
		query.GetListActivity().PageToken = list.GetNextPageToken() // empty after the last page: starts over
	}
	return latency(took), nil
}

// followInChild runs the projector in this process until its input ends.
func followInChild(ctx context.Context, s *site, t task, in io.Reader, out io.Writer) (err error) {
	stop, err := profileInto(t.Profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	keys, err := bus.LoadOrCreateKeys(s.keysDir(), []string{tool})
	if err != nil {
		return err
	}
	writer, err := writerkeys.In(s.keysDir(), bus.Projector)
	if err != nil {
		return err
	}
	secret, err := keystore.LoadOrCreate(s.keysDir())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) // an error also means that the input has ended
		cancel()
	}()
	rt, err := service.Open(ctx, bus.Connection{URL: t.Follow, Identity: bus.Projector, Seed: keys[bus.Projector],
		Log: zap.NewNop()},
		[]identity.Issuer{s.issuer.ProviderIssuer()}, observe.NewMetrics().For(string(bus.Projector)),
		service.WithWriter(&writer), service.WithSecret(&secret))
	if err != nil {
		return err
	}
	defer rt.Close()
	if _, err := fmt.Fprintln(out, "following"); err != nil {
		return err
	}
	return projector.Run(ctx, rt, projector.Config{Dir: filepath.Join(s.dir, "projection"), Log: projector.LogConfig{
		SigningKeyFile: config.SecretFile(filepath.Join(s.keysDir(), logkeys.SigningKeyFile)),
		SaltsFile:      config.SecretFile(filepath.Join(s.keysDir(), logkeys.SaltsFile)),
	}})
}

// memory returns a memory figure of the process in bytes, by its name in /proc/<pid>/status.
func (o *childProcess) memory(name string) (int64, error) {
	kib, err := procField("/proc/"+strconv.Itoa(o.process.Pid)+"/status", name)
	return kib << 10, err
}
