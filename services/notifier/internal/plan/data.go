package plan

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Data is the language-independent content of a mail. Fields that do not apply are zero. Texts are as recorded: the
// renderer must treat them as untrusted.
type Data struct {
	Provider  string
	PortalURL string
	// Contact is whom to ask about a disclosure or an emergency, as the provider's configuration names it; may be empty.
	Contact string
	// Statement is the address of the provider's statement on government requests for data; empty if there is none.
	Statement string
	TenantID  string
	// Tenant is the customer's display name.
	Tenant string
	// Zone is the IANA name of the time zone in which the recipient reads times; UTC if empty.
	Zone string
	// At is when the event happened; By is who caused it, with their organisation. By is empty for Lockbox itself.
	At               time.Time
	By, Organisation string
	// ByLockbox reports that Lockbox caused it.
	ByLockbox bool
	// Text is what that person wrote: a reason, an answer.
	Text string
	// Why is the reason of an automatic decision by a service. If absent, Text is the sentence that was recorded.
	Why *lockboxv1.Reason

	// Sequence is the place in the stream of the message that an alarm is about.
	Sequence uint64

	// For requests.
	RequestID   string
	TicketID    string
	TicketTitle string
	// TicketOfProvider reports that the provider's ticket system opened the ticket, and not the customer.
	TicketOfProvider bool
	// Closer is who closed the ticket, if access ended or did not begin because of that; nil otherwise.
	Closer            *Closer
	Service, Scenario string
	// Operation is the id of the scenario, and Targets are the resources that were asked for, whatever was granted: they
	// are in the subject, which stays the same from the question to the outcome.
	Operation           string
	Targets             []string
	Subscription        string
	TenantScope         bool
	Resources           []string
	Reason              lockboxv1.ReasonType
	Justification       string
	Requester, Employer string
	// Duration is the requested or granted duration of access.
	Duration  time.Duration
	RespondBy time.Time
	// Others are the approvers who were asked besides the recipient.
	Others   []string
	Asked    int
	Basis    lockboxv1.ApproverBasis
	Required int
	Given    int
	// Short: fewer people were asked than have to approve, so that nobody can get it approved.
	Short bool
	// Dormant: the recipient has to activate a role before deciding.
	Dormant bool
	// Approvals are those given so far.
	Approvals []Approval
	// Differences are how the request asks otherwise than the customer's roles say; nil if it does not.
	Differences *Differences
	// Group is the internal group that is asked (R15); of a role, the customer's group that has to do with it (R67).
	Group    string
	Question string

	// For grants. The times are zero if access never began.
	Starts, Ends time.Time
	// Shortened and Narrowed report whether less was granted than requested (R27).
	Shortened, Narrowed bool
	Waiver              lockboxv1.Waiver
	// Emergency reports that the customer was not asked because the matter could not wait, and is notified (R43).
	Emergency bool

	// Waived is the access that began without asking the customer; Starts and Ends are the time that it is about.
	Waived *lockboxv1.WaivedAccessReported

	// For disclosures.
	DisclosureID         string
	What, Description    string
	HappenedAt           time.Time
	Authority, Reference string

	// For erasures: which one, what is erased, and who proposed it; empty if it was decided without a proposal.
	ErasureID string
	Erased    []*lockboxv1.ErasureTarget
	Proposer  string

	// Keys is what happened to the keys with which decisions are signed; Refused, what was refused for want of a
	// signature. Signing is how the decision of which the mail tells was signed, for customers who have keys.
	Keys    *KeyMatter
	Refused *lockboxv1.SignatureRefused
	Signing *Signing

	// For tenants.
	PlanFrom, PlanTo lockboxv1.SupportPlan
	ResourceType     string
	Person           string
	PersonEmail      string
	Role             lockboxv1.Role
	EligibleOnly     bool
	// Note says for whom an invitation is, and Subject what their issuer calls whoever redeemed it.
	Note, Subject string
	// SubscriptionID is that of Subscription, for links.
	SubscriptionID string
	// Until is when an assignment or activation ends; zero if it has no end.
	Until                  time.Time
	Settings, SettingsWere *lockboxv1.TenantSettings
	// Issuer is where people are to sign in, or do now; Administrators are those whom a change of it names.
	Issuer                  string
	Webhook, WebhookAddress string
	Administrators          []string

	// LogSize and LogRoot are those of the log's newest checkpoint when the mail is sent, the root in hexadecimal: anybody
	// who keeps the mail can check any later log against it (R41). LogSize is 0 if nothing was signed yet. LogIncludes
	// says that the log held then what the mail is about.
	LogSize     int64
	LogRoot     string
	LogIncludes bool
}

// Approval is one person's approval.
type Approval struct {
	By string
	At time.Time
	// Signing is how it was signed; nil if the customer has no keys.
	Signing *Signing
	// customers: it is one of the customer's people's.
	customers bool
}

// Closer is somebody who closed a ticket, with their organisation.
type Closer struct {
	By, Organisation string
	// customers: it is one of the customer's people.
	customers bool
}

