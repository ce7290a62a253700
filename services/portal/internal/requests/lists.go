package requests

import (
	"net/http"
	"net/url"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/live"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

const (
	perPage = 20
	// ownAmong is the number of open requests among which those of one of the provider's people are looked for.
	ownAmong = 200
)

// The groups of states to filter by.
var groups = []struct {
	Name     string
	statuses []lockboxv1.RequestStatus
}{
	{"pending", []lockboxv1.RequestStatus{
		lockboxv1.RequestStatus_REQUEST_STATUS_SUBMITTED, lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL,
		lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED,
	}},
	{"active", []lockboxv1.RequestStatus{lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED,
		lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE}},
	{"past", []lockboxv1.RequestStatus{
		lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED, lockboxv1.RequestStatus_REQUEST_STATUS_RELEASED,
		lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED,
	}},
	{"none", []lockboxv1.RequestStatus{
		lockboxv1.RequestStatus_REQUEST_STATUS_REFUSED, lockboxv1.RequestStatus_REQUEST_STATUS_INTERNALLY_DENIED,
		lockboxv1.RequestStatus_REQUEST_STATUS_INTERNAL_EXPIRED, lockboxv1.RequestStatus_REQUEST_STATUS_DENIED,
		lockboxv1.RequestStatus_REQUEST_STATUS_EXPIRED, lockboxv1.RequestStatus_REQUEST_STATUS_WITHDRAWN,
		lockboxv1.RequestStatus_REQUEST_STATUS_LAPSED,
	}},
}

// table is a list of requests. The provider's people also see the customer of each.
type table struct {
	Rows     []row
	Provider bool
}

func tabled(v *site.Visit, list []*lockboxv1.RequestView) table {
	return table{rows(v, list), v.Session.Tenant == ""}
}

// row is a request in a list.
type row struct {
	shown.Request
	Href string
}

func rows(v *site.Visit, list []*lockboxv1.RequestView) []row {
	all := make([]row, len(list))
	for i, r := range list {
		all[i] = row{read(v, r), v.Path("requests", r.GetRequestId())}
	}
	return all
}

// search queries a list of requests. For visitors who may see no requests, the list is empty.
func search(v *site.Visit, by *lockboxv1.ListRequests) (*lockboxv1.RequestList, uint64, error) {
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: by}})
	if err = empty(err); err != nil {
		return nil, 0, err
	}
	list := reply.GetRequests()
	if list == nil {
		list = &lockboxv1.RequestList{}
	}
	return list, reply.GetSequence(), nil
}

// waiting is the data of the first page: the requests that await the visitor's own decision, and other open ones.
type waiting struct {
	mine, others *lockboxv1.RequestList
	sequence     uint64
	// reader is set if others holds the visitor's own requests.
	reader *lockboxv1.Person
}

func (w waiting) digest() (string, error) { return shown.Digest(w.mine, w.others) }

// waits queries both lists: others holds the remaining pending requests of a customer's organisation, or for the
// provider's people their own open requests. Only the first page has others.
func waits(v *site.Visit) (w waiting, err error) {
	page := v.R.URL.Query().Get("page")
	if w.mine, w.sequence, err = search(v,
		&lockboxv1.ListRequests{AwaitingMe: true, Count: true, Limit: perPage, PageToken: page}); err != nil {
		return w, err
	}
	if page != "" {
		w.others = &lockboxv1.RequestList{}
		return w, nil
	}
	ask, keep := &lockboxv1.ListRequests{Statuses: groups[0].statuses[2:], Count: true, Limit: perPage}, w.notMine
	if v.Session.Tenant == "" {
		self, err := v.Self()
		if err != nil {
			return w, err
		}
		w.reader = self.GetActor().GetPerson()
		ask = &lockboxv1.ListRequests{Statuses: append(groups[0].statuses[:3:3], groups[1].statuses...), Limit: ownAmong}
		keep = func(r *lockboxv1.RequestView) bool {
			return tenant.SamePerson(r.GetRequester().GetPerson(), w.reader)
		}
	}
	found, _, err := search(v, ask)
	if err != nil {
		return w, err
	}
	w.others = &lockboxv1.RequestList{Total: found.GetTotal()}
	for _, r := range found.GetRequests() {
		if keep(r) {
			w.others.Requests = append(w.others.Requests, r)
		}
	}
	return w, nil
}

