package arm

import (
	"net/http"
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
)

type problemBody struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Target  string `json:"target,omitempty"`
	} `json:"error"`
}

// codes maps HTTP statuses to ARM's error codes.
var codes = map[int]string{
	http.StatusBadRequest:            "BadRequest",
	http.StatusUnauthorized:          "InvalidAuthenticationToken",
	http.StatusForbidden:             "AuthorizationFailed",
	http.StatusNotFound:              "ResourceNotFound",
	http.StatusMethodNotAllowed:      "MethodNotAllowed",
	http.StatusConflict:              "Conflict",
	http.StatusRequestEntityTooLarge: "RequestEntityTooLarge",
	http.StatusUnsupportedMediaType:  "UnsupportedMediaType",
	http.StatusServiceUnavailable:    "ServiceUnavailable",
}

// code returns ARM's error code for a refusal.
func code(c *bearer.Call, status int, r *lockboxv1.Refusal) string {
	switch {
	case status == http.StatusUnauthorized && c.R.Header.Get("Authorization") == "":
		return "AuthenticationFailed"
	case r.GetCode() == lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION:
		return "OperationNotAllowed"
	case r.GetField() == "$filter":
		return "InvalidFilterInQueryString"
	case r.GetField() == "api-version":
		if given, err := param(c, "api-version"); err == nil && given == "" {
			return "MissingApiVersionParameter"
		}
		return "InvalidApiVersionParameter"
	}
	if known := codes[status]; known != "" {
		return known
	}
	return "InternalServerError"
}

// problem writes an error in ARM's format. The target is the property at fault under the client's name for it:
// `reason`, not `deny.reason`.
func problem(c *bearer.Call, status int, r *lockboxv1.Refusal) {
	var body problemBody
	body.Error.Code, body.Error.Message = code(c, status, r), r.GetMessage()
	body.Error.Target = r.GetField()[strings.LastIndexByte(r.GetField(), '.')+1:]
	if r.GetRule() != "" && r.GetRule() != rule {
		body.Error.Message += " (" + r.GetRule() + ")"
	}
	if err := c.JSON(status, body); err != nil {
		http.Error(c.W, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}
