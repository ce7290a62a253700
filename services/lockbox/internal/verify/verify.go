// Package verify checks the whole stream against every invariant that can be checked from events alone
// (pkg/invariant), and each evaluation by evaluating again.
package verify

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/invariant/reevaluate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Verified is the result of verifying the whole stream, as JSON.
type Verified struct {
	Events       int         `json:"events"`
	LastSequence uint64      `json:"last_sequence,string"`
	Requests     int         `json:"requests"`
	Violations   []Violation `json:"violations"`
	// Strays are the messages that cannot be events; one that was not set aside is a violation too.
	Strays []Stray `json:"not_events,omitempty"`
	// Unchecked are evaluations that this version cannot make again, neither fine nor broken.
	Unchecked []Unchecked `json:"not_checked,omitempty"`
	// Waiting are mails without a delivery report that are not overdue yet; Late are those that were reported late.
	Waiting *Mails `json:"mails_waiting,omitempty"`
	Late    *Mails `json:"mails_late,omitempty"`
	// Unread reports that names, addresses and texts are encrypted and were not read: of whom was mailed, and of who
	// is asked under which address, nothing is known then.
	Unread bool `json:"details_not_read,omitempty"`
	// Signatures says how far events are signed by their writers; nil if that was not checked.
	Signatures *Signatures `json:"signatures,omitempty"`
}

// Signatures says how far events are signed, and what it costs to check that, as JSON.
type Signatures struct {
	// Began is the sequence from which on each event has to be signed; 0 if nothing has to be.
	Began uint64 `json:"began,string"`
	// Verified is how many signatures were verified: one for all events that were stored together.
	Verified uint64 `json:"verified"`
	// PerSecond is how many events were read and checked in a second, Without how many it would have been without their
	// signatures.
	PerSecond int `json:"events_per_second"`
	Without   int `json:"events_per_second_without"`
}

// Mails are some mails and the first and the last event that they are about, as JSON.
type Mails struct {
	Count int    `json:"count"`
	First uint64 `json:"first_sequence,string"`
	Last  uint64 `json:"last_sequence,string"`
}

// Unchecked are evaluations that cannot be made again, for one reason, as JSON.
type Unchecked struct {
	What  string `json:"what"`
	Count int    `json:"count"`
	First uint64 `json:"first_sequence,string"`
	Last  uint64 `json:"last_sequence,string"`
}

// Stray is a message that cannot be an event, as JSON.
type Stray struct {
	Sequence uint64    `json:"sequence,string"`
	Subject  string    `json:"subject"`
	Size     int       `json:"size"`
	SHA256   string    `json:"sha256"`
	What     string    `json:"what"`
	SetAside *SetAside `json:"set_aside"`
}

// SetAside is the decision that set a message aside, as JSON.
type SetAside struct {
	Sequence uint64    `json:"sequence,string"`
	Time     time.Time `json:"time"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
}

// Violation is an event that contradicts those before it, as JSON.
type Violation struct {
	Invariant string `json:"invariant"`
	Sequence  uint64 `json:"sequence,string"`
	What      string `json:"what"`
}

// Stream reads the whole stream, calls saw for each event, and returns every violation. It stops at the first missing
// sequence: everything after it would only seem to contradict what is missing. now says which mails are overdue, and
// keys who signs what; nil: signatures are not checked.
func Stream(
	ctx context.Context, j *journal.Journal, now time.Time, keys *signed.Keyring, saw func(journal.Entry),
) (Verified, error) {
	v := Verified{Violations: []Violation{}}
	signatures, begun, judging := invariant.NewSignatures(keys), time.Now(), time.Duration(0)
	book, again := invariant.NewBook(), reevaluate.New()
	book.Also(again.Look)
	book.MailsAsOf(now)
	if d := j.Details(); d != nil {
		book.OpensWith(func(e *lockboxv1.Event) error { return d.Open(ctx, e) })
	}
	err := j.Replay(ctx, journal.Replay{Undecoded: true}, func(e journal.Entry) error {
		saw(e)
		v.Events, v.LastSequence = v.Events+1, e.Seq
		if strings.HasSuffix(e.Subject, "."+requested) {
			v.Requests++
		}
		m := invariant.Stored{Sequence: e.Seq, At: e.Stored, Subject: e.Subject, Bytes: e.Data}
		book.Add(m)
		if keys != nil {
			at := time.Now()
			if what := signatures.Next(m); what != "" {
				book.Refuse(e.Seq, what)
			}
			judging += time.Since(at)
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
	if keys != nil && keys.Expected() != keys.Began() && keys.Expected() != 0 {
		v.add(invariant.Violation{Invariant: "I14", Sequence: keys.Expected(),
			What: "signing is known to begin here, and the stream does not say so"})
	}
	for _, s := range book.Strays() {
		v.Strays = append(v.Strays, stray(s))
	}
	for _, u := range again.Unchecked() {
		v.Unchecked = append(v.Unchecked, Unchecked(u))
	}
	if took := time.Since(begun); keys != nil {
		v.Signatures = &Signatures{keys.Began(), keys.Verifications(), perSecond(v.Events, took),
			perSecond(v.Events, took-judging)}
	}
	v.Unread = book.Unread()
	v.Waiting, v.Late = mails(book.Mailing().Waiting), mails(book.Mailing().Late)
	return v, err
}

func perSecond(events int, took time.Duration) int {
	return int(float64(events) / max(took.Seconds(), 1e-9))
}

func mails(s invariant.Span) *Mails {
	if s.Count == 0 {
		return nil
	}
	is := Mails(s)
	return &is
}

func stray(s invariant.Stray) Stray {
	is := Stray{Sequence: s.Sequence, Subject: s.Subject, Size: s.Size, SHA256: hex.EncodeToString(s.SHA256), What: s.What}
	if e := s.SetAside.Event; e != nil {
		is.SetAside = &SetAside{s.SetAside.Sequence, e.GetTime().AsTime(), e.GetActor().GetPerson().GetDisplayName(),
			e.GetMessageSetAside().GetReason()}
	}
	return is
}

var requested = aggregate.TypeOf(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessRequested{}})

func (v *Verified) add(broken invariant.Violation) {
	v.Violations = append(v.Violations, Violation{broken.Invariant, broken.Sequence, broken.What})
}
