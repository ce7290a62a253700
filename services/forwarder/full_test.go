package forwarder

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable/durabletest"
	"github.com/openlockbox/lockbox/services/forwarder/bookmark"
)

// While a cursor cannot be written, events arrive all the same, again and again; once it can, everything goes on.
func TestAFullDiskKeepsNoEventFromItsTarget(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.dir = durabletest.Disk(t, 4)
	free := durabletest.Fill(t, w.dir)
	key, public := w.key()
	hook := w.hook(public, func(int) int { return 200 })
	hook.Webhook.KeyFile = key
	w.happen(3)
	stop := w.run(hook)
	w.until(3)
	awaited := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s does not come", what)
			}
		}
	}
	awaited("a repetition", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.arrived) > 3
	})
	free()
	awaited("the cursor", func() bool {
		mark, found, err := bookmark.Read(filepath.Join(w.dir, "hook.json"))
		must(t, err)
		return found && mark.Sequence == 3
	})
	w.happen(2)
	w.until(5)
	must(t, stop())
}
