package request_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What no service of ours would write, but whoever holds a service's key could: the fold does not believe it.
func TestTheFoldRefusesWhatNobodyDecided(t *testing.T) {
	empty := contoso
	submitted := func() *story.Story {
		s := contoso(owner(otto))
		play(t, s, asks(diskIntent())[:2]...)
		return s
	}
	unevaluated := func() *story.Story {
		s := contoso(owner(otto))
		play(t, s, asks(diskIntent())[0])
		return s
	}
	timed := func() *story.Story {
		s := unevaluated()
		play(t, s, row{0, box, evaluates(answering(2*day, 3*day, day)), is(request.Submitted)})
		return s
	}
	evaluated := func(within time.Duration) func(*story.Story, *lockboxv1.Event) {
		return fact(&lockboxv1.Event{
			Fact: &lockboxv1.Event_AccessEvaluated{AccessEvaluated: answering(within)}})
	}
	pending := func() *story.Story { return asked(t, contoso(owner(otto), owner(olga)), diskIntent()) }
	inside := func() *story.Story { return staged(t, customerDecides(stage(aggregate.SupportLeads, 1))) }
	running := func() *story.Story { return active(t) }
	const soon = time.Minute

	for name, c := range map[string]struct {
		from func() *story.Story
		at   time.Duration
		by   *lockboxv1.Actor
		says func(s *story.Story, e *lockboxv1.Event)
		rule string
	}{
		"requested by a customer (R5)": {func() *story.Story { return empty() }, 0, otto, requests(diskIntent()), "R5"},
		"requested by nobody (R5)": {func() *story.Story { return empty() }, 0, story.Provider(""),
			requests(diskIntent()), "R5"},
		"another tenant's intent": {func() *story.Story { return empty() }, 0, eve, func(s *story.Story, e *lockboxv1.Event) {
			requests(diskIntent())(s, e)
			e.Tenant = "fabrikam"
		}, "its own intent"},
		"another kind of aggregate": {func() *story.Story { return empty() }, 0, eve,
			func(s *story.Story, e *lockboxv1.Event) {
				requests(diskIntent())(s, e)
				e.Kind = "ticket"
			}, "another kind"},
		"requested twice": {submitted, soon, eve, requests(diskIntent()), "follows"},
		"another aggregate's fact": {submitted, soon, box,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_LockboxDisabled{}}), "another kind"},
		"no fact at all": {submitted, soon, box, fact(&lockboxv1.Event{}), "another kind"},
		"no time": {submitted, soon, box, func(_ *story.Story, e *lockboxv1.Event) { e.Time = nil },
			"time"},
		"a version left out": {submitted, soon, box, func(_ *story.Story, e *lockboxv1.Event) { e.Version++ },
			"1, 2, 3"},
		"evaluated twice": {submitted, soon, box,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessEvaluated{AccessEvaluated: customerDecides()}}), "once"},
		"granted before it was decided": {submitted, soon, box,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{}}), "follows"},
		"the tenant's people asked": {submitted, soon, box,
			notifies(func(n *lockboxv1.CustomerNotified) { n.Scope = lockboxv1.Scope_SCOPE_TENANT }), "R18"},
		"nobody has to approve": {submitted, soon, box,
			notifies(func(n *lockboxv1.CustomerNotified) { n.RequiredApprovals = 0 }), "R30"},
		"somebody of the provider asked": {submitted, soon, box,
			notifies(func(n *lockboxv1.CustomerNotified) { n.Approvers[0].Person = leo.GetPerson() }), "I10"},
		"the requester asked": {submitted, soon, box,
			notifies(func(n *lockboxv1.CustomerNotified) { n.Approvers[0].Person = eve.GetPerson() }), "I10"},
		"more time to answer than evaluated": {timed, soon, box,
			notifies(func(n *lockboxv1.CustomerNotified) { n.ExpiresAt.Seconds++ }), "R26"},
		"another reminder than evaluated": {timed, soon, box,
			notifies(func(n *lockboxv1.CustomerNotified) { n.RemindAt[0].Seconds-- }), "R33"},
		"no reminder": {timed, soon, box,
			notifies(func(n *lockboxv1.CustomerNotified) { n.RemindAt = nil }), "R33"},
		"31 days to answer": {unevaluated, soon, box, evaluated(31 * day), "R26"},
		"no time to answer": {unevaluated, soon, box, evaluated(0), "R26"},
		"put to the customer before it was evaluated": {unevaluated, soon, box,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerNotified{}}), "R17"},
		"another stage approved":      {inside, soon, leo, internally(1), "order"},
		"approved by another group":   {inside, soon, dana, internally(0), "R15"},
		"approved by the requester":   {inside, soon, story.Provider("eve", aggregate.SupportLeads), internally(0), "R15"},
		"approved when time was over": {inside, day, leo, internally(0), "R15"},
		"refused by another group": {inside, soon, dana,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_InternalApprovalRefused{}}), "R15"},
		"internally expired too early": {inside, day - 1, box,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_InternalApprovalExpired{}}), "R15"},
		"withdrawn by another": {pending, soon, fred,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_RequestWithdrawn{}}), "R32"},
		"expired too early": {pending, 4*day - 1, box,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_RequestExpired{}}), "R26"},
		"asked by somebody unasked": {pending, soon, lena, fact(&lockboxv1.Event{Fact: &lockboxv1.Event_QuestionAsked{}}),
			"R31"},
		"asked by the provider": {pending, soon, asProvider(otto),
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_QuestionAsked{}}), "I10"},
		"no question answered": {pending, soon, eve,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_QuestionAnswered{}}), "R31"},
		"reminded too early": {pending, 3*day - 1, box,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_ApprovalReminderDue{}}), "R33"},
		"reminded without end": {pending, 4*day - 1, box, fact(&lockboxv1.Event{Fact: &lockboxv1.Event_ApprovalReminderDue{
			ApprovalReminderDue: &lockboxv1.ApprovalReminderDue{Index: 2},
		}}), "R33"},
		"abandoned twice": {func() *story.Story {
			s := pending()
			play(t, s,
				row{1, gina, does(remove("otto", ofSubscription)), is(request.CustomerNotified)},
				row{1, gina, does(remove("olga", ofSubscription)), is(request.CustomerNotified)},
				row{1, box, owed(request.ReportUnavailable), is(request.CustomerNotified)},
			)
			return s
		}, soon, box, fact(&lockboxv1.Event{Fact: &lockboxv1.Event_ApproversUnavailable{}}), "R23"},
		"approved by somebody unasked": {pending, soon, lena, approves(func(*lockboxv1.CustomerApproved) {}), "R20"},
		"approved by the provider": {pending, soon, asProvider(otto), approves(func(*lockboxv1.CustomerApproved) {}),
			"I10"},
		"denied by somebody unasked": {pending, soon, lena, fact(&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerDenied{}}),
			"R20"},
		"approved at the deadline": {pending, 4 * day, otto, approves(func(*lockboxv1.CustomerApproved) {}), "R26"},
		"approved for longer": {pending, soon, otto,
			approves(func(a *lockboxv1.CustomerApproved) { a.Duration.Seconds++ }), "R27"},
		"approved for more": {pending, soon, otto,
			approves(func(a *lockboxv1.CustomerApproved) { a.ResourceIds = []string{disk("d")} }), "R27"},
		"approved twice by one person": {func() *story.Story {
			s := asked(t, contoso(owner(otto), owner(olga), demand(2)), diskIntent())
			play(t, s, row{1, otto, does(approve()), is(request.CustomerNotified)})
			return s
		}, soon, otto, approves(func(*lockboxv1.CustomerApproved) {}), "R30"},
		"approved twice by one human": {func() *story.Story {
			s := asked(t, contoso(owner(olga), owner(olgaAdmin), demand(2)), diskIntent())
			play(t, s, row{1, olgaOwner, does(approve()), is(request.CustomerNotified)})
			return s
		}, soon, olgaAdmin, approves(func(*lockboxv1.CustomerApproved) {}), "R51"},
		"approved internally by the requester's other account": {func() *story.Story {
			return emergencyWaits(t, rosaOncall, hurried())
		}, soon, rosaOfficer, internally(0), "R51"},
		"two internal stages approved by one human": {func() *story.Story {
			s := staged(t, customerDecides(stage(aggregate.SupportLeads, 1), stage(aggregate.DevOpsManagers, 1)))
			play(t, s, row{1, leoLead, does(internalApprove()), is(request.AwaitingInternalApproval)})
			return s
		}, soon, leoAdmin, internally(1), "R51"},
		"granted longer": {allowed(t), soon, box, grants(func(g *lockboxv1.AccessGranted) { g.EndsAt.Nanos++ }),
			"I4"},
		"granted from earlier on": {allowed(t), soon, box,
			grants(func(g *lockboxv1.AccessGranted) { g.StartsAt.Seconds--; g.EndsAt.Seconds-- }), "I4"},
		"granted more": {allowed(t), soon, box,
			grants(func(g *lockboxv1.AccessGranted) { g.ResourceIds = append(g.ResourceIds, disk("d")) }), "R27"},
		"granted on another basis": {allowed(t), soon, box,
			grants(func(g *lockboxv1.AccessGranted) { g.Waiver = noCustomerData }), "I1"},
		"granted for another type": {allowed(t), soon, box,
			grants(func(g *lockboxv1.AccessGranted) { g.ResourceType = "storage/accounts" }), "R49"},
		"granted for another scenario": {allowed(t), soon, box,
			grants(func(g *lockboxv1.AccessGranted) { g.Scenario = "write-disk" }), "R49"},
		"granted with elevated permission": {allowed(t), soon, box,
			grants(func(g *lockboxv1.AccessGranted) { g.Mode = lockboxv1.AccessMode_ACCESS_MODE_ELEVATED }), "R49"},
		"granted in no mode": {allowed(t), soon, box,
			grants(func(g *lockboxv1.AccessGranted) { g.Mode = lockboxv1.AccessMode_ACCESS_MODE_UNSPECIFIED }), "R49"},
		"given back by another": {running, soon, fred, fact(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessReleased{}}),
			"R32"},
		"given back when it ended": {running, 8 * time.Hour, eve,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessReleased{}}), "R27"},
		"revoked by an engineer": {running, soon, leo, fact(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessRevoked{}}),
			"R32"},
		"revoked when it ended": {running, 8 * time.Hour, otto,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessRevoked{}}), "R27"},
		"completed too early": {running, 8*time.Hour - 1, box,
			fact(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessCompleted{}}), "R27"},
		"denied after the approval": {running, soon, otto, fact(&lockboxv1.Event{Fact: &lockboxv1.Event_CustomerDenied{}}),
			"follows"},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.from()
			r := s.Request()
			e := r.Follow(c.by, "forged", start.Add(c.at))
			c.says(s, e)
			after := request.Evolve(r, uint64(len(s.Entries))+1, e)
			if after.Fault == nil || !said(after.Fault.Rule, c.rule) {
				t.Fatalf("fault %v, want %s", after.Fault, c.rule)
			}
			if looks(after) != looks(r) {
				t.Error("it changed the state")
			}
		})
	}
}

