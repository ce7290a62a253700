// Command counts carries plain requests through evaluator and orchestrator, one after the other, and says what each of
// them cost: not in time, but in commits, round trips, decoded events and the like, which are the same on every
// machine. Its test compares that with a table.
//
// Nothing in the services takes part in the counting. What passes between them and the bus is read on the way, and how
// often a function is called is what the compiler counts for coverage; so the program has to be built with -cover.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/coverage"
	"strconv"
)

// requests are counted after warmUp others: the first makes the services read what they then remember, and has the
// approver's account recorded, which is an event of the tenant that the evaluator reads with the second.
const requests, warmUp = 5, 2

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: counts DIRECTORY")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "counts:", err)
		os.Exit(1)
	}
}

// run prints what passed for each request, and writes the compiler's counters of each into a directory of its own.
func run(ctx context.Context, dir string) error {
	s, err := start(ctx, filepath.Join(dir, "site"))
	if err != nil {
		return err
	}
	for range warmUp {
		if _, err := s.carry(ctx); err != nil {
			return err
		}
	}
	var all []map[string]int
	for i := range requests {
		into := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(into, 0o700); err != nil { // #nosec G703 -- the test names the directory
			return err
		}
		if err := coverage.ClearCounters(); err != nil {
			return err
		}
		p, err := s.carry(ctx)
		if err != nil {
			return err
		}
		if err := coverage.WriteCountersDir(into); err != nil {
			return err
		}
		if err := coverage.WriteMetaDir(into); err != nil {
			return err
		}
		counts, err := p.counts()
		if err != nil {
			return err
		}
		all = append(all, counts)
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}
