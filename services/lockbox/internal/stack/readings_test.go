package stack_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/request"
)

// scraped returns the value of a series; false if it is missing.
func (l *lockbox) scraped(series string) (value float64, is bool) {
	l.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(l.Context(), http.MethodGet, "/metrics", nil)
	l.config.Metrics.Handler(nil).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		l.Fatalf("%d %s", w.Code, w.Body)
	}
	for line := range strings.Lines(w.Body.String()) {
		if rest, found := strings.CutPrefix(line, series+" "); found {
			value, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			must(l, err)
			return value, true
		}
	}
	return 0, false
}

// gauges waits until a series has a value for which holds is true.
func (l *lockbox) gauges(series string, holds func(float64) bool) {
	l.Helper()
	within(l.T, 2*patience, series, func() bool {
		value, is := l.scraped(series)
		return is && holds(value)
	})
}

func exactly(want float64) func(float64) bool { return func(v float64) bool { return v == want } }

func some(v float64) bool { return v > 0 }

// reopen starts again with some services only; nil: all. What former ones told is gone.
func (l *lockbox) reopen(only ...bus.Identity) {
	l.Helper()
	l.close()
	l.config.Only, l.config.Metrics = only, observe.NewMetrics()
	l.open()
}

const (
	notifierWaits = `lockbox_nats_consumer_pending_messages{consumer="notifier",service="nats",stream="EVENTS"}`
	notifierHas   = `lockbox_nats_consumer_unacknowledged_messages{consumer="notifier",service="nats",stream="EVENTS"}`
	notifierOwes  = `lockbox_consumer_oldest_timestamp_seconds{consumer="notifier",service="notifier"}`
	leaseValid    = `lockbox_lease_valid{service="lockbox-orchestrator"}`
	mailOverdue   = `lockbox_alarms_total{alarm="mail_overdue",service="audit-projector"}`
)

// While the notifier is stopped, the bus tells what waits for it, and the audit-projector what is overdue; once it runs
// again, that it is done.
func TestMetricsTellThatTheNotifierIsStopped(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.config.MailsWithin = 4 * time.Second
	l.reopen(bus.Evaluator, bus.Orchestrator, bus.Projector)
	if n, is := l.scraped(mailOverdue); !is || n > 0 {
		t.Errorf("before anything is overdue: %v", n)
	}
	l.requested(l.intent("erin"), request.CustomerNotified)
	l.gauges(notifierWaits, some)
	l.gauges(mailOverdue, some)
	if _, is := l.scraped(notifierOwes); is {
		t.Error("a notifier that does not run tells something")
	}

	l.reopen()
	l.gauges(notifierWaits, exactly(0))
	l.gauges(notifierHas, exactly(0))
	l.gauges(`lockbox_mails_total{outcome="sent",service="notifier"}`, some)
	l.gauges(`lockbox_mail_server_available{service="notifier"}`, exactly(1))
}

// While the mail server is away, the notifier tells that, and how old the oldest event is whose mails it owes.
func TestMetricsTellThatTheMailServerIsAway(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	host, port, err := net.SplitHostPort(closed.Addr().String())
	must(t, err)
	must(t, closed.Close())
	smtp := l.config.Notifier.SMTP
	away := &l.config.Notifier.SMTP
	away.Host, away.TLS = host, "none"
	away.Port, err = strconv.Atoi(port)
	must(t, err)
	l.reopen()
	begun := time.Now()
	l.requested(l.intent("erin"), request.CustomerNotified)
	l.gauges(`lockbox_mail_server_available{service="notifier"}`, exactly(0))
	l.gauges(`lockbox_mails_total{outcome="deferred",service="notifier"}`, some)
	l.gauges(notifierOwes, func(at float64) bool { return at < observe.Seconds(time.Now().Add(time.Minute)) })
	if at, _ := l.scraped(notifierOwes); at < observe.Seconds(begun.Add(-10*time.Minute)) {
		t.Errorf("the oldest event is from %v", at)
	}

	l.config.Notifier.SMTP = smtp
	l.reopen()
	l.gauges(`lockbox_mails_total{outcome="sent",service="notifier"}`, some)
	within(t, 2*patience, "the notifier to owe nothing", func() bool { _, owes := l.scraped(notifierOwes); return !owes })
}

// Without the audit-projector there is no lease. With it all is well, until somebody stores what is no event.
func TestMetricsTellWhetherTheLogIsWhole(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.config.RescanEvery = time.Second
	l.reopen(bus.Evaluator, bus.Orchestrator, bus.Notifier)
	l.gauges(leaseValid, exactly(0))
	if _, is := l.scraped(`lockbox_guard_verified_timestamp_seconds{service="audit-projector"}`); is {
		t.Error("a guard that does not run tells something")
	}

	l.reopen()
	l.requested(l.intent("erin"), request.CustomerNotified)
	l.gauges(leaseValid, exactly(1))
	l.gauges(`lockbox_guard_verified_timestamp_seconds{service="audit-projector"}`, some)
	l.gauges(`lockbox_log_caught_up_timestamp_seconds{service="audit-projector"}`, some)
	l.gauges(`lockbox_log_covered_sequence{service="audit-projector"}`, some)
	l.gauges(`lockbox_log_failed{service="audit-projector"}`, exactly(0))
	l.gauges(`lockbox_guard_copies{service="audit-projector",state="current"}`, exactly(1))
	l.gauges(`lockbox_requests_overdue{service="audit-projector"}`, exactly(0))
	l.gauges(`lockbox_clock_skew_seconds{service="notifier"}`, func(s float64) bool { return s > -2 && s < 2 })
	l.gauges(`lockbox_answer_duration_seconds_count{endpoint="intent",outcome="done",service="jit-evaluator"}`, some)
	const notAnEvent = `lockbox_guard_differences{kind="not_an_event",service="audit-projector"}`
	l.gauges(notAnEvent, exactly(0))
	within(t, patience, "the projection to follow", func() bool {
		stream, known := l.scraped(`lockbox_stream_sequence{service="audit-projector"}`)
		shown, answers := l.scraped(`lockbox_projection_sequence{service="audit-projector"}`)
		return known && answers && shown >= stream && stream > 0
	})

	stray := &strayMessage{by: bus.Evaluator, data: []byte("no event"),
		subject: "lockbox.event." + bank + ".request.garbage.1.AccessRequested"}
	l.store(stray)
	l.gauges(notAnEvent, exactly(1))
	l.gauges(leaseValid, exactly(0))
	l.gauges(`lockbox_alarms_total{alarm="not_an_event",service="audit-projector"}`, some)
}
