// Package projector answers queries about requests, tickets, tenants and their history. It follows all of EVENTS into a
// disposable SQLite projection (internal/projection) and answers queries from it, with access control for each caller
// (internal/answer). It also builds the Merkle log over the stream (internal/ledger), and serves it over HTTP
// (internal/logserver). It writes what it found itself: checkpoints, differences, and what witnesses saw of customers'
// keys. It decides nothing.
package projector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/accesslog"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/fair"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/pkg/timetext"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/accessdb"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/answer"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/cosign"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/guard"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/logserver"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"go.uber.org/zap"
)

// Name is the service's name on the bus and in metrics.
const Name = "audit-projector"

// Config is the service's configuration, besides the connection to the bus.
type Config struct {
	// Dir holds the projection and the trees; every replica of the service has its own. It may be emptied while the
	// service is down, and is then rebuilt from the stream.
	Dir string    `yaml:"dir"`
	Log LogConfig `yaml:"log"`
	// MailsWithin is how long after an event its mails have to be reported before there is an alarm; 0 means 15
	// minutes. It must be longer than the notifier holds mails (digest_after), by five minutes at least.
	MailsWithin time.Duration `yaml:"mails_within"`
	// TimeZone is the IANA name of the time zone of the provider's people, in which the log's sentences name times to
	// them, with UTC beside; if empty, UTC. Customers choose their own among their settings (R60).
	TimeZone string `yaml:"time_zone"`
	// Building is called with the progress of a new projection until queries are answered; it may be nil.
	Building func(done, of uint64) `yaml:"-"`
}

// LogConfig configures the Merkle log. All replicas of the service have the same keys.
type LogConfig struct {
	// SigningKeyFile holds the log's name and the key that signs checkpoints. `lockbox keys` creates it.
	SigningKeyFile config.SecretFile `yaml:"signing_key_file"`
	// SaltsFile holds the secret of the log's salts, which must never change. `lockbox keys` creates it.
	SaltsFile config.SecretFile `yaml:"salts_file"`
	// Interval is the time between two checkpoints while the stream grows; 0 means 8 s, so that every event is covered
	// within ten.
	Interval time.Duration `yaml:"interval"`
	// Steady has a checkpoint signed at every multiple of the interval, whether or not anything happened, so that none
	// tells a tenant that something happened at another. Each is an event: about four million a year.
	Steady bool `yaml:"steady"`
	// RescanEvery is the pause between two full comparisons with the trees; 0 means 30 s.
	RescanEvery time.Duration `yaml:"rescan_every"`
	// PolicyFile names the witnesses that are asked to cosign, with their addresses (C2SP tlog-policy); empty for none.
	PolicyFile string `yaml:"policy_file"`
	// Listen is the host:port at which the log is served over HTTP; if empty, it is not served. TLS is terminated in
	// front of it.
	Listen string `yaml:"listen"`
	// Listener is used instead of Listen if it is set.
	Listener net.Listener `yaml:"-"`
}

// defaultInterval leaves room to build, sign and store a checkpoint within 10 s (I5).
const defaultInterval = 8 * time.Second

// DefaultRescan is the pause between two full comparisons with the trees, unless configured.
const DefaultRescan = guard.DefaultEvery

// mostRescan leaves a quarter of a minute for the comparison itself.
const mostRescan = 45 * time.Second

// mostMailsWithin leaves a quarter of an hour to a notifier that holds mails for an hour.
const mostMailsWithin = time.Hour + invariant.MailWithin

// Check rejects an unusable configuration; the error names the field.
func (c Config) Check() error {
	if c.Dir == "" {
		return refusal.Invalid("dir", rule, "is required: the directory that holds the projection")
	}
	if c.Log.SigningKeyFile == "" {
		return refusal.Invalid("log.signing_key_file", rule, "is required: `lockbox keys` makes it")
	}
	if c.Log.SaltsFile == "" {
		return refusal.Invalid("log.salts_file", rule, "is required: `lockbox keys` makes it")
	}
	if c.TimeZone != "" && !timetext.KnownZone(c.TimeZone) {
		return refusal.Invalid("time_zone", rule, "must be the IANA name of a time zone, such as Europe/Paris")
	}
	if c.MailsWithin < 0 || c.MailsWithin > mostMailsWithin {
		return refusal.Invalid("mails_within", rule, "is at most %v, a quarter more than a mail may be held",
			mostMailsWithin)
	}
	if c.Log.Interval < 0 || c.Log.Interval > defaultInterval {
		return refusal.Invalid("log.interval", rule, "is at most %v, so that a checkpoint is there within ten seconds",
			defaultInterval)
	}
	if c.Log.RescanEvery < 0 || c.Log.RescanEvery > mostRescan {
		return refusal.Invalid("log.rescan_every", rule, "is at most %v, so that a difference is found within a minute",
			mostRescan)
	}
	return nil
}

