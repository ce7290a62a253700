package administration

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// scoped is a visit to the role assignments of the tenant or of one of its subscriptions.
type scoped struct {
	looking
	// ID is the subscription's; empty for the tenant itself.
	ID, Name    string
	Version     uint64
	Assignments []*lockboxv1.AssignmentView
	Invitations []*lockboxv1.InvitationView
	// Asked are the people who would be asked to approve now; nil if the reader may not see them.
	Asked *lockboxv1.ApproversPreview
	// People are those to choose from for a role.
	People []candidate
	// About is the assignment that the page is about; nil if none.
	About *lockboxv1.AssignmentView
}

func lookAt(v *site.Visit, f *form.Form) (scoped, error) {
	l, err := look(v, f)
	if err != nil {
		return scoped{}, err
	}
	subscription := v.R.PathValue("subscription")
	if subscription == "" {
		t := l.Tenant
		return scoped{looking: l, Name: t.GetDisplayName(), Version: t.GetVersion(), Assignments: t.GetAssignments(),
			Invitations: t.GetInvitations()}, nil
	}
	for _, s := range l.Tenant.GetSubscriptions() {
		if s.GetSubscriptionId() == subscription {
			return scoped{looking: l, ID: subscription, Name: s.GetDisplayName(), Version: s.GetVersion(),
				Assignments: s.GetAssignments(), Invitations: s.GetInvitations()}, nil
		}
	}
	return scoped{}, refusal.OfKind(
		refusal.NotFound("subscription", "I9", "there is no such subscription"),
		"subscription")
}

// scope is the page of a scope: who would be asked to approve (R23), and which assignments exist and are active.
func (p pages) scope(v *site.Visit, f *form.Form) error {
	s, err := lookAt(v, f)
	if err != nil {
		return err
	}
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_PreviewApprovers{
		PreviewApprovers: &lockboxv1.PreviewApprovers{SubscriptionId: s.ID}}})
	if err != nil && !site.NotFound(err) {
		return err
	}
	s.Asked = reply.GetApprovers()
	title := "administration.roles-tenant"
	if s.ID != "" {
		title = "administration.roles-subscription"
	}
	return p.show(s.looking, "scope", title, s)
}

// path returns the URL of a page of the scope in the visit's own URL; without parts, the scope's main page.
func path(v *site.Visit, parts ...string) string {
	scope := []string{root, "roles"}
	if subscription := v.R.PathValue("subscription"); subscription != "" {
		scope = []string{root, "subscriptions", subscription}
	}
	return v.Path(append(scope, parts...)...)
}

// Of returns the URL of a page of the scope.
func (s scoped) Of(parts ...string) string { return path(s.Visit, parts...) }

// Basis names the rule that selects the approvers.
func (s scoped) Basis() (string, error) {
	return s.Say.Say(message("basis", s.Asked.GetBasis().String(), "APPROVER_BASIS_"))
}

// Short reports whether there are fewer approvers than required approvals, so that no request could be approved.
func (s scoped) Short() bool {
	return len(s.Asked.GetApprovers()) < s.Required()
}

// Required returns the number of different people who must approve (R30).
func (s scoped) Required() int { return int(s.Asked.GetRequiredApprovals()) }

// Choices lists the roles that can be assigned in this scope.
func (s scoped) Choices() []lockboxv1.Role {
	if s.ID != "" {
		return []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER, lockboxv1.Role_ROLE_LOCKBOX_APPROVER}
	}
	return []lockboxv1.Role{lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, lockboxv1.Role_ROLE_LOCKBOX_APPROVER,
		lockboxv1.Role_ROLE_AUDITOR}
}

// Own reports whether the assignment is the reader's, who alone may activate it or, if they hold it by a group, end it
// (R21).
func (s scoped) Own(a *lockboxv1.RoleAssignment) bool {
	return (a.GetEligibleOnly() || a.GetGroup() != "") &&
		tenant.SamePerson(a.GetPerson(), s.me.GetActor().GetPerson())
}

// Activatable reports whether only an activation is missing for an assignment to count.
func (scoped) Activatable(a *lockboxv1.AssignmentView) bool {
	switch a.GetCodedReason().GetCode() {
	case lockboxv1.ReasonCode_REASON_CODE_ROLE_NOT_ACTIVATED, lockboxv1.ReasonCode_REASON_CODE_ACTIVATION_ENDED:
		return true
	}
	return false
}

// Last reports whether an assignment is the only permanent Global Administrator's, who cannot be removed.
func (s scoped) Last(a *lockboxv1.RoleAssignment) bool {
	permanent := func(a *lockboxv1.RoleAssignment) bool {
		return a.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR && !a.GetEligibleOnly() && a.GetExpiresAt() == nil
	}
	return s.ID == "" && permanent(a) && !slices.ContainsFunc(s.Assignments, func(o *lockboxv1.AssignmentView) bool {
		return permanent(o.GetAssignment()) && o.GetAssignment().GetId() != a.GetId()
	})
}

