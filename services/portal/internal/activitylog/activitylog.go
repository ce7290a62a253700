// Package activitylog serves the pages of the audit log: the activity log with its filters and export (R39), the
// disclosures of customer data outside any request (R46), and who signed in and looked (R69). The query service decides
// who sees which entries; the provider's security officers see those of all customers.
package activitylog

import (
	"cmp"
	"embed"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/types/known/timestamppb"
)

//go:embed all:templates
var files embed.FS

// pageSize is the number of entries on a page.
const pageSize = 50

type pages struct{ *site.Pages }

// Routes returns the pages of the audit log.
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
		{Method: http.MethodGet, Path: "/disclosures/new", Side: site.Provider, Serve: p.disclose},
		{Method: http.MethodPost, Path: "/disclosures/new", Side: site.Provider, Serve: p.sendDisclosure},
		{Method: http.MethodGet, Path: "/access-records", Side: site.Both, Serve: p.access},
	}, nil
}

// The filter's fields, and the form field that each field name in a service's refusal stands for.
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

// wanted builds the query from the filter.
func wanted(f *form.Form, zone *time.Location) *lockboxv1.ListActivity {
	ask := &lockboxv1.ListActivity{
		Actions: f.All("action"), Person: f.Value("person"), Resource: f.Value("resource"),
		SubscriptionId: f.Value("subscription"), RequestId: f.Value("request"),
	}
	if t := f.Moment(from, zone); !t.IsZero() {
		ask.Since = timestamppb.New(t)
	}
	if t := f.Moment(until, zone); !t.IsZero() {
		ask.Until = timestamppb.New(t)
	}
	return ask
}

// log is the data of the activity log's page.
type log struct {
	Visit         *site.Visit
	Form          *form.Form
	Entries       []*lockboxv1.Activity
	Next          string
	Subscriptions []*lockboxv1.SubscriptionView
	// Discloses reports whether the reader may also see the disclosures.
	Discloses bool
	// erasing reports whether the reader may have erased what an entry says.
	erasing func(*lockboxv1.TimelineEntry) bool
}

func (p pages) log(v *site.Visit) error {
	l := log{Visit: v, Form: form.Sent(v.R)}
	ask := wanted(l.Form, v.Say.Zone())
	ask.Limit, ask.PageToken = pageSize, l.Form.Value("page")
	if len(ask.GetActions()) == 0 && !l.Mails() {
		ask.Actions = withoutMails
	}
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

// surroundings loads the choices for the filter and the links to related pages.
func (l *log) surroundings() error {
	self, err := l.Visit.Self()
	if err != nil {
		return err
	}
	l.Discloses = seesAll(self)
	if l.erasing, err = l.Visit.Erasing(); err != nil {
		return err
	}
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

// seesAll reports whether the reader sees everything in their tenant or, as a security officer, in all tenants: only
// they see disclosures. The query service makes the actual decision; this only keeps everybody else from being offered
// a link that would be refused.
func seesAll(self *lockboxv1.SelfView) bool {
	a := self.GetActor()
	if a.GetSide() == lockboxv1.Side_SIDE_PROVIDER {
		return aggregate.Provider(a, aggregate.SecurityOfficers)
	}
	return slices.ContainsFunc(self.GetRoles(),
		func(held *lockboxv1.HeldRole) bool { return held.GetSubscriptionId() == "" })
}

// Customer reports whether the reader is one of the customer's people; otherwise the log covers all customers.
func (l log) Customer() bool { return l.Visit.Session.Tenant != "" }

// Actions lists the names of all actions in the log. They are the same in every language.
func (log) Actions() []string { return activity.Actions() }

// Title returns an action's title in the reader's language.
func (l log) Title(action string) string { return activity.In(l.Visit.Say.Language).Title(action) }

// withoutMails are all actions but the delivery of mails: there are several to each event, and they change nothing. A
// mail that could not be delivered is among them.
var withoutMails = slices.DeleteFunc(activity.Actions(),
	func(action string) bool { return slices.Contains(activity.Types(action), "NotificationSent") })

// Mails reports whether delivered mails are listed too.
func (l log) Mails() bool { return l.Form.Value("mails") != "" }

// filters are the names of the filter's fields.
var filters = []string{"action", "from", "until", "person", "resource", "subscription", "request", "mails"}

// Filtered reports whether any filter is set.
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

// Older returns the URL of the next page.
func (l log) Older() string {
	query := l.query()
	query.Set("page", l.Next)
	return l.Visit.Path("activity") + "?" + query.Encode()
}

// Newest returns the URL of the first page.
func (l log) Newest() string {
	if query := l.query(); len(query) > 0 {
		return l.Visit.Path("activity") + "?" + query.Encode()
	}
	return l.Visit.Path("activity")
}

// Paged reports whether this is not the first page.
func (l log) Paged() bool { return l.Form.Value("page") != "" }

// Export returns the URL at which all entries that match the filter can be downloaded.
func (l log) Export(format string) string {
	query := l.query()
	query.Set("format", format)
	return l.Visit.Path("activity", "export") + "?" + query.Encode()
}

// Formats lists the export formats.
func (log) Formats() []export.Format { return export.Formats() }

// Request returns the URL of the request that an entry is about.
func (l log) Request(id string) string { return l.Visit.Path("requests", id) }

// Ticket returns the URL of a ticket.
func (l log) Ticket(id string) string { return l.Visit.Path("tickets", id) }

// Erase returns the URL of the page on which the reader can have erased what was written; empty if they cannot.
func (l log) Erase(a *lockboxv1.Activity) string {
	if !l.erasing(a.GetEntry()) {
		return ""
	}
	return l.Visit.ErasePath(a.GetTenant(), a.GetKind(), a.GetAggregateId(), a.GetEntry())
}

// TicketName returns what the customer calls the ticket that an entry is about.
func (log) TicketName(a *lockboxv1.Activity) string {
	return cmp.Or(ticket.Reference(a.GetEvent()), a.GetAggregateId())
}

// Short returns the last 12 characters of an ID. People tell requests apart by them, because the start is a timestamp.
func (log) Short(id string) string { return id[max(0, len(id)-12):] }

// Name returns an actor's display name; empty for Lockbox itself.
func (log) Name(a *lockboxv1.Actor) string { return name(a) }

func name(a *lockboxv1.Actor) string {
	for _, s := range []string{a.GetPerson().GetDisplayName(), a.GetPerson().GetEmail(), a.GetPerson().GetSubject()} {
		if s != "" {
			return s
		}
	}
	return ""
}
