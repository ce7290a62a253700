// Package trace exports spans of what becomes of requests to an OpenTelemetry collector, by OTLP over HTTP. A request's
// id is the id of its trace, and a span's ID follows from the id of the intent, command or event that it stands for. So
// the spans of all services form one tree, although the services pass each other nothing for it, and nobody outside can
// have a span put into a trace. Spans carry ids, names of types and codes only: what is none of these is left out.
//
// Tracing never holds up what it traces, and never fails it: spans that cannot be exported are dropped and counted.
package trace

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"net"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Config says where a process's traces go.
type Config struct {
	// URL is where an OpenTelemetry collector takes traces by OTLP over HTTP, such as
	// https://otel.example.org:4318/v1/traces; empty: nothing is traced.
	URL string `yaml:"url"`
	// CAFile holds the CA certificates (PEM) that are trusted instead of the system's.
	CAFile string `yaml:"ca_file"`
	// HeadersFile holds headers that are sent along, such as credentials, one "Name: value" per line.
	HeadersFile config.SecretFile `yaml:"headers_file"`
	// Ratio is the share of requests that are traced, at most 1; 0: all. It must be the same in all services.
	Ratio float64 `yaml:"ratio"`
}

const rule = "configuration"

// Check rejects an unusable configuration; the error names the field.
func (c Config) Check() error {
	if math.IsNaN(c.Ratio) || c.Ratio < 0 || c.Ratio > 1 {
		return refusal.Invalid("ratio", rule, "must be between 0 and 1")
	}
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return refusal.Invalid("url", rule, "must be an address such as https://otel.example.org:4318/v1/traces")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return refusal.Invalid("url", rule, "must be a plain address; credentials belong into headers_file")
	case c.HeadersFile != "" && u.Scheme != "https" && !local(u.Hostname()):
		return refusal.Invalid("url", rule, "must be https, because of headers_file")
	}
	return nil
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Of returns the id of the trace that an event belongs to: its request's. Of an event that belongs to none it is what
// caused the event, a command for example.
func Of(e *lockboxv1.Event) string {
	switch {
	case e.GetCorrelationId() != "":
		return e.GetCorrelationId()
	case e.GetKind() == aggregate.KindRequest:
		return e.GetAggregateId()
	case e.GetCausationId() != "":
		return e.GetCausationId()
	}
	return e.GetId()
}

// OfCommand returns the id of the trace that a command belongs to: the request's or, if it is about something else, its
// own.
func OfCommand(about aggregate.Key, id string) string {
	if about.Kind == aggregate.KindRequest {
		return about.ID
	}
	return id
}

// OfRequest reports whether an event belongs to a request.
func OfRequest(e *lockboxv1.Event) bool {
	return e.GetCorrelationId() != "" || e.GetKind() == aggregate.KindRequest
}

// ID returns the trace ID of a request, as tracing systems and logs write it: of a UUID its digits.
func ID(id string) string {
	t := traceID(id)
	return hex.EncodeToString(t[:])
}

func traceID(id string) [16]byte {
	if u, err := uuid.Parse(id); err == nil && u != uuid.Nil && u.String() == id {
		return u
	}
	sum := sha256.Sum256([]byte("lockbox trace " + id))
	return [16]byte(sum[:16])
}

// spanID returns the ID of the span that stands for the intent, command or event of that id.
func spanID(id string) [8]byte {
	sum := sha256.Sum256([]byte("lockbox span " + id))
	return [8]byte(sum[:8])
}

// Sent is what the sending of an intent or command is called as a step, so that whoever receives it from the portal
// knows what it came from.
func Sent(id string) string { return "sent " + id }

// sampled decides from the trace ID alone, so that all services decide the same. The ID's bits are not used as they
// are: not all of a UUID are random, and tools choose them.
func sampled(id [16]byte, ratio float64) bool {
	if ratio == 0 || ratio == 1 {
		return true
	}
	sum := sha256.Sum256(append([]byte("lockbox sample "), id[:]...))
	return float64(binary.BigEndian.Uint64(sum[:])) < ratio*math.Exp2(64)
}

// Recorded reports whether a command becomes a span of the request that it named, whatever came of it. Strangers, and
// people whom a request does not concern, must not be able to write into its trace, nor to fill the queue. What was
// unavailable is recorded of those whose token was verified.
func Recorded(err error, verified bool) bool {
	if err == nil {
		return true
	}
	switch refusal.Of(err).GetCode() {
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED, lockboxv1.RefusalCode_REFUSAL_CODE_INVALID,
		lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND:
		return false
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE:
		return verified
	}
	return true
}

// code is what an error is called in a span.
func code(r *lockboxv1.Refusal) string {
	return strings.ToLower(strings.TrimPrefix(r.GetCode().String(), "REFUSAL_CODE_"))
}
