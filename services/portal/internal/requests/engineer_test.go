package requests_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/proto"
)

// Whoever decides learns who asks: whose ticket it is, and how often they had access here before.
func TestTheRequestSaysWhoTheEngineerIs(t *testing.T) {
	asks, before, waits := pending(), active(), alone()
	before.RequestId, waits.RequestId = "before", "waits"
	before.Status = lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED
	w := newWorld(otto, asks, before, waits)
	path := bank + "/requests/" + memoryDump
	has(t, get(t, w.portal(t, sitetest.Otto()), path, http.StatusOK), "Your ticket Assigned to this engineer",
		"Earlier access to you Once Last: Mon 3 Aug 2026, 09:20 UTC", "Other open requests 1 request", "Reads only")

	w.Queries["get_ticket"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		v := ticket()
		v.Engineer = lena.GetPerson()
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Ticket{Ticket: v}}, nil
	}
	w.requests = w.requests[:1]
	page := get(t, w.portal(t, sitetest.Otto()), path, http.StatusOK)
	has(t, page, "Your ticket Assigned to Lena Lang, not to this engineer", "Earlier access to you None that you may see",
		"Other open requests None that you may see")
	if !strings.Contains(page, `<dd class="caution">`) {
		t.Error("it does not catch the eye")
	}

	// A ticket that the reader may not see, or that is another customer's of that name, is no word on it.
	w.Queries["get_ticket"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) { return nil, errNotThere }
	hasNot(t, get(t, w.portal(t, sitetest.Otto()), path, http.StatusOK), "Your ticket")
	w.Queries["get_ticket"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		v := ticket()
		v.Tenant = "sakura"
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Ticket{Ticket: v}}, nil
	}
	hasNot(t, get(t, w.portal(t, sitetest.Lena()), "/provider/requests/"+memoryDump, http.StatusOK), "Assigned to",
		"Earlier access")
}

func TestBadgesSayWhatShouldNotBeMissed(t *testing.T) {
	for want, change := range map[string]func(*lockboxv1.RequestView){
		"Reads only":           func(*lockboxv1.RequestView) {},
		"Makes changes":        func(v *lockboxv1.RequestView) { v.Evaluation.Facts.Changes = true },
		"Administrator rights": func(v *lockboxv1.RequestView) { v.Evaluation.Facts.Elevated = true },
		"Subcontractor":        func(v *lockboxv1.RequestView) { v.Requester.Employer = "Brightline Contractors" },
		"Emergency":            func(v *lockboxv1.RequestView) { v.Intent.Emergency = true },
	} {
		v := alone()
		v.Requester = proto.CloneOf(v.GetRequester())
		change(v)
		h := newWorld(otto, v).portal(t, sitetest.Otto())
		for _, path := range []string{"", "/approve", "/deny", "/approve/confirm?seen=3&duration=8h&resource=1&resource=2"} {
			page := get(t, h, bank+"/requests/"+memoryDump+path, http.StatusOK)
			if !strings.Contains(page, ">"+want+"</") {
				t.Errorf("%q does not say %s", path, want)
			}
		}
	}
}

// ticked are the choices that a page comes with.
var ticked = regexp.MustCompile(`name="([a-z]+)" value="([^"]+)" checked`)

// Fifty machines are one phrase, five names, and the others on demand; all of them are sent.
func TestManyResourcesAreCounted(t *testing.T) {
	v := alone()
	for i := 3; i <= 50; i++ {
		v.Intent.ResourceIds = append(v.Intent.ResourceIds, fmt.Sprint(payments, i))
	}
	w := newWorld(otto, v).answers("approve", done, nil)
	h, at := w.portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump
	for language, want := range map[string]string{"en": "a memory dump of 50 virtual machines in Production",
		"fr": "50 machines virtuelles dans Production", "ja": "Production の仮想マシン 50 台"} {
		has(t, get(t, h, at+"?lang="+language, http.StatusOK), want)
	}
	form := get(t, h, at+"/approve", http.StatusOK)
	has(t, form, "45 more")
	values := carried(t, form, at+"/approve/confirm")
	for _, m := range ticked.FindAllStringSubmatch(form, -1) {
		values.Add(m[1], m[2])
	}
	confirm := onward(t, h, at+"/approve/confirm", values)
	has(t, confirm, "50 virtual machines in Production", "45 more", "SR-2026-0001", "The payment service hangs",
		"Ends by itself on Mon 3 Aug 2026, 17:30 UTC at the latest, if you approve now.")
	if !strings.Contains(confirm, "<title>Approve this request: Erin Ellis of Nimbus Cloud asks for a memory dump ") {
		t.Error("the window's title does not say which request it is")
	}
	sitetest.Post(h, at+"/approve", carried(t, confirm, at+"/approve"))
	if ids := w.only(t).GetApprove().GetResourceIds(); len(ids) != 50 {
		t.Errorf("%d resources are allowed", len(ids))
	}
}

func TestTheEndIsSaidForTheLastApprovalAndForOthersAtTheLatest(t *testing.T) {
	v := pending()
	v.Lockbox.RequiredApprovals = 3
	h := newWorld(otto, v).portal(t, sitetest.Otto())
	page := get(t, h, bank+"/requests/"+memoryDump+"/approve/confirm?seen=6&duration=2h&resource=1&resource=2",
		http.StatusOK)
	has(t, page, "Ends by itself on Thu 6 Aug 2026, 15:50 UTC at the latest, however late the others approve.")
}
