package administration

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/openlockbox/lockbox/pkg/invitation"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	sign "github.com/openlockbox/lockbox/services/portal/internal/signing"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// linkScript is the script for pages that show an invitation's link or take one.
const linkScript = "invitation.js"

// Invited names how far an invitation has come.
func (l looking) Invited(s lockboxv1.InvitationState) (string, error) {
	return l.Say.Say("invitation.state." + nameOf(s.String(), "INVITATION_STATE_"))
}

// Waits reports whether an invitation waits for an administrator.
func (looking) Waits(i *lockboxv1.InvitationView) bool {
	return i.GetState() == lockboxv1.InvitationState_INVITATION_STATE_REDEEMED
}

// Open reports whether an invitation can still be redeemed.
func (looking) Open(i *lockboxv1.InvitationView) bool {
	return i.GetState() == lockboxv1.InvitationState_INVITATION_STATE_OPEN
}

// CarriesOver reports whether an assignment is somebody's of a former sign-in, and is still to be carried over.
func (s scoped) CarriesOver(as *lockboxv1.RoleAssignment) bool {
	return tenant.CarriesOver(as, s.Tenant.GetIssuer(), s.Assignments, s.Invitations)
}

// Former reports whether somebody is of a former sign-in.
func (l looking) Former(p *lockboxv1.Person) bool {
	return p != nil && p.GetIssuer() != l.Tenant.GetIssuer()
}

// Unseen reports whether somebody who would be asked has never signed in.
func (s scoped) Unseen(p *lockboxv1.Person) bool {
	return slices.ContainsFunc(s.Asked.GetNeverSignedIn(),
		func(q *lockboxv1.Person) bool { return tenant.SamePerson(p, q) })
}

// Invite is the URL of the form by which somebody of a former sign-in is invited to the present one.
func (s scoped) Invite(as *lockboxv1.RoleAssignment) string {
	return s.Of("invite") + "?" + url.Values{"role": {as.GetRole().String()},
		"for": {s.Person(as.GetPerson()).Name}}.Encode()
}

func (p pages) invitation(v *site.Visit, f *form.Form) error {
	s, err := lookAt(v, f)
	if err != nil {
		return err
	}
	return p.show(s.looking, "invite", "invitation.invite", s)
}

var inviteFields = map[string]form.Field{
	"invite_role.invitation.role":       {Name: "role", Label: "administration.role"},
	"invite_role.invitation.note":       {Name: "for", Label: "invitation.invite-for"},
	"invite_role.invitation.expires_at": expires,
}

// invited is the page that shows an invitation's link, once.
type invited struct {
	scoped
	For, Role, Link, Mail string
}

// invite makes an invitation. Its secret is made here and shown in the answer; nobody else gets it, and it is kept
// nowhere. So a form that was sent twice makes one invitation, and shows its link once. Where the invitation is signed,
// its hash is, so the page on which that happens carries the secret and sends it back.
func (p pages) invite(v *site.Visit) error {
	f := form.Sent(v.R)
	s, err := lookAt(v, f)
	if err != nil {
		return err
	}
	id, err := f.CommandID()
	if err != nil {
		return err
	}
	secret := invitation.New()
	if sign.Signs(v.R.PostForm) {
		if secret, err = invitation.Parse(form.LinkSecret, f.Value(form.LinkSecret)); err != nil {
			return err
		}
	}
	v.R.PostForm.Set(form.LinkSecret, secret.String())
	hash, err := secret.Hash("")
	if err != nil {
		return err
	}
	i := &lockboxv1.RoleInvitation{
		Id: id, Role: lockboxv1.Role(lockboxv1.Role_value[f.Value("role")]), Note: f.Value("for"), SecretHash: hash,
		Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT, EligibleOnly: f.Has("eligible", "yes"),
	}
	if s.ID != "" {
		i.Scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION
	}
	if t := f.Moment(expires, v.Say.Zone()); !t.IsZero() {
		i.ExpiresAt = timestamppb.New(t)
	}
	if len(f.Problems) > 0 {
		return p.invitation(v, f)
	}
	c := change{Visit: v, form: f, again: p.invitation, fields: inviteFields,
		command: &lockboxv1.Command{Id: id, AggregateId: s.ID,
			Action: &lockboxv1.Command_InviteRole{InviteRole: &lockboxv1.InviteRole{Invitation: i}}}}
	if shows, err := sign.Change(v, c.command, path(v)); err != nil || shows {
		return err
	}
	reply, err := v.Do(c.command)
	if err == nil && reply.GetEventId() == "" {
		err = refusal.Conflict("command", "R66", "this invitation was made already, and its link was shown then; "+
			"withdraw it and make another one if you do not have the link")
	}
	if err != nil {
		return c.refused(err)
	}
	return p.showLink(s, i, secret)
}

// showLink shows an invitation's link.
func (p pages) showLink(s scoped, i *lockboxv1.RoleInvitation, secret invitation.Secret) error {
	shown := invited{scoped: s, For: i.GetNote(), Link: secret.Link(s.URL, s.Session.Tenant)}
	var err error
	if shown.Role, err = s.Role(i.GetRole()); err != nil {
		return err
	}
	subject, err := s.Say.Say("invitation.mail-subject", "Provider", s.Provider)
	if err != nil {
		return err
	}
	body, err := s.Say.Say("invitation.mail-body", "Role", shown.Role, "Name", s.Name, "Provider", s.Provider, "Link",
		shown.Link)
	if err != nil {
		return err
	}
	shown.Mail = "mailto:?subject=" + url.PathEscape(subject) + "&body=" + url.PathEscape(body)
	title, err := s.Say.Say("invitation.invited")
	if err != nil {
		return err
	}
	return s.Render(p.Pages, "invited", http.StatusOK, site.Page{Title: title, Data: shown, Script: linkScript})
}

// invitee is the page of an invitation: who accepted it, and what an administrator makes of it.
type invitee struct {
	scoped
	It *lockboxv1.InvitationView
}

func (p pages) invitee(v *site.Visit, f *form.Form) error {
	s, err := lookAt(v, f)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(s.Invitations, func(i *lockboxv1.InvitationView) bool {
		return i.GetInvitation().GetId() == v.R.PathValue("invitation")
	})
	if i < 0 {
		return refusal.NotFound("invitation", "R66", "there is no such invitation")
	}
	return p.show(s.looking, "invitation", "invitation.title", invitee{s, s.Invitations[i]})
}

// changeInvitation confirms who accepted an invitation, or ends it. The confirmation names whom the reader saw.
func (p pages) changeInvitation(v *site.Visit) error {
	f := form.Sent(v.R)
	id := v.R.PathValue("invitation")
	c := &lockboxv1.Command{AggregateId: v.R.PathValue("subscription")}
	switch f.Value("do") {
	case "confirm":
		c.Action = &lockboxv1.Command_ConfirmInvitation{ConfirmInvitation: &lockboxv1.ConfirmInvitation{InvitationId: id,
			Issuer: f.Value("issuer"), Subject: f.Value("subject")}}
	case "end":
		c.Action = &lockboxv1.Command_EndInvitation{EndInvitation: &lockboxv1.EndInvitation{InvitationId: id,
			Reason: f.Value("reason")}}
	default:
		return unknown()
	}
	return change{Visit: v, form: f, command: c, then: path(v), again: p.invitee,
		fields: map[string]form.Field{"end_invitation.reason": {Name: "reason", Label: "administration.reason"}}}.send()
}
