package trace_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/observe/trace/tracetest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const (
	requestID = "019b2f3c-5d10-7abc-8def-0123456789ab"
	commandID = "019b2f3c-5d10-7abc-8def-0123456789ac"
	eventID   = "019b2f3c-5d10-7abc-8def-0123456789ad"
	secondID  = "019b2f3c-5d10-7abc-8def-0123456789ae"
	tenant    = "meadow-bank"
	tracer    = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

func start(t *testing.T, c trace.Config) (*trace.Tracer, *tracetest.Collector) {
	t.Helper()
	collector := tracetest.Start(t)
	c.URL = collector.Address()
	traces, err := trace.New(c, "v1", zap.NewNop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(traces.Close)
	return traces, collector
}

// arrived waits until the collector has so many spans, and ends the exporter: a busy machine may not manage it within
// the time that a process that ends has.
func arrived(t *testing.T, traces *trace.Tracer, collector *tracetest.Collector, n int) []tracetest.Span {
	t.Helper()
	wait(t, fmt.Sprintf("%d spans", n), func() bool { return len(collector.Spans()) >= n })
	traces.Close()
	return collector.Spans()
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}

func event(id, cause string) *lockboxv1.Event {
	return &lockboxv1.Event{Id: id, Tenant: tenant, Kind: aggregate.KindRequest, AggregateId: requestID,
		CorrelationId: requestID, CausationId: cause,
		Fact: &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{}}}
}

// The orchestrator's and the notifier's spans form one tree, although they share nothing but the event.
func TestSpansOfTwoServicesFormOneTree(t *testing.T) {
	t.Parallel()
	traces, collector := start(t, trace.Config{})
	orchestrator, notifier := traces.For("lockbox-orchestrator"), traces.For("notifier")

	ctx, command := orchestrator.Start(t.Context(), trace.Step{Trace: requestID, Name: "command", Detail: "approve",
		ID: commandID, After: requestID, Caller: tracer})
	orchestrator.Wrote(ctx, event(eventID, commandID), time.Now())
	command.End(nil)
	ctx, mails := notifier.After(t.Context(), event(eventID, commandID), "mails", time.Now())
	mails.Use()
	ctx, mail := mails.Below(ctx, trace.Step{Name: "mail", Detail: "access-granted"})
	report := event(secondID, eventID)
	report.Kind, report.AggregateId = aggregate.KindDelivery, eventID
	report.Fact = &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{}}
	notifier.Wrote(ctx, report, time.Now())
	mail.End(nil)
	mails.End(nil)

	names := map[string]tracetest.Span{}
	for _, s := range arrived(t, traces, collector, 5) {
		names[s.Name] = s
		if s.Trace != strings.ReplaceAll(requestID, "-", "") || s.Trace != trace.ID(requestID) || s.Took < 0 {
			t.Errorf("%s is in trace %s and took %d ns", s.Name, s.Trace, s.Took)
		}
	}
	approved, sent := names["event CustomerApproved"], names["mail access-granted"]
	for child, parent := range map[string]tracetest.Span{
		"event CustomerApproved": names["command approve"], "mails CustomerApproved": approved,
		"mail access-granted": names["mails CustomerApproved"], "event NotificationSent": sent,
	} {
		if names[child].Parent != parent.ID || parent.ID == "" {
			t.Errorf("%s is below %s, not below %s", child, names[child].Parent, parent.Name)
		}
	}
	if len(collector.Spans()) != 5 || sent.Service != "notifier" || approved.Service != "lockbox-orchestrator" {
		t.Errorf("%d spans: %+v", len(collector.Spans()), names)
	}
	if l := names["command approve"].Links; len(l) != 1 || l[0] != tracer[3:52] {
		t.Errorf("links: %v", l)
	}
}