// notMine reports whether a request is not in the first list. Comparing one page of each is enough: both are newest
// first and of equal length, so a pending request that awaits the visitor and is among the newest pending ones is also
// among the newest that await the visitor.
func (w waiting) notMine(r *lockboxv1.RequestView) bool {
	for _, mine := range w.mine.GetRequests() {
		if mine.GetRequestId() == r.GetRequestId() {
			return false
		}
	}
	return true
}

func (p *pages) home(v *site.Visit) error {
	w, err := waits(v)
	if err != nil {
		return err
	}
	digest, err := w.digest()
	if err != nil {
		return err
	}
	address := live.Address(v.Path("live", "home"), digest, w.sequence)
	if page := v.R.URL.Query().Get("page"); page != "" {
		address += "&page=" + url.QueryEscape(page)
	}
	data := struct {
		Mine   []row
		Others table
		Total  words.Counted
		// More is the number of requests that are not listed.
		More           words.Counted
		Next, FirstWay string
		Unasked        unasked
	}{Mine: rows(v, w.mine.GetRequests()), Others: tabled(v, w.others.GetRequests()),
		Total: words.Count(w.mine.GetTotal())}
	for i := range data.Others.Rows {
		data.Others.Rows[i].Reader = w.reader
	}
	data.More = words.Count(w.others.GetTotal()).Less(len(data.Mine) + len(data.Others.Rows))
	data.Next, data.FirstWay = turn(v, w.mine.GetNextPageToken())
	if data.Unasked, err = unaskedOf(v); err != nil {
		return err
	}
	title := "requests.home"
	if v.Session.Tenant == "" {
		title = "requests.home-provider"
	}
	return p.render(v, "home", title, http.StatusOK, address, data)
}

// turn returns the URLs of a list's next page and, on later pages, of the first; empty if there is none.
func turn(v *site.Visit, token string) (next, first string) {
	q := v.R.URL.Query()
	q.Del("lang")
	q.Del("after")
	if q.Has("page") {
		q.Del("page")
		if first = v.R.URL.Path; len(q) > 0 {
			first += "?" + q.Encode()
		}
	}
	if token != "" {
		q.Set("page", token)
		next = v.R.URL.Path + "?" + q.Encode()
	}
	return next, first
}

// render renders a page whose title is a message.
func (p *pages) render(v *site.Visit, name, title string, status int, live string, data any) error {
	text, err := v.Say.Say(title)
	if err != nil {
		return err
	}
	return v.Render(p.templates, name, status, site.Page{Title: text, Live: live, Data: data})
}

func (p *pages) list(v *site.Visit) error {
	q := v.R.URL.Query()
	data := struct {
		Table                        table
		Total                        words.Counted
		Next, FirstWay               string
		Status, Subscription, Ticket string
		Groups                       []string
		Unasked                      unasked
		// Wrong holds the fields that are not valid IDs.
		Wrong map[string]bool
	}{Status: q.Get("status"), Subscription: q.Get("subscription"), Ticket: q.Get("ticket"), Wrong: map[string]bool{}}
	by := &lockboxv1.ListRequests{SubscriptionId: data.Subscription, TicketId: data.Ticket, Count: true, Limit: perPage,
		PageToken: q.Get("page")}
	var err error
	if data.Unasked, err = unaskedOf(v); err != nil {
		return err
	}
	for _, g := range groups {
		data.Groups = append(data.Groups, g.Name)
		if g.Name == data.Status {
			by.Statuses = g.statuses
		}
	}
	if data.Subscription != "" && input.Token("", data.Subscription) != nil {
		data.Wrong["subscription"] = true
	}
	if data.Ticket != "" && aggregate.CheckReference("", prose.Line(data.Ticket)) != nil {
		data.Wrong["ticket"] = true
	}
	status := http.StatusBadRequest
	if len(data.Wrong) == 0 {
		found, _, err := search(v, by)
		if err != nil {
			return err
		}
		status, data.Table, data.Total = http.StatusOK, tabled(v, found.GetRequests()), words.Count(found.GetTotal())
		data.Next, data.FirstWay = turn(v, found.GetNextPageToken())
	}
	return p.render(v, "list", "requests.all", status, "", data)
}
