package approval

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// MaxStatement is the size in bytes of the longest statement.
const MaxStatement = 96 << 10

const maxInteger = 1<<53 - 1

// unseen are the code points that no text of a statement holds: they are not seen, or change how others are. Those that
// JSON could escape in two ways are among them, so that every string has one spelling.
var unseen = [][2]rune{{0, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x61c, 0x61c}, {0x180e, 0x180e}, {0x200b, 0x200f},
	{0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xffff}, {0xe0000, 0xe0fff}}

func isUnseen(r rune) bool {
	return slices.ContainsFunc(unseen, func(span [2]rune) bool { return r >= span[0] && r <= span[1] })
}

// canonical is the one spelling of a value (RFC 8785), which holds structures, lists, strings and uint64 only.
func canonical(v any) ([]byte, error) {
	text, err := spellOut(nil, reflect.Indirect(reflect.ValueOf(v)))
	return text, at("statement", err)
}

func spellOut(to []byte, v reflect.Value) (_ []byte, err error) {
	switch v.Kind() {
	case reflect.String:
		return quote(to, v.String())
	case reflect.Uint64:
		if v.Uint() > maxInteger {
			return nil, refuse("", RuleForm, "%d is not an integer from 0 to 2^53-1", v.Uint())
		}
		return strconv.AppendUint(to, v.Uint(), 10), nil
	case reflect.Slice:
		to = append(to, '[')
		for i := range v.Len() {
			if i > 0 {
				to = append(to, ',')
			}
			if to, err = spellOut(to, v.Index(i)); err != nil {
				return nil, at(strconv.Itoa(i), err)
			}
		}
		return append(to, ']'), nil
	case reflect.Struct:
		to = append(to, '{')
		for i, f := range fieldsOf(v.Type()) {
			if i > 0 {
				to = append(to, ',')
			}
			to = append(append(append(to, '"'), f.name...), '"', ':')
			if to, err = spellOut(to, v.FieldByIndex(f.index)); err != nil {
				return nil, at(f.name, err)
			}
		}
		return append(to, '}'), nil
	}
	return nil, refuse("", RuleForm, "%s is no type of a statement", v.Type())
}

func quote(to []byte, s string) ([]byte, error) {
	to = append(to, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			to = append(to, '\\', byte(r))
		case r >= ' ' && r <= '~':
			to = append(to, byte(r))
		case isUnseen(r): // what is no UTF-8 reads as U+FFFD, which is among them
			return nil, refuse("", RuleForm, "holds U+%04X, which no text of a statement may", r)
		default:
			to = utf8.AppendRune(to, r)
		}
	}
	return append(to, '"'), nil
}

// A spelled field is one that JSON has, with its name there.
type spelledField struct {
	name  string
	index []int
}

var spelledFields sync.Map // of each type, since sorting them takes longer than writing them

// fieldsOf are the fields of a structure, and of those that it embeds, in the order of their names, which are ASCII.
func fieldsOf(t reflect.Type) []spelledField {
	if known, is := spelledFields.Load(t); is {
		return known.([]spelledField) //nolint:errcheck // nothing else is stored
	}
	var fields []spelledField
	for _, f := range reflect.VisibleFields(t) {
		if !f.Anonymous {
			fields = append(fields, spelledField{f.Tag.Get("json"), f.Index})
		}
	}
	slices.SortFunc(fields, func(a, b spelledField) int { return strings.Compare(a.name, b.name) })
	spelledFields.Store(t, fields)
	return fields
}

// parse reads what canonical wrote, and refuses every other spelling.
func parse(data []byte, limit int, into any) error {
	if len(data) > limit {
		return refuse("statement", RuleForm, "%d bytes; at most %d are read", len(data), limit)
	}
	if !utf8.Valid(data) {
		return refuse("statement", RuleForm, "not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return refuse("statement", RuleForm, "%v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return refuse("statement", RuleForm, "something follows it")
	}
	switch again, err := canonical(into); {
	case err != nil:
		return err
	case !bytes.Equal(again, data):
		return refuse("statement", RuleForm, "not in its only spelling, or with a field missing")
	}
	return nil
}

var base64url = base64.RawURLEncoding.Strict()

// decode64 reads base64url without padding, in its only spelling.
func decode64(field, s string, most int) ([]byte, error) {
	b, err := base64url.DecodeString(s)
	if err != nil || base64url.EncodeToString(b) != s || len(b) == 0 || len(b) > most {
		return nil, refuse(field, RuleForm, "not 1 to %d bytes in base64url without padding", most)
	}
	return b, nil
}

// checkHash checks 32 bytes in lower-case hexadecimal digits.
func checkHash(field, s string) error {
	if b, err := hex.DecodeString(s); err != nil || len(b) != 32 || hex.EncodeToString(b) != s {
		return refuse(field, RuleValue, "not 32 bytes in lower-case hexadecimal digits")
	}
	return nil
}

// TimeText is how a time stands in a statement: RFC 3339 in UTC, with Z, and with as many digits of a second's fraction
// as it needs.
func TimeText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func parseTime(field, s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || TimeText(t) != s || t.Year() < 1970 {
		return time.Time{}, refuse(field, RuleValue, "%q is no time in UTC in its only spelling", s)
	}
	return t, nil
}

// checkText checks a text that must be there.
func checkText(field, s string, most int) error {
	if s == "" || len(s) > most {
		return refuse(field, RuleValue, "is 1 to %d bytes long", most)
	}
	return nil
}
