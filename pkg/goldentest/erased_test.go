package goldentest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/story"
)

// R63: whatever is erased of a history, of all of it or of some of its events, it comes to the same state, and
// contradicts nothing.
func TestR63AnErasedHistoryFoldsToTheSame(t *testing.T) {
	modes := map[string]func(i int) bool{
		"all":       func(int) bool { return true },
		"every 2nd": func(i int) bool { return i%2 == 0 },
		"others":    func(i int) bool { return i%2 == 1 },
	}
	for _, all := range everyHistory {
		for end, files := range all {
			for mode, gone := range modes {
				t.Run(fmt.Sprint(end, " ", len(files), " ", mode), func(t *testing.T) {
					var history []invariant.Recorded
					for i, name := range files {
						data, err := os.ReadFile(filepath.Join(dir, name+".bin"))
						if err != nil {
							t.Fatal(err)
						}
						e, err := input.DecodeEvent(data)
						if err != nil {
							t.Fatal(err)
						}
						if gone(i) {
							e = story.Erased(e)
						}
						history = append(history, invariant.Recorded{Sequence: uint64(i) + 1, Event: e})
					}
					if got := folded(t, history); got != end {
						t.Errorf("it ends at %s, want %s", got, end)
					}
					if broken := invariant.Check(history); len(broken) > 0 {
						t.Error(broken)
					}
				})
			}
		}
	}
}
