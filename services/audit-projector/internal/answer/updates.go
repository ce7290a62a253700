package answer

import (
	"context"
	"errors"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// window is how many events of the stream one answer looks at.
	window = 20_000
	// mostUpdates is the largest number of updates in one answer, and usualUpdates the number if none is named.
	mostUpdates, usualUpdates = 1000, 100
)

// ToolUpdate is an update with the tool that it is for.
type ToolUpdate struct {
	Tool string
	*lockboxv1.ToolUpdate
}

// ToolLane returns the lane in which a tool's question waits.
func (*Answerer) ToolLane(subject string, _ []byte) (lane string, known bool) { return subject, true }

// AnswerTool answers a tool that asks what happened to its requests (R68). The subject says which tool asks: the bus
// lets nobody else publish there. There is always a reply; the error explains a refusal in it.
func (a *Answerer) AnswerTool(ctx context.Context, subject string, data []byte) (*lockboxv1.UpdateList, error) {
	list, err := a.toolsOwn(ctx, subject, data)
	if err != nil {
		return &lockboxv1.UpdateList{Refusal: refusal.Of(err)}, err
	}
	return list, nil
}

func (a *Answerer) toolsOwn(ctx context.Context, subject string, data []byte) (*lockboxv1.UpdateList, error) {
	if err := a.Healthy(); err != nil {
		return nil, err
	}
	tool, err := bus.ParseUpdatesSubject(subject)
	if err != nil {
		return nil, err
	}
	ask := new(lockboxv1.ListUpdates)
	if err := input.Decode(data, ask); err != nil {
		return nil, err
	}
	limit := int(ask.GetLimit())
	switch {
	case limit > mostUpdates:
		return nil, refusal.OfKind(
			refusal.Invalid("limit", "bad input", "must be at most %d", mostUpdates),
			"limit", "most", strconv.Itoa(mostUpdates))
	case limit == 0:
		limit = usualUpdates
	}
	updates, through, newest, err := a.Updates(ctx, tool, ask.GetAfter(), limit)
	list := &lockboxv1.UpdateList{Through: through, More: through < newest}
	for _, u := range updates {
		list.Updates = append(list.Updates, u.ToolUpdate)
	}
	return list, err
}

// Updates returns what happened after a sequence to the requests that a tool submitted; an empty name means all tools.
// It returns up to which sequence it looked, and the newest that there is.
func (a *Answerer) Updates(
	ctx context.Context, tool string, after uint64, limit int,
) (updates []ToolUpdate, through, newest uint64, err error) {
	snapshot, err := a.Store.Snapshot(ctx)
	if err != nil {
		return nil, 0, 0, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	newest = snapshot.Sequence()
	if after >= newest {
		return nil, after, newest, nil
	}
	through = after + min(window, newest-after)
	found, err := snapshot.ToolEvents(ctx, tool, after, through, limit)
	if err != nil {
		return nil, 0, 0, err
	}
	if len(found) == limit {
		through = found[limit-1].Sequence
	}
	tools, rows := map[uint64]string{}, []projection.Row(nil)
	for _, e := range found {
		if _, seen := tools[e.Request]; !seen {
			rows = append(rows, projection.Row{Sequence: e.Request})
		}
		tools[e.Request] = e.Tool
	}
	history, err := snapshot.History(ctx, rows, false)
	if err != nil {
		return nil, 0, 0, err
	}
	said := map[uint64]*lockboxv1.ToolUpdate{}
	for _, events := range history {
		updatesOf(events, said)
	}
	for _, e := range found {
		updates = append(updates, ToolUpdate{e.Tool, said[e.Sequence]})
	}
	return updates, through, newest, nil
}

// updatesOf folds a request and says, by sequence, how it stood after each of its events. It says nothing that people
// wrote.
func updatesOf(events []projection.Event, said map[uint64]*lockboxv1.ToolUpdate) {
	var s request.State
	for _, e := range events {
		s = request.Evolve(s, e.Sequence, e.Event)
		u := &lockboxv1.ToolUpdate{
			RequestId: e.Event.GetAggregateId(), Tenant: e.Event.GetTenant(), Sequence: e.Sequence,
			EventType: aggregate.TypeOf(e.Event), Time: e.Event.GetTime(), Status: s.Status,
		}
		if due := request.DecidedBy(s, e.Event.GetTime().AsTime()); !due.IsZero() {
			u.Deadline = timestamppb.New(due)
		}
		u.NextStep, _ = request.Next(s)
		said[e.Sequence] = u
	}
}
