// Package accesstext says in words, in every language of Lockbox, what access records tell (R69). It is pure.
package accesstext

import (
	"cmp"
	"embed"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/message"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

//go:embed messages/*.yaml
var files embed.FS

// Language is a language of access records.
type Language struct{ *message.Catalogue }

var languages = load()

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

// In returns a language by its BCP 47 tag; nil if it is not supported.
func In(tag string) *Language { return languages[tag] }

// typePrefix is how the types of access records begin, wherever records are chosen by type.
const typePrefix = "access."

// Kinds are all kinds of records, in the order in which they are offered.
var Kinds = []lockboxv1.AccessKind{
	lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN, lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED,
	lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED, lockboxv1.AccessKind_ACCESS_KIND_READ,
	lockboxv1.AccessKind_ACCESS_KIND_EXPORT,
}

// Name is a kind's name for programs: sign_in.
func Name(k lockboxv1.AccessKind) string {
	return strings.ToLower(strings.TrimPrefix(k.String(), "ACCESS_KIND_"))
}

// Named returns the kind of a name; not set if there is none.
func Named(name string) lockboxv1.AccessKind {
	for _, k := range Kinds {
		if Name(k) == name {
			return k
		}
	}
	return lockboxv1.AccessKind_ACCESS_KIND_UNSPECIFIED
}

// Type is the type of a kind's records: access.sign_in.
func Type(k lockboxv1.AccessKind) string { return typePrefix + Name(k) }

// OfType returns the kind of a type; not set if the type is none of access records.
func OfType(typ string) lockboxv1.AccessKind {
	name, is := strings.CutPrefix(typ, typePrefix)
	if !is {
		return lockboxv1.AccessKind_ACCESS_KIND_UNSPECIFIED
	}
	return Named(name)
}

// Kind returns a kind's title.
func (l *Language) Kind(k lockboxv1.AccessKind) string { return l.say("kind/" + dashed(Name(k))) }

// What says what somebody did, or tried to.
func (l *Language) What(r *lockboxv1.AccessRecord) string {
	kind := dashed(Name(r.GetKind()))
	if r.GetLeftOut() > 0 {
		return l.say("left-out/" + kind)
	}
	verb := dashed(r.GetAction())
	switch r.GetKind() {
	case lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED:
		switch id := kind + "/" + verb; {
		case verb == "submit-intent":
			kind = verb
		case l.Has(id):
			kind = id
		}
	case lockboxv1.AccessKind_ACCESS_KIND_READ:
		if l.Has(verb) && (strings.HasPrefix(verb, "list-") || strings.HasPrefix(verb, "get-") ||
			slices.Contains([]string{"preview-approvers", "whole-log", "group-requests"}, verb)) {
			kind = verb
		}
	case lockboxv1.AccessKind_ACCESS_KIND_EXPORT:
		if r.GetFormat() == "receipt" || r.GetFormat() == "approval-file" {
			kind = r.GetFormat()
		}
	case lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN, lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED,
		lockboxv1.AccessKind_ACCESS_KIND_UNSPECIFIED:
	}
	values := []any{}
	switch kind {
	case "command-refused", "read":
		values = []any{"Action", strings.ReplaceAll(r.GetAction(), "_", " ")}
	case "export":
		values = []any{"Format", r.GetFormat()}
	}
	return l.say(kind, values...)
}

// Outcome says what came of it: why it was refused, how often, how many results. Each is a phrase; there may be none.
func (l *Language) Outcome(r *lockboxv1.AccessRecord) (phrases []string) {
	if n := r.GetLeftOut(); n > 0 {
		return []string{l.count("left-out", n)}
	}
	if code := r.GetRefusalCode(); code != lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED &&
		r.GetKind() != lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED {
		phrases = append(phrases, l.say("refused/"+dashed(strings.ToLower(strings.TrimPrefix(code.String(),
			"REFUSAL_CODE_")))))
	}
	if r.GetKind() == lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED {
		reason, code, _ := strings.Cut(r.GetReason(), ": ")
		id := "reason/" + reason
		if !l.Has(id) {
			id = "reason"
		}
		text := l.say(id)
		if code != "" {
			text += " (" + code + ")"
		}
		phrases = append(phrases, text)
	}
	if n := r.GetResults(); n > 0 && (n > 1 || strings.HasPrefix(r.GetAction(), "list_")) {
		phrases = append(phrases, l.count("results", n))
	}
	if n := r.GetCount(); n > 1 {
		phrases = append(phrases, l.count("times", n))
	}
	return phrases
}

// Filter says by what a list was filtered, a phrase for each term, unless the record is of a version that kept only
// the words of AccessRecord.filter.
func (l *Language) Filter(r *lockboxv1.AccessRecord) (phrases []string) {
	for _, term := range r.GetFilterTerms() {
		name, values := dashed(term.GetName()), make([]string, len(term.GetValues()))
		for i, value := range term.GetValues() {
			values[i] = l.value(name, value)
		}
		said := term.GetName()
		if id := "filter/" + name; l.Has(id) {
			said = l.say(id)
		}
		if len(values) > 0 {
			said = l.say("filter", "Name", said, "Values", strings.Join(values, ", "))
		}
		phrases = append(phrases, said)
	}
	return phrases
}

// value says a value of a filter: one of a list of ours in words, everything else as it was typed.
func (l *Language) value(filter, value string) string {
	switch id := filter + "/" + dashed(value); {
	case filter == "kinds":
		if k := Named(value); k != lockboxv1.AccessKind_ACCESS_KIND_UNSPECIFIED {
			return l.Kind(k)
		}
	case filter == "actions":
		return cmp.Or(activity.In(l.Tag).Title(value), value)
	case l.Has(id) && (filter == "statuses" || filter == "by"):
		return l.say(id)
	}
	return value
}

// Who returns a person's name, or that nobody knows it.
func (l *Language) Who(r *lockboxv1.AccessRecord) string {
	for _, s := range []string{r.GetWho().GetName(), r.GetWho().GetSubject()} {
		if s != "" {
			return s
		}
	}
	return l.say("nobody")
}

// Sentence says all of it on one line.
func (l *Language) Sentence(r *lockboxv1.AccessRecord) string {
	s := l.Who(r) + ": " + l.What(r)
	if phrases := l.Outcome(r); len(phrases) > 0 {
		s += " (" + strings.Join(phrases, "; ") + ")"
	}
	return s
}

func dashed(name string) string { return strings.ReplaceAll(name, "_", "-") }

func (l *Language) say(id string, pairs ...any) string {
	text, _ := l.Say(id, pairs...) // a test says every one
	return text
}

func (l *Language) count(id string, n uint64) string {
	return l.say(id, "Count", int(min(n, 1<<31))) // #nosec G115 -- bounded
}
