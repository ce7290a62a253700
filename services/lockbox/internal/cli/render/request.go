package render

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Requests renders a list of requests. One column shows the viewer's part in each; a nil viewer omits it.
func Requests(l Look, list []*lockboxv1.RequestView, viewer *lockboxv1.Person) string {
	columns := []column{
		{title: "REQUEST"}, {title: "STATUS", min: 17}, {title: "YOU"}, {title: "TENANT", drop: 3}, {title: "WHAT", min: 24},
		{title: "REQUESTER", min: 22, drop: 4}, {title: "WHEN", min: 22}, {title: "RESOURCES", min: 40, drop: 2},
		{title: "TICKET", drop: 1},
	}
	var rows [][]cell
	you := false
	for _, v := range list {
		mine := part(v, viewer)
		you = you || mine != ""
		rows = append(rows, []cell{
			{l.id(v.GetRequestId()), accent}, {StatusName(v.GetStatus()), statusPaint(v.GetStatus())}, {mine, bold},
			text(v.GetTenant()),
			operation(v), {ActorName(v.GetRequester()), plain}, {l.when(v), whenPaint(l, v)}, text(resources(v)),
			text(v.GetIntent().GetTicketId()),
		})
	}
	if !you {
		columns = slices.Delete(columns, 2, 3)
		for i := range rows {
			rows[i] = slices.Delete(rows[i], 2, 3)
		}
	}
	return l.table(columns, rows)
}

// operation is what a request asks for; an emergency, for which the customer is not asked, stands out.
func operation(v *lockboxv1.RequestView) cell {
	if v.GetIntent().GetEmergency() {
		return urgent(text(scenario(v)))
	}
	return text(scenario(v))
}

// part returns the viewer's part in a request.
func part(v *lockboxv1.RequestView, viewer *lockboxv1.Person) string {
	if viewer == nil {
		return ""
	}
	if tenant.SamePerson(v.GetRequester().GetPerson(), viewer) {
		return "asked for it"
	}
	for _, d := range slices.Concat(v.GetInternalDecisions(), v.GetCustomerDecisions()) {
		if tenant.SamePerson(d.GetActor().GetPerson(), viewer) {
			return decided(d)
		}
	}
	frozen := slices.ContainsFunc(v.GetLockbox().GetApprovers(),
		func(a *lockboxv1.Approver) bool { return tenant.SamePerson(a.GetPerson(), viewer) })
	if frozen && v.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED {
		return "decide"
	}
	return ""
}

func decided(d *lockboxv1.Decision) string {
	if d.GetApproved() {
		return "approved"
	}
	return "denied"
}

// what describes the requested operation, in the catalogue's words or else the intent's.
func what(v *lockboxv1.RequestView) string {
	if v.GetServiceName() == "" {
		return v.GetIntent().GetResourceType() + ": " + scenario(v)
	}
	return v.GetServiceName() + ": " + scenario(v)
}

func scenario(v *lockboxv1.RequestView) string {
	if v.GetScenarioName() == "" {
		return v.GetIntent().GetScenario()
	}
	return v.GetScenarioName()
}

func resources(v *lockboxv1.RequestView) string {
	ids := allowedResources(v)
	switch len(ids) {
	case 0:
		return "-"
	case 1:
		return ids[0]
	}
	return fmt.Sprintf("%s and %d more", ids[0], len(ids)-1)
}

func allowedResources(v *lockboxv1.RequestView) []string {
	if g := v.GetGrant(); g != nil {
		return g.GetResourceIds()
	}
	return v.GetIntent().GetResourceIds()
}

// moment returns the time that matters most in a request's current state, and verbs for its future and its past.
func moment(v *lockboxv1.RequestView) (at *timestamppb.Timestamp, coming, past string) {
	switch v.GetStatus() {
	case lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL:
		return internalDeadline(v), "expires", "time ran out"
	case lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED:
		return v.GetLockbox().GetExpiresAt(), "expires", "time ran out"
	case lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE:
		return v.GetGrant().GetEndsAt(), "ends", "ended"
	default:
		if v.GetEndedAt() != nil {
			return v.GetEndedAt(), "ends", "ended"
		}
		return v.GetCreatedAt(), "begins", "began"
	}
}

// internalDeadline returns the deadline of the current internal stage; services of earlier versions report only the
// last stage's.
func internalDeadline(v *lockboxv1.RequestView) *timestamppb.Timestamp {
	if v.GetInternalAnswerBy() != nil {
		return v.GetInternalAnswerBy()
	}
	return v.GetEvaluation().GetInternalExpiresAt()
}

