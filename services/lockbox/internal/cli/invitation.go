package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/invitation"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// issued is an invitation with its link, which is shown once: Lockbox does not have it.
type issued struct {
	ID    string    `json:"id"`
	For   string    `json:"for"`
	Role  string    `json:"role"`
	Where string    `json:"where"`
	Until time.Time `json:"until"`
	Link  string    `json:"link"`
	// Code goes with the first invitation of a customer, through another channel.
	Code string `json:"code,omitempty"`
}

// issue makes an invitation's secret, and a code if it has one, and puts their hash into the invitation.
func (s *session) issue(
	portal, tenantID, where string, i *lockboxv1.RoleInvitation, withCode bool,
) (made issued, err error) {
	if i.GetId() == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return made, err
		}
		i.Id = id.String()
	}
	secret := invitation.New()
	made = issued{ID: i.GetId(), For: i.GetNote(), Role: tenant.RoleName(i.GetRole()), Where: where,
		Until: s.app.Now().Add(tenant.InvitationTime).UTC().Truncate(time.Minute), Link: secret.Link(portal, tenantID)}
	if withCode {
		made.Code = invitation.NewCode()
	}
	i.SecretHash, err = secret.Hash(made.Code)
	return made, err
}

// show shows invitations that were just made.
func (a *app) issued(made ...issued) error {
	return a.write(page{
		json: func() (string, error) {
			if len(made) == 1 {
				return render.ValueJSON(made[0])
			}
			return render.ValueJSON(made)
		},
		human: func(l render.Look) string {
			var text strings.Builder
			for _, m := range made {
				said := fmt.Sprintf("%s is invited to be %s of %s, until %s. The link:", render.Clean(m.For), m.Role,
					render.Clean(m.Where), l.Stamp(timestamppb.New(m.Until)))
				fmt.Fprintf(&text, "%s\n    %s\n", render.Sentence(l, said), m.Link)
				if m.Code != "" {
					fmt.Fprintf(&text, "\nThe code:\n    %s\n", m.Code)
				}
				text.WriteString("\n")
			}
			advice := "It is shown only now. Send it yourself to the person, and to nobody else. Once they have accepted, " +
				"ask them whether it was them, and confirm it: lockbox role invitations"
			switch {
			case len(made) == 0:
				return render.Sentence(l, "Nobody was invited.")
			case made[0].Code != "":
				advice = "Both are shown only now. Send the link by e-mail, and say the code on the telephone, at a number that you " +
					"know: whoever has both becomes Global Administrator at once."
			case len(made) > 1:
				advice = strings.Replace(advice, "It is", "They are", 1)
				advice = strings.Replace(advice, "Send it yourself to the person", "Send each yourself to its person", 1)
			}
			return text.String() + render.Sentence(l, advice)
		},
	})
}

// invitationFlags are those of a role that somebody is invited to.
type invitationFlags struct {
	role         *enumFlag[lockboxv1.Role]
	expires      *timeFlag
	subscription string
	portal       string
	eligible     bool
}

func portalFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "portal", "",
		"`URL` of the portal, for the link (LOCKBOX_PORTAL); in the demo it is known; none: the link's secret alone")
	complete(c, "portal", nothing)
}

// portalOf is where the portal is.
func (s *session) portalOf(flag string) string {
	return first(flag, s.app.Getenv("LOCKBOX_PORTAL"), s.portal)
}

func (a *app) roleInviteCommand() *cobra.Command {
	in := &invitationFlags{role: &enumFlag[lockboxv1.Role]{as: "role"}, expires: &timeFlag{app: a}}
	i := &lockboxv1.RoleInvitation{}
	c := &cobra.Command{
		Use: "invite", Short: "Invite somebody to a role by a link (Global Administrators)", Args: exactly(),
		ValidArgsFunction: nothing,
		Long: `Makes a link for one use within 72 hours, for whom you do not know what your identity provider calls them. Whoever accepts it,
signed in at your organisation, is shown to all administrators and holds the role once one of you confirms it. The link is shown
once and kept nowhere: send it yourself.`,
		Example: `  lockbox role invite --role owner --subscription meadow-production --for "Otto Owens"
  lockbox role invite --role auditor --for "Audrey of the audit team" --expires +30d`,
	}
	f := c.Flags()
	f.Var(in.role, "role", strings.Join(spellings[lockboxv1.Role](), ", "))
	f.StringVar(&in.subscription, "subscription", "", "on this `subscription`; none: on the tenant")
	f.StringVar(&i.Note, "for", "", "for `whom` it is, as you call them")
	f.BoolVar(&in.eligible, "eligible", false, "counts only while activated")
	f.Var(in.expires, "expires", "when the role ends, such as +30d; none: when it is removed")
	portalFlag(c, &in.portal)
	complete(c, "role", fixed(spellings[lockboxv1.Role]()...))
	complete(c, "subscription", a.subscriptions)
	complete(c, "for", nothing)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		draft := proto.CloneOf(i)
		draft.Id = "made" // later
		if err := s.check(&lockboxv1.Command{Action: &lockboxv1.Command_InviteRole{
			InviteRole: &lockboxv1.InviteRole{Invitation: draft}}},
			[]string{"role", in.role.String(), "for", i.GetNote()}); err != nil {
			return err
		}
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		i.Role, i.EligibleOnly = in.role.value, in.eligible
		if !in.expires.IsZero() {
			i.ExpiresAt = timestamppb.New(in.expires.Time)
		}
		made, err := s.invite(ctx, id, in.subscription, s.portalOf(in.portal), i, false)
		if err != nil {
			return err
		}
		return a.issued(made)
	})
	return c
}

