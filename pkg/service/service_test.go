package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/devca"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"go.uber.org/zap"
)

// A service waits for the bus, but not for somebody to mend its key.
func TestAServiceDoesNotWaitForAnotherKey(t *testing.T) {
	keys, err := bus.GenerateKeys()
	must(t, err)
	public, err := keys.Public()
	must(t, err)
	s, err := embedded.Start(t.Context(), bus.ServerOptions{StoreDir: t.TempDir(), PublicKeys: public, Host: "127.0.0.1",
		Port: -1}, nil)
	must(t, err)
	t.Cleanup(s.Shutdown)
	stranger, err := bus.NewSeed()
	must(t, err)
	file := filepath.Join(t.TempDir(), "notifier.nk")
	must(t, os.WriteFile(file, stranger, 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	counters := observe.NewMetrics().For("notifier")
	for name, seedFile := range map[string]string{"unknown": file, "missing": file + ".none", "none named": ""} {
		c := bus.Connection{URL: s.ClientURL(), Identity: bus.Notifier, SeedFile: seedFile, Log: zap.NewNop()}
		for service, start := range map[string]func() error{
			"connected": func() error { _, err := Connect(ctx, c, counters, nil); return err },
			"runtime":   func() error { _, err := Open(ctx, c, nil, counters); return err },
		} {
			var key *bus.KeyError
			if err := start(); !errors.As(err, &key) || key.Identity != bus.Notifier || key.File != seedFile {
				t.Errorf("%s, %s: %v", name, service, err)
			}
		}
	}
	if ctx.Err() != nil {
		t.Error("it waited until it was stopped")
	}
}

// A service whose key is withdrawn ends, also if it only waits.
func TestAServiceWhoseKeyIsWithdrawnEnds(t *testing.T) {
	dir := t.TempDir()
	_, err := bus.LoadOrCreateKeys(dir, nil)
	must(t, err)
	public, err := bus.ReadPublicKeys(dir)
	must(t, err)
	options := bus.ServerOptions{StoreDir: t.TempDir(), PublicKeys: public, Host: "127.0.0.1", Port: -1}
	s, err := embedded.Start(t.Context(), options, nil)
	must(t, err)
	t.Cleanup(s.Shutdown)
	c := bus.Connection{URL: s.ClientURL(), Identity: bus.Portal, SeedFile: filepath.Join(dir, bus.SeedFile(bus.Portal)),
		Log: zap.NewNop()}
	metrics := observe.NewMetrics()
	rt, err := Connect(t.Context(), c, metrics.For("portal"), nil)
	must(t, err)
	defer rt.Close()
	ended := make(chan error, 1)
	go func() {
		ended <- observed(t.Context(), &File[struct{}]{}, metrics, c, rt, map[string]observe.Check{},
			func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			})
	}()
	delete(options.PublicKeys, bus.Portal)
	must(t, s.Reload(options))
	select {
	case err := <-ended:
		var key *bus.KeyError
		if !errors.As(err, &key) || key.File != c.SeedFile {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on")
	}
}

// A service whose bus is away lives, and is not ready.
func TestAServiceIsNotReadyWithoutTheBus(t *testing.T) {
	dir := t.TempDir()
	_, err := bus.LoadOrCreateKeys(dir, nil)
	must(t, err)
	public, err := bus.ReadPublicKeys(dir)
	must(t, err)
	s, err := embedded.Start(t.Context(), bus.ServerOptions{StoreDir: t.TempDir(), PublicKeys: public, Host: "127.0.0.1",
		Port: -1}, nil)
	must(t, err)
	t.Cleanup(s.Shutdown)
	c := bus.Connection{URL: s.ClientURL(), Identity: bus.Portal, SeedFile: filepath.Join(dir, bus.SeedFile(bus.Portal)),
		Log: zap.NewNop()}
	metrics := observe.NewMetrics()
	rt, err := Connect(t.Context(), c, metrics.For("portal"), nil)
	must(t, err)
	defer rt.Close()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	var file File[struct{}]
	file.Observe.Listen = l.Addr().String()
	must(t, l.Close())
	go func() {
		_ = observed(t.Context(), &file, metrics, c, rt, map[string]observe.Check{"portal": rt.check},
			func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			})
	}()
	says := func(path, want string) {
		t.Helper()
		said := ""
		for deadline := time.Now().Add(20 * time.Second); said != want; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s says %q, not %q", path, said, want)
			}
			answer, err := http.Get("http://" + file.Observe.Listen + path)
			if err != nil {
				continue // it is not served yet
			}
			body, err := io.ReadAll(answer.Body)
			must(t, errors.Join(err, answer.Body.Close()))
			said = answer.Status + "\n" + string(body)
		}
	}
	says("/readyz", "200 OK\nok       bus\nok       portal\n")
	s.Shutdown()
	says("/readyz", "503 Service Unavailable\nfailing  bus: does not answer\nok       portal\n")
	says("/livez", "200 OK\nok\n")
	answer, err := http.Get("http://" + file.Observe.Listen + "/metrics")
	must(t, err)
	body, err := io.ReadAll(answer.Body)
	must(t, errors.Join(err, answer.Body.Close()))
	for _, want := range []string{
		`lockbox_bus_connected{service="portal"} 0`, `lockbox_part_state{part="bus",service="portal",state="failing"} 1`,
		`lockbox_part_state{part="portal",service="portal",state="ok"} 1`,
	} {
		if !strings.Contains(string(body), want+"\n") {
			t.Errorf("metrics do not tell %s", want)
		}
	}
}

