package erasure_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/erasure"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	contoso = "contoso"
	id      = "019cadc7-9c00-7000-8000-000000002101"
)

// The cast.
var (
	start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	sofia = story.Provider("sofia", aggregate.SecurityOfficers)
	sam   = story.Provider("sam", aggregate.SecurityOfficers)
	eve   = story.Provider("eve", aggregate.SupportEngineers)
	gina  = story.Customer(contoso, "gina") // administers Contoso
	otto  = story.Customer(contoso, "otto") // owns its subscription
	olga  = story.Customer(contoso, "olga") // has no role any more
)

// key is one of the key store's.
func key(n byte) erasable.KeyID { return erasable.KeyID{Page: erasable.PageID{n}, Place: n} }

// world is a tenant and one erasure, whose events are decided one after the other.
type world struct {
	*testing.T
	tenant tenant.State
	state  erasure.State
	events []*lockboxv1.Event
	now    time.Time
	ids    int
}

func newWorld(t *testing.T) *world {
	s := story.New(start)
	s.Create(contoso, "Contoso", nil, gina)
	return &world{T: t, tenant: s.States.Tenant(contoso), now: start}
}

// command decides a command about the erasure, and folds what comes of it. The same command again comes to nothing.
func (w *world) command(by *lockboxv1.Actor, c *lockboxv1.Command, found ...aggregate.Found) error {
	w.Helper()
	w.ids++
	w.now = w.now.Add(time.Minute)
	c = proto.CloneOf(c)
	c.Id, c.Tenant, c.AggregateId = fmt.Sprintf("019cadc7-9c00-7000-8000-0000000022%02d", w.ids), contoso, id
	given := aggregate.Command{Command: c, By: by, Found: found}
	e, err := erasure.Decide(w.state, w.tenant, given, w.now)
	if e == nil || err != nil {
		return err
	}
	w.fold(e)
	if again, err := erasure.Decide(w.state, w.tenant, given, w.now); again != nil || err != nil {
		w.Errorf("the same command again: %v, %v", again, err)
	}
	return nil
}

func (w *world) fold(e *lockboxv1.Event) {
	w.Helper()
	w.events = append(w.events, e)
	w.state = erasure.Evolve(w.state, uint64(len(w.events)), e)
	if w.state.Fault != nil {
		w.Fatalf("%s: %+v", aggregate.TypeOf(e), *w.state.Fault)
	}
}

func (w *world) is(status erasure.Status) {
	w.Helper()
	if w.state.Status != status {
		w.Errorf("it is %d, want %d", w.state.Status, status)
	}
}

// carried has Lockbox destroy the keys.
func (w *world) carried() {
	w.Helper()
	e, err := erasure.Carry(w.state, len(w.state.Keys()), story.System("lockbox-orchestrator"), "cause", w.now)
	if e == nil || err != nil {
		w.Fatalf("%v, %v", e, err)
	}
	w.fold(e)
	if again, err := erasure.Carry(w.state, 1, story.System("lockbox-orchestrator"), "cause", w.now); again != nil ||
		err != nil {
		w.Errorf("carried out again: %v, %v", again, err)
	}
}

func erase(targets ...*lockboxv1.ErasureTarget) *lockboxv1.Command {
	return because("They asked for it.", targets...)
}

func because(reason string, targets ...*lockboxv1.ErasureTarget) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_EraseDetails{EraseDetails: &lockboxv1.EraseDetails{
		Targets: targets, Reason: reason}}}
}

var (
	confirm = &lockboxv1.Command{Action: &lockboxv1.Command_ConfirmErasure{ConfirmErasure: &lockboxv1.ConfirmErasure{}}}
	decline = &lockboxv1.Command{Action: &lockboxv1.Command_DeclineErasure{DeclineErasure: &lockboxv1.DeclineErasure{
		Reason: "A court wants it."}}}

	ofEve    = story.ErasePerson(eve.GetPerson())
	ofOlga   = story.ErasePerson(olga.GetPerson())
	ofAudit  = story.EraseAddress("Audit@contoso.example")
	question = story.EraseTexts(aggregate.Request(contoso, "r"), 6)

	one     = aggregate.Found{Keys: []erasable.KeyID{key(1)}}
	two     = aggregate.Found{Keys: []erasable.KeyID{key(2), key(3)}}
	ottos   = aggregate.Found{Keys: []erasable.KeyID{key(4)}, By: otto}
	eves    = aggregate.Found{Keys: []erasable.KeyID{key(5)}, By: eve}
	nothing aggregate.Found
)

