package shown

import (
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Asked is one of the people who were asked to decide for the customer, and what came of it.
type Asked struct {
	Name, Email string
	Roles       []lockboxv1.Role
	// You: it is the reader.
	You bool
	// Decision is nil while they have not decided.
	Decision *lockboxv1.Decision
	// Mail is what became of the last mail that asked them; nil: none is known of.
	Mail *lockboxv1.DeliveryView
	// MailFailed is why that mail could not be delivered.
	MailFailed reason.Text
}

// asking are the mails by which people learn that their decision is wanted, or somebody's.
var asking = []string{"approval-requested", "approval-reminder", "approval-requested-alternate", "nobody-to-ask"}

// Asked are the people who may decide for the customer. The provider's people are not told who they are.
func (r Request) AskedPeople() []Asked {
	var list []Asked
	for _, a := range r.GetLockbox().GetApprovers() {
		each := Asked{
			Name: Name(a.GetPerson()), Email: a.GetPerson().GetEmail(), Roles: a.GetRoles(),
			You: tenant.SamePerson(a.GetPerson(), r.Reader),
		}
		each.Mail, each.MailFailed = r.mail(a.GetPerson().GetEmail())
		for _, d := range r.GetCustomerDecisions() {
			if tenant.SamePerson(d.GetActor().GetPerson(), a.GetPerson()) {
				each.Decision = d
			}
		}
		list = append(list, each)
	}
	return list
}

// Told are the addresses that were told and may decide nothing (R24).
func (r Request) Told() []Asked {
	var list []Asked
	for _, a := range r.GetLockbox().GetAlternates() {
		each := Asked{Name: a.GetEmail(), Email: a.GetEmail()}
		each.Mail, each.MailFailed = r.mail(a.GetEmail())
		list = append(list, each)
	}
	return list
}

// mail is the last that asked somebody, and why it could not be delivered.
func (r Request) mail(address string) (*lockboxv1.DeliveryView, reason.Text) {
	for _, d := range slices.Backward(r.GetDeliveries()) {
		if slices.Contains(asking, d.GetTemplate()) && strings.EqualFold(d.GetRecipient(), address) {
			return d, reason.Show(r.Say.Language, d.GetCodedFailure(), d.GetFailure())
		}
	}
	return nil, reason.Text{}
}

// Role is what a role is called.
func (r Request) Role(role lockboxv1.Role) (string, error) {
	return r.Say.Say(ID("status.role", role.String(), "ROLE_"))
}

// Waiver is why the customer is not asked; empty: they are.
func (r Request) Waiver() (string, error) {
	w := r.GetEvaluation().GetWaiver()
	if w == lockboxv1.Waiver_WAIVER_UNSPECIFIED {
		return "", nil
	}
	return r.Say.Say(ID("status.waiver", w.String(), "WAIVER_"))
}

// Basis is on whose behalf the approvers decide.
func (r Request) Basis() (string, error) {
	return r.Say.Say(ID("status.basis", r.GetLockbox().GetBasis().String(), "APPROVER_BASIS_"))
}

// Effect is what a rule did.
func (r Request) Effect(e lockboxv1.RuleEffect) (string, error) {
	return r.Say.Say(ID("status.effect", e.String(), "RULE_EFFECT_"))
}

// Reasons are those of the evaluation.
func (r Request) Reasons() []reason.Text {
	e := r.GetEvaluation()
	return reason.ShowAll(r.Say.Language, e.GetCodedReasons(), e.GetReasons())
}

// NotCounted says why an assignment does not count.
func (r Request) NotCounted(e *lockboxv1.ExcludedAssignment) reason.Text {
	return reason.Show(r.Say.Language, e.GetCodedReason(), e.GetReason())
}

// Ended is why a service ended the request by itself.
func (r Request) Ended() reason.Text {
	return reason.Show(r.Say.Language, r.GetCodedEndReason(), r.GetEndReason())
}