// fact is what the event says, whatever came before.
func fact(of *lockboxv1.Event) func(*story.Story, *lockboxv1.Event) {
	return func(_ *story.Story, e *lockboxv1.Event) { proto.Merge(e, of) }
}

func requests(in *lockboxv1.AccessIntent) func(*story.Story, *lockboxv1.Event) {
	return func(_ *story.Story, e *lockboxv1.Event) {
		e.Tenant, e.Kind, e.AggregateId = in.GetTenant(), "request", in.GetId()
		e.Fact = &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{Intent: in}}
	}
}

// only names these resources.
func only(ids ...string) func(*lockboxv1.AccessIntent) {
	return func(in *lockboxv1.AccessIntent) { in.ResourceIds = ids }
}

// An intent that the evaluator would never have stored is a fault, whoever wrote it.
//
// control: nist:AC-3
func TestTheFoldRefusesAnIntentThatNobodyWouldHaveAccepted(t *testing.T) {
	tooLong := strings.Repeat("x", 4001)
	for name, change := range map[string]func(in *lockboxv1.AccessIntent){
		"an id of another form":    func(in *lockboxv1.AccessIntent) { in.Id = strings.ToUpper(in.GetId()) },
		"a tenant that is none":    func(in *lockboxv1.AccessIntent) { in.Tenant = "C" },
		"no resource type":         func(in *lockboxv1.AccessIntent) { in.ResourceType = "" },
		"a long resource type":     func(in *lockboxv1.AccessIntent) { in.ResourceType = tooLong[:121] },
		"no scenario":              func(in *lockboxv1.AccessIntent) { in.Scenario = " " },
		"a short justification":    func(in *lockboxv1.AccessIntent) { in.Justification = "because   " },
		"a long justification":     func(in *lockboxv1.AccessIntent) { in.Justification = tooLong },
		"a long trace":             func(in *lockboxv1.AccessIntent) { in.TraceParent = tooLong[:129] },
		"no reason type":           func(in *lockboxv1.AccessIntent) { in.ReasonType = 0 },
		"an unknown reason type":   func(in *lockboxv1.AccessIntent) { in.ReasonType = 99 },
		"support without a ticket": func(in *lockboxv1.AccessIntent) { in.TicketId = "" },
		"a ticket that is none":    func(in *lockboxv1.AccessIntent) { in.TicketId = "T\n1" },
		"an emergency on request":  func(in *lockboxv1.AccessIntent) { in.Emergency = true },
		"a subscription that is none": func(in *lockboxv1.AccessIntent) {
			in.SubscriptionId, in.ResourceIds = "sub 1", []string{"/subscriptions/sub 1/disks/a"}
		},
		"no resource": func(in *lockboxv1.AccessIntent) { in.ResourceIds = nil },
		"51 resources": func(in *lockboxv1.AccessIntent) {
			in.ResourceIds = nil
			for i := range 51 {
				in.ResourceIds = append(in.ResourceIds, disk(strconv.Itoa(i)))
			}
		},
		"a resource twice":         only(disk("a"), disk("a")),
		"another's subscription":   only("/subscriptions/sub-2/disks/a"),
		"a subscription like it":   only("/subscriptions/sub-10/disks/a"),
		"the tenant":               only("/tenants/contoso/x"),
		"up and elsewhere":         only(disk("../../sub-2/disks/a")),
		"two slashes":              only(disk("/a")),
		"a long resource":          only(disk(tooLong[:1024])),
		"no second of access":      func(in *lockboxv1.AccessIntent) { in.Duration = seconds(time.Second - 1) },
		"less than none of access": func(in *lockboxv1.AccessIntent) { in.Duration = seconds(-time.Hour) },
	} {
		in := diskIntent()
		change(in)
		if refused := request.CheckIntent(in, request.DefaultTerms()); refused == nil {
			t.Errorf("%s: the evaluator accepts it", name)
		}
		forged := &lockboxv1.Event{Id: "x", Version: 1, Actor: eve, Time: timestamppb.New(start)}
		requests(in)(nil, forged)
		if s := request.Evolve(request.State{}, 9, forged); s.Fault == nil || s.Status != request.None {
			t.Errorf("%s: the fold believes it", name)
		}
	}
}

