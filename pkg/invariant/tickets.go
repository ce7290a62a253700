package invariant

import (
	"strings"
	"time"
	"unicode"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// spelling returns what is left of a ticket's reference when letter case and the number of blanks do not matter.
func spelling(reference string) string {
	var b strings.Builder
	blank := false
	for _, c := range reference {
		switch {
		case unicode.IsSpace(c):
			blank = b.Len() > 0
			continue
		case blank:
			b.WriteByte(' ')
			blank = false
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// ticketName is a spelling of a tenant's ticket.
type ticketName struct{ tenant, spelling string }

// opening is what is known of a ticket.
type opening struct {
	id, reference string
	// given means that it was opened under a reference. Tickets from before there were any are called by their ids.
	given    bool
	sequence uint64
	at       time.Time
	// ofProvider means that not the customer opened it (R61).
	ofProvider bool
	// closings are its closings and reopenings, oldest first.
	closings []closing
}

// opens records a ticket, and its closings.
func (b *book) opens(a aggregate.Key, r Recorded) {
	opened := r.Event.GetTicketOpened()
	if own := b.opened[a]; own != nil {
		own.closes(r)
		return
	}
	if opened == nil {
		return
	}
	o := &opening{id: a.ID, reference: opened.GetReference(), given: opened.GetReference() != "", sequence: r.Sequence,
		at: instant(r), ofProvider: r.Event.GetActor().GetSide() == lockboxv1.Side_SIDE_PROVIDER}
	if !o.given {
		o.reference = a.ID
	}
	name := ticketName{a.Tenant, spelling(o.reference)}
	b.opened[a], b.called[name] = o, append(b.called[name], o)
}

// namesOneTicket is I20: no ticket is opened under the reference that an older one of the tenant has in any spelling,
// and a request is about the ticket that its intent names, and no other.
func namesOneTicket(b *book, of aggregate.Key, events []Recorded, broken say) {
	first := events[0]
	switch own := b.opened[of]; {
	case own != nil && own.given:
		for _, other := range b.called[ticketName{of.Tenant, spelling(own.reference)}] {
			if other.sequence < own.sequence {
				broken("I20", first, "is called %q, as the ticket %s is", own.reference, other.id)
			}
		}
	case first.Event.GetAccessRequested().GetTicketId() != "": // before there were references, it said nothing
		asked := first.Event.GetAccessRequested()
		id, named := asked.GetTicketId(), asked.GetIntent().GetTicketId()
		if own := b.opened[aggregate.Ticket(of.Tenant, id)]; own != nil && own.sequence < first.Sequence {
			if own.reference != named && instant(first).Sub(own.at) > maxStale {
				broken("I20", first, "names the ticket %q, and is about %q", named, own.reference)
			}
			return
		}
		for _, other := range b.called[ticketName{of.Tenant, spelling(named)}] {
			if other.sequence < first.Sequence && instant(first).Sub(other.at) > maxStale {
				broken("I20", first, "names the ticket %q, and is not about it", named)
			}
		}
	}
}