// when returns that time as a countdown: "expires in 3d 4h".
func (l Look) when(v *lockboxv1.RequestView) string {
	at, coming, past := moment(v)
	if at == nil {
		return "-"
	}
	if at.AsTime().After(l.Now) {
		return coming + " " + l.In(at.AsTime())
	}
	return past + " " + l.In(at.AsTime())
}

// whenPaint highlights a deadline that is near.
func whenPaint(l Look, v *lockboxv1.RequestView) paint {
	at, coming, _ := moment(v)
	switch left := at.AsTime().Sub(l.Now); {
	case coming != "expires" || at == nil:
		return plain
	case left <= 4*time.Hour:
		return bad
	case left <= day:
		return warn
	}
	return plain
}

// Request renders everything known about a request, ending with the timeline, oldest entry first. Without mails, these
// are one line of the timeline.
func Request(l Look, v *lockboxv1.RequestView, mails bool) string {
	p := &page{Look: l}
	p.title("Request " + Clean(v.GetRequestId()))
	p.painted("Status", statusPaint(v.GetStatus()), StatusName(v.GetStatus())+": "+l.standing(v))
	if v.GetActivateFirst() {
		p.painted("To decide", warn, "activate your role first: lockbox role activate; you were asked when it was active")
	}
	if v.GetFault() != "" {
		p.painted("FAULT", bad, "its history contradicts itself ("+Clean(v.GetFault())+"); nothing more is decided for it")
	}
	p.about(v)
	p.evaluation(v)
	p.approvers(v)
	p.grant(v)
	p.questions(v)
	p.timeline(v, mails)
	return p.String()
}

// standing returns one line on the request's current state and what comes next.
func (l Look) standing(v *lockboxv1.RequestView) string {
	when := l.when(v)
	if at, _, _ := moment(v); at != nil {
		when += " (" + l.Stamp(at) + ")"
	}
	switch v.GetStatus() {
	case lockboxv1.RequestStatus_REQUEST_STATUS_SUBMITTED:
		return "being evaluated"
	case lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL:
		return "waits for the provider's own " + waitingFor(v) + ", " + when
	case lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED:
		return fmt.Sprintf("waits for the customer (%d of %s), %s", approvals(v),
			plural(required(v), "approval", "approvals"), when)
	case lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED:
		return "decided; access is about to begin"
	case lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE:
		return "access exists and " + when
	default:
		if why := Clean(reason.Show(english, v.GetCodedEndReason(), v.GetEndReason()).Text); why != "" {
			when += ": " + why
		}
		if by := v.GetTicketClosedBy(); by != nil {
			when += " It was closed by " + ActorName(by) + "."
		}
		return when
	}
}

// waitingFor returns the group of the first incomplete internal stage.
func waitingFor(v *lockboxv1.RequestView) string {
	given := len(v.GetInternalDecisions())
	for _, s := range v.GetEvaluation().GetInternalStages() {
		if given < int(s.GetCount()) {
			return fmt.Sprintf("%s (%d of %d)", Clean(aggregate.GroupName(s.GetGroup())), given, s.GetCount())
		}
		given -= int(s.GetCount())
	}
	return "internal approval"
}

func approvals(v *lockboxv1.RequestView) int {
	n := 0
	for _, d := range v.GetCustomerDecisions() {
		if d.GetApproved() {
			n++
		}
	}
	return n
}

func required(v *lockboxv1.RequestView) int {
	return max(1, int(v.GetLockbox().GetRequiredApprovals()))
}

func (p *page) about(v *lockboxv1.RequestView) {
	in := v.GetIntent()
	p.field("Requester", address(v.GetRequester().GetPerson())+employed(v.GetRequester()), signIn(v.GetRequester()))
	p.field("What", Clean(what(v)))
	ids := make([]string, len(in.GetResourceIds()))
	for i, id := range in.GetResourceIds() {
		ids[i] = Clean(id)
	}
	p.field("Resources", ids...)
	if d := v.GetEvaluation().GetDuration(); d != nil {
		p.field("Access for", Duration(d.AsDuration()))
	}
	p.field("Justification", CleanText(in.GetJustification()))
	p.field("Reason", reasonOf(v))
	if in.GetEmergency() {
		p.painted("Emergency", bad, "yes: the customer is not asked, and is told as soon as access begins")
	}
	p.field("Ticket", ticketOf(v)...)
	p.field("Tenant", named(v.GetTenantName(), v.GetTenant()))
	p.field("Subscription", named(v.GetSubscriptionName(), in.GetSubscriptionId()))
	p.field("Submitted", p.Stamp(v.GetCreatedAt()))
	p.accounts(v)
}

func employed(a *lockboxv1.Actor) string {
	if a.GetEmployer() == "" {
		return ""
	}
	return ", " + Clean(a.GetEmployer())
}

