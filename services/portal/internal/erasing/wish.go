package erasing

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The form by which something is erased. It comes from an entry of a log, and is about what was written there or about
// whoever wrote it; or from the list, and is about anybody. It says what goes and what stays, and is sent only with the
// word that this was read.

func field(name string) form.Field { return form.Field{Name: name, Label: "erasing.form." + name} }

// fields maps the service's names of fields to those of the form.
var fields = map[string]form.Field{"tenant": field("customer"), "erase_details.reason": field("reason"),
	"erase_details.targets": field("what"), "erase_details.targets.person": field("subject"),
	"erase_details.targets.address": field("address")}

// What a form may be about.
const (
	texts   = "texts"
	person  = "person"
	address = "address"
)

// wish is the data of the form.
type wish struct {
	Visit *site.Visit
	Form  *form.Form
	// Event is the entry of a log from which the form comes; nil if from none.
	Event *lockboxv1.Activity
	// Customers are whose events it may be about, for officers. Issuer is where the reader's own people sign in.
	Customers []*lockboxv1.CustomerFigures
	Issuer    string
	// Choices are what it may be about.
	Choices []string
	// Command is the ID that the form's command is made from.
	Command string
}

// kept are the fields that say from which entry of a log the form comes.
var kept = []string{"customer", "kind", "id", "version", "at"}

func (p pages) wish(v *site.Visit) error {
	return p.wishForm(v, form.Restored(v.R, v.Draft()), "")
}

// wishForm shows the form; command is the ID that it had, empty for a new one.
func (p pages) wishForm(v *site.Visit, f *form.Form, command string) error {
	if err := erasers(v); err != nil {
		return err
	}
	d := wish{Visit: v, Form: f, Command: command, Choices: []string{person, address}}
	event, err := entry(v, f)
	if err == nil {
		err = d.about(event)
	}
	if err == nil && d.Command == "" {
		d.Command, err = form.NewID()
	}
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
	return p.show(v, "wish", status, "erasing.form.title", &d)
}

// about offers what can be erased: of an event, if the form comes from one.
func (d *wish) about(event *lockboxv1.Activity) error {
	if event != nil {
		d.Event, d.Choices = event, nil
		written, err := d.written()
		if err != nil {
			return err
		}
		if written {
			d.Choices = append(d.Choices, texts)
		}
		if p := event.GetEntry().GetActor().GetPerson(); p != nil && !p.GetErased() {
			d.Choices = append(d.Choices, person)
		}
		return nil
	}
	if d.Customer() {
		reply, err := d.Visit.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
		d.Issuer = reply.GetTenant().GetIssuer()
		return err
	}
	reply, err := d.Visit.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetDashboard{
		GetDashboard: &lockboxv1.GetDashboard{}}})
	d.Customers = append([]*lockboxv1.CustomerFigures{{Tenant: aggregate.ProviderTenant, TenantName: d.Visit.Provider}},
		reply.GetDashboard().GetCustomers()...)
	return err
}

// written reports whether anything that somebody wrote in the event can still be read.
func (d *wish) written() (bool, error) {
	var gone []string
	for _, id := range []string{"site.erased", "site.unreadable"} {
		text, err := d.Visit.Say.Say(id)
		if err != nil {
			return false, err
		}
		gone = append(gone, text)
	}
	return slices.ContainsFunc(erasable.Texts(d.Event.GetEvent()),
		func(text string) bool { return !slices.Contains(gone, text) }), nil
}

// entry finds the entry of the log from which a form comes; nil if it comes from none.
func entry(v *site.Visit, f *form.Form) (*lockboxv1.Activity, error) {
	if f.Value("kind") == "" {
		return nil, nil //nolint:nilnil // it comes from the list
	}
	at, err := time.Parse(time.RFC3339Nano, f.Value("at"))
	version, failed := strconv.ParseUint(f.Value("version"), 10, 64)
	if err != nil || failed != nil {
		return nil, refusal.OfKind(refusal.Invalid("at", "bad input", "is not what the page's own link says"), "form")
	}
	reply, err := v.AskAbout(f.Value("customer"), &lockboxv1.Query{Ask: &lockboxv1.Query_ListActivity{
		ListActivity: &lockboxv1.ListActivity{Since: timestamppb.New(at), Until: timestamppb.New(at.Add(1)),
			Limit: mostListed}}})
	if err != nil {
		return nil, err
	}
	for _, a := range reply.GetActivity().GetActivities() {
		if a.GetKind() == f.Value("kind") && a.GetAggregateId() == f.Value("id") && a.GetEntry().GetVersion() == version {
			return a, nil
		}
	}
	return nil, refusal.NotFound("path", "I9", "there is nothing here")
}

