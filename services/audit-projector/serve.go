package projector

import (
	"context"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/answer"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	// queriesAtOnce limits the queries in progress, queriesWaiting those that wait for it, each once for known callers and
	// once for others.
	queriesAtOnce, queriesWaiting = 256, 4096
	// queryTime limits how long a query may take, including the wait for min_sequence.
	queryTime = 10 * time.Second
)

// queries returns the responder for queries. Logs and metrics never contain the content of a query.
func queries(rt *service.Runtime, a *answer.Answerer) bus.Responder {
	return bus.Responder{
		Name: Name, Description: "Answers queries about requests, tickets, tenants and the activity log", Endpoint: "query",
		Subject: bus.AnyQuery, AtOnce: queriesAtOnce, MostWaiting: queriesWaiting, TimeLimit: queryTime, Log: rt.Log,
		Lane:     a.Lane,
		Answered: func(took time.Duration, why *lockboxv1.Refusal) { rt.Counters.Answered("query", took, why) },
		Refuse: func(subject string, data []byte, r *lockboxv1.Refusal) proto.Message {
			rt.Counters.Refused(r)
			return a.Refuse(subject, data, r)
		},
		Answer: func(ctx context.Context, subject string, data []byte) proto.Message {
			reply, err := a.Answer(ctx, subject, data)
			if err != nil {
				rt.Counters.Refused(reply.GetRefusal())
				rt.Log.Info("refused", zap.String("subject", subject), zap.Error(err))
			}
			return reply
		},
	}
}
