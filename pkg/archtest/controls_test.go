package archtest

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/activity"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write deploy/compliance/README.md")

const controlTag = "// control:"

// mapping is deploy/compliance/controls.yaml.
type mapping struct {
	Frameworks []struct{ ID, Name string }
	Controls   []control
}

type control struct {
	ID, Title, Claim, Limit string
	Events                  []string
	NotProved               string `yaml:"not_proved"`
}

// The mapping of controls (R47) says what the tags in the tests say, so it cannot go stale.
func TestTheControlMappingIsWhatTheTestsSay(t *testing.T) {
	dir := filepath.Join(root(t), "deploy", "compliance")
	m := readMapping(t, filepath.Join(dir, "controls.yaml"))
	tests, problems := taggedTests(t, root(t))
	for _, problem := range append(problems, m.problems(tests)...) {
		t.Error(problem)
	}
	document := filepath.Join(dir, "README.md")
	if *update {
		if err := os.WriteFile(document, m.document(tests), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(document) // #nosec G304 -- a file of the repository
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, m.document(tests)) {
		t.Error("deploy/compliance/README.md is not what controls.yaml and the tests say: make controls")
	}
}

func readMapping(t *testing.T, file string) (m mapping) {
	t.Helper()
	data, err := os.ReadFile(file) // #nosec G304 -- a file of the repository
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// problems are what is wrong with the mapping, given the tests of each control.
func (m mapping) problems(tests map[string][]string) (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	known := map[string]bool{}
	for _, c := range m.Controls {
		framework, _, _ := strings.Cut(c.ID, ":")
		if !slices.ContainsFunc(m.Frameworks, func(f struct{ ID, Name string }) bool { return f.ID == framework }) {
			say("%s is of no framework", c.ID)
		}
		if known[c.ID] {
			say("%s is there twice", c.ID)
		}
		known[c.ID] = true
		if c.Title == "" || !strings.HasSuffix(c.Claim, ".") {
			say("%s has no title or no sentence that it claims", c.ID)
		}
		if c.NotProved != "" {
			if len(c.Events)+len(tests[c.ID]) > 0 {
				say("%s is said not to be proved, but has events or tests: %v %v", c.ID, c.Events, tests[c.ID])
			}
			continue
		}
		if len(tests[c.ID]) == 0 {
			say("%s has no test; if there can be none, say why: not_proved", c.ID)
		}
		if len(c.Events) == 0 {
			say("%s has no event", c.ID)
		}
		for _, e := range c.Events {
			if !slices.Contains(activity.Types(e), e) {
				say("%s names %s, which is no event", c.ID, e)
			}
		}
	}
	for id, of := range tests {
		if !known[id] {
			say("there is no control %q: %s", id, strings.Join(of, ", "))
		}
	}
	return list
}

// taggedTests reads the tags of all tests below a directory: for each control the tests that prove it. A tag that
// stands above no test is a problem.
func taggedTests(t *testing.T, dir string) (tests map[string][]string, problems []string) {
	t.Helper()
	tests = map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path) // #nosec G304 G122 -- a file of the repository
		if err != nil || !bytes.Contains(source, []byte("\n"+controlTag)) {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		wrong, err := tagsOf(filepath.ToSlash(name), source, tests)
		problems = append(problems, wrong...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range tests {
		slices.Sort(of)
	}
	return tests, problems
}

func tagsOf(name string, source []byte, tests map[string][]string) (problems []string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	above := map[*ast.CommentGroup]string{}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil &&
			(strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
			above[f.Doc] = f.Name.Name
		}
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			ids, tagged := strings.CutPrefix(c.Text, controlTag)
			if !tagged {
				continue
			}
			test := above[group]
			if test == "" {
				problems = append(problems, fmt.Sprintf("%s: %q stands above no test", name, c.Text))
				continue
			}
			for id := range strings.SplitSeq(ids, ",") {
				id = strings.TrimSpace(id)
				tests[id] = append(tests[id], name+" "+test)
			}
		}
	}
	return problems, nil
}

const documentHead = `# Controls, events, tests

Which controls Lockbox helps to meet, the events that are the evidence, and the tests that prove the claim (R47). This file is
made of [controls.yaml](controls.yaml) and of the tags in the tests (` + "`" + controlTag + " nist:AC-6" + "`" + `, above a test function): ` + "`make controls`" + ` writes it,
and a test fails when it says something else than they do. It says what the software does; whether an organisation meets a
control is for its auditor.
`

func (m mapping) document(tests map[string][]string) []byte {
	var b bytes.Buffer
	b.WriteString(documentHead)
	for _, f := range m.Frameworks {
		fmt.Fprintf(&b, "\n## %s\n", f.Name)
		for _, c := range m.Controls {
			framework, id, _ := strings.Cut(c.ID, ":")
			if framework != f.ID {
				continue
			}
			fmt.Fprintf(&b, "\n### %s: %s\n\n", id, c.Title)
			if c.NotProved != "" {
				fmt.Fprintf(&b, "**Not proved by tests:** %s (The claim would be: %s)\n", c.NotProved, c.Claim)
				continue
			}
			fmt.Fprintf(&b, "%s\n", c.Claim)
			if c.Limit != "" {
				fmt.Fprintf(&b, "\nNot in it: %s\n", c.Limit)
			}
			fmt.Fprintf(&b, "\n- events: %s\n- tests:\n", strings.Join(c.Events, ", "))
			for _, test := range tests[c.ID] {
				file, name, _ := strings.Cut(test, " ")
				fmt.Fprintf(&b, "  - %s ([%s](../../%s))\n", name, file, file)
			}
		}
	}
	return b.Bytes()
}

func TestAMappingThatIsNotTrueIsSeen(t *testing.T) {
	good := control{ID: "nist:AC-6", Title: "Least privilege", Claim: "It is so.", Events: []string{"AccessGranted"}}
	frameworks := []struct{ ID, Name string }{{"nist", "NIST"}}
	proved := map[string][]string{"nist:AC-6": {"a_test.go TestA"}}
	with := func(change func(*control)) []control {
		c := good
		change(&c)
		return []control{c}
	}
	for name, row := range map[string]struct {
		controls []control
		tests    map[string][]string
		want     string
	}{
		"as it should be": {[]control{good}, proved, ""},
		"an unknown control": {[]control{good}, map[string][]string{"nist:AC-6": {"x"}, "nist:AC-99": {"x"}},
			`no control "nist:AC-99"`},
		"an unknown framework": {with(func(c *control) { c.ID = "pci:1" }), map[string][]string{"pci:1": {"x"}},
			"of no framework"},
		"twice":                {[]control{good, good}, proved, "twice"},
		"no test":              {[]control{good}, nil, "has no test"},
		"no event":             {with(func(c *control) { c.Events = nil }), proved, "has no event"},
		"an unknown event":     {with(func(c *control) { c.Events = []string{"Forgiven"} }), proved, "is no event"},
		"no claim":             {with(func(c *control) { c.Claim = "" }), proved, "no sentence"},
		"not proved, honestly": {with(func(c *control) { c.Events, c.NotProved = nil, "Nobody can." }), nil, ""},
		"not proved, yet it is": {
			with(func(c *control) { c.NotProved = "Nobody can." }), proved, "is said not to be proved",
		},
	} {
		got := strings.Join(mapping{frameworks, row.controls}.problems(row.tests), "\n")
		if row.want == "" && got != "" || !strings.Contains(got, row.want) {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
	tag := controlTag + " nist:AC-6, nist:AU-2\n"
	for source, want := range map[string]int{
		"// Why.\n//\n" + tag + "func TestA(t *testing.T) {}\n": 0,
		tag + "\nfunc TestA(t *testing.T) {}\n":                 1,
		tag + "func helper() {}\n":                              1,
	} {
		tests := map[string][]string{}
		problems, err := tagsOf("a_test.go", []byte("package a\n\n"+source), tests)
		if err != nil || len(problems) != want || want == 0 &&
			(len(tests["nist:AC-6"]) != 1 || len(tests["nist:AU-2"]) != 1) {
			t.Errorf("%q: %v, %v, %v", source, problems, tests, err)
		}
	}
}
