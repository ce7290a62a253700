package activity

import (
	"cmp"
	"embed"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/message"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

//go:embed messages/*.yaml
var files embed.FS

// Language is one of those in which the log can be read. What people wrote stays in it as they wrote it.
type Language struct{ *message.Catalogue }

var (
	languages = load()
	english   = languages["en"]
)

func load() map[string]*Language {
	catalogues, err := message.Load(files, "messages/*.yaml", tenant.Languages)
	if err != nil {
		panic(err) // they are part of the program
	}
	all := map[string]*Language{}
	for tag, c := range catalogues {
		all[tag] = &Language{c}
	}
	return all
}

// In returns a language by its BCP 47 tag; nil: the log is not told in it.
func In(tag string) *Language { return languages[tag] }

// Describe returns the log's name of what happened, and one sentence about it. Both are empty if the event holds no
// fact that is known.
func (l *Language) Describe(e *lockboxv1.Event) (title, summary string) {
	typ := aggregate.TypeOf(e)
	row, known := byType[typ]
	if !known {
		return "", ""
	}
	return l.title(typ), row.say(speaker{l}, e)
}

// Entry is the event, stored at this sequence, as a timeline shows it.
func (l *Language) Entry(sequence uint64, e *lockboxv1.Event) *lockboxv1.TimelineEntry {
	typ := aggregate.TypeOf(e)
	title, summary := l.Describe(e)
	return &lockboxv1.TimelineEntry{
		Sequence: sequence, Time: e.GetTime(), Type: typ, Action: english.title(typ), Actor: e.GetActor(), Summary: summary,
		Version: e.GetVersion(), Title: title,
	}
}

// Title is what an action, one of Actions, is called; empty: there is no such action.
func (l *Language) Title(action string) string {
	for _, row := range table {
		if row.action() == action {
			return l.title(row.typ)
		}
	}
	return ""
}

func (l *Language) title(typ string) string { return speaker{l}.say("title/" + typ) }

// Activity is the event, stored at this sequence, in the activity log.
func (l *Language) Activity(sequence uint64, e *lockboxv1.Event) *lockboxv1.Activity {
	concern := Concerned(e)
	return &lockboxv1.Activity{
		Entry: l.Entry(sequence, e), Tenant: e.GetTenant(), Kind: e.GetKind(), AggregateId: e.GetAggregateId(),
		RequestId: concern.RequestID, SubscriptionId: concern.SubscriptionID, ResourceIds: concern.ResourceIDs, Event: e,
	}
}

// Overdue is why a request has ended whose time was over when nobody had recorded that yet.
func (l *Language) Overdue() string { return speaker{l}.say("overdue") }

const (
	// quoted is how much of somebody's own words a sentence repeats, in runes; named is how many people it names.
	quoted = 160
	named  = 5
)

// speaker makes sentences of a language and their parts.
type speaker struct{ *Language }

// say is a message, of which a test says every one with all its values.
func (l speaker) say(id string, pairs ...any) string {
	text, _ := l.Say(id, pairs...)
	return text
}

// count is a number of things.
func (l speaker) count(what string, n int) string { return l.say(what, "Count", n) }

func (l speaker) actor(a *lockboxv1.Actor) string {
	if a.GetPerson() == nil {
		return "Lockbox"
	}
	if a.GetEmployer() != "" {
		return l.say("employed", "Person", l.person(a.GetPerson()), "Employer", a.GetEmployer())
	}
	return l.person(a.GetPerson())
}

func (l speaker) person(p *lockboxv1.Person) string {
	for _, s := range []string{p.GetDisplayName(), p.GetEmail(), p.GetSubject()} {
		if s != "" {
			return s
		}
	}
	return l.say("somebody")
}

func (l speaker) engineer(p *lockboxv1.Person, team string) string {
	switch {
	case p == nil:
		return l.say("team", "Team", team)
	case team == "":
		return l.person(p)
	}
	return l.say("of-team", "Person", l.person(p), "Team", team)
}

// because is the reason given, as the end of a sentence, or nothing.
func (l speaker) because(reason string) string {
	if strings.TrimSpace(reason) == "" {
		return ""
	}
	return l.say("because", "Text", l.quote(reason))
}

// quote repeats the beginning of somebody's words on one line.
func (l speaker) quote(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > quoted {
		s = strings.TrimSpace(string(r[:quoted])) + "…"
	}
	return l.say("quote", "Text", s)
}

// label is a name that programs use.
func (l speaker) label(s string) string {
	s = strconv.Quote(s)
	return l.say("label", "Text", s[1:len(s)-1])
}

func (l speaker) at(t *timestamppb.Timestamp) string { return l.moment(t.AsTime()) }

func (l speaker) names(approvers []*lockboxv1.Approver) string {
	list := make([]string, 0, named+1)
	for _, a := range approvers[:min(named, len(approvers))] {
		list = append(list, l.person(a.GetPerson()))
	}
	if more := len(approvers) - len(list); more > 0 {
		list = append(list, l.count("other", more))
	}
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], l.say("comma")) + l.say("and") + list[len(list)-1]
}

// role is a role by its name in the language, and one that the language has no name for in English.
func (l speaker) role(r lockboxv1.Role) string {
	name := strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_"))
	return cmp.Or(l.say("role/"+strings.ReplaceAll(name, "_", "-")), tenant.RoleName(r))
}

// mail is what people call a mail, by the name of its template; one without a name is called by that.
func (l speaker) mail(template string) string {
	return l.label(cmp.Or(l.say("mail/"+template), template))
}

// moment is a moment: to the second in English, which is how the log's exports have it.
func (l speaker) moment(t time.Time) string {
	if l.Tag == "en" {
		return t.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return timetext.Instant(l.Tag, t)
}

// span is a length of time, in English in one unit.
func (l speaker) span(d time.Duration) string {
	if l.Tag != "en" {
		return timetext.Duration(l.Tag, d)
	}
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return units(int(d/time.Hour), "hour")
	case d >= time.Minute && d%time.Minute == 0:
		return units(int(d/time.Minute), "minute")
	}
	return d.String()
}

func units(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + unit + "s"
}
