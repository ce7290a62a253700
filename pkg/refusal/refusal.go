// Package refusal defines the typed errors with which every part of Lockbox refuses a request. A refusal names the
// field and the rule; nothing has been changed.
package refusal

import (
	"errors"
	"fmt"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Error is a refusal as a Go error. It wraps the message that is sent over the wire.
type Error struct{ Refusal *lockboxv1.Refusal }

// Error is for logs: it names the rule, which is nothing for the people who are refused. They are told Sentence.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", Sentence(e), e.Refusal.GetRule()) }

// Sentence returns what people are told of an error: of a refusal the field and the message.
func Sentence(err error) string {
	r, refused := As(err)
	switch {
	case !refused:
		return err.Error()
	case r.GetField() == "":
		return r.GetMessage()
	}
	return r.GetField() + ": " + r.GetMessage()
}

// New builds a refusal with any code; the functions below are shorthands.
func New(code lockboxv1.RefusalCode, field, rule, format string, args ...any) *Error {
	return &Error{&lockboxv1.Refusal{Code: code, Field: field, Rule: rule, Message: fmt.Sprintf(format, args...)}}
}

// Invalid refuses a message that is wrong in itself.
func Invalid(field, rule, format string, args ...any) error {
	return New(lockboxv1.RefusalCode_REFUSAL_CODE_INVALID, field, rule, format, args...)
}

// Unauthenticated refuses a caller without a trusted token.
func Unauthenticated(field, rule, format string, args ...any) error {
	return New(lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED, field, rule, format, args...)
}

// Forbidden refuses a known caller who lacks permission.
func Forbidden(field, rule, format string, args ...any) error {
	return New(lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN, field, rule, format, args...)
}

// NotFound refuses access to something that does not exist or that the caller may not see (I9). Both look the same.
func NotFound(field, rule, format string, args ...any) error {
	return New(lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND, field, rule, format, args...)
}

// Conflict refuses because something else was decided first.
func Conflict(field, rule, format string, args ...any) error {
	return New(lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT, field, rule, format, args...)
}

// Precondition refuses because the state does not allow it any longer, or not yet.
func Precondition(field, rule, format string, args ...any) error {
	return New(lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION, field, rule, format, args...)
}

// Unavailable refuses because something that is needed for the decision does not answer (I11).
func Unavailable(field, rule, format string, args ...any) error {
	return New(lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE, field, rule, format, args...)
}

// Because adds a coded reason to a refusal that will be recorded in an event.
func Because(err error, why *lockboxv1.Reason) error {
	if r, ok := As(err); ok {
		r.CodedReason = why
	}
	return err
}

// Kind is the parameter of a refusal's reason that says which of several things it is, where code, rule and field leave
// that open.
const Kind = "kind"

// Naming adds to a refusal what its sentence names in every language, as pairs of names and values: times in RFC 3339,
// durations as Go writes them, numbers in digits. What is empty is not added.
func Naming(err error, pairs ...string) error {
	r, is := As(err)
	if !is {
		return err
	}
	r.CodedReason = new(lockboxv1.Reason)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			r.CodedReason.Parameters = append(r.CodedReason.Parameters,
				&lockboxv1.ReasonParameter{Name: pairs[i], Value: pairs[i+1]})
		}
	}
	return err
}

// OfKind is Naming for a refusal whose code, rule and field may mean several things.
func OfKind(err error, kind string, pairs ...string) error {
	return Naming(err, append([]string{Kind, kind}, pairs...)...)
}

// First returns the first of the errors that there are.
func First(faults ...error) error {
	for _, err := range faults {
		if err != nil {
			return err
		}
	}
	return nil
}

// As returns the refusal in err, if there is one.
func As(err error) (*lockboxv1.Refusal, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e.Refusal, true
	}
	return nil, false
}

// Of returns the refusal in err. Any other error becomes UNAVAILABLE without its text, which may contain details that
// the caller must not see; log it.
func Of(err error) *lockboxv1.Refusal {
	if r, ok := As(err); ok {
		return r
	}
	return &lockboxv1.Refusal{
		Code: lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE, Rule: "I11",
		Message: "not available just now; nothing was changed",
	}
}

// Is reports whether err is a refusal of this code.
func Is(err error, code lockboxv1.RefusalCode) bool {
	r, ok := As(err)
	return ok && r.GetCode() == code
}