// invite makes an invitation to a role on a subscription or, without one, on the tenant.
func (s *session) invite(
	ctx context.Context, tenantID, subscription, portal string, i *lockboxv1.RoleInvitation, withCode bool,
) (issued, error) {
	i.Scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT
	if subscription != "" {
		i.Scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION
	}
	made, err := s.issue(portal, tenantID, first(subscription, tenantID), i, withCode)
	if err != nil {
		return made, err
	}
	_, err = s.do(ctx, tenantID, subscription,
		&lockboxv1.Command{Action: &lockboxv1.Command_InviteRole{InviteRole: &lockboxv1.InviteRole{Invitation: i}}})
	return made, err
}

func (a *app) tenantInviteCommand() *cobra.Command {
	i := &lockboxv1.RoleInvitation{Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR}
	var portal string
	c := &cobra.Command{
		Use: "invite TENANT", Short: "Invite a customer's first Global Administrator anew (onboarding)",
		Args: exactly("TENANT"), ValidArgsFunction: firstArgument(a.tenants),
		Long: `Makes another link and code for the first Global Administrator of a customer that has never had one: when the earlier invitation
has run out or was withdrawn (lockbox role withdraw).`,
		Example: `  lockbox tenant invite meadowbank --for "Grace Green"`,
	}
	c.Flags().StringVar(&i.Note, "for", "", "for `whom` it is, as you call them")
	_ = c.MarkFlagRequired("for")
	portalFlag(c, &portal)
	complete(c, "for", nothing)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		made, err := s.invite(ctx, args[0], "", s.portalOf(portal), i, true)
		if err != nil {
			return err
		}
		return a.issued(made)
	})
	return c
}

func (a *app) roleInvitationsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "invitations", Short: "List the invitations to roles, and what has become of them", Args: exactly(),
		ValidArgsFunction: nothing, Example: "  lockbox role invitations",
	}
	watch := watchable(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		return a.list(ctx, *watch, func() (page, error) {
			v, err := s.tenantView(ctx, id, 0)
			list := &lockboxv1.TenantView{Tenant: v.GetTenant(), Invitations: invitationsOf(v)}
			return answer(list, func(l render.Look) string { return render.Invitations(l, list.GetInvitations()) }), err
		})
	})
	return c
}

// invitationsOf lists the invitations of a tenant and its subscriptions.
func invitationsOf(v *lockboxv1.TenantView) []*lockboxv1.InvitationView {
	list := v.GetInvitations()
	for _, s := range v.GetSubscriptions() {
		list = append(list, s.GetInvitations()...)
	}
	return list
}

// invitations completes the ids of invitations that somebody can still do something about.
func (a *app) invitations(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return firstArgument(a.asking(func(ctx context.Context, s *session) []string {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return nil
		}
		v, err := s.tenantView(ctx, id, 0)
		if err != nil {
			return nil
		}
		var ids []string
		for _, i := range invitationsOf(v) {
			if i.GetSettledAt() == nil {
				ids = append(ids, cobra.CompletionWithDesc(render.Clean(i.GetInvitation().GetId()),
					render.Clean(i.GetInvitation().GetNote())))
			}
		}
		return ids
	}))(c, args, typed)
}

// invitation finds one by its id, a part of it, or whom it is for.
func (s *session) invitation(ctx context.Context, tenantID, named string) (*lockboxv1.InvitationView, error) {
	v, err := s.tenantView(ctx, tenantID, 0)
	if err != nil {
		return nil, err
	}
	return pick(s.command, "invitation", named, "lockbox role invitations", invitationsOf(v),
		func(i *lockboxv1.InvitationView) candidate {
			return candidate{id: i.GetInvitation().GetId(), name: i.GetInvitation().GetNote(),
				about: tenant.RoleName(i.GetInvitation().GetRole()) + " of " + i.GetWhere()}
		})
}

