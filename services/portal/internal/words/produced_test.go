package words

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// root is the repository's.
const root = "../../../.."

// operators are the directories whose refusals are about settings, files and keys, and are read on a terminal or in a
// log, both of which are in English. So are those of these rules.
var (
	operators = []string{"pkg/archtest", "pkg/bus/embedded", "pkg/config", "pkg/durable", "pkg/goldentest",
		"pkg/identity/jwks", "pkg/observe", "pkg/refusal", "pkg/service", "pkg/written",
		"services/audit-projector/internal/logserver", "services/forwarder",
		"services/lockbox", "services/notifier", "services/portal/internal/organisation",
		"services/portal/internal/site/sitetest", "services/verifier"}
	mistakes = []string{"configuration", "journal", "subject", "R50"}
)

// produced is a place in the code that refuses.
type produced struct {
	at, field, rule, format string
	code                    lockboxv1.RefusalCode
	// coded: it says by a reason of its own which of several things it is.
	coded bool
	// kinds and names are what its sentence is made from; which names of them, a table says (some).
	kinds, names []string
	some         bool
}

// constructors maps the functions of package refusal to their codes.
var constructors = map[string]lockboxv1.RefusalCode{
	"Invalid":         lockboxv1.RefusalCode_REFUSAL_CODE_INVALID,
	"Unauthenticated": lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED,
	"Forbidden":       lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN,
	"NotFound":        lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND,
	"Conflict":        lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT,
	"Precondition":    lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION,
	"Unavailable":     lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE,
}

// constants returns the texts that a package's constants stand for.
func constants(files []*ast.File) map[string]string {
	all := map[string]string{}
	for _, f := range files {
		for _, d := range f.Decls {
			declared, is := d.(*ast.GenDecl)
			if !is || declared.Tok != token.CONST {
				continue
			}
			for _, spec := range declared.Specs {
				named := spec.(*ast.ValueSpec) //nolint:forcetypeassert,errcheck // of a const
				for i, name := range named.Names {
					if values := named.Values; i < len(values) {
						all[name.Name], _ = literal(values[i], all)
					}
				}
			}
		}
	}
	return all
}

// literal returns what an expression says as a text, as far as it can be read here.
func literal(e ast.Expr, known map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		text, is := known[e.Name]
		return text, is
	case *ast.BinaryExpr:
		left, _ := literal(e.X, known)
		right, is := literal(e.Y, known)
		return left + right, is
	case *ast.CallExpr:
		if len(e.Args) == 1 {
			return literal(e.Args[0], known)
		}
	}
	return "", false
}

var hyphened = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)

// listed returns the kinds that are in tables of a file, and in fields called Kind of its package, and so not where it
// refuses.
func listed(here *ast.File, files []*ast.File) (kinds []string) {
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			row, is := n.(*ast.CompositeLit)
			if !is {
				return true
			}
			for _, e := range row.Elts {
				named, is := e.(*ast.KeyValueExpr)
				if is {
					e = named.Value
				}
				if is {
					key, _ := named.Key.(*ast.Ident)
					is = key != nil && key.Name == "Kind"
				}
				if text, said := literal(e, nil); said && (is || f == here) && hyphened.MatchString(text) {
					kinds = append(kinds, text)
				}
			}
			return true
		})
	}
	return kinds
}

// refusals lists the places that refuse in the parts that people hear of in their own language.
func refusals(t *testing.T) (all []produced) {
	t.Helper()
	packages, places := map[string][]*ast.File{}, token.NewFileSet()
	for _, part := range []string{"pkg", "services"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(root, path)
			if err == nil && d.IsDir() && slices.Contains(operators, filepath.ToSlash(rel)) {
				return fs.SkipDir
			}
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(places, path, nil, 0)
			packages[filepath.Dir(path)] = append(packages[filepath.Dir(path)], f)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, files := range packages {
		known, inner := constants(files), map[ast.Expr]produced{}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				call, is := n.(*ast.CallExpr)
				if !is || len(call.Args) == 0 {
					return true
				}
				p, name := inner[call], called(call)
				rest := call.Args[1:]
				switch {
				case name == "Because":
					inner[call.Args[0]] = produced{coded: true}
				case name == "OfKind":
					if kind, is := literal(rest[0], known); is {
						p.kinds = []string{kind}
					} else {
						p.kinds = listed(f, files)
					}
					rest = rest[1:]
					fallthrough
				case name == "Naming":
					if p.some = call.Ellipsis.IsValid(); p.some {
						p.names, rest = []string{"most", "name"}, nil
					}
					for i := 0; i < len(rest); i += 2 {
						parameter, _ := literal(rest[i], known)
						p.names = append(p.names, parameter)
					}
					inner[call.Args[0]] = p
				case constructors[name] != 0 && len(call.Args) > 2 && !passedOn(call.Args[0]):
					p.at, p.code = strings.TrimPrefix(places.Position(call.Pos()).String(), root+"/"), constructors[name]
					p.field, _ = literal(call.Args[0], known)
					p.rule, _ = literal(call.Args[1], known)
					p.format, _ = literal(call.Args[2], known)
					all = append(all, p)
				}
				return true
			})
		}
	}
	return all
}

