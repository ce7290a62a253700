package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/resource"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (a *app) roleCommand() *cobra.Command {
	return group("role", "Assign roles, and activate eligible ones", `Roles say who decides: Owners and Lockbox Approvers of a subscription, Global Administrators and Lockbox Approvers of
the tenant. An eligible assignment counts only while its holder has activated it. A role assigned to a group of your
identity provider counts for whoever is in it and has activated it, and for nobody else. Somebody whose ID at the identity
provider you do not know is invited by a link, and counts once you have confirmed who accepted it.`, "",
		a.roleListCommand(), a.roleAssignCommand(),
		a.roleCommandAbout("remove", "Take an assignment away", "Removed.",
			"%s loses the role %s, and can no longer decide any request, including pending ones.", nil,
			func(id string, _ *timestamppb.Timestamp) *lockboxv1.Command {
				return &lockboxv1.Command{Action: &lockboxv1.Command_RemoveRole{
					RemoveRole: &lockboxv1.RemoveRole{AssignmentId: id}}}
			}),
		a.roleActivateCommand(),
		a.roleCommandAbout("deactivate", "End the activation of your own assignment", "Deactivated.", "", nil,
			func(id string, _ *timestamppb.Timestamp) *lockboxv1.Command {
				return &lockboxv1.Command{Action: &lockboxv1.Command_DeactivateRole{
					DeactivateRole: &lockboxv1.DeactivateRole{AssignmentId: id}}}
			}),
		a.roleInviteCommand(), a.roleInvitationsCommand(), a.roleAcceptCommand(), a.roleConfirmCommand(),
		a.roleWithdrawCommand(), a.roleCarryOverCommand())
}

func (a *app) roleActivateCommand() *cobra.Command {
	var email string
	c := a.roleCommandAbout("activate", "Activate your own eligible assignment, or that of a group you are in",
		"Activated.", "", new(lengthFlag), func(id string, until *timestamppb.Timestamp) *lockboxv1.Command {
			return &lockboxv1.Command{Action: &lockboxv1.Command_ActivateRole{
				ActivateRole: &lockboxv1.ActivateRole{AssignmentId: id, Until: until, Email: email}}}
		})
	c.Flags().StringVar(&email, "email", "", "of a group's role: your `address` for mails, if your token names none")
	c.Long = `Activates a role for a time, eight hours unless --for says otherwise. If it is assigned to a group, your token has to name the
group: you then hold the role yourself for that time, and show the group again the next time. The list of roles names the
assignments.`
	return c
}

func (a *app) roleListCommand() *cobra.Command {
	var subscription string
	c := &cobra.Command{
		Use: "list", Short: "List who holds which role, and whether it counts now", Args: exactly(),
		ValidArgsFunction: nothing,
		Example:           "  lockbox role list\n  lockbox role list --subscription meadow-production",
	}
	c.Flags().StringVar(&subscription, "subscription", "", "only of this `subscription`")
	complete(c, "subscription", a.subscriptions)
	watch := watchable(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		return a.list(ctx, *watch, func() (page, error) {
			v, err := s.tenantView(ctx, id, 0)
			return answer(v, func(l render.Look) string { return render.Roles(l, v, subscription) }), err
		})
	})
	return c
}

