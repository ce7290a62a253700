// Package words is everything that the portal's own pages say, in every language: messages/<part>.<language>.yaml.
package words

import (
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/language"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"go.yaml.in/yaml/v3"
	textlanguage "golang.org/x/text/language"
	"golang.org/x/text/message"
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
			value := pairs[i+1]
			if name == "Count" {
				c.PluralCount = value
			}
			if n, counted := value.(Counted); counted {
				c.PluralCount, value = n.N, s.Number(n)
			}
			data[name] = value
		}
		c.TemplateData = data
	}
	text, tag, err := s.localizer.LocalizeWithTag(c)
	if err == nil && tag.String() != s.Language {
		err = fmt.Errorf("words: there is no message %q in %s", id, s.Language)
	}
	return text, err
}

// Counted is the total of a list, as far as it was counted.
type Counted struct {
	N      int
	OrMore bool
}

// Count is the total that a query answered.
func Count(total uint64) Counted {
	return Counted{int(min(total, input.MaxCount)), total > input.MaxCount} // #nosec G115 -- at most input.MaxCount
}

// Less is what remains when n of them are shown elsewhere.
func (c Counted) Less(n int) Counted { return Counted{max(0, c.N-n), c.OrMore} }

// Number writes a total: 41, or "1,000+".
func (s *Speaker) Number(c Counted) string {
	text := message.NewPrinter(textlanguage.Make(s.Language)).Sprint(c.N)
	if c.OrMore {
		text += "+"
	}
	return text
}

// Instant is a moment, in UTC and saying so.
func (s *Speaker) Instant(t time.Time) string { return language.Instant(s.Language, t) }

// Duration is a length of time.
func (s *Speaker) Duration(d time.Duration) string { return language.Duration(s.Language, d) }