// Activations lists the durations to choose from for an activation. The maximum is left out: with clock skew between
// two services it could be exceeded.
func (scoped) Activations() []time.Duration {
	return []time.Duration{time.Hour, 4 * time.Hour, tenant.DefaultActivation, tenant.MaxActivation / 2}
}

// DefaultActivation returns the preselected duration.
func (scoped) DefaultActivation() time.Duration { return tenant.DefaultActivation }

func (p pages) assignment(v *site.Visit, f *form.Form) error {
	s, err := lookAt(v, f)
	if err != nil {
		return err
	}
	if s.People, err = candidates(s.looking); err != nil {
		return err
	}
	title := "administration.assign"
	if s.ForGroup() {
		title = "group.title"
	}
	return p.show(s.looking, "assign", title, s)
}

var (
	expires      = form.Field{Name: "expires", Label: "administration.expires"}
	assignFields = map[string]form.Field{
		"assign_role.assignment.role":                {Name: "role", Label: "administration.role"},
		"assign_role.assignment.group":               {Name: "group", Label: "group.group"},
		"assign_role.assignment.expires_at":          expires,
		"assign_role.assignment.person.subject":      {Name: "subject", Label: "administration.subject"},
		"assign_role.assignment.person.display_name": {Name: "name", Label: "administration.name"},
		"assign_role.assignment.person.email":        {Name: "email", Label: "administration.email"},
		"assign_role.assignment.person.language":     {Name: "language", Label: "administration.language"},
	}
)

// assign gives a role to a person of the tenant's own issuer, or lets a group's people activate it. The assignment's ID
// is derived from the command's, so a form sent twice makes one assignment.
func (p pages) assign(v *site.Visit) error {
	f := form.Sent(v.R)
	s, err := lookAt(v, f)
	if err != nil {
		return err
	}
	id, err := f.CommandID()
	if err != nil {
		return err
	}
	if s.People, err = candidates(s.looking); err != nil {
		return err
	}
	as := &lockboxv1.RoleAssignment{
		Id: id, Role: lockboxv1.Role(lockboxv1.Role_value[f.Value("role")]),
		Scope:        lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT,
		EligibleOnly: f.Has("eligible", "yes"),
	}
	if s.ForGroup() {
		as.Group, as.EligibleOnly = f.Value("group"), true
	} else if as.Person, err = s.chosen(f); err != nil {
		return err
	}
	if s.ID != "" {
		as.Scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION
	}
	if t := f.Moment(expires, v.Say.Zone()); !t.IsZero() {
		as.ExpiresAt = timestamppb.New(t)
	}
	if len(f.Problems) > 0 {
		return p.assignment(v, f)
	}
	return change{
		Visit: v, form: f, then: s.Of(), again: p.assignment, fields: assignFields,
		command: &lockboxv1.Command{AggregateId: s.ID,
			Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{Assignment: as}}},
	}.onWhatWasSeen()
}

// activationFields are those of the form by which a role of a group is activated. What the reader's token does not say
// of groups, they can have said (R67).
var activationFields = map[string]form.Field{"activate_role.email": {Name: "email", Label: "group.email"},
	"token.groups": {}}

// removal is the confirmation page for removing an assignment; it explains the consequences first.
func (p pages) removal(v *site.Visit, f *form.Form) error {
	s, err := lookAt(v, f)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(s.Assignments, func(a *lockboxv1.AssignmentView) bool {
		return a.GetAssignment().GetId() == v.R.PathValue("assignment")
	})
	if i < 0 {
		return refusal.NotFound("assignment", "R20", "there is no such assignment")
	}
	s.About = s.Assignments[i]
	return p.show(s.looking, "remove", "administration.remove", s)
}

// changeRole removes an assignment, or activates or deactivates the reader's own.
func (p pages) changeRole(v *site.Visit) error {
	f := form.Sent(v.R)
	id := f.Value("assignment")
	c := &lockboxv1.Command{AggregateId: v.R.PathValue("subscription")}
	switch f.Value("do") {
	case "remove":
		c.Action = &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: id}}
	case "activate":
		long, err := time.ParseDuration(f.Value("for"))
		if err != nil {
			return refusal.Invalid("for", "R21", "is no length of time")
		}
		c.Action = &lockboxv1.Command_ActivateRole{ActivateRole: &lockboxv1.ActivateRole{AssignmentId: id,
			Until: timestamppb.New(v.Now().Add(long)), Email: f.Value("email")}}
	case "deactivate":
		c.Action = &lockboxv1.Command_DeactivateRole{DeactivateRole: &lockboxv1.DeactivateRole{AssignmentId: id}}
	default:
		return unknown()
	}
	return change{Visit: v, form: f, command: c, then: path(v), again: p.scope, fields: activationFields}.onWhatWasSeen()
}
