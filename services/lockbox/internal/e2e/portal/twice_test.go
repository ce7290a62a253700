package portal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/types/known/durationpb"
)

// kinds are what somebody else can do between the page and the click.
var kinds = []string{"decided", "revoked", "narrowed", "expired", "role lost", "settings changed"}

// deed is a verb as somebody does it who has looked at the request before.
type deed struct {
	who string
	// event is what the stream holds if it was done, made by who.
	event string
	// text is the reason, question or answer; json the name of its field in the API.
	text, json string
	// command is the command line's, after the persona; prompts reports that it shows the request and asks before it
	// sends.
	command []string
	prompts bool
	// begin carries a request to where the verb can be done.
	begin     func(*world) (id string)
	meanwhile []meanwhile
	// never says why a kind cannot happen to it.
	never map[string]string
}

// meanwhile is what happens between page and click.
type meanwhile struct {
	kind, name string
	// happens is done by others; nil waits for the deadline, in a world of short terms.
	happens func(w *world, id string)
	// says is what the person must be told of it, each in one of several ways; none if the deed is done all the same.
	says [][]string
	// begin replaces the deed's.
	begin func(*world) (id string)
}

func (w *world) given(persona, id string, c *lockboxv1.Command) {
	w.Helper()
	c.Tenant, c.AggregateId = bank, id
	w.does(persona, c)
}

// by is something that a persona does to the request.
func by(persona string, v request.Verb) func(*world, string) {
	return func(w *world, id string) { w.given(persona, id, v.Command("Because.")) }
}

// assigned makes somebody an owner of the production subscription.
func assigned(w *world, id, persona string) {
	who := w.is(persona)
	who.Human = "" // is read from their own token
	w.given("grace", demo.BankProduction, &lockboxv1.Command{Action: &lockboxv1.Command_AssignRole{
		AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{Id: id, Person: who,
			Role: lockboxv1.Role_ROLE_OWNER, Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}}}})
}

func (w *world) is(persona string) *lockboxv1.Person {
	w.Helper()
	return w.self(persona).GetActor().GetPerson()
}

func (w *world) self(persona string) *lockboxv1.SelfView {
	w.Helper()
	reply, err := w.person(persona).Ask(w.Context(), &lockboxv1.Query{Tenant: bank,
		Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}})
	must(w, err)
	return reply.GetSelf()
}

func demands(approvals uint32) func(*world, string) {
	return func(w *world, _ string) {
		s := w.tenant("grace").GetSettings()
		s.RequiredApprovals = approvals
		w.given("grace", "", &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{
			ChangeSettings: &lockboxv1.ChangeSettings{Settings: s}}})
	}
}

func asked(w *world) string { return w.requested("erin", intent(), request.CustomerNotified) }

// askedForTwo is a request that needs two approvals.
func askedForTwo(w *world) string {
	demands(2)(w, "")
	defer demands(1)(w, "")
	return asked(w)
}

func running(w *world) string {
	id := asked(w)
	by("fleur", request.Approve)(w, id)
	w.reaches(bank, id, request.Active)
	return id
}

// brief is access that ends by itself after a few seconds.
func brief(w *world) string {
	id := asked(w)
	w.given("fleur", id, &lockboxv1.Command{Action: &lockboxv1.Command_Approve{
		Approve: &lockboxv1.Approve{Duration: durationpb.New(3 * time.Second)}}})
	w.reaches(bank, id, request.Active)
	return id
}

func inside(w *world) string {
	in := intent()
	in.Scenario = "managed-disk"
	return w.requested("erin", in, request.AwaitingInternalApproval)
}

func questioned(w *world) string {
	id := asked(w)
	by("otto", request.Ask)(w, id)
	return id
}

// Whoever loses the role holds it for this only, so that nobody else's requests change.
func relieved(w *world, _ string) {
	w.given("grace", demo.BankProduction, &lockboxv1.Command{Action: &lockboxv1.Command_RemoveRole{
		RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "otto-owner"}}})
	for end := time.Now().Add(patience); len(w.self("otto").GetLostRoles()) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatal("otto is not told that he lost his role")
		}
	}
}

