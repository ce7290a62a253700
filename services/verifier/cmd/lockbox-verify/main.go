// Command lockbox-verify is the verifier under the name by which customers know it: it needs public keys, and no
// access to Lockbox.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/openlockbox/lockbox/services/verifier/internal/command"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills the process at once
	return command.Run(ctx, os.Args[1:], command.Environment{Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv})
}
