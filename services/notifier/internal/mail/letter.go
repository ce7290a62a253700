package mail

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/message"
	"github.com/openlockbox/lockbox/pkg/portalurl"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// letter is a localised mail before it is rendered as text and HTML, both from the same parts, in this order.
type letter struct {
	Language, Subject, Sender string
	// Preview is what mail programs show beside the subject in a list: how things stand.
	Preview string
	Bar     bar
	// Matter says in a sentence what the mail is about.
	Matter, Greeting string
	Paragraphs       []string
	Quotes           []quote
	Rows             []row
	Groups           []group
	More             string
	Notes            []string
	Action           *action
	Statement        *action
	// Details are ids and the like, which few need.
	Details       []row
	CommandsLabel string
	Commands      []string
	Footer        []string
	// Colon is how the language separates a label from its value.
	Colon, ColonAtEnd string
}

// bar says at a glance, in words and by a colour, how things stand.
type bar struct {
	Level level
	// Alert stands above everything else; empty unless the mail is about an emergency.
	Alert string
	Label string
	// Until is when that ends: the time to answer, or access; empty if it does not.
	Until string
}

type row struct {
	Label, Colon, ColonAtEnd string
	Values                   []string
}

// Short reports whether the text part has room for the row in one line.
func (r row) Short() bool {
	return len(r.Values) == 1 && prose.Length(r.Label+r.Colon+r.Values[0]) <= columns
}

// quote is what a person wrote, kept apart from Lockbox's own text.
type quote struct {
	Label string
	Lines []string
}

// action is a link, with a note to read before following it.
type action struct{ Label, URL, Note string }

// writer composes one letter. It keeps the first error of the message catalogue; a test renders every template in every
// language, so none is expected.
type writer struct {
	said     *message.Catalogue
	language string
	zone     *time.Location
	n        plan.Notification
	// v holds the values of placeholders, and pairs the same for the catalogue, all localised and sanitised.
	v     map[string]string
	pairs []any
	out   letter
	err   error
}

// text returns a message; to the customer's people as it speaks to them, where it differs.
func (w *writer) text(id string) string {
	if w.toCustomer() && w.said.Has(id+"/you") {
		id += "/you"
	}
	return w.with(id, w.pairs...)
}

// toCustomer reports whether the recipient is one of the customer's people.
func (w *writer) toCustomer() bool {
	switch w.n.Standing {
	case plan.Requester, plan.InternalApprover, plan.SecurityOfficer:
		return false
	}
	return true
}

func (w *writer) with(id string, pairs ...any) string {
	s, err := w.said.Say(id, pairs...)
	if err != nil && w.err == nil {
		w.err = err
	}
	return s
}

func newWriter(said *message.Catalogue, n plan.Notification) *writer {
	w := &writer{said: said, language: said.Tag, zone: timetext.Zone(n.Data.Zone), n: n}
	w.n.Data = w.legible(n.Data)
	w.v = w.placeholders()
	for name, value := range w.v {
		w.pairs = append(w.pairs, name, value)
	}
	return w
}

