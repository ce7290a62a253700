package trace

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Attributes of spans. There are no others, and none has a free text.
const (
	Tenant    = "lockbox.tenant"
	Request   = "lockbox.request_id"
	Command   = "lockbox.command_id"
	Event     = "lockbox.event_id"
	EventType = "lockbox.event_type"
	Verb      = "lockbox.verb"
	Tool      = "lockbox.tool"
	Template  = "lockbox.template"
	Result    = "lockbox.result"
	Rule      = "lockbox.rule"
	Method    = "http.request.method"
	Route     = "http.route"
)

// Kind is a span's kind, as OpenTelemetry has them.
type Kind = tracepb.Span_SpanKind

// The kinds of spans.
const (
	Internal = tracepb.Span_SPAN_KIND_INTERNAL
	Server   = tracepb.Span_SPAN_KIND_SERVER
	Client   = tracepb.Span_SPAN_KIND_CLIENT
	Producer = tracepb.Span_SPAN_KIND_PRODUCER
	Consumer = tracepb.Span_SPAN_KIND_CONSUMER
)

// Step describes a span.
type Step struct {
	// Trace is the id of the request, or of the command, that it belongs to.
	Trace string
	// Name says what is done, and Detail, if there is one, to what: a verb or a type.
	Name, Detail string
	Kind         Kind
	// ID is the id of the intent or command that the span stands for. It does so only if an event is written: an attempt
	// that changes nothing gets a random span ID, so that nobody can put a second span in the place of the first. Empty:
	// the span ID is random.
	ID string
	// After is the id of the intent, command or event that led to it; empty: it is the first of its trace.
	After string
	// Begun is when it began; zero: now.
	Begun time.Time
	// Caller is the `traceparent` of the caller's own work. It becomes a link, if it is well-formed, and never the parent.
	Caller string
}

// Span is a step on its way. A nil *Span records nothing.
type Span struct {
	service *Service
	step    Step
	pb      *tracepb.Span
	random  [8]byte
	failure string
	// used means that something was written, or another span was recorded below this one.
	used atomic.Bool
}

type key struct{}

// Start begins a span. What is written under the returned context goes below it. The span is nil, and the context the
// given one, if the trace is not recorded.
func (s *Service) Start(ctx context.Context, step Step) (context.Context, *Span) {
	span := s.start(step)
	if span == nil {
		return ctx, nil
	}
	return context.WithValue(ctx, key{}, span), span
}

func (s *Service) start(step Step) *Span {
	if s == nil || step.Trace == "" {
		return nil
	}
	id := traceID(step.Trace)
	if !sampled(id, s.tracer.config.Ratio) {
		return nil
	}
	if step.Begun.IsZero() {
		step.Begun = time.Now()
	}
	span := &Span{service: s, step: step, pb: &tracepb.Span{
		TraceId: id[:], Name: strings.TrimSuffix(step.Name+" "+step.Detail, " "), Kind: step.Kind,
		StartTimeUnixNano: nano(step.Begun), Flags: uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK) | 1,
	}}
	_, _ = rand.Read(span.random[:]) // never fails
	if step.After != "" {
		parent := spanID(step.After)
		span.pb.ParentSpanId = parent[:]
		span.pb.Flags |= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
	}
	if link := linked(step.Caller); link != nil {
		span.pb.Links = append(span.pb.Links, link)
	}
	return span
}

// Below begins a span below another one of the process.
func (p *Span) Below(ctx context.Context, step Step) (context.Context, *Span) {
	if p == nil {
		return ctx, nil
	}
	step.Trace = p.step.Trace
	ctx, span := p.service.Start(ctx, step)
	if span != nil {
		span.pb.ParentSpanId = p.random[:]
	}
	return ctx, span
}

// Set adds an attribute. A value that is neither an id, the name of a type nor a code is left out.
func (p *Span) Set(name, value string) {
	if p != nil && plain(value) {
		p.pb.Attributes = append(p.pb.Attributes, attribute(name, value))
	}
}

// Fail says how the step has failed, as a code, where that is no error of the service.
func (p *Span) Fail(code string) {
	if p != nil {
		p.failure = code
	}
}

// Used reports whether something was written, or recorded, below the span.
func (p *Span) Used() bool { return p != nil && p.used.Load() }

