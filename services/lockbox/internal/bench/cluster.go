package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/lease/leasetest"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// Cluster is the whole workflow on three servers, each event on the disk of a majority before it is acknowledged, in
// turns with the peer that has Lockbox's duties, whose server waits for two standbys. All of it runs on one machine.
type Cluster struct {
	// Server is the version of PostgreSQL, and for what it waits; empty: there are no peers.
	Server string       `json:"server"`
	Rounds int          `json:"rounds"`
	Rows   []ClusterRow `json:"rows"`
}

// ClusterRow holds the figures at one number of concurrent requests.
type ClusterRow struct {
	AtOnce  int      `json:"at_once"`
	Lockbox Measured `json:"lockbox"`
	// Sooner is Lockbox whose services make batches of fewer events, as where one server stages them in memory.
	Sooner Measured `json:"batches_sooner"`
	// Equal is the peer's.
	Equal Measured `json:"equal_duties"`
}

// standbys is what the peers' server waits for: until both have flushed what it writes, as synchronous_commit=on says.
const standbys = "2 (a,b)"

// cluster measures in turns.
func (b *bench) cluster(ctx context.Context) (err error) {
	dir := filepath.Join(b.dir, "cluster")
	s, at, err := startServers(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stopServers()) }()
	if err := s.withServices(ctx, at, false, func() error {
		nc, err := at.Connect(bus.Client)
		if err != nil {
			return err
		}
		defer nc.Close()
		return s.seed(ctx, nc)
	}); err != nil {
		return err
	}
	longer := *b
	longer.scale.workflow = b.scale.clustered
	carried := func(sooner bool) func(int) (Measured, error) {
		return func(n int) (m Measured, err error) {
			err = s.withServices(ctx, at, sooner, func() error {
				m, err = longer.decided(ctx, s, at, n)
				return err
			})
			return m, err
		}
	}
	turns := []turn{{"Lockbox", carried(false)}, {"Lockbox, batches sooner", carried(true)}}
	result := &Cluster{Rounds: b.scale.rounds}
	if b.options.Peers != "" {
		peers, err := startPeers(ctx, b.options.Peers, b.options.Dir, "--standbys", standbys)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, peers.end()) }()
		result.Server = fmt.Sprintf("%s with synchronous_standby_names = '%s'", peers.server, standbys)
		turns = append(turns, turn{"equal duties", func(n int) (Measured, error) {
			return peers.measure(peerTask{"equal", n, b.scale.warmUp.Milliseconds(), b.scale.clustered.Milliseconds()})
		}})
	}
	for _, n := range b.scale.atOnce {
		m, err := b.takeTurns("three servers", n, turns)
		if err != nil {
			return err
		}
		row := ClusterRow{AtOnce: n, Lockbox: m[0], Sooner: m[1]}
		if len(m) > 2 {
			row.Equal = m[2]
		}
		result.Rows = append(result.Rows, row)
	}
	b.report.Cluster = result
	return nil
}

// decided runs the whole workflow, and also measures the decisions.
func (b *bench) decided(ctx context.Context, s *site, at running, n int) (Measured, error) {
	c, err := newClient(ctx, s, at)
	if err != nil {
		return Measured{}, err
	}
	defer c.Close()
	var mu sync.Mutex
	var decisions []time.Duration
	row, err := b.crowdRun(ctx, s, n, func(ctx context.Context) error {
		took, err := c.carryTimed(ctx)
		mu.Lock()
		defer mu.Unlock()
		decisions = append(decisions, took.decided)
		return err
	}, "")
	return Measured{Rate: row.Rate, P50: row.P50, CPU: row.CPU, Decision: latency(decisions).P50}, err
}

// node is a server of a cluster. It prints its address when the cluster is there, and runs until its input ends.
func node(ctx context.Context, o bus.ServerOptions, in io.Reader, out io.Writer) error {
	s, err := embedded.Start(ctx, o, zap.NewNop())
	if err != nil {
		return err
	}
	defer s.Shutdown()
	if _, err := fmt.Fprintln(out, s.ClientURL()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// startServers starts three servers in processes of their own, and makes streams with three replicas.
func startServers(ctx context.Context, dir string) (s *site, at elsewhere, err error) {
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: filepath.Join(dir, "issuer")})
	if err != nil {
		return nil, at, err
	}
	s = &site{dir: dir, issuer: issuer, freshTokens: true}
	keys, err := bus.LoadOrCreateKeys(s.keysDir(), []string{tool})
	if err != nil {
		return nil, at, err
	}
	public, err := keys.Public()
	if err != nil {
		return nil, at, err
	}
	ports, routes, err := freePorts(ctx, 3)
	if err != nil {
		return nil, at, err
	}
	s.servers = make([]*childProcess, len(ports))
	urls := make([]string, len(ports))
	var starting errgroup.Group
	for i, port := range ports {
		name := fmt.Sprintf("server-%d", i)
		starting.Go(func() (err error) {
			s.servers[i], err = startChild(ctx, task{Node: &bus.ServerOptions{
				Name: name, StoreDir: filepath.Join(dir, name), PublicKeys: public, Host: "127.0.0.1", Port: -1,
				Cluster: &bus.ClusterOptions{Name: "lockbox", Host: "127.0.0.1", Port: port, Routes: routes},
			}})
			if err == nil {
				urls[i] = s.servers[i].said
			}
			return err
		})
	}
	err = starting.Wait()
	s.servers = slices.DeleteFunc(s.servers, func(o *childProcess) bool { return o == nil })
	at = elsewhere{url: strings.Join(urls, ","), keys: s.keysDir()}
	if err == nil {
		err = provision(ctx, at, len(ports))
	}
	if err != nil {
		return nil, at, errors.Join(err, s.stopServers())
	}
	return s, at, nil
}

