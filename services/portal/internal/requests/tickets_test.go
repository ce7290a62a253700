package requests_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

const aCommand = "019e1b3c-4d5e-7f60-8a9b-0c1d2e3f4a5c"

func withSubscriptions(w *world) *world {
	w.Queries["get_tenant"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Tenant{Tenant: &lockboxv1.TenantView{
			Subscriptions: []*lockboxv1.SubscriptionView{{SubscriptionId: "meadow-production",
				DisplayName: "Production"}}}}}, nil
	}
	return w
}

func TestATicketIsOpenedOnItsPage(t *testing.T) {
	w := withSubscriptions(newWorld(otto)).answers("open_ticket", done, nil)
	h := w.portal(t, sitetest.Otto())
	for language, want := range map[string]string{"en": "Open a ticket", "fr": "Ouvrir un ticket", "ja": "チケットの作成"} {
		has(t, get(t, h, bank+"/open-ticket?lang="+language, http.StatusOK), want, "Production")
	}
	has(t, get(t, h, bank+"/tickets", http.StatusOK), "Open a ticket")
	typed := url.Values{"command": {aCommand}, "title": {"It hangs"}, "description": {"Since\r\nlast night."},
		"subscription": {"meadow-production"}, "reference": {"#12345"}}
	sent := sitetest.Post(h, bank+"/open-ticket", typed)
	c := w.only(t)
	if to := sent.Header().Get("Location"); sent.Code != http.StatusSeeOther ||
		!strings.HasPrefix(to, bank+"/tickets/") || !strings.HasSuffix(to, "?after=77") {
		t.Errorf("%d to %s", sent.Code, to)
	}
	if got := c.GetOpenTicket(); got.GetTitle() != "It hangs" || got.GetDescription() != "Since\nlast night." ||
		got.GetSubscriptionId() != "meadow-production" || got.GetReference() != "#12345" || c.GetTenant() != "meadowbank" {
		t.Errorf("%v", c)
	}
	first := c.GetId()
	sitetest.Post(h, bank+"/open-ticket", typed)
	if again := w.Done[1].GetId(); again != first {
		t.Error("the form that was sent twice opens two tickets")
	}
	typed.Set("reference", "")
	sitetest.Post(h, bank+"/open-ticket", typed)
	if got := w.Done[2].GetOpenTicket().GetReference(); !strings.HasPrefix(got, "SR-20260803-") || len(got) != 18 {
		t.Errorf("a ticket without a name is called %q", got)
	}
	if sitetest.Get(newWorld(erin).portal(t, sitetest.Lena()), "/provider/open-ticket").Code != http.StatusNotFound {
		t.Error("the provider's people open tickets for a customer")
	}
}

func TestWhatIsWrongWithATicketIsSaidInItsForm(t *testing.T) {
	for field, want := range map[string]string{"open_ticket.title": "title", "open_ticket.reference": "reference"} {
		w := withSubscriptions(newWorld(otto)).answers("open_ticket", nil, refusal.Invalid(field, "R11", "is too short"))
		page := sitetest.Post(w.portal(t, sitetest.Otto()), bank+"/open-ticket",
			url.Values{"command": {aCommand}, "title": {"<x>"}, "subscription": {"meadow-production"}})
		if page.Code != http.StatusBadRequest || !strings.Contains(page.Body.String(), `id="`+want+`-wrong"`) ||
			!strings.Contains(page.Body.String(), `value="&lt;x&gt;"`) ||
			!strings.Contains(page.Body.String(), `value="meadow-production" selected`) {
			t.Errorf("%s: %d %s", field, page.Code, plain(page.Body.String()))
		}
		wellMade(t, field, page.Body.String())
	}
	w := withSubscriptions(newWorld(otto)).answers("open_ticket", nil,
		refusal.Conflict("open_ticket.reference", "R11", "the ticket #1 has this reference"))
	page := sitetest.Post(w.portal(t, sitetest.Otto()), bank+"/open-ticket", url.Values{"command": {aCommand}})
	if page.Code != http.StatusConflict {
		t.Errorf("%d", page.Code)
	}
}

func TestACommentIsSentFromTheTicketsPage(t *testing.T) {
	w := newWorld(otto).answers("comment_ticket", done, nil)
	h, at := w.portal(t, sitetest.Otto()), bank+"/tickets/SR-2026-0001"
	has(t, get(t, h, at, http.StatusOK), "Opened Otto Owens of your organisation", "Your comment")
	sent := sitetest.Post(h, at+"/comment", url.Values{"command": {aCommand}, "text": {"It happened again."}})
	if sent.Code != http.StatusSeeOther || sent.Header().Get("Location") != at+"?after=77" {
		t.Errorf("%d to %s", sent.Code, sent.Header().Get("Location"))
	}
	if c := w.only(t); c.GetCommentTicket().GetText() != "It happened again." || c.GetAggregateId() != "SR-2026-0001" {
		t.Errorf("%v", c)
	}
	w.answers("comment_ticket", nil, refusal.Invalid("comment_ticket.text", "R11", "is too long"))
	page := sitetest.Post(h, at+"/comment", url.Values{"command": {aCommand}, "text": {"<again>"}})
	if page.Code != http.StatusBadRequest || !strings.Contains(page.Body.String(), "&lt;again&gt;</textarea>") {
		t.Errorf("%d %s", page.Code, plain(page.Body.String()))
	}
	wellMade(t, "a comment that is wrong", page.Body.String())
	// Of the provider's people only those of the support comment.
	hasNot(t, get(t, newWorld(erin).portal(t, sitetest.Lena()), "/provider/tickets/SR-2026-0001", http.StatusOK),
		"Your comment")
}

