package activity_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/reason"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	noon = timestamppb.New(time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC))
	erin = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Nimbus Cloud",
		Person: &lockboxv1.Person{Subject: "erin", DisplayName: "Erin Ellis"}}
	otto = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
		Person: &lockboxv1.Person{Subject: "otto", DisplayName: "Otto Owens"}}
)

// everyFact returns an empty event of each kind that the contract knows.
func everyFact() map[string]*lockboxv1.Event {
	events := map[string]*lockboxv1.Event{}
	fields := new(lockboxv1.Event).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	for i := range fields.Len() {
		e := &lockboxv1.Event{Tenant: "meadowbank", Kind: "request", AggregateId: "id", Time: noon}
		field := fields.Get(i)
		e.ProtoReflect().Set(field, protoreflect.ValueOfMessage(e.ProtoReflect().NewField(field).Message()))
		events[string(field.Message().Name())] = e
	}
	return events
}

// control: nist:AU-2
func TestEveryFactHasANameAndASentence(t *testing.T) {
	seen := map[string]string{}
	for typ, e := range everyFact() {
		if got := aggregate.TypeOf(e); got != typ {
			t.Errorf("%s: Type is %q", typ, got)
		}
		for _, by := range []*lockboxv1.Actor{nil, {Side: lockboxv1.Side_SIDE_SYSTEM, Service: "lockbox-orchestrator"},
			erin} {
			e.Actor = by
			action, summary := activity.In("en").Describe(e)
			if action == "" || !strings.HasSuffix(summary, ".") || strings.Contains(summary, "%!") ||
				strings.Contains(summary, "\n") {
				t.Errorf("%s: action %q, summary %q", typ, action, summary)
			}
			seen[action] = typ
		}
		action, _ := activity.In("en").Describe(e)
		if !slices.Contains(activity.Actions(), action) {
			t.Errorf("%s: %q is not among the actions", typ, action)
		}
		for _, filter := range []string{typ, action, strings.ToUpper(action), strings.ToLower(action)} {
			if got := activity.Types(filter); !slices.Equal(got, []string{typ}) {
				t.Errorf("filter %q means %v, want %s", filter, got, typ)
			}
		}
	}
	if len(seen) != len(activity.Actions()) || len(seen) != len(everyFact()) {
		t.Errorf("%d names for %d facts, %d listed", len(seen), len(everyFact()), len(activity.Actions()))
	}
}

func TestTheReferencesOwnNames(t *testing.T) {
	for typ, want := range map[string]string{
		"CustomerNotified": "Create Lockbox Request", "CustomerApproved": "Approve Lockbox Request",
		"CustomerDenied": "Deny Lockbox Request", "RequestExpired": "Lockbox Request Expiry",
		"RequestWithdrawn": "Cancel Lockbox Request",
	} {
		if got, _ := activity.In("en").Describe(everyFact()[typ]); got != want {
			t.Errorf("%s is called %q, want %q (R39)", typ, got, want)
		}
	}
}

func TestWhatIsNotKnownHasNoName(t *testing.T) {
	if got := activity.Types("Approve Everything"); got != nil {
		t.Errorf("an unknown action means %v", got)
	}
	for _, e := range []*lockboxv1.Event{nil, {}} {
		if action, summary := activity.In("en").Describe(e); action != "" || summary != "" {
			t.Errorf("an event without a fact is described as %q, %q", action, summary)
		}
	}
}

