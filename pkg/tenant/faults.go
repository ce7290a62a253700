package tenant

import (
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const settingsField = "change_settings.settings"

// Faults returns what is wrong with what a command about a tenant says, whoever gives it and whatever the tenant is
// like, so that they can correct all of it at once. Errors may be nil.
func Faults(c *lockboxv1.Command) []error {
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_ChangeSettings:
		return settingsFaults(a.ChangeSettings.GetSettings())
	case *lockboxv1.Command_CreateTenant:
		t := a.CreateTenant
		faults := []error{
			input.Tenant("tenant", c.GetTenant()),
			prose.CheckLine("create_tenant.display_name", t.GetDisplayName(), 1, 120),
			plan("create_tenant.plan", t.GetPlan()),
			language("create_tenant.default_language", t.GetDefaultLanguage(), false),
		}
		if p := t.GetAdministrator(); p != nil {
			faults = append(faults, personFaults("create_tenant.administrator", p)...)
		}
		return faults
	case *lockboxv1.Command_AssignRole:
		const field = "assign_role.assignment"
		as := a.AssignRole.GetAssignment()
		faults := []error{input.Token(field+".id", as.GetId())}
		if as.GetGroup() == "" {
			faults = append(faults, personFaults(field+".person", as.GetPerson())...)
		}
		return faults
	case *lockboxv1.Command_InviteRole:
		i := a.InviteRole.GetInvitation()
		return []error{input.Token("invite_role.invitation.id", i.GetId()),
			prose.CheckLine("invite_role.invitation.note", i.GetNote(), 1, 120)}
	case *lockboxv1.Command_AddWebhook:
		w := a.AddWebhook
		_, err := WebhookAddress("add_webhook.secret_url", w.GetSecretUrl())
		return append(webhookFaults(&lockboxv1.Webhook{Kind: w.GetKind(), Name: w.GetName(), Types: w.GetTypes(),
			Language: w.GetLanguage()}, true), err, checkWebhookSecret(w))
	}
	return nil
}

// personFaults returns what is wrong with a person who is to hold a role.
func personFaults(field string, p *lockboxv1.Person) []error {
	return []error{
		prose.CheckLine(field+".subject", p.GetSubject(), 1, 255),
		prose.CheckLine(field+".display_name", p.GetDisplayName(), 1, 120),
		input.Email(field+".email", p.GetEmail()),
		language(field+".language", p.GetLanguage(), true),
	}
}

// settingsFaults returns what is wrong with settings, but for whether whoever sets them meets them.
func settingsFaults(in *lockboxv1.TenantSettings) []error {
	const field = settingsField
	faults := []error{language(field+".default_language", in.GetDefaultLanguage(), false)}
	if in.GetSignedApprovalsOnly() {
		faults = append(faults, refusal.Precondition(field+".signed_approvals_only", "R42",
			"signed approvals are demanded with the customer's keys, not with a setting"))
	}
	if in.GetRequiredApprovals() > maxApprovals {
		faults = append(faults, refusal.Naming(
			refusal.Invalid(field+".required_approvals", "R30", "at most %d approvals can be demanded", maxApprovals),
			"most", strconv.Itoa(maxApprovals)))
	}
	if len(in.GetAlternates()) > maxAlternates {
		faults = append(faults, refusal.Naming(
			refusal.Invalid(field+".alternates", "R24", "at most %d alternate addresses are told", maxAlternates),
			"most", strconv.Itoa(maxAlternates)))
	}
	seen := map[string]bool{}
	for _, a := range in.GetAlternates() {
		faults = append(faults, input.Email(field+".alternates.email", a.GetEmail()),
			language(field+".alternates.language", a.GetLanguage(), true))
		address := strings.ToLower(a.GetEmail())
		if seen[address] {
			faults = append(faults, refusal.Because(
				refusal.Invalid(field+".alternates.email", "R24", "each address is named once"),
				reason.Of(lockboxv1.ReasonCode_REASON_CODE_ADDRESS_NAMED_TWICE)))
		}
		seen[address] = true
	}
	if _, known := lockboxv1.Fallback_name[int32(in.GetFallback())]; !known {
		faults = append(faults, refusal.Invalid(field+".fallback", "R23", "is not a fallback that this version knows"))
	}
	if _, known := lockboxv1.DecidersShown_name[int32(in.GetDecidersShown())]; !known {
		faults = append(faults, refusal.Invalid(field+".deciders_shown", "R29", "is not a choice that this version knows"))
	}
	if in.GetTimeZone() != "" && !timetext.KnownZone(in.GetTimeZone()) {
		faults = append(faults, refusal.Invalid(field+".time_zone", "R60",
			"is not a time zone that this version knows: Europe/Paris"))
	}
	return faults
}
