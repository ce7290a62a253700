package administration

import (
	"net/url"
	"slices"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// preview is a service in preview, and whether the tenant takes part (R8).
type preview struct {
	// Name as the catalogue has it; empty: it is not in preview any more.
	Name, Type string
	Joined     bool
}

// previewing is somebody who looks at the previews, or at one that they may leave.
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
			list = append(list, preview{s.GetDisplayName(), s.GetResourceType(), slices.Contains(joined, s.GetResourceType())})
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

// leaving says what it means to leave a preview, before it is done.
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

// LeavePath is where a preview is left.
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
