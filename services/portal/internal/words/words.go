// Package words holds all texts of the portal's own pages in every language: messages/<part>.<language>.yaml.
package words

import (
	"embed"
	"io/fs"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/message"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/timetext"
	textlanguage "golang.org/x/text/language"
	printer "golang.org/x/text/message"
)

//go:embed messages/*.yaml
var messages embed.FS

// Words holds all languages.
type Words struct {
	speakers map[string]*Speaker
	matcher  textlanguage.Matcher
}

// Files are the messages as they are written.
func Files() fs.FS { return messages }

// Load reads all messages.
func Load() (*Words, error) {
	catalogues, err := message.Load(messages, "messages/*.yaml", tenant.Languages)
	if err != nil {
		return nil, err
	}
	w := &Words{speakers: map[string]*Speaker{}}
	var tags []textlanguage.Tag
	for _, tag := range tenant.Languages {
		w.speakers[tag] = &Speaker{Language: tag, messages: catalogues[tag], zone: time.UTC}
		tags = append(tags, textlanguage.Make(tag))
	}
	w.matcher = textlanguage.NewMatcher(tags)
	return w, nil
}

// In returns the speaker of a language; nil if it is not supported.
func (w *Words) In(tag string) *Speaker { return w.speakers[tag] }

// Best returns the speaker that best fits a browser's Accept-Language.
func (w *Words) Best(accept string) *Speaker {
	_, i := textlanguage.MatchStrings(w.matcher, accept)
	return w.speakers[tenant.Languages[i]]
}

// Speaker returns texts in one language, with times in one zone.
type Speaker struct {
	Language string
	messages *message.Catalogue
	zone     *time.Location
}

// At returns the speaker with times in a zone, by its IANA name; in UTC if it is empty or not known.
func (s *Speaker) At(zone string) *Speaker {
	return &Speaker{s.Language, s.messages, timetext.Zone(zone)}
}

// Zone returns the zone in which times are shown.
func (s *Speaker) Zone() *time.Location { return s.zone }

// Say returns a message with its placeholders filled from pairs of names and values. A value named Count selects the
// plural form.
func (s *Speaker) Say(id string, pairs ...any) (string, error) {
	for i, value := range pairs {
		if n, counted := value.(Counted); counted {
			pairs = slices.Clone(pairs)
			pairs[i] = message.Number{N: n.N, Text: s.Number(n)}
		}
	}
	return s.messages.Say(id, pairs...)
}

// Counted is the total of a list. Counting stops at input.MaxCount.
type Counted struct {
	N      int
	OrMore bool
}

// Count converts the total of a query's reply.
func Count(total uint64) Counted {
	return Counted{int(min(total, input.MaxCount)), total > input.MaxCount} // #nosec G115 -- at most input.MaxCount
}

// Less returns the remainder when n of them are shown elsewhere.
func (c Counted) Less(n int) Counted { return Counted{max(0, c.N-n), c.OrMore} }

// Number formats a total: 41, or "1,000+".
func (s *Speaker) Number(c Counted) string {
	text := printer.NewPrinter(textlanguage.Make(s.Language)).Sprint(c.N)
	if c.OrMore {
		text += "+"
	}
	return text
}

// Instant formats a time in the zone, with UTC beside it.
func (s *Speaker) Instant(t time.Time) string { return timetext.Short(s.Language, t, s.zone) }

// Stamp is Instant to the second.
func (s *Speaker) Stamp(t time.Time) string { return timetext.Stamp(s.Language, t, s.zone) }

// Day formats the day of a time, without the year.
func (s *Speaker) Day(t time.Time) string { return timetext.Day(s.Language, t, s.zone) }

// Clock formats the time of day.
func (s *Speaker) Clock(t time.Time) string { return timetext.Clock(s.Language, t, s.zone) }

// Duration formats a duration.
func (s *Speaker) Duration(d time.Duration) string { return timetext.Duration(s.Language, d) }
