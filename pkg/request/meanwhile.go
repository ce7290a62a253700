package request

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// meanwhile adds to a refusal because of the version seen what has happened since, and by whom (R29): whoever decides
// on what is not so any more must not have to guess what changed.
func meanwhile(s State, err error) error {
	r, is := refusal.As(err)
	if !is || r.GetField() != "seen_version" || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT {
		return err
	}
	return refusal.Conflict(r.GetField(), r.GetRule(), "%s; %s", r.GetMessage(), latest(s))
}

// latest says what happened last that whoever decides has to know.
func latest(s State) string {
	text, at := Outcome(s), s.NotifiedAt
	if s.Status != CustomerNotified {
		return text
	}
	is := func(t time.Time, said string) {
		if t.After(at) {
			text, at = said+" at "+stamp(t), t
		}
	}
	for _, d := range s.Approvals() {
		is(d.GetTime().AsTime(), name(d.GetActor())+" approved")
	}
	for _, q := range s.Questions {
		is(q.GetAskedAt().AsTime(), name(q.GetAsker())+" asked a question")
		if q.GetAnswerer() != nil {
			is(q.GetAnsweredAt().AsTime(), name(q.GetAnswerer())+" answered a question")
		}
	}
	return text
}
