// Package orchestrator makes the decisions: it turns commands, events and due timers into new events of requests,
// tenants, subscriptions, tickets, disclosures, rules and the catalogue. Its cache only saves re-reading immutable
// history: every decision is based on the stream leader's state.
package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/accesslog"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/cache"
	"github.com/openlockbox/lockbox/pkg/fair"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/sync/errgroup"
)

// Name is the service's name on the bus, in events and in metrics.
const Name = "lockbox-orchestrator"

// Config is the service's configuration, besides the connection to the bus.
type Config struct {
	// Terms are the provider's deadlines and durations.
	Terms request.Terms `yaml:"terms"`
	// Limits bound what one person may send and change (R52).
	Limits Rates `yaml:"limits"`
	// Certificates is the directory of all writers' certificates, *.certificate. With the first of them, signing begins.
	Certificates string `yaml:"certificates"`
	// Webhooks are those of customers' own (R57).
	Webhooks Webhooks `yaml:"webhooks"`
	// WitnessedWithin is how long ago the quorum of the log's witnesses may last have been complete; if it is longer, no
	// access begins. It takes a policy with witnesses at the audit-projector, and is at least ten minutes; 0: access
	// begins without witnesses.
	WitnessedWithin time.Duration `yaml:"witnessed_within"`
}

// leastWitnessed is longer than a log in which nothing happens goes without asking its witnesses again.
const leastWitnessed = 10 * time.Minute

// Check rejects an unusable configuration; the error names the field.
func (c Config) Check() error {
	if err := c.Terms.Check(); err != nil {
		return err
	}
	if c.WitnessedWithin != 0 && c.WitnessedWithin < leastWitnessed {
		return refusal.Invalid("witnessed_within", "configuration", "is at least %v, or 0", leastWitnessed)
	}
	return nil
}

// Program is the service as a process of its own.
func Program() service.Program {
	return service.New(bus.Orchestrator, Config{Terms: request.DefaultTerms()}, Run)
}

// Run answers commands and performs duties until ctx ends or an error occurs that must stop the service.
func Run(ctx context.Context, rt *service.Runtime, c Config) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	o := newOrchestrator(rt, c)
	o.trail = accesslog.Start(rt.Identity, rt.Journal.PutAccess, rt.Now, rt.Log, rt.Counters)
	defer o.trail.Close()
	var err error
	if o.sealing, err = c.Webhooks.open(); err != nil {
		return fmt.Errorf("%s: webhooks.key_file: %w", Name, err)
	}
	// Without a lease nothing is granted, and what must wait for it is tried at growing intervals.
	if o.lease, err = lease.Listen(rt.Conn, rt.Now, rt.Keyring, rt.Journal.Retry,
		lease.WitnessedWithin(c.WitnessedWithin)); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	rt.Counters.Read(observe.LeaseValid, func(say observe.Say) { say(observe.Truth(o.lease.Check() == nil)) })
	rt.Counters.Read(observe.LeaseExpiry, func(say observe.Say) { say(observe.Seconds(o.lease.Expiry())) })
	if err := o.recordCertificates(ctx, c.Certificates); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	if err := o.destroyAgain(ctx); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	if err := o.adopt(ctx); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	parts, ctx := errgroup.WithContext(ctx)
	stopCommands, err := o.commands().Serve(ctx, rt.Conn)
	if err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	if err := o.Listen(); err != nil {
		return errors.Join(err, stopCommands())
	}
	for _, part := range []func(context.Context) error{o.followEvents, o.followTimers} {
		parts.Go(func() error {
			if err := part(ctx); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", Name, err)
			}
			return nil
		})
	}
	return errors.Join(parts.Wait(), stopCommands())
}

func newOrchestrator(rt *service.Runtime, c Config) *orchestrator {
	return &orchestrator{
		Runtime: rt, tenants: new(sync.Map), repository: repository.New(rt.Journal), callers: fair.NewCallers(),
		writes: &writes{open: map[aggregate.Key]*write{}}, timers: cache.New[aggregate.Key, timer](knownTimers),
		rates: c.Limits, quotas: fair.NewQuotas(c.Limits.commands()),
		process: repository.Process{
			Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: Name},
			Terms: c.Terms, Services: repository.CatalogueInForce(),
		},
	}
}

type orchestrator struct {
	*service.Runtime
	repository *repository.Repository
	process    repository.Process
	callers    *fair.Callers
	writes     *writes
	timers     *cache.Cache[aggregate.Key, timer]
	rates      Rates
	quotas     *fair.Quotas
	// lease is the guard's lease, without which no access is granted.
	lease   *lease.Holder
	sealing sealing
	// trail records refused commands (R69); tenants are those that are known to exist.
	trail   *accesslog.Recorder
	tenants *sync.Map
}
