package observe

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are a process's counters.
type Metrics struct {
	registry    *prometheus.Registry
	refusals    *prometheus.CounterVec
	events      *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
}

// NewMetrics makes the counters of a process, with those of the Go runtime.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_refusals_total", Help: "Intents, commands and queries that were refused, by code and rule.",
		}, []string{"service", "code", "rule"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_events_total", Help: "Events that were written, by type.",
		}, []string{"service", "type"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_deadletters_total", Help: "Messages that could not be understood and were set aside.",
		}, []string{"service"}),
	}
	m.registry.MustRegister(m.refusals, m.events, m.deadLetters,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registerer takes a service's own collectors. It is nil if m is.
func (m *Metrics) Registerer() prometheus.Registerer {
	if m == nil {
		return nil
	}
	return m.registry
}

// For returns the counters of one service of the process; nil if m is.
func (m *Metrics) For(service string) *Counters {
	if m == nil {
		return nil
	}
	m.deadLetters.WithLabelValues(service) // shown as 0 from the start, so that the first one is seen as a rise
	return &Counters{metrics: m, service: service}
}

// Counters count for one service. A nil one counts nothing.
type Counters struct {
	metrics *Metrics
	service string
}

// Refused counts a refusal.
func (c *Counters) Refused(r *lockboxv1.Refusal) {
	if c == nil {
		return
	}
	code := strings.ToLower(strings.TrimPrefix(r.GetCode().String(), "REFUSAL_CODE_"))
	c.metrics.refusals.WithLabelValues(c.service, code, r.GetRule()).Inc()
}

// Event counts an event that was written, by its fact's message name.
func (c *Counters) Event(eventType string) {
	if c != nil {
		c.metrics.events.WithLabelValues(c.service, eventType).Inc()
	}
}

// DeadLetter counts a message that was set aside.
func (c *Counters) DeadLetter() {
	if c != nil {
		c.metrics.deadLetters.WithLabelValues(c.service).Inc()
	}
}
