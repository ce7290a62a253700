// Package verify checks the whole stream against every invariant that can be checked from events alone
// (pkg/invariant).
package verify

import (
	"context"
	"errors"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Verified is the result of verifying the whole stream, as JSON.
type Verified struct {
	Events       int         `json:"events"`
	LastSequence uint64      `json:"last_sequence,string"`
	Requests     int         `json:"requests"`
	Violations   []Violation `json:"violations"`
}

// Violation is an event that contradicts those before it, as JSON.
type Violation struct {
	Invariant string `json:"invariant"`
	Sequence  uint64 `json:"sequence,string"`
	What      string `json:"what"`
}

// Stream reads the whole stream, calls saw for each event, and returns every violation. It stops at the first missing
// sequence: everything after it would only seem to contradict what is missing.
func Stream(ctx context.Context, j *journal.Journal, saw func(journal.Entry)) (Verified, error) {
	v := Verified{Violations: []Violation{}}
	book := invariant.NewBook()
	err := j.Replay(ctx, journal.Replay{Undecoded: true}, func(e journal.Entry) error {
		saw(e)
		v.Events, v.LastSequence = v.Events+1, e.Seq
		if strings.HasSuffix(e.Subject, "."+requested) {
			v.Requests++
		}
		if broken := book.Add(invariant.Stored{Sequence: e.Seq, At: e.Stored, Subject: e.Subject,
			Bytes: e.Data}); broken != nil {
			v.add(*broken)
		}
		return nil
	})
	var corrupt *journal.CorruptError
	if errors.As(err, &corrupt) {
		v.add(invariant.Violation{Invariant: "I6", Sequence: corrupt.Seq, What: corrupt.Rule})
	} else if err != nil {
		return v, err
	}
	found, err := book.Check()
	for _, broken := range found {
		v.add(broken)
	}
	return v, err
}

var requested = aggregate.TypeOf(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessRequested{}})

func (v *Verified) add(broken invariant.Violation) {
	v.Violations = append(v.Violations, Violation{broken.Invariant, broken.Sequence, broken.What})
}
