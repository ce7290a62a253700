package projection

import (
	"context"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
)

// CountRequests counts the requests that Requests lists on all pages together. It stops at input.MaxCount + 1, so that
// counting takes no longer among many requests than among few.
func (v *Snapshot) CountRequests(ctx context.Context, of Scope, f RequestFilter, now time.Time) (n uint64, err error) {
	in, empty, err := v.reach(ctx, of, f)
	if err != nil || empty {
		return 0, err
	}
	const most = input.MaxCount + 1
	var texts []string
	var args []any
	for _, run := range runs(in, of, f, now) {
		texts = append(texts, "SELECT * FROM (SELECT 1 "+run.text()+" LIMIT ?)")
		args = append(append(args, run.args...), most)
	}
	err = v.one(ctx, "SELECT count(*) FROM ("+strings.Join(texts, " UNION ALL ")+" LIMIT ?)", append(args, most), &n)
	return n, v.store.checked(err)
}