func (a *app) roleAssignCommand() *cobra.Command {
	as := &lockboxv1.RoleAssignment{Person: &lockboxv1.Person{}}
	role := &enumFlag[lockboxv1.Role]{as: "role"}
	expires := &timeFlag{app: a}
	var subscription string
	var inherited bool
	c := &cobra.Command{
		Use: "assign", Short: "Assign a role (Global Administrators)", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Assigns a role to a person of the tenant's own issuer, on the tenant or with --subscription on a subscription. The person is
known by --person, what the issuer's tokens call them (sub); name and address are only for addressing them.

With --group the role is a group's, by your own name for it (lockbox tenant show lists them). Nobody holds it by that: whoever's
token names the group can activate it, for a day at most, and only those who have are asked to approve.`,
		Example: `  lockbox role assign --role owner --subscription meadow-production \
      --person otto --name "Otto Owens" --email otto@meadowbank.example
  lockbox role assign --role lockbox-approver --person fleur --eligible
  lockbox role assign --role auditor --person audrey --expires +30d
  lockbox role assign --role owner --subscription meadow-production --group on-call`,
	}
	f := c.Flags()
	f.Var(role, "role", strings.Join(spellings[lockboxv1.Role](), ", "))
	f.StringVar(&subscription, "subscription", "", "on this `subscription`; none: on the tenant")
	f.StringVar(&as.Person.Subject, "person", "", "who: their `subject` at the tenant's issuer")
	f.StringVar(&as.Group, "group", "", "instead of a person: the `group` whose people can activate it")
	f.StringVar(&as.Person.DisplayName, "name", "", "their `name`")
	f.StringVar(&as.Person.Email, "email", "", "their `address`")
	f.StringVar(&as.Person.Language, "language", "", "their `language`; none: the tenant's")
	f.BoolVar(&as.EligibleOnly, "eligible", false, "counts only while activated")
	f.Var(expires, "expires", "when it ends, such as +30d; none: when it is removed")
	f.StringVar(&as.Id, "id", "", "the assignment's own `id`; none: made of role and person")
	f.BoolVar(&inherited, "management-group", false, "inherited from a management group: recorded, but not counted")
	complete(c, "role", fixed(spellings[lockboxv1.Role]()...))
	complete(c, "subscription", a.subscriptions)
	complete(c, "person", a.personas)
	complete(c, "language", fixed(tenant.Languages...))
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		var who error
		draft := s.drafted(as)
		if (as.GetPerson().GetSubject() == "") == (as.GetGroup() == "") {
			who, draft = usage(c, "either --person or --group is needed"), &lockboxv1.Command{}
		}
		if err := s.check(draft, []string{"role", role.String()}, who); err != nil {
			return err
		}
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		v, err := s.tenantView(ctx, id, 0)
		if err != nil {
			return err
		}
		if as.Role = role.value; as.GetGroup() != "" {
			as.Person, as.EligibleOnly = nil, true
		} else {
			as.Person.Issuer = v.GetIssuer()
			s.introduce(as.GetPerson())
		}
		as.Scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT
		if subscription != "" {
			as.Scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION
		}
		if inherited {
			as.Scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP
		}
		if !expires.IsZero() {
			as.ExpiresAt = timestamppb.New(expires.Time)
		}
		if as.GetId() == "" {
			if as.Id, err = assignmentID(as); err != nil {
				return err
			}
		}
		reply, err := s.do(ctx, id, subscription,
			&lockboxv1.Command{Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{Assignment: as}}})
		if err != nil {
			return err
		}
		if a.output != formatTable {
			return a.show(as, nil)
		}
		if as.GetGroup() != "" {
			return a.done(reply, "Whoever is in %s can activate %s of %s from now on (assignment %s).",
				render.Clean(as.GetGroup()), tenant.RoleName(as.GetRole()), render.Clean(first(subscription, id)),
				render.Clean(as.GetId()))
		}
		return a.done(reply, "%s is %s of %s from now on (assignment %s).", render.PersonName(as.GetPerson()),
			tenant.RoleName(as.GetRole()), render.Clean(first(subscription, id)), render.Clean(as.GetId()))
	})
	return c
}

// drafted is the command of an assignment as far as its flags say it: what is filled in later is not wrong.
func (s *session) drafted(as *lockboxv1.RoleAssignment) *lockboxv1.Command {
	as = proto.CloneOf(as)
	as.Id = first(as.GetId(), "made")
	s.introduce(as.GetPerson())
	return &lockboxv1.Command{Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{Assignment: as}}}
}

// introduce completes the details of a demo persona.
func (s *session) introduce(p *lockboxv1.Person) {
	persona, known := devissuer.Find(p.GetSubject())
	if s.demo == nil || !known {
		return
	}
	p.Subject = devissuer.Subject(s.demo.Shape, persona.Name)
	p.DisplayName = first(p.GetDisplayName(), persona.DisplayName)
	p.Email = first(p.GetEmail(), persona.Email)
	p.Language = first(p.GetLanguage(), persona.Language)
}

// assignmentID derives the id from the role and the person or group, so that assigning a role twice has no further
// effect.
func assignmentID(as *lockboxv1.RoleAssignment) (string, error) {
	role := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(as.GetRole().String(), "ROLE_"), "_", "-"))
	who := as.GetPerson().GetSubject()
	if as.GetGroup() != "" {
		who = "group-" + strings.ReplaceAll(strings.ToLower(as.GetGroup()), " ", "-")
	}
	if id := who + "-" + role; input.Token("id", id) == nil {
		return id, nil
	}
	id, err := uuid.NewV7()
	return id.String(), err
}

// roleCommandAbout creates a command on an existing assignment; with length it takes --for.
func (a *app) roleCommandAbout(
	verb, short, sentence, warning string, length *lengthFlag,
	command func(id string, until *timestamppb.Timestamp) *lockboxv1.Command,
) *cobra.Command {
	var subscription string
	c := &cobra.Command{
		Use: verb + " ASSIGNMENT", Short: short, Args: exactly("ASSIGNMENT"), ValidArgsFunction: a.assignments,
		Example: "  lockbox role " + verb + " eli-eligible --subscription meadow-production",
	}
	c.Flags().StringVar(&subscription, "subscription", "", "the `subscription` it was assigned on; none: found by its id")
	complete(c, "subscription", a.subscriptions)
	if length != nil {
		c.Flags().Var(length, "for", "for how `long`; none: eight hours")
	}
	yes := new(bool)
	if warning != "" {
		c.Example += " --yes"
		yes = askAlways(c)
	}
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		found, err := s.assignment(ctx, id, args[0], subscription)
		if err != nil {
			return err
		}
		if warning != "" {
			as := found.GetAssignment()
			who := render.PersonName(as.GetPerson())
			if tenant.ToGroup(as) {
				who = "The group " + render.Clean(as.GetGroup())
			}
			effect := fmt.Sprintf(warning, who, tenant.RoleName(as.GetRole()))
			if err := a.confirmDangerous(ctx, c, *yes, effect, goOn); err != nil {
				return err
			}
		}
		var until *timestamppb.Timestamp
		if length != nil && length.Duration > 0 {
			until = timestamppb.New(a.Now().Add(length.Duration))
		}
		return s.order(ctx, id, found.subscription, command(found.GetAssignment().GetId(), until), "%s", sentence)
	})
	return c
}

// assignment finds one that the caller sees by its id, a part of it, or its holder. Ids are unique only within a
// subscription, so an ambiguous one requires the subscription to be named.
func (s *session) assignment(ctx context.Context, tenantID, named, subscription string) (found heldRole, err error) {
	v, err := s.tenantView(ctx, tenantID, 0)
	if err != nil {
		return found, err
	}
	var all []heldRole
	add := func(where string, list []*lockboxv1.AssignmentView) {
		for _, as := range list {
			if subscription == "" || resource.Fold(subscription) == resource.Fold(where) {
				all = append(all, heldRole{as, where})
			}
		}
	}
	add("", v.GetAssignments())
	for _, sub := range v.GetSubscriptions() {
		add(sub.GetSubscriptionId(), sub.GetAssignments())
	}
	return pick(s.command, "assignment", named, "lockbox role list", all, func(r heldRole) candidate {
		as := r.GetAssignment()
		return candidate{id: as.GetId(), name: as.GetPerson().GetDisplayName(),
			about: render.PersonName(as.GetPerson()) + ", " + tenant.RoleName(as.GetRole()) + " of " +
				first(r.subscription, "the tenant")}
	})
}
