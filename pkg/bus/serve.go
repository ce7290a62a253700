package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/openlockbox/lockbox/pkg/fair"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// A Responder answers requests on the bus, each with one message.
type Responder struct {
	// Name, Description and Endpoint are shown by the bus's service discovery.
	Name, Description, Endpoint string
	// Subject of the requests; it may contain wildcards. Responders with the same subject share the requests.
	Subject string
	// AtOnce is how many requests of known callers are processed concurrently, and as many of others. Lanes share it
	// fairly (package fair). When more than MostWaiting wait, those of the longest lane are refused (UNAVAILABLE).
	AtOnce, MostWaiting int
	// Lane returns for whom a request is processed, and whether the caller is known. It must not wait, nor believe what
	// the data says.
	Lane func(subject string, data []byte) (lane string, known bool)
	// Over refuses a request before it waits for its turn; nil: none is. It must not wait.
	Over func(subject string, data []byte) error
	// TimeLimit for one answer; its context then ends.
	TimeLimit time.Duration
	// Answer returns the reply. Its data comes from the caller and is unverified.
	Answer func(ctx context.Context, subject string, data []byte) proto.Message
	// Refuse returns the reply to a request that is not processed. It must not wait.
	Refuse func(subject string, data []byte, why *lockboxv1.Refusal) proto.Message
	// Answered is called for each request, with the time since it arrived and the reply's refusal, if it is one; nil: it
	// is not.
	Answered func(took time.Duration, why *lockboxv1.Refusal)
	Log      *zap.Logger
}

// shares is into how many parts the slots of known callers are divided while several of them ask.
const shares = 32

// errBusy is the refusal of a request for which there is no room.
var errBusy = refusal.OfKind(refusal.Unavailable("", unanswered, "too many at once; try again later"), "busy")

// Serve answers requests until stop is called. Stop accepts no further requests and waits for those in progress, whose
// contexts end with ctx.
func (r Responder) Serve(ctx context.Context, nc *nats.Conn) (stop func() error, err error) {
	s, err := micro.AddService(nc, micro.Config{Name: r.Name, Version: "1.0.0", Description: r.Description})
	if err != nil {
		return nil, err
	}
	var running sync.WaitGroup
	ofKnown := fair.New(r.AtOnce, r.MostWaiting).Sharing(r.AtOnce / shares)
	// Not these: they share lanes, and some wait for a tenant's keys.
	ofStrangers := fair.New(r.AtOnce, r.MostWaiting)
	err = s.AddEndpoint(r.Endpoint, micro.HandlerFunc(func(request micro.Request) {
		arrived := time.Now()
		if r.Over != nil {
			if err := r.Over(request.Subject(), request.Data()); err != nil {
				r.respond(request, arrived, r.Refuse(request.Subject(), request.Data(), refusal.Of(err)))
				return
			}
		}
		lane, known := r.Lane(request.Subject(), request.Data())
		slots := ofStrangers
		if known {
			slots = ofKnown
		}
		turn := slots.Ask(lane)
		running.Go(func() {
			if !<-turn {
				r.respond(request, arrived, r.Refuse(request.Subject(), request.Data(), refusal.Of(errBusy)))
				return
			}
			defer slots.Done(lane)
			ctx, cancel := context.WithTimeout(ctx, r.TimeLimit)
			defer cancel()
			r.respond(request, arrived, r.Answer(ctx, request.Subject(), request.Data()))
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

func (r Responder) respond(request micro.Request, arrived time.Time, reply proto.Message) {
	if r.Answered != nil {
		var why *lockboxv1.Refusal
		if refused, can := reply.(interface{ GetRefusal() *lockboxv1.Refusal }); can {
			why = refused.GetRefusal()
		}
		r.Answered(time.Since(arrived), why)
	}
	data, err := proto.Marshal(reply)
	if err == nil {
		err = request.Respond(data)
	}
	if err != nil {
		r.Log.Warn("no reply", zap.String("subject", request.Subject()), zap.Error(err))
	}
}
