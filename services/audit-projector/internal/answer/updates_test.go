package answer_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// updates asks as a tool.
func (c *cast) updates(tool string, ask *lockboxv1.ListUpdates) *lockboxv1.UpdateList {
	c.t.Helper()
	data, err := proto.Marshal(ask)
	must(c.t, err)
	c.project()
	list, err := c.answerer.AnswerTool(c.t.Context(), bus.UpdatesSubject(tool), data)
	if (err != nil) != (list.GetRefusal() != nil) {
		c.t.Fatalf("reply %v, error %v", list.GetRefusal(), err)
	}
	return list
}

// R68: a tool is told what happened to the requests that it submitted, how they stood then, and of no others.
func TestAToolFollowsItsOwnRequests(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	first := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	c.story.Tool = "ticketing"
	other := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "b"))
	c.story.Command(c.actor("otto"), story.Approve(bank, first))
	denial := story.Deny(bank, other)
	c.story.Command(c.actor("otto"), denial)

	list := c.updates("console", &lockboxv1.ListUpdates{})
	var told []string
	for _, u := range list.GetUpdates() {
		told = append(told, strings.TrimPrefix(u.GetStatus().String(), "REQUEST_STATUS_")+" by "+u.GetEventType())
		if u.GetRequestId() != first || u.GetTenant() != bank || u.GetSequence() == 0 || u.GetTime() == nil {
			t.Errorf("%v", u)
		}
	}
	if want := []string{"SUBMITTED by AccessRequested", "SUBMITTED by AccessEvaluated",
		"CUSTOMER_NOTIFIED by CustomerNotified", "APPROVED by CustomerApproved",
		"ACTIVE by AccessGranted"}; !slices.Equal(told, want) {
		t.Errorf("told of %q", told)
	}
	if list.GetMore() || list.GetThrough() != c.store.Sequence() {
		t.Errorf("up to %d of %d, more %t", list.GetThrough(), c.store.Sequence(), list.GetMore())
	}
	asked, notified := list.GetUpdates()[1], list.GetUpdates()[2]
	due := c.story.States.Request(aggregate.Request(bank, first)).ExpiresAt()
	if !notified.GetDeadline().AsTime().Equal(due) ||
		asked.GetDeadline().AsTime().Sub(due).Abs() > time.Minute ||
		asked.GetNextStep() != lockboxv1.NextStep_NEXT_STEP_CUSTOMER_DECISION {
		t.Errorf("due %v: %v, %v", due, asked, notified)
	}
	theirs := c.updates("ticketing", &lockboxv1.ListUpdates{}).GetUpdates()
	if n := len(theirs); n != 4 || theirs[n-1].GetStatus() != request.Denied || theirs[n-1].GetDeadline() != nil ||
		strings.Contains(theirs[n-1].String(), denial.GetDeny().GetReason()) {
		t.Errorf("%v", theirs)
	}
	if none := c.updates("nobody", &lockboxv1.ListUpdates{}).GetUpdates(); len(none) > 0 {
		t.Errorf("%v", none)
	}

	// Page by page it is the same, and after the last there is nothing.
	var paged []*lockboxv1.ToolUpdate
	after := uint64(0)
	for more := true; more; {
		page := c.updates("console", &lockboxv1.ListUpdates{After: after, Limit: 2})
		if len(page.GetUpdates()) > 2 || page.GetThrough() <= after {
			t.Fatalf("%v", page)
		}
		paged, after, more = append(paged, page.GetUpdates()...), page.GetThrough(), page.GetMore()
	}
	if !slices.EqualFunc(paged, list.GetUpdates(), func(a, b *lockboxv1.ToolUpdate) bool { return proto.Equal(a, b) }) {
		t.Errorf("page by page: %v", paged)
	}
	if late := c.updates("console", &lockboxv1.ListUpdates{After: after + 7}); len(late.GetUpdates()) > 0 ||
		late.GetThrough() != after+7 || late.GetMore() {
		t.Errorf("%v", late)
	}
}

func TestAQuestionOfAToolThatIsWrong(t *testing.T) {
	c := newCast(t)
	if r := c.updates("console", &lockboxv1.ListUpdates{Limit: 1001}).GetRefusal(); r.GetField() != "limit" {
		t.Errorf("%v", r)
	}
	for _, subject := range []string{bus.UpdatesSubject("*"), bus.UpdatesSubject("a.b"), bus.QuerySubject("get_self")} {
		if _, err := c.answerer.AnswerTool(t.Context(), subject, nil); !refusal.Is(err, invalid) {
			t.Errorf("%s: %v", subject, err)
		}
	}
	_, err := c.answerer.AnswerTool(t.Context(), bus.UpdatesSubject("console"), []byte("x"))
	if !refusal.Is(err, invalid) {
		t.Errorf("%v", err)
	}
}
