package witness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Help explains what a witness does.
const Help = `Runs a small witness, for a customer or a third party: the provider's log asks it to cosign each checkpoint, and it does if
the log signed it and grew from the last one. It learns how large the log is, and nothing about anybody in it. What it has
cosigned is in --state before its cosignature leaves; never run two of one key, and never go back to an older copy of it.

What it refuses because it does not follow from what it cosigned is kept there as evidence, with both notes. Monitors get the
last checkpoint that it cosigned at /<SHA-256 of the log's name, in hex>/checkpoint.`

// Config is a witness's configuration.
type Config struct {
	// Key is a file written by CreateKey; State is the directory that holds the last cosigned checkpoints.
	Key, State string
	// Logs are the public keys of the logs to cosign for, or files that each hold one.
	Logs []string
	// Listen is the address to serve plain HTTP on; TLS is terminated in front of it.
	Listen string
	// Metrics is the address that serves /metrics; empty: not served.
	Metrics string
	// Say is that of Witness.
	Say func(alarm bool, what string)
}

// Serve serves until ctx ends. It calls ready with its address and public key once it is listening.
func Serve(ctx context.Context, c Config, ready func(at net.Addr, key string)) (err error) {
	key, err := ReadKey(c.Key)
	if err != nil {
		return err
	}
	var logs []string
	for _, l := range c.Logs {
		if text, err := os.ReadFile(l); err == nil { // #nosec G304 -- the operator names it
			l = strings.TrimSpace(string(text))
		}
		logs = append(logs, l)
	}
	w, err := Open(c.State, key, logs, time.Now)
	if err != nil {
		return err
	}
	w.Say = c.Say
	defer func() { err = errors.Join(err, w.Close()) }()
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	if c.Metrics != "" {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Metrics)
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", w.Metrics())
		running.Go(func() {
			if err := serve(ctx, listener, mux); err != nil {
				w.say(false, fmt.Sprintf("metrics are no longer served: %v", err))
			}
		})
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	ready(listener.Addr(), key.VerifierKey())
	return serve(ctx, listener, w.Handler())
}

func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
