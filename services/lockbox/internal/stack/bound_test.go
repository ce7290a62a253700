package stack_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"google.golang.org/protobuf/encoding/protojson"
)

func settleTicket(named string, closes bool) *lockboxv1.Command {
	c := &lockboxv1.Command{AggregateId: named, Action: &lockboxv1.Command_ReopenTicket{
		ReopenTicket: &lockboxv1.ReopenTicket{}}}
	if closes {
		c.Action = &lockboxv1.Command_CloseTicket{CloseTicket: &lockboxv1.CloseTicket{Reason: "It runs again."}}
	}
	return c
}

func (l *lockbox) shown(as, id string) *lockboxv1.RequestView {
	l.Helper()
	return l.query(&lockboxv1.Query{Tenant: bank, Token: l.token(as), MinSequence: l.decided(),
		Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}}).GetRequest()
}

// Access that a customer binds to its ticket ends when anybody closes it, and nothing else does: what waits stays, what
// is approved meanwhile gives nothing, and the ticket that is open again gives back nothing.
//
// control: nist:AC-2
func TestR61AccessEndsWithItsTicketAndNothingElseDoes(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.does("grace", &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{
		Settings: &lockboxv1.TenantSettings{DefaultLanguage: "en", AccessEndsWithTicket: true}}}})
	l.told(bank, "settings-changed", "grace@")
	l.does("otto", openTicket("SR-9"))
	running, waiting := l.requested(l.intent("erin"), request.CustomerNotified), l.intent("erin")
	l.requested(waiting, request.CustomerNotified)
	other := l.intent("erin")
	other.TicketId = "SR-9"
	l.requested(other, request.CustomerNotified)
	for _, id := range []string{running, other.GetId()} {
		l.does("otto", approve(id))
		if s := l.reaches(id, request.Active); !s.Grant.GetEndsWithTicket() {
			t.Errorf("it began as %v", s.Grant)
		}
	}
	if v := l.shown("otto", running); !v.GetAccessEndsWithTicket() || v.GetTicketOfProvider() {
		t.Errorf("it is shown as %v", v)
	}

	l.does("lena", settleTicket(demo.BankTicket, true))
	l.reaches(running, request.Revoked)
	l.told(bank, "access-revoked", "otto@")
	if v := l.shown("otto", running); v.GetTicketClosedBy().GetPerson().GetDisplayName() != "Lena Lang" ||
		v.GetCodedEndReason().GetCode() != lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED ||
		!aggregate.System(v.GetEndedBy()) {
		t.Errorf("it ended as %v", v)
	}
	if s := l.state(other.GetId()); s.Status != request.Active {
		t.Errorf("access on another ticket is %v", s.Status)
	}
	if s := l.state(waiting.GetId()); s.Status != request.CustomerNotified {
		t.Errorf("what waited is %v", s.Status)
	}
	if r := l.submit(l.intent("erin")).GetRefusal(); r.GetField() != "ticket_id" || r.GetRule() != "R61" {
		t.Errorf("a new request on the closed ticket: %v", r)
	}
	l.does("otto", approve(waiting.GetId()))
	l.reaches(waiting.GetId(), request.Lapsed)
	l.does("grace", settleTicket(demo.BankTicket, false))
	again := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(again))
	l.reaches(again, request.Active)
	for _, id := range []string{running, waiting.GetId()} {
		if s := l.state(id); s.Status != request.Revoked && s.Status != request.Lapsed {
			t.Errorf("it is %v once the ticket is open again", s.Status)
		}
	}
	within(t, patience, "a mail says who closed it", func() bool {
		all, err := mailbox.Read(l.stack.MailboxDir())
		must(t, err)
		return slices.ContainsFunc(all, func(m mailbox.Message) bool {
			return slices.Contains(m.Recipients, "otto@meadowbank.example") &&
				strings.Contains(m.Text, "Ticket closed by: Lena Lang")
		})
	})
	l.holds()
}

