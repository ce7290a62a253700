package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A testEvent is a line of go test -json, see go doc test2json.
type testEvent struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// A result is a test that took part of the time.
type result struct {
	name string
	took time.Duration
}

// count reads what go test -json says. It prints what a person or CI wants to see: each package's closing line, and all
// that was printed by tests that failed or were skipped.
type count struct {
	out io.Writer
	// output holds, for each package and test that has not ended, what it has printed so far.
	output                  map[string]*bytes.Buffer
	passed, failed, skipped int
	packages, broken        int // packages that ended, and how many of them badly
	slowest                 []result
}

func (c *count) read(events io.Reader) error {
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e testEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(c.out, lines.Text()) // not of a test: the go command's own words
			continue
		}
		c.take(e)
	}
	return lines.Err()
}

func (c *count) take(e testEvent) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(c.out, e.Output)
	case "output":
		if c.output[name] == nil {
			c.output[name] = new(bytes.Buffer)
		}
		fmt.Fprint(c.output[name], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			c.ended(e)
			return
		}
		switch e.Action {
		case "pass":
			c.passed++
		case "fail":
			c.failed++
			c.print(name)
		case "skip":
			c.skipped++
			c.print(name)
		}
		delete(c.output, name)
		if !strings.Contains(e.Test, "/") {
			c.slowest = append(c.slowest, result{
				strings.TrimPrefix(name, module), time.Duration(e.Elapsed * float64(time.Second)),
			})
		}
	}
}

// ended closes a package. Of one that failed, whatever has not been printed yet is printed now: a test that panics or
// is cut short has no end of its own.
func (c *count) ended(e testEvent) {
	c.packages++
	if e.Action == "fail" {
		c.broken++
	}
	for _, name := range slices.Sorted(c.of(e.Package)) {
		switch own := name == e.Package+" "; {
		case e.Action == "fail":
			c.print(name)
		case own:
			for line := range strings.Lines(c.output[name].String()) {
				if strings.HasPrefix(line, "ok  \t") {
					fmt.Fprint(c.out, line)
				}
			}
		}
		delete(c.output, name)
	}
}

func (c *count) of(pkg string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range c.output {
			if strings.HasPrefix(name, pkg+" ") && !yield(name) {
				return
			}
		}
	}
}

func (c *count) print(name string) {
	if text := c.output[name]; text != nil {
		fmt.Fprint(c.out, text.String())
	}
}

// verdict closes the tier, in the words that continuous integration counts.
func (c *count) verdict(t tier, packages int) error {
	slices.SortFunc(c.slowest, func(a, b result) int { return cmp.Compare(b.took, a.took) })
	for _, s := range c.slowest[:min(3, len(c.slowest))] {
		fmt.Fprintf(c.out, "%8.1f s  %s\n", s.took.Seconds(), s.name)
	}
	fmt.Fprintf(c.out, "%s: %d passed, %d failed, %d skipped\n", t.name, c.passed, c.failed, c.skipped)
	var wrong []error
	if c.failed > 0 {
		wrong = append(wrong, fmt.Errorf("%s: %d tests failed", t.name, c.failed))
	}
	if c.broken > 0 {
		wrong = append(wrong, fmt.Errorf("%s: %d packages failed", t.name, c.broken))
	}
	if c.skipped > 0 {
		wrong = append(wrong, fmt.Errorf("%s: %d tests were skipped: what does not run proves nothing", t.name, c.skipped))
	}
	if c.packages < packages {
		wrong = append(wrong, fmt.Errorf("%s: only %d of %d packages came to an end", t.name, c.packages, packages))
	}
	switch ran := c.passed + c.failed + c.skipped; {
	case ran < t.atLeast:
		wrong = append(wrong, fmt.Errorf("%s: %d tests ran, and tiers.go wants %d", t.name, ran, t.atLeast))
	case ran > t.atLeast:
		fmt.Fprintf(c.out, "%s: %d tests ran; tiers.go still wants only %d\n", t.name, ran, t.atLeast)
	}
	return errors.Join(wrong...)
}
