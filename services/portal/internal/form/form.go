// Package form parses submitted forms and keeps the values together with their errors, so that people can correct a
// form instead of starting over.
package form

import (
	"maps"
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

// Field is a form field: the name of its control, which is also the control's id, and the message ID of its label.
type Field struct{ Name, Label string }

// Problem is a field's error.
type Problem struct {
	Field
	// Message is the ID of a message, Refusal a service's refusal; exactly one is set.
	Message string
	Refusal *lockboxv1.Refusal
}

// Form is a form with the values that were submitted.
type Form struct {
	values url.Values
	// Problems lists the errors to correct.
	Problems []Problem
	// Refusal is why the command was refused, if not because of a single field.
	Refusal *lockboxv1.Refusal
}

// Empty returns an unsubmitted form, prefilled from pairs of names and values.
func Empty(pairs ...string) *Form {
	f := &Form{values: url.Values{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		f.values.Set(pairs[i], pairs[i+1])
	}
	return f
}

// Sent parses the form in a request: from the query for GET, from the body for POST.
func Sent(r *http.Request) *Form {
	if r.Method == http.MethodPost {
		return &Form{values: r.PostForm}
	}
	return &Form{values: r.URL.Query()}
}

// Restored returns the form of a page that is looked at: from its query, and from what was typed there before.
func Restored(r *http.Request, draft url.Values) *Form {
	f := Sent(r)
	for name, values := range draft {
		f.values[name] = values
	}
	return f
}

// Value returns a field's value with surrounding white space removed and CRLF, which browsers send, converted to LF.
func (f *Form) Value(name string) string { return clean(f.values.Get(name)) }

// All returns all values of a field.
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

// Has reports whether a field has that value among its values.
func (f *Form) Has(name, value string) bool {
	for _, s := range f.values[name] {
		if s == value {
			return true
		}
	}
	return false
}

// moments are the time formats that browsers submit, and those that people type by hand.
var moments = []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02", time.RFC3339}

// Moment parses a time in the reader's zone; the zero time if the field is empty. An unparsable value is added to
// Problems.
func (f *Form) Moment(field Field, zone *time.Location) time.Time {
	text := f.Value(field.Name)
	if text == "" {
		return time.Time{}
	}
	for _, layout := range moments {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t.UTC()
		}
	}
	f.Problems = append(f.Problems, Problem{Field: field, Message: "form.no-time"})
	return time.Time{}
}

// Number parses a hidden field that the page itself wrote.
func (f *Form) Number(name string) (uint64, error) {
	n, err := strconv.ParseUint(f.values.Get(name), 10, 64)
	if err != nil || n == 0 {
		return 0, refusal.OfKind(refusal.Invalid(name, "bad input", "is not what the page's own form says"), "form")
	}
	return n, nil
}

// Wrong returns a field's error, or nil.
func (f *Form) Wrong(name string) *Problem {
	for i := range f.Problems {
		if f.Problems[i].Name == name {
			return &f.Problems[i]
		}
	}
	return nil
}

// Refused records a service's refusal in the form, provided that it is one that the person can correct, and reports
// whether it did. fields maps the service's field names to those of the form.
func (f *Form) Refused(err error, fields map[string]Field) bool {
	r, _ := refusal.As(err)
	field, known := fields[r.GetField()]
	switch r.GetCode() {
	case lockboxv1.RefusalCode_REFUSAL_CODE_INVALID:
		if !known {
			return false
		}
		f.Problems = append(f.Problems, Problem{Field: field, Refusal: r})
	case lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN: // unless the form says so, there is nothing to correct
		if !known {
			return false
		}
		f.Refusal = r
	case lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT, lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION:
		f.Refusal = r
	default:
		return false
	}
	return true
}

// Changed reports whether the refusal says that the data changed after the page was rendered.
func (f *Form) Changed() bool { return f.Refusal.GetField() == "seen_version" }

// commandField holds the command ID that the page gave its form.
const commandField = "command"

// NewID returns a new command ID for a form.
func NewID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}

// LinkSecret is the field in which a page carries the secret of an invitation's link to the page on which it is signed.
// It is not kept.
const LinkSecret = "link-secret"

// Signed are the fields that a page on which a form is signed adds to it.
var Signed = []string{"statement", "salt", "credential", "authenticator", "client", "signature"}

// CommandID returns the command's ID, derived from the ID that the page gave the form and from the values. Submitting
// the same form twice is one command; going back and submitting other values is another. A form that comes back signed
// is the same one: what is signed may name the ID.
func (f *Form) CommandID() (string, error) {
	values := maps.Clone(f.values)
	for _, name := range append([]string{LinkSecret}, Signed...) {
		values.Del(name)
	}
	return commandid.Of(commandField, f.values.Get(commandField), []byte(values.Encode()))
}
