package api

import (
	"net/http"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// keyActions are what can be done about keys (R42): the command's action by the last segment of the path.
var keyActions = map[string]protoreflect.Name{"offer": "offer_key", "sign": "sign_keys"}

func keyRoutes() []bearer.Route {
	routes := []bearer.Route{{Method: http.MethodGet, Path: prefix + "/keys", Serve: getKeys}}
	for path, action := range keyActions {
		routes = append(routes, bearer.Route{Method: http.MethodPost, Path: prefix + "/keys/" + path,
			Serve: func(c *bearer.Call) error {
				command, fields := beginAction(action)
				return send(c, command, fields, "")
			}})
	}
	return routes
}

func getKeys(c *bearer.Call) error {
	reply, err := ask(c, nil, &lockboxv1.Query{Ask: &lockboxv1.Query_GetKeys{GetKeys: &lockboxv1.GetKeys{}}})
	if err != nil {
		return err
	}
	return answer(c, reply.GetKeys())
}

// signs are the actions on a request that the customer's people sign.
var signs = []string{request.Approve.Name, request.Deny.Name, request.Revoke.Name}

// byKey sends a revocation without a token (R64): whoever sends it is known by the enrolled key that signed it, and
// says whose request it is in what they signed.
func byKey(c *bearer.Call) error {
	command, fields := begin(request.Revoke)
	if err := c.Body(fields); err != nil {
		return err
	}
	if err := (parameters{"tenant": one(text(&command.Tenant))}).read(c); err != nil {
		return err
	}
	if command.GetSigned() == nil {
		return bearer.TokenNeeded()
	}
	d, err := approval.ParseDecision(command.GetSigned().GetStatement())
	if err != nil || d.Decision != approval.Revoke || d.Request != c.Param("requestId") ||
		command.GetTenant() != "" && command.GetTenant() != d.Tenant {
		return refusal.OfKind(refusal.Unauthenticated("signed", "R64",
			"without a token, only a revocation of this request or a change of sign-in is taken, signed with an enrolled key"),
			"key-unknown")
	}
	command.Tenant, command.AggregateId = d.Tenant, d.Request
	reply, err := c.Caller.Do(c.Context(), "", command)
	if err != nil {
		return err
	}
	return answer(c, reply)
}
