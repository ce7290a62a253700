package render

import (
	"strings"
	"testing"

	rules "github.com/openlockbox/lockbox/pkg"
)

func TestRulesFitTheTerminal(t *testing.T) {
	all := rules.All()
	for _, columns := range []int{60, 80} {
		look := Look{Width: columns, Color: true}
		printed := Rules(look, all) + RuleList(look, all)
		for line := range strings.Lines(printed) {
			if line = strings.TrimSuffix(line, "\n"); width(line) > columns {
				t.Errorf("wider than %d columns: %s", columns, line)
			}
		}
		for _, r := range all {
			if strings.Count(printed, r.Title) < 2 {
				t.Errorf("%s is not printed or not listed", r.ID)
			}
		}
	}
}