func TestSentences(t *testing.T) {
	approver := func(name string) *lockboxv1.Approver {
		return &lockboxv1.Approver{Person: &lockboxv1.Person{DisplayName: name}}
	}
	sharing := func(a *lockboxv1.Approver) *lockboxv1.Approver {
		a.Person.Subject, a.Person.Email = a.GetPerson().GetDisplayName(), "team@meadowbank.example"
		return a
	}
	for _, row := range []struct {
		want  string
		event *lockboxv1.Event
	}{
		{
			"Erin Ellis (Nimbus Cloud) asked for access (Virtual machines, Memory dump of a running machine) to 2 resources.",
			&lockboxv1.Event{Actor: erin,
				Fact: &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{Intent: &lockboxv1.AccessIntent{
					ResourceType: "compute/virtual-machines", Scenario: "memory-dump", ResourceIds: []string{"a", "b"},
				}}}},
		},
		{
			"Erin Ellis (Nimbus Cloud) asked for access (quantum/annealers, anneal) to 1 resource.",
			&lockboxv1.Event{Actor: erin,
				Fact: &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{Intent: &lockboxv1.AccessIntent{
					ResourceType: "quantum/annealers", Scenario: "anneal", ResourceIds: []string{"a"},
				}}}},
		},
		{
			"Otto Owens signed up for the preview of Virtual machines.",
			&lockboxv1.Event{Actor: otto, Fact: &lockboxv1.Event_PreviewSignedUp{
				PreviewSignedUp: &lockboxv1.PreviewSignedUp{ResourceType: "compute/virtual-machines"}}},
		},
		{
			"Otto Owens approved access to 1 resource for 4 hours.",
			&lockboxv1.Event{Actor: otto, Fact: &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{
				Duration: durationpb.New(4 * time.Hour), ResourceIds: []string{"a"},
			}}},
		},
		{
			"Otto Owens denied access: “Not this week. Ask again on Monday.”.",
			&lockboxv1.Event{Actor: otto, Fact: &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{
				Reason: "Not this week.\n\tAsk again on Monday.",
			}}},
		},
		{
			"The customer was notified: Grace, Otto and Fleur can decide until 2026-03-02 12:00:00 UTC, and 2 of them must agree.",
			&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerNotified{CustomerNotified: &lockboxv1.CustomerNotified{
				Approvers: []*lockboxv1.Approver{approver("Grace"), approver("Otto"), approver("Fleur")}, RequiredApprovals: 2,
				ExpiresAt: noon,
			}}},
		},
		{
			"The customer was notified: Grace and Otto can decide until 2026-03-02 12:00:00 UTC. Not asked, because of the requester’s e-mail address: Erin Ellis. Grace and Otto share an e-mail address.",
			&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerNotified{CustomerNotified: &lockboxv1.CustomerNotified{
				Approvers: []*lockboxv1.Approver{sharing(approver("Grace")), sharing(approver("Otto"))}, ExpiresAt: noon,
				Excluded: []*lockboxv1.ExcludedAssignment{
					{Person: erin.GetPerson(), CodedReason: reason.Of(lockboxv1.ReasonCode_REASON_CODE_REQUESTERS_ADDRESS)},
					{Person: otto.GetPerson(), CodedReason: reason.Of(lockboxv1.ReasonCode_REASON_CODE_ROLE_NOT_ACTIVATED)},
				},
			}}},
		},
		{
			"The customer was notified: a, b, c, d, e and 2 others can decide until 2026-03-02 12:00:00 UTC.",
			&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerNotified{CustomerNotified: &lockboxv1.CustomerNotified{
				Approvers: []*lockboxv1.Approver{approver("a"), approver("b"), approver("c"), approver("d"), approver("e"),
					approver("f"), approver("g")}, ExpiresAt: noon,
			}}},
		},
		{
			"Access to 1 resource began and lasts until 2026-03-02 12:00:00 UTC, without asking the customer, because the tenant has not switched Lockbox on.",
			&lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{
				EndsAt: noon, ResourceIds: []string{"a"}, Waiver: lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED,
			}}},
		},
		{
			"Access (Virtual machines, Restart of the machine by the platform, with administrator rights) to 1 resource began and lasts until 2026-03-02 12:00:00 UTC, without asking the customer, because the operation reaches no customer data.",
			&lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{
				EndsAt: noon, ResourceIds: []string{"a"}, Waiver: lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA,
				ResourceType: "compute/virtual-machines", Scenario: "restart",
				Mode: lockboxv1.AccessMode_ACCESS_MODE_ELEVATED,
			}}},
		},
		{
			"Access (Storage, tidy, with changes) to 1 resource began and lasts until 2026-03-02 12:00:00 UTC, as the customer approved.",
			&lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{
				EndsAt: noon, ResourceIds: []string{"a"}, ResourceType: "storage/accounts", Scenario: "tidy",
				Mode: lockboxv1.AccessMode_ACCESS_MODE_CHANGE,
			}}},
		},
		{
			"Otto Owens made Erin Ellis eligible as Owner of subscription prod, until 2026-03-02 12:00:00 UTC.",
			&lockboxv1.Event{Actor: otto, Kind: "subscription", AggregateId: "prod",
				Fact: &lockboxv1.Event_RoleAssigned{RoleAssigned: &lockboxv1.RoleAssigned{
					Assignment: &lockboxv1.RoleAssignment{Person: erin.GetPerson(), Role: lockboxv1.Role_ROLE_OWNER,
						EligibleOnly: true,
						ExpiresAt:    noon},
				}}},
		},
		{
			"Erin Ellis (Nimbus Cloud) handed ticket T-1 on to the team storage: “knows the disks”.",
			&lockboxv1.Event{Actor: erin, AggregateId: "T-1",
				Fact: &lockboxv1.Event_TicketReassigned{TicketReassigned: &lockboxv1.TicketReassigned{
					Team: "storage", Reason: "knows the disks",
				}}},
		},
	} {
		if _, got := activity.In("en").Describe(row.event); got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
	}
}

