package projector

import (
	"context"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/answer"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	// updatesAtOnce limits the questions of tools in progress, updatesWaiting those that wait for it.
	updatesAtOnce, updatesWaiting = 32, 1024
	// updatesPage is how many updates are read at once to be published.
	updatesPage = 500
	// updatesAgain is the pause before updates that could not be read are read again.
	updatesAgain = time.Second
)

// updates returns the responder for tools that ask what happened to their requests.
func updates(rt *service.Runtime, a *answer.Answerer) bus.Responder {
	return bus.Responder{
		Name: Name, Description: "Tells engineering tools what happened to their requests", Endpoint: "updates",
		Subject: bus.AnyUpdates, AtOnce: updatesAtOnce, MostWaiting: updatesWaiting, TimeLimit: queryTime, Log: rt.Log,
		Lane: a.ToolLane,
		Refuse: func(_ string, _ []byte, r *lockboxv1.Refusal) proto.Message {
			rt.Counters.Refused(r)
			return &lockboxv1.UpdateList{Refusal: r}
		},
		Answer: func(ctx context.Context, subject string, data []byte) proto.Message {
			list, err := a.AnswerTool(ctx, subject, data)
			if err != nil {
				rt.Counters.Refused(list.GetRefusal())
				rt.Log.Info("refused", zap.String("subject", subject), zap.Error(err))
			}
			a.TraceTool(subject, list)
			return list
		},
	}
}

// publishUpdates publishes what happens to requests to the tools that submitted them, until ctx ends: what was stored
// after a sequence, as soon as grown says that there is more. Every replica does; tools tell repeats by the sequence.
// What is lost, a tool asks for.
func publishUpdates(ctx context.Context, rt *service.Runtime, a *answer.Answerer, after uint64, grown <-chan struct{}) {
	for {
		list, through, newest, err := a.Updates(ctx, "", after, updatesPage)
		for _, u := range list {
			publishUpdate(rt, u)
		}
		wait := grown
		var again <-chan time.Time
		switch {
		case err != nil && ctx.Err() == nil:
			rt.Log.Warn("updates for tools cannot be read; trying again", zap.Error(err))
			wait, again = nil, time.After(updatesAgain)
		case err == nil:
			if after = through; through < newest {
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-wait:
		case <-again:
		}
	}
}

func publishUpdate(rt *service.Runtime, u answer.ToolUpdate) {
	subject, err := bus.UpdateSubject(u.Tool, u.GetRequestId())
	if err != nil {
		return // no tool has such a name
	}
	data, err := proto.Marshal(u.ToolUpdate)
	if err == nil {
		err = rt.Conn.Publish(subject, data)
	}
	if err != nil {
		rt.Log.Debug("publishing an update failed",
			observe.About(aggregate.Request(u.GetTenant(), u.GetRequestId()), zap.Error(err))...)
	}
}
