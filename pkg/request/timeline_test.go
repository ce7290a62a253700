package request_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// row is one line of a timeline: somebody does something at a time, and then the request stands somewhere, or nothing
// has changed.
type row struct {
	at   time.Duration
	who  *lockboxv1.Actor
	does deed
	then outcome
}

// deed decides, and records nothing. Done again with the same id, it is the same command.
type deed func(s *story.Story, by *lockboxv1.Actor, id string) (*lockboxv1.Event, error)

type outcome struct {
	status  request.Status
	already bool
	refusal *lockboxv1.Refusal
}

// is: an event was recorded, and the request stands there now.
func is(s request.Status) outcome { return outcome{status: s} }

// already: nothing was recorded, because what was wanted is so.
func already(s request.Status) outcome { return outcome{status: s, already: true} }

// no: refused, with words that the message must hold.
func no(code lockboxv1.RefusalCode, field, rule string, words ...string) outcome {
	return outcome{refusal: &lockboxv1.Refusal{Code: code, Field: field, Rule: rule, Message: strings.Join(words, "…")}}
}

const (
	invalid      = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
	forbidden    = lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN
	notFound     = lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND
	conflict     = lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT
	precondition = lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION
	unavailable  = lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE
)

// play tells the story. After each accepted command the same command must give no events; after each refusal nothing
// may have changed; at no time may an invariant be broken.
func play(t *testing.T, s *story.Story, rows ...row) {
	t.Helper()
	for i, r := range rows {
		s.Now = start.Add(r.at)
		id, before := s.ID(), len(s.Entries)
		e, err := r.does(s, r.who, id)
		if e != nil {
			s.Record(e)
		}
		if got := told(s, e, err); !r.then.matches(got) {
			t.Fatalf("row %d, at %s: %s, want %s", i+1, r.at, got, r.then)
		}
		if again, err := r.does(s, r.who, id); r.then.refusal == nil && (err != nil || again != nil) {
			t.Errorf("row %d, at %s: the same command again gives %v, %v", i+1, r.at, again, err)
		}
		if broken := invariant.Check(s.History()); len(broken) > 0 {
			t.Fatalf("row %d, at %s: %v", i+1, r.at, broken)
		}
		if r.then.refusal != nil && len(s.Entries) != before {
			t.Errorf("row %d, at %s: refused, and yet something was recorded", i+1, r.at)
		}
	}
	unchanged(t, s)
}

// unchanged holds that no decision wrote into the state that it read: the events, as they would be stored, fold to the
// same state.
func unchanged(t *testing.T, s *story.Story) {
	t.Helper()
	var again request.State
	for _, r := range s.History() {
		if r.Event.GetKind() == "request" {
			again = request.Evolve(again, r.Sequence, proto.CloneOf(r.Event))
		}
	}
	if diff := cmp.Diff(again, s.Request(), sameState...); diff != "" {
		t.Errorf("the state is not what its events say (-events +state):\n%s", diff)
	}
}

func told(s *story.Story, e *lockboxv1.Event, err error) outcome {
	if err != nil {
		return outcome{refusal: refusal.Of(err)}
	}
	return outcome{status: s.Request().Status, already: e == nil}
}

func (want outcome) matches(got outcome) bool {
	if want.refusal == nil || got.refusal == nil {
		return want.refusal == got.refusal && want.status == got.status && want.already == got.already
	}
	w, g := want.refusal, got.refusal
	return w.GetCode() == g.GetCode() && w.GetField() == g.GetField() && w.GetRule() == g.GetRule() &&
		said(g.GetMessage(), w.GetMessage())
}

// said reports whether the words, separated by "…", stand in a message in this order.
func said(message, words string) bool {
	for _, w := range strings.Split(words, "…") {
		_, rest, found := strings.Cut(message, w)
		if !found {
			return false
		}
		message = rest
	}
	return true
}

func (want outcome) String() string {
	switch {
	case want.refusal != nil:
		r := want.refusal
		return "no: " + r.GetCode().String() + " " + r.GetField() + " " + r.GetRule() + " " + r.GetMessage()
	case want.already:
		return "already " + want.status.String()
	}
	return want.status.String()
}

var sameState = []cmp.Option{protocmp.Transform(), cmp.Exporter(func(reflect.Type) bool { return true })}
