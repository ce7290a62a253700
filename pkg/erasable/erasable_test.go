package erasable_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/reason"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// store is a key store in memory: each owner has a key, and each event one for its texts.
type store struct {
	ids  map[erasable.Owner]erasable.KeyID
	keys map[erasable.KeyID]erasable.Key
	gone map[erasable.KeyID]bool
}

func newStore() *store {
	return &store{map[erasable.Owner]erasable.KeyID{}, map[erasable.KeyID]erasable.Key{}, map[erasable.KeyID]bool{}}
}

func (s *store) of(o erasable.Owner) (erasable.KeyID, erasable.Key, error) {
	id, known := s.ids[o]
	if !known {
		id.Page[0], id.Place = byte(len(s.keys)+1), uint8(len(s.keys))
		s.ids[o], s.keys[id] = id, erasable.Key{byte(len(s.keys) + 1)}
	}
	return id, s.keys[id], nil
}

func (s *store) find(id erasable.KeyID) (erasable.Key, erasable.Standing, error) {
	if s.gone[id] {
		return erasable.Key{}, erasable.Destroyed, nil
	}
	key, known := s.keys[id]
	if !known {
		return key, erasable.Unknown, nil
	}
	return key, erasable.Readable, nil
}

func denied() *lockboxv1.Event {
	return &lockboxv1.Event{
		Tenant: "contoso", Kind: "request", AggregateId: "r", Version: 4,
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: &lockboxv1.Person{
			Issuer: "https://id.example", Subject: "otto", DisplayName: "Otto Okoye", Email: "otto@contoso.example"}},
		Fact: &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{Reason: "Not while we audit."}},
	}
}

func TestWhatIsSealedOpensAgain(t *testing.T) {
	e, s := denied(), newStore()
	must(t, erasable.Seal(e, s.of))
	stored, err := proto.Marshal(e)
	must(t, err)
	for _, plain := range []string{"Otto", "contoso.example", "audit"} {
		if strings.Contains(string(stored), plain) {
			t.Errorf("the stored event shows %q", plain)
		}
	}
	for _, stays := range []string{"https://id.example", "otto", "contoso"} {
		if !strings.Contains(string(stored), stays) {
			t.Errorf("the stored event has lost %q, on which folds decide", stays)
		}
	}
	must(t, erasable.Open(e, s.find))
	if !proto.Equal(e, denied()) {
		t.Errorf("opened: %v", e)
	}
}

func TestTheAnswerOfAMailServerIsErasedWhereverItStands(t *testing.T) {
	answer := "550 otto@contoso.example is unknown here"
	e, s := &lockboxv1.Event{Fact: &lockboxv1.Event_NotificationFailed{NotificationFailed: &lockboxv1.NotificationFailed{
		Error: answer, CodedReason: reason.Of(lockboxv1.ReasonCode_REASON_CODE_MAIL_REFUSED, "answer", answer)}}}, newStore()
	must(t, erasable.Seal(e, s.of))
	if text := prototext.Format(e); strings.Contains(text, "otto") {
		t.Errorf("%s", text)
	}
	must(t, erasable.Open(e, s.find))
	if e.GetNotificationFailed().GetCodedReason().GetParameters()[0].GetValue() != answer {
		t.Errorf("opened: %v", e)
	}
}

// Somebody copies a value that is encrypted for another customer, and has it opened as a text of their own.
func TestACopiedValueIsNotOpened(t *testing.T) {
	theirs, s := denied(), newStore()
	must(t, erasable.Seal(theirs, s.of))
	value := theirs.GetCustomerDenied().GetReason()
	e := denied()
	e.Tenant, e.GetCustomerDenied().Reason = "fabrikam", value
	must(t, erasable.Seal(e, s.of))
	must(t, erasable.Open(e, s.find))
	if got := e.GetCustomerDenied().GetReason(); got != value {
		t.Errorf("it reads %q", got)
	}
}

