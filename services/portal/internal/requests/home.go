package requests

import (
	"net/http"
	"net/url"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/live"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

const byDeadline = lockboxv1.RequestOrder_REQUEST_ORDER_DEADLINE

// standing is the data of the first page: the access that exists, the requests that await the visitor's own decision,
// and other open ones.
type standing struct {
	running, mine, others *lockboxv1.RequestList
	sequence              uint64
	// reader is set if others holds the visitor's own requests.
	reader *lockboxv1.Person
}

func (s standing) digest() (string, error) { return shown.Digest(s.running, s.mine, s.others) }

// stands queries the lists, each ordered by what ends first. others holds the remaining pending requests of a
// customer's organisation, or for the provider's people their own. Later pages have only what awaits the visitor.
func stands(v *site.Visit) (s standing, err error) {
	page := v.R.URL.Query().Get("page")
	if s.mine, s.sequence, err = search(v, &lockboxv1.ListRequests{AwaitingMe: true, Count: true, Limit: perPage,
		PageToken: page, Order: byDeadline}); err != nil {
		return s, err
	}
	if page != "" {
		s.running, s.others = &lockboxv1.RequestList{}, &lockboxv1.RequestList{}
		return s, nil
	}
	if s.running, _, err = search(v, &lockboxv1.ListRequests{Statuses: groups[1].statuses, Count: true, Limit: perPage,
		Order: byDeadline, WithAllowed: true}); err != nil {
		return s, err
	}
	ask := &lockboxv1.ListRequests{Statuses: groups[0].statuses[2:], Count: true, Limit: perPage, Order: byDeadline}
	if v.Session.Tenant == "" {
		self, err := v.Self()
		if err != nil {
			return s, err
		}
		s.reader = self.GetActor().GetPerson()
		ask.Statuses, ask.Requester = groups[0].statuses, s.reader
	}
	found, _, err := search(v, ask)
	if err != nil {
		return s, err
	}
	s.others = &lockboxv1.RequestList{Total: found.GetTotal()}
	for _, r := range found.GetRequests() {
		if s.reader != nil || s.notMine(r) {
			s.others.Requests = append(s.others.Requests, r)
		}
	}
	return s, nil
}

// notMine reports whether a request is not among those that await the visitor. Comparing one page of each is enough:
// both are in the same order and of equal length, so a pending request that awaits the visitor and is among the first
// pending ones is also among the first that await the visitor.
func (s standing) notMine(r *lockboxv1.RequestView) bool {
	for _, mine := range s.mine.GetRequests() {
		if mine.GetRequestId() == r.GetRequestId() {
			return false
		}
	}
	return true
}

// access is access that exists, with what the reader may do to end it.
type access struct {
	row
	// End is how the reader ends it, and EndHref where; nil if they may not.
	End     *verb
	EndHref string
}

// ends lists the access that exists.
func ends(v *site.Visit, list []*lockboxv1.RequestView) []access {
	all := make([]access, len(list))
	for i, r := range rows(v, list) {
		all[i] = access{row: r}
		for _, b := range verbs {
			if all[i].End == nil && r.Allows(b.Name) && b.side&side(v) != 0 && b.ends {
				all[i].End, all[i].EndHref = &b, b.Href(v, r.GetRequestId())
			}
		}
	}
	return all
}

func (p *pages) home(v *site.Visit) error {
	s, err := stands(v)
	if err != nil {
		return err
	}
	digest, err := s.digest()
	if err != nil {
		return err
	}
	address := live.Address(v.Path("live", "home"), digest, s.sequence)
	page := v.R.URL.Query().Get("page")
	if page != "" {
		address += "&page=" + url.QueryEscape(page)
	}
	data := struct {
		Running []access
		Mine    []row
		Others  table
		Total   words.Counted
		// First reports that this is the first page, which alone has more than what awaits the visitor.
		First bool
		// MoreRunning and More are the numbers of requests that are not listed.
		MoreRunning, More words.Counted
		turns
		Unasked unasked
	}{Running: ends(v, s.running.GetRequests()), Mine: rows(v, s.mine.GetRequests()),
		Others: tabled(v, s.others.GetRequests()), Total: words.Count(s.mine.GetTotal()), First: page == ""}
	for i := range data.Others.Rows {
		data.Others.Rows[i].Reader = s.reader
	}
	data.MoreRunning = words.Count(s.running.GetTotal()).Less(len(data.Running))
	data.More = words.Count(s.others.GetTotal()).Less(len(data.Mine) + len(data.Others.Rows))
	if s.reader != nil {
		data.More = words.Count(s.others.GetTotal()).Less(len(data.Others.Rows))
	}
	data.turns = turn(v, s.mine)
	if data.Unasked, err = unaskedOf(v); err != nil {
		return err
	}
	return p.render(v, "home", "requests.home", http.StatusOK, address, data)
}
