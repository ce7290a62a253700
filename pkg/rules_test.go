package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Numbers are never given up or reused, so the document has all of them in order.
func TestTheDocumentHasEveryRuleAndInvariant(t *testing.T) {
	var want, got []string
	for i := range 69 {
		want = append(want, fmt.Sprintf("R%d", i+1))
	}
	for i := range 23 {
		want = append(want, fmt.Sprintf("I%d", i+1))
	}
	for _, r := range All() {
		got = append(got, r.ID)
		for _, text := range slices.Concat([]string{r.Text}, r.Missing, r.Notes) {
			if !strings.HasSuffix(text, ".") || strings.Contains(text, "  ") {
				t.Errorf("%s: not whole sentences: %q", r.ID, text)
			}
		}
		if r.Section == "" {
			t.Errorf("%s is in no section", r.ID)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParse(t *testing.T) {
	got, err := parse(`# Title

## One

- **R1 First** (built): It is
  so.
- **R2 Second** (partly): It is half so.
  - Missing: the other
    half.
  - Note: no more.

Prose that
  belongs to nothing.

## Two

- **I1 Third** (not yet): It is not so.
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Rule{
		{ID: "R1", Title: "First", Section: "One", Status: Built, Text: "It is so."},
		{
			ID: "R2", Title: "Second", Section: "One", Status: Partly, Text: "It is half so.",
			Missing: []string{"the other half."}, Notes: []string{"no more."},
		},
		{ID: "I1", Title: "Third", Section: "Two", Status: NotYet, Text: "It is not so."},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestADocumentThatContradictsItselfIsRefused(t *testing.T) {
	const first = "- **R1 First** "
	for text, says := range map[string]string{
		first + "(done): It is so.\n": "not a rule",
		"- It is so.\n":               "not a rule",
		first + "(built): It is so.\n" + first + "(built): It is so.\n": "defined twice",
		first + "(partly): It is so.\n":                                 "R1 is partly, but lists 0 things",
		first + "(built): It is so.\n  - Missing: something.\n":         "R1 is built, but lists 1 things",
		first + "(built): It is so.\n  - Todo: something.\n":            "neither Missing nor Note",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}
