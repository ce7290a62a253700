// Package mailtest has a notification of every kind, with everything said that it can say, for tests and pictures.
package mailtest

import (
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Noon is when they happen, and Deadline until when they are to be answered.
var (
	Noon     = time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
	Deadline = Noon.Add(96 * time.Hour)
)

// RequestID is the request that they are about.
const RequestID = "01975a2c-7b3c-7e4a-9d8e-0123456789ab"

// zones are where the readers of each language are.
var zones = map[string]string{"en": "Europe/London", "fr": "Europe/Paris", "ja": "Asia/Tokyo"}

// Sample is a notification of the template with everything said that it can say, for its first kind of recipient.
func Sample(t plan.Template, language string) plan.Notification {
	if t == plan.Digest {
		return Digest(language, 7)
	}
	n := plan.Notification{
		ID: plan.ID("event", t, "otto.brandt@meadowbank.example"), Template: t, Language: language,
		Recipient: "otto.brandt@meadowbank.example", Name: "Otto Brandt", Standing: plan.Approver, Thread: RequestID,
		Data: plan.Data{
			Zone:     zones[language],
			Provider: "Northwind Cloud", PortalURL: "https://lockbox.northwind.example", TenantID: "meadowbank",
			Tenant: "Meadow Bank", Statement: "https://northwind.example/government-requests",
			At: Noon, By: "Otto Brandt", Organisation: "Meadow Bank",
			RequestID: RequestID, TicketID: "SR-2026-0610-17",
			TicketTitle: "Payments server does not boot after the June update",
			Service:     "Virtual Machines", Scenario: "Memory dump", Subscription: "Payments production (pay-prod)",
			Resources: []string{
				"/subscriptions/pay-prod/resourceGroups/payments/providers/compute/virtualMachines/pay-db-01",
				"/subscriptions/pay-prod/resourceGroups/payments/providers/compute/virtualMachines/pay-db-02",
			},
			Operation: "memory-dump", Contact: "trust@northwind.example",
			Reason:        lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT,
			Justification: "pay-db-01 stops with a kernel panic 40 seconds after it starts.\n\nWe need a memory dump of both machines to find the driver at fault. <b>Nothing</b> is changed on them.",
			Requester:     "Rina Sato", Employer: "Fabrikam Field Services",
			Duration: 8 * time.Hour, RespondBy: Deadline, Others: []string{"Claire Dubois", "Kenji Watanabe"}, Asked: 3,
			Basis: lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, Required: 2,
		},
	}
	d := &n.Data
	d.Targets = d.Resources
	requester := func() {
		d.Zone = ""
		n.Standing, n.Name, n.Recipient = plan.Requester, "Rina Sato", "rina.sato@fabrikam.example"
	}
	grant := func() {
		d.Starts, d.Ends, d.Duration, d.Shortened, d.Narrowed = Noon, Noon.Add(4*time.Hour+30*time.Minute),
			4*time.Hour+30*time.Minute, true, true
		d.Resources = d.Resources[:1]
		d.Approvals = []plan.Approval{{By: "Claire Dubois", At: Noon.Add(-50 * time.Minute)},
			{By: "Otto Brandt", At: Noon.Add(-2 * time.Minute)}}
		d.Approvals[0].Signing, d.Approvals[1].Signing = &plan.Signing{Words: words, Key: blue}, new(plan.Signing)
		d.Given = 2
	}
	change := func() {
		n.Standing, n.Thread = plan.Administrator, ""
		*d = plan.Data{Zone: d.Zone, Provider: d.Provider, PortalURL: d.PortalURL, Statement: d.Statement,
			Contact:  d.Contact,
			TenantID: d.TenantID,
			Tenant:   d.Tenant, At: d.At, By: "Claire Dubois", Organisation: d.Tenant}
	}
	role := func() {
		change()
		d.Person, d.PersonEmail, d.Role = "Kenji Watanabe", "kenji.watanabe@meadowbank.example",
			lockboxv1.Role_ROLE_LOCKBOX_APPROVER
		d.Subscription = "Payments production (pay-prod)"
	}
	switch t {
	case plan.ApprovalRequested, plan.ApprovalReminder:
	case plan.ApprovalRequestedAlternate:
		n.Standing, n.Name, n.Recipient = plan.Alternate, "", "security@meadowbank.example"
		d.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK
		d.Others = []string{"Claire Dubois", "Otto Brandt", "Kenji Watanabe"}
	case plan.NobodyToAsk:
		n.Standing, d.Basis, d.Others, d.Required = plan.Administrator, lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY, nil, 1
		d.Subscription, d.TenantScope, d.Operation = "", true, "directory-content"
		d.Resources = []string{"/tenants/meadowbank/directory/users"}
	case plan.ApproversUnavailable, plan.ApprovalsOutOfReach:
		n.Standing, d.Others = plan.Administrator, []string{"Otto Brandt"}
		if t == plan.ApprovalsOutOfReach {
			d.Why = &lockboxv1.Reason{Code: lockboxv1.ReasonCode_REASON_CODE_TOO_FEW_APPROVERS}
		}
	case plan.ApproversDiffer:
		n.Standing, d.Others = plan.Administrator, []string{"Otto Brandt", "Mallory Black"}
		d.Differences = &plan.Differences{Missing: []string{"Claire Dubois"}, Added: []string{"Mallory Black"},
			Altered: []string{"Otto Brandt"}, Otherwise: true}
	case plan.CustomerAsked:
		requester()
		d.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY
	case plan.InternalApprovalRequested, plan.InternalApprovalReminder:
		n.Standing, n.Name, n.Recipient, d.Group = plan.InternalApprover, "", "oncall@northwind.example", "devops-managers"
	case plan.RequestRefused:
		requester()
		d.Text = "the token does not say that more than one factor was used"
	case plan.InternallyRefused, plan.InternalExpired:
		requester()
		d.By, d.Organisation, d.Group, d.Text = "Ada Miller", "Northwind Cloud", "devops-managers",
			"The crash is already understood; no dump is needed."
	case plan.QuestionAsked:
		requester()
		d.Question = "Does the dump leave our region?"
	case plan.QuestionAnswered:
		d.By, d.Organisation = "Rina Sato", "Fabrikam Field Services"
		d.Question, d.Text = "Does the dump leave our region?",
			"No. It is analysed on a host in the same region and deleted afterwards."
	case plan.ApprovalRecorded:
		d.Signing = &plan.Signing{Words: words, Key: blue}
		d.By, d.Given, d.Text = "Claire Dubois", 1, "Agreed with the platform team."
	case plan.AccessGranted:
		grant()
	case plan.EmergencyAccess:
		grant()
		n.Standing, d.Others, d.TicketID, d.TicketTitle = plan.Affected, nil, "", ""
		d.Shortened, d.Narrowed, d.Waiver, d.Emergency = false, false, lockboxv1.Waiver_WAIVER_EMERGENCY, true
		n.Emergency = true
		d.Reason, d.Approvals = lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT,
			[]plan.Approval{{By: "Ada Miller", At: Noon.Add(-time.Minute)}}
	case plan.RequestDenied:
		d.Signing = &plan.Signing{Words: words, Key: plan.Key{SSH: true}}
		d.Text = "The machine is being replaced tonight."
	case plan.RequestExpired:
		d.At = Deadline
	case plan.RequestWithdrawn:
		d.By, d.Organisation, d.Text = "Rina Sato", "Fabrikam Field Services", "The problem is solved."
	case plan.AccessLapsed:
		d.Text = "an approver lost the role before access began (R20)"
		d.Why = &lockboxv1.Reason{Code: lockboxv1.ReasonCode_REASON_CODE_APPROVER_LOST_ROLE}
	case plan.AccessRevoked:
		grant()
		d.At, d.Text, d.Signing = Noon.Add(time.Hour), "The dump is complete.", new(plan.Signing)
	case plan.AccessReleased:
		grant()
		d.At, d.By, d.Organisation = Noon.Add(time.Hour), "Rina Sato", "Fabrikam Field Services"
	case plan.AccessCompleted:
		grant()
		d.At, d.By, d.Organisation, d.ByLockbox = d.Ends, "", "", true
	case plan.TenantCreated:
		role()
		d.By, d.Organisation, d.Subscription = "Ida Berg", "Northwind Cloud", ""
		d.PlanTo, d.Role = lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR
	case plan.PlanChanged, plan.PlanLowered:
		change()
		d.By, d.Organisation = "Ida Berg", "Northwind Cloud"
		d.PlanFrom, d.PlanTo = lockboxv1.SupportPlan_SUPPORT_PLAN_DEVELOPER,
			lockboxv1.SupportPlan_SUPPORT_PLAN_PROFESSIONAL_DIRECT
		if t == plan.PlanLowered {
			d.PlanFrom, d.PlanTo = d.PlanTo, lockboxv1.SupportPlan_SUPPORT_PLAN_BASIC
		}
	case plan.LockboxEnabled:
		change()
	case plan.LockboxDisabled:
		change()
		d.Text = "Migration weekend."
	case plan.PreviewSignedUp, plan.PreviewSignedOff:
		change()
		d.ResourceType = "Confidential Ledger"
	case plan.SettingsChanged:
		change()
		d.SettingsWere = &lockboxv1.TenantSettings{DefaultLanguage: "en", RequiredApprovals: 1,
			Fallback: lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS}
		d.Settings = &lockboxv1.TenantSettings{
			DefaultLanguage: "en", RequiredApprovals: 2, Fallback: lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS,
			MaxAuthenticationAge: durationpb.New(15 * time.Minute), AccessEndsWithTicket: true,
			Alternates: []*lockboxv1.AlternateAddress{{Email: "security@meadowbank.example"},
				{Email: "audit@meadowbank.example", Language: "fr"}},
		}
	case plan.SubscriptionRegistered:
		change()
		d.Subscription = "Payments production (pay-prod)"
	case plan.SubscriptionGivenUp:
		change()
		d.Subscription, d.Text = "Payments production (pay-prod)", "The payment business was sold."
	case plan.SignInProposed, plan.SignInRecovery, plan.SignInReminder, plan.SignInStopped, plan.SignInChanged,
		plan.FormerSignInEnded:
		change()
		d.Issuer, d.Until = "https://login.meadowbank.example", Noon.Add(7*24*time.Hour)
		d.Administrators, d.Text = []string{"Kenji Watanabe (kenji@meadowbank.example)"}, "Our identity provider moves."
		if t == plan.SignInRecovery || t == plan.SignInReminder {
			d.By, d.Organisation = "Ida Berg", "Northwind Cloud"
		}
		if t == plan.FormerSignInEnded {
			d.Until, d.Administrators, d.Text = time.Time{}, nil, ""
		}
	case plan.WebhookAdded, plan.WebhookRemoved:
		change()
		d.Webhook, d.WebhookAddress = "#lockbox of the operations team", "https://hooks.slack.com"
		if t == plan.WebhookRemoved {
			d.Text = "The channel was closed."
		}
	case plan.RoleAssigned:
		role()
		d.EligibleOnly, d.Until = true, Noon.Add(90*24*time.Hour)
	case plan.RoleActivated:
		role()
		d.By, d.Until = "Kenji Watanabe", Noon.Add(8*time.Hour)
	case plan.ExposureDisclosed, plan.LegalDemandDisclosed:
		resources := d.Resources[:1]
		change()
		d.By, d.Organisation, d.DisclosureID, d.HappenedAt = "Ada Miller", "Northwind Cloud", RequestID,
			Noon.Add(-26*time.Hour)
		d.What, d.Resources = "A packet capture on a router held traffic of pay-db-01", resources
		d.Description, d.Text = "About 40 seconds of unencrypted health checks.",
			"The capture was taken to find a faulty line card; it has been deleted."
		if t == plan.LegalDemandDisclosed {
			d.Authority, d.Reference = "Amtsgericht Musterstadt", "12 Gs 345/26"
			d.What, d.Text = "Account records were demanded and handed over",
				"The order binds us, and forbade us to tell you before today."
			d.Description, d.Resources = "Names and sign-in times of two accounts.", nil
		}
	case plan.ErasureConfirmation, plan.ErasureProposed, plan.ErasureDecided, plan.ErasureDeclined:
		change()
		d.By, d.Organisation, d.Proposer, d.ErasureID = "Ada Miller", "Northwind Cloud", "Ada Miller", RequestID
		d.Text, d.Erased = "Rina Sato has left, and asked for it.", erased
		switch t {
		case plan.ErasureConfirmation:
			n.Standing, n.Name, n.Recipient, d.Zone = plan.SecurityOfficer, "", "security@northwind.example", ""
		case plan.ErasureDecided:
			d.By = "Sam Okafor"
		case plan.ErasureDeclined:
			d.By, d.Text = "Sam Okafor", "A court has asked for these records."
		}
	case plan.KeyOffered, plan.KeyChangeOffered, plan.KeyChainBegan, plan.KeyChainChanged:
		change()
		d.Keys = keys(t)
	case plan.SignatureRefused:
		change()
		d.By, d.RequestID = "Kenji Watanabe", RequestID
		d.Refused = &lockboxv1.SignatureRefused{Kind: aggregate.KindRequest, About: RequestID, Verb: "approve",
			Rule: "other", StatementSha256: make([]byte, 32)}
	case plan.WaivedAccess:
		change()
		d.By, d.Organisation = "", ""
		d.At, d.Starts, d.Ends = Noon.Add(12*time.Hour+2*time.Minute), Noon.Add(-12*time.Hour), Noon.Add(12*time.Hour)
		d.Waived = Unasked(3)
	case plan.IntegrityAlarm:
		n.Standing, n.Name, n.Recipient, n.Thread = plan.SecurityOfficer, "", "security@northwind.example", ""
		*d = plan.Data{
			Provider: d.Provider, PortalURL: d.PortalURL, TenantID: d.TenantID, At: d.At,
			What: "ALARM: recorded events are missing (stream: 3 events from 4000 to 4002).", Description: "block 2 ends early",
			Resources: []string{subject(RequestID, "3.CustomerNotified"),
				subject(RequestID, "4.CustomerApproved")},
		}
	case plan.Contested:
		n.Standing, n.Name, n.Recipient, n.Thread = plan.SecurityOfficer, "", "security@northwind.example", ""
		*d = plan.Data{
			Provider: d.Provider, PortalURL: d.PortalURL, TenantID: d.TenantID, At: d.At, Subscription: "pay-prod",
			Resources: []string{"meadowbank: Payments (pay-prod)", "fabrikam: Ours now (PAY-PROD)"},
		}
	case plan.MailOverdue:
		n.Standing, n.Name, n.Recipient, n.Thread = plan.SecurityOfficer, "", "security@northwind.example", ""
		*d = plan.Data{
			Provider: d.Provider, PortalURL: d.PortalURL, TenantID: d.TenantID, At: d.At,
			What: "ALARM: people have not heard of 2 events, from 4000 to 4002 of the stream: nothing says that the mails were " +
				"sent, or could not be. What is granted does not depend on it.",
			Resources: []string{subject(RequestID, "3.CustomerNotified"),
				subject(RequestID, "4.CustomerApproved")},
		}
	case plan.HistoryAlarm:
		n.Standing, n.Name, n.Recipient, n.Thread = plan.SecurityOfficer, "", "security@northwind.example", ""
		*d = plan.Data{
			Provider: d.Provider, PortalURL: d.PortalURL, TenantID: d.TenantID, At: d.At, Sequence: 4004,
			What: "ALARM: event 4004 of the stream contradicts the history that it stands in, and the log says so. Nothing is " +
				"decided about that any more; whatever else is granted does not depend on it.",
			Description: "It is stored after " + subject(RequestID, "4.CustomerDenied") + ".",
			Resources:   []string{subject(RequestID, "4.CustomerApproved")},
		}
	case plan.StrayMessage:
		n.Standing, n.Name, n.Recipient, n.Thread = plan.SecurityOfficer, "", "security@northwind.example", ""
		*d = plan.Data{
			Provider: d.Provider, PortalURL: d.PortalURL, TenantID: d.TenantID, At: d.At, Sequence: 4003,
			What: "ALARM: message 4003 of the stream is not an event. " +
				"Nothing new is granted until a security officer sets it aside.",
			Description: "SHA-256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, 4 bytes. " +
				"Not true of it: its bytes are an event.",
			Resources: []string{subject("garbage", "1.AccessRequested")},
		}
	case plan.RoleRemoved, plan.RoleDeactivated:
		role()
	case plan.RoleEnded:
		role()
		d.By, d.Organisation, d.ByLockbox, d.Until = "", "", true, Noon
	case plan.RoleLost, plan.OwnRoleEnded:
		role()
		if t == plan.OwnRoleEnded {
			d.By, d.Organisation, d.ByLockbox, d.Until = "", "", true, Noon
		}
		n.Standing, n.Name, n.Recipient = plan.Former, "Kenji Watanabe", "kenji.watanabe@meadowbank.example"
	case plan.RoleInvited, plan.InvitationRedeemed, plan.InvitationConfirmed, plan.InvitationEnded:
		role()
		d.SubscriptionID, d.Note = "pay-prod", "Kenji from the platform team"
		d.Issuer, d.Subject = "https://login.meadowbank.example", "8f3a11c0-5d1e-4a7b-9a51-6a7a4f0f2b11"
		switch t {
		case plan.RoleInvited:
			d.Person, d.PersonEmail, d.Issuer, d.Subject, d.Until = "", "", "", "", Noon.Add(72*time.Hour)
		case plan.InvitationRedeemed:
			d.By = "Kenji Watanabe"
		case plan.InvitationConfirmed:
			d.EligibleOnly = true
		case plan.InvitationEnded:
			d.Text = "Kenji tells us that he did not open the link."
		}
	default:
		panic("no sample of " + string(t))
	}
	d.LogSize, d.LogRoot, d.LogIncludes = 4711, LogRoot, true
	return n
}

// LogRoot is the root of the log of size 4711, by which mails of tests are sent.
const LogRoot = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// erased is one thing of each kind.
var erased = []*lockboxv1.ErasureTarget{
	{What: &lockboxv1.ErasureTarget_Person{Person: &lockboxv1.ErasedPerson{Issuer: "https://login.fabrikam.example",
		Subject: "3f0c9a52-rina"}}},
	{What: &lockboxv1.ErasureTarget_Address{Address: &lockboxv1.ErasedAddress{}}},
	{What: &lockboxv1.ErasureTarget_Texts{Texts: &lockboxv1.ErasedTexts{Kind: "request", AggregateId: RequestID,
		Version: "1"}}},
}

// Unasked is what a customer is told of an emergency and so many accesses that reached no customer data.
func Unasked(harmless uint32) *lockboxv1.WaivedAccessReported {
	const emergency, none = lockboxv1.Waiver_WAIVER_EMERGENCY, lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA
	f := &lockboxv1.WaivedAccessReported{Counts: []*lockboxv1.WaivedCount{{Waiver: emergency, Count: 1},
		{Waiver: none, Count: harmless}}}
	for i := range min(harmless+1, 50) {
		a := &lockboxv1.WaivedAccess{
			RequestId: RequestID, Requester: &lockboxv1.Person{Subject: "rina", DisplayName: "Rina Sato"},
			ResourceId:    "/subscriptions/pay-prod/resourceGroups/payments/providers/compute/virtualMachines/pay-db-01",
			ResourceCount: i + 1, ServiceName: "Virtual Machines", ScenarioName: "Platform health data", Waiver: none,
			StartsAt: timestamppb.New(Noon.Add(time.Duration(i) * time.Minute)),
			EndsAt:   timestamppb.New(Noon.Add(8 * time.Hour)),
		}
		if i == 0 {
			a.Waiver, a.ScenarioName, a.Employer = emergency, "Memory dump", "Fabrikam Field Services"
		}
		f.Accesses = append(f.Accesses, a)
	}
	return f
}

// Digest is one of so many mails to an approver who is also an administrator.
func Digest(language string, many int) plan.Notification {
	var held []plan.Notification
	for i := range many {
		t := []plan.Template{plan.ApprovalRequested, plan.ApprovalRequested, plan.AccessCompleted, plan.ApprovalReminder,
			plan.RoleAssigned}[i%5]
		n := Sample(t, language)
		n.ID = plan.ID(strconv.Itoa(i), t, n.Recipient)
		n.Data.At = n.Data.At.Add(time.Duration(i) * time.Minute)
		n.Data.RespondBy = n.Data.RespondBy.Add(-time.Duration(i*7%many) * time.Hour)
		if n.Thread != "" {
			n.Data.TicketID = "SR-2026-0610-" + strconv.Itoa(17+i)
		}
		held = append(held, n.Brief())
	}
	d := plan.DigestOf(held)
	d.Data.LogSize, d.Data.LogRoot = 4711, LogRoot
	return d
}

// subject is that of an event of a request.
func subject(id, event string) string {
	return strings.TrimSuffix(bus.Filter(aggregate.Request("meadowbank", id)), ">") + event
}
