package mail

import (
	"embed"
	"fmt"
	"strings"
	"text/template"

	"github.com/openlockbox/lockbox/pkg/tenant"
)

//go:embed words/*.tmpl
var wordFiles embed.FS

// words are everything that is said in one language: words/<language>.tmpl, one block for each thing that is said.
type words struct {
	language string
	blocks   *template.Template
}

// loadWords reads all languages.
func loadWords() (map[string]words, error) {
	all := map[string]words{}
	for _, language := range tenant.Languages {
		blocks, err := template.New(language).Option("missingkey=error").ParseFS(wordFiles, "words/"+language+".tmpl")
		if err != nil {
			return nil, fmt.Errorf("mail: words: %w", err)
		}
		all[language] = words{language, blocks}
	}
	return all, nil
}

// values fill the placeholders of a block. They are ready to be read: in the mail's language, and harmless.
type values map[string]string

// say returns a block with its placeholders filled.
func (w words) say(block string, v values) (string, error) {
	var text strings.Builder
	if err := w.blocks.ExecuteTemplate(&text, block, v); err != nil {
		return "", fmt.Errorf("mail: words: %w", err)
	}
	return strings.Trim(text.String(), "\n"), nil
}