// Nobody can put a second span in the place of one that stands for a command.
func TestWhatChangesNothingTakesNobodysPlace(t *testing.T) {
	t.Parallel()
	traces, collector := start(t, trace.Config{})
	s := traces.For("lockbox-orchestrator")
	step := trace.Step{Trace: requestID, Name: "command", ID: commandID, After: requestID}
	ctx, first := s.Start(t.Context(), step)
	s.Wrote(ctx, event(eventID, commandID), time.Now())
	first.End(nil)
	_, again := s.Start(t.Context(), step)
	again.End(refusal.Precondition("id", "R26", "too late"))
	spans := arrived(t, traces, collector, 3)
	if len(spans) != 3 || spans[0].Parent != spans[1].ID || spans[2].ID == spans[1].ID {
		t.Errorf("%+v", spans)
	}
	if a := spans[2].Attributes; a[trace.Result] != "precondition" || a[trace.Rule] != "R26" || spans[2].Failed {
		t.Errorf("%v", a)
	}
}

func TestOnlyOfWhomARequestConcernsIsARefusalRecorded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err           error
		verified, not bool // whether it is recorded of somebody who was verified, and of others
	}{
		"done":                  {nil, true, true},
		"too late":              {refusal.Precondition("id", "R26", "x"), true, true},
		"not theirs":            {refusal.NotFound("id", "I9", "x"), false, false},
		"nobody":                {refusal.Unauthenticated("token", "R13", "x"), false, false},
		"bad":                   {refusal.Invalid("id", "bad input", "x"), false, false},
		"the bus does not work": {errors.New("timeout"), true, false},
	} {
		if trace.Recorded(c.err, true) != c.verified || trace.Recorded(c.err, false) != c.not {
			t.Errorf("%s: %v, %v", name, trace.Recorded(c.err, true), trace.Recorded(c.err, false))
		}
	}
}

func TestOnlyAWellFormedTraceparentIsLinked(t *testing.T) {
	t.Parallel()
	traces, collector := start(t, trace.Config{})
	s := traces.For("jit-evaluator")
	for _, hostile := range []string{
		"", "x", strings.Repeat("-", 55), tracer + "-x", tracer[:54], strings.ToUpper(tracer), "01" + tracer[2:],
		"00-" + strings.Repeat("0", 32) + tracer[35:], tracer[:36] + strings.Repeat("0", 16) + "-01",
		strings.Replace(tracer, "4bf9", "4bg9", 1), tracer[:53] + "zz", "00-" + tracer[4:36] + tracer[35:] + "a",
		"00-<script>-00f067aa0ba902b7-01", strings.Replace(tracer, "-", "\n", 1),
	} {
		_, span := s.Start(t.Context(), trace.Step{Trace: requestID, Name: "intent", Caller: hostile})
		span.End(nil)
	}
	_, span := s.Start(t.Context(), trace.Step{Trace: requestID, Name: "linked", Caller: tracer})
	span.End(nil)
	for _, span := range arrived(t, traces, collector, 15) {
		if span.Parent != "" || span.Trace != trace.ID(requestID) || (len(span.Links) > 0) != (span.Name == "linked") {
			t.Errorf("%+v", span)
		}
	}
	if len(collector.Spans()) != 15 {
		t.Errorf("%d spans", len(collector.Spans()))
	}
}

func TestOnlyIDsNamesAndCodesAreAttributes(t *testing.T) {
	t.Parallel()
	traces, collector := start(t, trace.Config{})
	_, span := traces.For("portal").Start(t.Context(), trace.Step{Trace: requestID, Name: "HTTP"})
	for name, value := range map[string]string{
		"mail": "otto@meadowbank.example", "text": "The machine hangs; a dump", "empty": "", "lines": "a\nb", "name": "Ōtto",
		"long": strings.Repeat("a", 129),
	} {
		span.Set(name, value)
	}
	span.Set(trace.Route, "/t/{tenant}/requests/{id}/approve")
	span.End(errors.New("dial otto@meadowbank.example: secret"))
	spans := arrived(t, traces, collector, 1)
	if len(spans) != 1 || !spans[0].Failed || len(spans[0].Attributes) != 3 ||
		spans[0].Attributes[trace.Route] == "" || spans[0].Attributes[trace.Result] != "unavailable" {
		t.Errorf("%+v", spans)
	}
	if texts := collector.Texts(); strings.Contains(texts, "@") || strings.Contains(texts, "secret") {
		t.Errorf("%q", texts)
	}
}

