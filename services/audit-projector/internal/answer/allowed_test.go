package answer_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// commands are those that may be about a request, ready to be given.
func (c *cast) commands(of, id string) []*lockboxv1.Command {
	list := []*lockboxv1.Command{
		{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}},
		{Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: "no"}}},
		{Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "why?"}}},
		{Action: &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: "enough"}}},
		{Action: &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{}}},
		{Action: &lockboxv1.Command_Release{Release: &lockboxv1.Release{}}},
		{Action: &lockboxv1.Command_InternalApprove{InternalApprove: &lockboxv1.InternalApprove{}}},
		{Action: &lockboxv1.Command_InternalRefuse{InternalRefuse: &lockboxv1.InternalRefuse{Reason: "no"}}},
	}
	for _, q := range c.story.States.Request(aggregate.Request(of, id)).Questions {
		list = append(list, &lockboxv1.Command{
			Action: &lockboxv1.Command_Answer{Answer: &lockboxv1.Answer{QuestionId: q.GetQuestionId(), Text: "because"}}})
	}
	for _, command := range list {
		command.Tenant, command.AggregateId = of, id
	}
	return list
}

func verbs(commands []*lockboxv1.Command) (list []string) {
	for _, c := range commands {
		list = append(list, bus.Verb(c))
	}
	return list
}

