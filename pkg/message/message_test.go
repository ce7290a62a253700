package message_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/openlockbox/lockbox/pkg/message"
)

var languages = []string{"en", "fr", "ja"}

// load reads one file a language.
func load(en, fr, ja string) (map[string]*message.Catalogue, error) {
	return message.Load(fstest.MapFS{
		"m/en.yaml": {Data: []byte(en)}, "m/fr.yaml": {Data: []byte(fr)}, "m/ja.yaml": {Data: []byte(ja)},
	}, "m/*.yaml", languages)
}

func TestWhatIsSaid(t *testing.T) {
	all, err := load(
		"who: \"{{.Who}} denied access: {{.Text}}.\"\nmany:\n  one: \"{{.Count}} request of {{.Who}}\"\n  other: \"{{.Count}} requests of {{.Who}}\"\nlong: |\n\n  One.\n\n  Two.\n",
		"who: \"{{.Who}} : {{.Text}}.\"\nmany:\n  one: \"{{.Count}} jeton de {{.Who}}\"\n  other: \"{{.Count}} jetons de {{.Who}}\"\nlong: Un.\n",
		"who: \"{{.Text}}（{{.Who}}）\"\nmany: \"{{.Who}} の要求 {{.Count}} 件\"\nlong: 一。\n",
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		language, id string
		pairs        []any
		want         string
	}{
		{"en", "who", []any{"Who", "{{.Text}}", "Text", "{{.Who}}"}, "{{.Text}} denied access: {{.Who}}."},
		{"ja", "who", []any{"Text", "b", "Who", "a", "Other", "c"}, "b（a）"},
		{"en", "many", []any{"Count", 1, "Who", "Erin"}, "1 request of Erin"},
		{"en", "many", []any{"Count", 0, "Who", "Erin"}, "0 requests of Erin"},
		{"fr", "many", []any{"Count", 0, "Who", "Erin"}, "0 jeton de Erin"},
		{"fr", "many", []any{"Count", 2, "Who", "Erin"}, "2 jetons de Erin"},
		{"ja", "many", []any{"Count", 1, "Who", "Erin"}, "Erin の要求 1 件"},
		{"en", "many", []any{"Count", message.Number{N: 1000, Text: "1,000+"}, "Who", "Erin"}, "1,000+ requests of Erin"},
		{"en", "long", nil, "One.\n\nTwo."},
	} {
		if got, err := all[c.language].Say(c.id, c.pairs...); err != nil || got != c.want {
			t.Errorf("%s in %s with %v: %q, %v; want %q", c.id, c.language, c.pairs, got, err, c.want)
		}
	}
	if text, err := all["en"].Say("missing"); err == nil {
		t.Errorf("a message that is not there is %q", text)
	}
	if text, err := all["en"].Say("who", "Who", "Erin"); err == nil || !strings.Contains(err.Error(), "Text") {
		t.Errorf("a placeholder without a value: %q, %v", text, err)
	}
	if !all["fr"].Has("who") || all["fr"].Has("missing") {
		t.Error("Has is wrong")
	}
	listed := ""
	for id, text := range all["en"].All() {
		listed += id + "=" + text + ";"
	}
	want := "long=One.\n\nTwo.;many={{.Count}} requests of {{.Who}};who={{.Who}} denied access: {{.Text}}.;"
	if listed != want {
		t.Errorf("listed %q, want %q", listed, want)
	}
}

func TestWhatDoesNotLoad(t *testing.T) {
	for name, c := range map[string]struct{ en, fr, ja, why string }{
		"a message is missing": {"a: x\nb: y", "a: x", "a: x\nb: y", `"b" is not said in fr`},
		"a message too many":   {"a: x", "a: x", "a: x\nb: y", `"b" is not said in en`},
		"another placeholder": {`a: "{{.Who}}"`, `a: "{{.Who}}"`, `a: "{{.What}}"`,
			"placeholders [What] in ja, and [Who] in en"},
		"one placeholder less":          {`a: "{{.Who}} {{.What}}"`, `a: "{{.Who}}"`, `a: "{{.Who}} {{.What}}"`, "in fr"},
		"half a placeholder":            {`a: "{{.Who}"`, "a: x", "a: x", "braces"},
		"an expression":                 {`a: "{{.Who | html}}"`, "a: x", "a: x", "braces"},
		"an empty message":              {`a: ""`, "a: x", "a: x", "empty"},
		"an unknown form":               {"a: {one: x, few: y}", "a: x", "a: x", `"few"`},
		"one form alone":                {"a: {other: x}", "a: x", "a: x", "both forms"},
		"given twice":                   {"a: x\na: y", "a: x", "a: x", "already defined"},
		"a list":                        {"a: [x]", "a: x", "a: x", "cannot unmarshal"},
		"something that is no messages": {"x", "a: x", "a: x", "cannot unmarshal"},
	} {
		if _, err := load(c.en, c.fr, c.ja); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
	for name, files := range map[string]fstest.MapFS{
		"of another language": {"m/a.de.yaml": {Data: []byte("a: x")}},
		"of two parts":        {"m/a.en.yaml": {Data: []byte("a: x")}, "m/b.en.yaml": {Data: []byte("a: y")}},
	} {
		if _, err := message.Load(files, "m/*.yaml", languages[:1]); err == nil {
			t.Errorf("%s: it loads", name)
		}
	}
}
