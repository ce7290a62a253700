// Package input checks what comes from outside before anything else looks at it. Every refusal names the field. It is
// pure and knows nothing of requests or tenants.
package input

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// MaxMessage is the size above which no message from outside is read, in bytes.
const MaxMessage = 64 << 10

// MaxCount is how far the matches of a list are counted; there may be more.
const MaxCount = 1000

const rule = "bad input"

// ErrUnknownFact says that an event holds no fact that this version knows.
var ErrUnknownFact = errors.New("the event holds no fact that this version knows")

// Tenant checks a tenant id: 3 to 40 of a-z, 0-9 and inner dashes. Nothing else, so that a tenant is always exactly one
// token of a subject and never a wildcard.
func Tenant(field, s string) error {
	ok := len(s) >= 3 && len(s) <= 40 && s[0] != '-' && s[len(s)-1] != '-'
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-'
	}
	if !ok {
		return refusal.Invalid(field, rule, "a tenant id is 3 to 40 lower-case letters, digits and inner dashes")
	}
	return nil
}

// Token checks an id that becomes one token of a subject: 1 to 64 letters, digits, dashes and underscores, beginning
// with a letter or digit.
func Token(field, s string) error {
	ok := len(s) >= 1 && len(s) <= 64 && s[0] != '-' && s[0] != '_'
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
	}
	if !ok {
		return refusal.Invalid(field, rule,
			"an id is 1 to 64 letters, digits, dashes and underscores, and begins with a letter or digit")
	}
	return nil
}

// UUIDv7 checks an id made by the sender of a message (RFC 9562), in its canonical lower-case form: two spellings of
// one id would be two subjects.
func UUIDv7(field, s string) error {
	id, err := uuid.Parse(s)
	if err != nil || id.Version() != 7 || id.String() != s {
		return refusal.Invalid(field, rule, "must be a UUID of version 7 in lower case")
	}
	return nil
}

// Line checks one line of plain text of minRunes to maxRunes runes.
func Line(field, s string, minRunes, maxRunes int) error {
	if strings.ContainsAny(s, "\n\t") {
		return refusal.Invalid(field, rule, "must be one line without tabs")
	}
	return Text(field, s, minRunes, maxRunes)
}

// Text checks plain text of minRunes to maxRunes runes that people will read: no control characters but line feed and
// tab, and nothing that changes the direction of text, hides in it or stands for no character, for a justification must
// look the same to everyone.
func Text(field, s string, minRunes, maxRunes int) error {
	if !utf8.ValidString(s) {
		return refusal.Invalid(field, rule, "must be UTF-8")
	}
	if n := utf8.RuneCountInString(s); n > maxRunes {
		return refusal.Invalid(field, rule, "is %d characters long; at most %d are allowed", n, maxRunes)
	}
	if n := utf8.RuneCountInString(strings.TrimSpace(s)); n < minRunes {
		if n == 0 {
			return refusal.Invalid(field, rule, "is required")
		}
		return refusal.Invalid(field, rule, "is %d characters long; at least %d are needed", n, minRunes)
	}
	for _, r := range s {
		if !printable(r) {
			return refusal.Invalid(field, rule,
				"holds the character U+%04X, which controls how text is shown instead of being shown", r)
		}
	}
	return nil
}

// printable is an allow-list by category, which closes the door to characters that do not exist yet.
func printable(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return true
	case r == '\u115F', r == '\u1160', r == '\u3164', r == '\uFFA0', r == '\u2800', r == '\u034F':
		return false // letters and marks in name, blank or invisible in print
	case r >= '\uFE00' && r <= '\uFE0F', r >= 0xE0100 && r <= 0xE01EF:
		return false // variation selectors
	}
	return unicode.IsOneOf([]*unicode.RangeTable{unicode.L, unicode.M, unicode.N, unicode.P, unicode.S}, r) ||
		r == ' ' || r == '\u00A0' || r == '\u202F' || r == '\u3000'
}

// Email checks an address that mail will go to: printable ASCII of the shape local@domain.tld, and nothing that a mail
// server or a header could read as more than one address (RFC 5321, a subset).
func Email(field, s string) error {
	local, domain, found := strings.Cut(s, "@")
	if !found || len(s) > 254 || len(local) == 0 || len(local) > 64 || !localPart(local) || !hostname(domain) {
		return refusal.Invalid(field, rule, "must be a plain e-mail address such as name@example.org")
	}
	return nil
}

func localPart(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._+'-", c) >= 0) {
			return false
		}
	}
	return s[0] != '.' && s[0] != '-' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}

func hostname(s string) bool {
	labels := strings.Split(s, ".")
	if len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if len(l) == 0 || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			c := l[i]
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return len(last) >= 2 && (last[0] < '0' || last[0] > '9')
}

// Decode reads a message from outside into m. What is larger than MaxMessage, malformed, or has a field that this
// version does not know is refused: a receiver that ignored a field might do less, or more, than the sender meant.
func Decode(data []byte, m proto.Message) error {
	if len(data) > MaxMessage {
		return refusal.Invalid("message", rule, "is %d bytes long; at most %d are read", len(data), MaxMessage)
	}
	if err := proto.Unmarshal(data, m); err != nil {
		return refusal.Invalid("message", rule, "is not a valid %s", m.ProtoReflect().Descriptor().Name())
	}
	if path, found := unknown(m.ProtoReflect(), ""); found {
		return refusal.Invalid(path, rule, "has a field that this version does not know")
	}
	return nil
}

// DecodeEvent reads a stored event. Fields that this version does not know are kept; a fact that it does not know is
// ErrUnknownFact, because whoever skipped it would believe in another past.
func DecodeEvent(data []byte) (*lockboxv1.Event, error) {
	e := new(lockboxv1.Event)
	if err := proto.Unmarshal(data, e); err != nil {
		return nil, refusal.Invalid("event", rule, "is not a valid Event")
	}
	if e.GetFact() == nil {
		return e, ErrUnknownFact
	}
	return e, nil
}

// unknown finds the first message that carries fields unknown to its type.
func unknown(m protoreflect.Message, path string) (string, bool) {
	if len(m.GetUnknown()) > 0 {
		if path == "" {
			path = "message"
		}
		return path, true
	}
	where, found := "", false
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() == nil {
			return true
		}
		at := strings.TrimPrefix(path+"."+string(fd.Name()), ".")
		if !fd.IsList() {
			where, found = unknown(v.Message(), at)
			return !found
		}
		for i := range v.List().Len() {
			if where, found = unknown(v.List().Get(i).Message(), at); found {
				return false
			}
		}
		return true
	})
	return where, found
}
