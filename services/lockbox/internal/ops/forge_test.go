package ops

import (
	"context"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
)

// No keys of anything but a demo are taken to forge with. What a forged approval comes to is in the test that types
// what the documents say.
func TestApprovalsAreForgedInADemoAlone(t *testing.T) {
	const id = "01a22ead-01f6-7d42-b366-d8d2b2ca0921"
	none, real := t.TempDir(), t.TempDir()
	must(t, runinfo.Write(real, runinfo.Info{NATSURL: "nats://127.0.0.1:1", KeysDir: real}))
	for name, c := range map[string]struct {
		dir, says string
		code      int
	}{
		"where nothing runs": {none, "no Lockbox runs", 9},
		"where it is real":   {real, "is not a demo", 5},
	} {
		if code, _, errs := lockbox(context.Background(), "demo", "forge", id, "--data", c.dir); code != c.code ||
			!strings.Contains(errs, c.says) {
			t.Errorf("%s: %d, %s", name, code, errs)
		}
	}
}
