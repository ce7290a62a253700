package observe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is a health check of a part of the process; it returns nil if healthy.
type Check func(context.Context) error

// Warning makes of what a check has found a warning: something is wrong, but does not keep the service from its own
// work, such as an issuer that does not answer. It returns nil if err is.
func Warning(err error) error {
	if err == nil {
		return nil
	}
	return &warning{err}
}

type warning struct{ error }

func (w *warning) Unwrap() error { return w.error }

// checkTimeout limits how long the checks may take together: a probe gives up after a second or more.
const checkTimeout = 900 * time.Millisecond

// health is what the checks found.
type health struct {
	parts []string // a line each
	// states are ok, warning or failing, by part.
	states map[string]string
	wrong  []string // of those that are not well
	ready  bool
}

func examine(ctx context.Context, checks map[string]Check) health {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	h := health{ready: true, states: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		err := checks[name](ctx)
		state, said := "ok", name
		if err != nil {
			state, said = "failing", name+": "+refusal.Of(err).GetMessage()
			if only := (*warning)(nil); errors.As(err, &only) {
				state = "warning"
			} else {
				h.ready = false
			}
			h.wrong = append(h.wrong, said)
		}
		h.states[name] = state
		h.parts = append(h.parts, fmt.Sprintf("%-9s%s", state, said))
	}
	return h
}

// Parts has the state of each part read, as /readyz lists them.
func Parts(checks map[string]Check) func(Say) {
	return func(say Say) {
		for part, state := range examine(context.Background(), checks).states {
			say(1, part, state)
		}
	}
}

// Handler serves /metrics for Prometheus; /livez, which is 200 for as long as the process answers; /readyz, which lists
// the checks and is 200 if the service can do its own work, otherwise 503; and /healthz, the same with what is wrong
// only. Of an error nothing is said unless it is a refusal.
func (m *Metrics) Handler(checks map[string]Check) http.Handler {
	mux := http.NewServeMux()
	if m != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	}
	say := func(w http.ResponseWriter, ready bool, lines []string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if len(lines) == 0 {
			lines = []string{"ok"}
		}
		_, _ = fmt.Fprintln(w, strings.Join(lines, "\n")) // fails only if the client has disconnected
	}
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, true, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		h := examine(r.Context(), checks)
		say(w, h.ready, h.parts)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		h := examine(r.Context(), checks)
		say(w, h.ready, h.wrong)
	})
	return mux
}

// Serve serves Handler on addr until ctx ends. With an empty addr it returns at once: the server is optional.
func (m *Metrics) Serve(ctx context.Context, addr string, checks map[string]Check) error {
	if addr == "" {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("serving metrics: %w", err)
	}
	return m.serve(ctx, l, checks)
}

func (m *Metrics) serve(ctx context.Context, l net.Listener, checks map[string]Check) error {
	s := &http.Server{
		Handler: m.Handler(checks), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving metrics: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err := s.Shutdown(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.Close() // drops clients that are still reading; they can retry
	}
	if e := <-done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}
