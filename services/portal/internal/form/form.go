// Package form is what people fill in: read as they meant it, and kept with what is wrong with it, so that they correct
// it instead of beginning again.
package form

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/commandid"
)

// Field is one of a form's: its control's name, which is the control's id too, and the message that labels it.
type Field struct{ Name, Label string }

// Problem is what is wrong with a field.
type Problem struct {
	Field
	// Message says it in the reader's language, Sentence as the service did, in English; one of them.
	Message, Sentence string
}

// Form is what somebody filled in.
type Form struct {
	values url.Values
	// Problems are what to correct.
	Problems []Problem
	// Refusal is why nothing was done if that is no single field's fault.
	Refusal *lockboxv1.Refusal
}

// Empty is a form that nobody has filled in, but for these pairs of names and values.
func Empty(pairs ...string) *Form {
	f := &Form{values: url.Values{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		f.values.Set(pairs[i], pairs[i+1])
	}
	return f
}

// Sent is the form that a request carries: in its address if it only looks, in its body if it does something.
func Sent(r *http.Request) *Form {
	if r.Method == http.MethodPost {
		return &Form{values: r.PostForm}
	}
	return &Form{values: r.URL.Query()}
}

// Value is what was filled in, without the blanks around it. Browsers send the ends of lines as the internet does; they
// are read as everybody else writes them.
func (f *Form) Value(name string) string { return clean(f.values.Get(name)) }

// All is what was filled in, or chosen, under one name.
func (f *Form) All(name string) []string {
	var list []string
	for _, s := range f.values[name] {
		if s = clean(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

func clean(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }

// Has reports whether this was chosen under that name.
func (f *Form) Has(name, value string) bool {
	for _, s := range f.values[name] {
		if s == value {
			return true
		}
	}
	return false
}

// moments are how browsers send what their users choose, and how people write it by hand.
var moments = []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02", time.RFC3339}

// Moment reads a time in UTC; zero: none was filled in. What cannot be read is a problem.
func (f *Form) Moment(field Field) time.Time {
	text := f.Value(field.Name)
	if text == "" {
		return time.Time{}
	}
	for _, layout := range moments {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	f.Problems = append(f.Problems, Problem{Field: field, Message: "form.no-time"})
	return time.Time{}
}

// Number reads what the page itself wrote into the form.
func (f *Form) Number(name string) (uint64, error) {
	n, err := strconv.ParseUint(f.values.Get(name), 10, 64)
	if err != nil || n == 0 {
		return 0, refusal.Invalid(name, "bad input", "is not what the page's own form says")
	}
	return n, nil
}

// Wrong is what is wrong with a field; nil: nothing.
func (f *Form) Wrong(name string) *Problem {
	for i := range f.Problems {
		if f.Problems[i].Name == name {
			return &f.Problems[i]
		}
	}
	return nil
}

// Refused keeps why a service did not do what the form asks for, if whoever filled it in can do something about it: the
// fields are by the service's names for them. False: it is no such refusal.
func (f *Form) Refused(err error, fields map[string]Field) bool {
	r, _ := refusal.As(err)
	field, known := fields[r.GetField()]
	switch r.GetCode() {
	case lockboxv1.RefusalCode_REFUSAL_CODE_INVALID:
		if !known {
			return false
		}
		f.Problems = append(f.Problems, Problem{Field: field, Sentence: r.GetMessage()})
	case lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT, lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION:
		f.Refusal = r
	default:
		return false
	}
	return true
}

// Changed reports whether it was refused because something has changed since the page was made.
func (f *Form) Changed() bool { return f.Refusal.GetField() == "seen_version" }

// commandField holds the id that a page gave its form.
const commandField = "command"

// NewID is an id for a form.
func NewID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}

// CommandID is the id of the command that a form asks for. It is made of the id that the page gave it and of what was
// filled in: a form sent twice is one command, and one to which somebody went back and wrote something else is another.
func (f *Form) CommandID() (string, error) {
	return commandid.Of(commandField, f.values.Get(commandField), []byte(f.values.Encode()))
}
