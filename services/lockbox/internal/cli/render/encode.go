package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// JSON encodes a message as protobuf JSON (field names as in the .proto files, times in UTC). Empty fields are
// included, so that programs find every field.
func JSON(m proto.Message) (string, error) {
	raw, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return "", err
	}
	return indentJSON(raw)
}

// ValueJSON encodes a value that is not a protobuf message.
func ValueJSON(v any) (string, error) {
	raw, err := marshal(v)
	if err != nil {
		return "", err
	}
	return indentJSON(raw)
}

func indentJSON(raw []byte) (string, error) {
	var b bytes.Buffer
	// protojson deliberately varies its white space between builds.
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return "", err
	}
	return escape(strings.TrimSuffix(b.String(), "\n")) + "\n", nil
}

// List writes a JSON object with one list, as ValueJSON would, entry by entry.
type List struct {
	to    io.Writer
	name  string
	begun bool
}

// NewList returns a list that is the member of that name.
func NewList(to io.Writer, name string) *List { return &List{to: to, name: name} }

// Add writes one more entry.
func (l *List) Add(v any) error {
	raw, err := marshal(v)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if b.WriteString(",\n    "); !l.begun {
		b.Reset()
		fmt.Fprintf(&b, "{\n  %q: [\n    ", l.name)
	}
	l.begun = true
	if err := json.Indent(&b, bytes.TrimSuffix(raw, []byte("\n")), "    ", "  "); err != nil {
		return err
	}
	_, err = io.WriteString(l.to, escape(b.String()))
	return err
}

// Close ends the list.
func (l *List) Close() error {
	end := "\n  ]\n}\n"
	if !l.begun {
		end = fmt.Sprintf("{\n  %q: []\n}\n", l.name)
	}
	_, err := io.WriteString(l.to, end)
	return err
}

// RecordJSON encodes a message without empty fields: stored events are shown as they are. The result has no line
// breaks and can be embedded in another value.
func RecordJSON(m proto.Message) (json.RawMessage, error) {
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, err
	}
	return json.RawMessage(escape(b.String())), nil
}

// Line encodes a value as one line of JSON.
func Line(v any) (string, error) {
	raw, err := marshal(v)
	return escape(string(raw)), err
}

// marshal encodes a value and appends a line break. It does not escape < and >, because the output is not HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// YAML converts JSON to YAML and keeps the order of fields.
func YAML(jsonText string) (string, error) {
	d := json.NewDecoder(strings.NewReader(jsonText))
	d.UseNumber()
	doc, err := node(d)
	if err != nil {
		return "", fmt.Errorf("writing YAML: %w", err)
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(doc); err != nil {
		return "", fmt.Errorf("writing YAML: %w", err)
	}
	return escapeAs(b.String(), yamlEscape), nil
}

// node decodes the next JSON value as a YAML node, because Go's maps would lose the order of fields.
func node(d *json.Decoder) (*yaml.Node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if t == '{' {
			n.Kind = yaml.MappingNode
		}
		for d.More() {
			// Object keys are decoded like values.
			child, err := node(d)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
		_, err := d.Token()
		return n, err
	case string:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: t}
		if strings.ContainsFunc(t, mustEscape) || ambiguous(t) {
			n.Style = yaml.DoubleQuotedStyle
		}
		return n, nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: t.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatBool(t)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// ambiguous reports whether an unquoted text would be parsed as another type.
func ambiguous(s string) bool {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(s), &n); err != nil || len(n.Content) != 1 {
		return true
	}
	return n.Content[0].Kind != yaml.ScalarNode || n.Content[0].Tag != "!!str"
}

// mustEscape reports characters that JSON and YAML allow but that could control a terminal.
func mustEscape(r rune) bool {
	return (r < ' ' || r > '~') && r != '\n' && r != '\t' && !harmless(r) // most are plain: no table is needed for them
}

// escape replaces such characters by JSON escapes; they can occur only in quoted strings.
func escape(jsonText string) string { return escapeAs(jsonText, jsonEscape) }

func escapeAs(s string, write func(rune) string) string {
	if !strings.ContainsFunc(s, mustEscape) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if mustEscape(r) {
			b.WriteString(write(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func jsonEscape(r rune) string {
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

func yamlEscape(r rune) string {
	if r > 0xFFFF {
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
