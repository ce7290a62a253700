package fact_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/fact"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// paper is the table of facts as FORMATS.md has it: of each kind and writer the types with the numbers of their fields.
func paper() (rows []string) {
	numbers := map[string]int{}
	fields := (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	for i := range fields.Len() {
		numbers[string(fields.Get(i).Message().Name())] = int(fields.Get(i).Number())
	}
	type group struct {
		kind   string
		writer fact.Writer
	}
	var order []group
	types := map[group][]string{}
	for _, f := range fact.Facts() {
		g := group{f.Kind, f.Writer}
		if !slices.Contains(order, g) {
			order = append(order, g)
		}
		types[g] = append(types[g], fmt.Sprintf("%d %s", numbers[f.Type], f.Type))
	}
	for _, g := range order {
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |", g.kind, g.writer, strings.Join(types[g], ", ")))
	}
	return rows
}

// TestThePaperHasTheTableOfFacts: whoever writes another verifier from the paper has to know which field is which type,
// and who writes it.
func TestThePaperHasTheTableOfFacts(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "merkle", "FORMATS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range paper() {
		if !strings.Contains(string(text), row+"\n") {
			t.Errorf("FORMATS.md has no row\n%s", row)
		}
	}
}

// TestEachFieldIsAFact: no field of an event is without a row.
func TestEachFieldIsAFact(t *testing.T) {
	fields := (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	for i := range fields.Len() {
		typ := string(fields.Get(i).Message().Name())
		if !slices.ContainsFunc(fact.Facts(), func(f fact.Fact) bool { return f.Type == typ }) {
			t.Errorf("nobody writes %s", typ)
		}
	}
}