// An officer proposes, another one confirms, and Lockbox carries it out.
func TestTwoOfficersErase(t *testing.T) {
	w := newWorld(t)
	must(t, w.command(sofia, erase(ofEve, ofAudit, question), one, two, eves))
	w.is(erasure.Proposed)
	if got := w.state.Keys(); !slices.Equal(got, []erasable.KeyID{key(1), key(2), key(3), key(5)}) {
		t.Errorf("with the keys %v", got)
	}
	p := w.events[0].GetErasureProposed()
	if address := p.GetTargets()[1].GetAddress(); address == nil || address.GetAddress() != "" ||
		p.GetReason() != "They asked for it." {
		t.Errorf("the event repeats the address, or loses why: %v", p)
	}
	if e, err := erasure.Carry(w.state, 1, story.System("lockbox-orchestrator"), "", w.now); e != nil || err != nil {
		t.Errorf("carried out before it is decided: %v, %v", e, err)
	}
	must(t, w.command(sam, confirm))
	w.is(erasure.Decided)
	w.carried()
	w.is(erasure.Destroyed)
	s := w.state
	if s.ProposedBy.GetPerson().GetSubject() != "sofia" || s.DecidedBy.GetPerson().GetSubject() != "sam" ||
		s.Destroyed != 4 || !s.ProposedAt.Before(s.DecidedAt) || s.EndedAt.Before(s.DecidedAt) ||
		s.Reason != "They asked for it." {
		t.Errorf("%+v", s)
	}
}

// The tenant's administrator needs nobody for what is the tenant's own.
func TestATenantErasesItsOwn(t *testing.T) {
	w := newWorld(t)
	must(t, w.command(gina, erase(ofOlga, question), one, ottos))
	w.is(erasure.Decided)
	if w.state.ProposedBy != nil || w.state.DecidedBy.GetPerson().GetSubject() != "gina" || w.state.Reason == "" {
		t.Errorf("%+v", w.state)
	}
	w.carried()
	w.is(erasure.Destroyed)
}

// Either officer ends a proposal; whoever made it withdraws it by that.
func TestAProposalIsDeclined(t *testing.T) {
	for _, by := range []*lockboxv1.Actor{sofia, sam} {
		w := newWorld(t)
		must(t, w.command(sofia, erase(ofEve), one))
		must(t, w.command(by, decline))
		w.is(erasure.Declined)
		if len(w.state.Targets) != 1 || w.state.EndedAt.IsZero() || !w.state.DecidedAt.IsZero() {
			t.Errorf("%+v", w.state)
		}
		refused(t, w.command(sam, confirm), "PRECONDITION aggregate_id")
	}
}

