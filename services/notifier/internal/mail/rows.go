package mail

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/resource"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// shape lists the facts and quotes of a mail in order. Those that do not apply are left out.
type shape struct {
	rows   []string
	quotes []string
}

var (
	request = []string{
		"label/reason-type", "label/requester", "label/tenant", "label/service", "label/subscription", "label/scope",
		"label/resources", "label/ticket", "label/duration",
	}
	pending = append(request[:len(request):len(request)], "label/approvals", "label/signed", "label/respond-by",
		"label/others", "label/asked", "label/status", "label/request")
	outcome = []string{"label/requester", "label/tenant", "label/service", "label/subscription", "label/scope",
		"label/resources", "label/ticket", "label/request"}
	ended   = append(outcome[:len(outcome):len(outcome)], "label/by", "label/signed", "label/at")
	granted = append(outcome[:len(outcome):len(outcome)], "label/approved-by", "label/starts", "label/ends",
		"label/duration")
	finished = append(outcome[:len(outcome):len(outcome)], "label/approved-by", "label/starts", "label/planned-end",
		"label/ended-by", "label/signed", "label/ticket-closed-by", "label/ended-at")
	lapsed    = append(outcome[:len(outcome):len(outcome)], "label/ticket-closed-by")
	disclosed = []string{
		"label/what", "label/happened-at", "label/organisation", "label/authority", "label/reference", "label/resources",
		"label/by", "label/at", "label/contact", "label/disclosure",
	}
	change = []string{"label/organisation", "label/subscription", "label/person", "label/role", "label/until",
		"label/plan"}
	invited = []string{"label/organisation", "label/subscription", "label/role", "label/invited", "label/redeemed-by",
		"label/subject", "label/issuer", "label/until", "label/by", "label/at"}
	signIn  = []string{"label/organisation", "label/issuer", "label/named", "label/until", "label/by", "label/at"}
	webhook = []string{"label/organisation", "label/webhook", "label/by", "label/at"}
	erased  = []string{"label/organisation", "label/erased", "label/proposed-by", "label/by", "label/at", "label/contact",
		"label/erasure"}
	keys = []string{"label/organisation", "label/change", "label/keys", "label/demand", "label/counts", "label/words",
		"label/fingerprint", "label/by", "label/at"}
	refused = []string{"label/organisation", "label/attempt", "label/by", "label/at", "label/request"}
	// details are told last.
	details = map[string]bool{"label/request": true, "label/status": true, "label/asked": true, "label/others": true,
		"label/disclosure": true, "label/erasure": true}
	changed = append(change, "label/default-language", "label/required-approvals", "label/fallback", "label/alternates",
		"label/signed-approvals", "label/sign-in-within", "label/ends-with-ticket", "label/deciders", "label/time-zone",
		"label/by", "label/at")
)