// compose writes the letter for a notification.
func compose(said *message.Catalogue, n plan.Notification) (letter, error) {
	shape, known := shapes[n.Template]
	if !known {
		return letter{}, fmt.Errorf("mail: unknown template %q", n.Template)
	}
	c := newWriter(said, n)
	d := n.Data
	c.out = letter{
		Language: said.Tag, Sender: name(d.Provider) + " Lockbox", Colon: c.text("colon"),
		Greeting: c.text("greeting/anonymous"), Footer: []string{c.text("standing/" + string(n.Standing)), c.text("footer")},
	}
	if d.LogSize > 0 {
		includes := "log-before"
		if d.LogIncludes {
			includes = "log-includes"
		}
		c.out.Footer = append(c.out.Footer, c.text("log")+c.text(includes), fmt.Sprintf("%d:%s", d.LogSize, d.LogRoot))
	}
	switch {
	case n.Template == plan.Digest:
		c.out.Footer[0] = c.text("standing/digest")
		c.groups()
	case n.Template == plan.WaivedAccess:
		c.unasked()
	case changes(n) && n.Standing == plan.Administrator:
		c.out.Footer[0] = c.text("standing/changed")
	}
	if n.Name != "" {
		c.out.Greeting = c.text("greeting")
	}
	c.out.ColonAtEnd = strings.TrimRightFunc(c.out.Colon, unicode.IsSpace)
	c.out.Matter = c.matter()
	c.out.Subject = c.subject()
	c.out.Bar = bar{levelOf(n), c.alert(), c.label(), c.until()}
	c.out.Paragraphs = strings.Split(c.text(c.body()), "\n\n")
	c.out.Preview = strings.Join(append(some(c.out.Bar.Alert, c.out.Bar.Label), c.out.Paragraphs[0]), " – ")
	for _, label := range shape.rows {
		c.row(label)
	}
	for _, q := range shape.quotes {
		c.quote(q)
	}
	c.notes()
	c.actions()
	return c.out, c.err
}

// body returns the message that says what happened, as it happened.
func (w *writer) body() string {
	id, d := "text/"+string(w.n.Template), w.n.Data
	// A role has another text if a group has to do with what happened to it.
	if ofGroup := id + "/group"; d.Group != "" && w.said.Has(ofGroup) &&
		(d.Person == "" || w.n.Template == plan.RoleActivated) {
		return ofGroup
	}
	switch w.n.Template {
	case plan.ErasureDecided:
		if d.Proposer == "" {
			id += "/own"
		}
	case plan.KeyChangeOffered, plan.KeyChainChanged, plan.SignatureRefused:
		id += w.keysBody()
	case plan.AccessLapsed:
		id += w.byTicket()
	case plan.AccessRevoked:
		switch {
		case d.Starts.IsZero():
			id += "/unbegun"
		case d.ByLockbox:
			id += "/system"
		}
	case plan.CustomerAsked:
		switch {
		case d.Basis == lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY:
			id += "/nobody"
		case d.Short:
			id += "/short"
		}
	}
	return id
}

// byTicket ends the ids of messages about access that ended, or did not begin, because its ticket was closed.
func (w *writer) byTicket() string {
	ended := w.n.Template == plan.AccessLapsed || w.n.Template == plan.AccessRevoked
	if ended && w.n.Data.Why.GetCode() == lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED {
		return "/ticket"
	}
	return ""
}

// decider is who acted for the customer or the provider, as it is said within a sentence.
func (w *writer) decider() string {
	d := w.n.Data
	if d.By != "" && d.Organisation == "" {
		return name(d.By)
	}
	return w.with("value/decider", "Person", orLockbox(line(d.By)), "Organisation", orLockbox(line(d.Organisation)))
}

// at formats a time for the reader.
func (w *writer) at(t time.Time) string { return timetext.Short(w.language, t, w.zone) }

func (w *writer) ticket() string {
	if id := line(w.n.Data.TicketID); id != "" {
		return " [" + id + "]"
	}
	return ""
}

// placeholders returns all values for placeholders, localised and sanitised.
func (w *writer) placeholders() map[string]string {
	d := w.n.Data
	at := w.at
	return map[string]string{
		"Name": line(w.n.Name), "Provider": name(d.Provider), "Tenant": name(d.Tenant),
		"Requester": line(d.Requester), "Employer": line(d.Employer), "Service": w.called(d.Service),
		"Subscription": line(d.Subscription),
		"By":           orLockbox(line(d.By)), "Organisation": orLockbox(line(d.Organisation)), "Group": w.group(d),
		"Decider":   w.decider(),
		"RespondBy": at(d.RespondBy), "At": at(d.At), "Starts": at(d.Starts), "Ends": at(d.Ends), "Until": at(d.Until),
		"Required": strconv.Itoa(d.Required), "Given": strconv.Itoa(d.Given),
		"PlanFrom": tenant.PlanName(d.PlanFrom), "PlanTo": tenant.PlanName(d.PlanTo), "ResourceType": line(d.ResourceType),
		"Person": line(d.Person), "Note": line(d.Note), "Role": w.enum("role", d.Role.String(), "ROLE_"),
		"Count":  strconv.Itoa(len(w.n.Held)),
		"Target": w.target(), "Operation": w.operation(), "Proposer": line(d.Proposer),
		"Waiver": w.enum("waiver", d.Waiver.String(), "WAIVER_"),
	}
}

