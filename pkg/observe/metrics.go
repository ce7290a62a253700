package observe

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are a process's counters.
type Metrics struct {
	registry        *prometheus.Registry
	refusals        *prometheus.CounterVec
	events          *prometheus.CounterVec
	deadLetters     *prometheus.CounterVec
	deadLettersLost *prometheus.CounterVec
	limited         *prometheus.CounterVec
	keysPassedOver  *prometheus.CounterVec
	access          *prometheus.CounterVec
	accessLeftOut   *prometheus.CounterVec
	accessLost      *prometheus.CounterVec
}

// NewMetrics returns a process's counters, including those of the Go runtime.
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
		deadLettersLost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_deadletters_lost_total",
			Help: "Messages that could not be understood and were not kept, because too many of their sender are.",
		}, []string{"service"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_limited_commands_total",
			Help: "Commands that were refused because the person had sent too many, by the account on the bus that sent them.",
		}, []string{"service", "sender"}),
		keysPassedOver: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_issuer_keys_passed_over_total",
			Help: "Keys of issuers that cannot be used, counted when a key set is first seen; the log names them.",
		}, []string{"service"}),
		access: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_access_records_total",
			Help: "Records of sign-ins, reads, exports and refused commands that were written.",
		}, []string{"service"}),
		accessLeftOut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_access_left_out_total",
			Help: "Sign-ins, reads, exports and refused commands of which only the number is recorded, because there were too many.",
		}, []string{"service"}),
		accessLost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_access_lost_total",
			Help: "Sign-ins, reads, exports and refused commands of which nothing is recorded, because the service stopped while the bus was away.",
		}, []string{"service"}),
	}
	m.registry.MustRegister(m.refusals, m.events, m.deadLetters, m.deadLettersLost, m.limited, m.keysPassedOver,
		m.access, m.accessLeftOut, m.accessLost, buildInfo(),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registerer registers a service's own collectors. It is nil if m is.
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
	// Exported as 0 from the start, so that the first one shows as an increase.
	m.deadLetters.WithLabelValues(service)
	m.deadLettersLost.WithLabelValues(service)
	m.keysPassedOver.WithLabelValues(service)
	m.access.WithLabelValues(service)
	m.accessLeftOut.WithLabelValues(service)
	m.accessLost.WithLabelValues(service)
	return &Counters{metrics: m, service: service}
}

// Registerer registers the service's own collectors. It is nil if c is.
func (c *Counters) Registerer() prometheus.Registerer {
	if c == nil {
		return nil
	}
	return c.metrics.Registerer()
}

// Counters are the counters of one service. A nil *Counters counts nothing.
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

// Event counts a stored event by type, the message name of its fact.
func (c *Counters) Event(eventType string) {
	if c != nil {
		c.metrics.events.WithLabelValues(c.service, eventType).Inc()
	}
}

// DeadLetter counts a dead letter.
func (c *Counters) DeadLetter() {
	if c != nil {
		c.metrics.deadLetters.WithLabelValues(c.service).Inc()
	}
}

// DeadLetterLost counts a message that was not kept as a dead letter.
func (c *Counters) DeadLetterLost() {
	if c != nil {
		c.metrics.deadLettersLost.WithLabelValues(c.service).Inc()
	}
}

// Limited counts a command that was refused because its person had sent too many, by its sender on the bus.
func (c *Counters) Limited(sender string) {
	if c != nil {
		c.metrics.limited.WithLabelValues(c.service, sender).Inc()
	}
}

// KeysPassedOver counts keys of an issuer that cannot be used.
func (c *Counters) KeysPassedOver(n int) {
	if c != nil {
		c.metrics.keysPassedOver.WithLabelValues(c.service).Add(float64(n))
	}
}

// AccessRecorded counts an access record that was written.
func (c *Counters) AccessRecorded() {
	if c != nil {
		c.metrics.access.WithLabelValues(c.service).Inc()
	}
}

// AccessLeftOut counts what is recorded by its number only.
func (c *Counters) AccessLeftOut(n uint64) {
	if c != nil {
		c.metrics.accessLeftOut.WithLabelValues(c.service).Add(float64(n))
	}
}

// AccessLost counts what is not recorded at all.
func (c *Counters) AccessLost(n uint64) {
	if c != nil {
		c.metrics.accessLost.WithLabelValues(c.service).Add(float64(n))
	}
}
