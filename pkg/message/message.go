// Package message holds the texts that people read, in all languages, in catalogues: YAML files of messages by id.
//
//	decision.deny.says: "You deny {{.Requester}} {{.What}}: no access is given and the request ends."
//	decision.wrong.long:
//	  one: Write at most {{.Count}} character.
//	  other: Write at most {{.Count}} characters.
//
// A message is a text with placeholders, or one such form for each grammatical number, chosen by the value of Count.
// All languages must have the same messages with the same placeholders, otherwise the catalogues do not load. It is
// pure.
package message

import (
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Catalogue holds the messages of one language.
type Catalogue struct {
	// Tag is the BCP 47 language tag.
	Tag      string
	messages map[string]message
}

// message has two forms if the grammatical number matters; otherwise one is nil.
type message struct{ one, other form }

// form alternates text and placeholder names: text, name, text, … text.
type form []string

// count is the placeholder whose value selects the form.
const count = "Count"

// Number is a value of Count that is not displayed as a plain number.
type Number struct {
	N    int
	Text string
}

// Load reads the catalogues of all languages from the files that match a pattern, each named after its language:
// <language>.yaml or <part>.<language>.yaml.
func Load(files fs.FS, pattern string, languages []string) (map[string]*Catalogue, error) {
	all := map[string]*Catalogue{}
	for _, language := range languages {
		all[language] = &Catalogue{Tag: language, messages: map[string]message{}}
	}
	names, err := fs.Glob(files, pattern)
	if err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	for _, name := range names {
		parts := strings.Split(name[strings.LastIndexByte(name, '/')+1:], ".")
		c, known := all[parts[max(0, len(parts)-2)]]
		if !known {
			return nil, fmt.Errorf("messages: %s is of no language of ours", name)
		}
		data, err := fs.ReadFile(files, name)
		if err == nil {
			err = c.read(data)
		}
		if err != nil {
			return nil, fmt.Errorf("messages: %s: %w", name, err)
		}
	}
	for _, language := range languages[1:] {
		if err := all[language].agrees(all[languages[0]]); err != nil {
			return nil, fmt.Errorf("messages: %w", err)
		}
	}
	return all, nil
}

func (c *Catalogue) read(data []byte) error {
	var messages map[string]message
	if err := yaml.Unmarshal(data, &messages); err != nil {
		return err
	}
	for id, m := range messages {
		if _, twice := c.messages[id]; twice {
			return fmt.Errorf("another file has %q, too", id)
		}
		c.messages[id] = m
	}
	return nil
}

// UnmarshalYAML reads a text, or a mapping with both of its forms.
func (m *message) UnmarshalYAML(n *yaml.Node) (err error) {
	if n.Kind == yaml.ScalarNode {
		m.other, err = parse(n.Value)
		return err
	}
	var forms map[string]string
	if err := n.Decode(&forms); err != nil {
		return err
	}
	for name, text := range forms {
		f, err := parse(text)
		switch {
		case err != nil:
			return err
		case name == "one":
			m.one = f
		case name == "other":
			m.other = f
		default:
			return fmt.Errorf("line %d: there is no form %q", n.Line, name)
		}
	}
	if m.one == nil || m.other == nil {
		return fmt.Errorf("line %d: a message has both forms, one and other, or is a text", n.Line)
	}
	return nil
}

var placeholder = regexp.MustCompile(`\{\{\.([A-Z][A-Za-z]*)\}\}`)

func parse(text string) (f form, err error) {
	text = strings.Trim(text, "\n")
	end := 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		f = append(f, text[end:at[0]], text[at[2]:at[3]])
		end = at[1]
	}
	f = append(f, text[end:])
	for i := 0; i < len(f); i += 2 {
		if strings.Contains(f[i], "{{") || strings.Contains(f[i], "}}") {
			return nil, fmt.Errorf("%q has something in braces that is no placeholder", text)
		}
	}
	if text == "" {
		return nil, fmt.Errorf("a message is empty")
	}
	return f, nil
}

func (f form) placeholders() []string {
	var names []string
	for i := 1; i < len(f); i += 2 {
		names = append(names, f[i])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// agrees checks that the catalogue has the same messages and placeholders as that of another language.
func (c *Catalogue) agrees(with *Catalogue) error {
	for id, theirs := range with.messages {
		ours, there := c.messages[id]
		if want := theirs.other.placeholders(); !there {
			return fmt.Errorf("%q is not said in %s", id, c.Tag)
		} else if got := ours.other.placeholders(); !slices.Equal(got, want) {
			return fmt.Errorf("%q has the placeholders %v in %s, and %v in %s", id, got, c.Tag, want, with.Tag)
		}
	}
	for id := range c.messages {
		if _, there := with.messages[id]; !there {
			return fmt.Errorf("%q is not said in %s", id, with.Tag)
		}
	}
	return nil
}

// All iterates over the messages: the id and the plural form.
func (c *Catalogue) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, id := range slices.Sorted(maps.Keys(c.messages)) {
			var text strings.Builder
			for i, part := range c.messages[id].other {
				if i%2 == 1 {
					part = "{{." + part + "}}"
				}
				text.WriteString(part)
			}
			if !yield(id, text.String()) {
				return
			}
		}
	}
}

// Has reports whether there is such a message.
func (c *Catalogue) Has(id string) bool {
	_, has := c.messages[id]
	return has
}

// Say returns a message with its placeholders filled from pairs of names and values. Placeholders inside values are not
// expanded. A missing message, or a placeholder without a value, is an error.
func (c *Catalogue) Say(id string, pairs ...any) (string, error) {
	m, there := c.messages[id]
	if !there {
		return "", fmt.Errorf("messages: there is no %q in %s", id, c.Tag)
	}
	f := m.other
	if m.one != nil && singular(c.Tag, number(value(pairs, count))) {
		f = m.one
	}
	var said strings.Builder
	for i, part := range f {
		if i%2 == 0 {
			said.WriteString(part)
			continue
		}
		switch v := value(pairs, part).(type) {
		case nil:
			return "", fmt.Errorf("messages: %q in %s has no value for %s", id, c.Tag, part)
		case string:
			said.WriteString(v)
		case Number:
			said.WriteString(v.Text)
		default:
			fmt.Fprint(&said, v)
		}
	}
	return said.String(), nil
}

func value(pairs []any, name string) any {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == name {
			return pairs[i+1]
		}
	}
	return nil
}

func number(v any) int {
	switch n := v.(type) {
	case int:
		return n
	case Number:
		return n.N
	}
	return -1
}

// singular reports whether a language uses the singular for n (CLDR's plural rules, as far as the supported languages
// and non-negative integers need them).
func singular(language string, n int) bool { return n == 1 || n == 0 && language == "fr" }
