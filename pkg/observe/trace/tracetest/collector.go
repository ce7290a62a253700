// Package tracetest is an OpenTelemetry collector for tests: it takes spans by OTLP over HTTP and keeps them.
package tracetest

import (
	"encoding/hex"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
)

// Span is a span as it arrived. IDs are hexadecimal.
type Span struct {
	Service           string
	Trace, ID, Parent string
	Name, Kind        string
	Failed            bool
	Attributes        map[string]string
	// Links are the callers' own spans: trace and span ID, separated by a dash.
	Links []string
	// Took is in nanoseconds.
	Took int64
}

// Collector takes spans.
type Collector struct {
	*httptest.Server
	mu sync.Mutex
	// headers are those of the last export; answers are the statuses with which the next exports are answered.
	headers http.Header
	answers []int
	refused uint64
	spans   []Span
	texts   []string
}

// Start starts a collector, which ends with the test.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := prepare(t)
	c.Start()
	return c
}

// StartTLS starts a collector that speaks TLS. The file holds its authority.
func StartTLS(t testing.TB) (c *Collector, caFile string) {
	t.Helper()
	c = prepare(t)
	c.StartTLS()
	caFile = filepath.Join(t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw})
	if err := os.WriteFile(caFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return c, caFile
}

func prepare(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		data := new(tracepb.TracesData)
		if err == nil {
			err = proto.Unmarshal(body, data)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" ||
			len(data.ProtoReflect().GetUnknown()) > 0 {
			t.Errorf("%s %s (%s) is no export of spans: %v", r.Method, r.URL, r.Header.Get("Content-Type"), err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.headers = r.Header.Clone()
		if len(c.answers) > 0 {
			status := c.answers[0]
			c.answers = c.answers[1:]
			w.WriteHeader(status)
			return
		}
		c.keep(data)
		if c.refused > 0 {
			inner := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), c.refused)
			inner = protowire.AppendString(protowire.AppendTag(inner, 2, protowire.BytesType), "too old")
			_, _ = w.Write(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner))
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *Collector) keep(data *tracepb.TracesData) {
	_ = protorange.Range(data.ProtoReflect(), func(v protopath.Values) error {
		if text, is := v.Index(-1).Value.Interface().(string); is {
			c.texts = append(c.texts, text)
		}
		return nil
	}) // never fails
	for _, of := range data.GetResourceSpans() {
		service := ""
		for _, a := range of.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				span := Span{
					Service: service, Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
					Parent: hex.EncodeToString(s.GetParentSpanId()), Name: s.GetName(),
					Kind:       strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")),
					Failed:     s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR,
					Attributes: map[string]string{},
					Took:       int64(s.GetEndTimeUnixNano()) - int64(s.GetStartTimeUnixNano()), // #nosec G115 -- times of today
				}
				for _, a := range s.GetAttributes() {
					span.Attributes[a.GetKey()] = a.GetValue().GetStringValue()
				}
				for _, l := range s.GetLinks() {
					span.Links = append(span.Links, hex.EncodeToString(l.GetTraceId())+"-"+hex.EncodeToString(l.GetSpanId()))
				}
				c.spans = append(c.spans, span)
			}
		}
	}
}

// Address is where the collector takes spans.
func (c *Collector) Address() string { return c.URL + "/v1/traces" }

// Answer has the next exports answered with these statuses.
func (c *Collector) Answer(statuses ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = statuses
}

// Refuse has the next exports answered as if so many spans of each were not taken.
func (c *Collector) Refuse(spans uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = spans
}

// Header returns a header of the last export.
func (c *Collector) Header(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers.Get(name)
}

// Spans returns what has arrived.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Texts returns every text in what has arrived, one per line: names, attributes and whatever else there is.
func (c *Collector) Texts() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.texts, "\n")
}
