package asking

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/catalogue/names"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/written"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/commandid"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/types/known/durationpb"
)

// inputs are the names of the form's controls. The intent's ID is made when the form is opened, and stays.
var inputs = []string{"intent", "customer", "subscription", "operation", "resources", "reason-type", "ticket",
	"justification", "duration", "emergency", "told"}

func field(name string) form.Field { return form.Field{Name: name, Label: "asking." + name} }

// wrong returns the ID of the message for a field that has to be corrected.
func wrong(name string) string { return "asking.wrong." + name }

// fields maps the evaluator's names of fields to those of the form.
var fields = map[string]form.Field{
	"tenant": field("customer"), "subscription_id": field("subscription"), "resource_type": field("operation"),
	"scenario": field("operation"), "resource_ids": field("resources"), "reason_type": field("reason-type"),
	"ticket_id": field("ticket"), "justification": field("justification"), "duration": field("duration"),
	"emergency": field("emergency"), "customer_may_be_told": field("told"),
}

// drafted returns what was typed before, or an empty form. Nothing is taken from an address.
func drafted(v *site.Visit) (f *form.Form, found bool, err error) {
	draft := v.Draft()
	var pairs []string
	for _, name := range inputs {
		pairs = append(pairs, name, draft.Get(name))
	}
	if draft.Get("intent") == "" {
		if pairs[1], err = form.NewID(); err != nil {
			return nil, false, err
		}
	}
	return form.Empty(pairs...), draft.Has("intent"), nil
}

// values returns the form's values, for its next step.
func values(f *form.Form) url.Values {
	q := url.Values{}
	for _, name := range inputs {
		q.Set(name, f.Value(name))
	}
	return q
}

const thirdParty, support = "THIRD_PARTY_DATA_REQUEST", "CUSTOMER_INITIATED_SUPPORT"

// check reports, in the form, what is plainly missing. The evaluator checks everything.
func check(f *form.Form) {
	_, named := reasonType(f)
	for name, is := range map[string]bool{
		"customer": input.Tenant("", f.Value("customer")) == nil, "operation": strings.Contains(f.Value("operation"), " "),
		"resources": len(resources(f)) > 0, "reason-type": named,
		"justification": prose.Check("", prose.Text(f.Value("justification")), 10, 4000) == nil,
		"ticket":        f.Value("reason-type") != support || f.Value("ticket") != "",
		"told":          f.Value("reason-type") != thirdParty || f.Value("told") != "",
	} {
		if !is {
			f.Problems = append(f.Problems, form.Problem{Field: field(name), Message: wrong(name)})
		}
	}
	slices.SortFunc(f.Problems, func(a, b form.Problem) int {
		return slices.Index(inputs, a.Name) - slices.Index(inputs, b.Name)
	})
}

// resources returns the resources that are named, one in a line.
func resources(f *form.Form) (ids []string) {
	for line := range strings.Lines(f.Value("resources")) {
		if id := strings.TrimSpace(line); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

func reasonType(f *form.Form) (lockboxv1.ReasonType, bool) {
	n, err := written.Enum(lockboxv1.ReasonType(0).Descriptor(), "REASON_TYPE_"+f.Value("reason-type"))
	return lockboxv1.ReasonType(n), err == nil
}

// intentOf returns the intent that a form describes.
func intentOf(f *form.Form) (*lockboxv1.AccessIntent, error) {
	all := values(f)
	all.Del("intent")
	id, err := commandid.Of("intent", f.Value("intent"), []byte(all.Encode()))
	if err != nil {
		return nil, err
	}
	in := &lockboxv1.AccessIntent{Id: id, Tenant: f.Value("customer"), SubscriptionId: f.Value("subscription"),
		ResourceIds: resources(f), Justification: prose.Text(f.Value("justification")), TicketId: f.Value("ticket"),
		Emergency: f.Value("emergency") != "", CustomerMayBeTold: f.Value("told") != ""}
	in.ResourceType, in.Scenario, _ = strings.Cut(f.Value("operation"), " ")
	in.ReasonType, _ = reasonType(f)
	if d, err := time.ParseDuration(f.Value("duration")); err == nil {
		in.Duration = durationpb.New(d)
	}
	return in, nil
}

// offer is the data of the form: what was typed, and what there is to choose from.
type offer struct {
	Form *form.Form
	// Details are what the evaluator says is wrong, by field.
	Details       map[string]reason.Text
	Customers     []option
	Tickets       []*lockboxv1.TicketView
	Subscriptions []string
	Services      []service
	Reasons       []option
	Durations     []option
}

// option is a value to choose, with its name.
type option struct{ Value, Name string }

// service is a service with the operations that can be asked for.
type service struct {
	Name      string
	Scenarios []option
}

// mostTickets is the most that are offered.
const mostTickets = 200

var durations = []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
	8 * time.Hour}

func scenarios(v *site.Visit) ([]*lockboxv1.ScenarioView, error) {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListScenarios{ListScenarios: &lockboxv1.ListScenarios{}}})
	return reply.GetScenarios().GetScenarios(), err
}

// offered returns what the form offers to choose from.
func offered(v *site.Visit) (o offer, err error) {
	list, err := scenarios(v)
	if err != nil {
		return o, err
	}
	for _, s := range list {
		name := names.In(v.Say.Language, s.GetServiceName())
		if n := len(o.Services); n == 0 || o.Services[n-1].Name != name {
			o.Services = append(o.Services, service{Name: name})
		}
		of := &o.Services[len(o.Services)-1]
		of.Scenarios = append(of.Scenarios, option{s.GetResourceType() + " " + s.GetScenario(),
			names.In(v.Say.Language, s.GetDisplayName())})
	}
	slices.SortStableFunc(o.Services, func(a, b service) int { return strings.Compare(a.Name, b.Name) })
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListTickets{
		ListTickets: &lockboxv1.ListTickets{Limit: mostTickets}}})
	if err != nil && !site.NotFound(err) {
		return o, err
	}
	o.Tickets = reply.GetTickets().GetTickets()
	tenants := []string{}
	for _, each := range v.Organisations {
		tenants = append(tenants, each.Tenant)
	}
	for _, t := range o.Tickets {
		tenants, o.Subscriptions = append(tenants, t.GetTenant()), append(o.Subscriptions, t.GetSubscriptionId())
	}
	for _, t := range distinct(tenants) {
		o.Customers = append(o.Customers, option{t, v.TenantName(t)})
	}
	o.Subscriptions = distinct(o.Subscriptions)
	for i := 1; i < len(lockboxv1.ReasonType_name); i++ {
		name := lockboxv1.ReasonType_name[int32(i)] // #nosec G115 -- a few
		text, err := v.Say.Say(shown.ID("status.reason", name, "REASON_TYPE_"))
		if err != nil {
			return o, err
		}
		o.Reasons = append(o.Reasons, option{strings.TrimPrefix(name, "REASON_TYPE_"), text})
	}
	for _, d := range durations {
		o.Durations = append(o.Durations, option{d.String(), v.Say.Duration(d)})
	}
	return o, nil
}

// distinct sorts, and leaves out what is empty or there twice.
func distinct(list []string) []string {
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
	slices.Sort(list)
	return slices.Compact(list)
}

// Reference is what the customer calls a ticket.
func (offer) Reference(t *lockboxv1.TicketView) string {
	return cmp.Or(t.GetReference(), t.GetTicketId())
}
