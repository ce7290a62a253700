package bookmark_test

import (
	"context"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/forwarder/bookmark"
)

// stream is what Replay finds, and how often it was asked.
type stream struct {
	events []*lockboxv1.Event
	asked  int
}

func (s *stream) Replay(_ context.Context, r journal.Replay, handle func(journal.Entry) error) error {
	s.asked++
	for i, e := range s.events {
		if e.GetTenant() != r.Tenant || e.GetAggregateId() != r.ID || e.GetKind() != r.Kind ||
			r.Type != aggregate.TypeOf(e) {
			continue
		}
		if err := handle(journal.Entry{Seq: uint64(i + 1), Event: e}); err != nil {
			return err
		}
	}
	return nil
}

// The events about access do not name the engineer, and the one that does may have come long before the bookmark.
func TestTheEngineerIsFoundWhereTheRequestBegan(t *testing.T) {
	about := func(tenant string) *lockboxv1.Event {
		return &lockboxv1.Event{Tenant: tenant, Kind: "request", AggregateId: "r-1"}
	}
	asked, granted, ended, foreign := about("a"), about("a"), about("a"), about("b")
	asked.Actor = &lockboxv1.Actor{Person: &lockboxv1.Person{Subject: "eve"}}
	asked.Fact = &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{
		Intent: &lockboxv1.AccessIntent{ResourceIds: []string{"vm-1"}}}}
	granted.Fact = &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{}}
	ended.Fact = &lockboxv1.Event_AccessCompleted{AccessCompleted: &lockboxv1.AccessCompleted{}}
	foreign.Fact = granted.GetFact()
	s := &stream{events: []*lockboxv1.Event{asked, granted, ended}}
	for name, from := range map[string][]*lockboxv1.Event{"from the beginning": s.events, "behind it": s.events[1:]} {
		s.asked = 0
		entries := &bookmark.Entries{Source: s}
		for _, e := range from {
			a, err := entries.Of(t.Context(), journal.Entry{Seq: 1, Event: e})
			if err != nil {
				t.Fatal(err)
			}
			if e != asked && (a.GetRequester().GetPerson().GetSubject() != "eve" || len(a.GetRequestedResourceIds()) != 1) {
				t.Errorf("%s: %v", name, a)
			}
		}
		if want := 3 - len(from); s.asked != want {
			t.Errorf("%s: the stream was asked %d times, want %d", name, s.asked, want)
		}
		a, err := entries.Of(t.Context(), journal.Entry{Seq: 4, Event: foreign})
		if err != nil || a.GetRequester() != nil {
			t.Errorf("%s: another tenant's request is %v, %v", name, a, err)
		}
	}
}

// first is a stream whose first message is this; empty: it has none.
type first string

func (f first) Replay(_ context.Context, _ journal.Replay, handle func(journal.Entry) error) error {
	if f == "" {
		return nil
	}
	return handle(journal.Entry{Seq: 1, Data: []byte(f)})
}

// Whoever begins to follow a stream while it is empty goes on with it later, and with no other.
func TestAMarkThatWasBegunOnAnEmptyStream(t *testing.T) {
	var m bookmark.Mark
	for _, step := range []struct {
		sequence uint64
		stream   first
		refused  bool
	}{{0, "", false}, {5, "ours", false}, {9, "ours", false}, {9, "theirs", true}, {9, "", true}, {9, "ours", false}} {
		m.Sequence = step.sequence
		if err := m.Check(t.Context(), step.stream, "cursor"); (err != nil) != step.refused {
			t.Errorf("at %d of %q: %v", step.sequence, step.stream, err)
		}
	}
}
