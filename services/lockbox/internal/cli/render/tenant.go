package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/resource"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Tenant renders a tenant with its settings, subscriptions and roles.
func Tenant(l Look, v *lockboxv1.TenantView) string {
	p := &page{Look: l}
	p.title("Tenant " + named(v.GetDisplayName(), v.GetTenant()))
	if v.GetLockboxEnabled() {
		p.painted("Lockbox", good, "on")
	} else {
		p.painted("Lockbox", warn, "off: access to customer data is decided by the provider alone")
	}
	p.field("Support plan", tenant.PlanName(v.GetPlan()))
	p.signIn(v)
	p.issuerKeys(v)
	for i, resourceType := range v.GetPreviews() {
		label := "Previews"
		if i > 0 {
			label = ""
		}
		p.field(label, Clean(resourceType))
	}
	if v.GetSettings() == nil {
		p.invitations(v.GetInvitations())
		return p.String() // onboarding sees no more
	}
	p.settings(v.GetSettings(), v.GetPartial())
	if len(v.GetWebhooks()) > 0 {
		p.heading("Webhooks")
		p.indented(webhookColumns, p.webhookRows(v.GetWebhooks()))
	}
	if v.GetPartial() {
		p.heading("Your roles of the tenant")
	} else {
		p.heading("Roles of the tenant")
	}
	p.assignments(v, v.GetAssignments())
	for _, s := range v.GetSubscriptions() {
		p.heading("Subscription " + named(s.GetDisplayName(), s.GetSubscriptionId()))
		p.assignments(v, s.GetAssignments())
	}
	return p.String()
}

var webhookColumns = []column{{title: "NAME", min: 8}, {title: "KIND"}, {title: "ADDRESS", min: 12},
	{title: "EVENTS", drop: 2}, {title: "LANGUAGE", drop: 1}, {title: "WEBHOOK"}}

// Webhooks renders the tenant's own webhooks.
func Webhooks(l Look, list []*lockboxv1.Webhook) string {
	if len(list) == 0 {
		return "No webhooks.\n"
	}
	return l.table(webhookColumns, l.webhookRows(list))
}

func (l Look) webhookRows(list []*lockboxv1.Webhook) (rows [][]cell) {
	for _, w := range list {
		events := "usual"
		if n := len(w.GetTypes()); n > 0 {
			events = fmt.Sprintf("%d chosen", n)
		}
		kind := strings.ToLower(strings.TrimPrefix(w.GetKind().String(), "WEBHOOK_KIND_"))
		rows = append(rows, []cell{text(w.GetName()), {kind, plain}, text(w.GetAddress()), {events, plain},
			text(w.GetLanguage()), {l.id(w.GetId()), accent}})
	}
	return rows
}

// signIn shows where people sign in, and a change that waits, to which it gives the commands.
func (p *page) signIn(v *lockboxv1.TenantView) {
	p.field("Signs in at", Clean(v.GetIssuer()))
	p.field("Groups", groupMap(v.GetSignIn().GetIssuer())...)
	p.field("Limits", limits(v.GetSignIn().GetIssuer())...)
	p.field("Authorities", Authorities(p.Look, v.GetSignIn().GetIssuer())...)
	var former []string
	for _, f := range v.GetSignIn().GetFormer() {
		former = append(former, Clean(f.GetUrl()))
	}
	if len(former) > 0 {
		p.field("Also accepted", append(former, "until an administrator ends it (lockbox tenant issuer finish)")...)
	}
	c := v.GetSignIn().GetPending()
	if c == nil {
		return
	}
	what := []string{signInRoutes[c.GetRoute()] + ", proposed by " + PersonName(c.GetProposedBy().GetPerson()) + " on " +
		p.minute(c.GetProposedAt())}
	if url := c.GetChange().GetIssuer().GetUrl(); url != "" {
		what = append(what, "to sign in at "+Clean(url))
		for _, g := range groupMap(c.GetChange().GetIssuer()) {
			what = append(what, "group "+g)
		}
		what = append(what, limits(c.GetChange().GetIssuer())...)
		for _, authority := range Authorities(p.Look, c.GetChange().GetIssuer()) {
			what = append(what, "authority "+authority)
		}
	}
	for _, a := range c.GetChange().GetAdministrators() {
		what = append(what, "Global Administrator "+PersonName(a)+", "+Clean(a.GetEmail()))
	}
	what = append(what, "because: "+Clean(c.GetChange().GetReason()))
	if c.GetConfirmedBy() != nil {
		what = append(what, "confirmed by "+PersonName(c.GetConfirmedBy().GetPerson()))
	}
	if c.GetDueAt() != nil {
		what = append(what, "made on "+p.minute(c.GetDueAt())+" unless it is stopped")
	} else {
		what = append(what, "made once a second person confirms it")
	}
	p.painted("Change waits", warn, what[0])
	for _, line := range append(what[1:], "id "+Clean(c.GetChangeId())) {
		p.field("", line)
	}
}