// The end of the bus's certificate is told as it is shown, and that of the authority that signed it.
func TestTheBussCertificateIsTold(t *testing.T) {
	dir := t.TempDir()
	_, err := bus.LoadOrCreateKeys(dir, nil)
	must(t, err)
	public, err := bus.ReadPublicKeys(dir)
	must(t, err)
	_, err = devca.Create(dir, nil, time.Now())
	must(t, err)
	s, err := embedded.Start(t.Context(), bus.ServerOptions{StoreDir: t.TempDir(), PublicKeys: public, Host: "127.0.0.1",
		Port: -1, TLS: bus.TLSIn(dir)}, nil)
	must(t, err)
	t.Cleanup(s.Shutdown)
	metrics := observe.NewMetrics()
	rt, err := Connect(t.Context(), bus.Connection{URL: s.ClientURL(), Identity: bus.Portal, Log: zap.NewNop(),
		SeedFile: filepath.Join(dir, bus.SeedFile(bus.Portal)), CA: filepath.Join(dir, bus.CAFile)},
		metrics.For("portal"), nil)
	must(t, err)
	defer rt.Close()
	w := httptest.NewRecorder()
	metrics.Handler(nil).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for kind, days := range map[string]float64{"bus": 365, "bus authority": 3650} {
		series := `lockbox_certificate_expiry_timestamp_seconds{certificate="` + kind + `",name="",service="portal"} `
		_, rest, told := strings.Cut(w.Body.String(), series)
		line, _, _ := strings.Cut(rest, "\n")
		at, err := strconv.ParseFloat(line, 64)
		if left := (at - observe.Seconds(time.Now())) / 86400; !told || err != nil || left < days-3 || left > days+4 {
			t.Errorf("%s: told %t, %v days are left, %v", kind, told, left, err)
		}
	}
}

// A service starts again while the bus does not answer or its disk is full, and ends with anything else.
func TestAServiceOutlivesTheBus(t *testing.T) {
	broken := errors.New("the file is damaged")
	away := []error{
		nats.ErrTimeout, fmt.Errorf("journal: replay: %w", nats.ErrNoResponders), nats.ErrDisconnected,
		nats.ErrReconnectBufExceeded, &jetstream.APIError{Code: 503, ErrorCode: 10118},
		refusal.Unavailable("", "I11", "the bus cannot be asked"),
		errors.Join(context.DeadlineExceeded, errors.New("closing")),
		&fs.PathError{Op: "write", Path: "cursor", Err: syscall.ENOSPC},
	}
	for _, last := range []error{nil, broken, &bus.KeyError{Err: nats.ErrTimeout}, &jetstream.APIError{Code: 404}} {
		starts := 0
		err := Outlive(t.Context(), zap.NewNop(), func(context.Context) error {
			starts++
			if starts <= len(away) {
				return away[starts-1]
			}
			return last
		})
		if !errors.Is(err, last) || starts != len(away)+1 {
			t.Errorf("it ends with %v, not %v, after %d starts", err, last, starts)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	err := Outlive(ctx, zap.NewNop(), func(context.Context) error {
		stop()
		return nats.ErrTimeout
	})
	if !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("stopped, it ends with %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