func (a *app) roleAcceptCommand() *cobra.Command {
	var code, email string
	c := &cobra.Command{
		Use: "accept [FILE]", Short: "Accept an invitation to a role", Args: atMost("FILE"),
		ValidArgsFunction: firstArgument(func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault // a file
		}),
		Long: `Reads the link from a file, or from what you type: not from the command line, which others on this machine can see. You are shown
what you are invited to before you accept. Sign in at the organisation that invited you first (lockbox login).`,
		Example: "  lockbox role accept\n  lockbox role accept link.txt --code 7KQ2-M0XA-93TD",
	}
	c.Flags().StringVar(&code, "code", "", "the `code`, if you were told one besides the link")
	c.Flags().StringVar(&email, "email", "", "your `address`, if your sign-in names none")
	yes := askFirst(c)
	complete(c, "code", nothing)
	complete(c, "email", nothing)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		link, err := a.linkFrom(ctx, args)
		if err != nil {
			return err
		}
		secret, err := invitation.Parse("link", link)
		if err != nil {
			return err
		}
		id := invitation.Tenant(link)
		if id == "" {
			if id, err = s.oneTenant(ctx); err != nil {
				return err
			}
		}
		proof, err := secret.Proof(code)
		if err != nil {
			return err
		}
		reply, err := s.ask(ctx, id, 0, &lockboxv1.Query{Ask: &lockboxv1.Query_GetInvitation{
			GetInvitation: &lockboxv1.GetInvitation{Proof: proof}}})
		if err != nil {
			return unknownInvitation(err)
		}
		offer := reply.GetInvitation()
		if err := a.confirm(ctx, *yes, render.Offer(offer), "Accept it?"); err != nil {
			return err
		}
		sentence := "Accepted. You hold the role once an administrator has confirmed that it was you; they are told by e-mail."
		if offer.GetInvitedBy().GetSide() == lockboxv1.Side_SIDE_PROVIDER {
			sentence = "Accepted. You are Global Administrator from now on."
		}
		return s.order(ctx, id, offer.GetSubscriptionId(), &lockboxv1.Command{Action: &lockboxv1.Command_RedeemInvitation{
			RedeemInvitation: &lockboxv1.RedeemInvitation{InvitationId: offer.GetInvitation().GetId(), Proof: proof,
				Email: email}}}, "%s", sentence)
	})
	return c
}

// linkFrom reads a link from a file, from standard input, or by asking.
func (a *app) linkFrom(ctx context.Context, args []string) (string, error) {
	switch {
	case len(args) > 0:
		data, err := a.read(args[0])
		return string(data), err
	case a.interactive():
		return a.prompt(ctx, "The invitation's link: ")
	}
	data, err := a.read("-")
	return string(data), err
}

// unknownInvitation says of an invitation that cannot be seen what its invitee can do.
func unknownInvitation(err error) error {
	if refusal.Of(err).GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND {
		return err
	}
	return refusal.NotFound("link", "R66", "no invitation has this link, or it needs the code that you were told besides "+
		"(--code); check both, or ask whoever invited you for a new one")
}

func (a *app) roleConfirmCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "confirm INVITATION", Short: "Confirm who accepted an invitation (Global Administrators)",
		Args: exactly("INVITATION"), ValidArgsFunction: a.invitations,
		Long: `Shows who accepted the invitation, and gives them the role. Name and address are what the account says of itself: ask the person
whom you invited whether it was them, in another way than by that address.`,
		Example: "  lockbox role confirm 0197a2c4-8f7e-7b1e-9a51-6a7a4f0f2b11",
	}
	yes := askAlways(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		i, err := s.invitation(ctx, id, args[0])
		if err != nil {
			return err
		}
		who := i.GetRedeemedBy()
		if who != nil {
			effect := render.Redeemer(i) + " They hold the role from now on: go on only if it is the person whom you meant."
			if err := a.confirmDangerous(ctx, c, *yes, effect, goOn); err != nil {
				return err
			}
		}
		return s.order(ctx, id, i.GetSubscriptionId(), &lockboxv1.Command{Action: &lockboxv1.Command_ConfirmInvitation{
			ConfirmInvitation: &lockboxv1.ConfirmInvitation{InvitationId: i.GetInvitation().GetId(), Issuer: who.GetIssuer(),
				Subject: who.GetSubject()}}}, "%s is %s of %s from now on.", render.PersonName(who),
			tenant.RoleName(i.GetInvitation().GetRole()), render.Clean(i.GetWhere()))
	})
	return c
}