var (
	denied    = [][]string{{"Fleur"}, {"denied", "declined"}}
	approved  = [][]string{{"Fleur"}, {"approved", "Approved"}}
	withdrawn = [][]string{{"Erin"}, {"withdrawn", "withdrew", "Withdrawn"}}
	expired   = [][]string{{"expired", "time is over", "Expired"}}
	lost      = [][]string{{"role", "approver", "not yours to see", "have access"}}
	revoked   = [][]string{{"Fleur"}, {"revoked"}}
	ended     = [][]string{{"ended", "Ended"}}
	another   = [][]string{{"Derek"}, {"refused", "Refused"}}
)

// deeds are all verbs. A verb without one, and a kind that a verb neither meets nor says why, fails.
var deeds = map[string]deed{
	request.Approve.Name: {who: "otto", event: "CustomerApproved", json: "reason",
		command: []string{"approval", "approve"}, prompts: true, begin: asked,
		meanwhile: []meanwhile{
			{kind: "decided", name: "denied", happens: by("fleur", request.Deny), says: denied},
			{kind: "decided", name: "approved", happens: by("fleur", request.Approve), says: approved},
			{kind: "decided", name: "withdrawn", happens: by("erin", request.Withdraw), says: withdrawn},
			{kind: "decided", name: "asked", happens: by("fleur", request.Ask), says: [][]string{{"changed"}, {"Fleur"}}},
			{kind: "narrowed", name: "narrowed", begin: askedForTwo, happens: func(w *world, id string) {
				w.given("fleur", id, &lockboxv1.Command{Action: &lockboxv1.Command_Approve{
					Approve: &lockboxv1.Approve{Duration: durationpb.New(2 * time.Hour)}}})
			}, says: [][]string{{"changed"}, {"Fleur"}}},
			{kind: "expired", name: "expired", says: expired},
			{kind: "role lost", name: "relieved", happens: relieved, says: lost},
			{kind: "settings changed", name: "two approvals", happens: demands(2)},
		},
		never: map[string]string{"revoked": "nothing is granted yet"},
	},
	request.Deny.Name: {who: "otto", event: "CustomerDenied", text: "No.", json: "reason",
		command: []string{"approval", "deny"}, prompts: true, begin: asked,
		meanwhile: []meanwhile{
			{kind: "decided", name: "denied", happens: by("fleur", request.Deny), says: denied},
			{kind: "decided", name: "approved", happens: by("fleur", request.Approve), says: approved},
			{kind: "decided", name: "withdrawn", happens: by("erin", request.Withdraw), says: withdrawn},
			{kind: "expired", name: "expired", says: expired},
			{kind: "role lost", name: "relieved", happens: relieved, says: lost},
			{kind: "settings changed", name: "two approvals", happens: demands(2)},
		},
		never: map[string]string{"revoked": "nothing is granted yet", "narrowed": "a denial is of all of it"},
	},
	request.Ask.Name: {who: "otto", event: "QuestionAsked", text: "Why?", json: "text",
		command: []string{"approval", "ask"}, begin: asked,
		meanwhile: []meanwhile{
			{kind: "decided", name: "denied", happens: by("fleur", request.Deny), says: denied},
			{kind: "decided", name: "approved", happens: by("fleur", request.Approve), says: approved},
			{kind: "expired", name: "expired", says: expired},
			{kind: "role lost", name: "relieved", happens: relieved, says: lost},
			{kind: "settings changed", name: "two approvals", happens: demands(2)},
		},
		never: map[string]string{"revoked": "nothing is granted yet", "narrowed": "a question is about all of it"},
	},
	request.Revoke.Name: {who: "otto", event: "AccessRevoked", text: "Enough.", json: "reason",
		command: []string{"approval", "revoke"}, prompts: true, begin: running,
		meanwhile: []meanwhile{
			{kind: "decided", name: "given back", happens: by("erin", request.Release),
				says: [][]string{{"Erin"}, {"given back", "gave", "ended"}}},
			{kind: "revoked", name: "revoked", happens: by("fleur", request.Revoke), says: revoked},
			{kind: "expired", name: "ended", begin: brief, happens: over, says: ended},
			{kind: "role lost", name: "relieved", happens: relieved, says: lost},
			{kind: "settings changed", name: "two approvals", happens: demands(2)},
		},
		never: map[string]string{"narrowed": "what is granted is never narrowed"},
	},
	request.Withdraw.Name: {who: "erin", event: "RequestWithdrawn", json: "reason",
		command: []string{"request", "withdraw"}, begin: asked,
		meanwhile: []meanwhile{
			{kind: "decided", name: "denied", happens: by("fleur", request.Deny), says: denied},
			{kind: "decided", name: "approved", happens: by("fleur", request.Approve), says: approved},
			{kind: "expired", name: "expired", says: expired},
			{kind: "settings changed", name: "two approvals", happens: demands(2)},
		},
		never: map[string]string{"revoked": "nothing is granted yet", "narrowed": "it is withdrawn whole",
			"role lost": "an engineer needs none to withdraw"},
	},
	request.Release.Name: {who: "erin", event: "AccessReleased", json: "reason", command: []string{"request", "release"},
		begin: running,
		meanwhile: []meanwhile{
			{kind: "revoked", name: "revoked", happens: by("fleur", request.Revoke), says: revoked},
			{kind: "expired", name: "ended", begin: brief, happens: over, says: ended},
			{kind: "settings changed", name: "two approvals", happens: demands(2)},
		},
		never: map[string]string{"decided": "it is decided already", "narrowed": "what is granted is never narrowed",
			"role lost": "an engineer needs none to give access back"},
	},
	request.InternalApprove.Name: {who: "derek", event: "InternalApprovalGiven", json: "comment",
		command: []string{"internal", "approve"}, begin: inside,
		meanwhile: []meanwhile{
			{kind: "decided", name: "refused", happens: by("derek", request.InternalRefuse), says: another},
			{kind: "decided", name: "withdrawn", happens: by("erin", request.Withdraw), says: withdrawn},
			{kind: "expired", name: "expired", says: expired},
			{kind: "settings changed", name: "two approvals", happens: demands(2)},
		},
		never: map[string]string{"revoked": "nothing is granted yet", "narrowed": "only the customer narrows",
			"role lost": "a manager's groups are in their token"},
	},
	request.InternalRefuse.Name: {who: "derek", event: "InternalApprovalRefused", text: "No.", json: "reason",
		command: []string{"internal", "refuse"}, prompts: true, begin: inside,
		meanwhile: []meanwhile{
			{kind: "decided", name: "approved", happens: by("derek", request.InternalApprove),
				says: [][]string{{"waits for the customer", "Waiting for approval", "customer"}}},
			{kind: "decided", name: "withdrawn", happens: by("erin", request.Withdraw), says: withdrawn},
			{kind: "expired", name: "expired", says: expired},
			{kind: "settings changed", name: "two approvals", happens: demands(2)},
		},
		never: map[string]string{"revoked": "nothing is granted yet", "narrowed": "only the customer narrows",
			"role lost": "a manager's groups are in their token"},
	},
	request.Answer.Name: {who: "erin", event: "QuestionAnswered", text: "So.", json: "text",
		command: []string{"approval", "answer"}, begin: questioned,
		meanwhile: []meanwhile{
			{kind: "decided", name: "denied", happens: by("fleur", request.Deny), says: denied},
			{kind: "decided", name: "answered", happens: func(w *world, id string) {
				c := request.Answer.Command("Otherwise.")
				c.GetAnswer().QuestionId = w.question(id)
				w.given("erin", id, c)
			}, says: [][]string{{"answered", "Otherwise."}}},
			{kind: "expired", name: "expired", says: expired},
			{kind: "settings changed", name: "two approvals", happens: demands(2)},
		},
		never: map[string]string{"revoked": "nothing is granted yet", "narrowed": "an answer changes no terms",
			"role lost": "an engineer needs none to answer"},
	},
}

