package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// glossary returns the words that each language does not use, with the thing that has another name there.
func glossary(t *testing.T) map[string]map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), "pkg/message/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	not := map[string]map[string]string{"fr": {}, "ja": {}}
	for line := range strings.Lines(string(data)) {
		row := strings.Split(strings.TrimSpace(line), "|")
		if len(row) != 7 || strings.HasPrefix(row[1], "--") || strings.TrimSpace(row[1]) == "thing" {
			continue
		}
		for language, words := range map[string]string{"fr": row[3], "ja": row[5]} {
			for word := range strings.SplitSeq(words, ",") {
				if word = strings.TrimSpace(word); word != "" {
					not[language][word] = strings.TrimSpace(row[1])
				}
			}
		}
	}
	return not
}

// One thing has one name in each language, whichever page, mail or message names it.
func TestTermsAreThoseOfTheGlossary(t *testing.T) {
	not, seen := glossary(t), 0
	if len(not["fr"]) < 10 || len(not["ja"]) < 10 {
		t.Fatalf("the glossary has %d words for French and %d for Japanese", len(not["fr"]), len(not["ja"]))
	}
	for _, dir := range []string{"pkg", "services"} {
		err := filepath.WalkDir(filepath.Join(root(t), dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Base(filepath.Dir(path)) != "messages" {
				return err
			}
			language := strings.TrimPrefix(filepath.Ext(strings.TrimSuffix(path, ".yaml")), ".")
			if language == "" { // one file a language
				language = strings.TrimSuffix(filepath.Base(path), ".yaml")
			}
			data, err := os.ReadFile(path) // #nosec G304,G122 -- a file of the repository
			if err != nil || not[language] == nil {
				return err
			}
			seen++
			var document yaml.Node
			if err := yaml.Unmarshal(data, &document); err != nil {
				return err
			}
			visit(&document, func(text *yaml.Node, _ string) {
				for word, thing := range not[language] {
					if strings.Contains(text.Value, word) {
						t.Errorf("%s:%d calls %q otherwise than the glossary, %q: %s", path, text.Line, thing, word, text.Value)
					}
				}
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 20 {
		t.Errorf("only %d catalogues were seen", seen)
	}
}