func TestWhatIsRefused(t *testing.T) {
	many := slices.Repeat([]*lockboxv1.ErasureTarget{ofEve}, 51)
	named := proto.CloneOf(ofEve)
	named.KeyIds = [][]byte{key(1).Bytes()}
	fresh := func(w *world) {
		w.tenant.Settings = &lockboxv1.TenantSettings{MaxAuthenticationAge: durationpb.New(time.Minute)}
	}
	proposed := func(w *world) { must(w.T, w.command(sofia, erase(ofEve), one)) }
	decided := func(w *world) { proposed(w); must(w.T, w.command(sam, confirm)) }
	destroyed := func(w *world) { decided(w); w.carried() }
	none := func(*world) {}
	human := func(name string) *lockboxv1.Actor {
		return story.Human("h1", story.Provider(name, aggregate.SecurityOfficers))
	}
	for name, c := range map[string]struct {
		before func(*world)
		by     *lockboxv1.Actor
		is     *lockboxv1.Command
		found  []aggregate.Found
		want   string
	}{
		"nothing to erase": {none, sofia, erase(), nil, "INVALID erase_details.targets erasure-count"},
		"too much": {none, sofia, erase(many...), nil,
			"INVALID erase_details.targets erasure-count"},
		"no reason": {none, sofia, because("", ofEve), nil, "INVALID erase_details.reason"},
		"too long a reason": {none, sofia, because(strings.Repeat("x", 1001), ofEve), nil,
			"INVALID erase_details.reason"},
		"named keys": {none, sofia, erase(named), nil, "INVALID erase_details.targets.key_ids"},
		"nobody in particular": {none, sofia, erase(story.ErasePerson(nil)), nil,
			"INVALID erase_details.targets.person"},
		"no address": {none, sofia, erase(story.EraseAddress("otto")), nil,
			"INVALID erase_details.targets.address email"},
		"of no kind": {none, sofia, erase(story.EraseTexts(aggregate.Key{Kind: "diary", ID: "x"}, 1)), nil,
			"INVALID kind"},
		"of no aggregate": {none, sofia, erase(story.EraseTexts(aggregate.Key{Kind: "request", ID: "*"}, 1)), nil,
			"INVALID erase_details.targets.texts.aggregate_id id"},
		"of nothing": {none, sofia, erase(&lockboxv1.ErasureTarget{}), nil,
			"INVALID erase_details.targets"},
		"not looked up": {none, sofia, erase(ofEve), nil, "UNAVAILABLE erase_details.targets"},
		"erased before": {none, sofia, erase(ofEve), []aggregate.Found{nothing},
			"PRECONDITION erase_details.targets erasure-nothing"},
		"an administrator": {none, sofia, erase(story.ErasePerson(gina.GetPerson())), []aggregate.Found{one},
			"PRECONDITION erase_details.targets erasure-holds-role"},
		"an owner": {none, gina, erase(story.ErasePerson(otto.GetPerson())), []aggregate.Found{{Keys: one.Keys, Holds: true}},
			"PRECONDITION erase_details.targets erasure-holds-role"},
		"who asks for access": {none, sofia, erase(ofEve), []aggregate.Found{{Keys: one.Keys, Asks: true}},
			"PRECONDITION erase_details.targets erasure-asks"},
		"a secret": {none, sofia, erase(question), []aggregate.Found{{Keys: eves.Keys, By: eves.By, Untold: true}},
			"PRECONDITION erase_details.targets erasure-untold"},
		"another's secret": {none, gina, erase(question), []aggregate.Found{{Keys: eves.Keys, By: eves.By, Untold: true}},
			"NOT_FOUND erase_details.targets erasure-no-event"},
		"no such event": {none, sofia, erase(question), []aggregate.Found{one},
			"NOT_FOUND erase_details.targets erasure-no-event"},
		"the tenant an engineer": {none, gina, erase(ofEve), []aggregate.Found{one},
			"FORBIDDEN erase_details.targets erasure-not-own"},
		"the tenant an address": {none, gina, erase(ofAudit), []aggregate.Found{one},
			"FORBIDDEN erase_details.targets erasure-not-own"},
		"the tenant another's text": {none, gina, erase(question), []aggregate.Found{eves},
			"FORBIDDEN erase_details.targets erasure-not-own"},
		"one of two is not its own": {none, gina, erase(ofOlga, ofEve), []aggregate.Found{one, two},
			"FORBIDDEN erase_details.targets erasure-not-own"},
		"an engineer":      {none, eve, erase(ofEve), []aggregate.Found{one}, "FORBIDDEN token"},
		"an owner decides": {none, otto, erase(ofOlga), []aggregate.Found{one}, "FORBIDDEN token"},
		"a stale sign-in": {fresh, gina, erase(ofOlga), []aggregate.Found{one},
			"UNAUTHENTICATED token.auth_time"},
		"the same erasure again": {proposed, sofia, erase(ofEve), []aggregate.Found{one},
			"CONFLICT aggregate_id"},
		"confirmed, and nowhere":     {none, sam, confirm, nil, "NOT_FOUND aggregate_id"},
		"declined, and nowhere":      {none, sam, decline, nil, "NOT_FOUND aggregate_id"},
		"confirmed by the proposer":  {proposed, sofia, confirm, nil, "FORBIDDEN token erasure-same-officer"},
		"confirmed by the tenant":    {proposed, gina, confirm, nil, "FORBIDDEN token"},
		"confirmed by an engineer":   {proposed, eve, confirm, nil, "FORBIDDEN token"},
		"declined by the tenant":     {proposed, gina, decline, nil, "FORBIDDEN token"},
		"declined after a decision":  {decided, sofia, decline, nil, "PRECONDITION aggregate_id"},
		"confirmed after it is done": {destroyed, sofia, confirm, nil, "PRECONDITION aggregate_id"},
		"confirmed by the same human": {func(w *world) { must(w.T, w.command(human("sofia"), erase(ofEve), one)) },
			human("sofia-admin"), confirm, nil, "FORBIDDEN token erasure-same-officer"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.before(w)
			before := len(w.events)
			refused(t, w.command(c.by, c.is, c.found...), c.want)
			if len(w.events) != before {
				t.Error("it changed something")
			}
		})
	}
}

