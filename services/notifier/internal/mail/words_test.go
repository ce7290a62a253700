package mail

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"text/template/parse"
	"unicode"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// said lists a language's blocks, each with its placeholders.
func said(t *testing.T, language string) map[string][]string {
	t.Helper()
	all, err := loadWords()
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string][]string{}
	for _, block := range all[language].blocks.Templates() {
		if name := block.Name(); name != language+".tmpl" && name != language && block.Tree != nil {
			blocks[name] = placeholdersOf(t, block.Root)
		}
	}
	return blocks
}

func placeholdersOf(t *testing.T, root *parse.ListNode) []string {
	t.Helper()
	found := map[string]bool{}
	for _, node := range root.Nodes {
		switch n := node.(type) {
		case *parse.TextNode, *parse.CommentNode:
		case *parse.ActionNode:
			field, ok := n.Pipe.Cmds[0].Args[0].(*parse.FieldNode)
			if !ok || len(n.Pipe.Cmds) != 1 || len(n.Pipe.Cmds[0].Args) != 1 || len(field.Ident) != 1 {
				t.Errorf("%s: words are plain texts with placeholders", n)
				continue
			}
			found[field.Ident[0]] = true
		default:
			t.Errorf("%s: words are plain texts with placeholders", n)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func TestEveryLanguageSaysTheSameThings(t *testing.T) {
	english := said(t, "en")
	for _, language := range tenant.Languages[1:] {
		other := said(t, language)
		for name, placeholders := range english {
			if _, there := other[name]; !there {
				t.Errorf("%s does not say %q", language, name)
			} else if !slices.Equal(placeholders, other[name]) {
				t.Errorf("%s: %q speaks of %v, not of %v", language, name, other[name], placeholders)
			}
		}
		for name := range other {
			if _, there := english[name]; !there {
				t.Errorf("%s says %q, which English does not", language, name)
			}
		}
	}
}

// asked lists every block that a mail may ever say.
func asked() []string {
	all := []string{
		"greeting", "greeting/anonymous", "colon", "list/more", "action/request", "action/tenant", "action/disclosures", "commands", "standing/changed", "footer", "log",
		"note/fallback", "note/nobody", "note/several", "note/waived", "note/shortened", "note/narrowed", "note/never-began", "note/unexpected",
		"note/eligible", "note/unexpected-change", "note/revocable", "note/link",
		"value/whole-tenant", "value/nobody", "value/none", "value/yes", "value/no", "value/person", "value/approval", "value/of", "value/was",
		"quote/why",
	}
	for _, t := range plan.Templates() {
		all = append(all, "title/"+string(t), "text/"+string(t))
		all = append(all, shapes[t].rows...)
		all = append(all, shapes[t].quotes...)
	}
	for _, s := range plan.Standings() {
		all = append(all, "standing/"+string(s))
	}
	for _, l := range tenant.Languages {
		all = append(all, "language/"+l)
	}
	for kind, enum := range map[string]struct {
		values protoreflect.EnumValueDescriptors
		prefix string
	}{
		"role":     {lockboxv1.Role(0).Descriptor().Values(), "ROLE_"},
		"waiver":   {lockboxv1.Waiver(0).Descriptor().Values(), "WAIVER_"},
		"reason":   {lockboxv1.ReasonType(0).Descriptor().Values(), "REASON_TYPE_"},
		"fallback": {lockboxv1.Fallback(0).Descriptor().Values(), "FALLBACK_"},
	} {
		for i := 1; i < enum.values.Len(); i++ {
			name := strings.TrimPrefix(string(enum.values.Get(i).Name()), enum.prefix)
			all = append(all, kind+"/"+strings.ReplaceAll(strings.ToLower(name), "_", "-"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestWhatCanBeAskedForIsWhatIsSaid(t *testing.T) {
	have := slices.Sorted(maps.Keys(said(t, "en")))
	for _, name := range asked() {
		if !slices.Contains(have, name) {
			t.Errorf("nobody has words for %q", name)
		}
	}
	for _, name := range have {
		if !slices.Contains(asked(), name) {
			t.Errorf("nobody asks for %q", name)
		}
	}
}

func TestEachLanguageIsWrittenInItsOwnScript(t *testing.T) {
	all, err := loadWords()
	if err != nil {
		t.Fatal(err)
	}
	for name := range said(t, "ja") {
		if !strings.HasPrefix(name, "text/") {
			continue
		}
		if text := all["ja"].blocks.Lookup(name).Root.String(); !strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Hiragana) }) {
			t.Errorf("%s is not Japanese: %s", name, text)
		}
		if all["fr"].blocks.Lookup(name).Root.String() == all["en"].blocks.Lookup(name).Root.String() {
			t.Errorf("%s is English in French", name)
		}
	}
}

func TestFrenchPunctuationIsNotTornOff(t *testing.T) {
	content, err := wordFiles.ReadFile("words/fr.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(content)) {
		if strings.HasPrefix(l, "{{/*") {
			continue
		}
		for _, torn := range []string{" :", " ;", " !", " ?", " »", "« "} {
			if strings.Contains(l, torn) {
				t.Errorf("an ordinary space in %q", l)
			}
		}
	}
}
