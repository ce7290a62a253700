package aggregate_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const requestID = "018f3a00-aaaa-7000-8000-000000000001"

// Every verb is about an aggregate of one kind; a verb that is new has to be added here, and to aggregate.Of.
func TestEveryCommandIsAboutOneAggregate(t *testing.T) {
	kinds := map[string][]protoreflect.Name{
		aggregate.KindTenant: {
			"create_tenant", "change_support_plan", "enable_lockbox", "disable_lockbox", "sign_up_preview", "sign_off_preview",
			"change_settings", "propose_sign_in_change", "confirm_sign_in_change", "stop_sign_in_change",
			"end_former_sign_in", "add_webhook", "remove_webhook",
		},
		aggregate.KindOwnership: {"register_subscription", "transfer_subscription"},
		aggregate.KindSubscription: {"assign_role", "remove_role", "activate_role",
			"deactivate_role", "sign_in", "invite_role", "redeem_invitation", "confirm_invitation", "end_invitation"},
		aggregate.KindTicket:     {"open_ticket", "assign_ticket", "comment_ticket", "close_ticket", "reopen_ticket"},
		aggregate.KindPolicy:     {"publish_rules", "publish_catalogue"},
		aggregate.KindAlarm:      {"set_aside_message"},
		aggregate.KindSigning:    {"begin_signing", "certify_writer", "revoke_writer"},
		aggregate.KindErasure:    {"erase_details", "confirm_erasure", "decline_erasure"},
		aggregate.KindKeys:       {"offer_key", "sign_keys"},
		aggregate.KindDisclosure: {"disclose_exposure", "disclose_legal_demand"},
		aggregate.KindRequest: {
			"withdraw", "release", "internal_approve", "internal_refuse", "answer", "ask", "approve", "deny", "revoke",
		},
	}
	fields := (*lockboxv1.Command)(nil).ProtoReflect().Descriptor().Oneofs().ByName("action").Fields()
	for i := range fields.Len() {
		verb := fields.Get(i)
		kind := ""
		for k, verbs := range kinds {
			if slices.Contains(verbs, verb.Name()) {
				kind = k
			}
		}
		c := &lockboxv1.Command{Tenant: "contoso", AggregateId: requestID}
		c.ProtoReflect().Mutable(verb)
		want := aggregate.Key{Tenant: "contoso", Kind: kind, ID: requestID}
		switch {
		case kind == aggregate.KindOwnership:
			c.AggregateId, want = "SUB-1", aggregate.Ownership("sub-1")
		case kind == aggregate.KindTenant:
			c.AggregateId, want.ID = "", "contoso"
		case kind == aggregate.KindKeys:
			c.AggregateId, want = "", aggregate.Keys("contoso")
		case verb.Name() == "publish_rules":
			c.Tenant, c.AggregateId, want = aggregate.ProviderTenant, "rules", aggregate.Rules
		case verb.Name() == "set_aside_message":
			c.Tenant, c.AggregateId, want = aggregate.ProviderTenant, "guard", aggregate.Guard
		case kind == aggregate.KindSigning:
			c.Tenant, c.AggregateId, want = aggregate.ProviderTenant, "writers", aggregate.SigningWriters
		case verb.Name() == "publish_catalogue":
			c.Tenant, c.AggregateId, want = aggregate.ProviderTenant, "catalogue", aggregate.Catalogue
		}
		if got, err := aggregate.Of(c); got != want || err != nil {
			t.Errorf("%s is about %s, %v; want %s", verb.Name(), got, err, want)
		}
	}
	role := &lockboxv1.Command{Tenant: "contoso", Action: &lockboxv1.Command_RemoveRole{}}
	if got, err := aggregate.Of(role); got != aggregate.Tenant("contoso") || err != nil {
		t.Errorf("a role of the tenant itself is about %s, %v", got, err)
	}
}

