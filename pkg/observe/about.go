package observe

import (
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// About returns the fields of a log line about an aggregate, and others: the tenant and, of a request, its id and that
// of its trace. An id may come from a stranger, and is left out unless it is one: it could be a token or a name.
func About(about aggregate.Key, others ...zap.Field) []zap.Field {
	fields := named("tenant", about.Tenant, aggregate.CheckTenant(about.Tenant) == nil)
	switch {
	case about.Kind == aggregate.KindRequest:
		fields = append(fields, request(about.ID)...)
	case len(fields) > 0 && about.Check() == nil:
		fields = append(fields, zap.Stringer("aggregate", about))
	}
	return append(fields, others...)
}

// AboutEvent returns the fields of a log line about an event, and others.
func AboutEvent(e *lockboxv1.Event, others ...zap.Field) []zap.Field {
	about := aggregate.KeyOf(e)
	fields := About(about)
	if id := e.GetCorrelationId(); id != "" && about.Kind != aggregate.KindRequest {
		fields = append(fields, request(id)...)
	}
	fields = append(fields, named("event", e.GetId(), input.UUIDv7("", e.GetId()) == nil)...)
	return append(append(fields, zap.String("type", aggregate.TypeOf(e))), others...)
}

// AboutCommand returns the fields of a log line about a command of a verb, and others.
func AboutCommand(c *lockboxv1.Command, verb string, others ...zap.Field) []zap.Field {
	about, err := aggregate.Of(c)
	if err != nil {
		about = aggregate.Key{Tenant: c.GetTenant()}
	}
	fields := append(About(about), named("command", c.GetId(), input.UUIDv7("", c.GetId()) == nil)...)
	return append(append(fields, zap.String("verb", verb)), others...)
}

func request(id string) []zap.Field {
	if input.UUIDv7("", id) != nil {
		return nil
	}
	return []zap.Field{zap.String("request", id), zap.String("trace", trace.ID(id))}
}

func named(name, id string, is bool) []zap.Field {
	if !is {
		return nil
	}
	return []zap.Field{zap.String(name, id)}
}
