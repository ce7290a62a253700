package observe

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/build"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are a process's counters, and what it reads of itself when it is scraped.
type Metrics struct {
	registry        *prometheus.Registry
	readings        *readings
	build           *prometheus.GaugeVec
	alarms          *prometheus.CounterVec
	answers         *prometheus.HistogramVec
	mails           *prometheus.CounterVec
	mailDelay       *prometheus.HistogramVec
	refusals        *prometheus.CounterVec
	events          *prometheus.CounterVec
	deadLetters     *prometheus.CounterVec
	deadLettersLost *prometheus.CounterVec
	limited         *prometheus.CounterVec
	keysPassedOver  *prometheus.CounterVec
	access          *prometheus.CounterVec
	accessLeftOut   *prometheus.CounterVec
	accessLost      *prometheus.CounterVec
	requests        *prometheus.CounterVec
	responses       *prometheus.HistogramVec

	mu sync.Mutex
	// registered are all collectors, so that it can be told which metrics there are.
	registered map[prometheus.Collector]struct{}
}

// NewMetrics returns a process's counters, including those of the Go runtime.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), readings: newReadings(), registered: map[prometheus.Collector]struct{}{},
		build: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lockbox_build_info", Help: "1, with what the program was built from.",
		}, []string{"service", "version", "revision", "go"}),
		alarms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_alarms_total",
			Help: "Alarms: what must never happen, or cannot be explained by an outage. Each is also a line ALARM in the log.",
		}, []string{"service", "alarm"}),
		answers: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "lockbox_answer_duration_seconds",
			Help:    "From when a command, query or intent arrived until it was answered, the wait for its turn included.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"service", "endpoint", "outcome"}),
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_mails_total",
			Help: "Mails by what became of them: sent, refused for good, given up, or not sent because the recipient may no longer read " +
				"it (not_entitled); deferred counts each attempt after which a mail is tried again.",
		}, []string{"service", "outcome"}),
		mailDelay: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "lockbox_mail_delay_seconds",
			Help:    "From an event until the mail server took the mail about it; held mails are sent after ten minutes at most.",
			Buckets: []float64{1, 5, 15, 60, 300, 660, 900, 3600, 14400, 86400},
		}, []string{"service"}),
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
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_http_requests_total", Help: "HTTP requests, by method and status.",
		}, []string{"service", "method", "code"}),
		responses: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lockbox_http_response_seconds", Help: "From an HTTP request until its response began.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"service", "method", "code"}),
		accessLost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockbox_access_lost_total",
			Help: "Sign-ins, reads, exports and refused commands of which nothing is recorded, because the service stopped while the bus was away.",
		}, []string{"service"}),
	}
	m.MustRegister(m.readings, m.build, m.alarms, m.answers, m.mails, m.mailDelay,
		m.refusals, m.events, m.deadLetters, m.deadLettersLost, m.limited, m.keysPassedOver,
		m.access, m.accessLeftOut, m.accessLost, m.requests, m.responses,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registerer registers a service's own collectors. It is nil if m is.
func (m *Metrics) Registerer() prometheus.Registerer {
	if m == nil {
		return nil
	}
	return m
}

// Register, with MustRegister and Unregister, makes Metrics a prometheus.Registerer.
func (m *Metrics) Register(c prometheus.Collector) error {
	err := m.registry.Register(c)
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.registered[c] = struct{}{}
	}
	return err
}

// MustRegister is Register of several collectors, and panics if one cannot be registered.
func (m *Metrics) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		if err := m.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister removes a collector.
func (m *Metrics) Unregister(c prometheus.Collector) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.registered, c)
	return m.registry.Unregister(c)
}

// Describe makes Metrics a prometheus.Collector of all that a process can tell, whether there is a value yet or not.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	m.mu.Lock()
	all := maps.Clone(m.registered)
	m.mu.Unlock()
	for c := range all {
		c.Describe(to)
	}
}

// Collect makes Metrics a prometheus.Collector.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	all := maps.Clone(m.registered)
	m.mu.Unlock()
	for c := range all {
		c.Collect(to)
	}
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
	built := build.Version()
	m.build.WithLabelValues(service, built.Version, built.Revision, built.Go).Set(1)
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

// ExpectAlarms exports a service's alarms as 0, so that the first one shows as an increase.
func (c *Counters) ExpectAlarms(alarms ...string) {
	if c != nil {
		for _, a := range alarms {
			c.metrics.alarms.WithLabelValues(c.service, a)
		}
	}
}

// Alarm counts an alarm.
func (c *Counters) Alarm(what string) {
	if c != nil {
		c.metrics.alarms.WithLabelValues(c.service, what).Inc()
	}
}

// Answered counts a command, query or intent that was answered. A nil refusal means that it was done.
func (c *Counters) Answered(endpoint string, took time.Duration, r *lockboxv1.Refusal) {
	if c == nil {
		return
	}
	outcome := "done"
	switch {
	case r.GetCode() == lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE:
		outcome = "unavailable"
	case r != nil:
		outcome = "refused"
	}
	c.metrics.answers.WithLabelValues(c.service, endpoint, outcome).Observe(took.Seconds())
}

// The outcomes of handing a mail to the mail server.
const (
	MailSent     = "sent"
	MailRefused  = "refused"
	MailDeferred = "deferred"
	MailGivenUp  = "given_up"
	// MailNotEntitled means that the recipient may no longer know what the mail says.
	MailNotEntitled = "not_entitled"
)

// ExpectMails exports the counts of mails as 0.
func (c *Counters) ExpectMails() {
	if c != nil {
		for _, outcome := range []string{MailSent, MailRefused, MailDeferred, MailGivenUp, MailNotEntitled} {
			c.metrics.mails.WithLabelValues(c.service, outcome)
		}
	}
}

// Mail counts an attempt to hand over a mail, and how long after its event a sent one was.
func (c *Counters) Mail(outcome string, after time.Duration) {
	if c == nil {
		return
	}
	c.metrics.mails.WithLabelValues(c.service, outcome).Inc()
	if outcome == MailSent {
		c.metrics.mailDelay.WithLabelValues(c.service).Observe(after.Seconds())
	}
}

// HTTP counts the requests of a handler, and measures until each response begins: some are streams.
func (c *Counters) HTTP(h http.Handler) http.Handler {
	if c == nil {
		return h
	}
	of := prometheus.Labels{"service": c.service}
	counted := promhttp.InstrumentHandlerCounter(c.metrics.requests.MustCurryWith(of), h)
	return promhttp.InstrumentHandlerTimeToWriteHeader(c.metrics.responses.MustCurryWith(of), counted)
}
