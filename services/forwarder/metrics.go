package forwarder

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what is forwarded, by target. A nil *metrics counts nothing.
type metrics struct {
	events, failures, refusals, skipped *prometheus.CounterVec
	position                            *prometheus.GaugeVec
	registerer                          prometheus.Registerer
}

// customers is the label of all customers' webhooks together: one for each would be as many as customers like to have.
const customers = "@customers"

// newMetrics registers the counters of all targets, beginning at 0, those for access records by a name of their own.
func newMetrics(r prometheus.Registerer, targets []Target) (*metrics, error) {
	if r == nil {
		return nil, nil //nolint:nilnil // nothing is counted
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lockbox_forward_" + name, Help: help},
			[]string{"target"})
	}
	m := &metrics{registerer: r,
		events:   counter("events_total", "Events that a target has taken; repetitions count again."),
		failures: counter("failures_total", "Failed deliveries, after each of which there is a pause."),
		refusals: counter("refusals_total", "Requests that a target refused for what was in them (400, 413, 422)."),
		skipped:  counter("skipped_total", "Events that were left out because a target refused them."),
		position: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lockbox_forward_position",
			Help: "The sequence up to which a target has every event."}, []string{"target"}),
	}
	for _, c := range []prometheus.Collector{m.events, m.failures, m.refusals, m.skipped, m.position} {
		if err := register(r, c); err != nil {
			return nil, err
		}
	}
	for _, t := range targets {
		for name, has := range map[string]bool{t.Name: t.events(), accessName(t.Name): t.access()} {
			for _, c := range []*prometheus.CounterVec{m.events, m.failures, m.refusals, m.skipped} {
				if has {
					c.WithLabelValues(name)
				}
			}
		}
	}
	return m, nil
}

// register registers a collector in place of one of a forwarder that ran before in this process.
func register(r prometheus.Registerer, c prometheus.Collector) error {
	err := r.Register(c)
	if former := (prometheus.AlreadyRegisteredError{}); errors.As(err, &former) {
		r.Unregister(former.ExistingCollector)
		err = r.Register(c)
	}
	return err
}

// watch registers how many customers' webhooks there are in each state.
func (m *metrics) watch(h *hooks) error {
	if m == nil {
		return nil
	}
	for i, state := range []string{"delivering", "failing", "paused"} {
		gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lockbox_forward_webhooks",
			Help:        "Customers' own webhooks, by how they are doing.",
			ConstLabels: prometheus.Labels{"state": state}}, func() float64 {
			delivering, failing, paused := h.counts()
			return float64([]int{delivering, failing, paused}[i])
		})
		if err := register(m.registerer, gauge); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) delivered(target string, n int) {
	if m != nil {
		m.events.WithLabelValues(target).Add(float64(n))
	}
}

func (m *metrics) failed(target string) {
	if m != nil {
		m.failures.WithLabelValues(target).Inc()
	}
}

func (m *metrics) refusedOne(target string) {
	if m != nil {
		m.refusals.WithLabelValues(target).Inc()
	}
}

func (m *metrics) skippedOne(target string) {
	if m != nil {
		m.skipped.WithLabelValues(target).Inc()
	}
}

func (m *metrics) at(target string, sequence uint64) {
	if m != nil && target != customers {
		m.position.WithLabelValues(target).Set(float64(sequence))
	}
}
