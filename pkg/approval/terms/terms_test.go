package terms_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/approval/terms"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// story are the events of the request that approvaltest's decisions are about.
func story() []*lockboxv1.Event {
	want := at.Terms()
	person := func(a approval.Account) *lockboxv1.Person {
		return &lockboxv1.Person{Issuer: a.Issuer, Subject: a.Subject, DisplayName: "not part of it"}
	}
	var approvers []*lockboxv1.Approver
	for _, a := range want.Approvers {
		approvers = append(approvers, &lockboxv1.Approver{Person: person(a)})
	}
	deadline, err := time.Parse(time.RFC3339Nano, want.AnswerBy)
	if err != nil {
		panic(err)
	}
	events := []*lockboxv1.Event{
		{Actor: &lockboxv1.Actor{Person: person(want.Engineer)},
			Fact: &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{Intent: &lockboxv1.AccessIntent{
				SubscriptionId: want.Subscription, ResourceType: want.ResourceType, Scenario: want.Scenario,
				ResourceIds: []string{want.Resources[1], want.Resources[0]}, Justification: "not part of it"}}}},
		{Fact: &lockboxv1.Event_AccessEvaluated{AccessEvaluated: &lockboxv1.AccessEvaluated{
			Duration: durationpb.New(time.Duration(want.Seconds) * time.Second)}}},
		{Fact: &lockboxv1.Event_CustomerNotified{CustomerNotified: &lockboxv1.CustomerNotified{Approvers: approvers,
			RequiredApprovals: 1, ExpiresAt: timestamppb.New(deadline)}}},
		{Fact: &lockboxv1.Event_ApprovalReminderDue{ApprovalReminderDue: &lockboxv1.ApprovalReminderDue{}}},
	}
	for i, e := range events {
		e.Tenant, e.Kind, e.AggregateId, e.Version = want.Tenant, "request", want.Request, uint64(i+1)
		e.Signature = []byte("a writer's block, which is part of the stored bytes")
	}
	return events
}

func stored(t *testing.T, events []*lockboxv1.Event) (all [][]byte) {
	t.Helper()
	for _, e := range events {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

func TestTheTermsAreReadFromTheStoredBytes(t *testing.T) {
	bytes := stored(t, story())
	got, err := terms.Of(bytes)
	want := at.Terms()
	for i, typ := range []string{"AccessRequested", "AccessEvaluated", "CustomerNotified", "ApprovalReminderDue"} {
		want.Events[i] = approval.EventOf(uint64(i+1), typ, bytes[i])
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v\n%+v\n%+v", err, got, want)
	}
	s := at.Begin()
	d := s.Decide(approval.Approve, "otto", s.Otto)
	d.Events = got.Events[:3]
	if err := d.Within(got, 5); err != nil {
		t.Error(err)
	}
	// One bit of one event, whatever it says, and the statement is of something else.
	for i := range bytes[:3] {
		events := story()
		events[i].TraceParent = "x"
		other, err := terms.Of(stored(t, events))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Within(other, 5); approval.RuleOf(err) != approval.RuleOther {
			t.Errorf("event %d changed: %v", i+1, err)
		}
	}
}

func TestOnlyTheWholeRequestIsRead(t *testing.T) {
	for name, edit := range map[string]func(events []*lockboxv1.Event) []*lockboxv1.Event{
		"nothing": func([]*lockboxv1.Event) []*lockboxv1.Event { return nil },
		"a gap":   func(e []*lockboxv1.Event) []*lockboxv1.Event { return append(e[:2:2], e[3]) },
		"no evaluation": func(e []*lockboxv1.Event) []*lockboxv1.Event {
			e[1].Fact = e[3].Fact
			return e
		},
		"another tenant's": func(e []*lockboxv1.Event) []*lockboxv1.Event {
			e[2].Tenant = "fabrikam"
			return e
		},
		"another request's": func(e []*lockboxv1.Event) []*lockboxv1.Event {
			e[2].AggregateId += "0"
			return e
		},
		"of another kind": func(e []*lockboxv1.Event) []*lockboxv1.Event {
			e[0].Kind = "ticket"
			return e
		},
		"two openings": func(e []*lockboxv1.Event) []*lockboxv1.Event {
			e[3].Fact = e[0].Fact
			return e
		},
		"asked twice": func(e []*lockboxv1.Event) []*lockboxv1.Event {
			e[3].Fact = e[2].Fact
			return e
		},
		"a second evaluation": func(e []*lockboxv1.Event) []*lockboxv1.Event {
			e[3].Fact = e[1].Fact
			return e
		},
		"a fact that nobody knows": func(e []*lockboxv1.Event) []*lockboxv1.Event {
			e[3].Fact = nil
			return e
		},
		"half a second": func(e []*lockboxv1.Event) []*lockboxv1.Event {
			e[1].GetAccessEvaluated().Duration.Nanos = 5e8
			return e
		},
		"no deadline": func(e []*lockboxv1.Event) []*lockboxv1.Event {
			e[2].GetCustomerNotified().ExpiresAt = nil
			return e
		},
	} {
		if _, err := terms.Of(stored(t, edit(story()))); approval.RuleOf(err) != approval.RuleProof {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := terms.Of([][]byte{{0xff}}); approval.RuleOf(err) != approval.RuleProof {
		t.Errorf("what is no event: %v", err)
	}
}
