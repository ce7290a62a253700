// Command peers is what somebody would write instead of Lockbox: a table of requests and an append-only audit table in
// PostgreSQL, one statement for each command. lockbox-bench starts it and measures it beside Lockbox.
//
// It is a module of its own, because nothing else needs a client of PostgreSQL.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// task is a line of input: what to measure. The answer is a line of output.
type task struct {
	// Peer is plain or equal.
	Peer   string `json:"peer"`
	AtOnce int    `json:"at_once"`
	// WarmUp and For are in milliseconds.
	WarmUp int64 `json:"warm_up_ms"`
	For    int64 `json:"for_ms"`
}

// ready is the first line of output.
type ready struct {
	Server string `json:"server"`
}

func run(ctx context.Context, args []string, in io.Reader, out, progress io.Writer) (err error) {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(progress)
	dir := flags.String("dir", os.TempDir(), "`directory` on the disk to measure")
	connections := flags.Int("connections", 64, "`number` of connections to the server, at most")
	standbys := flags.String("standbys", "",
		"start standbys and wait for them: `synchronous_standby_names` such as 2 (a,b)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := startCluster(ctx, *dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	s, err := newStore(ctx, c, *connections)
	if err != nil {
		return err
	}
	defer s.close()
	if *standbys != "" {
		if err := c.replicate(ctx, s.admin, *standbys); err != nil {
			return err
		}
	}
	if err := s.check(ctx); err != nil {
		return fmt.Errorf("the peer is wrong: %w", err)
	}
	answers := json.NewEncoder(out)
	version, err := s.version(ctx)
	if err != nil {
		return err
	}
	if err := answers.Encode(ready{version}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var t task
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return err
		}
		m, err := s.measure(ctx, t)
		if err != nil {
			return fmt.Errorf("%s, %d at once: %w", t.Peer, t.AtOnce, err)
		}
		if err := answers.Encode(m); err != nil {
			return err
		}
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