// Use marks that the span has another one below it.
func (p *Span) Use() {
	if p != nil {
		p.used.Store(true)
	}
}

// End records the span with how it ended. Of an error it keeps code and rule.
func (p *Span) End(err error) {
	if p == nil {
		return
	}
	result := "ok"
	if err != nil {
		r := refusal.Of(err)
		result = code(r)
		p.Set(Rule, r.GetRule())
		if r.GetCode() == lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE {
			p.pb.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}
		}
	}
	if p.failure != "" {
		result, p.pb.Status = p.failure, &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}
	}
	p.Set(Result, result)
	p.pb.EndTimeUnixNano = nano(time.Now())
	p.pb.SpanId = p.random[:]
	if p.step.ID != "" && p.used.Load() {
		id := spanID(p.step.ID)
		p.pb.SpanId = id[:]
	}
	p.service.record(p.pb)
}

// Wrote records that an event was stored, and since when that was tried.
func (s *Service) Wrote(ctx context.Context, e *lockboxv1.Event, begun time.Time) {
	if s == nil || e.GetKind() == aggregate.KindDelivery && !OfRequest(e) {
		return // the mail's span tells of it
	}
	step := Step{Trace: Of(e), Name: "event", Detail: aggregate.TypeOf(e), Kind: Producer, ID: e.GetId(), Begun: begun}
	above, _ := ctx.Value(key{}).(*Span)
	if above != nil && above.step.Trace != step.Trace {
		above = nil
	}
	above.Use()
	switch {
	case OfRequest(e) && e.GetCausationId() != "":
		step.After = e.GetCausationId()
	case OfRequest(e):
		step.After = step.Trace
	case above != nil && above.step.ID == e.GetCausationId():
		step.After = above.step.ID
	}
	span := s.start(step)
	if span == nil {
		return
	}
	if above != nil && above.step.ID == "" { // it stands for nothing, so that nobody could derive its ID
		span.pb.ParentSpanId = above.random[:]
	}
	span.about(e)
	span.Use()
	span.End(nil)
}

// about adds what an event is.
func (p *Span) about(e *lockboxv1.Event) {
	p.Set(Tenant, e.GetTenant())
	if OfRequest(e) {
		p.Set(Request, Of(e))
	}
	p.Set(Event, e.GetId())
	p.Set(EventType, aggregate.TypeOf(e))
}

// After begins the span of what a service does because of an event.
func (s *Service) After(
	ctx context.Context, e *lockboxv1.Event, name string, begun time.Time,
) (context.Context, *Span) {
	if s == nil {
		return ctx, nil
	}
	ctx, span := s.Start(ctx, Step{Trace: Of(e), Name: name, Detail: aggregate.TypeOf(e), Kind: Consumer,
		After: e.GetId(), Begun: begun})
	if span != nil {
		span.about(e)
	}
	return ctx, span
}

// linked returns a link to the caller's own work: of version 00 of W3C Trace Context, well-formed to the letter, or
// none.
func linked(traceparent string) *tracepb.Span_Link {
	parts := strings.Split(traceparent, "-")
	if len(parts) != 4 || parts[0] != "00" || len(parts[3]) != 2 {
		return nil
	}
	trace, span := digits(parts[1], 16), digits(parts[2], 8)
	if trace == nil || span == nil || hexadecimal(parts[3]) == nil {
		return nil
	}
	return &tracepb.Span_Link{TraceId: trace, SpanId: span}
}

// digits returns the bytes of so many in lower-case hexadecimal; nil if these are others, or nothing but zeros.
func digits(text string, n int) []byte {
	b := hexadecimal(text)
	if len(b) != n || strings.Trim(text, "0") == "" {
		return nil
	}
	return b
}

func hexadecimal(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil || strings.ToLower(text) != text {
		return nil
	}
	return b
}

// mostValue is the length of the longest value of an attribute.
const mostValue = 128

// plain reports whether a value can be an id, a name of the program's or a code: no space but within a pattern, no `@`.
func plain(value string) bool {
	if value == "" || len(value) > mostValue {
		return false
	}
	for _, c := range []byte(value) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_./{}: ", c) >= 0:
		default:
			return false
		}
	}
	return true
}

func attribute(name, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: name,
		Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func nano(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) } // #nosec G115 -- not negative
