package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write down in testdata/counts.txt what has become less")

// hold is how a count is compared with the table.
type hold int

const (
	// notMore is for what costs: the count is exactly that of the table, and the table is lowered when it shrinks.
	notMore hold = iota
	// atMost is for what is not the same every time.
	atMost
	// notLess is for what makes a request safe: speed that drops one of these is a defect.
	notLess
)

// counted are the lines of the table. A count with a function is how often that was called.
var counted = []struct {
	name string
	hold hold
	of   function
}{
	{"commits", notMore, none},
	{"commits in a row", notMore, none},
	// A question or write with its answer is a message exchanged. Two that are sent together, as a request and its
	// evaluation are, are waited for once.
	{"messages exchanged, jit-evaluator", notMore, none},
	{"messages exchanged, lockbox-orchestrator", notMore, none},
	{"waits in a row", notMore, none},
	// The evaluator looks into the stream when an intent arrives, and by the clock, and takes what there is: several of
	// a request's five events at once, or one at a time. A look that finds nothing is not counted, so at most five are.
	{"looks that found something", atMost, none},
	{"stored events decoded", notMore, function{"pkg/input/input.go", "DecodeEvent"}},
	{"events folded", notMore, function{"pkg/aggregate/aggregate.go", "Fold"}},
	{"aggregates read from their first event", notMore, function{"pkg/journal/since.go", "readWhole"}},
	{"bytes written", notMore, none},
	// The evaluator verifies an intent's token with Verify, the orchestrator a command's with VerifyAny.
	{"checks of the engineer's token", notLess, function{"pkg/identity/identity.go", "Verify"}},
	{"checks of the approver's token", notLess, function{"pkg/identity/several.go", "VerifyAny"}},
	{"reads of the whole basis between the approval and AccessGranted", notLess, none},
	{"checks of the lease", notLess, function{"pkg/lease/lease.go", "Check"}},
}

type function struct{ file, name string }

var none function

const (
	product = "github.com/openlockbox/lockbox/"
	root    = "../../../../.."
	written = "testdata/counts.txt"
)

// What one request costs and must not cost less of, counted exactly.
func TestWhatARequestCosts(t *testing.T) {
	dir := t.TempDir()
	program := build(t, dir)
	count := exec.CommandContext(t.Context(), program, dir)
	count.Env = append(os.Environ(), "GOCOVERDIR="+t.TempDir())
	var stderr bytes.Buffer
	count.Stderr = &stderr
	out, err := count.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var each []map[string]int
	if err := json.Unmarshal(out, &each); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(each) != requests {
		t.Fatalf("%d requests, not %d", len(each), requests)
	}
	for i, counts := range each {
		calls := callsIn(t, filepath.Join(dir, strconv.Itoa(i)))
		for _, line := range counted {
			if line.of != none {
				counts[line.name] = calls[line.of]
			}
		}
	}
	compare(t, each)
}

// build compiles the program so that it counts the calls of the table's functions.
func build(t *testing.T, dir string) (program string) {
	t.Helper()
	packages := product + "services/lockbox/internal/bench/counts" // without itself, it writes no counters
	for _, line := range counted {
		if line.of != none {
			packages += "," + product + filepath.Dir(line.of.file)
		}
	}
	program = filepath.Join(dir, "counts")
	build := exec.CommandContext(t.Context(), "go", "build", "-cover", "-covermode=atomic", "-coverpkg="+packages,
		"-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as everywhere, also if this test runs under the race detector
	out, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// callsIn reads how often each function of the table was called from the counters in a directory.
func callsIn(t *testing.T, dir string) map[function]int {
	t.Helper()
	file := filepath.Join(dir, "text")
	out, err := exec.CommandContext(t.Context(), "go", "tool", "covdata", "textfmt", "-i="+dir,
		"-o="+file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[function]int{}
	for _, line := range counted {
		if line.of == none {
			continue
		}
		// file:line.column,line.column statements count; a function's first block begins where its body does.
		begins := fmt.Sprintf("%s%s:%s,", product, line.of.file, bodyOf(t, line.of))
		_, rest, found := strings.Cut(string(text), "\n"+begins)
		if !found {
			t.Fatalf("%s of %s: nothing was counted at %s", line.of.name, line.of.file, begins)
		}
		rest, _, _ = strings.Cut(rest, "\n")
		if calls[line.of], err = strconv.Atoi(rest[strings.LastIndexByte(rest, ' ')+1:]); err != nil {
			t.Fatal(err)
		}
	}
	return calls
}

// bodyOf returns where a function's body begins.
func bodyOf(t *testing.T, f function) (at string) {
	t.Helper()
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, filepath.Join(root, f.file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		if d, is := d.(*ast.FuncDecl); is && d.Name.Name == f.name {
			p := files.Position(d.Body.Lbrace)
			at = fmt.Sprintf("%d.%d", p.Line, p.Column)
		}
	}
	if at == "" {
		t.Fatalf("there is no %s in %s any more; who does now what it did?", f.name, f.file)
	}
	return at
}

// compare compares each request with the table, which it prints.
func compare(t *testing.T, each []map[string]int) {
	t.Helper()
	table := read(t)
	lower, text := false, ""
	for _, line := range counted {
		want, known := table[line.name]
		if !known {
			t.Errorf("%s has no line %q", written, line.name)
		}
		least, most := each[0][line.name], each[0][line.name]
		for _, counts := range each {
			least, most = min(least, counts[line.name]), max(most, counts[line.name])
		}
		switch {
		case line.hold != notLess && most > want:
			t.Errorf("%s: %d, and the table says %d. A request costs more than before. If it has to, say so in the table.",
				line.name, most, want)
		case line.hold == notLess && (least != want || most != want):
			t.Errorf("%s: %d, and the table says %d. That is no question of speed.", line.name, least, want)
		case line.hold == notMore && least != most:
			t.Errorf("%s: %d for one request, %d for another; the count is not exact", line.name, least, most)
		case line.hold == notMore && most < want:
			lower = true
		}
		if line.hold != atMost {
			want = most
		}
		text += row(line.name, line.hold, want)
	}
	t.Logf("what one request costs:\n%s", text)
	switch {
	case t.Failed() || !lower:
	case *update:
		if err := os.WriteFile(written, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("A request costs less than the table says. Write that down, so that it stays so: " +
			"go test ./services/lockbox/internal/bench/counts -update")
	}
}

func row(name string, h hold, n int) string {
	return fmt.Sprintf("%-64s %s %6d\n", name, [...]string{" =", "<=", " ="}[h], n)
}

// read reads the table: a name, a sign, a number.
func read(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(written)
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]int{}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		n, err := strconv.Atoi(words[len(words)-1])
		if err != nil {
			t.Fatalf("%s: %q: %v", written, line, err)
		}
		table[strings.Join(words[:len(words)-2], " ")] = n
	}
	return table
}
