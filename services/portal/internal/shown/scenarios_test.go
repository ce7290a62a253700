package shown

import (
	"slices"
	"testing"

	"github.com/openlockbox/lockbox/pkg/catalogue"
)

func TestScenariosWithWordsOfTheirOwnAreTheCatalogues(t *testing.T) {
	var known []string
	for _, s := range catalogue.Default().Services() {
		for _, each := range s.Scenarios {
			known = append(known, each.ID)
		}
	}
	for id := range scenarios {
		if !slices.Contains(known, id) {
			t.Errorf("the catalogue has no scenario %s", id)
		}
	}
}
