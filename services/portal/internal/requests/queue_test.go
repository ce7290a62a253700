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
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Access that exists comes before what waits, with who allowed it and how to end it.
func TestTheFirstPageBeginsWithTheAccessThatExists(t *testing.T) {
	running, waived := active(), active()
	running.RequestId, waived.RequestId, waived.Allowed = "running", "waived", nil
	waived.Evaluation.Waiver = lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED
	waived.InternalDecisions = []*lockboxv1.Decision{{Actor: lena, Approved: true}}
	page := get(t, newWorld(otto, alone(), running, waived).portal(t, sitetest.Otto()), bank, http.StatusOK)
	text := plain(page)
	has(t, text, "Access that exists now Erin Ellis of Nimbus Cloud has access: a memory dump of payments-1 and payments-2 "+
		"Time left: 1 hour 50 minutes · Approved by Otto Owens", "You were not asked: Lena Lang of Nimbus Cloud approved it")
	if strings.Index(text, "Access that exists now") > strings.Index(text, "Waiting for your decision") {
		t.Error("what waits comes first")
	}
	for id, may := range map[string]bool{"running": true, "waived": false} {
		if strings.Contains(page, `href="/t/meadowbank/requests/`+id+`/revoke"`) != may {
			t.Errorf("%s can be revoked: want %t", id, may)
		}
	}
	released := active()
	released.Allowed = []string{"release"}
	page = get(t, newWorld(erin, released).portal(t, sitetest.Lena()), "/provider", http.StatusOK)
	has(t, page, "Access that exists now", "Meadow Bank", "Give access back…")
	has(t, get(t, newWorld(otto).portal(t, sitetest.Otto()), bank, http.StatusOK),
		"No access exists now, as far as you may see.",
		"Nothing waits for your decision.")
}

func TestAListOfWhatIsOpenGoesByDeadline(t *testing.T) {
	deadline := lockboxv1.RequestOrder_REQUEST_ORDER_DEADLINE
	for query, want := range map[string]lockboxv1.RequestOrder{
		"?status=pending": deadline, "?status=active&sort=deadline": deadline, "?status=pending&sort=newest": 0, "": 0,
		"?status=past&sort=deadline": 0,
	} {
		w := newWorld(otto, alone())
		get(t, w.portal(t, sitetest.Otto()), bank+"/requests"+query, http.StatusOK)
		for _, q := range w.Asked {
			if l := q.GetListRequests(); l.GetLimit() == 50 && l.GetOrder() != want {
				t.Errorf("%q is in the order %v, want %v", query, l.GetOrder(), want)
			}
		}
	}
}

func TestRequestsAreGroupedAndEachGroupLeadsToItsRequests(t *testing.T) {
	w := newWorld(otto, alone())
	w.Queries["group_requests"] = func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		of, groups := q.GetGroupRequests().GetOf(), &lockboxv1.RequestGroups{More: true}
		if of.GetEngineer() != "erin" || len(of.GetStatuses()) != 3 || of.GetOrder() != 0 {
			t.Errorf("of %v", of)
		}
		groups.Groups = []*lockboxv1.RequestGroup{{TicketId: "#7 & more", Count: 1203,
			NextDeadline: timestamppb.New(now.Add(time.Hour))},
			{Count: 2}}
		if q.GetGroupRequests().GetBy() == lockboxv1.RequestGrouping_REQUEST_GROUPING_ENGINEER {
			groups.Groups = []*lockboxv1.RequestGroup{{Requester: erin, Count: 4}}
		}
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Groups{Groups: groups}}, nil
	}
	page := get(t, w.portal(t, sitetest.Otto()), bank+"/requests?status=pending&engineer=erin&group=ticket", http.StatusOK)
	has(t, page, "#7 & more 1203 Time left: 1 hour", "No ticket 2 –", "There are more than are shown here.")
	if !strings.Contains(page,
		`href="/t/meadowbank/requests?engineer=erin&amp;status=pending&amp;ticket=%237&#43;%26&#43;more"`) {
		t.Error("a ticket does not lead to its requests")
	}
	page = get(t, w.portal(t, sitetest.Otto()), bank+"/requests?status=pending&engineer=erin&group=engineer",
		http.StatusOK)
	has(t, page, "Erin Ellis erin@nimbus.example 4")
	if !strings.Contains(page, `who=erin"`) {
		t.Error("an engineer does not lead to their requests")
	}
}

