// Package bearer is the basis of the portal's REST APIs. Every request carries the caller's own bearer token (RFC
// 6750). The portal reads from it only which organisation it belongs to and passes it on; the services that receive it
// verify it. This package has no access to web sessions or cookies, so a browser's ambient credentials are of no use
// here.
package bearer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	josejson "github.com/go-jose/go-jose/v4/json"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"go.uber.org/zap"
)

const rule = "bad input"

// Desk holds what all calls share: everything of the site except its sessions.
type Desk struct {
	Caller        site.Caller
	Organisations organisation.List
	// Registered are customers that are not configured; nil: there are none.
	Registered *organisation.Registered
	Words      *words.Words
	// URL is the portal's public base URL, without a trailing slash. Links are built from it, never from the client's
	// Host header.
	URL      string
	Secure   bool
	Log      *zap.Logger
	Counters *observe.Counters
}

// NewDesk takes from the site what calls may use.
func NewDesk(s *site.Site, url string) *Desk {
	return &Desk{
		Caller: s.Caller, Organisations: s.Organisations, Registered: s.Registered, Words: s.Words, URL: url,
		Secure: s.Secure, Log: s.Log, Counters: s.Counters,
	}
}

// Call is one API request.
type Call struct {
	*Desk
	W http.ResponseWriter
	R *http.Request
	// Organisation is the caller's according to the token; nil on an open route.
	Organisation *organisation.Organisation
	// Subject is the token's subject. It is unverified: it distinguishes callers and proves nothing.
	Subject string
	// Language is the supported language that fits the caller's Accept-Language best.
	Language string

	token   string
	pattern string
	params  map[string]string
}

// Param returns a path parameter by its name in the route.
func (c *Call) Param(name string) string { return c.params[name] }

// Context returns the request's context.
func (c *Call) Context() context.Context { return c.R.Context() }

// Customer reports whether the caller is one of a customer's people.
func (c *Call) Customer() bool { return c.Organisation.Tenant != "" }

// Ask sends a query with the caller's own token: for a customer's people about their own tenant, for the provider's
// about the tenant that the query names.
func (c *Call) Ask(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
	q.Language = c.Language
	if c.Customer() {
		q.Tenant = c.Organisation.Tenant
	}
	return c.Caller.Ask(c.Context(), c.token, q)
}

// Do sends a command with the caller's own token: for a customer's people in their own tenant, for the provider's in
// the tenant that the command names.
func (c *Call) Do(command *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	if c.Customer() {
		command.Tenant = c.Organisation.Tenant
	}
	return c.Caller.Do(c.Context(), c.token, command)
}

// Submit publishes an intent of that id with the caller's own token, and returns its outcome; nil if there is none in
// time.
func (c *Call) Submit(
	id string, intent *lockboxv1.AccessIntent, within time.Duration,
) (*lockboxv1.IntentOutcome, error) {
	return c.Caller.Submit(c.Context(), c.token, bus.PortalTool, id, intent, within)
}

// JSON writes a JSON response.
func (c *Call) JSON(status int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	c.Write(status, "application/json; charset=utf-8", data)
	return nil
}

// Write writes a response body.
func (c *Call) Write(status int, mediaType string, data []byte) {
	c.W.Header().Set("Content-Type", mediaType)
	c.W.WriteHeader(status)
	_, _ = c.W.Write(data) // #nosec G705 -- JSON with its media type; the client may have disconnected
}

// TokenNeeded refuses a call that has no token.
func TokenNeeded() error {
	return refusal.OfKind(
		refusal.Unauthenticated("Authorization", rule,
			"a bearer token of your organisation's issuer is needed in this header"),
		"token-needed")
}

// authenticate reads the token and finds its organisation. The claims are unverified and only say whom to ask.
func (c *Call) authenticate() error {
	headers := c.R.Header.Values("Authorization")
	if len(headers) == 0 {
		return TokenNeeded()
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.TrimSpace(token)
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > identity.MaxToken {
		return refusal.OfKind(
			refusal.Unauthenticated("Authorization", rule, "must hold one bearer token of at most %d bytes",
				identity.MaxToken),
			"one-token", "most", strconv.Itoa(identity.MaxToken))
	}
	issuer, subject, audiences := claimed(token)
	if c.Organisation = c.Organisations.OfToken(issuer, audiences); c.Organisation == nil {
		c.Organisation = c.Registered.OfToken(c.Context(), token)
	}
	if c.Organisation == nil {
		return refusal.OfKind(
			refusal.Unauthenticated("Authorization", rule,
				"the token is not of one issuer and audience that are known here"),
			"token-unknown")
	}
	c.token, c.Subject = token, subject
	return nil
}

// claimed returns the unverified issuer, subject and audiences of a token.
func claimed(token string) (issuer, subject string, audiences []string) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", "", nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", "", nil
	}
	var claims struct {
		Issuer   string              `json:"iss"`
		Subject  string              `json:"sub"`
		Audience josejson.RawMessage `json:"aud"`
	}
	// The receivers parse it with the same package: case-sensitive names, no duplicates.
	if josejson.Unmarshal(payload, &claims) != nil {
		return "", "", nil
	}
	var one string
	if josejson.Unmarshal(claims.Audience, &one) == nil {
		return claims.Issuer, claims.Subject, []string{one}
	}
	if josejson.Unmarshal(claims.Audience, &audiences) != nil {
		return "", "", nil
	}
	return claims.Issuer, claims.Subject, audiences
}
