package erasing

import (
	"net/http"
	"slices"

	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// proposal is the data of the page on which security officers decide about a proposed erasure.
type proposal struct {
	erasure
	Form *form.Form
}

func (p pages) proposal(v *site.Visit) error { return p.proposalForm(v, form.Restored(v.R, v.Draft())) }

func (p pages) proposalForm(v *site.Visit, f *form.Form) error {
	all, err := erasures(v, v.R.PathValue("erasure"))
	switch {
	case err != nil:
		return err
	case len(all) != 1:
		return refusal.NotFound("path", "I9", "there is nothing here")
	}
	status := http.StatusOK
	switch {
	case len(f.Problems) > 0:
		status = http.StatusBadRequest
	case f.Refusal != nil:
		status = http.StatusConflict
	}
	return p.show(v, "proposal", status, "erasing.proposal", proposal{all[0], f})
}

// May reports whether the reader could do that now.
func (d proposal) May(verb string) bool { return slices.Contains(d.GetAllowed(), verb) }

// Command returns a new command ID for a form.
func (proposal) Command() (string, error) { return form.NewID() }

// settle confirms or declines a proposal.
func (p pages) settle(v *site.Visit) error {
	if err := erasers(v); err != nil {
		return err
	}
	f := form.Sent(v.R)
	all, err := erasures(v, v.R.PathValue("erasure"))
	if err == nil && len(all) != 1 {
		err = refusal.NotFound("path", "I9", "there is nothing here")
	}
	if err != nil {
		return err
	}
	c := &lockboxv1.Command{Tenant: all[0].GetTenant(), AggregateId: all[0].GetErasureId()}
	switch f.Value("do") {
	case "confirm":
		c.Action = &lockboxv1.Command_ConfirmErasure{ConfirmErasure: &lockboxv1.ConfirmErasure{}}
		if f.Value("checked") == "" {
			f.Problems = append(f.Problems, form.Problem{Field: field("checked"), Message: "erasing.form.wrong.checked"})
			return p.proposalForm(v, f)
		}
	case "decline":
		c.Action = &lockboxv1.Command_DeclineErasure{DeclineErasure: &lockboxv1.DeclineErasure{
			Reason: prose.Text(f.Value("reason"))}}
	default:
		return refusal.OfKind(refusal.Invalid("do", "bad input", "is not what the page's own form says"), "form")
	}
	if c.Id, err = f.CommandID(); err != nil {
		return err
	}
	if c.SeenVersion, err = f.Number("seen"); err != nil {
		return err
	}
	reply, err := v.Do(c)
	if err != nil {
		if !f.Refused(err, map[string]form.Field{"decline_erasure.reason": field("reason")}) {
			return err
		}
		v.Counters.Refused(refusal.Of(err))
		return p.proposalForm(v, f)
	}
	return v.Redirect(v.Path(root), reply.GetSequence())
}