// Whatever some version accepts folds, whatever its terms are.
func TestTheFoldAcceptsWhatSomeVersionAccepted(t *testing.T) {
	for name, change := range map[string]func(in *lockboxv1.AccessIntent){
		"as it is":               func(*lockboxv1.AccessIntent) {},
		"an hour longer than 8":  func(in *lockboxv1.AccessIntent) { in.Duration = seconds(9 * time.Hour) },
		"a resource of 512":      only(disk(strings.Repeat("x", 480))),
		"a resource of 1024":     only(disk(strings.Repeat("é", 990))),
		"another case":           only(strings.ToUpper(disk("a"))),
		"the subscription":       only("/subscriptions/sub-1"),
		"a slash at the end":     only(disk("a/")),
		"words of a later table": func(in *lockboxv1.AccessIntent) { in.Justification = "\u2800 the machine does not boot" },
	} {
		in := diskIntent()
		change(in)
		e := &lockboxv1.Event{Id: "x", Version: 1, Actor: eve, Time: timestamppb.New(start)}
		requests(in)(nil, e)
		if s := request.Evolve(request.State{}, 9, e); s.Fault != nil {
			t.Errorf("%s: %s", name, s.Fault.Rule)
		}
	}
}

// forges is what the process itself would write, and then not quite.
func forges[F any](d request.Duty, of func(*lockboxv1.Event) F, change func(F)) func(*story.Story, *lockboxv1.Event) {
	return func(s *story.Story, e *lockboxv1.Event) {
		honest, err := s.At(e.GetTime().AsTime()).Perform(d)
		if err != nil || honest == nil {
			panic(err)
		}
		e.Fact = honest.GetFact()
		change(of(e))
	}
}

