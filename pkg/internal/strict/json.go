package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// maxDepth is how deep JSON may be nested.
const maxDepth = 100

// ParseJSON reads one JSON value as the YAML document that means the same. YAML is no superset of JSON in practice:
// tabs and escaped surrogate pairs, which many programs write, are no YAML.
func ParseJSON(name string, data []byte) (*File, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%s: is %d bytes long; at most %d are read", name, len(data), MaxFile)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	r := jsonReader{d, data}
	root, err := r.value(0)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return &File{name: name, root: root}, nil
		}
		err = errors.New("something follows the value")
	}
	return nil, fmt.Errorf("%s:%d: %w", name, r.line(), err)
}

type jsonReader struct {
	*json.Decoder
	data []byte
}

func (r jsonReader) line() int {
	return 1 + bytes.Count(r.data[:min(int(r.InputOffset()), len(r.data))], []byte("\n"))
}

// value reads the next value. Names that are given twice are found by Entries.
func (r jsonReader) value(depth int) (*yaml.Node, error) {
	token, err := r.Token()
	if err != nil || depth > maxDepth {
		return nil, errors.Join(err, tooDeep(depth))
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: r.line()}
	switch t := token.(type) {
	case json.Delim:
		n.Kind = yaml.SequenceNode
		if t == '{' {
			n.Kind = yaml.MappingNode
		}
		for r.More() {
			inner, err := r.value(depth + 1) // in an object, names and values by turns
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, inner)
		}
		_, err = r.Token()
		return n, err
	case string:
		n.Tag, n.Value = "!!str", t
	case json.Number:
		n.Tag, n.Value = "!!float", t.String()
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(t)
	default:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, nil
}

func tooDeep(depth int) error {
	if depth > maxDepth {
		return errors.New("is nested too deep")
	}
	return nil
}
