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

// Handler serves /metrics for Prometheus and /healthz: 200 if every check succeeds, otherwise 503 with the name of each
// failed check and its error, if that is a refusal.
func (m *Metrics) Handler(checks map[string]Check) http.Handler {
	mux := http.NewServeMux()
	if m != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		var wrong []string
		for _, name := range slices.Sorted(maps.Keys(checks)) {
			if err := checks[name](r.Context()); err != nil {
				wrong = append(wrong, fmt.Sprintf("%s: %s", name, refusal.Of(err).GetMessage()))
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		answer := "ok"
		if len(wrong) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			answer = strings.Join(wrong, "\n")
		}
		_, _ = fmt.Fprintln(w, answer) // fails only if the client has disconnected
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
