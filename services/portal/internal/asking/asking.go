// Package asking serves the portal's pages on which the provider's engineers ask for access (R62): a form, a page that
// says what would become of it, which records nothing, and the request. The evaluator decides with the engineer's own
// token, as it does for engineering tools.
package asking

import (
	"embed"
	"net/http"
	"net/url"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/catalogue/names"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

//go:embed all:templates
var files embed.FS

type pages struct{ templates *site.Pages }

// Routes returns the pages.
func Routes(s *site.Site) ([]site.Route, error) {
	templates, err := s.ParsePages(files)
	if err != nil {
		return nil, err
	}
	p := &pages{templates}
	route := func(method, path string, serve func(*site.Visit) error) site.Route {
		return site.Route{Method: method, Path: path, Side: site.Provider, Serve: serve}
	}
	return []site.Route{
		route(http.MethodGet, "/ask", p.ask), route(http.MethodPost, "/ask", p.onward),
		route(http.MethodGet, "/ask/review", p.review), route(http.MethodPost, "/ask/send", p.send),
	}, nil
}

// outcomeWithin is how long an engineer waits for the evaluation. After that the intent is accepted all the same.
const outcomeWithin = 15 * time.Second

// ask shows the form, with what was typed before.
func (p *pages) ask(v *site.Visit) error {
	f, _, err := drafted(v)
	if err != nil {
		return err
	}
	return p.show(v, f, nil)
}

// show shows the form, with what is wrong with it.
func (p *pages) show(v *site.Visit, f *form.Form, details map[string]reason.Text) error {
	d, err := offered(v)
	if err != nil {
		return err
	}
	d.Form, d.Details = f, details
	status := http.StatusOK
	switch {
	case len(f.Problems) > 0:
		status = http.StatusBadRequest
	case f.Refusal != nil:
		status = http.StatusConflict
	}
	return p.render(v, "ask", "asking.title", status, d)
}

// onward keeps what was typed and leads to the page that says what would become of it, so that no text is ever in an
// address.
func (p *pages) onward(v *site.Visit) error {
	f := form.Sent(v.R)
	if check(f); len(f.Problems) > 0 {
		return p.show(v, f, nil)
	}
	path := v.Path("ask")
	if kept := values(f); v.Keep(path, kept) && v.Keep(path+"/review", kept) {
		return v.Redirect(path+"/review", 0)
	}
	return p.weighed(v, f) // shown all the same, until it is loaded again
}

// review says what would become of what was typed.
func (p *pages) review(v *site.Visit) error {
	f, found, err := drafted(v)
	if err != nil {
		return err
	}
	if check(f); !found || len(f.Problems) > 0 { // opened without the form, or what was typed is no longer kept
		return v.Redirect(v.Path("ask"), 0)
	}
	return p.weighed(v, f)
}

// verdict is the data of the page that says what would become of an intent.
type verdict struct {
	shown.Request
	Hidden url.Values
	// Next is the ID of the message that says what would happen next; empty if there was no verdict in time.
	Next string
	// Deadline is until when the next decision could be made, or access would last; nil for none.
	Deadline *timestamppb.Timestamp
	Reasons  []reason.Text
	// Similar are the requests for the same that are open or running.
	Similar []similar
	// Data and Elevated report what the operation reaches, and that it includes administrator rights.
	Data, Elevated bool
}

// similar is a request for the same.
type similar struct {
	*lockboxv1.SimilarRequest
	// Href leads to it if it is the engineer's own.
	Href, StatusID, Tone string
}

// weighed asks the evaluator what would become of an intent, and says so.
func (p *pages) weighed(v *site.Visit, f *form.Form) error {
	in, err := intentOf(f)
	if err != nil {
		return err
	}
	try := proto.CloneOf(in)
	try.DryRun = true
	outcome, err := submit(v, try)
	if err != nil {
		return err
	}
	if outcome.GetRefusal() != nil {
		return p.refused(v, f, outcome.GetRefusal())
	}
	self, err := v.Self()
	if err != nil {
		return err
	}
	d := verdict{Hidden: values(f), Deadline: outcome.GetDeadline(), Request: shown.Request{Say: v.Say, Now: v.Now(),
		Provider: v.Provider, ToProvider: true, RequestView: &lockboxv1.RequestView{
			Intent: in, Requester: self.GetActor(), Tenant: in.GetTenant(), TenantName: v.TenantName(in.GetTenant())}}}
	if err := d.named(v); err != nil {
		return err
	}
	if outcome != nil {
		d.Next = shown.ID("asking.next", outcome.GetNextStep().String(), "NEXT_STEP_")
	}
	d.Reasons = reason.ShowAll(v.Say.Language, outcome.GetCodedReasons(), outcome.GetReasons())
	d.Similar = like(v, in)
	v.Under = v.Path("ask")
	return p.render(v, "review", "asking.review", http.StatusOK, d)
}

// named adds what the catalogue calls the operation, and what it reaches.
func (d *verdict) named(v *site.Visit) error {
	list, err := scenarios(v)
	for _, s := range list {
		if s.GetResourceType() == d.GetIntent().GetResourceType() && s.GetScenario() == d.GetIntent().GetScenario() {
			d.ServiceName = names.In(v.Say.Language, s.GetServiceName())
			d.ScenarioName = names.In(v.Say.Language, s.GetDisplayName())
			d.Data, d.Elevated = s.GetCustomerData(), s.GetElevated()
		}
	}
	return err
}

// like returns the requests for the same as an intent. Without an answer there are none: it is only a help.
func like(v *site.Visit, in *lockboxv1.AccessIntent) (list []similar) {
	reply, err := v.AskAbout(in.GetTenant(), &lockboxv1.Query{Ask: &lockboxv1.Query_ListSimilar{
		ListSimilar: &lockboxv1.ListSimilar{RequestId: in.GetId(), SubscriptionId: in.GetSubscriptionId(),
			ResourceType: in.GetResourceType(), Scenario: in.GetScenario(), ResourceIds: in.GetResourceIds()}}})
	if err != nil {
		return nil
	}
	for _, s := range reply.GetSimilar().GetRequests() {
		each := similar{SimilarRequest: s, StatusID: shown.StatusID(s.GetStatus()), Tone: shown.Tone(s.GetStatus())}
		if s.GetOwn() {
			each.Href = v.Path("requests", s.GetRequestId())
		}
		list = append(list, each)
	}
	return list
}

// send publishes the intent. The same form sent twice is one request: its ID follows from what it says.
func (p *pages) send(v *site.Visit) error {
	f := form.Sent(v.R)
	if check(f); len(f.Problems) > 0 {
		return p.show(v, f, nil)
	}
	in, err := intentOf(f)
	if err != nil {
		return err
	}
	outcome, err := submit(v, in)
	if err != nil {
		return err
	}
	if r := outcome.GetRefusal(); r != nil && outcome.GetSequence() == 0 {
		return p.refused(v, f, r)
	}
	_ = v.Sessions.Forget(v.R, v.Path("ask")) // what was typed there is sent now
	request := v.Path("requests", in.GetId())
	if outcome == nil {
		v.Under = v.Path("ask")
		return p.render(v, "sent", "asking.sent", http.StatusAccepted, request)
	}
	return v.Redirect(request, outcome.GetSequence())
}

// submit publishes an intent with the engineer's own token, and returns its outcome; nil if there is none in time.
func submit(v *site.Visit, in *lockboxv1.AccessIntent) (*lockboxv1.IntentOutcome, error) {
	// Nothing is stored for somebody whose token is not valid: what waits to be evaluated is limited.
	if _, err := v.Self(); err != nil {
		return nil, err
	}
	return v.Caller.Submit(v.R.Context(), v.Session.Token, bus.PortalTool, in.GetId(), in, outcomeWithin)
}

// refused shows the form again with what was typed, and what the evaluator refuses at its field.
func (p *pages) refused(v *site.Visit, f *form.Form, r *lockboxv1.Refusal) error {
	v.Counters.Refused(r)
	field, known := fields[r.GetField()]
	if !known {
		if r.GetCode() == lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED {
			return &refusal.Error{Refusal: r}
		}
		f.Refusal = r
		return p.show(v, f, nil)
	}
	f.Problems = append(f.Problems, form.Problem{Field: field, Message: wrong(field.Name)})
	return p.show(v, f, map[string]reason.Text{field.Name: v.Say.Refusal(r)})
}

func (p *pages) render(v *site.Visit, name, title string, status int, data any) error {
	text, err := v.Say.Say(title)
	if err != nil {
		return err
	}
	return v.Render(p.templates, name, status, site.Page{Title: text, Data: data})
}
