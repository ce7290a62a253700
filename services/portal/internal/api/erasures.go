package api

import (
	"net/http"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// erasureActions are what can be done about an erasure (R63): the command's action by what follows its id in the path.
var erasureActions = map[string]protoreflect.Name{"": "erase_details", "/confirm": "confirm_erasure",
	"/decline": "decline_erasure"}

func erasureRoutes() []bearer.Route {
	routes := []bearer.Route{{Method: http.MethodGet, Path: prefix + "/erasures", Serve: listErasures}}
	for path, action := range erasureActions {
		routes = append(routes, bearer.Route{Method: http.MethodPost, Path: prefix + "/erasures/{erasureId}" + path,
			Serve: func(c *bearer.Call) error {
				command, fields := beginAction(action)
				return send(c, command, fields, c.Param("erasureId"))
			}})
	}
	return routes
}

func listErasures(c *bearer.Call) error {
	q := new(lockboxv1.ListErasures)
	reply, err := ask(c, parameters{"erasureId": one(text(&q.ErasureId)), "limit": one(number(&q.Limit))},
		&lockboxv1.Query{Ask: &lockboxv1.Query_ListErasures{ListErasures: q}})
	if err != nil {
		return err
	}
	return answer(c, reply.GetErasures())
}
