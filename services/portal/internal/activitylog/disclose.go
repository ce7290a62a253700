package activitylog

import (
	"net/http"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The form with which a security officer records a disclosure (R44-R46). It is recorded for good, so it is sent only
// with the word that it was checked.

func disclosing(name string) form.Field {
	return form.Field{Name: name, Label: "activity.disclose." + name}
}

// disclosed maps the service's names of fields to those of the form.
var disclosed = func() map[string]form.Field {
	all := map[string]form.Field{"tenant": disclosing("customer"),
		"disclose_legal_demand.authority":     disclosing("authority"),
		"disclose_legal_demand.reference":     disclosing("reference"),
		"disclose_legal_demand.embargo_until": disclosing("embargo")}
	for _, kind := range []string{"disclose_exposure", "disclose_legal_demand"} {
		for of, name := range map[string]string{"what": "what", "happened_at": "happened", "description": "description",
			"reason": "reason", "resource_ids": "resources"} {
			all[kind+".occurrence."+of] = disclosing(name)
		}
	}
	return all
}()

const legalDemand = "demand"

// disclosure is the data of the form.
type disclosure struct {
	Visit     *site.Visit
	Form      *form.Form
	Customers []*lockboxv1.CustomerFigures
	// Command is the ID that the form's command is made from.
	Command string
}

// officers refuses everybody but security officers, as if there were no such page.
func officers(v *site.Visit) error {
	officer, err := v.InGroup(aggregate.SecurityOfficers)
	if err == nil && !officer {
		err = refusal.NotFound("path", "I9", "there is nothing here")
	}
	return err
}

// disclose shows the form, with what was typed before. Nothing is taken from an address.
func (p pages) disclose(v *site.Visit) error {
	draft := v.Draft()
	var pairs []string
	for name := range draft {
		pairs = append(pairs, name, draft.Get(name))
	}
	return p.discloseForm(v, form.Empty(pairs...), "")
}

// discloseForm shows the form; command is the ID that it had, empty for a new one.
func (p pages) discloseForm(v *site.Visit, f *form.Form, command string) error {
	if err := officers(v); err != nil {
		return err
	}
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetDashboard{GetDashboard: &lockboxv1.GetDashboard{}}})
	if err != nil {
		return err
	}
	d := disclosure{Visit: v, Form: f, Customers: reply.GetDashboard().GetCustomers(), Command: command}
	if d.Command == "" {
		if d.Command, err = form.NewID(); err != nil {
			return err
		}
	}
	title, err := v.Say.Say("activity.disclose")
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
	v.Under = v.Path("activity")
	return v.Render(p.Pages, "disclose", status, site.Page{Title: title, Data: d})
}

func (p pages) sendDisclosure(v *site.Visit) error {
	if err := officers(v); err != nil {
		return err
	}
	f := form.Sent(v.R)
	c := disclosureOf(f, v.Now(), v.Say.Zone())
	if len(f.Problems) > 0 {
		return p.discloseForm(v, f, f.Value("command"))
	}
	id, err := f.CommandID()
	if err != nil {
		return err
	}
	c.Id, c.AggregateId = id, id // the same form sent twice is one disclosure
	reply, err := v.Do(c)
	if err != nil {
		if !f.Refused(err, disclosed) {
			return err
		}
		v.Counters.Refused(refusal.Of(err))
		return p.discloseForm(v, f, f.Value("command"))
	}
	return v.Redirect(v.Path("disclosures"), reply.GetSequence())
}

// disclosureOf returns the command that a form describes, and reports in the form what is missing.
func disclosureOf(f *form.Form, now time.Time, zone *time.Location) *lockboxv1.Command {
	demand := f.Value("kind") == legalDemand
	happened := f.Moment(disclosing("happened"), zone)
	embargo := f.Moment(disclosing("embargo"), zone)
	o := &lockboxv1.Occurrence{What: prose.Line(f.Value("what")), Description: prose.Text(f.Value("description")),
		Reason: prose.Text(f.Value("reason"))}
	for line := range strings.Lines(f.Value("resources")) {
		if id := strings.TrimSpace(line); id != "" {
			o.ResourceIds = append(o.ResourceIds, id)
		}
	}
	for _, field := range []struct {
		name string
		is   bool
	}{
		{"customer", f.Value("customer") != ""}, {"kind", demand || f.Value("kind") == "exposure"},
		{"what", prose.CheckLine("", o.GetWhat(), 3, 200) == nil},
		{"happened", f.Wrong("happened") != nil || !happened.IsZero() && !happened.After(now)},
		{"description", len(o.GetResourceIds()) > 0 || o.GetDescription() != ""},
		{"reason", prose.Check("", o.GetReason(), 10, 4000) == nil},
		{"authority", !demand || prose.CheckLine("", f.Value("authority"), 1, 200) == nil},
		{"reference", !demand || prose.CheckLine("", f.Value("reference"), 1, 200) == nil},
		{"embargo", demand || f.Value("embargo") == ""}, {"checked", f.Value("checked") != ""},
	} {
		if !field.is {
			f.Problems = append(f.Problems, form.Problem{Field: disclosing(field.name),
				Message: "activity.disclose.wrong." + field.name})
		}
	}
	o.HappenedAt = timestamppb.New(happened)
	c := &lockboxv1.Command{Tenant: f.Value("customer"), Action: &lockboxv1.Command_DiscloseExposure{
		DiscloseExposure: &lockboxv1.DiscloseExposure{Occurrence: o}}}
	if demand {
		d := &lockboxv1.DiscloseLegalDemand{Occurrence: o, Authority: prose.Line(f.Value("authority")),
			Reference: prose.Line(f.Value("reference"))}
		if !embargo.IsZero() {
			d.EmbargoUntil = timestamppb.New(embargo)
		}
		c.Action = &lockboxv1.Command_DiscloseLegalDemand{DiscloseLegalDemand: d}
	}
	return c
}

// Records reports whether the reader may record a disclosure.
func (d disclosures) Records() (bool, error) { return d.Visit.InGroup(aggregate.SecurityOfficers) }