// The provider's ticket system opens tickets with a credential of its own, which does nothing else. Such a ticket is no
// support that the customer asked for, whoever says so.
//
// control: nist:AC-6
func TestR61TheProvidersTicketSystemOpensTickets(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	for _, who := range []string{"erin", "lena", "derek", "olga", "onboarding"} {
		l.mayNot(who, openTicket("INC-1"), forbidden, "R61")
	}
	l.does("desk", openTicket("INC-1"))
	l.mayNot("desk", settleTicket("INC-1", true), forbidden, "R61")
	l.mayNot("desk", settleTicket(demo.BankTicket, true), forbidden, "R61")
	l.mayNot("desk", &lockboxv1.Command{AggregateId: "INC-1", Action: &lockboxv1.Command_CommentTicket{
		CommentTicket: &lockboxv1.CommentTicket{Text: "We look."}}}, forbidden, "R11")
	for who, want := range map[string]bool{"grace": true, "lena": true, "desk": true, "hana": false, "onboarding": false} {
		v, refused := l.ticket(who, "INC-1")
		if (refused == nil) != want || want && !v.GetOpenedByProvider() {
			t.Errorf("%s sees %v, %v", who, v, refused)
		}
	}
	if v, _ := l.ticket("desk", demo.BankTicket); v != nil {
		t.Errorf("the ticket system sees a ticket of the customer's: %v", v)
	}
	if v, _ := l.ticket("grace", demo.BankTicket); v.GetOpenedByProvider() {
		t.Error("the customer's ticket is shown as the provider's")
	}

	in := l.intent("erin")
	in.TicketId = "inc-1"
	if r := l.submit(in).GetRefusal(); r.GetField() != "ticket_id" || r.GetRule() != "R61" ||
		r.GetCodedReason().GetCode() != lockboxv1.ReasonCode_REASON_CODE_TICKET_OF_PROVIDER {
		t.Errorf("as support that the customer asked for: %v", r)
	}
	l.reaches(in.GetId(), request.Refused)
	in = l.intent("erin")
	in.TicketId, in.ReasonType = "INC-1", lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE
	id := l.requested(in, request.CustomerNotified)
	if v := l.shown("otto", id); !v.GetTicketOfProvider() {
		t.Errorf("the request is shown as %v", v)
	}
	in = l.intent("desk")
	if r := l.submit(in).GetRefusal(); r.GetCode() != forbidden {
		t.Errorf("the ticket system asks for access: %v", r)
	}
	l.holds()
}

// By REST, the ticket system opens tickets with its own token, and engineers with theirs do not.
func TestR61TheProvidersTicketSystemOpensTicketsByREST(t *testing.T) {
	t.Parallel()
	l, _, _ := withREST(t)
	call := func(as, method, path, body string) (status int, answer []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method,
			l.stack.PortalURL()+"/lockbox/v1/tickets"+path+"?tenant="+bank, strings.NewReader(body))
		must(t, err)
		r.Header.Set("Authorization", "Bearer "+l.token(as))
		r.Header.Set("Content-Type", "application/json")
		w, err := http.DefaultClient.Do(r)
		must(t, err)
		defer w.Body.Close()
		answer, err = io.ReadAll(w.Body)
		must(t, err)
		return w.StatusCode, answer
	}
	const body = `{"title": "The disk is failing", "reference": "INC-2"}`
	if status, answer := call("erin", http.MethodPost, "", body); status != http.StatusForbidden {
		t.Errorf("an engineer: %d %s", status, answer)
	}
	if status, answer := call("desk", http.MethodPost, "", body); status != http.StatusOK {
		t.Errorf("the ticket system: %d %s", status, answer)
	}
	within(t, patience, "the ticket is there", func() bool {
		status, answer := call("desk", http.MethodGet, "/INC-2", "")
		v := new(lockboxv1.TicketView)
		return status == http.StatusOK && protojson.Unmarshal(answer, v) == nil && v.GetOpenedByProvider()
	})
	if status, answer := call("desk", http.MethodPost, "/INC-2/close", `{}`); status != http.StatusForbidden {
		t.Errorf("the ticket system closes a ticket: %d %s", status, answer)
	}
}