// passedOn reports whether a field is that of another refusal, whose sentence it is.
func passedOn(field ast.Expr) bool {
	call, is := field.(*ast.CallExpr)
	if !is {
		return false
	}
	got, is := call.Fun.(*ast.SelectorExpr)
	return is && got.Sel.Name == "GetField"
}

// called returns the name of a function of package refusal that is called.
func called(call *ast.CallExpr) string {
	if s, is := call.Fun.(*ast.SelectorExpr); is {
		if x, is := s.X.(*ast.Ident); is && x.Name == "refusal" {
			return s.Sel.Name
		}
	}
	return ""
}

// values are of the parameters that are shown in another way than they are sent.
var values = map[string]string{"at": "2026-11-30T10:00:00Z", "within": "3h0m0s", "shortest": "5m0s",
	"longest": "24h0m0s", "most": "41", "least": "17", "count": "29", "length": "23"}

// alike are how sentences begin that say several things in one way, because whoever reads them does the same about
// each.
var alike = []string{"Another change of the sign-in waits already.", "Assign the role on the organisation or",
	"Choose one of the values that are offered.", "Enter the whole https address of the identity provider, as",
	"Organisation not found", "The records of this contradict each other", "There is no such webhook.",
	"This ID is in use already.", "This action is not possible here.", "This is the provider’s own sign-in.",
	"This query is not known here.", "What was sent"}

// Whatever the code refuses has a sentence of its own in every language, which names what the code names.
func TestEveryRefusalOfTheCodeHasItsOwnSentence(t *testing.T) {
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	found := refusals(t)
	if len(found) < 300 {
		t.Fatalf("only %d places refuse", len(found))
	}
	sentences := map[string]string{}
	for _, p := range found {
		if p.coded || slices.Contains(mistakes, p.rule) {
			continue
		}
		for _, kind := range append(p.kinds, "")[:max(1, len(p.kinds))] {
			pairs := []string{refusal.Kind, kind}
			for _, name := range p.names {
				value := "‹" + name + "›"
				if shown, is := values[name]; is {
					value = shown
				}
				pairs = append(pairs, name, value)
			}
			r := &lockboxv1.Refusal{Code: p.code, Field: p.field, Rule: p.rule, Message: "in English",
				CodedReason: reason.Of(0, pairs...)}
			said := map[string]bool{}
			for _, tag := range tenant.Languages {
				s := all.In(tag)
				got := s.Refusal(r)
				ids := RefusalIDs(p.code, kind, p.rule, p.field)
				general, err := s.Say(ids[len(ids)-1])
				if err != nil || got.Recorded || got.Text == general || said[got.Text] {
					t.Errorf("%s, %q: no sentence in %s by any of %v: %q", p.at, p.format, tag, ids[:len(ids)-1], got.Text)
				}
				said[got.Text] = true
				if before, again := sentences[got.Text]; tag == english && again && before != p.format && kind == "" &&
					p.code != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE && !slices.ContainsFunc(alike,
					func(beginning string) bool { return strings.HasPrefix(got.Text, beginning) }) {
					t.Errorf("%s: %q says both %q and %q", p.at, got.Text, before, p.format)
				}
				sentences[got.Text] = p.format
				named, _ := s.named(r.GetCodedReason())
				for i := 0; i < len(named); i += 2 {
					if value, _ := named[i+1].(string); !p.some && !strings.Contains(got.Text, value) {
						t.Errorf("%s, %q: %q does not say %s in %s", p.at, p.format, got.Text, named[i], tag)
					}
				}
			}
		}
	}
}