// groupMap says which groups of an issuer count, by the tenant's names, and where its tokens name them.
func groupMap(i *lockboxv1.TenantIssuer) (lines []string) {
	for _, g := range i.GetGroupMap() {
		line := Clean(aggregate.MappedName(g))
		if g.GetName() != "" && g.GetName() != g.GetId() {
			line += " = " + Clean(g.GetId())
		}
		lines = append(lines, line+" (claim "+Clean(cmp.Or(i.GetGroupsClaim(), "groups"))+")")
	}
	return lines
}

// limits says what an issuer may do otherwise than usual.
func limits(i *lockboxv1.TenantIssuer) (lines []string) {
	l := identity.UnusualLimits(i)
	if l.Leeway != 0 {
		lines = append(lines, "its clock may be "+Duration(l.Leeway)+" ahead")
	}
	if l.Token != 0 {
		lines = append(lines, fmt.Sprintf("tokens of at most %d bytes", l.Token))
	}
	if l.Keys != 0 {
		lines = append(lines, fmt.Sprintf("a published key set of at most %d bytes", l.Keys))
	}
	return lines
}

// Authorities names those that vouch for an issuer's servers instead of the public ones.
func Authorities(l Look, i *lockboxv1.TenantIssuer) (lines []string) {
	for _, a := range identity.ShownAuthorities(i) {
		ends := "ends "
		if a.Until.Before(l.Now) {
			ends = "ended "
		}
		lines = append(lines, fmt.Sprintf("%s, %s%s, SHA-256 %s", Clean(a.Name), ends, l.local(a.Until).Format("2 Jan 2006"),
			a.SHA256))
	}
	return lines
}

var signInRoutes = map[lockboxv1.SignInRoute]string{
	lockboxv1.SignInRoute_SIGN_IN_ROUTE_CORRECTION: "correction by the provider",
	lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER:   "change by the tenant itself",
	lockboxv1.SignInRoute_SIGN_IN_ROUTE_RECOVERY:   "recovery by the provider",
}

// invitations shows what became of onboarding's invitations.
func (p *page) invitations(list []*lockboxv1.InvitationView) {
	for _, i := range list {
		state := invitationStates[i.GetState()]
		if i.GetState() == lockboxv1.InvitationState_INVITATION_STATE_OPEN {
			state.text = "open until " + p.minute(i.GetInvitation().GetUntil())
		}
		p.painted("Invitation", state.paint, Clean(i.GetInvitation().GetNote())+": "+state.text)
	}
}

// issuerKeys warns of keys that cannot be used, of the present issuer and of those before.
func (p *page) issuerKeys(v *lockboxv1.TenantView) {
	p.keysOf("", v.GetIssuerKeys(), v.GetIssuerKeysPassedOver())
	for i, former := range v.GetSignIn().GetFormer() {
		keys := FormerKeys(v, i)
		p.keysOf("at "+Clean(former.GetUrl())+": ", keys.GetUsable(), keys.GetPassedOver())
	}
}

func (p *page) keysOf(whose string, usable uint32, passed []string) {
	label := "Unused keys"
	for _, k := range passed {
		p.painted(label, warn, whose+Clean(k))
		label = ""
	}
	if len(passed) > 0 && usable == 0 {
		p.painted("Keys", bad, whose+"none can be used: nobody who signs in there is recognised")
	}
}

