package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// JSON writes a message as protobuf's JSON (field names as in the .proto files, times in UTC), with empty fields, so
// that a program finds every field that it looks for.
func JSON(m proto.Message) (string, error) {
	raw, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return "", err
	}
	return indentJSON(raw)
}

// ValueJSON is JSON for what is no protobuf message.
func ValueJSON(v any) (string, error) {
	raw, err := marshal(v)
	if err != nil {
		return "", err
	}
	return indentJSON(raw)
}

func indentJSON(raw []byte) (string, error) {
	var b bytes.Buffer
	// protojson's own blanks differ from build to build on purpose.
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return "", err
	}
	return escape(strings.TrimSuffix(b.String(), "\n")) + "\n", nil
}

// RecordJSON writes a message as JSON with what it holds and nothing else: for stored events, which are shown as they
// are. It is one line's worth, to be part of another value.
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

// Line writes a value as JSON on one line.
func Line(v any) (string, error) {
	raw, err := marshal(v)
	return escape(string(raw)), err
}

// marshal writes JSON and a line break, and leaves < and > as they are: this is no web page.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// YAML writes JSON as YAML with its fields in the same order.
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

// node reads the next JSON value. Maps of Go would lose the order of the fields.
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
			// A field's name is a value like any other here.
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

// ambiguous reports whether a text would be read as something else without quotes.
func ambiguous(s string) bool {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(s), &n); err != nil || len(n.Content) != 1 {
		return true
	}
	return n.Content[0].Kind != yaml.ScalarNode || n.Content[0].Tag != "!!str"
}

// mustEscape finds what could steer a terminal although JSON and YAML allow it.
func mustEscape(r rune) bool { return r != '\n' && r != '\t' && !harmless(r) }

// escape writes such characters as JSON does: they only stand inside of quotes.
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
