// Package orchestrator makes the decisions: it turns commands, events and due timers into new events of requests,
// tenants, subscriptions, tickets, disclosures, rules and the catalogue. Its cache only saves re-reading immutable
// history: every decision is based on the stream leader's state.
package orchestrator

import (
	"context"
	"errors"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Name is the service's name on the bus, in events and in metrics.
const Name = "lockbox-orchestrator"

// Config is the service's configuration, besides the connection to the bus.
type Config struct {
	// Terms are the provider's deadlines and durations.
	Terms request.Terms `yaml:"terms"`
}

// Run answers commands and performs duties until ctx ends or an error occurs that must stop the service.
func Run(ctx context.Context, rt *service.Runtime, c Config) error {
	o := newOrchestrator(rt, c)
	var err error
	if o.lease, err = lease.Listen(rt.Conn, rt.Now); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stopCommands, err := o.commands().Serve(ctx, rt.Conn)
	if err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	if err := o.Listen(); err != nil {
		return errors.Join(err, stopCommands())
	}
	parts := []func(context.Context) error{o.followEvents, o.followTimers}
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() { ended <- part(ctx) }()
	}
	var failed error
	for range parts {
		err := <-ended
		if err != nil && !errors.Is(err, context.Canceled) && failed == nil {
			failed = fmt.Errorf("%s: %w", Name, err)
		}
		stop(err)
	}
	return errors.Join(failed, stopCommands())
}

func newOrchestrator(rt *service.Runtime, c Config) *orchestrator {
	return &orchestrator{
		Runtime: rt, repository: repository.New(rt.Journal),
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
	// lease is the guard's lease, without which no access is granted.
	lease *lease.Holder
}
