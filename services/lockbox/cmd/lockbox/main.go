// Command lockbox is the command line of Lockbox; `lockbox up` runs all of Lockbox in one process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/ops"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills the process at once
	return cli.Run(ctx, os.Args[1:], cli.System(), ops.Commands()...)
}