var shapes = map[plan.Template]shape{
	plan.ApprovalRequested:          {pending, []string{"quote/justification"}},
	plan.ApprovalRequestedAlternate: {pending, []string{"quote/justification"}},
	plan.NobodyToAsk:                {pending, []string{"quote/justification"}},
	plan.ApproversUnavailable:       {pending, []string{"quote/justification"}},
	plan.ApprovalsOutOfReach:        {pending, []string{"quote/recorded", "quote/justification"}},
	plan.ApproversDiffer: {append(pending[:len(pending):len(pending)], "label/left-out", "label/added", "label/altered"),
		[]string{"quote/justification"}},
	plan.CustomerAsked:             {pending, nil},
	plan.InternalApprovalRequested: {pending, []string{"quote/justification"}},
	plan.InternalApprovalReminder:  {pending, []string{"quote/justification"}},
	plan.RequestRefused:            {outcome, []string{"quote/recorded"}},
	plan.InternallyRefused:         {ended, []string{"quote/reason"}},
	plan.InternalExpired:           {outcome, nil},
	plan.ApprovalReminder:          {pending, []string{"quote/justification"}},
	plan.QuestionAsked:             {pending, []string{"quote/question"}},
	plan.QuestionAnswered:          {pending, []string{"quote/question", "quote/answer"}},
	plan.ApprovalRecorded:          {pending, []string{"quote/justification", "quote/reason"}},
	plan.EmergencyAccess: {append(granted[:len(granted):len(granted)], "label/reason-type", "label/contact"),
		[]string{"quote/justification"}},
	plan.AccessGranted:    {granted, nil},
	plan.RequestDenied:    {ended, []string{"quote/reason"}},
	plan.RequestExpired:   {outcome, nil},
	plan.RequestWithdrawn: {ended, []string{"quote/reason"}},
	plan.AccessLapsed:     {lapsed, []string{"quote/recorded"}},
	plan.AccessRevoked:    {finished, []string{"quote/reason"}},
	plan.AccessReleased:   {finished, []string{"quote/reason"}},
	plan.AccessCompleted:  {finished, nil},

	plan.TenantCreated:          {changed, nil},
	plan.PlanChanged:            {changed, nil},
	plan.PlanLowered:            {changed, nil},
	plan.LockboxEnabled:         {changed, nil},
	plan.LockboxDisabled:        {changed, []string{"quote/reason"}},
	plan.PreviewSignedUp:        {changed, nil},
	plan.PreviewSignedOff:       {changed, nil},
	plan.SettingsChanged:        {changed, nil},
	plan.SubscriptionRegistered: {changed, nil},
	plan.SubscriptionGivenUp:    {changed, []string{"quote/reason"}},
	plan.RoleAssigned:           {changed, nil},
	plan.RoleRemoved:            {changed, nil},
	plan.RoleLost:               {changed, nil},
	plan.RoleEnded:              {changed, nil},
	plan.OwnRoleEnded:           {changed, nil},
	plan.RoleActivated:          {changed, nil},
	plan.RoleDeactivated:        {changed, nil},
	plan.RoleInvited:            {invited, nil},
	plan.InvitationRedeemed:     {invited, nil},
	plan.InvitationConfirmed:    {invited, nil},
	plan.InvitationEnded:        {invited, []string{"quote/reason"}},
	plan.WebhookAdded:           {webhook, nil},
	plan.WebhookRemoved:         {webhook, []string{"quote/reason"}},

	plan.SignInProposed:    {signIn, []string{"quote/reason"}},
	plan.SignInRecovery:    {signIn, []string{"quote/reason"}},
	plan.SignInReminder:    {signIn, []string{"quote/reason"}},
	plan.SignInStopped:     {signIn, []string{"quote/reason"}},
	plan.SignInChanged:     {signIn, []string{"quote/reason"}},
	plan.FormerSignInEnded: {signIn, nil},

	plan.ExposureDisclosed:    {disclosed, []string{"quote/description", "quote/measures"}},
	plan.LegalDemandDisclosed: {disclosed, []string{"quote/description", "quote/measures"}},

	plan.ErasureConfirmation: {erased, []string{"quote/reason"}},
	plan.ErasureProposed:     {erased, []string{"quote/reason"}},
	plan.ErasureDecided:      {erased, []string{"quote/reason"}},
	plan.ErasureDeclined:     {erased, []string{"quote/reason"}},

	plan.KeyOffered:       {keys, nil},
	plan.KeyChangeOffered: {keys, nil},
	plan.KeyChainBegan:    {keys, nil},
	plan.KeyChainChanged:  {keys, nil},
	plan.SignatureRefused: {refused, nil},

	plan.Digest:       {}, // lists groups
	plan.WaivedAccess: {[]string{"label/accesses"}, nil},

	plan.Contested:      {[]string{"label/at", "label/registrations"}, nil},
	plan.StrayMessage:   {[]string{"label/what", "label/at", "label/events"}, []string{"quote/description"}},
	plan.HistoryAlarm:   {[]string{"label/what", "label/at", "label/events"}, []string{"quote/description"}},
	plan.MailOverdue:    {[]string{"label/what", "label/at", "label/events"}, nil},
	plan.IntegrityAlarm: {[]string{"label/what", "label/at", "label/events"}, []string{"quote/description"}},
}

// mostListed is the maximum length of a list in a mail; the request itself shows all.
const mostListed = 12

// row adds a fact with its label, unless it is empty.
func (w *writer) row(label string) {
	values := w.facts(label)
	switch r := (row{w.text(label), w.out.Colon, w.out.ColonAtEnd, values}); {
	case len(values) == 0:
	case details[label]:
		w.out.Details = append(w.out.Details, r)
	default:
		w.out.Rows = append(w.out.Rows, r)
	}
}

