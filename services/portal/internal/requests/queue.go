package requests

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue/names"
	"github.com/openlockbox/lockbox/pkg/prose"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

const (
	// perQueue is the number of requests on a page of the list, and the most that are denied at once.
	perQueue = 50
	maxField = 200 // characters
)

// filter is the form above the list, as it stands in the URL.
type filter struct {
	Status, Service, Engineer, Ticket, Subscription, Text string
	Emergency                                             bool
	// Who and At are the subject and the issuer of an engineer who was chosen from the groups.
	Who, At string
	// Sort is "deadline" or "newest", and Group "ticket", "engineer" or empty.
	Sort, Group string
}

func filterOf(q url.Values) filter {
	return filter{
		Status: q.Get("status"), Service: q.Get("service"), Engineer: q.Get("engineer"), Ticket: q.Get("ticket"),
		Subscription: q.Get("subscription"), Text: q.Get("text"), Emergency: q.Get("emergency") != "",
		Who: q.Get("who"), At: q.Get("at"), Sort: q.Get("sort"), Group: q.Get("group"),
	}
}

// values returns the filter as URL parameters.
func (f filter) values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"status": f.Status, "service": f.Service, "engineer": f.Engineer, "ticket": f.Ticket, "subscription": f.Subscription,
		"text": f.Text, "who": f.Who, "at": f.At, "sort": f.Sort, "group": f.Group,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Emergency {
		q.Set("emergency", "yes")
	}
	return q
}

// Set reports whether anything is filtered.
func (f filter) Set() bool {
	f.Sort, f.Group = "", ""
	return f != filter{}
}

// open reports whether only requests that have not ended are listed: those alone have deadlines.
func (f filter) open() bool { return f.Status == groups[0].Name || f.Status == groups[1].Name }

// query returns the query for what the filter says.
func (f filter) query(page string) *lockboxv1.ListRequests {
	by := &lockboxv1.ListRequests{ResourceType: f.Service, Engineer: f.Engineer, TicketId: f.Ticket,
		Subscription: f.Subscription, Text: f.Text, Emergency: f.Emergency, Count: true, Limit: perQueue, PageToken: page,
		WithAllowed: f.Status == groups[0].Name}
	for _, g := range groups {
		if g.Name == f.Status {
			by.Statuses = g.statuses
		}
	}
	if f.Who != "" {
		by.Requester = &lockboxv1.Person{Subject: f.Who, Issuer: f.At}
	}
	if f.open() && f.Sort != "newest" {
		by.Order = byDeadline
	}
	return by
}

// wrong returns the fields that cannot be searched for.
func (f filter) wrong() map[string]bool {
	wrong := map[string]bool{}
	for name, value := range map[string]string{"engineer": f.Engineer, "subscription": f.Subscription, "text": f.Text,
		"service": f.Service, "who": f.Who + f.At} {
		if prose.CheckLine(name, value, 0, maxField) != nil {
			wrong[name] = true
		}
	}
	if f.Ticket != "" && aggregate.CheckReference("", prose.Line(f.Ticket)) != nil {
		wrong["ticket"] = true
	}
	return wrong
}

// group is a group of requests in the list.
type group struct {
	*lockboxv1.RequestGroup
	Href string
	// First is one of them with nothing but the first deadline, to show how long is left.
	First shown.Request
}

// Engineer returns the engineer's name; empty if the group is a ticket's.
func (g group) Engineer() string {
	if g.GetRequester() == nil {
		return ""
	}
	return shown.Name(g.GetRequester().GetPerson())
}

// listing is the data of the list.
type listing struct {
	filter
	Table table
	// Grouped holds the groups, if the list is grouped; More reports that there are more of them.
	Grouped []group
	More    bool
	Total   words.Counted
	turns
	States   []string
	Services []*lockboxv1.ServiceView
	// Chosen is the name of the engineer who was chosen from the groups.
	Chosen string
	// Deny is the URL of the page on which several are denied, and Deniable the IDs on this page; empty if none may be.
	Deny     string
	Deniable []string
	Unasked  unasked
	// Wrong holds the fields that cannot be searched for.
	Wrong map[string]bool
}

