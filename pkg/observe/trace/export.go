package trace

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	mostWaiting = 8192 // spans that wait to be exported; more are dropped
	mostSpans   = 512  // spans in one export
	gatherTime  = time.Second
	postTime    = 10 * time.Second
	mostAnswer  = 64 << 10 // bytes that are read of the collector's answer
	// flushTime is how long a process that ends waits for its last spans to be exported.
	flushTime = 3 * time.Second
	// attempts is how often an export is tried, with growing pauses.
	attempts  = 5
	firstWait = time.Second
)

// Tracer exports a process's spans. A nil *Tracer exports none.
type Tracer struct {
	config   Config
	version  string
	instance string
	headers  http.Header
	client   *http.Client
	log      *zap.Logger

	queue             chan waiting
	exported, dropped prometheus.Counter
	closing, ended    chan struct{}
	close             sync.Once
	cancel            context.CancelFunc

	// Only for the exporter: whether the last export has failed.
	failing bool
}

type waiting struct {
	service string
	span    *tracepb.Span
}

// New starts to export; it returns nil if nothing is to be traced. The caller must close it. Counters are registered
// with r, unless it is nil.
func New(c Config, version string, log *zap.Logger, r prometheus.Registerer) (*Tracer, error) {
	if err := c.Check(); err != nil || c.URL == "" {
		return nil, err
	}
	t := &Tracer{
		config: c, version: version, instance: uuid.NewString(), log: log, queue: make(chan waiting, mostWaiting),
		closing: make(chan struct{}), ended: make(chan struct{}),
		exported: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lockbox_spans_exported_total", Help: "Spans that the collector of traces has taken.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lockbox_spans_dropped_total",
			Help: "Spans that were dropped, because the collector of traces did not take them or is too slow.",
		}),
	}
	var err error
	if t.headers, err = headers(c); err != nil {
		return nil, err
	}
	roots, err := authorities(c.CAFile)
	if err != nil {
		return nil, err
	}
	t.client = &http.Client{
		Timeout:       postTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{MaxIdleConns: 1, IdleConnTimeout: time.Minute,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}},
	}
	if r != nil {
		if err := errors.Join(r.Register(t.exported), r.Register(t.dropped)); err != nil {
			return nil, fmt.Errorf("traces: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	go t.run(ctx)
	return t, nil
}

func headers(c Config) (http.Header, error) {
	all := http.Header{}
	if c.HeadersFile == "" {
		return all, nil
	}
	text, err := c.HeadersFile.Read()
	if err != nil {
		return nil, fmt.Errorf("traces: headers_file: %w", err)
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, is := strings.Cut(line, ":")
		if !is || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("traces: headers_file: %s: each line must be \"Name: value\"", c.HeadersFile)
		}
		all.Add(textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value))
	}
	return all, nil
}

func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // the system's
	}
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, fmt.Errorf("traces: ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("traces: ca_file: %s holds no certificate", file)
	}
	return pool, nil
}

// For returns what one service of the process traces with; nil if t is.
func (t *Tracer) For(service string) *Service {
	if t == nil {
		return nil
	}
	return &Service{tracer: t, name: service}
}

// Service traces for one service of the process. A nil *Service traces nothing.
type Service struct {
	tracer *Tracer
	name   string
}

func (s *Service) record(span *tracepb.Span) {
	select {
	case s.tracer.queue <- waiting{s.name, span}:
	default:
		s.tracer.dropped.Inc()
	}
}

// Close exports what waits, for a few seconds at most, and ends.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	t.close.Do(func() {
		close(t.closing)
		late := time.AfterFunc(flushTime, t.cancel)
		<-t.ended
		late.Stop()
		t.cancel()
		t.client.CloseIdleConnections()
	})
}

func (t *Tracer) run(ctx context.Context) {
	defer close(t.ended)
	for more := true; more; {
		var batch []waiting
		if batch, more = t.gather(); len(batch) > 0 {
			t.export(ctx, batch)
		}
	}
}

// gather waits for a span and takes with it those that follow soon. It reports false once there will be no more.
func (t *Tracer) gather() (batch []waiting, more bool) {
	select {
	case first := <-t.queue:
		batch = append(batch, first)
	case <-t.closing:
	}
	late := time.NewTimer(gatherTime)
	defer late.Stop()
	for len(batch) < mostSpans {
		select {
		case next := <-t.queue:
			batch = append(batch, next)
			continue
		default:
		}
		select {
		case next := <-t.queue:
			batch = append(batch, next)
		case <-late.C:
			return batch, true
		case <-t.closing:
			return batch, len(t.queue) > 0
		}
	}
	return batch, true
}