func TestWithoutAKeyOnlyItsOwnValuesAreGone(t *testing.T) {
	e, s := denied(), newStore()
	must(t, erasable.Seal(e, s.of))
	texts := erasable.Keys(e, true)
	if all := erasable.Keys(e, false); len(all) != 2 || len(texts) != 1 {
		t.Fatalf("%d keys, %d of them of texts", len(all), len(texts))
	}
	s.gone[texts[0]] = true
	one := proto.CloneOf(e)
	must(t, erasable.Open(one, s.find))
	want := denied()
	want.GetCustomerDenied().Reason = erasable.Erased
	if !proto.Equal(one, want) {
		t.Errorf("without the text's key: %v", one)
	}
	s.gone[s.ids[erasable.Owner{Issuer: "https://id.example", Subject: "otto"}]] = true
	must(t, erasable.Open(e, s.find))
	want.Actor.Person = &lockboxv1.Person{Issuer: "https://id.example", Subject: "otto", Erased: true}
	if !proto.Equal(e, want) {
		t.Errorf("without both keys: %v", e)
	}
	must(t, erasable.Seal(e, s.of))
	if e.GetActor().GetPerson().GetErased() {
		t.Error("that somebody is erased would be stored")
	}
}

// Of what an event says as text, this stays: nothing of it can be erased, because folds decide by it, or because nobody
// wrote it. Whatever is new has to be decided about.
var stays = strings.Fields(`
	AccessEvaluated.catalogue_version AccessEvaluated.policy_version AccessEvaluated.reasons
	AccessGranted.resource_ids AccessGranted.resource_type AccessGranted.scenario AccessIntent.id
	AccessIntent.resource_ids AccessIntent.resource_type AccessIntent.scenario AccessIntent.signed_by
	AccessIntent.subscription_id AccessIntent.tenant AccessIntent.ticket_id AccessIntent.token
	AccessIntent.trace_parent AccessLapsed.reason AccessRequested.ticket_id AccessRequested.tool Actor.employer
	Actor.groups Actor.service AlternateAddress.language CataloguePublished.text CataloguePublished.version
	CheckpointSigned.note CustomerApproved.resource_ids CustomerNotified.subscription_name
	CustomerNotified.tenant_name DifferenceFound.detail DifferenceFound.subjects DifferenceFound.where
	ErasedAddress.address ErasedPerson.issuer ErasedPerson.subject ErasedTexts.aggregate_id ErasedTexts.kind
	ErasedTexts.version EvaluationFacts.scenario_name EvaluationFacts.service_name Event.aggregate_id
	Event.causation_id Event.correlation_id Event.id Event.kind Event.report_key Event.tenant Event.trace_parent
	ExcludedAssignment.reason InternalStage.group InvitationEnded.invitation_id InvitationRedeemed.invitation_id
	KeysSighted.log_keys LogKeyChanged.note MappedGroup.id MappedGroup.name MatchedRule.id MatchedRule.reason
	MessageSetAside.subject Notification.event_id Notification.id Notification.language Notification.message_id
	Notification.template Occurrence.resource_ids OwnedSubscription.display_name OwnedSubscription.subscription_id
	OwnedSubscription.tenant OwnershipTransferred.from Person.human Person.issuer Person.language Person.subject
	PreviewSignedOff.resource_type PreviewSignedUp.resource_type QuestionAnswered.question_id
	QuestionAsked.question_id ReasonParameter.name ReasonParameter.value Refusal.field Refusal.message Refusal.rule
	RoleActivated.assignment_id RoleAssignment.group RoleAssignment.id RoleDeactivated.assignment_id
	RoleEnded.assignment_id RoleInvitation.id RoleInvitation.issuer RoleRemoved.assignment_id RulesPublished.text
	RulesPublished.version SignInChange.display_name SignInChangeConfirmed.change_id SignInChangeReminded.change_id
	SignInChangeStopped.change_id SignInChanged.change_id SignatureRefused.about SignatureRefused.field
	SignatureRefused.kind SignatureRefused.rule SignatureRefused.verb SignedIn.stopped_change_id
	SigningBegan.certificates SigningBegan.deployment_key StreamRestored.set_aside
	SubscriptionRegistered.display_name TenantCreated.default_language TenantCreated.display_name
	TenantIssuer.audience TenantIssuer.audiences TenantIssuer.authentication_time_claim TenantIssuer.client_id
	TenantIssuer.groups_claim TenantIssuer.human_claim TenantIssuer.jwks_url TenantIssuer.locale_claim
	TenantIssuer.multi_factor_claim TenantIssuer.multi_factor_classes TenantIssuer.multi_factor_methods
	TenantIssuer.subject_claim TenantIssuer.url TenantSettings.default_language TenantSettings.time_zone
	TicketAssigned.reference TicketAssigned.team TicketClosed.reference TicketCommented.reference
	TicketOpened.reference TicketOpened.subscription_id TicketReassigned.reference TicketReassigned.team
	TicketReopened.reference WaivedAccess.employer WaivedAccess.request_id WaivedAccess.resource_id
	WaivedAccess.scenario_name WaivedAccess.service_name WaivedAccess.subscription_id Webhook.address Webhook.id
	Webhook.language Webhook.name Webhook.types WebhookRemoved.name WebhookRemoved.webhook_id
	WriterCertified.certificate
`)