func (a *app) roleWithdrawCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "withdraw INVITATION", Aliases: []string{"turn-down"},
		Short: "Withdraw an invitation, or turn down whoever accepted it",
		Args:  exactly("INVITATION"), ValidArgsFunction: a.invitations,
		Example: `  lockbox role withdraw 0197a2c4-8f7e-7b1e-9a51-6a7a4f0f2b11
  lockbox role turn-down "Otto Owens" --reason "It was not Otto" --yes`,
	}
	c.Flags().StringVar(&reason, "reason", "", "`why`; whoever accepted it reads it")
	yes := askAlways(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		i, err := s.invitation(ctx, id, args[0])
		if err != nil {
			return err
		}
		if err := a.confirmDangerous(ctx, c, *yes, fmt.Sprintf("The invitation for %s ends, and no role comes of it.",
			render.Clean(i.GetInvitation().GetNote())), goOn); err != nil {
			return err
		}
		return s.order(ctx, id, i.GetSubscriptionId(), &lockboxv1.Command{Action: &lockboxv1.Command_EndInvitation{
			EndInvitation: &lockboxv1.EndInvitation{InvitationId: i.GetInvitation().GetId(), Reason: reason}}},
			"Ended. No role comes of the invitation for %s.", render.Clean(i.GetInvitation().GetNote()))
	})
	return c
}

func (a *app) roleCarryOverCommand() *cobra.Command {
	var portal string
	var onlyTry bool
	c := &cobra.Command{
		Use: "carry-over", Short: "Invite the holders of roles to your new sign-in", Args: exactly(),
		ValidArgsFunction: nothing,
		Long: `After a change of where your people sign in, makes an invitation for each role that somebody of a former sign-in holds, and shows
the links. Send each to its person; confirm who accepts it. Their old roles end with the former sign-in (lockbox tenant issuer
finish). Roles whose holder has one like it at the present sign-in already, or an invitation that waits, are left out.`,
		Example: "  lockbox role carry-over --dry-run\n  lockbox role carry-over",
	}
	portalFlag(c, &portal)
	c.Flags().BoolVar(&onlyTry, "dry-run", false, "show whose roles would be carried over, and invite nobody")
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		v, err := s.tenantView(ctx, id, 0)
		if err != nil {
			return err
		}
		former, dry := formerRoles(v), &lockboxv1.TenantView{Tenant: id, SignIn: v.GetSignIn()}
		var made []issued
		for _, r := range former {
			if onlyTry {
				if r.subscription == "" {
					dry.Assignments = append(dry.Assignments, r.AssignmentView)
				} else {
					dry.Subscriptions = append(dry.Subscriptions, &lockboxv1.SubscriptionView{SubscriptionId: r.subscription,
						Assignments: []*lockboxv1.AssignmentView{r.AssignmentView}})
				}
				continue
			}
			as := r.GetAssignment()
			m, err := s.invite(ctx, id, r.subscription, s.portalOf(portal), &lockboxv1.RoleInvitation{
				Role: as.GetRole(), EligibleOnly: as.GetEligibleOnly(), ExpiresAt: as.GetExpiresAt(),
				Note: render.PersonName(as.GetPerson())}, false)
			if err != nil {
				return s.some(made, err)
			}
			made = append(made, m)
		}
		if onlyTry {
			return a.show(dry, func(l render.Look) string { return render.Roles(l, dry, "") })
		}
		return a.issued(made...)
	})
	return c
}

// some shows what was made before an error: the links exist nowhere else.
func (s *session) some(made []issued, err error) error {
	if len(made) > 0 {
		if shown := s.app.issued(made...); shown != nil {
			return shown
		}
	}
	return err
}

// heldRole is a role that somebody holds on a subscription, or on the tenant if it is empty.
type heldRole struct {
	*lockboxv1.AssignmentView
	subscription string
}

// formerRoles lists the roles of people of former issuers that can be carried over and are not yet.
func formerRoles(v *lockboxv1.TenantView) (list []heldRole) {
	add := func(subscription string, roles []*lockboxv1.AssignmentView, waits []*lockboxv1.InvitationView) {
		for _, r := range roles {
			if tenant.CarriesOver(r.GetAssignment(), v.GetIssuer(), roles, waits) {
				list = append(list, heldRole{r, subscription})
			}
		}
	}
	add("", v.GetAssignments(), v.GetInvitations())
	for _, s := range v.GetSubscriptions() {
		add(s.GetSubscriptionId(), s.GetAssignments(), s.GetInvitations())
	}
	return list
}
