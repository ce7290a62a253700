package words

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestEveryMessageIsThereInEveryLanguage(t *testing.T) {
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := all.In("en").Say("nav.no-such-message"); err == nil {
		t.Errorf("what is not there says %q", text)
	}
}

func TestAMessageIsInTheFileOfItsPart(t *testing.T) {
	files, err := fs.Glob(messages, "messages/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		part, _, _ := strings.Cut(strings.TrimPrefix(file, "messages/"), ".")
		data, err := messages.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var all map[string]any
		if err := yaml.Unmarshal(data, &all); err != nil {
			t.Fatal(err)
		}
		for id := range all {
			if !strings.HasPrefix(id, part+".") && part != "site" {
				t.Errorf("%s: %s belongs to another part", file, id)
			}
		}
	}
}

// In French, what stands before a colon, a semicolon, an exclamation or a question mark, and inside of quotation marks,
// is not torn from it at the end of a line.
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
