package requests

import (
	"net/url"
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// engineer is what somebody who decides wants to know of whoever asks, besides what the request itself says.
type engineer struct {
	// Assigned says whether the ticket is theirs, as the ID of a message; empty if the request names no ticket that the
	// reader may see. Assignee is whose it is.
	Assigned, Assignee string
	// Closed reports that an approval gives no access, because the ticket with which it ends is closed.
	Closed bool
	// Known reports that the rest was asked for. It is about the reader's organisation: the provider's people have no such
	// thing.
	Known bool
	// Earlier counts their requests that gave them access which has ended, and Last is when that of the newest began.
	Earlier words.Counted
	Last    *timestamppb.Timestamp
	// Open counts their other requests that have not ended.
	Open words.Counted
	// All is the URL of the list of their requests.
	All string
}

// engineerOf asks about the requester of a request.
func engineerOf(v *site.Visit, r loaded) (e engineer, err error) {
	if err := e.assigned(v, r); err != nil || v.Session.Tenant == "" {
		return e, err
	}
	who := &lockboxv1.Person{Issuer: r.GetRequester().GetPerson().GetIssuer(),
		Subject: r.GetRequester().GetPerson().GetSubject()}
	// Of each only the number counts, and of what is past the last, unless that is this one.
	others := func(names ...string) (words.Counted, *lockboxv1.RequestView, error) {
		by := &lockboxv1.ListRequests{Requester: who, Count: true, Limit: 1}
		for _, g := range groups {
			if slices.Contains(names, g.Name) {
				by.Statuses = append(by.Statuses, g.statuses...)
			}
		}
		among := slices.Contains(by.GetStatuses(), r.GetStatus()) // this one
		if among && names[0] == "past" {
			by.Limit = 2
		}
		found, _, err := search(v, by)
		n := words.Count(found.GetTotal())
		if among {
			n = n.Less(1)
		}
		for _, other := range found.GetRequests() {
			if other.GetRequestId() != r.GetRequestId() {
				return n, other, err
			}
		}
		return n, nil, err
	}
	earlier, last, err := others("past")
	if err != nil {
		return e, err
	}
	e.Known, e.Earlier, e.Last = true, earlier, last.GetGrant().GetStartsAt()
	e.All = v.Path("requests") + "?" + url.Values{"who": {who.GetSubject()}, "at": {who.GetIssuer()}}.Encode()
	e.Open, _, err = others("pending", "active")
	return e, err
}

// assigned says whose ticket the request names.
func (e *engineer) assigned(v *site.Visit, r loaded) error {
	t, err := ticketOf(v, r)
	if t == nil || err != nil {
		return err
	}
	e.Closed = heldBack(r, t)
	switch to := t.GetEngineer(); {
	case to == nil:
		e.Assigned = "requests.ticket-nobody"
	case tenant.SamePerson(to, r.GetRequester().GetPerson()):
		e.Assigned = "requests.ticket-theirs"
	default:
		e.Assigned, e.Assignee = "requests.ticket-elsewhere", shown.Name(to)
	}
	return nil
}

// Elsewhere reports that the ticket is not assigned to whoever asks.
func (e engineer) Elsewhere() bool { return e.Assigned != "" && e.Assigned != "requests.ticket-theirs" }

// ticketOf returns the ticket that a request names; nil if it names none that the reader may see.
func ticketOf(v *site.Visit, r loaded) (*lockboxv1.TicketView, error) {
	id := r.GetIntent().GetTicketId()
	if id == "" {
		return nil, nil
	}
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetTicket{
		GetTicket: &lockboxv1.GetTicket{TicketId: aggregate.TicketToken(id)}}})
	if err = empty(err); err != nil || reply.GetTicket().GetTenant() != r.GetTenant() {
		return nil, err
	}
	return reply.GetTicket(), nil
}

// heldBack reports whether no access can begin on a request that waits, because its ticket is closed.
func heldBack(r loaded, t *lockboxv1.TicketView) bool {
	return r.GetAccessEndsWithTicket() && t.GetClosedAt() != nil && r.GetGrant() == nil && !r.Over()
}