// An address in the tenant's settings is needed, however it is written there.
func TestAnAddressInUseIsNotErased(t *testing.T) {
	w := newWorld(t)
	w.tenant.Settings = &lockboxv1.TenantSettings{
		Alternates: []*lockboxv1.AlternateAddress{{Email: "audit@Contoso.example"}}}
	refused(t, w.command(sofia, erase(ofAudit), one), "PRECONDITION erase_details.targets erasure-in-settings")
	must(t, w.command(sofia, erase(story.EraseAddress("other@contoso.example")), one))
}

// Whoever is about to hold a role must be reached as well.
func TestWhoeverIsToHoldARoleIsNotErased(t *testing.T) {
	eligible := newWorld(t)
	s := story.New(start)
	s.Create(contoso, "Contoso", nil, gina)
	s.Assign(gina, contoso, "", "olga", olga, lockboxv1.Role_ROLE_LOCKBOX_APPROVER, true)
	eligible.tenant = s.States.Tenant(contoso)
	refused(t, eligible.command(sofia, erase(ofOlga), one), "PRECONDITION erase_details.targets erasure-holds-role")
	s.Command(gina, &lockboxv1.Command{Tenant: contoso, Action: &lockboxv1.Command_RemoveRole{
		RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "olga"}}})
	eligible.tenant = s.States.Tenant(contoso)
	must(t, eligible.command(sofia, erase(ofOlga), one))

	changing := newWorld(t)
	changing.tenant.Change = &tenant.SignInChange{Wanted: &lockboxv1.SignInChange{
		Administrators: []*lockboxv1.Person{olga.GetPerson()}}}
	refused(t, changing.command(sofia, erase(ofOlga), one), "PRECONDITION erase_details.targets erasure-holds-role")
}

// Whatever anybody tries in any order: nothing is decided by one officer alone, or by a tenant about what is not its
// own; and what is decided folds, event by event, to the state that was decided on.
func TestNobodyErasesAlone(t *testing.T) {
	actors := []*lockboxv1.Actor{sofia, sam, eve, gina, otto, story.System("lockbox-orchestrator"),
		story.Human("h", sofia), story.Human("h", story.Provider("sofia-admin", aggregate.SecurityOfficers))}
	targets := []struct {
		is    *lockboxv1.ErasureTarget
		found aggregate.Found
		own   bool
	}{{ofEve, one, false}, {ofOlga, two, true}, {question, eves, false}, {question, ottos, true}, {ofAudit, one, false}}
	decidedBy := map[string]int{}
	for seed := range 4000 {
		w, n := newWorld(t), seed
		next := func(of int) int {
			n = n*1103515245 + 12345
			return (n >> 16 & 0x7fff) % of
		}
		own := true
		for range 6 {
			by := actors[next(len(actors))]
			switch next(4) {
			case 0, 1:
				target := targets[next(len(targets))]
				if w.command(by, erase(target.is), target.found) == nil {
					own = target.own
				}
			case 2:
				_ = w.command(by, confirm)
			case 3:
				_ = w.command(by, decline)
			}
		}
		s := w.state
		if s.Status == erasure.Decided {
			switch by := s.DecidedBy; {
			case s.ProposedBy == nil && by.GetPerson().GetSubject() == "gina" && own:
				decidedBy["tenant"]++
			case s.ProposedBy != nil && !tenant.SameHuman(s.ProposedBy.GetPerson(), by.GetPerson()) &&
				slices.Contains(by.GetGroups(), aggregate.SecurityOfficers) &&
				slices.Contains(s.ProposedBy.GetGroups(), aggregate.SecurityOfficers):
				decidedBy["officers"]++
			default:
				t.Fatalf("seed %d: proposed by %v, decided by %v, own: %t", seed, s.ProposedBy, by, own)
			}
		}
		var again erasure.State
		for i, e := range w.events {
			stored := new(lockboxv1.Event)
			data, err := proto.Marshal(e)
			must(t, err)
			must(t, proto.Unmarshal(data, stored))
			again = erasure.Evolve(again, uint64(i)+1, stored)
		}
		if diff := cmp.Diff(s.Targets, again.Targets, protocmp.Transform()); diff != "" || again.Status != s.Status ||
			again.Version != s.Version {
			t.Fatalf("seed %d: it folds to another state: %s", seed, diff)
		}
	}
	if decidedBy["tenant"] == 0 || decidedBy["officers"] == 0 {
		t.Errorf("decided: %v", decidedBy)
	}
}

