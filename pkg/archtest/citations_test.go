package archtest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	rules "github.com/openlockbox/lockbox/pkg"
)

const requirements = "pkg/REQUIREMENTS.md"

var (
	// A number by itself: "R12", "(I9)", "R17-R23"; also as Go's names hold it: TestR20R26AnAssignmentEnds.
	citation = regexp.MustCompile(`(?:^|[^0-9A-Za-z_])([RI][0-9]+)(?:$|[^0-9A-Za-z_])`)
	testName = regexp.MustCompile(`\bTest((?:[RI][0-9]+)+)[A-Z]`)
	number   = regexp.MustCompile(`[RI][0-9]+`)
)

// cited is a rule and the place that cites it.
type cited struct{ rule, at string }

func TestEveryCitedRuleExists(t *testing.T) {
	known := map[string]bool{}
	for _, r := range rules.All() {
		known[r.ID] = true
	}
	citations := everyCitation(t)
	if len(citations) < 1000 {
		t.Fatalf("only %d citations were found", len(citations))
	}
	for _, c := range citations {
		if !known[c.rule] {
			t.Errorf("%s cites %s, which %s does not define", c.at, c.rule, requirements)
		}
	}
}

func TestEveryBuiltRuleIsCitedByATest(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range everyCitation(t) {
		if file, _, _ := strings.Cut(c.at, ":"); isTest(file) {
			tested[c.rule] = true
		}
	}
	for _, r := range rules.All() {
		if r.Status == rules.Built && !tested[r.ID] {
			t.Errorf("%s is marked built, but no test cites it", r.ID)
		}
	}
}

// Code that points to a part of the design names its heading.
func TestEveryCitedSectionOfTheDesignExists(t *testing.T) {
	const design = "pkg/README.md"
	text, err := os.ReadFile(filepath.Join(root(t), design))
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(regexp.QuoteMeta(design) + `, "([^"]+)"`)
	found := 0
	for _, source := range sources(t, everything) {
		for _, group := range source.file.Comments {
			for _, m := range section.FindAllStringSubmatch(strings.Join(strings.Fields(group.Text()), " "), -1) {
				found++
				if !strings.Contains(string(text), "\n## "+m[1]+"\n") {
					t.Errorf("%s cites %q, a section that %s does not have", source.at(group), m[1], design)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no comment cites the design")
	}
}

func TestCitationsAreSeen(t *testing.T) {
	for text, want := range map[string][]string{
		"as R12 says (I9), R17-R23":             {"R12", "I9", "R17", "R23"},
		"func TestR20R26AnAssignment(t":         {"R20", "R26"},
		"func TestI9Nothing(t":                  {"I9"},
		`"R99"`:                                 {"R99"},
		"ES256, RFC 7662, R, I, TestRe2x, R12a": nil,
	} {
		if got := citationsIn(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	for path, want := range map[string]bool{
		"pkg/request/asked_test.go": true, "pkg/policy/rules_test.yaml": true, "pkg/journal/journaltest/timers.go": true,
		"services/lockbox/internal/cli/testdata/script/audit.txtar": true, "pkg/request/decide.go": false,
	} {
		if isTest(path) != want {
			t.Errorf("isTest(%q) is %v", path, !want)
		}
	}
}

func citationsIn(line string) (found []string) {
	for rest := line; ; {
		at := citation.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		found = append(found, rest[at[2]:at[3]])
		rest = rest[at[3]:] // what ends one citation may begin the next
	}
	for _, name := range testName.FindAllStringSubmatch(line, -1) {
		found = append(found, number.FindAllString(name[1], -1)...)
	}
	return found
}

func isTest(path string) bool {
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	return strings.HasSuffix(stem, "_test") || strings.Contains(path, "/testdata/") ||
		strings.HasSuffix(filepath.Dir(path), "test")
}

// everyCitation reads what people wrote: code, tests, documents, configuration, texts. Generated code repeats the
// comments of what it was made from.
func everyCitation(t *testing.T) (found []cited) {
	t.Helper()
	written := []string{".go", ".md", ".proto", ".yaml", ".yml", ".tmpl", ".sh", ".txtar", ".py"}
	top := root(t)
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			hidden := strings.HasPrefix(name, ".") && name != ".github"
			if path != top && (hidden || name == "bin" || name == "artefacts") {
				return filepath.SkipDir
			}
			return nil
		}
		madeUp := strings.HasSuffix(name, ".pb.go") || name == "citations_test.go"
		if madeUp || !slices.Contains(written, filepath.Ext(name)) {
			return nil
		}
		text, err := os.ReadFile(path) // #nosec G304 G122 -- a file of the repository
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			for _, rule := range citationsIn(line) {
				found = append(found, cited{rule, fmt.Sprintf("%s:%d", filepath.ToSlash(relative), n)})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