// over waits until access has ended by itself.
func over(w *world, id string) { w.reaches(bank, id, request.Completed) }

func (w *world) question(id string) string {
	w.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if q := w.reaches(bank, id, request.CustomerNotified).GetQuestions(); len(q) > 0 {
			return q[0].GetQuestionId()
		}
	}
	w.Fatalf("%s: nobody has asked", id)
	return ""
}

func TestEveryVerbIsPlayedTwice(t *testing.T) {
	t.Parallel()
	for _, v := range request.Verbs {
		d, played := deeds[v.Name]
		if !played {
			t.Errorf("nobody plays %s", v.Name)
			continue
		}
		for _, kind := range kinds {
			met := slices.ContainsFunc(d.meanwhile, func(m meanwhile) bool { return m.kind == kind })
			if met == (d.never[kind] != "") {
				t.Errorf("%s: whether it can meet %q is said twice, or not at all", v.Name, kind)
			}
		}
	}
	if len(deeds) != len(request.Verbs) {
		t.Errorf("%d verbs are played of %d", len(deeds), len(request.Verbs))
	}
}

// Each story is played twice: once as it should be, and once with the state changed by somebody else between what a
// person looks at and what they do; on the portal's pages, on the command line and by REST. What they are told is
// compared with what is in the stream: nothing is called done that is not there, and who is refused is told why.
//
// control: nist:AU-3, nist:AC-3
func TestR29WhatAPersonIsToldIsWhatIsInTheStream(t *testing.T) {
	t.Parallel()
	quiet := zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	w := startWith(t, quiet, request.DefaultTerms())
	hasty := request.DefaultTerms()
	hasty.CustomerApproval, hasty.InternalApproval, hasty.RemindBefore = 6*time.Second, 6*time.Second, nil
	soon := startWith(t, quiet, hasty)
	stories := emergencies
	for _, v := range request.Verbs {
		stories = append(stories, storyOf{v.Name, v, deeds[v.Name]})
	}
	for _, s := range stories {
		v, d := s.verb, s.deed
		for _, e := range edges {
			t.Run(fmt.Sprintf("%s/%s/undisturbed", s.name, e.name), func(t *testing.T) {
				w := &world{T: t, info: w.info}
				told, events := w.play(e, v, d, meanwhile{happens: func(*world, string) {}})
				if !told.done || events != 1 {
					t.Errorf("%d events, and %s is told: %s", events, d.who, told)
				}
			})
			for _, m := range d.meanwhile {
				t.Run(fmt.Sprintf("%s/%s/%s", s.name, e.name, m.name), func(t *testing.T) {
					w := &world{T: t, info: w.info}
					if m.happens == nil {
						t.Parallel() // they wait for nothing but the time
						w.info = soon.info
					}
					told, events := w.play(e, v, d, m)
					if told.done != (events == 1) || told.done != (m.says == nil) {
						t.Errorf("%d events, and %s is told: %s", events, d.who, told)
					}
					says := m.says
					if m.kind == "role lost" && e.name == "portal" { // by whom
						says = append(slices.Clip(says), []string{"Grace"})
					}
					for _, ways := range says {
						if !slices.ContainsFunc(ways, func(s string) bool { return strings.Contains(told.text, s) }) {
							t.Errorf("%s is told of none of %q: %s", d.who, ways, told)
						}
					}
				})
			}
		}
	}
}

