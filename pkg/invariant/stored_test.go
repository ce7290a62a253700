package invariant_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/invariant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// inStream is a history as a stream has it, each event stored when it happened.
func inStream(t *testing.T, history []invariant.Recorded) []invariant.Stored {
	t.Helper()
	list := make([]invariant.Stored, len(history))
	for i, r := range history {
		subject, err := bus.EventSubject(r.Event)
		if err != nil {
			t.Fatal(err)
		}
		data, err := proto.Marshal(r.Event)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = invariant.Stored{Sequence: r.Sequence, At: r.Event.GetTime().AsTime(), Subject: subject, Bytes: data}
	}
	return list
}

func booked(t *testing.T, list []invariant.Stored) ([]invariant.Violation, error) {
	t.Helper()
	b := invariant.NewBook()
	for _, s := range list {
		b.Add(s)
	}
	return b.Check()
}

// A book decodes one aggregate after the other, and must not find anything else by it.
func TestABookSaysTheSameOfEveryForgery(t *testing.T) {
	compared, broken, tried := 0, 0, 0
	for name, history := range map[string][]invariant.Recorded{
		"told": told(), "waived": waived(), "denied": denied(), "expired": expired(), "released": released(),
		"reminded": reminded(), "hurried": hurried(),
	} {
		compare := func(what string, forged []invariant.Recorded) {
			for i := range forged {
				forged[i].Stored = forged[i].Event.GetTime().AsTime()
			}
			want := invariant.Check(forged)
			got, err := booked(t, inStream(t, forged))
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %s: it finds %v, %v; Check finds %v", name, what, got, err, want)
			}
			compared++
			if len(want) > 0 {
				broken++
			}
		}
		compare("as it was", slices.Clone(history))
		for i, r := range history {
			compare(fmt.Sprint(i+1, " left out"), slices.Delete(slices.Clone(history), i, i+1))
			for what, e := range variants(r.Event) {
				if tried++; tried%20 > 0 {
					continue // all of them take too long
				}
				if _, err := bus.EventSubject(e); err == nil && e.GetFact() != nil {
					compare(fmt.Sprint(i+1, " ", what), spliced(history, i, e, i+1))
				}
			}
		}
	}
	if t.Logf("%d compared, %d of them broken", compared, broken); broken < 100 || compared < 2*broken {
		t.Error("the forgeries are no good")
	}
}

func TestABookOfWhatIsNoEvent(t *testing.T) {
	honest := inStream(t, told())
	last := len(honest) - 1
	for name, c := range map[string]struct {
		change func(*invariant.Stored)
		what   string
	}{
		"bytes": {func(s *invariant.Stored) { s.Bytes = []byte("?") }, "its bytes are no event"},
		"a subject": {func(s *invariant.Stored) { s.Subject = "lockbox.intent.x" },
			"its subject is not one of an event"},
		"another type": {func(s *invariant.Stored) { s.Subject += "X" }, "its subject does not say what it says itself"},
		"another's event": {func(s *invariant.Stored) { s.Bytes = honest[0].Bytes },
			"its subject does not say what it says itself"},
	} {
		list := slices.Clone(honest)
		c.change(&list[last])
		found, err := booked(t, list)
		if err != nil || len(found) != 1 || found[0].Invariant != "I6" || found[0].Sequence != list[last].Sequence ||
			found[0].What != c.what {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
	e := new(lockboxv1.Event)
	if err := proto.Unmarshal(honest[last].Bytes, e); err != nil {
		t.Fatal(err)
	}
	e.Fact = nil
	data, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	honest[last].Bytes = append(data, 0xa2, 0xf7, 0x02, 0x00) // field 5988, an empty message
	_, err = booked(t, honest)
	if !errors.Is(err, input.ErrUnknownFact) || !strings.Contains(err.Error(), fmt.Sprint(honest[last].Sequence)) {
		t.Errorf("a type of the future: %v", err)
	}
}
