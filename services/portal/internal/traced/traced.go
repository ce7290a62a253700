// Package traced traces the HTTP requests with which people and programs send commands and intents: one span for each
// that is sent, in the trace of the request that it is about. What only reads is not traced.
package traced

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// visit is one HTTP request.
type visit struct {
	begun  time.Time
	caller string

	mu            sync.Mutex
	method, route string
	sent          []sent
}

// sent is a command or an intent that the HTTP request carried.
type sent struct {
	step       trace.Step
	attributes [][2]string
	// wrote means that something came of it, or may have.
	wrote bool
	err   error
}

type key struct{}

func of(ctx context.Context) *visit {
	v, _ := ctx.Value(key{}).(*visit)
	return v
}

// Handler traces what a handler sends. Without a service to trace with, it is that handler.
func Handler(next http.Handler, with *trace.Service) http.Handler {
	if with == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{begun: time.Now()}
		if parents := r.Header.Values("Traceparent"); len(parents) == 1 {
			v.caller = parents[0]
		}
		ctx := context.WithValue(r.Context(), key{}, v)
		defer v.end(ctx, with)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Route says by which route a request is served.
func Route(ctx context.Context, method, pattern string) {
	if v := of(ctx); v != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.method, v.route = method, pattern
	}
}

func (v *visit) add(s sent) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sent = append(v.sent, s)
}

func (v *visit) end(ctx context.Context, with *trace.Service) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.sent {
		s.step.Name, s.step.Kind, s.step.Begun, s.step.Caller = "HTTP", trace.Server, v.begun, v.caller
		s.step.Detail = strings.TrimSpace(v.method + " " + v.route)
		_, span := with.Start(ctx, s.step)
		for _, a := range s.attributes {
			span.Set(a[0], a[1])
		}
		span.Set(trace.Method, v.method)
		span.Set(trace.Route, v.route)
		if s.wrote {
			span.Use()
		}
		span.End(s.err)
	}
}

// Caller sends commands and intents, and notes them for the trace of the HTTP request that it is called for.
type Caller struct {
	bus.Caller
	// Build is the SHA-256 of what the portal's pages are made of, which commands carry.
	Build []byte
}

// Do sends a command.
func (c Caller) Do(
	ctx context.Context, token string, command *lockboxv1.Command,
) (*lockboxv1.CommandReply, error) {
	v := of(ctx)
	command = proto.CloneOf(command)
	command.PortalSha256 = c.Build
	if v == nil {
		return c.Caller.Do(ctx, token, command)
	}
	if command.GetId() == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		command.Id = id.String()
	}
	reply, err := c.Caller.Do(ctx, token, command)
	about, wrong := aggregate.Of(command)
	if wrong != nil || !trace.Recorded(err, false) {
		return reply, err
	}
	s := sent{
		step:  trace.Step{Trace: trace.OfCommand(about, command.GetId()), ID: trace.Sent(command.GetId())},
		wrote: err != nil || reply.GetEventId() != "", err: err,
		attributes: [][2]string{{trace.Tenant, command.GetTenant()}, {trace.Command, command.GetId()},
			{trace.Verb, bus.Verb(command)}},
	}
	if about.Kind == aggregate.KindRequest {
		s.step.After = about.ID
		s.attributes = append(s.attributes, [2]string{trace.Request, about.ID})
	}
	v.add(s)
	return reply, err
}

// Submit publishes an intent. It is traced if it became a request, or may have.
func (c Caller) Submit(
	ctx context.Context, token, tool, id string, intent *lockboxv1.AccessIntent, within time.Duration,
) (*lockboxv1.IntentOutcome, error) {
	outcome, err := c.Caller.Submit(ctx, token, tool, id, intent, within)
	v := of(ctx)
	if v == nil || err != nil || intent.GetDryRun() ||
		outcome != nil && (outcome.GetSequence() == 0 || outcome.GetDuplicate()) {
		return outcome, err
	}
	v.add(sent{step: trace.Step{Trace: id, ID: trace.Sent(id)}, wrote: true,
		attributes: [][2]string{{trace.Tenant, intent.GetTenant()}, {trace.Request, id}}})
	return outcome, nil
}
