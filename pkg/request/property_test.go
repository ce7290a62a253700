package request_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/longtest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

// sequences is how many random histories each property is held on; -rapid.checks=N on the command line says otherwise.
var sequences = longtest.Count(3000)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", strconv.Itoa(sequences)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run()) // reads the command line
}

// Random commands by a random cast at random times, deadlines included: whatever happens, the invariants hold, a
// command repeated gives nothing, and no state that was ever read changes.
//
// control: nist:AC-3, soc2:CC6.2
func TestInvariantsHoldWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{Story: scene.Clone().At(start)}
		m.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"":            m.invariants,
			"time passes": m.timePasses,
			"submit":      m.submit,
			"evaluate":    m.evaluate,
			"duty":        m.duty,
			"duties":      m.duties,
			"decide":      m.decide,
			"decide ":     m.decide, // twice as often as the rest
			"two at once": m.twoAtOnce,
			"role":        m.role,
			"tenant":      m.tenant,
			"remember":    m.remember,
		})
		m.nothingChangedBehindOurBack(t)
	})
}

// machine is a story under random hands.
type machine struct {
	*story.Story
	checked int // how much of the history
	past    []memory
	worlds  []request.World
	roles   int
}

// memory is a state that somebody still holds, and what it looked like.
type memory struct {
	state request.State
	looks string
}

var (
	providers = []*lockboxv1.Actor{eve, eve, eve, fred, leoLead, leoAdmin, lisa, dana, sven, rosaOncall, rosaOfficer, ray}
	customers = []*lockboxv1.Actor{otto, otto, olgaOwner, olgaAdmin, lena, gina, mole}
	anybody   = slices.Concat(providers, customers, []*lockboxv1.Actor{box})
)

// scene is contoso with two Owners, a third who may become one, and a tenant Lockbox Approver.
var scene = contoso(owner(otto), owner(olga), owner(olgaAdmin), eligible(owner(lena)),
	story.Assign("olga-t", olga, approverRole, ofTenant))

// open plays the beginning that every request has, or not all of it.
func (m *machine) open(t *rapid.T) {
	n := rapid.IntRange(0, 4).Draw(t, "opening")
	if n > 0 && rapid.Bool().Draw(t, "more approvals") {
		m.Command(gina, demand(2))
	}
	for _, act := range []func(*rapid.T){m.submit, m.evaluate, m.duties, m.decide}[:n] {
		act(t)
	}
}

func pick[T any](t *rapid.T, from []T, what string) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(t, what)]
}

// invariants are those of pkg/REQUIREMENTS.md, held by the oracle that shares no code with what it checks.
func (m *machine) invariants(t *rapid.T) {
	if len(m.Entries) == m.checked {
		return
	}
	m.checked = len(m.Entries)
	if broken := invariant.Check(m.History()); len(broken) > 0 {
		t.Fatalf("%v", broken)
	}
}

// record takes what a decision came to, and holds that the same decision again comes to nothing.
func (m *machine) record(t *rapid.T, decide func() (*lockboxv1.Event, error)) {
	e, err := decide()
	if err != nil {
		if _, typed := refusal.As(err); !typed || e != nil {
			t.Fatalf("refused by %v with %v", err, e)
		}
		return
	}
	if e != nil {
		m.Record(e)
	}
	if again, err := decide(); err != nil || again != nil {
		t.Fatalf("the same again gives %v, %v", again, err)
	}
}

func (m *machine) timePasses(t *rapid.T) {
	by := pick(t, []time.Duration{1, time.Second, time.Hour, 4 * time.Hour, day}, "by")
	if exact := rapid.Bool().Draw(t, "to an instant"); exact {
		at := pick(t, m.instants(), "which").Add(pick(t, []time.Duration{-1, 0, 1}, "offset"))
		by = at.Sub(m.Now)
	}
	if by > 0 {
		m.Now = m.Now.Add(by)
	}
	if by > time.Second {
		m.worlds = nil // nobody decides on what was read so long ago
	}
}

// instants are those at which something changes by itself.
func (m *machine) instants() []time.Time {
	at := []time.Time{m.Now}
	if due, ok := request.NextDue(m.Request()); ok {
		at = append(at, due)
	}
	if end := m.Request().ExpiresAt(); !end.IsZero() {
		at = append(at, end)
	}
	for _, a := range slices.Concat(m.States.Subscription(story.Tenant, story.Subscription).Roles.All(),
		m.States.Tenant(story.Tenant).Roles.All()) {
		if end := a.ActiveUntil(); !end.IsZero() {
			at = append(at, end)
		}
	}
	return at
}