func named(name, id string) string {
	switch {
	case id == "":
		return ""
	case name == "" || name == id:
		return Clean(id)
	}
	return fmt.Sprintf("%s (%s)", Clean(name), Clean(id))
}

// english is the command line's language.
const english = "en"

func (p *page) reasons(e *lockboxv1.AccessEvaluated) {
	for _, why := range reason.ShowAll(english, e.GetCodedReasons(), e.GetReasons()) {
		p.hang("  "+p.glyph("•", "-")+" ", plain, Clean(why.Text))
	}
}

func (p *page) evaluation(v *lockboxv1.RequestView) {
	e := v.GetEvaluation()
	if e == nil {
		return
	}
	p.heading("Evaluation")
	p.reasons(e)
	if r := e.GetRefusal(); r != nil {
		p.hang("  "+p.glyph("✗", "x")+" ", bad, RefusalSentence(r))
	}
	p.stages(v)
	for _, d := range v.GetInternalDecisions() {
		p.decision(d, Clean(aggregate.GroupName(d.GetGroup())))
	}
}

// stages lists the internal stages in order, if there are several.
func (p *page) stages(v *lockboxv1.RequestView) {
	stages := v.GetEvaluation().GetInternalStages()
	if len(stages) < 2 {
		return
	}
	decided := len(v.GetInternalDecisions())
	for i, s := range stages {
		here := min(decided, int(s.GetCount()))
		decided -= here
		group := Clean(aggregate.GroupName(s.GetGroup()))
		line := fmt.Sprintf("Internal stage %d: %s (%d of %d)", i+1, group, here, s.GetCount())
		if d := s.GetAnswerWithin(); d != nil {
			line += ", " + Duration(d.AsDuration()) + " to answer"
		}
		p.hang("  "+p.glyph("•", "-")+" ", plain, line)
	}
}

// decision adds a line on who decided, when, and what they wrote.
func (p *page) decision(d *lockboxv1.Decision, as string) {
	mark, color := p.glyph("✓", "+"), good
	if !d.GetApproved() {
		mark, color = p.glyph("✗", "x"), bad
	}
	line := fmt.Sprintf("%s %s %s%s", ActorName(d.GetActor()), decided(d), p.In(d.GetTime().AsTime()), signed(d))
	if as != "" {
		line += " as " + as
	}
	if reason := Clean(d.GetReason()); reason != "" {
		line += ": " + reason
	}
	p.hang("  "+p.paint(color, mark)+" ", plain, line)
}

func (p *page) approvers(v *lockboxv1.RequestView) {
	n := v.GetLockbox()
	if n == nil {
		return
	}
	p.heading(fmt.Sprintf("Asked: %s", basisName(n.GetBasis())))
	var rows [][]cell
	for _, a := range n.GetApprovers() {
		answer := cell{"no answer", dim}
		if NeverSignedIn(v.GetNeverSignedIn(), a.GetPerson()) {
			answer.text += "; never signed in"
		}
		for _, d := range v.GetCustomerDecisions() {
			if tenant.SamePerson(d.GetActor().GetPerson(), a.GetPerson()) {
				answer = cell{decided(d) + " " + p.In(d.GetTime().AsTime()) + signed(d), bad}
				if d.GetSignature() != nil && !d.GetSignature().GetHolds() {
					answer.paint = warn
				} else if d.GetApproved() {
					answer.paint = good
				}
				if reason := Clean(d.GetReason()); reason != "" {
					answer.text += ": " + reason
				}
			}
		}
		rows = append(rows, []cell{{PersonName(a.GetPerson()), plain}, text(a.GetPerson().GetEmail()),
			text(roleNames(a.GetRoles())), answer})
	}
	switch {
	case len(rows) == 0 && n.GetBasis() != lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY:
		p.line(p.paint(dim, "  Who they are is the customer's affair."))
	case len(rows) > 0:
		p.indented([]column{{title: "APPROVER", min: 12}, {title: "ADDRESS", drop: 1}, {title: "ROLE", min: 16, drop: 2},
			{title: "ANSWER", min: 20}}, rows)
	}
	if r := required(v); r > 1 {
		p.line(fmt.Sprintf("  %d different people must approve; so far %d.", r, approvals(v)))
	}
	for _, a := range n.GetAlternates() {
		p.field("Also told", Clean(a.GetEmail()))
	}
	if len(rows) == 0 {
		for _, d := range v.GetCustomerDecisions() {
			p.decision(d, "")
		}
	}
	for _, sharing := range tenant.SharedAddresses(n.GetApprovers()) {
		p.line(fmt.Sprintf("  %s share the address %s.", people(sharing), Clean(sharing[0].GetEmail())))
	}
	p.excluded(n.GetExcluded())
}