// provision makes the streams, and retries while the cluster has no leader.
func provision(ctx context.Context, at running, replicas int) error {
	nc, err := at.Connect(bus.Provisioner)
	if err != nil {
		return err
	}
	defer nc.Close()
	for end := time.Now().Add(patience); ; time.Sleep(pollEvery) {
		if err := bus.Provision(ctx, nc, replicas); err == nil || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
	}
}

func freePorts(ctx context.Context, n int) (ports []int, addresses []string, err error) {
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert,errcheck // it is TCP's
		addresses = append(addresses, l.Addr().String())
	}
	return ports, addresses, nil
}

func (s *site) stopServers() (err error) {
	for _, o := range s.servers {
		err = errors.Join(err, o.end())
	}
	return err
}

// withServices runs evaluator and orchestrator in this process, connected over sockets, while do does something.
func (s *site) withServices(ctx context.Context, at elsewhere, sooner bool, do func() error) (err error) {
	guard, err := at.Connect(bus.Projector)
	if err != nil {
		return err
	}
	defer guard.Close()
	maker := writerkeys.Maker{Dir: at.keys, Origin: "lockbox.localhost/log", Now: time.Now()}
	if err := maker.Begin(); err != nil {
		return err
	}
	if _, err := maker.Make(bus.Identities()); err != nil {
		return err
	}
	projector, err := at.Writer(bus.Projector)
	if err != nil {
		return err
	}
	secret, err := keystore.LoadOrCreate(at.keys)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	parts, inside := errgroup.WithContext(ctx)
	defer func() {
		cancel()
		err = errors.Join(err, parts.Wait())
	}()
	terms, metrics := request.DefaultTerms(), observe.NewMetrics()
	for _, one := range []struct {
		id  bus.Identity
		run func(context.Context, *service.Runtime) error
	}{
		{bus.Orchestrator, func(ctx context.Context, rt *service.Runtime) error {
			return orchestrator.Run(ctx, rt, orchestrator.Config{Terms: terms, Certificates: at.keys,
				Limits: orchestrator.Rates{CommandsPerMinute: -1}})
		}},
		{bus.Evaluator, func(ctx context.Context, rt *service.Runtime) error {
			return evaluator.Run(ctx, rt, evaluator.Config{Terms: terms, Limits: policy.NoLimits(),
				Tools: []evaluator.Tool{evaluator.Unlimited(tool)}})
		}},
	} {
		writer, err := at.Writer(one.id)
		if err != nil {
			return err
		}
		rt, err := service.Open(inside, bus.Connection{URL: at.url, Identity: one.id, StagedInMemory: sooner,
			SeedFile: filepath.Join(at.keys, bus.SeedFile(one.id)), Log: zap.NewNop()},
			[]identity.Issuer{s.issuer.ProviderIssuer()}, metrics.For(string(one.id)),
			service.WithWriter(writer), service.WithSecret(&secret))
		if err != nil {
			return err
		}
		parts.Go(func() error {
			defer rt.Close()
			return service.Outlive(inside, rt.Log, func(ctx context.Context) error { return one.run(ctx, rt) })
		})
		if one.id != bus.Orchestrator {
			continue
		}
		select {
		case <-rt.Listening():
		case <-inside.Done():
			return context.Cause(inside)
		}
	}
	renewing := leasetest.Keep(ctx, guard, projector.Signer) // now that they hear it
	defer func() {
		cancel()
		<-renewing
	}()
	return do()
}

func clusterTable(c *Cluster) string {
	cells := [][]string{{"at once", "Lockbox: requests/s", "batches sooner", "×", "equal duties", "Lockbox ÷ equal",
		"p50 ms: Lockbox", "sooner", "equal", "a decision, p50 ms: Lockbox", "sooner", "equal", "CPU ms/request: Lockbox",
		"sooner", "equal"}}
	for _, r := range c.Rows {
		row := []string{number(float64(r.AtOnce), 0), number(r.Lockbox.Rate, 0), number(r.Sooner.Rate, 0),
			number(r.Sooner.Rate/r.Lockbox.Rate, 2), "", ""}
		if r.Equal.Rate > 0 {
			row[4], row[5] = number(r.Equal.Rate, 0), number(r.Lockbox.Rate/r.Equal.Rate, 2)
		}
		for _, of := range []func(Measured) float64{func(m Measured) float64 { return m.P50 },
			func(m Measured) float64 { return m.Decision }, func(m Measured) float64 { return m.CPU }} {
			row = append(row, number(of(r.Lockbox), 1), number(of(r.Sooner), 1), number(of(r.Equal), 1))
		}
		cells = append(cells, row)
	}
	return table(cells)
}