const rule = "configuration"

// Program is the service as a process of its own.
func Program() service.Program {
	return service.New(bus.Projector, Config{Dir: "/data"}, Run)
}

// Run follows the stream and answers queries until ctx ends or an error occurs that must stop the service, such as an
// event of a type that this version does not know. It starts to answer once it has read everything that was in the
// stream at the start.
func Run(ctx context.Context, rt *service.Runtime, c Config) (err error) {
	if err := c.Check(); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	rt.Counters.ExpectAlarms(alarmUnknownFact, alarmNotAnEvent, alarmCorruptStream, alarmContradiction, alarmGrant,
		alarmDamage, alarmLog, alarmMail)
	witnesses, policy, err := openWitnesses(c.Log.PolicyFile, rt.Log)
	if err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	quorum := &quorum{policy: policy}
	log, err := openLog(rt, c, witnesses, quorum)
	if err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	var answering atomic.Pointer[answer.Answerer]
	stopServing, err := serveLog(ctx, rt, c.Log, log, &answering)
	if err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	defer func() { err = errors.Join(err, stopServing()) }()
	watching := &guard.Guard{
		Stream: rt.Journal, Ledger: log, Every: c.Log.RescanEvery, Now: rt.Now, Log: rt.Log,
		File: filepath.Join(c.Dir, ledger.DirName, "judged.json"),
		Renew: func(verified uint64) error {
			return lease.RenewWitnessed(rt.Conn, rt.Signer, verified, quorum.last(), rt.Now())
		},
		Alarm: func() { rt.Counters.Alarm(alarmLog) },
		Projection: func(ctx context.Context) guard.Projection {
			if a := answering.Load(); a != nil {
				if c, err := a.Store.Compare(ctx); err == nil {
					return c
				}
			}
			return nil
		},
	}
	log.Judge, log.Order, log.Signed, log.Say = watching.Judge, watching.Order, watching.Signed, watching.Say
	building, stop := context.WithCancel(ctx)
	rt.Keeps(building, c.Dir)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { _ = log.Run(building) }) // it logs why it ends; queries are answered all the same
	if witnesses != nil {
		rt.Counters.Read(observe.WitnessCosigned, func(say observe.Say) {
			for witness, at := range witnesses.Seen() {
				say(observe.Seconds(at), witness)
			}
		})
		running.Go(func() { witnesses.Run(building) })
	}
	running.Go(func() { watching.Run(building) })
	if witnesses != nil {
		s := &sightings{public: log.Public(), journal: rt.Journal, now: rt.Now, log: rt.Log,
			customers: func() map[string]*projection.Customer { return customersOf(answering.Load()) }}
		running.Go(func() { s.run(building) })
	}
	rt.Counters.Disk("projection", c.Dir)
	readLog(rt.Counters, log)
	readGuard(rt.Counters, watching)
	overdue := readProjection(rt, &answering)
	running.Go(func() { overdue.run(building) })
	mails := &mailWatch{
		file: filepath.Join(c.Dir, mailsName), stream: rt.Journal, within: cmp.Or(c.MailsWithin, invariant.MailWithin),
		alarm: func() { rt.Counters.Alarm(alarmMail) }, now: rt.Now, log: rt.Log,
	}
	running.Go(func() { mails.run(building) })
	trail := accesslog.Start(rt.Identity, rt.Journal.PutAccess, rt.Now, rt.Log, rt.Counters)
	defer trail.Close()
	access := accessdb.New(c.Dir, rt.Now, rt.Log)
	running.Go(func() { access.Run(building, rt.Journal) })
	rt.Healthy(func(context.Context) error {
		if answering.Load() == nil {
			return refusal.OfKind(refusal.Unavailable("", "I11", "the projection is being built"), "being-built")
		}
		return nil
	})
	grown := make(chan struct{}, 1) // the projection shows more than before
	f := &follower{
		dir: c.Dir, source: rt.Journal, log: rt.Log, alarm: rt.Counters.Alarm,
		serve: func(ctx context.Context, store *projection.Store) (stop func() error, err error) {
			a := &answer.Answerer{
				Store: store, Verifier: rt.Verifier, Catalogue: repository.CatalogueInForce(), Now: rt.Now,
				Healthy:  rt.Clock.Healthy,
				Receipts: log.Public(), Exact: rt.Journal, Log: named(log, policy),
				Callers: fair.NewCallers(), Trail: trail, Access: access,
				Health: health(log, watching, witnesses), Zone: timetext.Zone(c.TimeZone),
			}
			stopAnswers, err := queries(rt, a).Serve(ctx, rt.Conn)
			if err != nil {
				return nil, err
			}
			stopUpdates, err := updates(rt, a).Serve(ctx, rt.Conn)
			if err != nil {
				return nil, errors.Join(err, stopAnswers())
			}
			publishing, stopPublishing := context.WithCancel(ctx)
			var published sync.WaitGroup
			from := store.Sequence()
			published.Go(func() { publishUpdates(publishing, rt, a, from, grown) })
			answering.Store(a)
			return func() error {
				answering.Store(nil)
				stopPublishing()
				published.Wait()
				return errors.Join(stopUpdates(), stopAnswers())
			}, nil
		},
		traces: rt.Traces,
		changed: func(tenants []string) {
			hint(rt, tenants)
			select {
			case grown <- struct{}{}:
			default: // it is known already
			}
		},
		building: c.Building,
		misfit: func(ctx context.Context, m journal.Misfit) {
			if _, aside, err := rt.Journal.SetAside(ctx, m); err != nil || !aside {
				watching.Misfit(m)
			}
		},
	}
	if rt.Keys != nil {
		forget := make(chan struct{}, 1)
		rt.Keys.OnForget(func() {
			select {
			case forget <- struct{}{}:
			default: // it is known already
			}
		})
		f.details, f.forget = rt.Keys, forget
	}
	if err := f.run(ctx); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	return nil
}