func people(list []*lockboxv1.Person) string {
	names := make([]string, len(list))
	for i, each := range list {
		names[i] = PersonName(each)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// accounts names those who acted, or were asked, with several accounts, which count as one person.
func (p *page) accounts(v *lockboxv1.RequestView) {
	var acted []*lockboxv1.Person
	for _, a := range v.GetLockbox().GetApprovers() {
		acted = append(acted, a.GetPerson())
	}
	for _, e := range v.GetTimeline() {
		acted = append(acted, e.GetActor().GetPerson())
	}
	for _, accounts := range tenant.OneHuman(acted) {
		p.field("One person", people(accounts)+", accounts of one person, who counts once")
	}
}

func (p *page) excluded(list []*lockboxv1.ExcludedAssignment) {
	if len(list) == 0 {
		return
	}
	p.heading("Not counted")
	for _, e := range list {
		p.hang("  "+p.glyph("•", "-")+" ", dim,
			fmt.Sprintf("%s, %s: %s", PersonName(e.GetPerson()), tenant.RoleName(e.GetRole()),
				Clean(reason.Show(english, e.GetCodedReason(), e.GetReason()).Text)))
	}
}

func (p *page) questions(v *lockboxv1.RequestView) {
	if len(v.GetQuestions()) == 0 {
		return
	}
	p.heading("Questions")
	for _, q := range v.GetQuestions() {
		p.hang("  Q  ", plain, fmt.Sprintf("%s, %s: %s", ActorName(q.GetAsker()), p.In(q.GetAskedAt().AsTime()),
			CleanText(q.GetText())))
		if q.GetAnswerer() == nil {
			p.hang("     ", warn, "not answered yet (question "+Clean(q.GetQuestionId())+")")
			continue
		}
		p.hang("  A  ", plain, fmt.Sprintf("%s, %s: %s", ActorName(q.GetAnswerer()), p.In(q.GetAnsweredAt().AsTime()),
			CleanText(q.GetAnswer())))
	}
}

// OneOf tells a request from others that an argument could mean.
func OneOf(v *lockboxv1.RequestView) string {
	line := Clean(scenario(v)) + ", " + ActorName(v.GetRequester()) + ", " + Clean(v.GetTenant())
	if v.GetStatus() != lockboxv1.RequestStatus_REQUEST_STATUS_UNSPECIFIED {
		line += ", " + StatusName(v.GetStatus())
	}
	return line
}

// Starts says that an internal approval starts access, and that the customer is not asked.
func Starts(v *lockboxv1.RequestView) string {
	customer := Clean(v.GetTenantName())
	if customer == "" {
		customer = Clean(v.GetTenant())
	}
	what := fmt.Sprintf("%s gets access for %s: %s on %s.", ActorName(v.GetRequester()),
		Duration(v.GetEvaluation().GetDuration().AsDuration()), Clean(what(v)), Clean(resources(v)))
	if v.GetEvaluation().GetWaiver() == lockboxv1.Waiver_WAIVER_EMERGENCY {
		return fmt.Sprintf("EMERGENCY: this starts access to the data of %s now. %s is not asked, and is told. %s", customer,
			customer, what)
	}
	return fmt.Sprintf("This starts access at once, and %s is not asked. %s", customer, what)
}

// Headline identifies a request on one line.
func Headline(l Look, v *lockboxv1.RequestView) string {
	line := l.paint(bold, "Request "+Clean(v.GetRequestId())) + "  " + Clean(what(v)) + ", " + ActorName(v.GetRequester())
	return strings.Join(wrap(line, l.Width), "\n")
}

// Standing returns one line on a request's current state, for a live view.
func Standing(l Look, v *lockboxv1.RequestView) string {
	line := l.paint(statusPaint(v.GetStatus()), StatusName(v.GetStatus())) + ": " + l.standing(v)
	if l.Width > 0 {
		line = l.clip(line, l.Width-1)
	}
	return line
}

// Submitted renders the outcome of an intent for the engineer: the request's state, why, and who was asked.
func Submitted(l Look, v *lockboxv1.RequestView, again bool) string {
	p := &page{Look: l}
	if again {
		p.title("Request " + Clean(v.GetRequestId()) + " was submitted before; nothing new was recorded.")
	} else {
		p.title("Request " + Clean(v.GetRequestId()))
	}
	p.painted("Status", statusPaint(v.GetStatus()), StatusName(v.GetStatus())+": "+l.standing(v))
	p.field("What", Clean(what(v)))
	p.evaluation(v)
	p.approvers(v)
	return p.String()
}
