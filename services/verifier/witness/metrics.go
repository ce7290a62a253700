package witness

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// metrics count what a witness does. They are written by hand, in the text format of Prometheus, because everything
// that the verifier links has to be reviewed.
type metrics struct {
	mu       sync.Mutex
	answers  map[int]int
	logs     map[string]cosigned
	evidence map[found]int
}

type cosigned struct {
	size int64
	at   time.Time
}

type found struct {
	origin string
	kind   Kind
}

func (m *metrics) answered(status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.answers == nil {
		m.answers = map[int]int{}
	}
	m.answers[status]++
}

func (m *metrics) cosigned(origin string, size int64, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.logs == nil {
		m.logs = map[string]cosigned{}
	}
	m.logs[origin] = cosigned{size, at}
}

func (m *metrics) convicted(origin string, kind Kind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.evidence == nil {
		m.evidence = map[found]int{}
	}
	m.evidence[found{origin, kind}]++
}

// Metrics serves the counts since the witness was opened.
func (w *Witness) Metrics() http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.metrics.write(out, slices.Sorted(maps.Keys(w.logs)))
	})
}

func (m *metrics) write(out io.Writer, logs []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) } // the client may be gone
	say("# TYPE lockbox_witness_answers_total counter\n")
	for _, status := range slices.Sorted(maps.Keys(m.answers)) {
		say("lockbox_witness_answers_total{status=\"%d\"} %d\n", status, m.answers[status])
	}
	say("# TYPE lockbox_witness_refused_total counter\n")
	for _, origin := range logs {
		for _, kind := range []Kind{Fork, Growth} {
			say("lockbox_witness_refused_total{log=%q,kind=%q} %d\n", origin, kind, m.evidence[found{origin, kind}])
		}
	}
	gauge := func(name string, of func(cosigned) int64) {
		say("# TYPE %s gauge\n", name)
		for _, origin := range logs {
			if is, there := m.logs[origin]; there {
				say("%s{log=%q} %d\n", name, origin, of(is))
			}
		}
	}
	gauge("lockbox_witness_tree_size", func(c cosigned) int64 { return c.size })
	gauge("lockbox_witness_last_cosigned_timestamp_seconds", func(c cosigned) int64 { return c.at.Unix() })
}
