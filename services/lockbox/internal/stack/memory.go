package stack

import (
	"os"
	"runtime/debug"
)

// memoryLimit is what everything in one process is asked to stay below, in bytes. The NATS server keeps blocks that
// were read in caches that grow until the collector is told that memory matters.
const memoryLimit = 450 << 20

// LimitMemory asks the runtime to stay below 450 MiB, unless GOMEMLIMIT says something else. It is for a process that
// runs a Stack and nothing besides.
func LimitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
