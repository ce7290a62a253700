package administration

import (
	"net/url"
	"slices"

	"github.com/openlockbox/lockbox/pkg/catalogue/names"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// preview is a service in preview, with the tenant's participation (R8).
type preview struct {
	// Name is the catalogue's; empty if the service is no longer in preview.
	Name, Type string
	Joined     bool
}

// previewing is a visit to the list of previews, or to the page on which one of them is left.
type previewing struct {
	looking
	List []preview
}

func (p pages) previewing(v *site.Visit, f *form.Form) (previewing, error) {
	l, err := whole(v, f)
	if err != nil {
		return previewing{}, err
	}
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListServices{ListServices: &lockboxv1.ListServices{}}})
	if err != nil {
		return previewing{}, err
	}
	joined := l.Tenant.GetPreviews()
	var list []preview
	for _, s := range reply.GetServices().GetServices() {
		if s.GetStage() == lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW {
			list = append(list, preview{names.In(v.Say.Language, s.GetDisplayName()), s.GetResourceType(),
				slices.Contains(joined, s.GetResourceType())})
		}
	}
	for _, t := range joined {
		if !slices.ContainsFunc(list, func(p preview) bool { return p.Type == t }) {
			list = append(list, preview{Type: t, Joined: true})
		}
	}
	return previewing{l, list}, nil
}

func (p pages) previews(v *site.Visit, f *form.Form) error {
	l, err := p.previewing(v, f)
	if err != nil {
		return err
	}
	return p.show(l.looking, "previews", "administration.previews", l)
}

// leaving is the confirmation page for leaving a preview; it explains the consequences first.
func (p pages) leaving(v *site.Visit, f *form.Form) error {
	l, err := p.previewing(v, f)
	if err != nil {
		return err
	}
	l.List = slices.DeleteFunc(l.List, func(p preview) bool { return !p.Joined || p.Type != f.Value("type") })
	if len(l.List) == 0 {
		return refusal.NotFound("type", "R8", "the tenant takes part in no such preview")
	}
	return p.show(l.looking, "leave", "administration.leave", l)
}

// LeavePath returns the URL of the page on which a preview is left.
func (l previewing) LeavePath(resourceType string) string {
	return l.To("previews", "leave") + "?" + url.Values{"type": {resourceType}}.Encode()
}

func (p pages) changePreviews(v *site.Visit) error {
	f := form.Sent(v.R)
	c := change{Visit: v, form: f, then: v.Path(root, "previews"), again: p.previews}
	switch f.Value("do") {
	case "join":
		c.command = &lockboxv1.Command{Action: &lockboxv1.Command_SignUpPreview{
			SignUpPreview: &lockboxv1.SignUpPreview{ResourceType: f.Value("type")}}}
	case "leave":
		c.command = &lockboxv1.Command{Action: &lockboxv1.Command_SignOffPreview{
			SignOffPreview: &lockboxv1.SignOffPreview{ResourceType: f.Value("type")}}}
	default:
		return unknown()
	}
	return c.onWhatWasSeen()
}
