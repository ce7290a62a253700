// Command suite runs one tier of the tests and counts them. It fails when a test fails, when one is skipped, when fewer
// ran than tiers.go says, and when a package with tests is in no tier.
//
//	go run ./pkg/archtest/suite TIER [flags of go test]
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/longtest"
)

const module = "github.com/openlockbox/lockbox/"

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var names []string
	for _, t := range tiers {
		names = append(names, t.name)
	}
	if len(args) == 0 || !slices.Contains(names, args[0]) {
		return fmt.Errorf("which tier? %s", strings.Join(names, ", "))
	}
	all, err := withTests(ctx)
	if err != nil {
		return err
	}
	packages, err := assign(tiers, all)
	if err != nil {
		return err
	}
	t := tiers[slices.Index(names, args[0])]
	fmt.Fprintf(out, "==> tests: %s (%d packages)\n", t.name, len(packages[t.name]))
	return t.run(ctx, packages[t.name], args[1:], out)
}

// withTests are the packages that have tests, of every module of go.work.
func withTests(ctx context.Context) ([]string, error) {
	modules, err := goList(ctx, "-m", "-f", "{{.Dir}}/...")
	if err != nil {
		return nil, err
	}
	const format = `{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{"\n"}}{{end}}` +
		`{{range .IgnoredGoFiles}}{{$.ImportPath}}/{{.}}{{"\n"}}{{end}}`
	lines, err := goList(ctx, append([]string{"-f", format}, modules...)...)
	if err != nil {
		return nil, err
	}
	var packages []string
	for _, line := range lines {
		if strings.HasSuffix(line, "_test.go") {
			return nil, fmt.Errorf("%s is hidden by a build constraint: a test that is not built proves nothing", line)
		}
		if !strings.HasSuffix(line, ".go") {
			packages = append(packages, line)
		}
	}
	return packages, nil
}

func goList(ctx context.Context, args ...string) (lines []string, err error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list"}, args...)...) // #nosec G204 -- our own arguments
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, complaint.String())
	}
	return slices.DeleteFunc(strings.Split(out.String(), "\n"), func(line string) bool { return line == "" }), nil
}

// assign puts each package into the tier whose pattern describes it most closely. A package in no tier is an error, and
// so is a pattern that stands for no package.
func assign(tiers []tier, packages []string) (map[string][]string, error) {
	type pattern struct{ tier, text string }
	var patterns []pattern
	for _, t := range tiers {
		for _, text := range t.packages {
			patterns = append(patterns, pattern{t.name, text})
		}
	}
	// The longest pattern that matches is the closest; of equal ones the first.
	slices.SortStableFunc(patterns, func(a, b pattern) int { return len(b.text) - len(a.text) })
	assigned, used := map[string][]string{}, map[pattern]bool{}
	var wrong []error
	for _, p := range packages {
		i := slices.IndexFunc(patterns, func(q pattern) bool { return matches(q.text, strings.TrimPrefix(p, module)) })
		if i < 0 {
			wrong = append(wrong, fmt.Errorf("%s has tests and is in no tier of pkg/archtest/suite/tiers.go", p))
			continue
		}
		used[patterns[i]] = true
		assigned[patterns[i].tier] = append(assigned[patterns[i].tier], p)
	}
	for _, q := range patterns {
		if !used[q] {
			wrong = append(wrong, fmt.Errorf("tier %s: %s stands for no package with tests", q.tier, q.text))
		}
	}
	return assigned, errors.Join(wrong...)
}

func matches(pattern, path string) bool {
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return path == tree || isTree && strings.HasPrefix(path, tree+"/")
}

// run runs the tests of a tier; that they are enough is for the count to say.
func (t tier) run(ctx context.Context, packages, flags []string, out io.Writer) error {
	// What is shuffled is not taken from the cache: it runs. Four at once, because what is slow mostly waits.
	args := []string{"test", "-json", "-shuffle=on", "-timeout=30m", "-parallel=4"}
	if t.race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", slices.Concat(args, flags, packages)...) // #nosec G204 G702 -- a developer's own words
	// As make build does without the race detector, so that nothing is compiled twice.
	cgo := "CGO_ENABLED=0"
	if t.race {
		cgo = "CGO_ENABLED=1"
	}
	cmd.Env = append(os.Environ(), cgo, "RAPID_CHECKS="+strconv.Itoa(longtest.Count(30)))
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c := count{out: out, output: map[string]*bytes.Buffer{}}
	read := c.read(events)
	failed := cmd.Wait()
	if failed != nil {
		failed = fmt.Errorf("go test: %w", failed)
	}
	return errors.Join(read, failed, c.verdict(t, len(packages)))
}
