package activity

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/timetext"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	placeholder = regexp.MustCompile(`\{\{[^{}]*\}\}`)
	word        = regexp.MustCompile(`\pL+`)
)

func TestTheLogIsToldInEveryLanguageOfLockbox(t *testing.T) {
	for _, tag := range tenant.Languages {
		if In(tag) == nil {
			t.Errorf("not in %s", tag)
		}
	}
	if len(languages) != len(tenant.Languages) || In("") != nil || In("EN") != nil || In("de") != nil {
		t.Error("it is told in languages that Lockbox does not have")
	}
}

func TestEveryActionHasATitleOfItsOwnInEveryLanguage(t *testing.T) {
	for _, tag := range tenant.Languages {
		seen := map[string]string{}
		for _, action := range Actions() {
			title := In(tag).Title(action)
			if title == "" || seen[title] != "" || tag == "en" && title != action {
				t.Errorf("%s: %q is called %q, as is %q", tag, action, title, seen[title])
			}
			seen[title] = action
		}
		if In(tag).Title("No such action") != "" {
			t.Errorf("%s: what is no action has a title", tag)
		}
	}
}

func TestEveryFactHasATitleAndASentence(t *testing.T) {
	for _, row := range table {
		for _, id := range []string{"title/" + row.typ, row.typ} {
			if !english.Has(id) {
				t.Errorf("there is no %q", id)
			}
		}
	}
	for id := range english.All() {
		if typ, is := strings.CutPrefix(id, "title/"); is && byType[typ].typ == "" {
			t.Errorf("%s is the title of no fact", typ)
		}
	}
}

// texts are the titles and sentences of a language, without its names of mails and roles.
func texts(l *Language) map[string]string {
	all := map[string]string{}
	for id, text := range l.All() {
		if !strings.HasPrefix(id, "mail/") && !strings.HasPrefix(id, "role/") {
			all[id] = text
		}
	}
	return all
}

// shared are words of English that are also French, or a name: of the product, of a support plan.
var shared = []string{
	"Webhook", "Lockbox", "invitation", "Customer",
	"JIT", "ticket", "support", "plan", "service", "catalogue", "change", "notification", "message", "signature",
	"UTC",
	"Basic", "Developer", "Standard", "Professional", "Direct", "Premier",
}

// vocabulary are the English words that no other language may use.
func vocabulary() map[string]bool {
	words := map[string]bool{}
	for _, text := range texts(english) {
		for _, w := range word.FindAllString(placeholder.ReplaceAllString(text, " "), -1) {
			words[strings.ToLower(w)] = len(w) > 1 // “à” and “a” are French
		}
	}
	for _, w := range shared {
		delete(words, strings.ToLower(w))
	}
	return words
}

// fingerprintWords are of no language, and the same in all.
var fingerprintWords = regexp.MustCompile(`[a-z]{6}( [a-z]{6}){11}`)

// foreign says which words of a text are not of the language.
func foreign(tag, text string, english map[string]bool) (found []string) {
	text = fingerprintWords.ReplaceAllString(strings.ReplaceAll(text, "adresse e-mail", "adresse"), "")
	for _, w := range word.FindAllString(text, -1) {
		latin := strings.ContainsFunc(w, func(r rune) bool { return r <= unicode.MaxASCII })
		switch {
		case slices.Contains(shared, w): // as a name is written
		case tag == "ja" && latin, tag == "fr" && english[strings.ToLower(w)], tag == "fr" &&
			strings.ContainsFunc(w, japaneseLetter):
			found = append(found, w)
		}
	}
	return found
}

func japaneseLetter(r rune) bool {
	return unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han)
}

// wrote stands for whatever people wrote, in letters that none of the languages has.
const wrote = "ξδψ"

// fill sets every field below a message: whatever people write to wrote, lists to that many, enumerations to one of
// their known values, flags to every other one.
func fill(m protoreflect.Message, n int) {
	switch at := m.Interface().(type) {
	case *timestamppb.Timestamp:
		at.Seconds = 1_772_442_000
		return
	case *durationpb.Duration:
		at.Seconds = int64(n) * 1800
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		value := func() protoreflect.Value {
			switch field.Kind() {
			case protoreflect.StringKind:
				return protoreflect.ValueOf(wrote)
			case protoreflect.EnumKind:
				return protoreflect.ValueOf(protoreflect.EnumNumber(1 + n%(field.Enum().Values().Len()-1)))
			case protoreflect.BoolKind:
				return protoreflect.ValueOf(n%2 == 1)
			default:
				return protoreflect.Value{}
			}
		}
		switch {
		case field.ContainingOneof() != nil && field.ContainingOneof().Name() == "fact":
		case field.IsList() && field.Message() != nil:
			for range n {
				fill(m.Mutable(field).List().AppendMutable().Message(), n)
			}
		case field.IsList():
			for range n {
				if v := value(); v.IsValid() {
					m.Mutable(field).List().Append(v)
				}
			}
		case field.Message() != nil:
			fill(m.Mutable(field).Message(), n)
		case field.Kind() == protoreflect.Uint32Kind:
			m.Set(field, protoreflect.ValueOf(uint32(n))) // #nosec G115 -- a small number
		default:
			if v := value(); v.IsValid() {
				m.Set(field, v)
			}
		}
	}
}

// facts are events of every kind, each filled in several ways.
func facts() (events []*lockboxv1.Event) {
	fields := new(lockboxv1.Event).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	for i := range fields.Len() {
		for n := 1; n <= 8; n++ {
			e := new(lockboxv1.Event)
			fill(e.ProtoReflect(), n)
			fill(e.ProtoReflect().Mutable(fields.Get(i)).Message(), n)
			if e.Kind = "tenant"; n%2 == 0 {
				e.Kind, e.Actor = "subscription", &lockboxv1.Actor{Person: &lockboxv1.Person{}}
			}
			events = append(events, e)
		}
	}
	return events
}