// enum returns the text for a protobuf enum value; empty if it is unspecified.
func (w *writer) enum(kind, name, prefix string) string {
	key := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, prefix)), "_", "-")
	if key == "unspecified" {
		return ""
	}
	if !w.said.Has(kind + "/" + key) {
		return w.text("value/unknown") // from a later version: say so rather than send no mail
	}
	return w.text(kind + "/" + key)
}

// group returns what a group is called: of the customer's, which has a role, as the customer calls it; of the
// provider's, in words. One that only the provider's rules know keeps its own.
func (w *writer) group(d plan.Data) string {
	switch known := "group/" + d.Group; {
	case d.Role != lockboxv1.Role_ROLE_UNSPECIFIED:
		return line(d.Group)
	case w.said.Has(known):
		return w.text(known)
	}
	return line(strings.ReplaceAll(d.Group, "-", " "))
}

func orLockbox(s string) string {
	if s == "" {
		return "Lockbox"
	}
	return s
}

func (w *writer) quote(label string) {
	d := w.n.Data
	foreign := d.Text
	switch label {
	case "quote/justification":
		foreign = d.Justification
	case "quote/question":
		foreign = d.Question
	case "quote/description":
		foreign = d.Description
	case "quote/measures":
	case "quote/recorded", "quote/reason":
		why := reason.Show(w.language, d.Why, d.Text)
		if !why.Recorded {
			w.out.Quotes = append(w.out.Quotes, quote{w.text("quote/why"), []string{text(why.Text)}})
			return
		}
		if label == "quote/recorded" || d.ByLockbox {
			label, foreign = "quote/recorded", why.Text
		}
	}
	if t := text(foreign); t != "" {
		w.out.Quotes = append(w.out.Quotes, quote{w.text(label), strings.Split(t, "\n")})
	}
}

// notes adds the notes that apply, regardless of the template.
func (w *writer) notes() {
	d, t := w.n.Data, w.n.Template
	pending := t == plan.ApprovalRequested || t == plan.ApprovalRequestedAlternate || t == plan.CustomerAsked ||
		t == plan.ApprovalReminder
	told := w.n.Standing == plan.Approver || w.n.Standing == plan.Administrator
	for _, note := range []struct {
		name    string
		applies bool
	}{
		{"fallback", pending && d.Basis == lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK},
		{"otherwise", d.Differences != nil && d.Differences.Otherwise},
		{"short", pending && d.Short && t != plan.CustomerAsked},
		{"dormant", decides(t) && d.Dormant},
		{"several", (t == plan.ApprovalRequested || t == plan.ApprovalReminder || t == plan.ApprovalRecorded) &&
			d.Required > 1},
		{"waived", (t == plan.AccessGranted || d.Emergency && t != plan.EmergencyAccess && !d.Starts.IsZero()) &&
			d.Waiver != lockboxv1.Waiver_WAIVER_UNSPECIFIED},
		{"shortened", t == plan.AccessGranted && d.Shortened},
		{"narrowed", t == plan.AccessGranted && d.Narrowed},
		{"unexpected", t == plan.AccessGranted && told},
		{"revocable", t == plan.EmergencyAccess && w.n.Standing != plan.Alternate},
		{"eligible", (t == plan.RoleAssigned || t == plan.InvitationConfirmed) && d.EligibleOnly},
		{"says-of-itself", t == plan.InvitationRedeemed},
		{"unexpected-change", changes(w.n) && w.n.Standing != plan.Invitee && t != plan.RoleEnded && t != plan.OwnRoleEnded},
		{"encrypt", t == plan.ExposureDisclosed},
	} {
		if note.applies {
			w.out.Notes = append(w.out.Notes, w.text("note/"+note.name))
		}
	}
}

