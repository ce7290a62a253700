package witness

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Help says what a witness does.
const Help = `Runs a small witness, for a customer or a third party: the provider's log asks it to cosign each checkpoint, and it does if
the log signed it and grew from the last one. It learns how large the log is, and nothing about anybody in it. What it has
cosigned is in --state before its cosignature leaves; never run two of one key, and never go back to an older copy of it.`

// Config says whose witness it is, for whom it cosigns and where it listens.
type Config struct {
	// Key is the file that CreateKey has made, State the directory of what was cosigned.
	Key, State string
	// Logs are public keys of logs, or files that hold one each.
	Logs []string
	// Listen is an address; TLS ends in front of it.
	Listen string
}

// Serve answers until ctx ends. Ready is told where, and with which public key.
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
	defer func() { err = errors.Join(err, w.Close()) }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	ready(listener.Addr(), key.VerifierKey())
	server := &http.Server{
		Handler:           w.Handler(),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped
	return nil
}