// export tries to export spans. Meanwhile others wait and, when too many do, are dropped.
func (t *Tracer) export(ctx context.Context, batch []waiting) {
	body, err := proto.Marshal(t.message(batch))
	for attempt := 1; err == nil; attempt++ {
		var again bool
		var refused int
		if again, refused, err = t.post(ctx, body); err == nil {
			refused = min(refused, len(batch))
			t.exported.Add(float64(len(batch) - refused))
			t.dropped.Add(float64(refused))
			if t.failing {
				t.log.Info("traces are exported again")
			}
			t.failing = false
			return
		}
		if !t.failing {
			t.failing = true
			t.log.Warn("traces cannot be exported; what does not fit in memory is dropped", zap.Error(err))
		}
		if again && attempt < attempts && t.pause(firstWait<<(attempt-1)) {
			err = nil
		}
	}
	t.dropped.Add(float64(len(batch)))
}

// pause reports whether there is still time for another attempt.
func (t *Tracer) pause(wait time.Duration) bool {
	select {
	case <-time.After(wait):
		return true
	case <-t.closing:
		return false
	}
}

// post sends one export, and returns how many spans the collector did not take of one that it took. Again reports
// whether an error may pass (OTLP specification, "Failures").
func (t *Tracer) post(ctx context.Context, body []byte) (again bool, refused int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.config.URL, bytes.NewReader(body))
	if err != nil {
		return false, 0, err
	}
	r.Header = t.headers.Clone()
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("User-Agent", "lockbox")
	w, err := t.client.Do(r)
	if err != nil {
		return true, 0, err
	}
	answer, err := io.ReadAll(io.LimitReader(w.Body, mostAnswer))
	if err = errors.Join(err, w.Body.Close()); err != nil {
		return true, 0, err
	}
	switch w.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return false, partial(answer), nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	// Not the answer's text: it may repeat what it was sent.
	return again, 0, fmt.Errorf("%s answers %d", t.config.URL, w.StatusCode)
}

// partial returns how many spans an answer says were not taken: `partial_success.rejected_spans` of an
// ExportTraceServiceResponse. Whatever else it says is of no interest.
func partial(answer []byte) int {
	inner, _ := field(answer, protowire.BytesType)
	_, refused := field(inner, protowire.VarintType)
	return int(min(refused, mostSpans)) // #nosec G115 -- not more than that
}

// field returns the first field of number 1 and this type.
func field(message []byte, of protowire.Type) (b []byte, n uint64) {
	for len(message) > 0 {
		number, typ, length := protowire.ConsumeTag(message)
		if length < 0 {
			return nil, 0
		}
		message = message[length:]
		if number == 1 && typ == of {
			if of == protowire.VarintType {
				n, _ = protowire.ConsumeVarint(message)
				return nil, n
			}
			b, _ = protowire.ConsumeBytes(message)
			return b, 0
		}
		if length = protowire.ConsumeFieldValue(number, typ, message); length < 0 {
			return nil, 0
		}
		message = message[length:]
	}
	return nil, 0
}

// message returns spans as OTLP has them. It is an ExportTraceServiceRequest to the byte; that type is in a package
// which needs gRPC.
func (t *Tracer) message(batch []waiting) *tracepb.TracesData {
	of := map[string]*tracepb.ScopeSpans{}
	data := &tracepb.TracesData{}
	for _, w := range batch {
		scope := of[w.service]
		if scope == nil {
			scope = &tracepb.ScopeSpans{Scope: &commonpb.InstrumentationScope{Name: "lockbox", Version: t.version}}
			of[w.service] = scope
			data.ResourceSpans = append(data.ResourceSpans, &tracepb.ResourceSpans{
				Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
					attribute("service.name", w.service), attribute("service.namespace", "lockbox"),
					attribute("service.version", t.version), attribute("service.instance.id", t.instance),
				}},
				ScopeSpans: []*tracepb.ScopeSpans{scope},
			})
		}
		scope.Spans = append(scope.Spans, w.span)
	}
	return data
}
