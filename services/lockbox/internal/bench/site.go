package bench

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/lease/leasetest"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/notifier"
	"github.com/openlockbox/lockbox/services/portal"
	"go.uber.org/zap"
)

// tool is the engineering tool that publishes the intents.
const tool = "console"

// workflowServices carry a request from intent to grant. Mail and the projection come later.
var workflowServices = []bus.Identity{bus.Evaluator, bus.Orchestrator}

// site is a Lockbox in its own directory.
type site struct {
	dir    string
	issuer *devissuer.Issuer
	// freshTokens means that each request comes with tokens of its own, which nobody has verified before.
	freshTokens bool
	// portal is the portal's configuration; nil: it is not served.
	portal *portal.Config
	// host is the address on which the server listens, on a free port; empty: it does not listen.
	host string
	// stageIn is a directory in memory in which the server stages batches; empty: on disk.
	stageIn string
	// servers are the processes of its bus; none: that is in this process.
	servers []*childProcess
}

func (s *site) keysDir() string { return filepath.Join(s.dir, "keys") }

// openSite opens the Lockbox in dir. Its issuer's URL is issuerURL; empty: the stored one.
func openSite(dir, issuerURL string) (*site, error) {
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: filepath.Join(dir, "issuer"), URL: issuerURL})
	if err != nil {
		return nil, err
	}
	return &site{dir: dir, issuer: issuer}, nil
}

// newSite creates a Lockbox with the demo's customers.
func newSite(ctx context.Context, dir, issuerURL string) (*site, error) {
	s, err := openSite(dir, issuerURL)
	if err != nil {
		return nil, err
	}
	return s, s.with(ctx, []bus.Identity{bus.Orchestrator}, func(running *stack.Stack) error {
		nc, err := running.Connect(bus.Client)
		if err != nil {
			return err
		}
		defer nc.Close()
		return s.seed(ctx, nc)
	})
}

// seed seeds the demo, and retries while the service is starting.
func (s *site) seed(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := demo.Seed(ctx, nc, s.issuer, time.Now)
		if !errors.Is(err, nats.ErrNoResponders) || ctx.Err() != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// start starts the given services; nil: all, empty: none.
func (s *site) start(ctx context.Context, only []bus.Identity) (*stack.Stack, error) {
	return stack.Start(ctx, stack.Config{
		Dir: s.dir, Tools: []evaluator.Tool{evaluator.Unlimited(tool)}, Issuers: []identity.Issuer{s.issuer.ProviderIssuer()},
		Terms: request.DefaultTerms(), Limits: policy.NoLimits(), Rates: orchestrator.Rates{CommandsPerMinute: -1},
		Only: only, Notifier: notifier.Config{Provider: devissuer.Provider,
			SMTP: notifier.SMTP{From: "lockbox@nimbus.example"}},
		Host: s.host, Port: -1, StageIn: s.stageIn, Portal: s.portal, Log: zap.NewNop(), Metrics: observe.NewMetrics(),
	})
}

// with starts the given services, calls do, and stops them.
func (s *site) with(ctx context.Context, only []bus.Identity, do func(*stack.Stack) error) error {
	running, err := s.start(ctx, only)
	if err != nil {
		return err
	}
	stop, err := keepLease(ctx, running, only)
	if err != nil {
		return errors.Join(err, running.Close())
	}
	return errors.Join(do(running), stop(), running.Err(), running.Close())
}

// keepLease keeps the lease alive if the orchestrator runs without the projector that would renew it.
func keepLease(ctx context.Context, running *stack.Stack, only []bus.Identity) (stop func() error, err error) {
	if !slices.Contains(only, bus.Orchestrator) || slices.Contains(only, bus.Projector) {
		return func() error { return nil }, nil
	}
	nc, err := running.Connect(bus.Projector)
	if err != nil {
		return nil, err
	}
	keys, err := running.Writer(bus.Projector)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := leasetest.Keep(ctx, nc, keys.Signer)
	return func() error {
		cancel()
		<-ended
		nc.Close()
		return nil
	}, nil
}

// none stands for no services: only the bus runs.
var none = []bus.Identity{}

// running is a Lockbox that runs, in this process (*stack.Stack) or in others (elsewhere).
type running interface {
	Connect(id bus.Identity) (*nats.Conn, error)
	// Writer returns the key with which an identity signs; nil if it signs nothing.
	Writer(id bus.Identity) (*writerkeys.Keys, error)
}

// elsewhere is a Lockbox in other processes.
type elsewhere struct {
	url, keys string
	// ca is the authority of its certificates; empty: it has none.
	ca string
}

// Connect connects with an identity's permissions.
func (e elsewhere) Connect(id bus.Identity) (*nats.Conn, error) {
	return bus.Connect(bus.Connection{URL: e.url, Identity: id, SeedFile: filepath.Join(e.keys, bus.SeedFile(id)),
		CA: e.ca})
}

// Writer returns the key with which an identity signs; nil if it signs nothing.
func (e elsewhere) Writer(id bus.Identity) (*writerkeys.Keys, error) {
	keys, err := writerkeys.In(e.keys, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	return &keys, err
}

// peer is a connection with one identity's permissions, and a journal on it that signs as that identity.
type peer struct {
	*nats.Conn
	*journal.Journal
	js     jetstream.JetStream
	signer *signed.Signer
}

func connect(ctx context.Context, s running, id bus.Identity) (peer, error) {
	nc, err := s.Connect(id)
	if err != nil {
		return peer{}, err
	}
	// On a busy machine the disk may be slow for a while, which is a measurement, not a failure.
	options := []journal.Option{journal.WithTimeout(patience), journal.WithLook(time.Millisecond)}
	keys, err := s.Writer(id)
	var signer *signed.Signer
	if err == nil && keys != nil {
		signer = keys.Signer
		options = append(options, journal.WithSigner(signer))
	}
	var j *journal.Journal
	if err == nil {
		j, err = journal.Open(ctx, nc, options...)
	}
	if err != nil {
		nc.Close()
		return peer{}, err
	}
	js, err := bus.JetStream(nc)
	return peer{nc, j, js, signer}, err
}

// Close closes the journal and the connection.
func (p peer) Close() {
	if p.Conn != nil {
		p.Journal.Close()
		p.Conn.Close()
	}
}

// peers are connections of several identities.
type peers map[bus.Identity]peer

func connectAll(ctx context.Context, s running, ids ...bus.Identity) (peers, error) {
	all := peers{}
	for _, id := range ids {
		p, err := connect(ctx, s, id)
		if err != nil {
			all.Close()
			return nil, err
		}
		all[id] = p
	}
	return all, nil
}

// Close closes all connections.
func (p peers) Close() {
	for _, one := range p {
		one.Close()
	}
}

func newID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}
