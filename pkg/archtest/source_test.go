package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	longestFile = 500 // lines; a longer one holds more than one thing
	longestMain = 40  // lines; main is a table of contents
	longestLine = 120 // columns
	longestText = 100 // columns; what is left of a line when it is indented
)

// A sourceFile is one Go file of the product, written by hand.
type sourceFile struct {
	path  string // from the top, with slashes
	lines int
	fset  *token.FileSet
	file  *ast.File
}

func TestOnlyTheBusBuildsSubjects(t *testing.T) {
	all := sources(t, program)
	subject := subjects(t, all)
	for text, is := range map[string]bool{
		"lockbox.event.": true, "lockbox.event": true, "lockbox.outcome.console": true, "lockbox.%s.>": true,
		"$JS.API.STREAM.INFO": true, "$KV.x": true, "_INBOX.": true,
		"lockbox.v1": false, "lockbox.localhost/log": false, "lockbox.events": false,
	} {
		if subject.MatchString(text) != is {
			t.Errorf("%q is taken for a subject: %t", text, !is)
		}
	}
	for _, source := range all {
		// The examples show what a program in any language does, which has no pkg/bus, and a proof names the subject to those
		// who link no NATS.
		if strings.HasPrefix(source.path, "pkg/bus/") || strings.Contains(source.path, "/examples/") ||
			source.path == "pkg/approval/sighted/sighted.go" {
			continue
		}
		ast.Inspect(source.file, func(node ast.Node) bool {
			literal, ok := node.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(literal.Value); err == nil && subject.MatchString(text) {
				t.Errorf("%s writes the subject %s: subjects are built and parsed in pkg/bus only", source.at(literal),
					literal.Value)
			}
			return true
		})
	}
}

// subjects matches how any subject of the bus begins: ours, by the constants of pkg/bus, and those of NATS itself.
func subjects(t *testing.T, all []sourceFile) *regexp.Regexp {
	t.Helper()
	var kinds []string
	for _, source := range all {
		if path.Dir(source.path) != "pkg/bus" {
			continue
		}
		ast.Inspect(source.file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !strings.HasSuffix(spec.Names[0].Name, "Prefix") {
				return true
			}
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
				text, err := strconv.Unquote(literal.Value)
				kind, ours := strings.CutPrefix(text, "lockbox.")
				if err == nil && ours {
					kinds = append(kinds, regexp.QuoteMeta(strings.TrimSuffix(kind, ".")))
				}
			}
			return true
		})
	}
	if len(kinds) < 9 {
		t.Fatalf("pkg/bus has only these kinds of subject: %v", kinds)
	}
	return regexp.MustCompile(`^(lockbox\.(%|(` + strings.Join(kinds, "|") + `)(\.|$))|\$(JS|KV|SRV|SYS)\.|_INBOX\.)`)
}

var claimsPurity = regexp.MustCompile(`(?i)\bis pure\b`)

// Whoever reads "It is pure" relies on it.
func TestWhatCallsItselfPureIsHeldToIt(t *testing.T) {
	claims := 0
	for _, source := range sources(t, program) {
		doc := strings.Join(strings.Fields(source.file.Doc.Text()), " ")
		if !claimsPurity.MatchString(doc) {
			continue
		}
		claims++
		if dir := path.Dir(source.path); !matchesAny(pure, prefix+dir) {
			t.Errorf("%s calls itself pure, and is not in the list of what is held to that", dir)
		}
	}
	if claims < 10 {
		t.Errorf("only %d packages call themselves pure", claims)
	}
}

func TestNothingPureReadsTheClock(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Local"}
	for _, source := range sources(t, program) {
		if !matchesAny(pure, prefix+path.Dir(source.path)) {
			continue
		}
		for _, call := range source.selections("time") {
			if slices.Contains(clock, call.Sel.Name) {
				t.Errorf("%s uses time.%s: in the domain the time is a parameter", source.at(call), call.Sel.Name)
			}
		}
	}
}

