package bearer

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"unicode/utf8"

	josejson "github.com/go-jose/go-jose/v4/json"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// Fields maps the members that a body's JSON object may have to where they are decoded.
type Fields map[string]any

// Body decodes the request's JSON object. Names are case-sensitive; unknown or repeated members and null are refused,
// because a client that sends something we do not understand means something other than what we would do.
func (c *Call) Body(fields Fields) error {
	data, err := io.ReadAll(http.MaxBytesReader(c.W, c.R.Body, input.MaxMessage))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return &UnfitError{Status: http.StatusRequestEntityTooLarge, Message: "a body is at most " +
			strconv.Itoa(input.MaxMessage) + " bytes long"}
	}
	if err != nil {
		return refusal.Invalid("body", rule, "cannot be read")
	}
	if media, _, err := mime.ParseMediaType(c.R.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return &UnfitError{Status: http.StatusUnsupportedMediaType,
			Message: "a body is JSON, and says so: Content-Type: application/json"}
	}
	members := map[string]josejson.RawMessage{}
	if !utf8.Valid(data) || josejson.Unmarshal(data, &members) != nil || members == nil {
		return refusal.Invalid("body", rule, "must be one JSON object in UTF-8 in which no name is given twice")
	}
	for name, value := range members {
		into, known := fields[name]
		if !known {
			return refusal.Invalid("body", rule, "has a member %q that is not known here", name)
		}
		if string(value) == "null" || json.Unmarshal(value, into) != nil {
			return refusal.Invalid(name, rule, "is not of the right kind")
		}
	}
	return nil
}