func TestACommandAboutNothingThatCanBeIsInvalid(t *testing.T) {
	for name, row := range map[string]struct {
		command *lockboxv1.Command
		field   string
	}{
		"no tenant": {&lockboxv1.Command{AggregateId: requestID, Action: &lockboxv1.Command_Approve{}},
			"tenant"},
		"a wildcard as tenant": {&lockboxv1.Command{Tenant: "*", AggregateId: requestID,
			Action: &lockboxv1.Command_Approve{}}, "tenant"},
		"the provider's request": {&lockboxv1.Command{Tenant: "_", AggregateId: requestID,
			Action: &lockboxv1.Command_Approve{}}, "tenant"},
		"a request without a UUID": {&lockboxv1.Command{Tenant: "contoso", AggregateId: "1",
			Action: &lockboxv1.Command_Approve{}}, "aggregate_id"},
		"a disclosure without a UUID": {&lockboxv1.Command{Tenant: "contoso", AggregateId: "1",
			Action: &lockboxv1.Command_DiscloseExposure{}}, "aggregate_id"},
		"a tenant with another id": {&lockboxv1.Command{Tenant: "contoso", AggregateId: "x",
			Action: &lockboxv1.Command_EnableLockbox{}}, "aggregate_id"},
		"a ticket without a name": {&lockboxv1.Command{Tenant: "contoso",
			Action: &lockboxv1.Command_OpenTicket{OpenTicket: &lockboxv1.OpenTicket{}}}, "aggregate_id"},
		"a ticket with two names": {&lockboxv1.Command{Tenant: "contoso", AggregateId: "T-1",
			Action: &lockboxv1.Command_OpenTicket{OpenTicket: &lockboxv1.OpenTicket{Reference: "T-2"}}}, "aggregate_id"},
		"a customer's rules": {&lockboxv1.Command{Tenant: "contoso", AggregateId: "rules",
			Action: &lockboxv1.Command_PublishRules{}}, "tenant"},
		"a customer's alarm": {&lockboxv1.Command{Tenant: "contoso", AggregateId: "guard",
			Action: &lockboxv1.Command_SetAsideMessage{}}, "tenant"},
		"a subscription of nobody's": {&lockboxv1.Command{Tenant: "_", AggregateId: "sub-1",
			Action: &lockboxv1.Command_RegisterSubscription{}}, "tenant"},
		"a subscription with a wildcard": {&lockboxv1.Command{Tenant: "contoso", AggregateId: "sub.>",
			Action: &lockboxv1.Command_TransferSubscription{}}, "aggregate_id"},
		"rules as catalogue": {&lockboxv1.Command{Tenant: "_", AggregateId: "rules",
			Action: &lockboxv1.Command_PublishCatalogue{}}, "tenant"},
	} {
		_, err := aggregate.Of(row.command)
		if r, is := refusal.As(err); !is || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_INVALID ||
			r.GetField() != row.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The prologue looks at the fault first, then at whether the command was carried out, then at who may know, and then at
// what the caller has seen.
func TestThePrologueKeepsItsOrder(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	event := func(version uint64, cause string) *lockboxv1.Event {
		e := &lockboxv1.Event{
			Tenant: "contoso", Kind: aggregate.KindTicket, AggregateId: "T-1", Version: version, CausationId: cause,
			Time: timestamppb.New(now), Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
				Person: &lockboxv1.Person{Subject: "cora"}},
			Fact: &lockboxv1.Event_TicketCommented{},
		}
		if version == 1 {
			e.Fact = &lockboxv1.Event_TicketOpened{}
		}
		return e
	}
	s := ticket.Evolve(ticket.Evolve(ticket.State{}, 7, event(1, "first")), 9, event(2, "second"))
	if s.Fault != nil {
		t.Fatal(s.Fault)
	}
	faulty := s
	faulty.Fail(11, "somebody wrote nonsense")
	mayNot := func() error { return refusal.Forbidden("token", "R11", "you may not") }
	const (
		goes = lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED
		no   = lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN
	)
	for name, row := range map[string]struct {
		of       ticket.State
		id       string
		seen     uint64
		material uint64
		may      func() error
		want     lockboxv1.RefusalCode
		already  bool
	}{
		"nothing in the way":           {of: s, id: "new", want: goes},
		"having seen the last":         {of: s, id: "new", seen: 2, material: 2, want: goes},
		"having seen all that matters": {of: s, id: "new", seen: 1, material: 1, want: goes},
		"having seen less": {of: s, id: "new", seen: 1, material: 2,
			want: lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT},
		"having seen what is not there": {of: s, id: "new", seen: 3, material: 2,
			want: lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT},
		"nobody's business, whatever they saw":   {of: s, id: "new", seen: 1, material: 2, may: mayNot, want: no},
		"carried out before, whatever they saw":  {of: s, id: "first", seen: 1, material: 2, already: true},
		"carried out before, whoever asks again": {of: s, id: "second", may: mayNot, already: true},
		"at fault, though carried out before": {of: faulty, id: "first",
			want: lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION},
		"at fault, whoever asks": {of: faulty, id: "new", may: mayNot,
			want: lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION},
	} {
		c := aggregate.Command{Command: &lockboxv1.Command{
			Id: row.id, Tenant: "contoso", AggregateId: "T-1", SeenVersion: row.seen, Action: &lockboxv1.Command_CommentTicket{},
		}}
		e, err := row.of.Begin(c, row.material, row.may, now)
		code := goes
		if err != nil {
			code = refusal.Of(err).GetCode()
		}
		if code != row.want || (e == nil && err == nil) != row.already {
			t.Errorf("%s: %v, %v", name, e, err)
		}
		if e != nil && (e.GetVersion() != 3 || e.GetCausationId() != row.id || e.GetAggregateId() != "T-1") {
			t.Errorf("%s: %v", name, e)
		}
	}
}

// What the fold would refuse is never written.
func TestTheEpilogueRefusesWhatTheFoldWould(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	c := aggregate.Command{
		Command: &lockboxv1.Command{Id: "new", Tenant: "contoso", AggregateId: "T-1",
			Action: &lockboxv1.Command_OpenTicket{}},
		By: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: &lockboxv1.Person{Subject: "cora"}},
	}
	var s ticket.State
	e, err := s.Begin(c, 0, nil, now)
	if err != nil || e.GetTenant() != "contoso" || e.GetKind() != aggregate.KindTicket || e.GetAggregateId() != "t-1" {
		t.Fatalf("%v, %v", e, err)
	}
	if none, err := aggregate.End(s, e, ticket.Evolve); none != nil || err != nil {
		t.Errorf("nothing became true, and yet %v, %v", none, err)
	}
	e.Fact = &lockboxv1.Event_TicketCommented{}
	if _, err := aggregate.End(s, e, ticket.Evolve); !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION) {
		t.Errorf("a comment on nothing: %v", err)
	}
	e.Fact = &lockboxv1.Event_TicketOpened{}
	if got, err := aggregate.End(s, e, ticket.Evolve); got != e || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// Each fact of the event message has a writer for each kind that it may be about, and no writer writes anything else.
func TestEveryFactHasAWriter(t *testing.T) {
	fields := (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	known := map[string]bool{}
	for i := range fields.Len() {
		known[string(fields.Get(i).Message().Name())] = true
	}
	written := map[string]bool{}
	pairs := map[[2]string]bool{}
	for _, f := range aggregate.Facts() {
		if !known[f.Type] || f.Writer == "" || aggregate.CheckKind(f.Kind) != nil || pairs[[2]string{f.Kind, f.Type}] {
			t.Errorf("%+v", f)
		}
		pairs[[2]string{f.Kind, f.Type}], written[f.Type] = true, true
	}
	for typ := range known {
		if !written[typ] {
			t.Errorf("nobody writes %s", typ)
		}
	}
}