func TestOnlyMainExits(t *testing.T) {
	for _, source := range sources(t, program) {
		// service.Program.Main is what the services' mains consist of.
		if source.file.Name.Name == "main" || source.path == "pkg/service/program.go" {
			continue
		}
		for _, exit := range slices.Concat(source.selections("os"), source.selections("log")) {
			if exit.Sel.Name == "Exit" || strings.HasPrefix(exit.Sel.Name, "Fatal") {
				t.Errorf("%s ends the program: return an error, only main exits", source.at(exit))
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, source := range sources(t, everything) {
		limit := longestFile
		if strings.Contains(source.path, "/cmd/") && filepath.Base(source.path) == "main.go" {
			limit = longestMain
		}
		if source.lines > limit {
			t.Errorf("%s has %d lines; %d is the most", source.path, source.lines, limit)
		}
	}
}

// A line of code fits beside another file. A text that fills a line by itself is not torn apart, and a directive has to
// stand on its line.
func TestLinesAreNoLongerThanThePage(t *testing.T) {
	for _, source := range sources(t, everything) {
		content, err := os.ReadFile(filepath.Join(root(t), source.path))
		if err != nil {
			t.Fatal(err)
		}
		texts := map[int]bool{} // lines that are part of such a text
		ast.Inspect(source.file, func(node ast.Node) bool {
			literal, ok := node.(*ast.BasicLit)
			if !ok {
				return true
			}
			first, last := source.fset.Position(literal.Pos()).Line, source.fset.Position(literal.End()).Line
			if last > first || utf8.RuneCountInString(literal.Value) > longestText {
				for line := first; line <= last; line++ {
					texts[line] = true
				}
			}
			return true
		})
		for i, line := range strings.Split(string(content), "\n") {
			directive := strings.Contains(line, "// #nosec") || strings.Contains(line, "//nolint")
			if n := utf8.RuneCountInString(line); n > longestLine && !texts[i+1] && !directive {
				t.Errorf("%s:%d has %d columns; %d is the most", source.path, i+1, n, longestLine)
			}
		}
	}
}

func TestTheTopLevelIsAsDesigned(t *testing.T) {
	allowed := []string{
		"README.md", "LICENSE", "Makefile", "go.work", "go.work.sum", "docker-compose.yml",
		"docker-compose.override.yml",
		"proto", "pkg", "services", "deploy", "scripts",
		"bin", "artefacts", // made, and ignored by git
	}
	for _, name := range entries(t, ".") {
		if !strings.HasPrefix(name, ".") && !slices.Contains(allowed, name) {
			t.Errorf("%s does not belong at the top", name)
		}
	}
	for _, name := range entries(t, "deploy") {
		known := []string{"compose", "config", "kubernetes", "compliance", "monitoring", "runbooks", "systemd", "README.md"}
		if !slices.Contains(known, name) {
			t.Errorf("deploy/%s does not belong there", name)
		}
	}
}

func TestEveryServiceHasTheSameShape(t *testing.T) {
	for _, name := range entries(t, "services") {
		if strings.HasPrefix(name, "go.") {
			continue
		}
		if !slices.Contains(serviceNames, name) {
			t.Errorf("services/%s is not a service of pkg/README.md", name)
			continue
		}
		files := []string{"cmd/" + name + "/main.go"}
		if name != "lockbox" && name != "verifier" { // command lines: many verbs instead of one Run
			files = append(files, "service.go")
		}
		for _, file := range files {
			if !exists(filepath.Join(root(t), "services", name, file)) {
				t.Errorf("services/%s has no %s", name, file)
			}
		}
	}
}

// A module's border is worth its go.mod only where it keeps dependencies out.
func TestModulesAreFew(t *testing.T) {
	modules := map[string]string{
		"proto":                                 "what a program of somebody else's needs to speak to Lockbox",
		"pkg/merkle":                            "what a verifier needs, and nothing else",
		"pkg/approval/oracletest":               "other implementations of signatures, which only its tests need",
		"pkg/merkle/oracletest":                 "another implementation of the log, which only its tests need",
		"pkg":                                   "the domain and the bus, without the services' databases and terminals",
		"services":                              "everything that runs",
		"scripts/release":                       "what makes releases, which no program links",
		"services/verifier":                     "what a customer runs against the provider, and has to review",
		"services/lockbox/internal/bench/peers": "a client of PostgreSQL, which only the bench needs",
		"services/lockbox/internal/e2e/azure":   "Azure's SDK, which only its tests need",
	}
	for line := range strings.Lines(goCommand(t, "list", "-m", "-f", "{{.Dir}}")) {
		dir, err := filepath.Rel(root(t), strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if dir = filepath.ToSlash(dir); modules[dir] == "" {
			t.Errorf("the module %s keeps nothing out that its parent does not", dir)
		}
		delete(modules, dir)
	}
	for dir, why := range modules {
		t.Errorf("%s is no module of go.work: %s", dir, why)
	}
}

// entries names what a directory of the repository holds; nothing when there is no such directory yet.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(root(t), dir))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range list {
		names = append(names, entry.Name())
	}
	return names
}

type which bool

const (
	program    which = false // what ends in a program
	everything which = true  // tests as well
)

// sources parses the Go files that people wrote.
func sources(t *testing.T, wanted which) []sourceFile {
	t.Helper()
	var found []sourceFile
	top := root(t)
	for _, dir := range []string{"proto", "pkg", "services"} {
		err := filepath.WalkDir(filepath.Join(top, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := entry.Name()
			if entry.IsDir() {
				if name == "testdata" || strings.HasPrefix(name, ".") && path != top {
					return filepath.SkipDir
				}
				return nil
			}
			if !strings.HasSuffix(name, ".go") || !bool(wanted) && strings.HasSuffix(name, "_test.go") {
				return nil
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, content, parser.SkipObjectResolution|parser.ParseComments)
			if err != nil {
				return err
			}
			if ast.IsGenerated(file) {
				return nil
			}
			relative, err := filepath.Rel(top, path)
			if err != nil {
				return err
			}
			found = append(found, sourceFile{
				path: filepath.ToSlash(relative), lines: bytes.Count(content, []byte("\n")), fset: fset, file: file,
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func (s sourceFile) at(node ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(node.Pos()).Line)
}

// selections finds every use of a standard package's names, whatever the file calls the package.
func (s sourceFile) selections(pkg string) []*ast.SelectorExpr {
	local := ""
	for _, spec := range s.file.Imports {
		if spec.Path.Value == strconv.Quote(pkg) {
			local = pkg
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	var found []*ast.SelectorExpr
	if local == "" {
		return found
	}
	ast.Inspect(s.file, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok {
			if name, ok := selector.X.(*ast.Ident); ok && name.Name == local {
				found = append(found, selector)
			}
		}
		return true
	})
	return found
}
