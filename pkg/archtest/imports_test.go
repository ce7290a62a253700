// Package archtest holds the borders of pkg/README.md, "Where code lives": who may not import whom, what only one
// package may do, and what stands where in the tree. It reads the whole repository and has no code of its own to use.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const prefix = "github.com/openlockbox/lockbox/"

// Patterns are import paths; a trailing "/..." takes in everything below, a leading "./" stands for this product.
var (
	domain = []string{
		"./pkg/refusal", "./pkg/reason", "./pkg/input", "./pkg/prose", "./pkg/written", "./pkg/tenant", "./pkg/ticket",
		"./pkg/catalogue", "./pkg/catalogue/names",
		"./pkg/policy", "./pkg/request", "./pkg/disclosure", "./pkg/fact", "./pkg/aggregate", "./pkg/activity",
		"./pkg/accesstext",
		"./pkg/export", "./pkg/invariant", "./pkg/invariant/reevaluate",
		"./pkg/merkle", "./pkg/timetext", "./pkg/portalurl", "./pkg/message", "./pkg/resource", "./pkg/foreign",
		"./pkg/signed", "./pkg/signing", "./pkg/approval", "./pkg/approval/terms", "./pkg/approval/sighted",
		"./pkg/approval/logged", "./pkg/approval/shown", "./pkg/erasable", "./pkg/erasure", "./pkg/keychain",
		"./pkg", // the rules as text
	}
	// pure is the domain, and whatever else its package comment calls pure.
	pure = slices.Concat(domain, []string{"./pkg/internal/strict", "./services/notifier/internal/pace",
		"./services/notifier/internal/plan"})
	outside = []string{
		"./pkg/journal/...", "./pkg/bus/...", "./pkg/identity/...", "./pkg/config/...", "./pkg/observe/...",
		"./pkg/repository/...", "./pkg/service/...", "./pkg/lease/...", "./pkg/durable", "./pkg/cache", "./pkg/fair",
		"./pkg/accesslog", "./pkg/invitation", "./pkg/sealed", "./pkg/keystore", "./pkg/writerkeys", "./pkg/build",
		"./scripts/release",
	}
	// forTests are imported by tests only, or are nothing but tests.
	forTests = []string{
		"./pkg/archtest/...", "./pkg/durable/durabletest",
		"./pkg/goldentest", "./pkg/longtest", "./pkg/story", "./pkg/merkle/oracletest",
		"./pkg/approval/approvaltest", "./pkg/approval/oracletest", "./pkg/keychain/keychaintest",
		"./pkg/journal/journaltest", "./pkg/lease/leasetest", "./pkg/signed/signedtest", "./pkg/identity/jwks/glewlwydtest",
		"./pkg/observe/trace/tracetest",
		"./services/notifier/internal/mail/mailtest", "./services/notifier/internal/smtptest",
		"./services/portal/internal/bearer/bearertest",
		"./services/portal/internal/site/sitetest",
	}
	inputOutput = []string{
		"net", "net/http/...", "net/smtp", "net/rpc/...", "net/textproto", "os/...", "io/ioutil", "syscall",
		"database/sql/...", "plugin",
	}
)

// A border says what the packages of a part of the product may not import.
type border struct {
	why    string
	of     []string // the packages it holds for
	except []string // of those, the packages it does not hold for
	never  []string // what they may not import
	deep   bool     // not through other packages either
	tests  bool     // their tests neither
	spare  []string // what their tests may import all the same
}

