package forwarder

import (
	"context"
	"fmt"
	"slices"

	"github.com/openlockbox/lockbox/pkg/accesstext"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/forwarder/bookmark"
)

// stream is what a target follows.
type stream interface {
	// follow passes on what has a sequence of at least from, until ctx ends: a message, or nil if the target does not want
	// it, and how many more there are.
	follow(ctx context.Context, from uint64, handle func(sequence, pending uint64, m *message) error) error
	// check makes sure, once and for all, that a mark is of this stream.
	check(ctx context.Context, m *bookmark.Mark, name string) error
	// resume does so before each attempt to follow.
	resume(ctx context.Context, m *bookmark.Mark) error
}

// events is the stream of events.
type events struct {
	source  bookmark.Source
	entries bookmark.Entries
	target  Target
	// row returns an entry as it is sent, nil if it is left out; if row is nil, in the target's format.
	row func(ctx context.Context, e journal.Entry, a *lockboxv1.Activity) ([]byte, error)
}

func (s *events) check(ctx context.Context, m *bookmark.Mark, name string) error {
	return m.Check(ctx, s.source, name)
}

func (*events) resume(context.Context, *bookmark.Mark) error { return nil }

func (s *events) follow(
	ctx context.Context, from uint64, handle func(sequence, pending uint64, m *message) error,
) error {
	r := journal.Replay{From: from, Tenant: s.target.Tenant, Kind: s.target.Kind, Follow: true}
	return s.source.Replay(ctx, r, func(e journal.Entry) error {
		m, err := s.message(ctx, e)
		if err != nil {
			return err
		}
		return handle(e.Seq, e.Pending, m)
	})
}

func (s *events) message(ctx context.Context, e journal.Entry) (*message, error) {
	typ := aggregate.TypeOf(e.Event)
	if len(s.target.Types) > 0 && !slices.Contains(s.target.Types, typ) {
		return nil, nil //nolint:nilnil // it is not wanted
	}
	entry, err := s.entries.Of(ctx, e)
	if err != nil {
		return nil, err
	}
	var row []byte
	if s.row != nil {
		row, err = s.row(ctx, e, entry)
	} else {
		row, err = s.target.format.Row(entry)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("event %d: %w", e.Seq, err)
	case row == nil:
		return nil, nil //nolint:nilnil // it is left out
	}
	return &message{
		sequence: e.Seq, id: e.Event.GetId(), typ: typ, tenant: e.Event.GetTenant(), request: entry.GetRequestId(),
		about: e.Event.GetTenant() + " " + e.Event.GetKind() + " " + e.Event.GetAggregateId(),
		time:  e.Event.GetTime().AsTime(), row: row,
	}, nil
}

// accesses is the stream of access records (R69).
type accesses struct {
	source  Source
	entries bookmark.Entries
	target  Target
}

// check leaves it to resume: on a bus that has no such stream yet, or not the right to read it, events must go on.
func (*accesses) check(context.Context, *bookmark.Mark, string) error { return nil }

// resume lets a mark of another stream begin anew: records are gone after a while, so the stream is not known by its
// first, and one that was created again has lost them all.
func (s *accesses) resume(ctx context.Context, m *bookmark.Mark) error {
	created, _, err := s.source.AccessStream(ctx)
	if err != nil {
		return err
	}
	if m.Stream != created {
		*m = bookmark.Mark{Stream: created}
	}
	return nil
}

func (s *accesses) follow(
	ctx context.Context, from uint64, handle func(sequence, pending uint64, m *message) error,
) error {
	return s.source.ReplayAccess(ctx, from, true, func(e journal.AccessEntry) error {
		m, err := s.message(ctx, e)
		if err != nil {
			return err
		}
		return handle(e.Seq, e.Pending, m)
	})
}

func (s *accesses) message(ctx context.Context, e journal.AccessEntry) (*message, error) {
	r := e.Record
	if r == nil {
		return nil, nil //nolint:nilnil // the journal has raised the alarm
	}
	typ := accesstext.Type(r.GetKind())
	if len(s.target.Types) > 0 && !slices.Contains(s.target.Types, typ) ||
		s.target.Tenant != "" && s.target.Tenant != r.GetTenant() {
		return nil, nil //nolint:nilnil // it is not wanted
	}
	if began := export.AboutAccess(r); began.ID != "" {
		first, err := s.entries.First(ctx, began)
		if err != nil {
			return nil, err
		}
		export.AccessBegun(r, first)
	}
	row, err := s.target.format.Access(e.Seq, r)
	if err != nil {
		return nil, fmt.Errorf("access record %d: %w", e.Seq, err)
	}
	m := &message{sequence: e.Seq, id: r.GetId(), typ: typ, tenant: r.GetTenant(), about: r.GetId(),
		time: r.GetTime().AsTime(), row: row}
	if r.GetAboutKind() == aggregate.KindRequest {
		m.request = r.GetAboutId()
	}
	return m, nil
}

// KindAccess selects access records as a target's kind, as if they were about an aggregate.
const KindAccess = "access"

// accessName is the name of a target's part for access records, in file names, logs and metrics. No target can have it.
func accessName(target string) string { return target + "." + KindAccess }

// events reports whether the target wants any events.
func (t Target) events() bool {
	return t.Kind != KindAccess && (len(t.Types) == 0 || slices.ContainsFunc(t.Types, func(typ string) bool {
		return accesstext.OfType(typ) == lockboxv1.AccessKind_ACCESS_KIND_UNSPECIFIED
	}))
}

// access reports whether the target wants any access records: unless it wants only certain others, it does.
func (t Target) access() bool {
	return (t.Kind == "" || t.Kind == KindAccess) && (len(t.Types) == 0 ||
		slices.ContainsFunc(t.Types, func(typ string) bool {
			return accesstext.OfType(typ) != lockboxv1.AccessKind_ACCESS_KIND_UNSPECIFIED
		}))
}
