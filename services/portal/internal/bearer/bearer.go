// Package bearer is what the portal's REST APIs stand on. Whoever calls shows their own token (RFC 6750) with each
// request; the portal reads from it only whom to ask, and passes it on: whoever receives it verifies it. Nothing here
// knows web sessions or looks at cookies, so nothing that a browser sends by itself can call.
package bearer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	josejson "github.com/go-jose/go-jose/v4/json"
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

// Desk is what all calls share: of the site everything but its sessions.
type Desk struct {
	Caller        site.Caller
	Organisations organisation.List
	Words         *words.Words
	// URL is where clients reach the portal, without a slash at the end. Links are made from it, never from what a client
	// says.
	URL      string
	Secure   bool
	Log      *zap.Logger
	Counters *observe.Counters
}

// NewDesk takes from the site what calls may use.
func NewDesk(s *site.Site, url string) *Desk {
	return &Desk{
		Caller: s.Caller, Organisations: s.Organisations, Words: s.Words, URL: url, Secure: s.Secure, Log: s.Log,
		Counters: s.Counters,
	}
}

// Call is one request of somebody.
type Call struct {
	*Desk
	W http.ResponseWriter
	R *http.Request
	// Organisation is the caller's, as their token says; nil on an open route.
	Organisation *organisation.Organisation
	// Subject is who the caller's token says they are there: it tells callers apart, and proves nothing.
	Subject string
	// Language is the one of ours that fits the caller's Accept-Language best.
	Language string

	token   string
	pattern string
	params  map[string]string
}

// Param is a part of the path, by its name in the route.
func (c *Call) Param(name string) string { return c.params[name] }

// Context is the request's.
func (c *Call) Context() context.Context { return c.R.Context() }

// Customer reports whether the caller is one of a customer's people.
func (c *Call) Customer() bool { return c.Organisation.Tenant != "" }

// Ask asks with the caller's own token: a customer's people about their tenant, the provider's about the query's.
func (c *Call) Ask(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
	q.Language = c.Language
	if c.Customer() {
		q.Tenant = c.Organisation.Tenant
	}
	return c.Caller.Ask(c.Context(), c.token, q)
}

// Do does something with the caller's own token: a customer's people in their tenant, the provider's in the command's.
func (c *Call) Do(command *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	if c.Customer() {
		command.Tenant = c.Organisation.Tenant
	}
	return c.Caller.Do(c.Context(), c.token, command)
}

// JSON answers.
func (c *Call) JSON(status int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	c.Write(status, "application/json; charset=utf-8", data)
	return nil
}

// Write answers with bytes.
func (c *Call) Write(status int, mediaType string, data []byte) {
	c.W.Header().Set("Content-Type", mediaType)
	c.W.WriteHeader(status)
	_, _ = c.W.Write(data) // #nosec G705 -- JSON, and said to be; whoever asked may have gone away
}

// authenticate finds the token and whose it says it is. Nothing is believed by that: it only says whom to ask.
func (c *Call) authenticate() error {
	headers := c.R.Header.Values("Authorization")
	if len(headers) == 0 {
		return refusal.Unauthenticated("Authorization", rule,
			"a bearer token of your organisation's issuer is needed in this header")
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.TrimSpace(token)
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > identity.MaxToken {
		return refusal.Unauthenticated("Authorization", rule, "must hold one bearer token of at most %d bytes",
			identity.MaxToken)
	}
	issuer, subject, audiences := claimed(token)
	if c.Organisation = c.Organisations.OfToken(issuer, audiences); c.Organisation == nil {
		return refusal.Unauthenticated("Authorization", rule,
			"the token is not of one issuer and audience that are known here")
	}
	c.token, c.Subject = token, subject
	return nil
}

// claimed reads where a token says it comes from, of whom, and for whom it says it is.
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
	// The receivers read it with the same package: names as they are written, none twice.
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
