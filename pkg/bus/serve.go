package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// A Responder answers requests on the bus, each with one message.
type Responder struct {
	// Name, Description and Endpoint are shown by the bus's service discovery.
	Name, Description, Endpoint string
	// Subject of the requests; it may contain wildcards. Responders with the same subject share the requests.
	Subject string
	// AtOnce is how many requests are processed concurrently; further ones wait in the subscription.
	AtOnce int
	// TimeLimit for one answer; its context then ends.
	TimeLimit time.Duration
	// Answer returns the reply. Its data comes from the caller and is unverified.
	Answer func(ctx context.Context, subject string, data []byte) proto.Message
	Log    *zap.Logger
}

// Serve answers requests until stop is called. Stop accepts no further requests and waits for those in progress, whose
// contexts end with ctx.
func (r Responder) Serve(ctx context.Context, nc *nats.Conn) (stop func() error, err error) {
	s, err := micro.AddService(nc, micro.Config{Name: r.Name, Version: "1.0.0", Description: r.Description})
	if err != nil {
		return nil, err
	}
	var running sync.WaitGroup
	slots := make(chan struct{}, r.AtOnce)
	err = s.AddEndpoint(r.Endpoint, micro.HandlerFunc(func(request micro.Request) {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			r.respond(ctx, request)
		})
	}), micro.WithEndpointSubject(r.Subject))
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return func() error {
		err := s.Stop()
		running.Wait()
		return err
	}, nil
}

func (r Responder) respond(ctx context.Context, request micro.Request) {
	ctx, cancel := context.WithTimeout(ctx, r.TimeLimit)
	defer cancel()
	data, err := proto.Marshal(r.Answer(ctx, request.Subject(), request.Data()))
	if err == nil {
		err = request.Respond(data)
	}
	if err != nil {
		r.Log.Warn("no reply", zap.String("subject", request.Subject()), zap.Error(err))
	}
}