// Every service comes to the same, whatever chose the ids.
func TestAShareOfTheTracesIsRecordedWhole(t *testing.T) {
	t.Parallel()
	traces, collector := start(t, trace.Config{Ratio: 0.25})
	recorded := ""
	for i := range 2000 {
		id := fmt.Sprintf("%s%04x", requestID[:32], i)
		for _, service := range []string{"jit-evaluator", "notifier"} {
			_, span := traces.For(service).Start(t.Context(), trace.Step{Trace: id, Name: "step"})
			if span != nil {
				recorded = id
			}
			span.End(nil)
		}
	}
	_, last := traces.For("notifier").Start(t.Context(), trace.Step{Trace: recorded, Name: "last"})
	last.End(nil)
	wait(t, "the last span", func() bool {
		return slices.ContainsFunc(collector.Spans(), func(s tracetest.Span) bool { return s.Name == "last" })
	})
	seen := map[string]int{}
	for _, s := range collector.Spans() {
		if s.Name != "last" {
			seen[s.Trace]++
		}
	}
	for id, n := range seen {
		if n != 2 {
			t.Errorf("trace %s has %d spans", id, n)
		}
	}
	if len(seen) < 400 || len(seen) > 600 {
		t.Errorf("%d of 2000 traces are recorded", len(seen))
	}
}

func TestWithoutACollectorNothingIsTraced(t *testing.T) { // not in parallel, because it counts allocations
	traces, err := trace.New(trace.Config{}, "v1", zap.NewNop(), nil)
	if err != nil || traces != nil {
		t.Fatal(traces, err)
	}
	s := traces.For("notifier")
	e := event(eventID, commandID)
	ctx := context.Background()
	allocated := testing.AllocsPerRun(100, func() {
		ctx, span := s.Start(ctx, trace.Step{Trace: requestID, Name: "command", Detail: "approve", ID: commandID})
		span.Set(trace.Tenant, tenant)
		s.Wrote(ctx, e, time.Time{})
		ctx, mails := s.After(ctx, e, "mails", time.Time{})
		_, mail := mails.Below(ctx, trace.Step{Name: "mail"})
		mail.End(nil)
		span.End(nil)
	})
	if allocated > 0 {
		t.Errorf("it allocates %v times", allocated)
	}
	traces.Close()
}