// borders is pkg/README.md, "Where code lives", as a table.
var borders = append(betweenServices(), []border{
	{
		why: "the domain core is pure: no network, no files", of: pure,
		never: inputOutput,
	},
	{
		why: "the domain core is pure: nothing waits, so nothing is cancelled", of: pure,
		never: []string{"context"},
	},
	{
		why: "the domain core is pure: no logger", of: pure, deep: true,
		never: []string{"log", "log/slog", "go.uber.org/zap/..."},
	},
	{
		why: "the domain core is pure: the same command on the same state decides the same", of: pure,
		never: []string{"math/rand/...", "crypto/rand"},
	},
	{
		why: "the domain core knows no bus, no database, no metrics", of: pure, deep: true,
		never: []string{
			"github.com/nats-io/...", "modernc.org/...", "github.com/prometheus/...", "go.opentelemetry.io/...",
			"github.com/wneessen/...", "github.com/emersion/...", "github.com/knadh/...", "github.com/spf13/...",
		},
	},
	{
		why: "arrows point down: the domain stands on proto alone", of: domain, deep: true,
		never: slices.Concat(outside, []string{"./services/..."}),
	},
	{
		why: "what checks shares no rule with what is checked", of: []string{"./pkg/invariant"}, deep: true,
		never: []string{"./pkg/request", "./pkg/tenant", "./pkg/ticket", "./pkg/policy", "./pkg/catalogue"},
	},
	{
		why: "arrows point down: proto stands on nothing of ours", of: []string{"./proto/..."}, deep: true, tests: true,
		never: []string{"./pkg/...", "./services/..."},
	},
	{
		why: "arrows point down: pkg serves the services", of: []string{"./pkg/..."}, deep: true, tests: true,
		never: []string{"./services/..."},
	},
	{
		why: "the bus carries bytes; the journal stands on it, not it on the journal", of: []string{"./pkg/bus/..."},
		deep:  true,
		never: []string{"./pkg/journal/..."},
	},
	{
		why: "who is asking does not depend on how they ask", of: []string{"./pkg/identity/..."}, deep: true,
		never: []string{"./pkg/bus/...", "./pkg/journal/...", "github.com/nats-io/..."},
	},
	{
		why: "a token is verified with what is there; pkg/identity/jwks fetches keys", of: []string{"./pkg/identity"},
		never: append([]string{"context", "./pkg/identity/jwks"}, inputOutput...),
	},
	{
		why: "everything may stand on configuration and observation, so they stand on nothing",
		of:  []string{"./pkg/config/...", "./pkg/observe/..."}, deep: true,
		never: []string{"./pkg/bus/...", "./pkg/journal/...", "./pkg/identity/...", "github.com/nats-io/..."},
	},
	{
		why: "files on disk and caches in memory need the standard library alone, so that everything may use them",
		of:  []string{"./pkg/durable", "./pkg/cache", "./pkg/build"}, deep: true,
		never: []string{"./pkg/...", "./proto/..."},
	},
	{
		why: "whoever verifies an approval has little to review: the standard library, and what reads events",
		of:  []string{"./pkg/approval"}, deep: true,
		never: []string{"./pkg/merkle/...", "./proto/...", "golang.org/...", "google.golang.org/...", "github.com/..."},
	},
	{
		why: "a signed decision does not depend on who verifies a log", of: []string{"./pkg/approval/terms"}, deep: true,
		never: []string{"./pkg/merkle/...", "./pkg/aggregate/..."},
	},
	{
		why: "what services stand on while they run is for services", of: []string{"./pkg/..."},
		except: []string{"./pkg/service"}, deep: true,
		never: []string{"./pkg/service/..."},
	},
	{
		why: "nats-server is imported by pkg/bus/embedded alone", of: []string{"./..."},
		except: []string{"./pkg/bus/embedded"}, tests: true,
		never: []string{"github.com/nats-io/nats-server/..."},
	},
	{
		why: "a service is a client of the bus; only lockbox can be the bus", of: []string{"./services/..."},
		except: []string{"./services/lockbox/..."}, deep: true,
		never: []string{"github.com/nats-io/nats-server/..."},
	},
	{
		why: "the development issuer gives tokens to anybody: only the demonstration may hold it",
		of:  []string{"./..."}, except: []string{"./services/lockbox/...", "./services/lockbox/demo/devissuer"}, deep: true,
		never: []string{"./services/lockbox/demo/devissuer/..."},
	},
	{
		why: "the projection's database is the projector's affair", of: []string{"./..."},
		except: []string{"./services/audit-projector/..."},
		never:  []string{"modernc.org/sqlite/...", "database/sql"},
	},
	{
		why: "test code stays out of the programs", of: []string{"./..."},
		// which measures, and is in no program but its own
		except: slices.Concat(forTests, []string{"./services/lockbox/internal/bench"}),
		never:  slices.Concat(forTests, []string{"testing/...", "pgregory.net/rapid", "github.com/google/go-cmp/..."}),
	},
}...)

var serviceNames = []string{
	"jit-evaluator", "lockbox-orchestrator", "notifier", "audit-projector", "portal", "access-broker", "forwarder",
	"verifier",
	"lockbox",
}

