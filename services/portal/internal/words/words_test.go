package words

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/tenant"
	"go.yaml.in/yaml/v3"
)

var placeholder = regexp.MustCompile(`{{\.(\w+)}}`)

// read is a part's messages in one language: the placeholders of each, or of each of its plurals.
func read(t *testing.T, part, language string) map[string][]string {
	t.Helper()
	data, err := messages.ReadFile("messages/" + part + "." + language + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	if err := yaml.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for id, message := range raw {
		text, single := message.(string)
		if plurals, several := message.(map[string]any); several {
			text, single = plurals["other"].(string)
		}
		if !single || strings.TrimSpace(text) == "" || !strings.HasPrefix(id, part+".") && part != "site" {
			t.Errorf("%s.%s: %s is empty, or belongs to another part", part, language, id)
		}
		for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
			all[id] = append(all[id], m[1])
		}
		slices.Sort(all[id])
		all[id] = slices.Compact(append(all[id], ""))
	}
	return all
}

func TestEveryMessageIsThereInEveryLanguageWithTheSamePlaceholders(t *testing.T) {
	files, err := fs.Glob(messages, "messages/*.en.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d parts: %v", len(files), err)
	}
	for _, file := range files {
		part := strings.TrimSuffix(strings.TrimPrefix(file, "messages/"), ".en.yaml")
		english := read(t, part, "en")
		for _, language := range tenant.Languages {
			other := read(t, part, language)
			for id, names := range english {
				if !slices.Equal(names, other[id]) {
					t.Errorf("%s in %s has the placeholders %v, in English %v", id, language, other[id], names)
				}
			}
			for id := range other {
				if _, there := english[id]; !there {
					t.Errorf("%s in %s is not there in English", id, language)
				}
			}
		}
	}
}

// In French, what stands before a colon, a semicolon, an exclamation or a question mark, and inside of quotation marks, is not
// torn from it at the end of a line.
func TestFrenchPunctuationStaysWithItsWord(t *testing.T) {
	torn := regexp.MustCompile(` [:;!?»]|« |\w[;!?»]`)
	files, err := fs.Glob(messages, "messages/*.fr.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := messages.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if !strings.HasPrefix(line, "#") && torn.MatchString(line) {
				t.Errorf("%s: %s", file, line)
			}
		}
	}
}
