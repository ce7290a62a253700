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

// Overdue returns how many requests have a deadline that has passed without the event that follows from it, and the
// first of these deadlines.
func (v *Snapshot) Overdue(ctx context.Context, now time.Time) (n uint64, first time.Time, err error) {
	var due int64
	for text, into := range map[string]any{"count(*)": &n, "coalesce(min(due), 0)": &due} {
		err := v.one(ctx, "SELECT "+text+" FROM requests WHERE due > 0 AND due <= ?", []any{now.UnixNano()}, into)
		if err != nil {
			return 0, time.Time{}, v.store.checked(err)
		}
	}
	if n > 0 {
		first = time.Unix(0, due)
	}
	return n, first, nil
}
