package repair_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/audit-projector/repair"
)

// history reads "1a 2b 4c": sequences, and what happened, each on a subject of its own, which is that of another if a
// sequence and an apostrophe stand before it: "5'2b" is what happened on the subject of 2b, at sequence 5.
func history(text string) (stream []journal.Stored, second []merkle.Stored) {
	for _, word := range strings.Fields(text) {
		sequence, subject, what := uint64(word[0]-'0'), word[:1], word[1:]
		if what[0] == '\'' {
			subject, what = word[2:3], word[3:]
		}
		stream = append(stream, journal.Stored{Sequence: sequence, Subject: subject, Data: []byte(what)})
		second = append(second, merkle.Stored{Sequence: sequence, Subject: subject, Bytes: []byte(what)})
	}
	return stream, second
}

func all[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestWhatBecomesOfEachEvent(t *testing.T) {
	names := map[repair.Source]string{repair.Kept: "kept", repair.Restored: "restored", repair.Tail: "tail",
		repair.Conflict: "conflict"}
	for _, c := range []struct{ stream, second, want string }{
		{"1a 2b 3c", "1a 2b 3c", "kept 1a kept 2b kept 3c"},
		{"1a 2b 3c 4d", "1a 2b", "kept 1a kept 2b tail 3c tail 4d"},
		{"1a 3c 4d", "1a 2b 3c", "kept 1a restored 2b kept 3c tail 4d"},
		{"1a", "1a 2b 3c", "kept 1a restored 2b restored 3c"},
		{"", "1a 2b", "restored 1a restored 2b"},
		{"3c 4d", "1a 2b 3c", "restored 1a restored 2b kept 3c tail 4d"},
		// Lost its end and went on: both sides are kept.
		{"1a 2X 3Y", "1a 2b 3c", "kept 1a conflict 2X restored 2b conflict 3Y restored 3c"},
		{"1a 2X 3Y 4Z", "1a 2b 3c", "kept 1a conflict 2X restored 2b conflict 3Y restored 3c conflict 4Z"},
		{"1a 2X", "1a 2b 3c", "kept 1a conflict 2X restored 2b restored 3c"},
		// A hole after the second copy's end: nobody knows what stood there.
		{"1a 2b 4d", "1a 2b", "kept 1a kept 2b conflict 4d"},
		{"1a 2b", "", "tail 1a tail 2b"},
		// Went on without an event, and it happened again: the one that was recorded stands.
		{"1a 3c 4d 5'2X 6e", "1a 2b 3c", "kept 1a restored 2b kept 3c tail 4d conflict 5X conflict 6e"},
	} {
		stream, _ := history(c.stream)
		_, second := history(c.second)
		covered := uint64(0)
		if len(second) > 0 {
			covered = second[len(second)-1].Sequence
		}
		var got []string
		written := uint64(0)
		for step, err := range repair.Steps(covered, all(stream), all(second)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %d%s", names[step.Source], step.Sequence, step.Data))
			if step.Source == repair.Conflict {
				continue
			}
			if written++; step.Sequence != written {
				t.Errorf("%q after %q: event %d would be written as %d", c.stream, c.second, step.Sequence, written)
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%q after %q: %s", c.stream, c.second, text)
		}
	}
}

// Both are signed, and a stream holds one of them: somebody has to look, and nothing is changed meanwhile.
func TestTwoRecordedOnOneSubjectEndIt(t *testing.T) {
	for _, row := range []string{"1a 3c 4'2X", "1a 2b 3c", ""} {
		stream, _ := history(row)
		_, second := history("1a 2b 3c 4'2X")
		errs := slices.Collect(errorsOf(repair.Steps(4, all(stream), all(second))))
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), "events 2 and 4 were both recorded on 2") {
			t.Errorf("%q: %v", row, errs)
		}
	}
}

func TestWhatCannotBeReadEndsIt(t *testing.T) {
	broken := errors.New("broken")
	stream, second := history("1a 2b 3c")
	fails := func(yield func(merkle.Stored, error) bool) {
		_ = yield(second[0], nil) && yield(merkle.Stored{}, broken)
	}
	steps := slices.Collect(errorsOf(repair.Steps(3, all(stream), fails)))
	if len(steps) != 1 || !errors.Is(steps[0], broken) {
		t.Errorf("errors: %v", steps)
	}
}

func errorsOf[T any](list iter.Seq2[T, error]) iter.Seq[error] {
	return func(yield func(error) bool) {
		for _, err := range list {
			if err != nil && !yield(err) {
				return
			}
		}
	}
}