func (p pages) send(v *site.Visit) error {
	if err := erasers(v); err != nil {
		return err
	}
	f := form.Sent(v.R)
	event, err := entry(v, f)
	if err != nil {
		return err
	}
	target := targetOf(f, event)
	reason := prose.Text(f.Value("reason"))
	for _, check := range []struct {
		name string
		is   bool
	}{
		{"customer", v.Session.Tenant != "" || f.Value("customer") != ""}, {"what", target != nil},
		{"issuer", f.Value("what") != person || event != nil || f.Value("issuer") != ""},
		{"subject", f.Value("what") != person || event != nil || f.Value("subject") != ""},
		{"address", f.Value("what") != address || f.Value("address") != ""},
		{"reason", prose.Check("", reason, 1, 1000) == nil}, {"checked", f.Value("checked") != ""},
	} {
		if !check.is {
			f.Problems = append(f.Problems, form.Problem{Field: field(check.name),
				Message: "erasing.form.wrong." + check.name})
		}
	}
	if len(f.Problems) > 0 {
		return p.wishForm(v, f, f.Value("command"))
	}
	id, err := f.CommandID()
	if err != nil {
		return err
	}
	// The same form sent twice is one erasure.
	reply, err := v.Do(&lockboxv1.Command{Id: id, AggregateId: id, Tenant: f.Value("customer"),
		Action: &lockboxv1.Command_EraseDetails{EraseDetails: &lockboxv1.EraseDetails{
			Targets: []*lockboxv1.ErasureTarget{target}, Reason: reason}}})
	if err != nil {
		if !f.Refused(err, fields) {
			return err
		}
		v.Counters.Refused(refusal.Of(err))
		return p.wishForm(v, f, f.Value("command"))
	}
	return v.Redirect(v.Path(root), reply.GetSequence())
}

// targetOf returns what a form wants erased; nil if it does not say.
func targetOf(f *form.Form, event *lockboxv1.Activity) *lockboxv1.ErasureTarget {
	switch what := f.Value("what"); {
	case what == texts && event != nil:
		return &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Texts{Texts: &lockboxv1.ErasedTexts{
			Kind: event.GetKind(), AggregateId: event.GetAggregateId(),
			Version: strconv.FormatUint(event.GetEntry().GetVersion(), 10)}}}
	case what == person:
		who := &lockboxv1.ErasedPerson{Issuer: f.Value("issuer"), Subject: f.Value("subject")}
		if p := event.GetEntry().GetActor().GetPerson(); event != nil {
			who.Issuer, who.Subject = p.GetIssuer(), p.GetSubject()
		}
		return &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Person{Person: who}}
	case what == address && event == nil:
		return &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Address{
			Address: &lockboxv1.ErasedAddress{Address: f.Value("address")}}}
	}
	return nil
}

// Customer reports whether the reader is one of the customer's people, and decides.
func (d *wish) Customer() bool { return d.Visit.Session.Tenant != "" }

// Kept are the values that say from which entry of a log the form comes.
func (d *wish) Kept() map[string]string {
	values := map[string]string{}
	for _, name := range kept {
		if value := d.Form.Value(name); value != "" && d.Event != nil {
			values[name] = value
		}
	}
	return values
}

// Chosen reports whether the form is about that: the first of the choices, until somebody chooses.
func (d *wish) Chosen(what string) bool {
	if len(d.Choices) > 0 && !slices.Contains(d.Choices, d.Form.Value("what")) {
		return what == d.Choices[0]
	}
	return d.Form.Has("what", what)
}

// Writer names who caused the event.
func (d *wish) Writer() string { return shown.Name(d.Event.GetEntry().GetActor().GetPerson()) }

// IssuerValue is what the field of the issuer holds.
func (d *wish) IssuerValue() string {
	if typed := d.Form.Value("issuer"); typed != "" {
		return typed
	}
	return d.Issuer
}