func (m *machine) submit(t *rapid.T) {
	in := diskIntent()
	if rapid.IntRange(0, 3).Draw(t, "reach") == 0 {
		in = tenantIntent()
	}
	by := pick(t, providers, "who")
	if rapid.IntRange(0, 5).Draw(t, "hurry") == 0 {
		hurry := emergencyIntent()
		in.Emergency, in.ReasonType, in.TicketId = true, hurry.GetReasonType(), ""
		by = pick(t, []*lockboxv1.Actor{rosaOncall, rosaOncall, ray, eve}, "responder")
	}
	if rapid.Bool().Draw(t, "short") {
		in.Duration = durationpb.New(time.Hour)
	}
	m.record(t, func() (*lockboxv1.Event, error) { return submits(in)(m.Story, by, "") })
}

func (m *machine) evaluate(t *rapid.T) {
	var stages []*lockboxv1.InternalStage
	for _, group := range []string{aggregate.SupportLeads, aggregate.DevOpsManagers} {
		if n := rapid.IntRange(-4, 2).Draw(t, group); n > 0 {
			stages = append(stages, stage(group, uint32(n)))
			if rapid.Bool().Draw(t, "own time") {
				within(pick(t, []time.Duration{1, time.Hour, 4 * time.Hour, 2 * day}, "within"), stages[len(stages)-1])
			}
		}
	}
	v := customerDecides(stages...)
	if rapid.Bool().Draw(t, "records the time to answer") {
		v.CustomerAnswerWithin = durationpb.New(pick(t, []time.Duration{time.Hour, 2 * day, 4 * day}, "to answer"))
		v.CustomerRemindBefore = m.Terms.Reminders()
	}
	switch rapid.IntRange(0, 19).Draw(t, "outcome") {
	case 19:
		v = &lockboxv1.AccessEvaluated{Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED}
	case 17, 18:
		v = waived(pick(t, []lockboxv1.Waiver{noCustomerData, preview, notEnabled, emergency, 99}, "waiver"), stages...)
	}
	if m.Request().Intent.GetEmergency() && rapid.IntRange(0, 3).Draw(t, "as asked") > 0 {
		stages = append(stages, stage(aggregate.SecurityOfficers, 1))
		v = hurried(stages[:len(stages)-1]...)
	}
	if v.Facts != nil && rapid.IntRange(0, 3).Draw(t, "weighed") == 0 {
		v.Facts.Emergency = !v.Facts.GetEmergency()
	}
	if len(stages) > 0 {
		v.InternalExpiresAt = timestamppb.New(m.Now.Add(day))
		reminding(v, pick(t, [][]time.Duration{nil, {4 * time.Hour, time.Hour}, {2 * day, 1}}, "reminders")...)
	}
	if in := m.Request().Intent; in.GetDuration() != nil {
		v.Duration = in.GetDuration()
	}
	m.record(t, func() (*lockboxv1.Event, error) { return evaluates(v)(m.Story, box, "") })
}

// duty performs one, whether it is owed or not.
func (m *machine) duty(t *rapid.T) {
	d := request.Duty(rapid.IntRange(int(request.Notify), int(request.ReportUnavailable)).Draw(t, "duty"))
	m.record(t, func() (*lockboxv1.Event, error) { return m.Perform(d) })
}

