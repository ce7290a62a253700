package arm

import (
	"slices"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
)

const (
	longestFilter = 2048 // bytes
	mostTerms     = 32
	deepestFilter = 16 // parentheses within parentheses
)

// term is one comparison in a $filter: eventTimestamp ge '2026-08-03T09:30:00Z'. The operator is in lower case. A
// string value is in single quotes, which are escaped by doubling; clients also send times and names without quotes.
type term struct {
	field, operator, value string
	quoted                 bool
}

// parseFilter parses the subset of OData that this API supports: comparisons combined by `and` and `or`, with `and`
// binding tighter, and parentheses; words in upper or lower case, and blanks only where they are needed. The result is
// in disjunctive normal form: a non-empty list of alternatives, each a list of terms that must all hold.
func parseFilter(s string) ([][]term, error) {
	if len(s) > longestFilter {
		return nil, refusal.OfKind(invalidFilter("is longer than %d bytes", longestFilter),
			"filter-too-long", "most", strconv.Itoa(longestFilter))
	}
	words, err := filterWords(s)
	if err != nil {
		return nil, err
	}
	p := &filterParser{words: words}
	alternatives, err := p.either(0)
	if err == nil && len(p.words) > 0 {
		err = errComparison()
	}
	return alternatives, err
}

func errComparison() error {
	return invalidFilter("is a comparison, or several with `and` and `or` between them: field operator 'value'. " +
		"Functions and `not` are not understood")
}

type filterParser struct{ words []word }

// next takes the next word if it is this one, in whatever case.
func (p *filterParser) next(text string) bool {
	if len(p.words) > 0 && !p.words[0].quoted && strings.EqualFold(p.words[0].text, text) {
		p.words = p.words[1:]
		return true
	}
	return false
}

func (p *filterParser) either(depth int) ([][]term, error) {
	alternatives, err := p.all(depth)
	for err == nil && p.next("or") {
		var more [][]term
		more, err = p.all(depth)
		alternatives = append(alternatives, more...)
		err = tooMany(alternatives, err)
	}
	return alternatives, err
}

func (p *filterParser) all(depth int) ([][]term, error) {
	alternatives, err := p.one(depth)
	for err == nil && p.next("and") {
		var more, both [][]term
		more, err = p.one(depth)
		for _, left := range alternatives {
			for _, right := range more {
				both = append(both, slices.Concat(left, right))
			}
		}
		alternatives, err = both, tooMany(both, err)
	}
	return alternatives, err
}

func tooMany(alternatives [][]term, err error) error {
	n := 0
	for _, terms := range alternatives {
		n += len(terms)
	}
	if err == nil && n > mostTerms {
		return refusal.OfKind(invalidFilter("has more than %d comparisons", mostTerms),
			"filter-comparisons", "most", strconv.Itoa(mostTerms))
	}
	return err
}

func (p *filterParser) one(depth int) ([][]term, error) {
	if p.next("(") {
		if depth == deepestFilter {
			return nil, refusal.OfKind(invalidFilter("has more than %d parentheses within each other", deepestFilter),
				"filter-parentheses", "most", strconv.Itoa(deepestFilter))
		}
		alternatives, err := p.either(depth + 1)
		if err == nil && !p.next(")") {
			err = refusal.OfKind(invalidFilter("a closing parenthesis is missing"), "filter-parenthesis")
		}
		return alternatives, err
	}
	if len(p.words) < 3 || p.words[0].quoted || p.words[1].quoted || slices.Contains(marks, p.words[2].mark()) {
		return nil, errComparison()
	}
	t := term{p.words[0].text, strings.ToLower(p.words[1].text), p.words[2].text, p.words[2].quoted}
	if !slices.Contains([]string{"eq", "ne", "gt", "ge", "lt", "le"}, t.operator) {
		return nil, errComparison()
	}
	p.words = p.words[3:]
	return [][]term{{t}}, nil
}

type word struct {
	text   string
	quoted bool
}

// marks are words without blanks around them.
var marks = []string{"(", ")", ","}

func (w word) mark() string {
	if w.quoted {
		return ""
	}
	return w.text
}

// filterWords splits at blanks, quotes and marks.
func filterWords(s string) ([]word, error) {
	var words []word
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		if s == "" {
			return words, nil
		}
		end := strings.IndexAny(s, " \t\r\n'(),")
		switch {
		case end < 0:
			end = len(s)
		case s[end] == '\'' && (end == 0 || strings.EqualFold(s[:end], "datetime") ||
			strings.EqualFold(s[:end], "datetimeoffset")): // as in version 3 of OData
			text, rest, err := quotedText(s[end+1:])
			if err != nil {
				return nil, err
			}
			words, s = append(words, word{text, true}), rest
			continue
		case end == 0:
			end = 1
		}
		words, s = append(words, word{text: s[:end]}), s[end:]
	}
}

// quotedText reads up to the closing quote.
func quotedText(s string) (text, rest string, err error) {
	var b strings.Builder
	for {
		end := strings.IndexByte(s, '\'')
		if end < 0 {
			return "", "", refusal.OfKind(invalidFilter("a value's closing quote is missing"), "filter-quote")
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