// gathered returns the value of a counter.
func gathered(t *testing.T, r *prometheus.Registry, name string) (value float64) {
	t.Helper()
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.GetName() == name {
			return m.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

func TestAnUnreachableCollectorHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	collector := tracetest.Start(t)
	collector.Close()
	registry := prometheus.NewRegistry()
	core, logged := observer.New(zap.InfoLevel)
	traces, err := trace.New(trace.Config{URL: collector.Address()}, "v1", zap.New(core), registry)
	if err != nil {
		t.Fatal(err)
	}
	s := traces.For("notifier")
	const spans = 20_000 // more than wait
	for range spans {
		_, span := s.Start(t.Context(), trace.Step{Trace: requestID, Name: "mails"})
		span.End(nil)
	}
	traces.Close()
	dropped := gathered(t, registry, "lockbox_spans_dropped_total")
	exported := gathered(t, registry, "lockbox_spans_exported_total")
	if dropped != spans || exported != 0 {
		t.Errorf("%v dropped, %v exported", dropped, exported)
	}
	if logged.FilterMessageSnippet("cannot be exported").Len() != 1 {
		t.Errorf("it is said %d times", logged.Len())
	}
}

func TestWhatMayPassIsTriedAgain(t *testing.T) {
	t.Parallel()
	collector := tracetest.Start(t)
	file := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(file, []byte("Authorization: Bearer collectors\nX-Scope: a: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	core, logged := observer.New(zap.DebugLevel)
	traces, err := trace.New(trace.Config{URL: collector.Address(), HeadersFile: config.SecretFile(file)}, "v1",
		zap.New(core), registry)
	if err != nil {
		t.Fatal(err)
	}
	defer traces.Close()
	span := func() {
		_, s := traces.For("notifier").Start(t.Context(), trace.Step{Trace: requestID, Name: "mails"})
		s.End(nil)
	}
	collector.Answer(http.StatusServiceUnavailable)
	span()
	wait(t, "tried again", func() bool { return len(collector.Spans()) == 1 })
	collector.Answer(http.StatusBadRequest)
	span()
	wait(t, "dropped", func() bool { return gathered(t, registry, "lockbox_spans_dropped_total") == 1 })
	collector.Refuse(1)
	span()
	wait(t, "counted as dropped", func() bool { return gathered(t, registry, "lockbox_spans_dropped_total") == 2 })
	if n := gathered(t, registry, "lockbox_spans_exported_total"); n != 1 {
		t.Errorf("%v exported", n)
	}
	if collector.Header("Authorization") != "Bearer collectors" || collector.Header("X-Scope") != "a: b" {
		t.Error("the headers are not sent along")
	}
	for _, line := range logged.All() {
		for _, f := range line.Context {
			if strings.Contains(f.String, "collectors") {
				t.Errorf("logged: %v", line)
			}
		}
	}
}

func TestACollectorsCertificateIsChecked(t *testing.T) {
	t.Parallel()
	collector, file := tracetest.StartTLS(t)

	for _, c := range []trace.Config{{URL: collector.Address()}, {URL: collector.Address(), CAFile: file}} {
		registry := prometheus.NewRegistry()
		traces, err := trace.New(c, "v1", zap.NewNop(), registry)
		if err != nil {
			t.Fatal(err)
		}
		_, span := traces.For("notifier").Start(t.Context(), trace.Step{Trace: requestID, Name: "mails"})
		span.End(nil)
		exported := func() bool { return gathered(t, registry, "lockbox_spans_exported_total") == 1 }
		if c.CAFile != "" {
			wait(t, "exported", exported)
		}
		traces.Close()
		if exported() != (c.CAFile != "") {
			t.Errorf("%+v: exported is %t", c, exported())
		}
	}
}

func TestAConfigurationOfTracesIsChecked(t *testing.T) {
	t.Parallel()
	const https = "https://otel.example.org/v1/traces"
	for want, c := range map[string]trace.Config{
		"ratio: must":                   {Ratio: 1.5},
		"url: must be an address":       {URL: "otel:4318"},
		"credentials belong":            {URL: "https://u:p@otel.example.org/v1/traces"},
		"url: must be a plain address;": {URL: https + "?key=x"},
		"because of headers_file":       {URL: "http://otel.example.org/v1/traces", HeadersFile: "x"},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
	for _, c := range []trace.Config{{}, {URL: https, HeadersFile: "x", Ratio: 0.1},
		{URL: "http://collector:4318/v1/traces"}, {URL: "http://127.0.0.1:4318/v1/traces", HeadersFile: "x"}} {
		if err := c.Check(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "x")
	if err := os.WriteFile(file, []byte("no header at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []trace.Config{{URL: https, HeadersFile: config.SecretFile(file)}, {URL: https, CAFile: file},
		{URL: https, HeadersFile: config.SecretFile(filepath.Join(dir, "none"))}} {
		if traces, err := trace.New(c, "v1", zap.NewNop(), nil); err == nil {
			traces.Close()
			t.Errorf("%+v: it starts", c)
		} else if strings.Contains(err.Error(), "no header at all") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}