func TestNothingEnglishIsLeftInAnotherLanguage(t *testing.T) {
	vocabulary, said := vocabulary(), map[string]string{}
	for _, e := range facts() {
		for tag, l := range languages {
			title, summary := l.Describe(e)
			ends := "."
			if tag == "ja" {
				ends = "。"
			}
			if title == "" || !strings.HasSuffix(summary, ends) || strings.ContainsAny(summary, "{}") {
				t.Errorf("%s: %s is told as %q, %q", tag, aggregate.TypeOf(e), title, summary)
			}
			if tag == "en" {
				continue
			}
			if words := foreign(tag, title+" "+summary, vocabulary); len(words) > 0 {
				t.Errorf("%s: %s is told with %v: %q, %q", tag, aggregate.TypeOf(e), words, title, summary)
			}
			if other, twice := said[tag+title]; twice && other != aggregate.TypeOf(e) {
				t.Errorf("%s: %s and %s have one title: %s", tag, other, aggregate.TypeOf(e), title)
			}
			said[tag+title] = aggregate.TypeOf(e)
		}
	}
	for tag, l := range languages {
		if tag != "en" && len(foreign(tag, l.Overdue(), vocabulary)) > 0 {
			t.Errorf("%s: %s", tag, l.Overdue())
		}
	}
}

// The same holds of every event type that was ever shipped, but for what people wrote in it.
func TestWhatWasStoredIsToldInEveryLanguage(t *testing.T) {
	files, err := filepath.Glob("../../proto/testdata/golden/*.bin")
	if err != nil || len(files) < len(table) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e := new(lockboxv1.Event)
		if err := proto.Unmarshal(data, e); err != nil {
			t.Fatal(err)
		}
		said := map[string]bool{}
		for tag, l := range languages {
			entry := l.Entry(7, e)
			if entry.GetTitle() == "" || entry.GetSummary() == "" || entry.GetAction() != english.title(aggregate.TypeOf(e)) ||
				entry.GetVersion() != e.GetVersion() {
				t.Errorf("%s: %s: %v", tag, filepath.Base(file), entry)
			}
			said[entry.GetTitle()], said[entry.GetSummary()] = true, true
		}
		if len(said) != 2*len(languages) {
			t.Errorf("%s is told alike in two languages: %v", filepath.Base(file), slices.Collect(maps.Keys(said)))
		}
	}
}

func TestFrenchPunctuationIsNotTornOff(t *testing.T) {
	torn := regexp.MustCompile(`[ \pL\pN}][:;!?»]|«[^\x{a0}]`)
	for id, text := range texts(In("fr")) {
		if torn.MatchString(text) {
			t.Errorf("%s: an ordinary space, or none, in %q", id, text)
		}
		if strings.ContainsAny(text, `'"“”`) {
			t.Errorf("%s: quotation marks of another language in %q", id, text)
		}
	}
}

func TestJapanesePunctuationIsItsOwn(t *testing.T) {
	sentences := texts(english)
	for id, text := range texts(In("ja")) {
		if strings.ContainsAny(placeholder.ReplaceAllString(text, ""), `.,:;()"“”'`) {
			t.Errorf("%s: punctuation of another language in %q", id, text)
		}
		if strings.HasSuffix(sentences[id], ".") != strings.HasSuffix(text, "。") {
			t.Errorf("%s: a sentence or none? %q", id, text)
		}
	}
}

// What somebody wrote is never read as a placeholder.
func TestWhatIsFilledInIsNotLookedAt(t *testing.T) {
	e := &lockboxv1.Event{
		Actor: &lockboxv1.Actor{Person: &lockboxv1.Person{DisplayName: "{because}{who}"}},
		Fact:  &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{Reason: "{who}"}},
	}
	if _, got := english.Describe(e); got != "{because}{who} denied access: “{who}”." {
		t.Error(got)
	}
}

// R60: sentences name times in a zone, to the second and with UTC beside; without one, or in UTC, as the exports do.
func TestR60SentencesNameTimesInAZone(t *testing.T) {
	until := time.Date(2026, 7, 2, 22, 30, 15, 0, time.UTC)
	e := &lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{
		EndsAt: timestamppb.New(until)}}}
	for tag, want := range map[string]string{
		"en": "Fri 3\u00a0Jul 2026, 00:30:15\u00a0CEST (2\u00a0Jul, 22:30:15\u00a0UTC)",
		"fr": "ven. 3\u00a0juil. 2026 à 00\u00a0h\u00a030\u00a0min\u00a015\u00a0s\u00a0CEST " +
			"(2\u00a0juil. à 22\u00a0h\u00a030\u00a0min\u00a015\u00a0s\u00a0UTC)",
		"ja": "2026年7月3日（金）00:30:15\u00a0CEST（7月2日22:30:15\u00a0UTC）",
	} {
		l := In(tag)
		_, before := l.Describe(e)
		if _, got := l.Timed(timetext.Zone("Europe/Paris")).Describe(e); !strings.Contains(got, want) {
			t.Errorf("%s: %q", tag, got)
		}
		if _, got := l.Timed(time.UTC).Describe(e); got != before {
			t.Errorf("%s: in UTC it is %q, and not %q", tag, got, before)
		}
		renamed := l.Timed(timetext.Zone("Europe/Paris")).Naming(catalogue.Default())
		if _, got := renamed.Describe(e); !strings.Contains(got, want) {
			t.Errorf("%s: with other names it is %q", tag, got)
		}
	}
}