func (p *pages) list(v *site.Visit) (err error) {
	f := filterOf(v.R.URL.Query())
	data := listing{filter: f, Wrong: f.wrong()}
	for _, g := range groups {
		data.States = append(data.States, g.Name)
	}
	if data.Unasked, err = unaskedOf(v); err != nil {
		return err
	}
	if data.Services, err = services(v); err != nil {
		return err
	}
	status := http.StatusBadRequest
	if len(data.Wrong) == 0 {
		status = http.StatusOK
		if f.Group != "" {
			err = data.group(v)
		} else {
			err = data.search(v)
		}
		if err != nil {
			return err
		}
	}
	return p.render(v, "list", "requests.all", status, "", data)
}

func (l *listing) search(v *site.Visit) error {
	found, _, err := search(v, l.query(v.R.URL.Query().Get("page")))
	if err != nil {
		return err
	}
	l.Table, l.Total, l.turns = tabled(v, found.GetRequests()), words.Count(found.GetTotal()), turn(v, found)
	for _, r := range l.Table.Rows {
		if l.Who != "" {
			l.Chosen = shown.Name(r.GetRequester().GetPerson())
		}
		if v.Session.Tenant != "" && r.Deniable() {
			l.Table.Choosing, l.Deny = true, v.Path("requests", "deny")
			l.Deniable = append(l.Deniable, r.GetRequestId())
		}
	}
	return nil
}

// Deniable reports whether the reader may deny the request.
func (r row) Deniable() bool { return r.Allows("deny") }

// group queries the groups. Each leads to the list of what is in it.
func (l *listing) group(v *site.Visit) error {
	by := lockboxv1.RequestGrouping_REQUEST_GROUPING_TICKET
	if l.Group == "engineer" {
		by = lockboxv1.RequestGrouping_REQUEST_GROUPING_ENGINEER
	}
	of := l.query("")
	of.Count, of.Limit, of.Order, of.WithAllowed = false, 0, 0, false
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GroupRequests{
		GroupRequests: &lockboxv1.GroupRequests{Of: of, By: by}}})
	if err = empty(err); err != nil {
		return err
	}
	l.More, l.Table.Provider = reply.GetGroups().GetMore(), v.Session.Tenant == ""
	for _, g := range reply.GetGroups().GetGroups() {
		next := l.filter
		next.Group = ""
		if g.GetRequester() != nil {
			next.Who, next.At = g.GetRequester().GetPerson().GetSubject(), g.GetRequester().GetPerson().GetIssuer()
		} else {
			next.Ticket = g.GetTicketId()
		}
		each := group{RequestGroup: g, Href: v.Path("requests") + "?" + next.values().Encode()}
		if g.GetRequester() == nil && g.GetTicketId() == "" {
			each.Href = "" // nothing filters by no ticket
		}
		each.First = read(v, &lockboxv1.RequestView{Status: lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED,
			Lockbox: &lockboxv1.CustomerNotified{ExpiresAt: g.GetNextDeadline()}})
		l.Grouped = append(l.Grouped, each)
	}
	return nil
}

// services returns the catalogue's services to choose from, by name.
func services(v *site.Visit) ([]*lockboxv1.ServiceView, error) {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListServices{ListServices: &lockboxv1.ListServices{}}})
	if err = empty(err); err != nil {
		return nil, err
	}
	var list []*lockboxv1.ServiceView
	for _, s := range reply.GetServices().GetServices() {
		list = append(list, &lockboxv1.ServiceView{ResourceType: s.GetResourceType(),
			DisplayName: names.In(v.Say.Language, s.GetDisplayName())})
	}
	slices.SortFunc(list, func(a, b *lockboxv1.ServiceView) int {
		return strings.Compare(a.GetDisplayName(), b.GetDisplayName())
	})
	return list, nil
}