func TestEachTextOfAnEventCanBeErasedOrStays(t *testing.T) {
	var is []string
	seen := map[protoreflect.FullName]bool{}
	var look func(protoreflect.MessageDescriptor)
	look = func(d protoreflect.MessageDescriptor) {
		if seen[d.FullName()] || d.ParentFile().Package() != "lockbox.v1" {
			return
		}
		seen[d.FullName()] = true
		for i := range d.Fields().Len() {
			switch f := d.Fields().Get(i); {
			case f.Message() != nil:
				look(f.Message())
			case f.Kind() == protoreflect.StringKind &&
				proto.GetExtension(f.Options(), lockboxv1.E_Erasable) == lockboxv1.Erasable_ERASABLE_UNSPECIFIED:
				is = append(is, string(d.Name())+"."+string(f.Name()))
			}
		}
	}
	look((*lockboxv1.Event)(nil).ProtoReflect().Descriptor())
	for _, field := range is {
		if !slices.Contains(stays, field) {
			t.Errorf("%s neither can be erased nor is named as what stays", field)
		}
	}
	for _, field := range stays {
		if !slices.Contains(is, field) {
			t.Errorf("%s is named as what stays, and can be erased or is not there", field)
		}
	}
}

func TestALostKeyIsNotCalledErased(t *testing.T) {
	e := denied()
	must(t, erasable.Seal(e, newStore().of))
	must(t, erasable.Open(e, newStore().find))
	if p := e.GetActor().GetPerson(); p.GetErased() || p.GetDisplayName() != "" || p.GetEmail() != "" ||
		e.GetCustomerDenied().GetReason() != erasable.Unreadable {
		t.Errorf("%v", e)
	}
}

func TestAChangedValueIsNotRead(t *testing.T) {
	id, key := erasable.KeyID{Place: 3}, erasable.Key{1}
	value := erasable.Encrypt(id, key, "Not while we audit.")
	for i := 1; i < len(value); i++ {
		for _, by := range []byte("A_z9") {
			if value[i] == by {
				continue
			}
			changed := value[:i] + string(by) + value[i+1:]
			if text, err := erasable.Decrypt(changed, key); err == nil {
				t.Fatalf("with byte %d changed it reads %q", i, text)
			}
		}
	}
	if _, err := erasable.Decrypt(value, erasable.Key{2}); !errors.Is(err, erasable.ErrDamaged) {
		t.Errorf("with another key: %v", err)
	}
}

func TestTheSameTextGivesTheSameValueUnderOneKeyOnly(t *testing.T) {
	a := erasable.Encrypt(erasable.KeyID{}, erasable.Key{1}, "Otto")
	if a != erasable.Encrypt(erasable.KeyID{}, erasable.Key{1}, "Otto") {
		t.Error("it gives two values")
	}
	if a == erasable.Encrypt(erasable.KeyID{}, erasable.Key{2}, "Otto") ||
		a == erasable.Encrypt(erasable.KeyID{Place: 1}, erasable.Key{1}, "Otto") {
		t.Error("it gives one value under two keys")
	}
}

func TestAnAddressHasOneKeyHoweverItIsWritten(t *testing.T) {
	if erasable.AddressOwner(" Otto@Contoso.example") != erasable.AddressOwner("otto@contoso.example") {
		t.Error("it has two")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheTextsOfAnEventAreThoseThatCanBeRead(t *testing.T) {
	e, s := denied(), newStore()
	if got := erasable.Texts(e); !slices.Equal(got, []string{"Not while we audit."}) {
		t.Errorf("%q", got)
	}
	must(t, erasable.Seal(e, s.of))
	s.gone[erasable.Keys(e, true)[0]] = true
	if got := erasable.Texts(e); len(got) > 0 {
		t.Errorf("encrypted: %q", got)
	}
	must(t, erasable.Open(e, s.find))
	if got := erasable.Texts(e); len(got) > 0 {
		t.Errorf("erased: %q", got)
	}
}
