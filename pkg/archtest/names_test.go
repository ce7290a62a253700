package archtest

import (
	"go/ast"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.yaml.in/yaml/v3"
)

// mails and pages are where the catalogues of mails and of the portal's pages begin, before the language.
const (
	mails = "services/notifier/internal/mail/messages/"
	pages = "services/portal/internal/words/messages/"
)

// A reason for access has one name wherever somebody reads it: on a page, in a mail, at the command line.
func TestAReasonHasOneName(t *testing.T) {
	for _, tag := range tenant.Languages {
		mail, page := catalogue(t, mails+tag+".yaml"), catalogue(t, pages+"status."+tag+".yaml")
		for n, value := range lockboxv1.ReasonType_name {
			name := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value, "REASON_TYPE_")), "_", "-")
			if n == 0 {
				continue
			}
			if got, want := page["status.reason."+name], mail["reason/"+name]; got != want || want == nil {
				t.Errorf("%s in %s: pages say %v, mails %v", value, tag, got, want)
			}
			if want := mail["reason/"+name+"/you"]; want != nil && page["status.reason-yours."+name] != want {
				t.Errorf("%s to the customer in %s: pages say %v, mails %v", value, tag,
					page["status.reason-yours."+name], want)
			}
		}
	}
	english := catalogue(t, mails+"en.yaml")
	typed := reasonsAtCommandLine(t)
	for value, got := range typed {
		name := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value, "REASON_TYPE_")), "_", "-")
		if got != english["reason/"+name] {
			t.Errorf("%s: the command line says %q, mails %v", value, got, english["reason/"+name])
		}
	}
	if len(typed) != len(lockboxv1.ReasonType_name)-1 {
		t.Errorf("only %d reasons have names at the command line", len(typed))
	}
}

// reasonsAtCommandLine returns what the command line calls the types of reasons, by the names of their values.
func reasonsAtCommandLine(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	for _, source := range sources(t, program) {
		ast.Inspect(source.file, func(node ast.Node) bool {
			pair, is := node.(*ast.KeyValueExpr)
			if !is {
				return true
			}
			key, is := pair.Key.(*ast.SelectorExpr)
			if texts := literals(pair.Value); is && len(texts) == 1 &&
				strings.HasPrefix(key.Sel.Name, "ReasonType_REASON_TYPE_") {
				names[strings.TrimPrefix(key.Sel.Name, "ReasonType_")] = strings.Trim(texts[0], `"`)
			}
			return true
		})
	}
	return names
}

// catalogue reads a catalogue of messages. A message in two grammatical numbers is a map.
func catalogue(t *testing.T, path string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), path)) // #nosec G304 -- a file of the repository
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	if err := yaml.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}