// A provider publishes a catalogue of its own, with names of its own.
func TestTheNamesOfTheCatalogueInForce(t *testing.T) {
	text := strings.Replace(string(catalogue.DefaultText()), "name: Virtual machines\n", "name: Machines\n", 1)
	own, err := catalogue.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	e := &lockboxv1.Event{Actor: otto, Fact: &lockboxv1.Event_PreviewSignedUp{
		PreviewSignedUp: &lockboxv1.PreviewSignedUp{ResourceType: "compute/virtual-machines"}}}
	if _, got := activity.In("en").Naming(own).Describe(e); got != "Otto Owens signed up for the preview of Machines." {
		t.Error(got)
	}
}

// Each in its own order, with its own marks, numbers and moments.
func TestSentencesInOtherLanguages(t *testing.T) {
	approvers := func(n int) (list []*lockboxv1.Approver) {
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"}[:n] {
			list = append(list, &lockboxv1.Approver{Person: &lockboxv1.Person{DisplayName: name}})
		}
		return list
	}
	for _, row := range []struct {
		french, japanese string
		event            *lockboxv1.Event
	}{
		{
			"Erin Ellis (Nimbus Cloud) a demandé un accès (Machines virtuelles, Image mémoire d’une machine en cours d’exécution) à 2 ressources.",
			"Nimbus Cloud の Erin Ellis が、リソース 2 件へのアクセス（仮想マシン、実行中のマシンのメモリ ダンプ）を要求しました。",
			&lockboxv1.Event{Actor: erin,
				Fact: &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{Intent: &lockboxv1.AccessIntent{
					ResourceType: "compute/virtual-machines", Scenario: "memory-dump", ResourceIds: []string{"a", "b"},
				}}}},
		},
		{
			"Otto Owens a approuvé l’accès à 1 ressource pour une durée de 1 heure 30 minutes : « Go ahead. ».",
			"Otto Owens が、リソース 1 件への 1 時間 30 分のアクセスを承認しました（理由：「Go ahead.」）。",
			&lockboxv1.Event{Actor: otto, Fact: &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{
				Duration: durationpb.New(90 * time.Minute), ResourceIds: []string{"a"}, Reason: "Go\nahead.",
			}}},
		},
		{
			"Le client a été informé : la décision revient à a, b et c, jusqu’au lundi 2 mars 2026 à 12 h 00 UTC, et 2 approbations sont nécessaires.",
			"お客様に通知しました。a、b、c が 2026年3月2日（月）12:00 UTC まで判断でき、うち 2 名の承認が必要です。",
			&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerNotified{CustomerNotified: &lockboxv1.CustomerNotified{
				Approvers: approvers(3), RequiredApprovals: 2, ExpiresAt: noon,
			}}},
		},
		{
			"Le client a été informé : la décision revient à a, b, c, d, e et 2 autres personnes, jusqu’au lundi 2 mars 2026 à 12 h 00 UTC.",
			"お客様に通知しました。a、b、c、d、e、ほか 2 名 が 2026年3月2日（月）12:00 UTC まで判断できます。",
			&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerNotified{
				CustomerNotified: &lockboxv1.CustomerNotified{Approvers: approvers(7), ExpiresAt: noon}}},
		},
		{
			"L’accès (Machines virtuelles, Image mémoire d’une machine en cours d’exécution, en lecture seule) à 1 ressource a commencé et dure jusqu’au lundi 2 mars 2026 à 12 h 00 UTC, conformément à l’approbation du client.",
			"お客様の承認に基づき、リソース 1 件へのアクセス（仮想マシン、実行中のマシンのメモリ ダンプ、読み取りのみ）が開始されました。終了予定は 2026年3月2日（月）12:00 UTC です。",
			&lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{
				EndsAt: noon, ResourceIds: []string{"a"}, ResourceType: "compute/virtual-machines", Scenario: "memory-dump",
				Mode: lockboxv1.AccessMode_ACCESS_MODE_READ,
			}}},
		},
		{
			"Otto Owens a rendu Erin Ellis éligible au rôle « Propriétaire » de l’abonnement prod, jusqu’au lundi 2 mars 2026 à 12 h 00 UTC.",
			"Otto Owens が、サブスクリプション prod のロール「所有者」をアクティブ化する資格を Erin Ellis に与えました（期限：2026年3月2日（月）12:00 UTC）。",
			&lockboxv1.Event{Actor: otto, Kind: "subscription", AggregateId: "prod",
				Fact: &lockboxv1.Event_RoleAssigned{RoleAssigned: &lockboxv1.RoleAssigned{
					Assignment: &lockboxv1.RoleAssignment{Person: erin.GetPerson(), Role: lockboxv1.Role_ROLE_OWNER,
						EligibleOnly: true,
						ExpiresAt:    noon},
				}}},
		},
		{
			"Lockbox a modifié les paramètres : 1 approbation nécessaire, 0 contact secondaire averti.",
			"Lockbox が設定を変更しました（必要な承認 1 件、通知する代替連絡先 0 件）。",
			&lockboxv1.Event{Fact: &lockboxv1.Event_SettingsChanged{SettingsChanged: &lockboxv1.SettingsChanged{}}},
		},
	} {
		for tag, want := range map[string]string{"fr": row.french, "ja": row.japanese} {
			_, got := activity.In(tag).Describe(row.event)
			if got = strings.ReplaceAll(got, "\u00a0", " "); got != want {
				t.Errorf("%s: got  %s\nwant %s", tag, got, want)
			}
		}
	}
}