// FormerKeys returns what is known of the keys of the i-th former issuer; nil from services that do not say it yet.
func FormerKeys(v *lockboxv1.TenantView, i int) *lockboxv1.IssuerKeys {
	if keys := v.GetSignIn().GetFormerKeys(); i < len(keys) {
		return keys[i]
	}
	return nil
}

// Settings renders a tenant's settings.
func Settings(l Look, s *lockboxv1.TenantSettings, partial bool) string {
	p := &page{Look: l}
	p.settings(s, partial)
	return p.String()
}

// settings shows settings; those that the reader does not see are said to be hidden.
func (p *page) settings(s *lockboxv1.TenantSettings, partial bool) {
	p.field("Language", Clean(s.GetDefaultLanguage()))
	p.field("Approvals", fmt.Sprintf("%d needed", max(1, s.GetRequiredApprovals())))
	p.field("Fallback", FallbackName(s.GetFallback())+"")
	if s.GetSignedApprovalsOnly() {
		p.field("Signatures", "only signed approvals count")
	}
	if longest := s.GetMaxAuthenticationAge(); longest != nil {
		p.field("Sign-in", "whoever decides signed in at most "+Duration(longest.AsDuration())+" before")
	}
	if s.GetAccessEndsWithTicket() {
		p.field("Tickets", "access ends when its ticket is closed, and begins only while it is open")
	}
	if s.GetTimeZone() != "" {
		p.field("Time zone", Clean(s.GetTimeZone()))
	}
	p.field("Deciders", decidersShown(s.GetDecidersShown()))
	if partial {
		p.field("Also told", "not shown to you")
		return
	}
	var told []string
	for _, a := range s.GetAlternates() {
		entry := Clean(a.GetEmail())
		if a.GetLanguage() != "" {
			entry += ", " + Clean(a.GetLanguage())
		}
		told = append(told, entry)
	}
	p.field("Also told", told...)
}

// decidersShown says how the provider's engineers see who decided.
func decidersShown(d lockboxv1.DecidersShown) string {
	if d == lockboxv1.DecidersShown_DECIDERS_SHOWN_ORGANISATION {
		return "shown to the provider's engineers as your organisation"
	}
	return "shown to the provider's engineers by name"
}

// FallbackName returns who is asked when too few approvers resolve.
func FallbackName(f lockboxv1.Fallback) string {
	if f == lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS {
		return "Lockbox Approvers of the tenant"
	}
	return "Global Administrators"
}

// Roles renders the role assignments of a tenant and its subscriptions; where limits them to one subscription, empty:
// all.
func Roles(l Look, v *lockboxv1.TenantView, where string) string {
	columns := []column{
		{title: "SCOPE"}, {title: "ROLE", min: 16}, {title: "PERSON", min: 10}, {title: "ADDRESS", drop: 1},
		{title: "COUNTS", min: 30}, {title: "ASSIGNMENT"},
	}
	var rows [][]cell
	sections := &page{Look: l}
	add := func(scope string, list []*lockboxv1.AssignmentView) {
		for _, a := range list {
			rows = append(rows, append([]cell{text(scope)}, l.assignment(v, a)...))
		}
		if len(list) > 0 {
			sections.heading(Clean(scope))
			sections.assignments(v, list)
		}
	}
	if where == "" {
		add("tenant", v.GetAssignments())
	}
	for _, s := range v.GetSubscriptions() {
		if where == "" || resource.Fold(where) == resource.Fold(s.GetSubscriptionId()) {
			add(s.GetSubscriptionId(), s.GetAssignments())
		}
	}
	if _, _, fits := l.fit(columns, rows); !fits {
		return strings.TrimPrefix(sections.String(), "\n")
	}
	return l.table(columns, rows)
}

func (p *page) assignments(of *lockboxv1.TenantView, list []*lockboxv1.AssignmentView) {
	if len(list) == 0 {
		p.line(p.paint(dim, "  nobody"))
		return
	}
	var rows [][]cell
	for _, a := range list {
		rows = append(rows, p.assignment(of, a))
	}
	p.indented([]column{{title: "ROLE", min: 16}, {title: "PERSON", min: 10}, {title: "ADDRESS", drop: 1},
		{title: "COUNTS", min: 20}, {title: "ASSIGNMENT"}}, rows)
}