// actions adds the links and commands. Alternates get none: there is nothing that they may do.
func (w *writer) actions() {
	d, t := w.n.Data, w.n.Template
	if d.Statement != "" && (t == plan.LegalDemandDisclosed || w.toCustomer() && decides(t) &&
		d.Reason == lockboxv1.ReasonType_REASON_TYPE_THIRD_PARTY_DATA_REQUEST) {
		w.out.Statement = &action{Label: w.text("action/statement"), URL: d.Statement}
	}
	id := line(d.RequestID)
	switch {
	case w.n.Standing == plan.SecurityOfficer && t == plan.StrayMessage:
		w.out.Commands = []string{"lockbox audit set-aside " + strconv.FormatUint(d.Sequence, 10)}
	case w.n.Standing == plan.SecurityOfficer && (t == plan.MailOverdue || t == plan.HistoryAlarm):
		w.out.Commands = []string{"lockbox audit verify"}
	case w.n.Standing == plan.SecurityOfficer && t == plan.Contested:
		w.out.Commands = []string{"lockbox tenant subscription transfer " + line(d.Subscription) + ` --tenant … --reason "…"`}
	case w.n.Standing == plan.SecurityOfficer && t == plan.ErasureConfirmation:
		w.out.Commands = []string{"lockbox erase confirm " + line(d.ErasureID),
			"lockbox erase decline " + line(d.ErasureID) + ` --reason "…"`}
		w.open("action/erasure", "", "erasures", d.ErasureID)
	case w.n.Standing == plan.SecurityOfficer && erases(t):
		w.out.Commands = []string{"lockbox erase list"}
		w.open("action/erasures", "", "erasures")
	case w.n.Standing == plan.Administrator && erases(t):
		w.out.Commands = []string{"lockbox erase list"}
		w.open("action/erasures", d.TenantID, "erasures")
	case t == plan.Digest:
		w.digestActions()
	case w.n.Standing == plan.SecurityOfficer: // the portal has no page for alarms
		w.out.Commands = []string{"lockbox audit verify", "lockbox audit repair"}
	case w.n.Standing == plan.Requester:
		w.out.Commands = []string{"lockbox request show " + id}
		if t == plan.QuestionAsked {
			w.out.Commands = append(w.out.Commands, "lockbox approval answer "+id+` "…"`)
		}
		w.open("action/request", "", "requests", d.RequestID)
	case w.n.Standing == plan.InternalApprover:
		w.out.Commands = []string{"lockbox request show " + id}
		if t == plan.InternalApprovalRequested || t == plan.InternalApprovalReminder {
			w.out.Commands = append(w.out.Commands, "lockbox internal approve "+id,
				"lockbox internal refuse "+id+` --reason "…"`)
		}
		w.open("action/request", "", "requests", d.RequestID)
	case w.n.Standing == plan.Administrator && discloses(t):
		w.out.Commands = []string{"lockbox disclose list"}
		w.open("action/disclosures", d.TenantID, "disclosures")
	case w.n.Standing == plan.Administrator && t == plan.WaivedAccess:
		w.out.Commands = []string{"lockbox request list --waived"}
		w.open("action/waived", d.TenantID, "waived")
	case w.n.Standing == plan.Administrator && t == plan.SignatureRefused:
		w.out.Commands = []string{"lockbox audit list"}
		w.open("action/activity", d.TenantID, "activity")
	case (w.n.Standing == plan.Administrator || w.n.Standing == plan.Keyholder) && w.n.Data.Keys != nil:
		w.out.Commands = []string{"lockbox key list"}
		w.open("action/keys", d.TenantID, "keys")
	case w.n.Standing == plan.Administrator && w.n.Thread == "":
		w.out.Commands = []string{"lockbox tenant show"}
		label, page := "action/tenant", []string{"administration"}
		switch t {
		case plan.SignInProposed, plan.SignInRecovery, plan.SignInReminder:
			w.out.Commands = append(w.out.Commands, "lockbox tenant issuer stop")
			page = append(page, "sign-in")
		case plan.SignInChanged:
			w.out.Commands = append(w.out.Commands, "lockbox tenant issuer finish")
			page = append(page, "sign-in")
		case plan.RoleInvited, plan.InvitationRedeemed, plan.InvitationConfirmed, plan.InvitationEnded:
			w.out.Commands = []string{"lockbox role invitations"}
			if label, page = "action/roles", append(page, "roles"); d.SubscriptionID != "" {
				page = []string{"administration", "subscriptions", d.SubscriptionID}
			}
		}
		w.open(label, d.TenantID, page...)
	case w.n.Standing == plan.Invitee:
		if t == plan.InvitationConfirmed {
			w.out.Commands = []string{"lockbox whoami"}
			w.open("action/requests", d.TenantID)
		}
	case w.n.Standing == plan.Approver, w.n.Standing == plan.Administrator, w.n.Standing == plan.Affected:
		w.out.Commands = []string{"lockbox approval show " + id}
		switch {
		case w.n.Standing == plan.Approver && decides(t):
			w.out.Commands = append(w.out.Commands, "lockbox approval approve "+id, "lockbox approval deny "+id+` --reason "…"`)
		case t == plan.AccessGranted, t == plan.EmergencyAccess:
			w.out.Commands = append(w.out.Commands, "lockbox approval revoke "+id+` --reason "…"`)
		}
		w.open("action/request", d.TenantID, "requests", d.RequestID)
	}
	if len(w.out.Commands) > 0 {
		w.out.CommandsLabel = w.text("commands")
	}
}

