package aggregate_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// R11: what real systems call their tickets is a reference. Spellings of one reference are one ticket, others are not.
func TestTheReferencesOfRealSystemsAreTickets(t *testing.T) {
	ids := map[string]string{}
	for _, spellings := range [][]string{
		{"SR-2026-0001", " SR-2026-0001 ", "sr-2026-0001", "\tSr-2026-0001\u200B"},
		{"TrackingID#2405150050001234", "trackingid#2405150050001234"},
		{"#12345", " #12345"},
		{"12345"},
		{"0012345"},
		{"org/repo#12", "Org/Repo#12"},
		{"ABC.123", "abc.123"},
		{"INC 12 345", "inc  12\u00A0345"},
		{"https://tickets.example/browse/ABC-1?x=1#c", "HTTPS://tickets.example/browse/abc-1?x=1#c"},
		{"障害-1"}, {"É-1"}, {"é-1"}, // only ASCII letters are compared without their case
	} {
		id := aggregate.TicketID(spellings[0])
		if other, taken := ids[id]; taken {
			t.Errorf("%q is %q", spellings[0], other)
		}
		ids[id] = spellings[0]
		if err := input.Token("id", id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
		if aggregate.TicketID(id) != id {
			t.Errorf("%q: the id of its id is another", spellings[0])
		}
		for _, s := range spellings {
			if got := aggregate.TicketID(s); got != id {
				t.Errorf("%q: %s, not %s", s, got, id)
			}
			if got := aggregate.TicketID(aggregate.TicketToken(s)); got != id {
				t.Errorf("%q as part of a path: %s, not %s", s, got, id)
			}
		}
	}
}

// The ids of tickets stay what they are: a version that derives others would find none of them.
func TestTheIDOfATicketStays(t *testing.T) {
	for reference, id := range map[string]string{
		"SR-2026-0001": "sr-2026-0001",
		"#12345":       "ref-fhvy5haopzomh335cvg67j3alotlxpkb3wvbgqhrgds2n4odm3eq",
	} {
		if got := aggregate.TicketID(reference); got != id {
			t.Errorf("%s: %s", reference, got)
		}
	}
}

func TestACommandNamesATicketInAnySpelling(t *testing.T) {
	open := func(id, reference string) *lockboxv1.Command {
		return &lockboxv1.Command{Tenant: "contoso", AggregateId: id,
			Action: &lockboxv1.Command_OpenTicket{OpenTicket: &lockboxv1.OpenTicket{Reference: reference}}}
	}
	comment := func(id string) *lockboxv1.Command {
		return &lockboxv1.Command{Tenant: "contoso", AggregateId: id, Action: &lockboxv1.Command_CommentTicket{}}
	}
	for name, row := range map[string]struct {
		command *lockboxv1.Command
		id      string
	}{
		"to open, by reference":           {open("", "SR-1"), "sr-1"},
		"to open, by id":                  {open("SR-1", ""), "sr-1"},
		"to open, by both":                {open("sr-1", "SR-1"), "sr-1"},
		"to comment":                      {comment("sr-1"), "sr-1"},
		"to comment on an old one":        {comment("SR-1"), "SR-1"},
		"to comment on what is no token":  {comment("#1"), aggregate.TicketID("#1")},
		"to comment on one, by its id":    {comment(aggregate.TicketID("#1")), aggregate.TicketID("#1")},
		"to comment, with blanks between": {comment("# 1"), aggregate.TicketID("#  1")},
	} {
		key, err := aggregate.Of(row.command)
		if err != nil || key != aggregate.Ticket("contoso", row.id) {
			t.Errorf("%s: %v, %v", name, key, err)
		}
	}
	long := strings.Repeat("T", 201)
	for name, row := range map[string]struct {
		command *lockboxv1.Command
		field   string
	}{
		"no reference":     {open("", ""), "aggregate_id"},
		"nothing visible":  {comment("\u200B"), "aggregate_id"},
		"a long one":       {comment(long), "aggregate_id"},
		"a long reference": {open("", long), "open_ticket.reference"},
		"two tickets":      {open("SR-1", "SR-2"), "aggregate_id"},
	} {
		_, err := aggregate.Of(row.command)
		if r, is := refusal.As(err); !is || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_INVALID ||
			r.GetField() != row.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}
