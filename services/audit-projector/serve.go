package projector

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/answer"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	// queriesAtOnce bounds the answers in the making; what comes on top waits in the subscription.
	queriesAtOnce = 256
	// queryTime is how long one may take, waiting for min_sequence included.
	queryTime = 10 * time.Second
)

// serve answers queries until the returned function is called, which waits for the last answers.
func serve(ctx context.Context, rt *service.Runtime, a *answer.Answerer) (stop func() error, err error) {
	var running sync.WaitGroup
	slots := make(chan struct{}, queriesAtOnce)
	s, err := micro.AddService(rt.Conn, micro.Config{
		Name: Name, Version: "1.0.0", Description: "Answers queries about requests, tickets, tenants and the activity log",
	})
	if err != nil {
		return nil, err
	}
	err = s.AddEndpoint("query", micro.HandlerFunc(func(r micro.Request) {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, queryTime)
			defer cancel()
			respond(ctx, rt, a, r)
		})
	}), micro.WithEndpointSubject(bus.QuerySubject("*")))
	return func() error {
		err := s.Stop()
		running.Wait()
		return err
	}, err
}

// respond answers one query. Logs and counters never hold what was asked.
func respond(ctx context.Context, rt *service.Runtime, a *answer.Answerer, r micro.Request) {
	reply, err := a.Answer(ctx, r.Subject(), r.Data())
	if err != nil {
		rt.Counters.Refused(reply.GetRefusal())
		rt.Log.Info("refused", zap.String("subject", r.Subject()), zap.Error(err))
	}
	data, err := proto.Marshal(reply)
	if err == nil {
		err = r.Respond(data)
	}
	if err != nil {
		rt.Log.Warn("no reply", zap.String("subject", r.Subject()), zap.Error(err))
	}
}
