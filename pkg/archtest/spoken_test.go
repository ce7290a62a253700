package archtest

import (
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"go.yaml.in/yaml/v3"
)

// unspoken are what no text for people has: a requirement's number, the name of an enumeration's value, and what
// programs call a group or a type of resource.
var unspoken = regexp.MustCompile(`\b[RI][1-9][0-9]?\b|` +
	`\b(?:ROLE|STATUS|OUTCOME|WAIVER|SIDE|REASON|SCOPE|BASIS|REQUEST|REFUSAL|ACCESS|FALLBACK|DECIDERS|SUPPORT|WEBHOOK|` +
	`INVITATION|SIGN_IN|APPROVER|RULE|SERVICE|ASSIGNMENT)_[A-Z_]+\b|` +
	`\b(?:support-engineers|customer-support-leads|devops-managers|security-officers|emergency-responders)\b|` +
	`\b(?:compute|storage|network|web|batch)/[a-z-]+\b`)

// spoken are the functions of package refusal that take a message, and where it stands among their arguments.
var spoken = map[string]int{"New": 3, "Invalid": 2, "Unauthenticated": 2, "Forbidden": 2, "NotFound": 2, "Conflict": 2,
	"Precondition": 2, "Unavailable": 2}

// A refusal names its rule in a field of its own, for programs; its message is for people.
func TestNoRefusalCitesARuleInItsMessage(t *testing.T) {
	seen := 0
	for _, source := range sources(t, program) {
		ast.Inspect(source.file, func(node ast.Node) bool {
			call, is := node.(*ast.CallExpr)
			if !is {
				return true
			}
			f, is := call.Fun.(*ast.SelectorExpr)
			if !is {
				return true
			}
			at, is := spoken[f.Sel.Name]
			if pkg, named := f.X.(*ast.Ident); !is || !named || pkg.Name != "refusal" || len(call.Args) <= at {
				return true
			}
			seen++
			for _, text := range literals(call.Args[at]) {
				if found := unspoken.FindString(text); found != "" {
					t.Errorf("%s: a refusal says %s: %s", source.at(call), found, text)
				}
			}
			return true
		})
	}
	if seen < 300 {
		t.Errorf("only %d refusals were seen", seen)
	}
	err := refusal.Forbidden("token", "R29", "this was decided")
	if said := refusal.Sentence(err); said != "token: this was decided" {
		t.Errorf("people are told %q", said)
	}
	if r, _ := refusal.As(err); r.GetRule() != "R29" {
		t.Errorf("programs are told %v", r)
	}
}

// literals are the texts that an expression is made of.
func literals(of ast.Expr) (texts []string) {
	ast.Inspect(of, func(node ast.Node) bool {
		if text, is := node.(*ast.BasicLit); is && text.Kind == token.STRING {
			texts = append(texts, text.Value)
		}
		return true
	})
	return texts
}

// Nor does any text of a catalogue, in any language, and no reason of the rules that ship.
func TestNoCatalogueCitesARule(t *testing.T) {
	files := []string{filepath.Join(root(t), "pkg/policy/rules.yaml"),
		filepath.Join(root(t), "pkg/catalogue/services.yaml")}
	for _, dir := range []string{"pkg", "services"} {
		err := filepath.WalkDir(filepath.Join(root(t), dir), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".yaml") &&
				filepath.Base(filepath.Dir(path)) == "messages" {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 12 {
		t.Fatalf("only %d catalogues were seen", len(files))
	}
	for _, file := range files {
		data, err := os.ReadFile(file) // #nosec G304 -- a file of the repository
		if err != nil {
			t.Fatal(err)
		}
		var document yaml.Node
		if err := yaml.Unmarshal(data, &document); err != nil {
			t.Fatal(err)
		}
		visit(&document, func(text *yaml.Node, key string) {
			if key == "when" || filepath.Base(filepath.Dir(file)) != "messages" && !strings.Contains(text.Value, " ") {
				return // a condition, which is a program, or what programs call something, and no sentence
			}
			if found := unspoken.FindString(text.Value); found != "" {
				t.Errorf("%s:%d says %s: %s", file, text.Line, found, text.Value)
			}
		})
	}
}

// visit calls do for every text in a YAML document that is not a key, with its key.
func visit(n *yaml.Node, do func(text *yaml.Node, key string)) {
	for i, child := range n.Content {
		switch {
		case n.Kind == yaml.MappingNode && i%2 == 0:
		case child.Kind == yaml.ScalarNode && n.Kind == yaml.MappingNode:
			do(child, n.Content[i-1].Value)
		case child.Kind == yaml.ScalarNode:
			do(child, "")
		default:
			visit(child, do)
		}
	}
}

// A number that is cited is seen, in any of the ways in which it might be.
func TestACitedRuleIsSeen(t *testing.T) {
	for _, text := range []string{"is over (R26)", "R1: no", "(R13-R15)", "see I10.", "holds ROLE_OWNER",
		"REQUEST_STATUS_DENIED", "for devops-managers", "of compute/virtual-machines"} {
		if !unspoken.MatchString(text) {
			t.Errorf("%q is not seen", text)
		}
	}
	if slices.ContainsFunc([]string{"RS256", "RFC 7515", "X5T", "SR-2026-0001", "LOCKBOX_URL"}, unspoken.MatchString) {
		t.Error("what is no citation is taken for one")
	}
}
