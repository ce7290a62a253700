package strict

import (
	"strings"
	"testing"
)

func TestMistakesAreErrorsAtTheirLine(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"unknown key", "name: a\nstge: b\n", `f.yaml:2: unknown key "stge"; did you mean "stage"?`},
		{"unknown key, nothing near", "name: a\nxyzzy: b\n", `f.yaml:2: unknown key "xyzzy"`},
		{"key twice", "name: a\nname: b\n", `f.yaml:2: key "name" is given twice, first in line 1`},
		{"merge key", "<<: {name: a}\n", `f.yaml:1: a key is a plain word`},
		{"not a mapping", "- a\n", `f.yaml:1: want keys with values, got a list`},
		{"two documents", "name: a\n---\nname: b\n", `f.yaml: holds more than one document`},
		{"broken", "name: [\n", `f.yaml: yaml: `},
		{"too long", strings.Repeat("#", MaxFile+1), `at most`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse("f.yaml", []byte(tt.yaml))
			if err == nil {
				_, err = f.Mapping(f.Root(), "name", "stage")
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestValuesOfTheWrongKind(t *testing.T) {
	f, err := Parse("f.yaml", []byte("a: &x yes\nb: *x\nc: 1\nd: [1]\ne: true\nf:\n"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := f.Mapping(f.Root(), "a", "b", "c", "d", "e", "f")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := f.String(m["a"]); s != "yes" || err != nil {
		t.Errorf("a plain yes is a text in YAML 1.2: %q, %v", s, err)
	}
	for key, want := range map[string]string{"b": "got an alias", "c": "got a number", "d": "got a list",
		"e": "got a truth value", "f": "got nothing"} {
		if _, err := f.String(m[key]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s as a text: %v, want %s", key, err, want)
		}
		if _, err := f.List(m[key]); (err == nil) != (key == "d") {
			t.Errorf("%s as a list: %v", key, err)
		}
		if _, err := f.Bool(m[key]); (err == nil) != (key == "e") {
			t.Errorf("%s as a truth value: %v", key, err)
		}
	}
}
