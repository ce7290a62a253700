package merkle

import (
	"errors"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Bytes that were changed on their way say nothing about a log; bytes that it committed to and that are another event
// do.
func TestAStatementIsOpenedByItsBytesAlone(t *testing.T) {
	mail := &lockboxv1.Event{Tenant: "contoso", Kind: "delivery", AggregateId: "e1", ReportKey: "m1",
		Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{}}}
	ticket := &lockboxv1.Event{Tenant: "contoso", Kind: "ticket", AggregateId: "t1", Version: 1,
		Fact: &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{}}}
	keyed := proto.CloneOf(ticket)
	keyed.Version, keyed.ReportKey = 0, "1"
	counted := proto.CloneOf(mail)
	counted.Version, counted.ReportKey = 1, ""
	for _, row := range []struct {
		name, subject string
		event         *lockboxv1.Event
		part          Part
	}{
		{"a report", "lockbox.event.contoso.delivery.e1.m1.NotificationSent", mail, ""},
		{"a decision", "lockbox.event.contoso.ticket.t1.1.TicketOpened", ticket, ""},
		{"another report", "lockbox.event.contoso.delivery.e1.m2.NotificationSent", mail, Binding},
		{"another customer's", "lockbox.event.fabrikam.ticket.t1.1.TicketOpened", ticket, Binding},
		{"another type", "lockbox.event.contoso.ticket.t1.1.TicketClosed", ticket, Binding},
		{"another version", "lockbox.event.contoso.ticket.t1.2.TicketOpened", ticket, Binding},
		{"a decision with a key", "lockbox.event.contoso.ticket.t1.1.TicketOpened", keyed, Binding},
		{"a report with a version", "lockbox.event.contoso.delivery.e1.1.NotificationSent", counted, Binding},
	} {
		stored, err := proto.Marshal(row.event)
		must(t, err)
		salt := Salt{1}
		for _, format := range []uint8{Format1, Format2} {
			s := Statement{Format: format, TenantSequence: 1, Subject: row.subject, Commitment: Commit(format, salt, stored)}
			_, err = s.Open(salt, stored)
			var is *ProofError
			if row.part == "" && err != nil || row.part != "" && (!errors.As(err, &is) || is.Part != row.part) {
				t.Errorf("%s: %v", row.name, err)
			}
			for name, changed := range map[string][]byte{"more": append(stored[:len(stored):len(stored)], 0), "none": nil,
				"less": stored[1:]} {
				if _, err := s.Open(salt, changed); !errors.As(err, &is) || is.Part != Content {
					t.Errorf("%s, %s: %v", row.name, name, err)
				}
			}
			if _, err := s.Open(Salt{2}, stored); !errors.As(err, &is) || is.Part != Content {
				t.Errorf("%s, another salt: %v", row.name, err)
			}
		}
	}
}
