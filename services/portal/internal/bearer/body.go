package bearer

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	josejson "github.com/go-jose/go-jose/v4/json"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// Fields maps the members that a body's JSON object may have to where they are decoded.
type Fields map[string]any

// Body decodes the request's JSON object, which may begin with a byte order mark. A member that is null is absent.
// Names are case-sensitive; unknown and repeated members are refused, because a client that sends something we do not
// understand means something other than what we would do.
func (c *Call) Body(fields Fields) error {
	return c.body(func(name string) (string, error) {
		if _, known := fields[name]; !known {
			return "", refusal.OfKind(
				refusal.Invalid(name, rule, "is not known here%s",
					input.DidYouMean(name, slices.Sorted(maps.Keys(fields)))),
				"member-unknown", "name", name)
		}
		return name, nil
	}, fields)
}

// ARMBody decodes the request's JSON object as Azure Resource Manager does: as Body, but names are compared without
// regard to case, and unknown members are ignored.
func (c *Call) ARMBody(fields Fields) error {
	return c.body(func(name string) (string, error) {
		for known := range fields {
			if strings.EqualFold(name, known) {
				return known, nil
			}
		}
		return "", nil
	}, fields)
}

// JSONBody returns the bytes of a body that says that it is JSON.
func (c *Call) JSONBody() ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(c.W, c.R.Body, input.MaxMessage))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		most := strconv.Itoa(input.MaxMessage)
		return nil, &UnfitError{Status: http.StatusRequestEntityTooLarge, Kind: "body-too-large",
			Message: "a body is at most " + most + " bytes long", Names: []string{"most", most}}
	}
	if err != nil {
		return nil, refusal.OfKind(refusal.Invalid("body", rule, "cannot be read"), "body-unreadable")
	}
	if media, _, err := mime.ParseMediaType(c.R.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, &UnfitError{Status: http.StatusUnsupportedMediaType,
			Message: "a body is JSON, and says so: Content-Type: application/json", Kind: "body-type"}
	}
	return data, nil
}

// body decodes the request's JSON object. A member is what named says; "": it is ignored.
func (c *Call) body(named func(string) (string, error), fields Fields) error {
	data, err := c.JSONBody()
	if err != nil {
		return err
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	members, given := map[string]josejson.RawMessage{}, map[string]bool{}
	if !utf8.Valid(data) || josejson.Unmarshal(data, &members) != nil || members == nil {
		return refusal.OfKind(
			refusal.Invalid("body", rule, "must be one JSON object in UTF-8 in which no name is given twice"),
			"body-json")
	}
	for _, as := range slices.Sorted(maps.Keys(members)) {
		name, err := named(as)
		switch {
		case err != nil:
			return err
		case name == "" || string(members[as]) == "null":
			continue
		case given[name]:
			return refusal.OfKind(refusal.Invalid(name, rule, "is given twice"), "given-twice")
		}
		given[name] = true
		if err := json.Unmarshal(members[as], fields[name]); err != nil {
			if _, refused := refusal.As(err); refused {
				return err
			}
			return refusal.OfKind(refusal.Invalid(name, rule, "is not of the right kind"), "wrong-kind")
		}
	}
	return nil
}