func (l Look) assignment(of *lockboxv1.TenantView, a *lockboxv1.AssignmentView) []cell {
	counts := cell{"yes", good}
	switch until := a.GetActiveUntil(); {
	case !a.GetActive():
		counts = cell{notCounted(a), dim}
	case until != nil:
		counts.text = "ends " + l.In(until.AsTime())
	}
	if a.GetNeverSignedIn() {
		counts.text += "; never signed in"
	}
	as := a.GetAssignment()
	switch {
	case tenant.ToGroup(as):
		counts = groupCounts(of, a)
	case as.GetGroup() != "":
		counts.text += "; by group " + Clean(as.GetGroup())
	}
	return []cell{{tenant.RoleName(as.GetRole()), plain}, {Holder(as), plain},
		text(as.GetPerson().GetEmail()), counts, text(as.GetId())}
}

// notCounted says why an assignment does not count.
func notCounted(a *lockboxv1.AssignmentView) string {
	return "no: " + strings.TrimSuffix(Clean(reason.Show(english, a.GetCodedReason(), a.GetReason()).Text), ".")
}

// Mapped reports whether people of a group can be recognised: an issuer that is accepted maps it.
func Mapped(of *lockboxv1.TenantView, group string) bool {
	issuers := append([]*lockboxv1.TenantIssuer{of.GetSignIn().GetIssuer()}, of.GetSignIn().GetFormer()...)
	return slices.ContainsFunc(issuers, func(i *lockboxv1.TenantIssuer) bool {
		return slices.ContainsFunc(i.GetGroupMap(),
			func(g *lockboxv1.MappedGroup) bool { return aggregate.MappedName(g) == group })
	})
}

// Holder names the person or group of an assignment.
func Holder(as *lockboxv1.RoleAssignment) string {
	if tenant.ToGroup(as) {
		return "group " + Clean(as.GetGroup())
	}
	return PersonName(as.GetPerson())
}

// groupCounts says what a role of a group is worth: nothing by itself.
func groupCounts(of *lockboxv1.TenantView, a *lockboxv1.AssignmentView) cell {
	if a.GetCodedReason().GetCode() == lockboxv1.ReasonCode_REASON_CODE_ASSIGNMENT_ENDED {
		return cell{notCounted(a), dim}
	}
	if Mapped(of, a.GetAssignment().GetGroup()) {
		return cell{"once a member activates it", plain}
	}
	return cell{"no: the sign-in maps no such group", warn}
}

// Approvers renders who would be asked if a request came in now (R23).
func Approvers(l Look, v *lockboxv1.ApproversPreview) string {
	p := &page{Look: l}
	p.title("Would be asked: " + basisName(v.GetBasis()))
	if n := v.GetRequiredApprovals(); n > 1 {
		p.line(fmt.Sprintf("  %d different people must approve.", n))
	}
	var rows [][]cell
	for _, a := range v.GetApprovers() {
		language := a.GetPerson().GetLanguage()
		if language == "" {
			language = "-"
		}
		who := PersonName(a.GetPerson())
		if NeverSignedIn(v.GetNeverSignedIn(), a.GetPerson()) {
			who += " (never signed in)"
		}
		rows = append(rows, []cell{{who, plain}, text(a.GetPerson().GetEmail()),
			text(roleNames(a.GetRoles())), text(language)})
	}
	if len(rows) > 0 {
		p.indented([]column{{title: "APPROVER", min: 12}, {title: "ADDRESS", drop: 2}, {title: "ROLE", min: 16},
			{title: "LANGUAGE", drop: 1}}, rows)
	}
	p.excluded(v.GetExcluded())
	return p.String()
}

// NeverSignedIn reports whether somebody is among those of whom nothing is recorded.
func NeverSignedIn(list []*lockboxv1.Person, p *lockboxv1.Person) bool {
	return slices.ContainsFunc(list, func(q *lockboxv1.Person) bool { return tenant.SamePerson(p, q) })
}