// duties performs what is owed until nothing is, as the process does after a crash.
func (m *machine) duties(t *rapid.T) {
	owed := func() request.Duty {
		d, err := request.Owed(m.Request(), m.World(), m.Now)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	n := 0
	for d := owed(); d != request.Nothing; d = owed() {
		if n++; n > 10 {
			t.Fatalf("still owed: %d", d)
		}
		before := len(m.Entries)
		m.record(t, func() (*lockboxv1.Event, error) { return m.Perform(d) })
		if len(m.Entries) == before {
			t.Fatalf("duty %d is owed and cannot be performed", d)
		}
		if request.Settled(m.Request()) && owed() != request.Nothing {
			t.Fatalf("settled, and yet duty %d is owed", owed())
		}
	}
}

// move is what some people often do.
type move struct {
	verbs string
	who   []*lockboxv1.Actor
}

// fitting are the moves that can change something where the request stands.
var fitting = map[request.Status][]move{
	request.AwaitingInternalApproval: {
		{"iiiiir", []*lockboxv1.Actor{leoLead, leoAdmin, lisa, dana, eve, sven, rosaOfficer, ray}},
	},
	request.CustomerNotified: {
		{"aaaaand?", []*lockboxv1.Actor{otto, otto, olgaOwner, olgaAdmin, lena, gina}},
		{"aaaaand?", []*lockboxv1.Actor{otto, otto, olgaOwner, olgaAdmin, lena, gina}},
		{"kkkw", []*lockboxv1.Actor{eve}},
	},
	request.Active: {{"l", []*lockboxv1.Actor{eve, rosaOncall}}, {"v", []*lockboxv1.Actor{otto, olgaOwner, gina, sven}}},
}

// command is anything from anybody, but more often than not something that can change where the request stands.
func (m *machine) command(t *rapid.T) (*lockboxv1.Actor, *lockboxv1.Command) {
	does := move{"anwlvird?k", anybody}
	if fits, ok := fitting[m.Request().Status]; ok && rapid.IntRange(0, 2).Draw(t, "fits") > 0 {
		does = pick(t, fits, "move")
	}
	by, c := pick(t, does.who, "who"), m.verb(t, pick(t, []byte(does.verbs), "verb"))
	if m.Request().Version > 0 && rapid.IntRange(0, 7).Draw(t, "careful") == 0 {
		c.SeenVersion = rapid.Uint64Range(1, m.Request().Version).Draw(t, "seen")
	}
	return by, c
}

func (m *machine) verb(t *rapid.T, verb byte) *lockboxv1.Command {
	switch verb {
	case 'a':
		return approve()
	case 'n': // approve, but less, or more
		d := pick(t, []time.Duration{0, 1, time.Hour, 8 * time.Hour, 9 * time.Hour, -1}, "for")
		of := [][]string{nil, {disk("a")}, {disk("b"), disk("c")}, {disk("c"), disk("b"), disk("a")}, {disk("a"), disk("a")},
			{disk("d")}, {strings.ToUpper(disk("a")), disk("b") + "/"}, {disk("a"), disk("A")}}
		return approveFor(d, pick(t, of, "of")...)
	case 'd':
		return deny("no")
	case 'w':
		return withdraw()
	case 'l':
		return release()
	case 'v':
		return revoke("enough")
	case 'i':
		return internalApprove()
	case 'r':
		return internalRefuse("no")
	case '?':
		return ask("why?")
	}
	a := &lockboxv1.Answer{Text: "because"}
	if q := m.Request().Questions; len(q) > 0 {
		a.QuestionId = pick(t, q, "question").GetQuestionId()
	}
	return &lockboxv1.Command{Action: &lockboxv1.Command_Answer{Answer: a}}
}

// decide gives one command, now and then on a world that has moved on since.
func (m *machine) decide(t *rapid.T) {
	by, c := m.command(t)
	command, w := m.Given(by, m.ID(), c), m.World()
	if len(m.worlds) > 0 && rapid.IntRange(0, 9).Draw(t, "stale") == 0 {
		w = pick(t, m.worlds, "world")
	}
	m.record(t, func() (*lockboxv1.Event, error) {
		e, _, err := request.Decide(m.Request(), command, w, m.Now)
		return e, err
	})
}

// twoAtOnce has two people decide on the same state: whoever is second cannot be stored, and must decide anew.
func (m *machine) twoAtOnce(t *rapid.T) {
	byA, a := m.command(t)
	byB, b := m.command(t)
	idA, idB := m.ID(), m.ID()
	late, err := m.Decide(byB, idB, b)
	m.record(t, func() (*lockboxv1.Event, error) { return m.Decide(byA, idA, a) })
	first := len(m.Entries) > m.checked
	if err == nil && late != nil && first {
		before := looks(m.Request())
		after := request.Evolve(m.Request(), uint64(len(m.Entries))+1, late)
		if after.Fault == nil || looks(after) != before {
			t.Fatalf("two decisions of version %d are true", late.GetVersion())
		}
	}
	m.record(t, func() (*lockboxv1.Event, error) { return m.Decide(byB, idB, b) })
}

func (m *machine) role(t *rapid.T) {
	m.roles++
	place, roles := ofSubscription, m.States.Subscription(story.Tenant, story.Subscription).Roles.All()
	if rapid.IntRange(0, 2).Draw(t, "where") == 0 {
		place, roles = ofTenant, m.States.Tenant(story.Tenant).Roles.All()
	}
	by, id := gina, "nobody's"
	if len(roles) > 0 {
		id = pick(t, roles, "which").GetId()
	}
	in := m.Now.Add(pick(t, []time.Duration{1, time.Hour, day}, "until"))
	var c *lockboxv1.Command
	switch rapid.IntRange(0, 5).Draw(t, "role command") {
	case 0:
		c = m.assignment(t, place, in)
	case 1, 2:
		by = lena
		c = &lockboxv1.Command{Action: &lockboxv1.Command_ActivateRole{ActivateRole: &lockboxv1.ActivateRole{AssignmentId: id,
			Until: timestamppb.New(in)}}}
	case 3:
		by = lena
		c = &lockboxv1.Command{Action: &lockboxv1.Command_DeactivateRole{
			DeactivateRole: &lockboxv1.DeactivateRole{AssignmentId: id}}}
	default:
		c = remove(id, place)
	}
	if place != ofTenant {
		c.AggregateId = story.Subscription
	}
	m.worlds = append(m.worlds, m.World())
	command := m.ID()
	m.record(t, func() (*lockboxv1.Event, error) { return m.Decide(by, command, c) })
	m.record(t, func() (*lockboxv1.Event, error) { return m.Perform(request.ReportUnavailable) })
}

// assignment is a new one, of any kind that there is in this place.
func (m *machine) assignment(t *rapid.T, place lockboxv1.AssignmentScope, end time.Time) *lockboxv1.Command {
	role := pick(t, []lockboxv1.Role{ownerRole, approverRole}, "role")
	if place == ofTenant {
		role = pick(t, []lockboxv1.Role{administrator, approverRole, auditor}, "role")
	} else if rapid.IntRange(0, 4).Draw(t, "inherited") == 0 {
		place = ofManagementGroup
	}
	to := pick(t, []*lockboxv1.Actor{otto, olga, olgaAdmin, lena}, "to")
	c := story.Assign(fmt.Sprint("r", m.roles), to, role, place)
	c.GetAssignRole().GetAssignment().EligibleOnly = rapid.Bool().Draw(t, "eligible")
	if rapid.Bool().Draw(t, "ends") {
		c.GetAssignRole().GetAssignment().ExpiresAt = timestamppb.New(end)
	}
	return c
}

func (m *machine) tenant(t *rapid.T) {
	c := enable
	switch rapid.IntRange(0, 7).Draw(t, "tenant command") {
	case 1:
		c = disable
	case 2:
		c = signUp
	case 3:
		c = set(&lockboxv1.TenantSettings{Fallback: lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS})
	case 4, 5, 6:
		c = demand(uint32(rapid.IntRange(1, 3).Draw(t, "approvals")))
	}
	by, id := pick(t, []*lockboxv1.Actor{gina, gina, otto, eve}, "who"), m.ID()
	m.worlds = append(m.worlds, m.World())
	m.record(t, func() (*lockboxv1.Event, error) { return m.Decide(by, id, c) })
}

// remember keeps the state of now, and lets another future begin from it.
func (m *machine) remember(t *rapid.T) {
	m.past = append(m.past, memory{m.Request(), looks(m.Request())})
	from := pick(t, m.past, "from").state
	by, c := m.command(t)
	e, after, err := request.Decide(from, m.Given(by, m.ID(), c), m.World(), m.Now)
	if err != nil || e == nil {
		return
	}
	stored := uint64(len(m.Entries)) + 1 + rapid.Uint64Range(0, 9).Draw(t, "meanwhile")
	after.Stored(stored)
	if folded := request.Evolve(from, stored, e); !reflect.DeepEqual(folded, after) {
		t.Fatalf("the fold gives %+v, the decision %+v", folded, after)
	}
}

func (m *machine) nothingChangedBehindOurBack(t *rapid.T) {
	var again request.State
	for _, r := range m.History() {
		if r.Event.GetKind() == "request" {
			again = request.Evolve(again, r.Sequence, proto.CloneOf(r.Event))
		}
	}
	m.past = append(m.past, memory{m.Request(), looks(again)})
	for _, p := range m.past {
		if looks(p.state) != p.looks {
			t.Fatalf("a state of version %d was changed after it was read", p.state.Version)
		}
	}
}

// looks is everything of a state that can be seen, but for its fault.
func looks(s request.State) string {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&lockboxv1.RequestView{
		RequestId: s.ID, Tenant: s.Tenant, Status: s.Status, Version: s.Version, Intent: s.Intent, Requester: s.Requester,
		Evaluation: s.Evaluation, Lockbox: s.Notified, InternalDecisions: s.InternalDecisions,
		CustomerDecisions: s.CustomerDecisions,
		Questions:         s.Questions, Grant: s.Grant, EndReason: s.EndReason,
	})
	if err != nil {
		panic(err)
	}
	return fmt.Sprint(string(data), s.Sequence, s.Kind, s.Reminders, s.StageSince, s.Abandoned, s.RequestedAt,
		s.NotifiedAt, s.GrantedAt, s.EndedAt, s.EndedBy.GetPerson().GetSubject())
}
