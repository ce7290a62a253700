// Package projector answers what people ask about requests, tickets, tenants and what happened to them. It follows the
// whole of EVENTS into a disposable SQLite projection (internal/projection) and answers queries from it, to each as much
// as they may see (internal/answer). It writes no events and decides nothing.
package projector

import (
	"context"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/fold"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/answer"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"go.uber.org/zap"
)

// Name is the service's name on the bus and in metrics.
const Name = "audit-projector"

// Config is what the service needs to know besides how to reach the bus.
type Config struct {
	// Dir holds the projection: every copy of the service has its own. It may be emptied whenever the service is down.
	Dir string `yaml:"dir"`
}

// Check refuses a configuration that cannot work, naming the field.
func (c Config) Check() error {
	if c.Dir == "" {
		return refusal.Invalid("dir", "configuration", "is required: the directory that holds the projection")
	}
	return nil
}

// Run follows the stream and answers queries until ctx ends or something happens that must not be passed over, such as an
// event of a type that this version does not know. Queries are answered once everything is there that was in the stream
// at the start.
func Run(ctx context.Context, rt *service.Runtime, c Config) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	f := &follower{
		dir: c.Dir, source: rt.Journal, log: rt.Log, alarm: func(what string) { rt.Counters.Refused(alarm(what)) },
		serve: func(ctx context.Context, store *projection.Store) (stop func() error, err error) {
			return serve(ctx, rt, &answer.Answerer{
				Store: store, Verifier: rt.Verifier, Catalogue: fold.CatalogueInForce(), Now: rt.Now, Healthy: rt.Clock.Healthy,
			})
		},
		changed: func(tenants []string) { hint(rt, tenants) },
	}
	if err := f.run(ctx); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	return nil
}

// hint says that there is something new about tenants, to whoever shows them. One that is lost is made up for by the next.
func hint(rt *service.Runtime, tenants []string) {
	for _, tenant := range tenants {
		subject, err := bus.ChangedSubject(tenant)
		if err == nil {
			err = rt.Conn.Publish(subject, nil)
		}
		if err != nil {
			rt.Log.Debug("no hint of a change", zap.String("tenant", tenant), zap.Error(err))
		}
	}
}