func TestR61ATicketIsClosedOnItsPageAndSaysWhoDidIt(t *testing.T) {
	w := newWorld(otto).answers("close_ticket", done, nil).answers("reopen_ticket", done, nil)
	h, at := w.portal(t, sitetest.Otto()), bank+"/tickets/SR-2026-0001"
	page := get(t, h, at, http.StatusOK)
	has(t, page, "Close this ticket…", "Closing it ends nothing else")
	typed := url.Values{"command": {aCommand}, "reason": {"It runs again."}}
	if sent := sitetest.Post(h, at+"/close", typed); sent.Code != http.StatusSeeOther {
		t.Errorf("%d", sent.Code)
	}
	if c := w.only(t); c.GetCloseTicket().GetReason() != "It runs again." || c.GetAggregateId() != "SR-2026-0001" {
		t.Errorf("%v", c)
	}
	closed := ticket()
	closed.ClosedAt, closed.ClosedBy = ago(time.Hour), lena
	w.Queries["get_ticket"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Ticket{Ticket: closed}}, nil
	}
	for language, want := range map[string]string{"en": "Closed by Lena Lang on Mon 3 Aug 2026, 08:30 UTC",
		"fr": "Clos par Lena Lang le lun. 3 août 2026", "ja": "クローズした人：Lena Lang"} {
		has(t, get(t, h, at+"?lang="+language, http.StatusOK), want)
	}
	if sent := sitetest.Post(h, at+"/reopen", typed); sent.Code != http.StatusSeeOther ||
		w.Done[1].GetReopenTicket() == nil {
		t.Errorf("%d, %v", sent.Code, w.Done)
	}
	w.answers("close_ticket", nil, refusal.Invalid("close_ticket.reason", "bad input", "is too long"))
	again := sitetest.Post(h, at+"/close", typed)
	if again.Code != http.StatusBadRequest || !strings.Contains(again.Body.String(), `id="reason-wrong"`) {
		t.Errorf("%d %s", again.Code, plain(again.Body.String()))
	}
	wellMade(t, "a reason that is wrong", again.Body.String())
}

// R61: whoever decides reads that access ends with the ticket, and that an approval gives none while it is closed.
func TestR61WhoeverApprovesReadsThatTheTicketIsClosed(t *testing.T) {
	r := pending()
	r.AccessEndsWithTicket = true
	w := newWorld(otto, r)
	h, path := w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump
	const warning = "This ticket is closed, so an approval now gives no access."
	page := get(t, h, path, http.StatusOK)
	has(t, page, "Access ends when this ticket is closed.")
	hasNot(t, page, warning)
	closed := ticket()
	closed.ClosedAt, closed.ClosedBy = ago(time.Hour), lena
	w.Queries["get_ticket"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Ticket{Ticket: closed}}, nil
	}
	for at, warns := range map[string]bool{"": true, "/approve": true, "/deny": false} {
		if page := plain(get(t, h, path+at, http.StatusOK)); strings.Contains(page, warning) != warns {
			t.Errorf("%s: %s", at, page)
		}
	}
	r.AccessEndsWithTicket = false
	hasNot(t, get(t, h, path, http.StatusOK), warning, "Access ends when this ticket is closed.")
}

// R61: a ticket of the provider's is never said to be the customer's, and neither is what rests on it.
func TestR61ATicketOfTheProviderIsNoSupportThatTheCustomerRequested(t *testing.T) {
	r := pending()
	r.TicketOfProvider = true
	for _, page := range []string{bank + "/requests/" + memoryDump, bank + "/requests/" + memoryDump + "/approve"} {
		for language, want := range map[string][3]string{
			"en": {"Support, on a ticket that Nimbus Cloud opened", "Support you requested", "Your ticket"},
			"fr": {"Assistance, pour un ticket ouvert par Nimbus Cloud", "Assistance que vous avez demandée",
				"Votre ticket"},
			"ja": {"Nimbus Cloud が作成したチケットによるサポート", "ご依頼いただいたサポート",
				"お客様のチケット"},
		} {
			got := get(t, newWorld(otto, r).portal(t, sitetest.Otto()), page+"?lang="+language, http.StatusOK)
			has(t, got, want[0])
			hasNot(t, got, want[1], want[2])
		}
	}
	ended := active()
	ended.Status = lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED
	ended.EndedAt, ended.EndReason, ended.TicketClosedBy = ago(time.Minute), "the ticket was closed", lena
	ended.CodedEndReason = &lockboxv1.Reason{Code: lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED}
	h, path := newWorld(otto, ended).portal(t, sitetest.Otto()), bank+"/requests/"+ended.GetRequestId()
	has(t, get(t, h, path, http.StatusOK),
		"The ticket was closed, and this access depends on an open ticket.", "The ticket was closed by Lena Lang")
}
