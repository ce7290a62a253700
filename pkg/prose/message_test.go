package prose_test

import (
	"slices"
	"testing"

	"github.com/openlockbox/lockbox/pkg/prose"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// notProse are the texts of a command or an intent that nobody writes as a sentence: ids, links, claims, and files.
var notProse = []string{
	"AccessIntent.id", "AccessIntent.resource_ids", "AccessIntent.resource_type", "AccessIntent.scenario",
	"AccessIntent.signed_by",
	"AccessIntent.subscription_id", "AccessIntent.tenant", "AccessIntent.token",
	"AccessIntent.trace_parent", "ActivateRole.assignment_id", "ActivateRole.email",
	"Answer.question_id", "Approve.resource_ids",
	"Command.aggregate_id", "Command.id", "Command.tenant", "Command.token", "Command.trace_parent",
	"ConfirmInvitation.invitation_id", "ConfirmInvitation.issuer", "ConfirmInvitation.subject",
	"EndInvitation.invitation_id", "RedeemInvitation.email", "RedeemInvitation.invitation_id", "RoleInvitation.id",
	"RoleInvitation.issuer",
	"ConfirmSignInChange.change_id", "StopSignInChange.change_id",
	"CreateTenant.default_language", "TenantSettings.time_zone", "DeactivateRole.assignment_id",
	"DiscloseLegalDemand.reference",
	"ErasedAddress.address", "ErasedPerson.issuer", "ErasedPerson.subject", "ErasedTexts.aggregate_id", "ErasedTexts.kind",
	"ErasedTexts.version", "SignedStatement.comment_salt",
	"Occurrence.resource_ids", "Person.email", "Person.human", "Person.issuer", "Person.language", "Person.subject",
	"BeginSigning.certificates", "BeginSigning.deployment_key", "CertifyWriter.certificate",
	"PublishCatalogue.text", "PublishRules.text", "RemoveRole.assignment_id", "RoleAssignment.id",
	"AddWebhook.language", "AddWebhook.secret", "AddWebhook.secret_url", "AddWebhook.types", "RemoveWebhook.webhook_id",
	"AlternateAddress.email",
	"AlternateAddress.language", "OpenTicket.subscription_id", "TenantSettings.default_language",
	"SignOffPreview.resource_type", "SignUpPreview.resource_type",
	"TenantIssuer.audience", "TenantIssuer.audiences", "TenantIssuer.client_id", "TenantIssuer.authentication_time_claim",
	"TenantIssuer.groups_claim", "TenantIssuer.human_claim", "TenantIssuer.jwks_url", "MappedGroup.id",
	"TenantIssuer.locale_claim", "TenantIssuer.multi_factor_claim", "TenantIssuer.multi_factor_classes",
	"TenantIssuer.multi_factor_methods", "TenantIssuer.subject_claim", "TenantIssuer.url",
	"TransferSubscription.from",
}

// Each text that somebody may send is either prose or not: a new one has to be decided about.
func TestEachTextIsProseOrNot(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var others []string
	var walk func(protoreflect.MessageDescriptor)
	walk = func(d protoreflect.MessageDescriptor) {
		if seen[d.FullName()] || d.ParentFile().Package() != "lockbox.v1" {
			return
		}
		seen[d.FullName()] = true
		for i := range d.Fields().Len() {
			switch fd := d.Fields().Get(i); {
			case fd.Message() != nil:
				walk(fd.Message())
			case fd.Kind() == protoreflect.StringKind &&
				proto.GetExtension(fd.Options(), lockboxv1.E_Prose) == lockboxv1.Prose_PROSE_UNSPECIFIED:
				others = append(others, string(d.Name())+"."+string(fd.Name()))
			}
		}
	}
	walk(new(lockboxv1.AccessIntent).ProtoReflect().Descriptor())
	walk(new(lockboxv1.Command).ProtoReflect().Descriptor())
	for _, field := range others {
		if !slices.Contains(notProse, field) {
			t.Errorf("%s is neither marked as prose in the contract nor named here as something else", field)
		}
	}
	for _, field := range notProse {
		if !slices.Contains(others, field) {
			t.Errorf("%s is no such text", field)
		}
	}
}

// Only what people write is normalized, wherever in a message it stands; ids, links and claims stay as they came.
func TestOnlyProseOfAMessageIsNormalized(t *testing.T) {
	const pasted, id = "one\r\ntwo\u200B", "/subscriptions/e\u0301"
	c := &lockboxv1.Command{Tenant: id, Token: pasted, Action: &lockboxv1.Command_AssignRole{
		AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{Id: id,
			Person: &lockboxv1.Person{Subject: pasted, DisplayName: pasted}}}}}
	prose.Message(c)
	p := c.GetAssignRole().GetAssignment().GetPerson()
	if c.GetTenant() != id || c.GetToken() != pasted || p.GetSubject() != pasted || p.GetDisplayName() != "one two" {
		t.Errorf("%v", c)
	}
	in := &lockboxv1.AccessIntent{Justification: pasted, ResourceIds: []string{id}, TicketId: pasted}
	prose.Message(in)
	if in.GetJustification() != "one\ntwo" || in.GetResourceIds()[0] != id || in.GetTicketId() != "one two" {
		t.Errorf("%v", in)
	}
	out := &lockboxv1.Command{Action: &lockboxv1.Command_DiscloseExposure{DiscloseExposure: &lockboxv1.DiscloseExposure{
		Occurrence: &lockboxv1.Occurrence{What: pasted, Reason: pasted}}}}
	prose.Message(out)
	if o := out.GetDiscloseExposure().GetOccurrence(); o.GetWhat() != "one two" || o.GetReason() != "one\ntwo" {
		t.Errorf("%v", o)
	}
}