func (w *writer) facts(label string) []string {
	d := w.n.Data
	ofCustomer := w.toCustomer()
	at := w.at
	switch label {
	case "label/request":
		return some(line(d.RequestID))
	case "label/disclosure":
		return some(line(d.DisclosureID))
	case "label/erasure":
		return some(line(d.ErasureID))
	case "label/erased":
		return w.erased()
	case "label/proposed-by":
		if d.Proposer != d.By { // whoever proposed it is named already
			return some(line(d.Proposer))
		}
	case "label/what":
		return some(line(d.What))
	case "label/events":
		// Subjects of the bus, as they are.
		return w.most(d.Resources, func(s string) string { return lineOf(s, resource.MaxLength) })
	case "label/registrations":
		return w.most(d.Resources, resourceID)
	case "label/happened-at":
		return some(at(d.HappenedAt))
	case "label/contact":
		return some(address(d.Contact))
	case "label/accesses":
		return some(strconv.Itoa(d.Unasked()))
	case "label/authority":
		return some(line(d.Authority))
	case "label/reference":
		return some(line(d.Reference))
	case "label/ticket":
		opened := ""
		if d.TicketOfProvider {
			opened = w.text("value/ticket-of-provider")
		}
		return some(line(d.TicketID), line(d.TicketTitle), opened)
	case "label/ticket-closed-by":
		if d.Closer != nil {
			return some(w.person(d.Closer.By, d.Closer.Organisation))
		}
	case "label/tenant":
		// The provider's people work for many customers; a customer's people know who they are.
		if !ofCustomer {
			return some(name(d.Tenant))
		}
	case "label/organisation":
		return some(name(d.Tenant))
	case "label/service":
		return some(w.called(d.Service), w.called(d.Scenario))
	case "label/subscription":
		return some(line(d.Subscription))
	case "label/scope":
		if d.TenantScope {
			return some(w.text("value/whole-tenant"))
		}
	case "label/resources":
		return w.most(d.Resources, resourceID)
	case "label/reason-type":
		if d.TicketOfProvider && d.Reason == lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT {
			return some(w.text("value/ticket-of-provider")) // whatever the request says
		}
		return some(w.enum("reason", d.Reason.String(), "REASON_TYPE_"))
	case "label/requester":
		return some(w.person(d.Requester, d.Employer))
	case "label/duration":
		return some(timetext.Duration(w.language, d.Duration))
	case "label/respond-by":
		return some(at(d.RespondBy))
	case "label/asked", "label/others":
		// An approver reads who else was asked; others read who was asked.
		if ofCustomer && (label == "label/others") == (w.n.Standing == plan.Approver) {
			if label == "label/asked" && len(d.Others) == 0 && d.Basis == lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY {
				return some(w.text("value/nobody"))
			}
			return w.most(d.Others, line)
		}
	case "label/left-out", "label/added", "label/altered":
		if by := d.Differences; by != nil {
			return w.most(map[string][]string{"label/left-out": by.Missing, "label/added": by.Added,
				"label/altered": by.Altered}[label], line)
		}
	case "label/approvals":
		if d.Required > 1 {
			return some(w.text("value/of"))
		}
	case "label/approved-by":
		return w.approvals()
	case "label/signed":
		return some(w.signing(d.Signing))
	case "label/attempt":
		return w.attempt()
	case "label/change", "label/keys", "label/demand", "label/counts", "label/words", "label/fingerprint":
		return w.keyFacts(label)
	case "label/starts":
		return some(at(d.Starts))
	case "label/ends", "label/planned-end":
		return some(at(d.Ends))
	case "label/by":
		if d.By != "" {
			return some(w.person(d.By, d.Organisation))
		}
	case "label/ended-by":
		switch {
		case w.n.Template == plan.AccessCompleted:
			return some(w.text("value/by-itself"))
		case d.Starts.IsZero():
		case d.ByLockbox:
			return some("Lockbox")
		default:
			return some(w.person(d.By, d.Organisation))
		}
	case "label/ended-at":
		if !d.Starts.IsZero() {
			return some(at(d.At))
		}
	case "label/status":
		if d.Basis != lockboxv1.ApproverBasis_APPROVER_BASIS_UNSPECIFIED {
			return some(w.text("status/customer-notified"))
		}
	case "label/at":
		return some(at(d.At))
	case "label/person", "label/redeemed-by":
		return some(line(d.Person), address(d.PersonEmail))
	case "label/invited":
		return some(line(d.Note))
	case "label/subject":
		return some(line(d.Subject))
	case "label/role":
		return some(w.v["Role"])
	case "label/issuer":
		return some(line(d.Issuer))
	case "label/webhook":
		return some(line(d.Webhook), line(d.WebhookAddress))
	case "label/named":
		return w.most(d.Administrators, line)
	case "label/until":
		return some(at(d.Until))
	case "label/plan":
		return w.plans()
	default:
		return w.settings(label)
	}
	return nil
}

