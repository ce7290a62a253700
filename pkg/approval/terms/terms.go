// Package terms reads what a signed decision has to be about from the exact stored bytes of a request's events, for
// whoever makes a statement and for whoever verifies one. It is pure.
package terms

import (
	"fmt"
	"slices"

	"github.com/openlockbox/lockbox/pkg/approval"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const kind = "request"

// Of reads the terms of a request from the stored bytes of its events, version 1 first and none left out. It refuses
// bytes that are not such events, of one request; whether they are signed, and stand in the log, is for others to
// say. Of a request that nobody was asked about, AnswerBy is empty.
func Of(stored [][]byte) (approval.Terms, error) {
	shown := make([]Shown, len(stored))
	for i, data := range stored {
		shown[i].Stored = data
	}
	return OfShown(shown)
}

// Shown is an event as somebody is shown it: its stored bytes, or if those are withheld its name with their hash.
type Shown struct {
	Stored []byte
	Event  approval.Event
}

// Longest stands for the duration of an evaluation that is withheld, in seconds: how long somebody asked for is not
// known then.
const Longest = 366 * 24 * 60 * 60

// OfShown is Of for whoever is not shown all events: an evaluation may be withheld, and what says nothing of the terms.
func OfShown(shown []Shown) (t approval.Terms, err error) {
	for i, one := range shown {
		data := one.Stored
		if len(data) == 0 {
			if err := withheld(&t, i, one.Event); err != nil {
				return t, err
			}
			continue
		}
		e := new(lockboxv1.Event)
		if err := proto.Unmarshal(data, e); err != nil {
			return t, refuse(i, "is no event: %v", err)
		}
		typ := typeOf(e)
		switch {
		case typ == "":
			return t, refuse(i, "is of a type that this version does not know")
		case e.GetKind() != kind || e.GetVersion() != uint64(i+1): // #nosec G115 -- not negative
			return t, refuse(i, "is not version %d of a request", i+1)
		case i > 0 && (e.GetTenant() != t.Tenant || e.GetAggregateId() != t.Request):
			return t, refuse(i, "is of another request")
		case (i == 0) != (e.GetAccessRequested() != nil):
			return t, refuse(i, "%s does not stand here", typ)
		}
		t.Tenant, t.Request = e.GetTenant(), e.GetAggregateId()
		t.Events = append(t.Events, approval.EventOf(e.GetVersion(), typ, data))
		if err := read(&t, i, e); err != nil {
			return t, err
		}
	}
	if t.Seconds == 0 {
		return t, refuse(len(shown), "AccessEvaluated, with a duration, is missing")
	}
	return t, nil
}

// withheld takes an event of which nothing but its name is shown.
func withheld(t *approval.Terms, i int, e approval.Event) error {
	switch {
	case i == 0 || e.Type == "AccessRequested" || e.Type == "CustomerNotified":
		return refuse(i, "%s is withheld, and says what was asked for", e.Type)
	case e.Version != uint64(i+1): // #nosec G115 -- not negative
		return refuse(i, "is not version %d of the request", i+1)
	case e.Type == "AccessEvaluated" && t.Seconds != 0:
		return refuse(i, "a second evaluation")
	case e.Type == "AccessEvaluated":
		t.Seconds = Longest
	}
	t.Events = append(t.Events, e)
	return nil
}

// read takes what an event adds to the terms.
func read(t *approval.Terms, i int, e *lockboxv1.Event) error {
	switch {
	case e.GetAccessRequested() != nil:
		in := e.GetAccessRequested().GetIntent()
		t.Subscription, t.ResourceType, t.Scenario = in.GetSubscriptionId(), in.GetResourceType(), in.GetScenario()
		t.Resources = slices.Sorted(slices.Values(in.GetResourceIds()))
		t.Engineer = account(e.GetActor().GetPerson())
	case e.GetAccessEvaluated() != nil:
		d := e.GetAccessEvaluated().GetDuration()
		if t.Seconds != 0 || d.GetSeconds() < 1 || d.GetNanos() != 0 {
			return refuse(i, "a second evaluation, or a duration that is not in whole seconds")
		}
		t.Seconds = uint64(d.GetSeconds()) // #nosec G115 -- not negative
	case e.GetCustomerNotified() != nil:
		n := e.GetCustomerNotified()
		if t.AnswerBy != "" || n.GetExpiresAt().CheckValid() != nil {
			return refuse(i, "the customer was asked twice, or without a deadline")
		}
		t.AnswerBy, t.Approvals = deadline(n.GetExpiresAt()), uint64(n.GetRequiredApprovals())
		for _, a := range n.GetApprovers() {
			t.Approvers = append(t.Approvers, account(a.GetPerson()))
		}
	}
	return nil
}

func deadline(at *timestamppb.Timestamp) string { return approval.TimeText(at.AsTime()) }

func account(p *lockboxv1.Person) approval.Account {
	return approval.Account{Issuer: p.GetIssuer(), Subject: p.GetSubject()}
}

// typeOf is the name of the event's fact, as the last token of its subject has it.
func typeOf(e *lockboxv1.Event) string {
	m := e.ProtoReflect()
	if field := m.WhichOneof(m.Descriptor().Oneofs().ByName("fact")); field != nil {
		return string(field.Message().Name())
	}
	return ""
}

func refuse(i int, format string, args ...any) error {
	return &approval.Error{Field: fmt.Sprintf("events.%d", i), Rule: approval.RuleProof,
		Reason: fmt.Sprintf(format, args...)}
}
