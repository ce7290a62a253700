package requests

import (
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

const perPage = 20

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
	// Choosing reports that rows which the reader may deny can be chosen.
	Choosing bool
}

func tabled(v *site.Visit, list []*lockboxv1.RequestView) table {
	return table{Rows: rows(v, list), Provider: v.Session.Tenant == ""}
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

// turns are the URLs of the pages around one; empty if there is none.
type turns struct{ Next, Previous, FirstWay string }

// turn returns the URLs of the next page, of the one before and, on later pages, of the first.
func turn(v *site.Visit, list *lockboxv1.RequestList) (t turns) {
	q := v.R.URL.Query()
	q.Del("lang")
	q.Del("after")
	at := func(token string) string {
		q.Set("page", token)
		return v.R.URL.Path + "?" + q.Encode()
	}
	if q.Has("page") {
		q.Del("page")
		if t.FirstWay = v.R.URL.Path; len(q) > 0 {
			t.FirstWay += "?" + q.Encode()
		}
	}
	if token := list.GetNextPageToken(); token != "" {
		t.Next = at(token)
	}
	if token := list.GetPreviousPageToken(); token != "" {
		t.Previous = at(token)
	}
	return t
}

// render renders a page whose title is a message.
func (p *pages) render(v *site.Visit, name, title string, status int, live string, data any) error {
	text, err := v.Say.Say(title)
	if err != nil {
		return err
	}
	return v.Render(p.templates, name, status, site.Page{Title: text, Live: live, Data: data})
}