func TestWhatAServiceDecidedIsSaidFromTheCodeOrAsItWasRecorded(t *testing.T) {
	lapsed := &lockboxv1.AccessLapsed{Reason: "an approver lost the role before access began (R20)"}
	refused := &lockboxv1.AccessEvaluated{
		Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED,
		Refusal: &lockboxv1.Refusal{Message: "the tenant has no such ticket"},
	}
	says := func(language string, wants ...string) {
		t.Helper()
		for i, e := range []*lockboxv1.Event{
			{Fact: &lockboxv1.Event_AccessLapsed{AccessLapsed: lapsed}},
			{Fact: &lockboxv1.Event_AccessEvaluated{AccessEvaluated: refused}},
		} {
			if _, got := activity.In(language).Describe(e); got != wants[i] {
				t.Errorf("%s: %q, want %q", language, got, wants[i])
			}
		}
	}
	says("en", "The approval lapsed before access began: “an approver lost the role before access began (R20)”.",
		"Evaluation refused the intent: “the tenant has no such ticket”.")
	lapsed.CodedReason = &lockboxv1.Reason{Code: lockboxv1.ReasonCode_REASON_CODE_APPROVER_LOST_ROLE}
	refused.Refusal.CodedReason = &lockboxv1.Reason{Code: lockboxv1.ReasonCode_REASON_CODE_TICKET_NOT_FOUND}
	says("en", "The approval lapsed before access began. An approver no longer had the required role when access was due to start.",
		"Evaluation refused the intent. The organisation has no such support ticket.")
	for _, language := range []string{"fr", "ja"} {
		for _, e := range []*lockboxv1.Event{
			{Fact: &lockboxv1.Event_AccessLapsed{AccessLapsed: lapsed}},
			{Fact: &lockboxv1.Event_AccessEvaluated{AccessEvaluated: refused}},
		} {
			if _, got := activity.In(language).Describe(e); strings.Contains(got, "approver") ||
				strings.Contains(got, "tenant") || !strings.HasSuffix(got, reasonOf(language, e)) {
				t.Errorf("%s: %q", language, got)
			}
		}
	}
}