func notifies(change func(*lockboxv1.CustomerNotified)) func(*story.Story, *lockboxv1.Event) {
	return forges(request.Notify, (*lockboxv1.Event).GetCustomerNotified, change)
}

func grants(change func(*lockboxv1.AccessGranted)) func(*story.Story, *lockboxv1.Event) {
	return forges(request.Grant, (*lockboxv1.Event).GetAccessGranted, change)
}

func approves(change func(*lockboxv1.CustomerApproved)) func(*story.Story, *lockboxv1.Event) {
	return func(s *story.Story, e *lockboxv1.Event) {
		a := &lockboxv1.CustomerApproved{Duration: seconds(8 * time.Hour), ResourceIds: s.Request().Intent.GetResourceIds()}
		change(a)
		e.Fact = &lockboxv1.Event_CustomerApproved{CustomerApproved: a}
	}
}

func internally(stage uint32) func(*story.Story, *lockboxv1.Event) {
	return fact(&lockboxv1.Event{Fact: &lockboxv1.Event_InternalApprovalGiven{
		InternalApprovalGiven: &lockboxv1.InternalApprovalGiven{Stage: stage}}})
}

// allowed is a request that was approved and waits for its grant.
func allowed(t *testing.T) func() *story.Story {
	return func() *story.Story {
		s := asked(t, contoso(owner(otto)), diskIntent())
		play(t, s, row{0, otto, does(approve()), is(request.Approved)})
		return s
	}
}

