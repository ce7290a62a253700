package administration

import (
	"net/http"

	"github.com/openlockbox/lockbox/pkg/invitation"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// accepting is a visit to the page on which an invitation is accepted. Its link has a secret behind the `#`, which
// reaches the portal only in the bodies of this page's forms.
type accepting struct {
	looking
	// It is what the link offers; nil before it was given.
	It *lockboxv1.InvitationView
	// Done reports that it was accepted.
	Done bool
}

// First reports whether the role counts at once, because nobody is there to confirm it.
func (a accepting) First() bool { return a.It.GetInvitedBy().GetSide() == lockboxv1.Side_SIDE_PROVIDER }

// Me returns the reader's account, to which the role is going to belong.
func (a accepting) Me() *lockboxv1.Person { return a.me.GetActor().GetPerson() }

// State says why the invitation cannot be accepted; empty if it can be.
func (a accepting) State() (string, error) {
	if a.Open(a.It) {
		return "", nil
	}
	return a.Say.Say("invitation.accept." + nameOf(a.It.GetState().String(), "INVITATION_STATE_"))
}

func (p pages) accepting(v *site.Visit, f *form.Form) error {
	return p.showOffer(v, f, nil, false)
}

func (p pages) showOffer(v *site.Visit, f *form.Form, it *lockboxv1.InvitationView, done bool) error {
	me, err := v.Self()
	if err != nil {
		return err
	}
	title, err := v.Say.Say("invitation.accept.title")
	if err != nil {
		return err
	}
	status := http.StatusOK
	switch {
	case len(f.Problems) > 0:
		status = http.StatusBadRequest
	case f.Refusal != nil:
		status = http.StatusConflict
	}
	return v.Render(p.Pages, "accept", status, site.Page{Title: title, Script: linkScript,
		Data: accepting{looking{Visit: v, Form: f, me: me}, it, done}})
}

var (
	linkField    = form.Field{Name: "link", Label: "invitation.link"}
	acceptFields = map[string]form.Field{
		"redeem_invitation.email": {Name: "email", Label: "administration.email"}, "link": linkField,
	}
)

// accept shows what a link offers, and accepts it once the reader has seen that.
func (p pages) accept(v *site.Visit) error {
	f := form.Sent(v.R)
	secret, err := invitation.Parse("link", f.Value("link"))
	if err != nil {
		f.Problems = append(f.Problems, form.Problem{Field: linkField, Message: "invitation.accept.no-link"})
		return p.accepting(v, f)
	}
	proof, err := secret.Proof(f.Value("code"))
	if err != nil {
		return err
	}
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetInvitation{
		GetInvitation: &lockboxv1.GetInvitation{Proof: proof}}})
	if site.NotFound(err) {
		f.Problems = append(f.Problems, form.Problem{Field: linkField, Message: "invitation.accept.unknown"})
		return p.accepting(v, f)
	}
	if err != nil {
		return err
	}
	it := reply.GetInvitation()
	if f.Value("do") != "accept" {
		return p.showOffer(v, f, it, false)
	}
	c := &lockboxv1.Command{AggregateId: it.GetSubscriptionId(), Action: &lockboxv1.Command_RedeemInvitation{
		RedeemInvitation: &lockboxv1.RedeemInvitation{InvitationId: it.GetInvitation().GetId(), Proof: proof,
			Email: f.Value("email")}}}
	if c.Id, err = f.CommandID(); err != nil {
		return err
	}
	if _, err = v.Do(c); err != nil {
		r, _ := refusal.As(err)
		// Whoever has the link and may not use it is told why.
		if !f.Refused(err, acceptFields) && r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN {
			return err
		}
		if r.GetCode() == lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN {
			f.Refusal = r
		}
		v.Counters.Refused(r)
		return p.showOffer(v, f, it, false)
	}
	return p.showOffer(v, f, it, true)
}