// play does a deed at an edge, with something happening between looking and doing, and counts the events that came of
// the deed.
func (w *world) play(e edge, v request.Verb, d deed, m meanwhile) (told, int) {
	w.Helper()
	begin := d.begin
	if m.begin != nil {
		begin = m.begin
	}
	id := begin(w)
	happens := m.happens
	if happens == nil {
		happens = func(w *world, id string) {
			over := request.Expired
			if v.Name == request.InternalApprove.Name || v.Name == request.InternalRefuse.Name {
				over = request.InternalExpired
			}
			w.reaches(bank, id, over)
		}
	}
	before := 0
	if m.kind == "role lost" {
		defer assigned(w, "otto-owner", d.who)
	}
	if m.kind == "settings changed" {
		defer demands(1)(w, "")
	}
	told := e.does(w, v, d, id, func() {
		happens(w, id)
		before = w.events(id, d)
	})
	return told, w.events(id, d) - before
}

// events counts what the stream holds of a deed.
func (w *world) events(id string, d deed) (n int) {
	w.Helper()
	olga := w.person("olga")
	defer olga.Close()
	j, err := olga.Journal(w.Context())
	must(w, err)
	defer j.Close()
	entries, err := j.Load(w.Context(), aggregate.Request(bank, id))
	must(w, err)
	for _, e := range entries {
		if aggregate.TypeOf(e.Event) == d.event && strings.HasPrefix(e.Event.GetActor().GetPerson().GetEmail(), d.who+"@") {
			n++
		}
	}
	return n
}
