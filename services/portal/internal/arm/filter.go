package arm

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
)

const (
	longestFilter = 2048 // bytes
	mostTerms     = 32
)

// term is one comparison in a $filter: eventTimestamp ge '2026-08-03T09:30:00Z'. A string value is in single quotes,
// which are escaped by doubling; clients also send times and names without quotes.
type term struct {
	field, operator, value string
	quoted                 bool
}

// parseFilter parses the subset of OData that this API supports: comparisons combined by `and` and `or`, with `and`
// binding tighter. The result is in disjunctive normal form: a non-empty list of alternatives, each a list of terms
// that must all hold.
func parseFilter(s string) ([][]term, error) {
	if len(s) > longestFilter {
		return nil, invalidFilter("is longer than %d bytes", longestFilter)
	}
	words, err := filterWords(s)
	if err != nil {
		return nil, err
	}
	alternatives := [][]term{nil}
	for n := 0; ; n++ {
		if len(words) < 3 || words[0].quoted || words[1].quoted {
			return nil, invalidFilter("is a comparison, or several with `and` and `or` between them: field operator 'value'")
		}
		if n == mostTerms {
			return nil, invalidFilter("has more than %d comparisons", mostTerms)
		}
		last := len(alternatives) - 1
		alternatives[last] = append(alternatives[last], term{words[0].text, words[1].text, words[2].text, words[2].quoted})
		if words = words[3:]; len(words) == 0 {
			return alternatives, nil
		}
		switch words[0] {
		case word{text: "and"}:
		case word{text: "or"}:
			alternatives = append(alternatives, nil)
		default:
			return nil, invalidFilter("between two comparisons stands `and` or `or`, in lower case; parentheses, functions and `not` are not understood")
		}
		words = words[1:]
	}
}

type word struct {
	text   string
	quoted bool
}

// filterWords splits at spaces outside quotes.
func filterWords(s string) ([]word, error) {
	var words []word
	for {
		s = strings.TrimLeft(s, " ")
		if s == "" {
			return words, nil
		}
		if s[0] != '\'' {
			end := strings.IndexByte(s, ' ')
			if end < 0 {
				end = len(s)
			}
			if strings.ContainsAny(s[:end], "'(),") {
				return nil, invalidFilter("parentheses, functions and lists are not understood, and a quote stands before a value and after it")
			}
			words, s = append(words, word{text: s[:end]}), s[end:]
			continue
		}
		text, rest, err := quotedText(s[1:])
		if err != nil {
			return nil, err
		}
		if rest != "" && rest[0] != ' ' {
			return nil, invalidFilter("after a value's closing quote comes a space")
		}
		words, s = append(words, word{text, true}), rest
	}
}

// quotedText reads up to the closing quote.
func quotedText(s string) (text, rest string, err error) {
	var b strings.Builder
	for {
		end := strings.IndexByte(s, '\'')
		if end < 0 {
			return "", "", invalidFilter("a value's closing quote is missing")
		}
		b.WriteString(s[:end])
		if s = s[end+1:]; s == "" || s[0] != '\'' {
			return b.String(), s, nil
		}
		b.WriteByte('\'')
		s = s[1:]
	}
}

func invalidFilter(format string, args ...any) error {
	return refusal.Invalid("$filter", rule, format, args...)
}
