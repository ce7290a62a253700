// Package words is everything that the portal's own pages say, in every language: messages/<part>.<language>.yaml.
package words

import (
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/timetext"
	"go.yaml.in/yaml/v3"
	textlanguage "golang.org/x/text/language"
)

//go:embed messages/*.yaml
var messages embed.FS

// Words are all languages.
type Words struct {
	speakers map[string]*Speaker
	matcher  textlanguage.Matcher
}

// Load reads all messages.
func Load() (*Words, error) {
	bundle := i18n.NewBundle(textlanguage.English)
	bundle.RegisterUnmarshalFunc("yaml", yaml.Unmarshal)
	files, err := fs.Glob(messages, "messages/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if _, err := bundle.LoadMessageFileFS(messages, file); err != nil {
			return nil, fmt.Errorf("words: %s: %w", file, err)
		}
	}
	w := &Words{speakers: map[string]*Speaker{}}
	var tags []textlanguage.Tag
	for _, tag := range tenant.Languages {
		// Its own language only: a missing message is a defect that a test finds, not English.
		w.speakers[tag] = &Speaker{Language: tag, localizer: i18n.NewLocalizer(bundle, tag)}
		tags = append(tags, textlanguage.Make(tag))
	}
	w.matcher = textlanguage.NewMatcher(tags)
	return w, nil
}

// In returns the speaker of a language; nil: it is not spoken here.
func (w *Words) In(tag string) *Speaker { return w.speakers[tag] }

// Best returns the speaker that fits a browser's Accept-Language best.
func (w *Words) Best(accept string) *Speaker {
	_, i := textlanguage.MatchStrings(w.matcher, accept)
	return w.speakers[tenant.Languages[i]]
}

// Speaker says things in one language.
type Speaker struct {
	Language  string
	localizer *i18n.Localizer
}

// Say returns a message with its placeholders filled from pairs of names and values. A value named Count chooses the plural.
func (s *Speaker) Say(id string, pairs ...any) (string, error) {
	c := &i18n.LocalizeConfig{MessageID: id}
	if len(pairs) > 0 {
		data := map[string]any{}
		for i := 0; i+1 < len(pairs); i += 2 {
			name, isName := pairs[i].(string)
			if !isName {
				return "", fmt.Errorf("words: %s: %v is no name", id, pairs[i])
			}
			if data[name] = pairs[i+1]; name == "Count" {
				c.PluralCount = pairs[i+1]
			}
		}
		c.TemplateData = data
	}
	text, tag, err := s.localizer.LocalizeWithTag(c)
	if err == nil && tag.String() != s.Language {
		err = fmt.Errorf("words: there is no message %q in %s", id, s.Language)
	}
	return text, err
}

// Instant is a moment, in UTC and saying so.
func (s *Speaker) Instant(t time.Time) string { return timetext.Instant(s.Language, t) }

// Duration is a length of time.
func (s *Speaker) Duration(d time.Duration) string { return timetext.Duration(s.Language, d) }
