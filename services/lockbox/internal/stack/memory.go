package stack

import (
	"os"
	"runtime/debug"
)

// memoryLimit is the soft memory limit of the whole process in bytes. The NATS server caches the blocks it has read,
// and the caches grow until the garbage collector is under memory pressure.
const memoryLimit = 450 << 20

// LimitMemory sets a soft memory limit of 450 MiB unless GOMEMLIMIT is set. It is meant for processes that run only a
// Stack.
func LimitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
