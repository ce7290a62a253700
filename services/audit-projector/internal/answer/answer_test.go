package answer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/answer"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestTokensThatAreNotTrusted(t *testing.T) {
	p := newPlace(t)
	other, err := devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir()}) // the same names and addresses, other keys
	must(t, err)
	mint := func(i *devissuer.Issuer, who string, at time.Time) string {
		token, err := i.Token(who, at)
		must(t, err)
		return token
	}
	good := mint(p.issuer, "grace", p.story.Now)
	for name, token := range map[string]string{
		"none": "", "nonsense": "a.b.c", "expired": mint(p.issuer, "grace", p.story.Now.Add(-devissuer.Lifetime)),
		"forged, the customer's": mint(other, "grace", p.story.Now),
		"forged, the provider's": mint(other, "olga", p.story.Now),
		"changed":                good[:len(good)-4] + "AAAA", "without signature": good[:strings.LastIndex(good, ".")+1],
	} {
		for _, tenant := range []string{bank, health, "nowhere", ""} {
			for what, q := range p.questions(tenant) {
				q.Token = token
				data, err := proto.Marshal(q)
				must(t, err)
				reply := p.send(bus.QuerySubject(bus.QueryName(q)), data)
				if reply.GetRefusal().GetCode() != unauthenticated || reply.GetRefusal().GetField() != "token" {
					t.Errorf("%s, %s of %q: %v", name, what, tenant, reply)
				}
			}
		}
	}
}

func TestQueriesThatAreWrong(t *testing.T) {
	p := newPlace(t)
	signed := func(q *lockboxv1.Query) []byte {
		token, err := p.issuer.Token("grace", p.story.Now)
		must(t, err)
		q.Token = token
		data, err := proto.Marshal(q)
		must(t, err)
		return data
	}
	requests := bus.QuerySubject("list_requests")
	whole := signed(listRequests(bank, &lockboxv1.ListRequests{}))
	for name, row := range map[string]struct {
		subject string
		data    []byte
		field   string
	}{
		"empty":     {requests, nil, "ask"},
		"truncated": {requests, whole[:10], "message"},
		"too large": {requests, append(slices.Clone(whole), make([]byte, 64<<10)...), "message"},
		"an unknown field": {requests, protowire.AppendVarint(protowire.AppendTag(slices.Clone(whole), 999,
			protowire.VarintType), 1), "message"},
		"another subject":        {bus.QuerySubject("list_activity"), whole, "ask"},
		"a tenant of stars":      {requests, signed(listRequests("*", &lockboxv1.ListRequests{})), "tenant"},
		"a tenant with a dot":    {requests, signed(listRequests("meadow.bank", &lockboxv1.ListRequests{})), "tenant"},
		"an invisible character": {requests, signed(listRequests("meadow\u200bbank", &lockboxv1.ListRequests{})), "tenant"},
		"too many at once": {requests, signed(listRequests(bank, &lockboxv1.ListRequests{Limit: 1001})),
			"list_requests.limit"},
		"no such status": {requests, signed(listRequests(bank,
			&lockboxv1.ListRequests{Statuses: []lockboxv1.RequestStatus{99}})), "list_requests.statuses"},
		"the status of nothing": {requests, signed(listRequests(bank,
			&lockboxv1.ListRequests{Statuses: []lockboxv1.RequestStatus{0}})), "list_requests.statuses"},
		"a made-up page": {requests, signed(listRequests(bank, &lockboxv1.ListRequests{PageToken: "next"})),
			"list_requests.page_token"},
		"a page below zero": {requests, signed(listRequests(bank, &lockboxv1.ListRequests{PageToken: "Af__________"})),
			"list_requests.page_token"},
		"a subscription of stars": {requests, signed(listRequests(bank, &lockboxv1.ListRequests{SubscriptionId: "*"})),
			"list_requests.subscription_id"},
		"a ticket of a name that is too long": {requests, signed(listRequests(bank, &lockboxv1.ListRequests{
			TicketId: strings.Repeat("T", 201)})),
			"list_requests.ticket_id"},
		"a request of quotes": {bus.QuerySubject("get_request"), signed(getRequest(bank, "' OR 1=1")),
			"get_request.request_id"},
		"a ticket of nothing": {bus.QuerySubject("get_ticket"), signed(getTicket(bank, "")), "get_ticket.ticket_id"},
		"no such action": {bus.QuerySubject("list_activity"),
			signed(listActivity(bank, &lockboxv1.ListActivity{Actions: []string{"Approve Everything"}})),
			"list_activity.actions"},
		"no such time": {bus.QuerySubject("list_activity"),
			signed(listActivity(bank, &lockboxv1.ListActivity{Since: &timestamppb.Timestamp{Seconds: 1 << 60}})),
			"list_activity.since"},
		"a person of two lines": {bus.QuerySubject("list_activity"),
			signed(listActivity(bank, &lockboxv1.ListActivity{Person: "a\nb"})), "list_activity.person"},
		"a long resource": {bus.QuerySubject("list_activity"),
			signed(listActivity(bank, &lockboxv1.ListActivity{Resource: strings.Repeat("x", 1026)})), "list_activity.resource"},
		"a preview of stars": {bus.QuerySubject("preview_approvers"), signed(preview(bank, ">")),
			"preview_approvers.subscription_id"},
		"a list of tickets": {bus.QuerySubject("list_tickets"),
			signed(&lockboxv1.Query{Tenant: bank,
				Ask: &lockboxv1.Query_ListTickets{ListTickets: &lockboxv1.ListTickets{Limit: 5000}}}), "list_tickets.limit"},
	} {
		if got := p.send(row.subject, row.data).GetRefusal(); got.GetCode() != invalid || got.GetField() != row.field {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What somebody types is a value, whatever it looks like.
func TestFiltersAreNeverRead(t *testing.T) {
	p := newPlace(t)
	for _, s := range []string{"'; DROP TABLE events; --", "%", "_", "*", "\" OR \"1\"=\"1", "\\"} {
		for name, ask := range map[string]*lockboxv1.ListActivity{
			"person": {Person: s}, "resource": {Resource: s}, "request": {RequestId: s}, "subscription": {SubscriptionId: s},
		} {
			reply := p.query("grace", listActivity(bank, ask))
			if reply.GetRefusal() != nil || len(reply.GetActivity().GetActivities()) > 0 {
				t.Errorf("%s %s: %v", name, s, reply)
			}
		}
	}
}

// R39: by the activity log's names in any case, or the facts' own.
func TestActionsByEitherName(t *testing.T) {
	p := newPlace(t)
	for _, action := range []string{"Deny Lockbox Request", "deny lockbox request", "CustomerDenied"} {
		list := p.query("grace", listActivity(bank,
			&lockboxv1.ListActivity{Actions: []string{action}})).GetActivity().GetActivities()
		if len(list) != 1 || list[0].GetEntry().GetAction() != "Deny Lockbox Request" ||
			list[0].GetEvent().GetCustomerDenied() == nil || list[0].GetRequestId() != p.test[bank] ||
			list[0].GetRequester().GetPerson().GetSubject() == "" || len(list[0].GetRequestedResourceIds()) == 0 {
			t.Errorf("%s: %v", action, list)
		}
	}
}

// Whoever waits for what will never come takes the place of somebody who could be answered. Without a good token next
// to nobody does.
func TestStrangersDoNotKeepOthersFromBeingAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCast(t)
		c.project()
		good, err := c.issuer.Token("grace", c.story.Now)
		must(t, err)
		waits := func(token string, n int) (atOnce int) {
			begun := time.Now()
			var mu sync.Mutex
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					q := getSelf(bank)
					q.Token, q.MinSequence = token, 1<<40
					data, err := proto.Marshal(q)
					must(t, err)
					reply, _ := c.answerer.Answer(t.Context(), bus.QuerySubject("get_self"), data)
					if reply.GetRefusal().GetCode() != unavailable {
						t.Errorf("%v", reply)
					}
					mu.Lock()
					defer mu.Unlock()
					if time.Since(begun) < answer.Patience {
						atOnce++
					}
				})
			}
			all.Wait()
			return n - atOnce
		}
		if got := waits(good[:len(good)-8]+"AAAAAAAA", 300); got > 8 {
			t.Errorf("%d wait whom nobody knows", got)
		}
		if got := waits(good, 300); got < 100 || got > 128 {
			t.Errorf("%d wait at once", got)
		}
		if got := waits(good, 5); got != 5 {
			t.Errorf("only %d of 5 wait after that", got)
		}
	})
}

func TestPeopleReadTheirOwnWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCast(t)
		c.project()
		token, err := c.issuer.Token("grace", c.story.Now)
		must(t, err)
		ask := func(ctx context.Context, sequence uint64) (*lockboxv1.QueryReply, error) {
			q := listRequests(bank, &lockboxv1.ListRequests{})
			q.Token, q.MinSequence = token, sequence
			data, err := proto.Marshal(q)
			must(t, err)
			return c.answerer.Answer(ctx, bus.QuerySubject("list_requests"), data)
		}
		written := make(chan *lockboxv1.QueryReply)
		next := uint64(len(c.story.Entries) + 3)
		go func() {
			reply, _ := ask(t.Context(), next)
			written <- reply
		}()
		synctest.Wait()
		c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
		c.project()
		if reply := <-written; len(reply.GetRequests().GetRequests()) != 1 || reply.GetSequence() != next {
			t.Errorf("answered %v", reply)
		}

		begun := time.Now()
		_, err = ask(t.Context(), next+1)
		if r, _ := refusal.As(err); r.GetCode() != unavailable || r.GetField() != "min_sequence" {
			t.Errorf("what never comes: %v", err)
		}
		if waited := time.Since(begun); waited != answer.Patience {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestNobodyIsAnsweredByAWrongClock(t *testing.T) {
	p := newPlace(t)
	p.answerer.Healthy = func() error { return refusal.Unavailable("", "I11", "the clock is off") }
	if got := p.query("grace", getTenant(bank)).GetRefusal(); got.GetCode() != unavailable {
		t.Error(got)
	}
}

// What fails inside is not told.
func TestInnerFailuresAreNotTold(t *testing.T) {
	p := newPlace(t)
	p.answerer.Healthy = func() error { return errors.New("disk /dev/secret on fire") }
	p.project()
	reply, err := p.answerer.Answer(t.Context(), "", nil)
	if err == nil || reply.GetRefusal().GetCode() != unavailable ||
		strings.Contains(reply.GetRefusal().GetMessage(), "secret") {
		t.Errorf("%v, %v", reply, err)
	}
}

// I11: whose roles are unknown sees nothing.
func TestATenantWhoseHistoryIsWrong(t *testing.T) {
	c := newCast(t)
	e := proto.CloneOf(c.story.Entries[0].Event)
	for _, entry := range c.story.Entries {
		if entry.Event.GetTenant() == bank && entry.Event.GetKind() == "tenant" {
			e = proto.CloneOf(entry.Event)
		}
	}
	e.Version += 2
	c.story.Write(e)
	if got := c.query("grace", getTenant(bank)).GetRefusal(); got.GetCode() != unavailable {
		t.Errorf("its administrator: %v", got)
	}
	if got := c.query("hana", getTenant(bank)).GetRefusal(); got.GetCode() != notFound {
		t.Errorf("another tenant's: %v", got)
	}
}