func asProvider(a *lockboxv1.Actor) *lockboxv1.Actor {
	a = proto.CloneOf(a)
	a.Side = lockboxv1.Side_SIDE_PROVIDER
	return a
}

func TestNothingIsFoldedAfterAFault(t *testing.T) {
	s := asked(t, contoso(owner(otto)), diskIntent())
	r := s.Request()
	nonsense := r.Follow(box, "", start)
	nonsense.Fact = &lockboxv1.Event_AccessGranted{
		AccessGranted: &lockboxv1.AccessGranted{EndsAt: timestamppb.New(start.Add(day))}}
	faulty := request.Evolve(r, 100, nonsense)
	honest, err := s.At(start).Decide(otto, s.ID(), approve())
	if err != nil || honest == nil {
		t.Fatalf("%v, %v", honest, err)
	}
	after := request.Evolve(faulty, 101, honest)
	if after.Status != request.CustomerNotified || after.Fault.Sequence != 100 {
		t.Errorf("%s, fault %v", after.Status, after.Fault)
	}
}

func TestWhatHasEnded(t *testing.T) {
	ended := map[request.Status]bool{
		request.Completed: true, request.Released: true, request.Revoked: true, request.Refused: true,
		request.InternallyDenied: true,
		request.InternalExpired:  true, request.Denied: true, request.Expired: true, request.Withdrawn: true,
		request.Lapsed: true,
	}
	for n := range lockboxv1.RequestStatus_name {
		if s := request.Status(n); request.Ended(s) != ended[s] {
			t.Errorf("%s ended: %t", s, request.Ended(s))
		}
	}
}
