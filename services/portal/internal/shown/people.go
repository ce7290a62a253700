package shown

import (
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Asked is one of the customer's approvers, with their decision.
type Asked struct {
	Name, Email string
	Roles       []lockboxv1.Role
	// You reports whether this is the reader.
	You bool
	// NeverSignedIn: nothing that they did is recorded.
	NeverSignedIn bool
	// Decision is nil while they have not decided.
	Decision *lockboxv1.Decision
	// Mail is the delivery status of the last mail that asked them; nil if none is known.
	Mail *lockboxv1.DeliveryView
	// MailFailed is why that mail could not be delivered.
	MailFailed reason.Text
}

// asking lists the mail templates that ask for a decision.
var asking = []string{"approval-requested", "approval-reminder", "approval-requested-alternate", "nobody-to-ask"}

// AskedPeople returns the customer's approvers. The provider's people do not see who they are.
func (r Request) AskedPeople() []Asked {
	var list []Asked
	for _, a := range r.GetLockbox().GetApprovers() {
		each := Asked{
			Name: Name(a.GetPerson()), Email: a.GetPerson().GetEmail(), Roles: a.GetRoles(),
			You: tenant.SamePerson(a.GetPerson(), r.Reader),
			NeverSignedIn: slices.ContainsFunc(r.GetNeverSignedIn(),
				func(p *lockboxv1.Person) bool { return tenant.SamePerson(p, a.GetPerson()) }),
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

// Sharing names approvers who share an address: a team's mailbox, or one person.
func (r Request) Sharing() ([]string, error) {
	return r.each("requests.shared-address", tenant.SharedAddresses(r.GetLockbox().GetApprovers()))
}

// Accounts names those who acted, or were asked, with several accounts, which count as one person (R51).
func (r Request) Accounts() ([]string, error) {
	var acted []*lockboxv1.Person
	for _, a := range r.GetLockbox().GetApprovers() {
		acted = append(acted, a.GetPerson())
	}
	for _, e := range r.GetTimeline() {
		acted = append(acted, e.GetActor().GetPerson())
	}
	return r.each("requests.one-human", tenant.OneHuman(acted))
}

// each says something of each group of people.
func (r Request) each(id string, groups [][]*lockboxv1.Person) ([]string, error) {
	var said []string
	for _, people := range groups {
		var names []string
		for _, p := range people {
			names = append(names, Name(p))
		}
		list, err := r.names(names)
		if err != nil {
			return nil, err
		}
		s, err := r.Say.Say(id, "Names", list, "Email", people[0].GetEmail())
		if err != nil {
			return nil, err
		}
		said = append(said, s)
	}
	return said, nil
}

// Told returns the addresses that are notified but cannot decide (R24).
func (r Request) Told() []Asked {
	var list []Asked
	for _, a := range r.GetLockbox().GetAlternates() {
		each := Asked{Name: a.GetEmail(), Email: a.GetEmail()}
		each.Mail, each.MailFailed = r.mail(a.GetEmail())
		list = append(list, each)
	}
	return list
}

// mail returns the delivery status of the last mail that asked for a decision, and why it could not be delivered.
func (r Request) mail(address string) (*lockboxv1.DeliveryView, reason.Text) {
	for _, d := range slices.Backward(r.GetDeliveries()) {
		if slices.Contains(asking, d.GetTemplate()) && strings.EqualFold(d.GetRecipient(), address) {
			return d, reason.Show(r.Say.Language, d.GetCodedFailure(), d.GetFailure())
		}
	}
	return nil, reason.Text{}
}

// Role returns a role's display name.
func (r Request) Role(role lockboxv1.Role) (string, error) {
	return r.Say.Say(ID("status.role", role.String(), "ROLE_"))
}

// Waiver says why the customer is not asked; empty if they are.
func (r Request) Waiver() (string, error) {
	w := r.GetEvaluation().GetWaiver()
	if w == lockboxv1.Waiver_WAIVER_UNSPECIFIED {
		return "", nil
	}
	return r.Say.Say(ID("status.waiver", w.String(), "WAIVER_"))
}

// Unasked says to the customer's people why their approval was not requested; empty if it was, and for others.
func (r Request) Unasked() (string, error) {
	w := r.GetEvaluation().GetWaiver()
	if w == lockboxv1.Waiver_WAIVER_UNSPECIFIED || r.ToProvider {
		return "", nil
	}
	return r.Say.Say(ID("status.unasked", w.String(), "WAIVER_"))
}

// AccessEnds returns when access ended or will end; nil if it never began.
func (r Request) AccessEnds() *timestamppb.Timestamp {
	ends := r.GetGrant().GetEndsAt()
	if at := r.GetEndedAt(); at != nil && ends != nil && at.AsTime().Before(ends.AsTime()) {
		return at
	}
	return ends
}

// EndedBy names who ended it; empty if nobody has.
func (r Request) EndedBy() (string, error) {
	if r.GetEndedBy().GetPerson() == nil {
		return "", nil
	}
	return r.Person(r.GetEndedBy())
}

// TicketCloser names who closed the ticket, if access ended or did not begin because of that; empty otherwise.
func (r Request) TicketCloser() (string, error) {
	if r.GetTicketClosedBy().GetPerson() == nil {
		return "", nil
	}
	return r.Person(r.GetTicketClosedBy())
}

// Lasts says how long access lasted or will last.
func (r Request) Lasts() (string, error) {
	lasts := r.AccessEnds().AsTime().Sub(r.GetGrant().GetStartsAt().AsTime())
	if lasts < time.Minute {
		return r.Say.Say("status.less-than-a-minute")
	}
	return r.Say.Duration(lasts.Truncate(time.Minute)), nil
}

// Basis says on whose behalf the approvers decide, or decided.
func (r Request) Basis() (string, error) {
	part := "status.basis"
	if !r.Pending() {
		part = "status.basis-over"
	}
	return r.Say.Say(ID(part, r.GetLockbox().GetBasis().String(), "APPROVER_BASIS_"))
}

// Effect says what effect a rule had.
func (r Request) Effect(e lockboxv1.RuleEffect) (string, error) {
	return r.Say.Say(ID("status.effect", e.String(), "RULE_EFFECT_"))
}

// Reasons returns the evaluation's reasons.
func (r Request) Reasons() []reason.Text {
	e := r.GetEvaluation()
	return reason.ShowAll(r.Say.Language, e.GetCodedReasons(), e.GetReasons())
}

// NotCounted says why an assignment is not active.
func (r Request) NotCounted(e *lockboxv1.ExcludedAssignment) reason.Text {
	return reason.Show(r.Say.Language, e.GetCodedReason(), e.GetReason())
}

// Ended says why a service ended the request.
func (r Request) Ended() reason.Text {
	return reason.Show(r.Say.Language, r.GetCodedEndReason(), r.GetEndReason())
}
