// Package activitylog is the pages of the audit log: the activity log with its filters and its export (R39), and what
// the customer was told of that happened outside of any request (R46). Who sees what of it is for those who answer; the
// provider's security officers see it over all customers.
package activitylog

import (
	"embed"
	"net/http"
	"net/url"
	"slices"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/types/known/timestamppb"
)

//go:embed all:templates
var files embed.FS

// shownAtOnce is how many entries a page has.
const shownAtOnce = 50

type pages struct{ *site.Pages }

// Routes are the pages of the audit log.
func Routes(s *site.Site) ([]site.Route, error) {
	parsed, err := s.ParsePages(files)
	if err != nil {
		return nil, err
	}
	p := pages{parsed}
	return []site.Route{
		{Method: http.MethodGet, Path: "/activity", Side: site.Both, Serve: p.log},
		{Method: http.MethodGet, Path: "/activity/export", Side: site.Both, Serve: exported},
		{Method: http.MethodGet, Path: "/disclosures", Side: site.Both, Serve: p.disclosures},
	}, nil
}

// The filter's fields, and which of them a service means that refuses one.
var (
	from   = form.Field{Name: "from", Label: "activity.from"}
	until  = form.Field{Name: "until", Label: "activity.until"}
	fields = map[string]form.Field{
		"list_activity.actions":         {Name: "action", Label: "activity.action"},
		"list_activity.since":           from,
		"list_activity.until":           until,
		"list_activity.person":          {Name: "person", Label: "activity.person"},
		"list_activity.resource":        {Name: "resource", Label: "activity.resource"},
		"list_activity.subscription_id": {Name: "subscription", Label: "activity.subscription"},
		"list_activity.request_id":      {Name: "request", Label: "activity.request"},
	}
)

// wanted is what a filter asks for.
func wanted(f *form.Form) *lockboxv1.ListActivity {
	ask := &lockboxv1.ListActivity{
		Actions: f.All("action"), Person: f.Value("person"), Resource: f.Value("resource"),
		SubscriptionId: f.Value("subscription"), RequestId: f.Value("request"),
	}
	if t := f.Moment(from); !t.IsZero() {
		ask.Since = timestamppb.New(t)
	}
	if t := f.Moment(until); !t.IsZero() {
		ask.Until = timestamppb.New(t)
	}
	return ask
}

// log is what the page of the activity log shows.
type log struct {
	Visit         *site.Visit
	Form          *form.Form
	Entries       []*lockboxv1.Activity
	Next          string
	Subscriptions []*lockboxv1.SubscriptionView
	// Discloses: the reader may see the disclosures too.
	Discloses bool
}

func (p pages) log(v *site.Visit) error {
	l := log{Visit: v, Form: form.Sent(v.R)}
	ask := wanted(l.Form)
	ask.Limit, ask.PageToken = shownAtOnce, l.Form.Value("page")
	status := http.StatusOK
	if len(l.Form.Problems) == 0 {
		reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListActivity{ListActivity: ask}})
		if err != nil && !l.Form.Refused(err, fields) {
			return err
		} else if err != nil {
			v.Counters.Refused(refusal.Of(err))
		}
		l.Entries, l.Next = reply.GetActivity().GetActivities(), reply.GetActivity().GetNextPageToken()
	}
	if len(l.Form.Problems) > 0 {
		status = http.StatusBadRequest
	}
	if err := l.surroundings(); err != nil {
		return err
	}
	title, err := v.Say.Say("activity.title")
	if err != nil {
		return err
	}
	return v.Render(p.Pages, "log", status, site.Page{Title: title, Data: l})
}

// surroundings reads what helps to filter, and where else to look.
func (l *log) surroundings() error {
	self, err := l.Visit.Self()
	if err != nil {
		return err
	}
	l.Discloses = seesAll(self)
	if !l.Customer() {
		return nil
	}
	reply, err := l.Visit.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
	if err != nil && !site.NotFound(err) {
		return err
	}
	l.Subscriptions = reply.GetTenant().GetSubscriptions()
	return nil
}

// seesAll reports whether somebody is shown everything of their tenant, or as a security officer of all tenants: only
// they are shown disclosures. Whether they are is decided when those are asked for; this spares the others a way to
// nothing.
func seesAll(self *lockboxv1.SelfView) bool {
	a := self.GetActor()
	if a.GetSide() == lockboxv1.Side_SIDE_PROVIDER {
		return aggregate.Provider(a, aggregate.SecurityOfficers)
	}
	return slices.ContainsFunc(self.GetRoles(),
		func(held *lockboxv1.HeldRole) bool { return held.GetSubscriptionId() == "" })
}

// Customer reports whether the reader is one of the customer's people; else the log is that of all customers.
func (l log) Customer() bool { return l.Visit.Session.Tenant != "" }

// Actions are the names under which the log lists what happens, the same in every language.
func (log) Actions() []string { return activity.Actions() }

// Title is what an action is called in the reader's language.
func (l log) Title(action string) string { return activity.In(l.Visit.Say.Language).Title(action) }

// filters are the names of the filter's fields.
var filters = []string{"action", "from", "until", "person", "resource", "subscription", "request"}

// Filtered reports whether something was filtered for.
func (l log) Filtered() bool { return len(l.query()) > 0 }

func (l log) query() url.Values {
	query := url.Values{}
	for _, name := range filters {
		if all := l.Form.All(name); len(all) > 0 {
			query[name] = all
		}
	}
	return query
}

// Older is the address of the next page.
func (l log) Older() string {
	query := l.query()
	query.Set("page", l.Next)
	return l.Visit.Path("activity") + "?" + query.Encode()
}

// Newest is the address of the first page.
func (l log) Newest() string {
	if query := l.query(); len(query) > 0 {
		return l.Visit.Path("activity") + "?" + query.Encode()
	}
	return l.Visit.Path("activity")
}

// Paged reports whether this is not the first page.
func (l log) Paged() bool { return l.Form.Value("page") != "" }

// Export is the address of what the filter finds, all of it, as a file.
func (l log) Export(format string) string {
	query := l.query()
	query.Set("format", format)
	return l.Visit.Path("activity", "export") + "?" + query.Encode()
}

// Formats are what it can be exported in.
func (log) Formats() []export.Format { return export.Formats() }

// Request is the address of the request that an entry is about.
func (l log) Request(id string) string { return l.Visit.Path("requests", id) }

// Ticket is the address of a ticket.
func (l log) Ticket(id string) string { return l.Visit.Path("tickets", id) }

// Short is the end of an id, by which people tell requests apart: its beginning is the time.
func (log) Short(id string) string { return id[max(0, len(id)-12):] }

// Name is what somebody is called; empty: it was Lockbox itself.
func (log) Name(a *lockboxv1.Actor) string { return name(a) }

func name(a *lockboxv1.Actor) string {
	for _, s := range []string{a.GetPerson().GetDisplayName(), a.GetPerson().GetEmail(), a.GetPerson().GetSubject()} {
		if s != "" {
			return s
		}
	}
	return ""
}
