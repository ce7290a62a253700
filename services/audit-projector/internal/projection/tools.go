package projection

import (
	"context"
	"errors"
)

// ToolEvent is an event of a request that an engineering tool submitted.
type ToolEvent struct {
	Tool     string
	Sequence uint64
	// Request is the sequence of the request's first event.
	Request uint64
}

// ToolEvents lists the events of the requests that a tool submitted, after one sequence and up to another, oldest
// first. An empty name means all tools. It looks at every event in between, so they should not be too far apart.
func (v *Snapshot) ToolEvents(
	ctx context.Context, tool string, after, through uint64, limit int,
) (list []ToolEvent, err error) {
	q := newSelect("SELECT r.tool, e.seq, e.about FROM events e CROSS JOIN requests r ON r.seq = e.about")
	q.and("e.seq > ? AND e.seq <= ? AND e.kind = 'request'", after, through)
	if tool != "" {
		q.and("r.tool = ?", tool)
	}
	rows, err := v.query(ctx, q.text()+" ORDER BY e.seq LIMIT ?", append(q.args, limit)...)
	if err != nil {
		return nil, v.store.checked(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e ToolEvent
		if err := rows.Scan(&e.Tool, &e.Sequence, &e.Request); err != nil {
			return nil, v.store.checked(err)
		}
		list = append(list, e)
	}
	return list, v.store.checked(rows.Err())
}
