package activity

import (
	"cmp"
	"embed"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/message"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

//go:embed messages/*.yaml
var files embed.FS

// Language is a language of the activity log. Not translated are texts written by people, and the names that a service
// catalogue gives.
type Language struct {
	*message.Catalogue
	services *catalogue.Catalogue
	// zone is the time zone of the sentences, with UTC beside; nil: UTC alone.
	zone *time.Location
}

var (
	languages = load()
	english   = languages["en"]
)

func load() map[string]*Language {
	catalogues, err := message.Load(files, "messages/*.yaml", tenant.Languages)
	if err != nil {
		panic(err) // they are part of the program
	}
	all, builtin := map[string]*Language{}, catalogue.Default()
	for tag, c := range catalogues {
		all[tag] = &Language{c, builtin, nil}
	}
	return all
}

// In returns a language by its BCP 47 tag; nil if it is not supported. It calls services and scenarios by the names
// that the built-in catalogue has for them.
func In(tag string) *Language { return languages[tag] }

// Naming returns the language with the names of another catalogue: of the one in force.
func (l *Language) Naming(services *catalogue.Catalogue) *Language {
	return &Language{l.Catalogue, services, l.zone}
}

// Timed returns the language with sentences that name times in a zone, with UTC beside (R60); in UTC alone if it is
// that.
func (l *Language) Timed(zone *time.Location) *Language {
	if zone == time.UTC {
		zone = nil
	}
	return &Language{l.Catalogue, l.services, zone}
}

// Describe returns the name of the event's action and a sentence about the event. Both are empty if the fact is
// unknown.
func (l *Language) Describe(e *lockboxv1.Event) (title, summary string) {
	typ := aggregate.TypeOf(e)
	row, known := byType[typ]
	if !known {
		return "", ""
	}
	return l.title(typ), row.say(speaker{l}, e)
}

// Entry returns the event stored at this sequence as a timeline entry.
func (l *Language) Entry(sequence uint64, e *lockboxv1.Event) *lockboxv1.TimelineEntry {
	typ := aggregate.TypeOf(e)
	title, summary := l.Describe(e)
	return &lockboxv1.TimelineEntry{
		Sequence: sequence, Time: e.GetTime(), Type: typ, Action: english.title(typ), Actor: e.GetActor(), Summary: summary,
		Version: e.GetVersion(), Title: title,
	}
}

// Title returns the display name of an action, one of Actions; empty if there is no such action.
func (l *Language) Title(action string) string {
	for _, row := range table {
		if row.action() == action {
			return l.title(row.typ)
		}
	}
	return ""
}

func (l *Language) title(typ string) string { return speaker{l}.say("title/" + typ) }

// Activity returns the event stored at this sequence as an entry of the activity log.
func (l *Language) Activity(sequence uint64, e *lockboxv1.Event) *lockboxv1.Activity {
	concern := Concerned(e)
	return &lockboxv1.Activity{
		Entry: l.Entry(sequence, e), Tenant: e.GetTenant(), Kind: e.GetKind(), AggregateId: e.GetAggregateId(),
		RequestId: concern.RequestID, SubscriptionId: concern.SubscriptionID, ResourceIds: concern.ResourceIDs, Event: e,
	}
}

// Overdue returns the reason shown for a request whose deadline has passed before the expiry was recorded.
func (l *Language) Overdue() string { return speaker{l}.say("overdue") }

const (
	// quoted is how much of a person's text a sentence quotes, in runes; named is how many people it names.
	quoted = 160
	named  = 5
)

// speaker builds sentences in a language.
type speaker struct{ *Language }

// say returns a message. Errors are ignored: a test covers every message with all its values.
func (l speaker) say(id string, pairs ...any) string {
	text, _ := l.Say(id, pairs...)
	return text
}

// count returns a number of things, in the right grammatical number.
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
	switch {
	case p.GetErased() && p.GetSubject() == "": // nobody is to know more of them
		return l.say("erased")
	case p.GetErased():
		return l.say("erased/person", "Subject", p.GetSubject())
	}
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

// because returns a given reason as the end of a sentence; empty if none was given.
func (l speaker) because(reason string) string {
	if strings.TrimSpace(reason) == "" {
		return ""
	}
	return l.say("because", "Text", l.quote(reason))
}

// quote returns the beginning of a person's text on one line, in quotation marks; of one that cannot be read, that.
func (l speaker) quote(s string) string {
	switch s {
	case erasable.Erased:
		return l.say("erased")
	case erasable.Unreadable:
		return l.say("unreadable")
	}
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

func (l speaker) names(people []*lockboxv1.Person) string {
	list := make([]string, 0, named+1)
	for _, p := range people[:min(named, len(people))] {
		list = append(list, l.person(p))
	}
	if more := len(people) - len(list); more > 0 {
		list = append(list, l.count("other", more))
	}
	return l.enumerate(list)
}

func (l speaker) enumerate(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], l.say("comma")) + l.say("and") + list[len(list)-1]
}

// role returns the name of a role in the language, or in English if the language has none.
func (l speaker) role(r lockboxv1.Role) string {
	name := strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_"))
	return cmp.Or(l.say("role/"+strings.ReplaceAll(name, "_", "-")), tenant.RoleName(r))
}

// group returns the name of one of the provider's groups: of one that only a provider's rules know, its own without
// dashes.
func (l speaker) group(g string) string {
	return cmp.Or(l.say("group/"+g), strings.ReplaceAll(g, "-", " "))
}

// mail returns the display name of a mail template, or the template's name if it has none.
func (l speaker) mail(template string) string {
	return l.label(cmp.Or(l.say("mail/"+template), template))
}

// moment returns a point in time: in a zone to the second, with UTC beside; in English to the second, as in the exports
// of the log.
func (l speaker) moment(t time.Time) string {
	if l.zone != nil {
		return timetext.Stamp(l.Tag, t, l.zone)
	}
	if l.Tag == "en" {
		return t.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return timetext.Instant(l.Tag, t)
}

// span returns a duration: in English in a single unit.
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