// withheld returns the data without who of the customer's people acted: the customer's name stands for whoever it was.
func (d Data) withheld(by *lockboxv1.Actor) Data {
	if aggregate.Customer(by) {
		d.By, d.Organisation = d.Tenant, ""
	}
	if d.Closer != nil && d.Closer.customers {
		d.Closer = &Closer{By: d.Tenant, customers: true}
	}
	d.Approvals = slices.Clone(d.Approvals)
	for i, a := range d.Approvals {
		if a.customers {
			d.Approvals[i].By = d.Tenant
			d.Approvals[i].Signing = a.Signing.withheld()
		}
	}
	d.Signing = d.Signing.withheld()
	return d
}

// data returns what all mails about the event have in common.
func (p *planner) data() Data {
	e := p.Event
	d := Data{
		Provider: p.settings.Provider, PortalURL: p.settings.PortalURL, Statement: p.settings.StatementURL,
		Contact:  p.settings.Contact,
		TenantID: e.GetTenant(), Tenant: p.Tenant.Name, ByLockbox: aggregate.System(e.GetActor()),
		At: e.GetTime().AsTime(),
	}
	if d.Tenant == "" {
		d.Tenant = e.GetTenant()
	}
	if person := e.GetActor().GetPerson(); person != nil {
		d.By = Name(person)
		d.Organisation = d.Tenant
		if e.GetActor().GetSide() == lockboxv1.Side_SIDE_PROVIDER {
			d.Organisation = p.employer(e.GetActor())
		}
	}
	return d
}

// employer returns the employer of one of the provider's people (R5).
func (p *planner) employer(a *lockboxv1.Actor) string {
	if a.GetEmployer() == "" {
		return p.settings.Provider
	}
	return a.GetEmployer()
}

func (p *planner) requestData() Data {
	s, d := p.Request, p.data()
	n := s.Notified
	d.RequestID, d.TicketID, d.TicketTitle = s.ID, s.Intent.GetTicketId(), p.Ticket.Title
	d.TicketOfProvider = p.Ticket.OfProvider()
	if by := s.TicketClosedBy; by != nil {
		d.Closer = &Closer{Name(by.GetPerson()), d.Tenant, aggregate.Customer(by)}
		if !d.Closer.customers {
			d.Closer.Organisation = p.employer(by)
		}
	}
	d.Service, d.Scenario = s.Evaluation.GetFacts().GetServiceName(), s.Evaluation.GetFacts().GetScenarioName()
	if d.Service == "" {
		d.Service, d.Scenario = s.Intent.GetResourceType(), s.Intent.GetScenario()
	}
	d.Operation, d.Targets = s.Intent.GetScenario(), s.Intent.GetResourceIds()
	d.TenantScope = s.Intent.GetSubscriptionId() == ""
	if !d.TenantScope {
		d.Subscription = s.Intent.GetSubscriptionId()
		if sub := p.Basis.Subscription; sub != nil && sub.Name != "" {
			d.Subscription = sub.Name + " (" + s.Intent.GetSubscriptionId() + ")"
		}
	}
	if name := p.Basis.Tenant.Name; name != "" {
		d.Tenant = name
	}
	d.Resources, d.Reason, d.Justification = s.Intent.GetResourceIds(), s.Intent.GetReasonType(),
		s.Intent.GetJustification()
	d.Requester, d.Employer = Name(s.Requester.GetPerson()), p.employer(s.Requester)
	d.Duration, d.RespondBy = s.Evaluation.GetDuration().AsDuration(), s.ExpiresAt()
	d.Basis, d.Required, d.Asked = n.GetBasis(), int(n.GetRequiredApprovals()), len(n.GetApprovers())
	d.Short = tenant.Humans(n.GetApprovers()) < d.Required
	d.Waiver, d.Emergency = s.Waiver(), s.Waiver() == lockboxv1.Waiver_WAIVER_EMERGENCY
	given := s.Given()
	for i, a := range s.Approvals() {
		d.Approvals = append(d.Approvals, Approval{Name(a.GetActor().GetPerson()), a.GetTime().AsTime(),
			p.signing(given[i]), true})
	}
	if g, is := request.Given(p.Event); is && aggregate.Customer(p.Event.GetActor()) {
		d.Signing = p.signing(g)
	}
	d.Given = len(d.Approvals)
	if g := s.Grant; g != nil {
		d.Starts, d.Ends = g.GetStartsAt().AsTime(), g.GetEndsAt().AsTime()
		d.Shortened = d.Ends.Sub(d.Starts) < d.Duration
		d.Narrowed = len(g.GetResourceIds()) < len(d.Resources)
		d.Resources, d.Duration = g.GetResourceIds(), d.Ends.Sub(d.Starts)
	}
	return d
}

// approvedInternally lists the provider's approvers of an emergency in place of the customer's.
func (d *Data) approvedInternally(decisions []*lockboxv1.Decision) {
	for _, i := range decisions {
		d.Approvals = append(d.Approvals, Approval{Name(i.GetActor().GetPerson()), i.GetTime().AsTime(), nil, false})
	}
}

// internalData is requestData for the internal approvers of a stage: with their own deadline and their own count (R15).
func (p *planner) internalData(stage *lockboxv1.InternalStage) Data {
	d := p.requestData()
	d.RespondBy = p.Request.InternalDeadline()
	d.Group, d.Required = stage.GetGroup(), int(stage.GetCount())
	return d
}
