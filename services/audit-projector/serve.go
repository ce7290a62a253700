package projector

import (
	"context"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/answer"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	// queriesAtOnce limits the queries in progress; further ones wait in the subscription.
	queriesAtOnce = 256
	// queryTime limits how long a query may take, including the wait for min_sequence.
	queryTime = 10 * time.Second
)

// queries returns the responder for queries. Logs and metrics never contain the content of a query.
func queries(rt *service.Runtime, a *answer.Answerer) bus.Responder {
	return bus.Responder{
		Name: Name, Description: "Answers queries about requests, tickets, tenants and the activity log", Endpoint: "query",
		Subject: bus.QuerySubject("*"), AtOnce: queriesAtOnce, TimeLimit: queryTime, Log: rt.Log,
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
