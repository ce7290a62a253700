// Command lockbox-bench measures Lockbox on this machine's own disk; see internal/bench. Linux only.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/openlockbox/lockbox/services/lockbox/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := bench.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lockbox-bench:", err)
		os.Exit(1)
	}
}