// named is what a customer's keys are told of the log; the policy of its witnesses is nil if it is shown to none.
func named(log *ledger.Ledger, policy *merkle.Policy) answer.Log {
	is := answer.Log{Origin: log.Origin(), Keys: log.PublicKey()}
	if policy != nil {
		is.Witnesses, is.Quorum = policy.WitnessKeys(), policy.Quorum()
	}
	return is
}

// openWitnesses returns the witnesses of a policy's file, and the policy; nil if none is named.
func openWitnesses(file string, log *zap.Logger) (*cosign.Witnesses, *merkle.Policy, error) {
	if file == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, nil, err
	}
	policy, err := merkle.ParsePolicy(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return cosign.New(policy, log), policy, nil
}

func openLog(rt *service.Runtime, c Config, witnesses *cosign.Witnesses, q *quorum) (*ledger.Ledger, error) {
	keys, err := logkeys.Read(string(c.Log.SigningKeyFile), string(c.Log.SaltsFile))
	if err != nil {
		return nil, err
	}
	if err := q.knows(keys); err != nil {
		return nil, err
	}
	o := ledger.Options{
		Dir: filepath.Join(c.Dir, ledger.DirName), Journal: rt.Journal, Keys: keys,
		Interval: cmp.Or(c.Log.Interval, defaultInterval), Steady: c.Log.Steady,
		Now: rt.Now, Log: rt.Log, Alarm: func() { rt.Counters.Alarm(alarmLog) },
	}
	if witnesses == nil {
		return ledger.Open(o)
	}
	o.Witnesses = witnesses
	l, err := ledger.Open(o)
	q.Ledger, witnesses.Log = l, q
	return l, err
}

// serveLog serves the log if configured. The projection decides who may see what of it.
func serveLog(
	ctx context.Context, rt *service.Runtime, c LogConfig, log *ledger.Ledger, answering *atomic.Pointer[answer.Answerer],
) (stop func() error, err error) {
	listener := c.Listener
	if listener == nil && c.Listen == "" {
		return func() error { return nil }, nil
	}
	if listener == nil {
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", c.Listen); err != nil {
			return nil, err
		}
	}
	allow := func(ctx context.Context, tenant, token string) error {
		if a := answering.Load(); a != nil {
			return a.WholeLog(ctx, tenant, token)
		}
		return refusal.OfKind(refusal.Unavailable("", "I11", "the projection is being built"), "being-built")
	}
	return (&logserver.Server{Log: log.Public(), Allow: allow, Logger: rt.Log}).Start(listener), nil
}

// customersOf are those that the projection shows; none while it is being built.
func customersOf(a *answer.Answerer) map[string]*projection.Customer {
	if a == nil {
		return nil
	}
	all, _ := a.Store.Customers() // or it is being closed
	return all
}

// hint publishes that something about tenants has changed. A lost hint is made up for by the next.
func hint(rt *service.Runtime, tenants []string) {
	for _, tenant := range tenants {
		subject, err := bus.ChangedSubject(tenant)
		if err == nil {
			err = rt.Conn.Publish(subject, nil)
		}
		if err != nil {
			rt.Log.Debug("publishing a change hint failed", zap.String("tenant", tenant), zap.Error(err))
		}
	}
}