func reasonOf(language string, e *lockboxv1.Event) string {
	if f := e.GetAccessLapsed(); f != nil {
		return reason.Sentence(language, f.GetCodedReason())
	}
	return reason.Sentence(language, e.GetAccessEvaluated().GetRefusal().GetCodedReason())
}

func TestASentenceRepeatsOnlyTheBeginningOfALongText(t *testing.T) {
	e := &lockboxv1.Event{Actor: otto,
		Fact: &lockboxv1.Event_QuestionAsked{QuestionAsked: &lockboxv1.QuestionAsked{Text: strings.Repeat("花", 4000)}}}
	_, summary := activity.In("en").Describe(e)
	if n := utf8.RuneCountInString(summary); n > 200 || !utf8.ValidString(summary) || !strings.Contains(summary, "…") {
		t.Errorf("%d characters: %s", n, summary)
	}
}

func TestConcerned(t *testing.T) {
	intent := &lockboxv1.AccessIntent{SubscriptionId: "prod", ResourceIds: []string{"/subscriptions/prod/vm1"}}
	for name, row := range map[string]struct {
		event *lockboxv1.Event
		want  activity.Concern
	}{
		"a request's beginning": {
			&lockboxv1.Event{Kind: "request", AggregateId: "r1",
				Fact: &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{Intent: intent}}},
			activity.Concern{RequestID: "r1", SubscriptionID: "prod", ResourceIDs: intent.GetResourceIds()},
		},
		"a later event of it": {
			&lockboxv1.Event{Kind: "request", AggregateId: "r1",
				Fact: &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{}}},
			activity.Concern{RequestID: "r1"},
		},
		"a narrowed approval": {
			&lockboxv1.Event{Kind: "request", AggregateId: "r1",
				Fact: &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{ResourceIds: []string{"x"}}}},
			activity.Concern{RequestID: "r1", ResourceIDs: []string{"x"}},
		},
		"a report about it": {
			&lockboxv1.Event{Kind: "delivery", AggregateId: "d1", CorrelationId: "r1",
				Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{}}},
			activity.Concern{RequestID: "r1"},
		},
		"a subscription's role": {
			&lockboxv1.Event{Kind: "subscription", AggregateId: "prod",
				Fact: &lockboxv1.Event_RoleRemoved{RoleRemoved: &lockboxv1.RoleRemoved{}}},
			activity.Concern{SubscriptionID: "prod"},
		},
		"a tenant's role": {
			&lockboxv1.Event{Kind: "tenant", AggregateId: "meadowbank",
				Fact: &lockboxv1.Event_RoleRemoved{RoleRemoved: &lockboxv1.RoleRemoved{}}},
			activity.Concern{},
		},
		"a ticket": {
			&lockboxv1.Event{Kind: "ticket", AggregateId: "T-1",
				Fact: &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{SubscriptionId: "prod"}}},
			activity.Concern{SubscriptionID: "prod"},
		},
	} {
		got := activity.Concerned(row.event)
		if got.RequestID != row.want.RequestID || got.SubscriptionID != row.want.SubscriptionID ||
			!slices.Equal(got.ResourceIDs, row.want.ResourceIDs) {
			t.Errorf("%s: %+v, want %+v", name, got, row.want)
		}
	}
}

func TestAnEntryIsTheEventAtItsPlace(t *testing.T) {
	e := everyFact()["CustomerDenied"]
	e.Actor = otto
	e.Version = 4
	want := &lockboxv1.TimelineEntry{
		Sequence: 7, Time: noon, Type: "CustomerDenied", Action: "Deny Lockbox Request", Actor: otto,
		Summary: "Otto Owens denied access.",
		Version: 4, Title: "Deny Lockbox Request",
	}
	if got := activity.Entry(7, e); !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	want.Title, want.Summary = "Lockbox 要求の拒否", "Otto Owens がアクセスを拒否しました。"
	if got := activity.In("ja").Entry(7, e); !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
