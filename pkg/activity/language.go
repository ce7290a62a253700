package activity

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Language is one of those in which the log can be read. What people wrote stays in it as they wrote it.
type Language struct {
	// titles are the activity log's names, by the facts' types.
	titles map[string]string
	// sentences, and parts of them, have placeholders in braces: the same ones in every language.
	sentences map[string]string
	mails     map[string]string
	// comma stands between the names in a list, and before the last of them.
	comma, and string
	// one reports whether so many are spoken of in the singular.
	one    func(n int) bool
	role   func(lockboxv1.Role) string
	moment func(time.Time) string
	span   func(time.Duration) string
}

var languages = map[string]*Language{"en": &english, "fr": &french, "ja": &japanese}

// In returns a language by its BCP 47 tag; nil: the log is not told in it.
func In(tag string) *Language { return languages[tag] }

// Describe returns the log's name of what happened, and one sentence about it. Both are empty if the event holds no fact
// that is known.
func (l *Language) Describe(e *lockboxv1.Event) (title, summary string) {
	typ := aggregate.TypeOf(e)
	row, known := byType[typ]
	if !known {
		return "", ""
	}
	return l.titles[typ], row.say(speaker{l}, e)
}

// Entry is the event, stored at this sequence, as a timeline shows it.
func (l *Language) Entry(sequence uint64, e *lockboxv1.Event) *lockboxv1.TimelineEntry {
	typ := aggregate.TypeOf(e)
	title, summary := l.Describe(e)
	return &lockboxv1.TimelineEntry{
		Sequence: sequence, Time: e.GetTime(), Type: typ, Action: english.titles[typ], Actor: e.GetActor(), Summary: summary,
		Version: e.GetVersion(), Title: title,
	}
}

// Title is what an action, one of Actions, is called; empty: there is no such action.
func (l *Language) Title(action string) string {
	for _, row := range table {
		if row.action() == action {
			return l.titles[row.typ]
		}
	}
	return ""
}

// Activity is the event, stored at this sequence, in the activity log.
func (l *Language) Activity(sequence uint64, e *lockboxv1.Event) *lockboxv1.Activity {
	concern := Concerned(e)
	return &lockboxv1.Activity{
		Entry: l.Entry(sequence, e), Tenant: e.GetTenant(), Kind: e.GetKind(), AggregateId: e.GetAggregateId(),
		RequestId: concern.RequestID, SubscriptionId: concern.SubscriptionID, ResourceIds: concern.ResourceIDs, Event: e,
	}
}

// Overdue is why a request has ended whose time was over when nobody had recorded that yet.
func (l *Language) Overdue() string { return l.sentences["overdue"] }

const (
	// quoted is how much of somebody's own words a sentence repeats, in runes; named is how many people it names.
	quoted = 160
	named  = 5
)

// speaker makes sentences of a language and their parts.
type speaker struct{ *Language }

// say fills the placeholders of a sentence from pairs of names and values. What a value holds is never looked at.
func (l speaker) say(key string, pairs ...string) string {
	var said strings.Builder
	for rest := l.sentences[key]; ; {
		before, after, found := strings.Cut(rest, "{")
		said.WriteString(before)
		if !found {
			return said.String()
		}
		var name string
		name, rest, _ = strings.Cut(after, "}")
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				said.WriteString(pairs[i+1])
			}
		}
	}
}

// count is a number of things.
func (l speaker) count(what string, n int) string {
	key := what + "/many"
	if l.one(n) {
		key = what + "/one"
	}
	return l.say(key, "n", strconv.Itoa(n))
}

func (l speaker) actor(a *lockboxv1.Actor) string {
	if a.GetPerson() == nil {
		return "Lockbox"
	}
	if a.GetEmployer() != "" {
		return l.say("employed", "person", l.person(a.GetPerson()), "employer", a.GetEmployer())
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
		return l.say("team", "team", team)
	case team == "":
		return l.person(p)
	}
	return l.say("of team", "person", l.person(p), "team", team)
}

// because is the reason given, as the end of a sentence, or nothing.
func (l speaker) because(reason string) string {
	if strings.TrimSpace(reason) == "" {
		return ""
	}
	return l.say("because", "text", l.quote(reason))
}

// quote repeats the beginning of somebody's words on one line.
func (l speaker) quote(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > quoted {
		s = strings.TrimSpace(string(r[:quoted])) + "…"
	}
	return l.say("quote", "text", s)
}

// label is a name that programs use.
func (l speaker) label(s string) string {
	s = strconv.Quote(s)
	return l.say("label", "text", s[1:len(s)-1])
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
	return strings.Join(list[:len(list)-1], l.comma) + l.and + list[len(list)-1]
}

// spoken says a role by its name in a language, and one that the language has no name for in English.
func spoken(roles map[lockboxv1.Role]string) func(lockboxv1.Role) string {
	return func(r lockboxv1.Role) string { return cmp.Or(roles[r], tenant.RoleName(r)) }
}