func (w *writer) plans() []string {
	d := w.n.Data
	switch {
	case d.PlanTo == lockboxv1.SupportPlan_SUPPORT_PLAN_UNSPECIFIED:
		return nil
	case d.PlanFrom == lockboxv1.SupportPlan_SUPPORT_PLAN_UNSPECIFIED:
		return some(w.v["PlanTo"])
	}
	return some(w.was(w.v["PlanTo"], w.v["PlanFrom"]))
}

// settings lists the tenant's current settings, with the previous value of those that changed.
func (w *writer) settings(label string) []string {
	now, before := w.n.Data.Settings, w.n.Data.SettingsWere
	if now == nil {
		return nil
	}
	var say func(*lockboxv1.TenantSettings) string
	switch label {
	case "label/default-language":
		say = func(s *lockboxv1.TenantSettings) string { return w.enum("language", s.GetDefaultLanguage(), "") }
	case "label/required-approvals":
		say = func(s *lockboxv1.TenantSettings) string {
			return strconv.FormatUint(uint64(max(1, s.GetRequiredApprovals())), 10)
		}
	case "label/fallback":
		say = func(s *lockboxv1.TenantSettings) string {
			return w.enum("fallback", s.GetFallback().String(), "FALLBACK_")
		}
	case "label/signed-approvals":
		say = func(s *lockboxv1.TenantSettings) string {
			if s.GetSignedApprovalsOnly() {
				return w.text("value/yes")
			}
			return w.text("value/no")
		}
	case "label/sign-in-within":
		if now.GetMaxAuthenticationAge() == nil && before.GetMaxAuthenticationAge() == nil {
			return nil
		}
		say = func(s *lockboxv1.TenantSettings) string {
			if s.GetMaxAuthenticationAge() == nil {
				return w.text("value/no")
			}
			return timetext.Duration(w.language, s.GetMaxAuthenticationAge().AsDuration())
		}
	case "label/ends-with-ticket":
		if !now.GetAccessEndsWithTicket() && !before.GetAccessEndsWithTicket() {
			return nil
		}
		say = func(s *lockboxv1.TenantSettings) string {
			if s.GetAccessEndsWithTicket() {
				return w.text("value/yes")
			}
			return w.text("value/no")
		}
	case "label/deciders":
		say = func(s *lockboxv1.TenantSettings) string {
			if s.GetDecidersShown() == lockboxv1.DecidersShown_DECIDERS_SHOWN_UNSPECIFIED {
				return w.text("deciders/name")
			}
			return w.enum("deciders", s.GetDecidersShown().String(), "DECIDERS_SHOWN_")
		}
	case "label/time-zone":
		if now.GetTimeZone() == "" && before.GetTimeZone() == "" {
			return nil
		}
		say = func(s *lockboxv1.TenantSettings) string { return cmp.Or(s.GetTimeZone(), "UTC") }
	case "label/alternates":
		say = func(s *lockboxv1.TenantSettings) string {
			var addresses []string
			for _, a := range s.GetAlternates() {
				addresses = append(addresses, cmp.Or(address(a.GetEmail()), w.text("value/erased-address")))
			}
			if len(addresses) == 0 {
				return w.text("value/none")
			}
			return strings.Join(addresses, ", ")
		}
	}
	if is, was := say(now), say(before); was != is && was != "" {
		return some(w.was(is, was))
	}
	return some(say(now))
}

func (w *writer) was(now, before string) string {
	return w.with("value/was", "Now", now, "Before", before)
}

func (w *writer) person(name, organisation string) string {
	if line(name) == "" || organisation == "" {
		return line(name)
	}
	return w.with("value/person", "Person", line(name), "Organisation", line(organisation))
}

func (w *writer) approvals() []string {
	var list []string
	for _, a := range w.n.Data.Approvals {
		list = append(list, w.with("value/approval", "Person", line(a.By), "When", w.at(a.At)))
		list = append(list, some(w.signing(a.Signing))...)
	}
	return list
}

// most shortens a list to what a mail has room for and adds the number of omitted items. What cleans them leaves ids
// whole: of an id that is cut, nobody knows what it names.
func (w *writer) most(list []string, clean func(string) string) []string {
	var shown []string
	for _, s := range list[:min(len(list), mostListed)] {
		shown = append(shown, clean(s))
	}
	if more := len(list) - mostListed; more > 0 {
		shown = append(shown, w.with("list/more", "Count", more))
	}
	return shown
}

// some returns the non-empty values.
func some(list ...string) []string {
	var said []string
	for _, s := range list {
		if s != "" {
			said = append(said, s)
		}
	}
	return said
}
