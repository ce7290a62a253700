package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	longestFile = 500 // lines; a longer one holds more than one thing
	longestMain = 40  // lines; main is a table of contents
)

// A sourceFile is one Go file of the product, written by hand.
type sourceFile struct {
	path  string // from the top, with slashes
	lines int
	fset  *token.FileSet
	file  *ast.File
}

func TestOnlyTheBusBuildsSubjects(t *testing.T) {
	subject := regexp.MustCompile(`^(lockbox\.(event|intent|timer|due|deadletter|command|query|changed|outcome)(\.|$)|_INBOX\.)`)
	for _, source := range sources(t, program) {
		// The examples show what a program in any language does, which has no pkg/bus.
		if strings.HasPrefix(source.path, "pkg/bus/") || strings.Contains(source.path, "/examples/") {
			continue
		}
		ast.Inspect(source.file, func(node ast.Node) bool {
			literal, ok := node.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(literal.Value); err == nil && subject.MatchString(text) {
				t.Errorf("%s writes the subject %s: subjects are built and parsed in pkg/bus only", source.at(literal), literal.Value)
			}
			return true
		})
	}
}

func TestNothingPureReadsTheClock(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Local"}
	for _, source := range sources(t, program) {
		if !matchesAny(domain, prefix+filepath.ToSlash(filepath.Dir(source.path))) {
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
		// pkg/service.Main is what the services' mains consist of.
		if source.file.Name.Name == "main" || source.path == "pkg/service/main.go" {
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

func TestTheTopLevelIsAsDesigned(t *testing.T) {
	allowed := []string{
		"README.md", "LICENSE", "Makefile", "go.work", "go.work.sum", "docker-compose.yml",
		"proto", "pkg", "services", "deploy", "scripts",
		"bin", "artefacts", // made, and ignored by git
	}
	for _, name := range entries(t, ".") {
		if !strings.HasPrefix(name, ".") && !slices.Contains(allowed, name) {
			t.Errorf("%s does not belong at the top", name)
		}
	}
	for _, name := range entries(t, "deploy") {
		if !slices.Contains([]string{"nats", "docker", "config", "kubernetes", "compliance", "README.md"}, name) {
			t.Errorf("deploy/%s does not belong there", name)
		}
	}
}

func TestEveryServiceHasTheSameShape(t *testing.T) {
	for _, name := range entries(t, "services") {
		if !slices.Contains(serviceNames, name) {
			t.Errorf("services/%s is not a service of pkg/README.md", name)
			continue
		}
		files := []string{"go.mod", "cmd/" + name + "/main.go"}
		if name != "lockbox" { // the command line: many verbs instead of one Run
			files = append(files, "service.go")
		}
		for _, file := range files {
			if !exists(filepath.Join(root(t), "services", name, file)) {
				t.Errorf("services/%s has no %s", name, file)
			}
		}
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