// many are three that Otto may deny.
func many() (list []*lockboxv1.RequestView) {
	for i, id := range []string{"one", "two", "three"} {
		v := alone()
		v.RequestId, v.Version = id, uint64(3+i)
		v.Intent.ResourceIds = []string{payments + id}
		list = append(list, v)
	}
	return list
}

// R28: several are denied with one reason, each by a command of its own on what was seen, and named before.
func TestSeveralAreDeniedAtOnce(t *testing.T) {
	w := newWorld(otto, append(many(), active())...)
	h := w.portal(t, sitetest.Otto())
	page := get(t, h, bank+"/requests?status=pending", http.StatusOK)
	if strings.Count(page, `type="checkbox" name="request"`) != 3 {
		t.Error("not each of them can be chosen")
	}
	has(t, page, "Deny all 3 on this page…")
	const at = bank + "/requests/deny"
	page = get(t, h, at+"?request=one&request=two&request=three&request="+memoryDump+"&request=gone&request=one",
		http.StatusOK)
	has(t, page, "You deny these 3 requests", "a memory dump of payments-one", "a memory dump of payments-three",
		"These you cannot deny, or not any more", "1 of the chosen requests was not found", "Deny 3 requests now")
	form := carried(t, page, at)
	if p := sitetest.Post(h, at, form); p.Code != http.StatusBadRequest || len(w.Done) > 0 {
		t.Errorf("without a reason: %d, %d commands", p.Code, len(w.Done))
	}
	w.Commands["deny"] = func(c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		switch c.GetAggregateId() {
		case "two":
			return nil, refusal.Conflict("seen_version", "R29", "it has changed")
		case "three":
			return nil, refusal.Unavailable("", "I11", "no answer")
		}
		return &lockboxv1.CommandReply{Sequence: 78}, nil
	}
	form.Set("reason", "Not during the audit.")
	p := sitetest.Post(h, at, form)
	if p.Code != http.StatusConflict || len(w.Done) != 3 {
		t.Fatalf("%d, %d commands", p.Code, len(w.Done))
	}
	has(t, p.Body.String(), "1 of 3 was denied.",
		"payments-two Not denied. The request has changed since you looked at it.",
		"payments-three Not denied. No answer in time", "payments-one Denied")
	if !strings.Contains(p.Body.String(), `href="/t/meadowbank/requests/deny?request=two&amp;request=three"`) {
		t.Error("what failed cannot be tried again")
	}
	first := map[string]string{}
	for i, c := range w.Done {
		if c.GetSeenVersion() != uint64(3+i) || c.GetDeny().GetReason() != "Not during the audit." || first[c.GetId()] != "" {
			t.Errorf("sent %v", c)
		}
		first[c.GetId()] = c.GetAggregateId()
	}
	sitetest.Post(h, at, form)
	for _, c := range w.Done[3:] {
		if first[c.GetId()] != c.GetAggregateId() {
			t.Errorf("sent twice, it is another command: %v", c)
		}
	}
}

// R28: nothing is approved like that, and the provider's people deny nothing.
func TestOnlyDenialsAreForMany(t *testing.T) {
	w := newWorld(otto, many()...)
	for _, path := range []string{bank + "/requests/approve", "/provider/requests/deny"} {
		form := url.Values{"request": {"one:3"}, "command": {anID7}, "reason": {"x"}}
		who := sitetest.Otto()
		if strings.HasPrefix(path, "/provider") {
			who = sitetest.Lena()
		}
		if p := sitetest.Post(w.portal(t, who), path, form); p.Code == http.StatusOK || len(w.Done) > 0 {
			t.Errorf("%s: %d, %d commands", path, p.Code, len(w.Done))
		}
	}
}