// What is shown as allowed is what the rules take, of everybody who sees a request, at every step of its life; and
// whoever does not see it is shown nothing.
func TestWhatIsAllowedIsWhatTheRulesTake(t *testing.T) {
	const asker, requester, officer = "otto", "erin", "olga"
	ask := func(c *cast, id string) {
		q := story.About(bank, id)
		q.Action = &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "Which first?"}}
		c.story.Command(c.actor(asker), q)
	}
	internally := func(c *cast, id string) { c.story.Command(c.actor("derek"), story.InternalApprove(bank, id)) }
	approve := func(c *cast, id string) { c.story.Command(c.actor(asker), story.Approve(bank, id)) }
	deny := func(c *cast, id string) { c.story.Command(c.actor(asker), story.Deny(bank, id)) }
	later := func(d time.Duration) func(*cast, string) {
		return func(c *cast, _ string) { c.story.Now = c.story.Now.Add(d) }
	}
	withdraw := func(c *cast, id string) {
		w := story.About(bank, id)
		w.Action = &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{}}
		c.story.Command(c.actor(requester), w)
	}
	demoted := func(c *cast, _ string) {
		c.story.Command(c.actor("grace"), &lockboxv1.Command{Tenant: bank, AggregateId: "prod",
			Action: &lockboxv1.Command_RemoveRole{
				RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "of-otto"},
			}})
	}
	for step, row := range map[string]struct {
		before []func(*cast, string)
		want   map[string]string // of whoever sees it
	}{
		"waits internally": {nil,
			map[string]string{requester: "withdraw", "derek": "internal_approve internal_refuse", asker: "", "grace": "",
				officer: ""}},
		"waits internally, past its time": {[]func(*cast, string){later(24 * time.Hour)},
			map[string]string{requester: "", "derek": "", asker: "", "grace": "", officer: ""}},
		"waits for the customer": {[]func(*cast, string){internally},
			map[string]string{requester: "withdraw", "derek": "", asker: "approve deny ask", "grace": "", officer: ""}},
		"its approver holds no role": {[]func(*cast, string){internally, demoted},
			map[string]string{requester: "withdraw", "derek": "", "grace": "", officer: ""}},
		"waits for an answer": {[]func(*cast, string){internally, ask},
			map[string]string{requester: "withdraw answer", "derek": "", asker: "approve deny ask", "grace": "", officer: ""}},
		"a nanosecond before the deadline": {[]func(*cast, string){internally, later(4*24*time.Hour - 1)},
			map[string]string{requester: "withdraw", "derek": "", asker: "approve deny ask", "grace": "", officer: ""}},
		"at the deadline": {[]func(*cast, string){internally, ask, later(4 * 24 * time.Hour)},
			map[string]string{requester: "", "derek": "", asker: "", "grace": "", officer: ""}},
		"access exists": {[]func(*cast, string){internally, approve},
			map[string]string{requester: "release", "derek": "", asker: "revoke", "grace": "revoke", officer: "revoke"}},
		"access is over": {[]func(*cast, string){internally, approve, later(8 * time.Hour)},
			map[string]string{requester: "", "derek": "", asker: "", "grace": "", officer: ""}},
		"denied": {[]func(*cast, string){internally, ask, deny},
			map[string]string{requester: "", "derek": "", asker: "", "grace": "", officer: ""}},
		"withdrawn": {[]func(*cast, string){withdraw},
			map[string]string{requester: "", "derek": "", asker: "", "grace": "", officer: ""}},
	} {
		t.Run(step, func(t *testing.T) {
			tell := func(c *cast) (id string) {
				c.assign("otto", "prod", owner, false)
				c.assign("audrey", tenantRole, auditor, false)
				id = c.story.Submit(c.actor(requester), story.Disk(bank, "prod", "a"))
				for _, f := range row.before {
					f(c, id)
				}
				return id
			}
			c := newCast(t)
			id := tell(c)
			for _, who := range []string{requester, "derek", asker, "grace", officer, "audrey", "sam", "fleur", "hana"} {
				v := c.query(who, getRequest(bank, id)).GetRequest()
				want, sees := row.want[who]
				if sees = sees || who == "audrey"; sees != (v != nil) || strings.Join(v.GetAllowed(), " ") != want {
					t.Errorf("%s: sees %v, allowed %v, want %q", who, v != nil, v.GetAllowed(), want)
				}
				for i, verb := range verbs(c.commands(bank, id)) { // each in the same story, told anew
					again := &cast{t: t, issuer: c.issuer}
					again.begin()
					command := again.commands(bank, tell(again))[i]
					told := len(again.story.Entries)
					taken := again.story.Try(again.actor(who), command) == nil && len(again.story.Entries) > told &&
						tenant.SamePerson(again.story.Entries[told].Event.GetActor().GetPerson(), again.actor(who).GetPerson())
					if shown := slices.Contains(v.GetAllowed(), verb); shown && !taken || v != nil && shown != taken {
						t.Errorf("%s: %s is shown as allowed: %v; taken: %v", who, verb, shown, taken)
					}
				}
			}
			for _, v := range c.query(asker, listRequests(bank, &lockboxv1.ListRequests{})).GetRequests().GetRequests() {
				if v.GetAllowed() != nil || v.GetDeliveries() != nil || v.GetTimeline() != nil {
					t.Errorf("listed with %v", v)
				}
			}
		})
	}
}

// R25: who would have to sign in again to decide is shown what there is to decide; nothing else would tell them to.
func TestWhoMustSignInAgainIsShownWhatTheyCouldDo(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	grace := c.actor("grace")
	grace.AuthenticatedAt = timestamppb.New(c.story.Now)
	c.story.Command(grace, &lockboxv1.Command{Tenant: bank,
		Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{
			Settings: &lockboxv1.TenantSettings{
				DefaultLanguage: "en", Fallback: lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS,
				MaxAuthenticationAge: durationpb.New(time.Minute),
			},
		}}})
	id := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	stale := c.actor("otto")
	stale.AuthenticatedAt = timestamppb.New(c.story.Now.Add(-time.Hour))
	if err := c.story.Try(stale, story.Approve(bank, id)); err == nil {
		t.Fatal("who signed in an hour ago decides")
	}
	if got := c.query("otto", getRequest(bank, id)).GetRequest().GetAllowed(); !slices.Equal(got,
		[]string{"approve", "deny", "ask"}) {
		t.Errorf("allowed: %v", got)
	}
	c.expectAwaiting("with a sign-in of nobody knows when", "otto", bank, id)
}