// betweenServices keeps each service from all the others.
func betweenServices() []border {
	var rows []border
	for _, name := range serviceNames {
		if name == "lockbox" {
			continue
		}
		row := border{
			why: "services never import services, except lockbox, which runs them all",
			of:  []string{"./services/" + name + "/..."}, deep: true, tests: true,
			spare: []string{"./services/lockbox/demo/devissuer"}, // whose people sign in, in tests
		}
		for _, other := range serviceNames {
			if other != name {
				row.never = append(row.never, "./services/"+other+"/...")
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// What the verifier links is what a customer has to review.
func TestTheVerifierLinksLittle(t *testing.T) {
	allowed := []string{
		"./services/verifier/...", "./pkg/merkle", "./pkg/refusal", "./pkg/durable", "./pkg/build",
		"./pkg/signed", "./pkg/fact",
		// The rules that a customer checks are those of the provider's own check, and judged by the same code.
		"./pkg/invariant", "./pkg/aggregate", "./pkg/erasable", "./pkg/input", "./pkg/prose", "./pkg/reason",
		"./pkg/message", "./pkg/timetext", "./pkg/approval", "./pkg/approval/sighted",
		"./pkg/approval/terms", "./pkg/approval/logged", "./pkg/approval/shown",
		"./pkg/catalogue/names", "go.yaml.in/yaml/v3", "golang.org/x/text/...",
		"./proto/lockbox/v1",
		"filippo.io/mldsa/...", "github.com/google/uuid", "github.com/transparency-dev/formats/...",
		"golang.org/x/crypto/cryptobyte/...", "golang.org/x/crypto/x509roots/fallback/...",
		"golang.org/x/mod/sumdb/...", "google.golang.org/protobuf/...",
	}
	program := prefix + "services/verifier/cmd/verifier"
	packages := listPackages(t)
	i := slices.IndexFunc(packages, func(p goPackage) bool { return p.ImportPath == program })
	if i < 0 || !slices.Contains(packages[i].Deps, prefix+"pkg/merkle") {
		t.Fatalf("%s is not there, or does not stand on pkg/merkle", program)
	}
	for _, path := range packages[i].Deps {
		if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !matchesAny(allowed, path) {
			t.Errorf("the verifier links %s", path)
		}
	}
}

// A goPackage is what `go list -json` says about one package.
type goPackage struct {
	ImportPath, Dir                          string
	Imports, TestImports, XTestImports, Deps []string
}

func TestNobodyImportsAcrossABorder(t *testing.T) {
	packages := listPackages(t)
	for _, crossing := range crossings(borders, packages) {
		t.Error(crossing)
	}
}

func TestEveryBorderHoldsForSomething(t *testing.T) {
	// pkg/README.md names these as not built yet.
	missing := map[string]bool{
		"services/access-broker": true,
	}
	for _, b := range borders {
		for _, pattern := range slices.Concat(b.of, b.except) {
			dir := strings.TrimSuffix(strings.TrimPrefix(pattern, "./"), "...")
			if dir = strings.TrimSuffix(dir, "/"); !missing[dir] && !exists(filepath.Join(root(t), dir)) {
				t.Errorf("%q is about %s, which does not exist", b.why, pattern)
				missing[dir] = true
			}
		}
	}
}

// A package that no list names is held by no border.
func TestEveryPackageIsInAList(t *testing.T) {
	for _, path := range unlisted(listPackages(t)) {
		t.Errorf("%s is in no list of this test: say what it is", path)
	}
	invented := []goPackage{{ImportPath: prefix + "pkg/requests"}, {ImportPath: prefix + "pkg/request"},
		{ImportPath: prefix + "services/notifiers"}}
	if got := unlisted(invented); !slices.Equal(got, []string{"pkg/requests", "services/notifiers"}) {
		t.Errorf("of three packages, of which one is known, these are in no list: %v", got)
	}
}

func unlisted(packages []goPackage) (paths []string) {
	lists := slices.Concat(pure, outside, forTests, []string{"./proto/..."})
	for _, name := range serviceNames {
		lists = append(lists, "./services/"+name+"/...")
	}
	for _, p := range packages {
		if !matchesAny(lists, p.ImportPath) {
			paths = append(paths, strings.TrimPrefix(p.ImportPath, prefix))
		}
	}
	return paths
}

func TestACrossingIsSeen(t *testing.T) {
	pkg := func(path string, imports, tests, deps []string) goPackage {
		return goPackage{ImportPath: prefix + path, Imports: imports, TestImports: tests, Deps: slices.Concat(imports, deps)}
	}
	request, bus, embedded := prefix+"pkg/request", prefix+"pkg/bus", prefix+"pkg/bus/embedded"
	server := "github.com/nats-io/nats-server/v2/server"
	for name, row := range map[string]struct {
		pkg  goPackage
		want int
	}{
		"a pure package": {pkg("pkg/request", []string{"time", "fmt"}, nil, []string{"os", "context"}),
			0},
		"the file system in the domain": {pkg("pkg/request", []string{"os"}, nil, nil), 1},
		"a context in the domain":       {pkg("pkg/request", []string{"context"}, nil, nil), 1},
		"a logger behind a domain package": {pkg("pkg/request", []string{"example.com/x"}, nil,
			[]string{"go.uber.org/zap"}), 1},
		"the domain on the bus":       {pkg("pkg/tenant", []string{bus}, nil, nil), 1},
		"the bus on the domain":       {pkg("pkg/bus", []string{request}, nil, nil), 0},
		"a similar name":              {pkg("pkg/request", []string{"github.com/nats-iox/thing"}, nil, nil), 0},
		"the server where it belongs": {pkg("pkg/bus/embedded", []string{server}, nil, nil), 0},
		"the server elsewhere":        {pkg("pkg/journal", []string{server}, nil, nil), 1},
		"the server in a test":        {pkg("pkg/journal", nil, []string{server}, nil), 1},
		"the server inside a service": {pkg("services/notifier/cmd/notifier", []string{embedded}, nil,
			[]string{server}), 1},
		"a service on a service": {pkg("services/notifier", []string{prefix + "services/jit-evaluator"}, nil,
			nil), 1},
		"a service on itself": {pkg("services/notifier",
			[]string{prefix + "services/notifier/internal/mail"}, nil, nil), 0},
		"lockbox on a service": {pkg("services/lockbox", []string{prefix + "services/notifier"}, nil,
			[]string{server}), 0},
		"the development issuer in a service": {pkg("services/jit-evaluator",
			[]string{prefix + "services/lockbox/demo/devissuer"}, nil, nil), 2},
		"the development issuer in its test": {pkg("services/jit-evaluator", nil,
			[]string{prefix + "services/lockbox/demo/devissuer"}, nil), 0},
		"the rest of the demo in its test": {pkg("services/jit-evaluator", nil,
			[]string{prefix + "services/lockbox/demo"}, nil), 1},
		"the contract suite in a test": {pkg("pkg/journal", nil, []string{prefix + "pkg/journal/journaltest"}, nil),
			0},
		"the testing framework in the product": {pkg("services/lockbox", []string{"testing"}, nil, nil), 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := crossings(borders, []goPackage{row.pkg}); len(got) != row.want {
				t.Errorf("%d crossings, want %d: %s", len(got), row.want, strings.Join(got, "\n"))
			}
		})
	}
}

// crossings says, a line each, which package imports what it may not, and why it may not.
func crossings(borders []border, packages []goPackage) []string {
	var found []string
	for _, p := range packages {
		for _, b := range borders {
			if !matchesAny(b.of, p.ImportPath) || matchesAny(b.except, p.ImportPath) {
				continue
			}
			reached := p.Imports
			if b.deep {
				reached = p.Deps
			}
			if b.tests {
				spared := func(path string) bool { return matchesAny(b.spare, path) }
				reached = slices.Concat(reached, slices.DeleteFunc(slices.Concat(p.TestImports, p.XTestImports), spared))
			}
			reached = slices.Clone(reached)
			slices.Sort(reached)
			for _, imported := range slices.Compact(reached) {
				if matchesAny(b.never, imported) {
					found = append(found, fmt.Sprintf("%s imports %s: %s", strings.TrimPrefix(p.ImportPath, prefix), imported, b.why))
					if b.deep {
						break // what stands behind the first one needs no line of its own
					}
				}
			}
		}
	}
	return found
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if ours, ok := strings.CutPrefix(pattern, "./"); ok {
			pattern = prefix + ours
		}
		if pattern == prefix+"..." {
			return strings.HasPrefix(path, prefix)
		}
		tree, isTree := strings.CutSuffix(pattern, "/...")
		return path == tree || isTree && strings.HasPrefix(path, tree+"/")
	})
}

// listPackages asks the go command about every package of every module of go.work.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	args := []string{"list", "-e", "-json=ImportPath,Dir,Imports,TestImports,XTestImports,Deps"}
	for line := range strings.Lines(goCommand(t, "list", "-m", "-f", "{{.Dir}}/...")) {
		args = append(args, strings.TrimSpace(line))
	}
	var packages []goPackage
	decoder := json.NewDecoder(strings.NewReader(goCommand(t, args...)))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the answer of go list: %v", err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 5 {
		t.Fatalf("go list knows only %d packages", len(packages))
	}
	return packages
}

func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.Command("go", args...)
	command.Dir = root(t)
	command.Env = append(os.Environ(), "GOWORK=")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args[:2], " "), err, stderr.String())
	}
	return string(out)
}

// root is the directory of go.work.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for !exists(filepath.Join(dir, "go.work")) {
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.work above this package")
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