// A stored event that cannot be true where it stands changes nothing but the fault, and no command is decided after it.
func TestAnEventThatCannotBeTrueIsAFault(t *testing.T) {
	w := newWorld(t)
	must(t, w.command(sofia, erase(ofEve, question), one, eves))
	must(t, w.command(sam, confirm))
	w.carried()
	proposed, decided, done := w.events[0], w.events[1], w.events[2]
	declined := proto.CloneOf(decided)
	declined.Fact = &lockboxv1.Event_ErasureDeclined{ErasureDeclined: &lockboxv1.ErasureDeclined{}}
	by := func(e *lockboxv1.Event, a *lockboxv1.Actor) *lockboxv1.Event {
		e = proto.CloneOf(e)
		e.Actor = a
		return e
	}
	other := proto.CloneOf(decided)
	other.GetErasureDecided().GetTargets()[0].KeyIds = [][]byte{key(9).Bytes()}
	less := proto.CloneOf(decided)
	less.GetErasureDecided().Targets = less.GetErasureDecided().GetTargets()[:1]
	keyless := proto.CloneOf(proposed)
	keyless.GetErasureProposed().GetTargets()[0].KeyIds = nil
	badKey := proto.CloneOf(proposed)
	badKey.GetErasureProposed().GetTargets()[0].KeyIds = [][]byte{{1}}
	foreign := proto.CloneOf(proposed)
	foreign.Fact = &lockboxv1.Event_LockboxEnabled{LockboxEnabled: &lockboxv1.LockboxEnabled{}}
	for name, events := range map[string][]*lockboxv1.Event{
		"proposed twice":               {proposed, proposed},
		"proposed by an engineer":      {by(proposed, eve)},
		"proposed by the tenant":       {by(proposed, gina)},
		"proposed without keys":        {keyless},
		"proposed with a key of none":  {badKey},
		"decided by one officer":       {proposed, by(decided, sofia)},
		"decided by the tenant":        {proposed, by(decided, gina)},
		"decided by Lockbox":           {proposed, by(decided, story.System("lockbox-orchestrator"))},
		"decided with other keys":      {proposed, other},
		"decided in part":              {proposed, less},
		"decided alone by an officer":  {decided},
		"decided twice":                {proposed, decided, decided},
		"declined by an engineer":      {proposed, by(declined, eve)},
		"declined, and nowhere":        {declined},
		"declined after it is decided": {proposed, decided, declined},
		"decided after it is declined": {proposed, declined, decided},
		"destroyed, and not decided":   {proposed, done},
		"destroyed by an officer":      {proposed, decided, by(done, sam)},
		"destroyed twice":              {proposed, decided, done, done},
		"another fact":                 {foreign},
	} {
		var s erasure.State
		for i, e := range events {
			e = proto.CloneOf(e)
			e.Version = uint64(i) + 1
			before := s
			s = erasure.Evolve(s, uint64(i)+1, e)
			if last := i == len(events)-1; last != (s.Fault != nil) {
				t.Errorf("%s: event %d: %+v", name, i+1, s.Fault)
			} else if last && (s.Status != before.Status || len(s.Targets) != len(before.Targets)) {
				t.Errorf("%s: it changed the state", name)
			}
		}
		w := newWorld(t)
		w.state = s
		if err := w.command(sam, confirm); err == nil {
			t.Errorf("%s: a command is decided after that", name)
		}
	}
}

// The provider's own events have no tenant, and only officers erase of them.
func TestTheProvidersOwnEvents(t *testing.T) {
	c := erase(question)
	c.Id, c.Tenant, c.AggregateId = id, aggregate.ProviderTenant, id
	if e, err := erasure.Decide(erasure.State{}, tenant.State{}, aggregate.Command{Command: c, By: sofia,
		Found: []aggregate.Found{eves}}, start); err != nil || e.GetErasureProposed() == nil {
		t.Errorf("%v, %v", e, err)
	}
	if e, err := erasure.Decide(erasure.State{}, tenant.State{}, aggregate.Command{Command: c, By: gina,
		Found: []aggregate.Found{ottos}}, start); e != nil || err == nil {
		t.Errorf("a tenant's administrator: %v, %v", e, err)
	}
}

// refused holds a refusal against its code, field and, if there is one, kind.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	r, is := refusal.As(err)
	code := strings.TrimPrefix(r.GetCode().String(), "REFUSAL_CODE_")
	got := strings.TrimSpace(code + " " + r.GetField() + " " + kindOf(r))
	if !is || got != want || r.GetRule() == "" {
		t.Errorf("refused with %q (%v), want %q", got, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func kindOf(r *lockboxv1.Refusal) string {
	for _, p := range r.GetCodedReason().GetParameters() {
		if p.GetName() == refusal.Kind {
			return p.GetValue()
		}
	}
	return ""
}