// open links to a page of the portal in the letter's language: a tenant's or, if tenant is empty, the provider's. The
// page requires a sign-in, so the link is of no use to anybody else (R24). Links contain only IDs, no user-supplied
// text.
func (w *writer) open(label, tenant string, path ...string) {
	for _, id := range append(path, tenant) {
		if id != "" && input.Token("link", id) != nil {
			return
		}
	}
	if portal := w.n.Data.PortalURL; portal != "" {
		w.out.Action = &action{w.text(label), portalurl.To(portal, tenant, path...) + "?lang=" + w.language,
			w.text("note/link")}
	}
}

// discloses reports whether a mail is about a disclosure outside any request; changes, whether it is about a change to
// a tenant.
func discloses(t plan.Template) bool {
	return t == plan.ExposureDisclosed || t == plan.LegalDemandDisclosed
}

func erases(t plan.Template) bool {
	return t == plan.ErasureConfirmation || t == plan.ErasureProposed || t == plan.ErasureDecided ||
		t == plan.ErasureDeclined
}

// outside reports whether a mail is about neither one request nor a change to a tenant.
func outside(t plan.Template) bool {
	return discloses(t) || t == plan.WaivedAccess || t == plan.IntegrityAlarm || t == plan.StrayMessage ||
		t == plan.HistoryAlarm || t == plan.MailOverdue || t == plan.Contested || erases(t) || ofKeys(t)
}

func changes(n plan.Notification) bool {
	return n.Thread == "" && !outside(n.Template) && n.Template != plan.Digest
}

func decides(t plan.Template) bool {
	return t == plan.ApprovalRequested || t == plan.ApprovalReminder || t == plan.QuestionAnswered ||
		t == plan.ApprovalRecorded
}
