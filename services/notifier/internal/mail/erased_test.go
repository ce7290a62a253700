package mail

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// lasting is what a mail says that nobody wrote, or that is never erased.
var lasting = []string{"Provider", "PortalURL", "Contact", "Statement", "TenantID", "Tenant", "Zone", "Organisation",
	"RequestID", "TicketID", "Service", "Scenario", "Operation", "Targets", "Subscription", "Resources", "Employer",
	"Group", "DisclosureID", "ErasureID", "ResourceType", "PersonEmail", "Subject", "SubscriptionID", "Issuer", "Webhook",
	"WebhookAddress", "LogRoot"}

// R63: whatever of a mail can be erased reads so in the reader's language.
func TestR63EverythingThatCanBeErasedReadsSo(t *testing.T) {
	const gone = "otto " + erasable.Erased
	n := plan.Notification{Data: plan.Data{Closer: &plan.Closer{By: gone}, Approvals: []plan.Approval{{By: gone}},
		Differences: &plan.Differences{Missing: []string{gone}, Added: []string{gone}, Altered: []string{gone}}}}
	of := reflect.ValueOf(&n.Data).Elem()
	for i := range of.NumField() {
		switch f := of.Field(i).Addr().Interface().(type) {
		case *string:
			*f = erasable.Erased
		case *[]string:
			*f = []string{gone}
		}
	}
	for _, language := range tenant.Languages {
		left := newWriter(renderer(t).messages[language], n).n.Data
		for i := range of.NumField() {
			name, value := of.Type().Field(i).Name, reflect.ValueOf(left).Field(i).Interface()
			if s, is := value.(string); is {
				value = []string{s}
			}
			list, is := value.([]string)
			if raw := slices.ContainsFunc(list, english); is && raw != slices.Contains(lasting, name) && language != "en" {
				t.Errorf("%s: %s is %q", language, name, list)
			}
		}
		for _, name := range slices.Concat([]string{left.Closer.By, left.Approvals[0].By}, left.Differences.Missing,
			left.Differences.Added, left.Differences.Altered) {
			if !strings.Contains(name, "otto") || english(name) {
				t.Errorf("%s: somebody is called %q", language, name)
			}
		}
	}
	if n.Data.Closer.By != gone || n.Data.Approvals[0].By != gone || n.Data.Differences.Added[0] != gone {
		t.Error("to render a mail changes what it was rendered from")
	}
}

func english(s string) bool { return strings.Contains(s, erasable.Erased) }

// R63: a mail that goes after its people and texts were erased.
func TestR63AMailAboutWhatWasErased(t *testing.T) {
	for language, says := range map[string][]string{
		"en": {"rina (name erased) of Fabrikam", "> [erased]"},
		"fr": {"rina (nom effacé)", "> [effacé]"},
		"ja": {"rina（氏名は消去済み）", "> ［消去済み］"},
	} {
		n := sample(plan.ApprovalRequested, language)
		n.Data.Requester, n.Data.Justification = plan.Name(&lockboxv1.Person{Subject: "rina", Erased: true}), erasable.Erased
		mail := render(t, n)
		for _, want := range says {
			if !strings.Contains(strings.Join(strings.Fields(mail.plain), " "), want) {
				t.Errorf("%s: want %q:\n%s", language, want, mail.plain)
			}
		}
	}
	settings := sample(plan.SettingsChanged, "en")
	settings.Data.Settings.Alternates = []*lockboxv1.AlternateAddress{{}, {Email: "audit@meadowbank.example"}}
	if mail := render(t, settings); !strings.Contains(mail.plain, "[address erased], audit@meadowbank.example") {
		t.Error(mail.plain)
	}
}

// R63: what a tenant's own administrator decides does not read as if the provider had.
func TestR63WhoDecidedOnAnErasure(t *testing.T) {
	n := sample(plan.ErasureDecided, "en")
	n.Data.By, n.Data.Organisation, n.Data.Proposer = "Claire Dubois", "Meadow Bank", ""
	if mail := render(t, n); !strings.Contains(mail.plain, "Claire Dubois has decided to erase") ||
		strings.Contains(mail.plain, "Proposed by") || strings.Contains(mail.plain, "confirmed") {
		t.Error(mail.plain)
	}
	n.Standing, n.Data.Proposer, n.Data.Erased = plan.SecurityOfficer, "Ada Miller", nil
	for range 50 {
		n.Data.Erased = append(n.Data.Erased, &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Texts{
			Texts: &lockboxv1.ErasedTexts{Kind: "signing", AggregateId: "writers", Version: "3"}}})
	}
	mail := render(t, n)
	if strings.Contains(mail.plain, "your records") || strings.Count(mail.plain, "the log, under writers") != mostListed ||
		!strings.Contains(mail.plain, "38 more") {
		t.Error(mail.plain)
	}
}

// erasurePage is the page on which whoever is mailed about an erasure finds it; empty: none.
func erasurePage(n plan.Notification) string {
	switch {
	case n.Standing == plan.SecurityOfficer && n.Template == plan.ErasureConfirmation:
		return "/provider/erasures/" + requestID
	case n.Standing == plan.SecurityOfficer && erases(n.Template):
		return "/provider/erasures"
	case n.Standing == plan.Administrator && erases(n.Template):
		return "/t/meadowbank/erasures"
	}
	return ""
}
