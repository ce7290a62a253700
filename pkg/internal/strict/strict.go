// Package strict reads hand-written YAML so that every mistake is an error with its line and never a silent default: an
// unknown or duplicate key, an alias, a second document, a value of the wrong type. It is pure.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/input"
	"go.yaml.in/yaml/v3"
)

// MaxFile is the maximum size of a file, in bytes.
const MaxFile = 1 << 20

// File is a YAML document with its file name for errors.
type File struct {
	name string
	root *yaml.Node
}

// Parse reads one document. Root is nil if it is empty.
func Parse(name string, data []byte) (*File, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%s: is %d bytes long; at most %d are read", name, len(data), MaxFile)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return &File{name: name}, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: holds more than one document", name)
	}
	return &File{name: name, root: doc.Content[0]}, nil
}

// Root is the document's content; nil if there is none.
func (f *File) Root() *yaml.Node { return f.root }

// Errorf returns an error with n's line.
func (f *File) Errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", f.name, n.Line, fmt.Sprintf(format, args...))
}

// Mapping returns n's values by key. A duplicate key, or one that is not in known, is an error.
func (f *File) Mapping(n *yaml.Node, known ...string) (map[string]*yaml.Node, error) {
	entries, err := f.Entries(n)
	if err != nil {
		return nil, err
	}
	m := make(map[string]*yaml.Node, len(entries))
	for _, e := range entries {
		if !slices.Contains(known, e.Key.Value) {
			return nil, f.Errorf(e.Key, "unknown key %q%s", e.Key.Value, input.DidYouMean(e.Key.Value, known))
		}
		m[e.Key.Value] = e.Value
	}
	return m, nil
}

// Entry is one key of a mapping with its value.
type Entry struct{ Key, Value *yaml.Node }

// Entries returns n's keys and values in order. Any keys are allowed; a duplicate is an error.
func (f *File) Entries(n *yaml.Node) ([]Entry, error) {
	if n.Kind != yaml.MappingNode {
		return nil, f.Errorf(n, "want keys with values, got %s", kind(n))
	}
	seen := make(map[string]int)
	var entries []Entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			return nil, f.Errorf(k, "a key is a plain word, got %s", kind(k))
		}
		if line, twice := seen[k.Value]; twice {
			return nil, f.Errorf(k, "key %q is given twice, first in line %d", k.Value, line)
		}
		seen[k.Value] = k.Line
		entries = append(entries, Entry{k, n.Content[i+1]})
	}
	return entries, nil
}

// List returns n's elements.
func (f *File) List(n *yaml.Node) ([]*yaml.Node, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, f.Errorf(n, "want a list, got %s", kind(n))
	}
	return n.Content, nil
}

// String returns a string. A value that YAML would read as a number or boolean must be quoted.
func (f *File) String(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		return "", f.Errorf(n, "want a text (in quotes if it looks like something else), got %s", kind(n))
	}
	return n.Value, nil
}

// Bool returns true or false.
func (f *File) Bool(n *yaml.Node) (bool, error) {
	var b bool
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(&b) != nil {
		return false, f.Errorf(n, "want true or false, got %s", kind(n))
	}
	return b, nil
}

// Scalar returns a single value as written.
func (f *File) Scalar(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", f.Errorf(n, "want a single value, got %s", kind(n))
	}
	return n.Value, nil
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias, which is not allowed"
	case yaml.ScalarNode, yaml.DocumentNode:
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "a truth value"
	case "!!int", "!!float":
		return "a number"
	case "!!str":
		return "a text"
	}
	return strings.TrimLeft(n.Tag, "!")
}
