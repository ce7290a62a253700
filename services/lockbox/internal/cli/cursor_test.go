package cli

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A process may end at any moment: after an event was written and not flushed, flushed and not kept, or kept.
func TestWithACursorEachEventIsThereOnceWhateverEndsIt(t *testing.T) {
	const events = 400
	random := rand.New(rand.NewPCG(3, 4)) // #nosec G404 -- the same in each run
	var want strings.Builder
	for i := 1; i <= events; i++ {
		fmt.Fprintf(&want, "event %d\n", i)
	}
	name, file := filepath.Join(t.TempDir(), "cursor"), filepath.Join(t.TempDir(), "out")
	clock := time.Now()
	now := func() time.Time { return clock }
	last, ended := uint64(0), 0
	for last < events {
		c, err := openCursor(name, file, now)
		must(t, err)
		out := bufio.NewWriterSize(c.out, 64)
		for i := c.at.Sequence + 1; i <= events; i++ {
			_, err := fmt.Fprintf(out, "event %d\n", i)
			must(t, err)
			clock = clock.Add(time.Duration(random.IntN(300)) * time.Millisecond)
			must(t, c.passed(i, out.Flush))
			if random.IntN(40) == 0 {
				ended++
				break
			}
			if i == events {
				must(t, c.keep(out.Flush))
			}
		}
		must(t, c.close()) // and nothing of what is buffered is written
		again, err := os.ReadFile(name)
		must(t, err)
		_, err = fmt.Sscanf(string(again[strings.Index(string(again), `"sequence": "`):]), `"sequence": "%d"`, &last)
		must(t, err)
	}
	got, err := os.ReadFile(file)
	must(t, err)
	if string(got) != want.String() || ended < 5 {
		t.Errorf("after %d ends, the file holds %d bytes of %d, or others", ended, len(got), want.Len())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
