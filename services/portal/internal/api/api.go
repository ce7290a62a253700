// Package api implements /lockbox/v1, Lockbox's own REST API, for what Azure's API lacks. It is specified in
// openapi.yaml; a test compares that with the routes, the responses, and the messages from which responses are built.
package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	rule   = "bad input"
	prefix = "/lockbox/v1"
)

// alone are the actions that need no token if they are signed.
var alone = map[string]func(*bearer.Call) error{request.Revoke.Name: byKey}

//go:embed openapi.yaml
var document []byte

// New returns the API's handler.
func New(desk *bearer.Desk) (*bearer.API, error) {
	var openapi any
	if err := yaml.Unmarshal(document, &openapi); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	published, err := json.Marshal(openapi)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	routes := []bearer.Route{
		{Method: http.MethodGet, Path: prefix + "/openapi.json", Open: true, Serve: func(c *bearer.Call) error {
			c.Write(http.StatusOK, "application/json; charset=utf-8", published)
			return nil
		}},
		{Method: http.MethodGet, Path: prefix + "/self", Serve: getSelf},
		{Method: http.MethodGet, Path: prefix + "/requests", Serve: listRequests},
		{Method: http.MethodGet, Path: prefix + "/requests/{requestId}", Serve: getRequest},
		{Method: http.MethodGet, Path: prefix + "/requests/{requestId}/receipt", Serve: getReceipt},
		{Method: http.MethodGet, Path: prefix + "/requests/{requestId}/approval-file", Serve: getApprovalFile},
		{Method: http.MethodGet, Path: prefix + "/activity", Serve: listActivity},
		{Method: http.MethodGet, Path: prefix + "/approvers", Serve: previewApprovers},
		{Method: http.MethodGet, Path: prefix + "/overview", Serve: getOverview},
		{Method: http.MethodGet, Path: prefix + "/settings", Serve: getSettings},
		{Method: http.MethodGet, Path: prefix + "/dashboard", Serve: getDashboard},
		{Method: http.MethodGet, Path: prefix + "/tenants/{tenant}/access-records", Serve: listAccess},
		{Method: http.MethodPost, Path: prefix + "/tenants/{tenant}/intents", Serve: submitIntent},
	}
	routes = append(routes,
		bearer.Route{Method: http.MethodGet, Path: prefix + "/tickets", Serve: listTickets},
		bearer.Route{Method: http.MethodPost, Path: prefix + "/tickets", Serve: onTicket("open_ticket")},
		bearer.Route{Method: http.MethodGet, Path: prefix + "/tickets/{ticketId}", Serve: getTicket})
	for name, action := range ticketActions {
		routes = append(routes, bearer.Route{Method: http.MethodPost, Path: prefix + "/tickets/{ticketId}/" + name,
			Serve: onTicket(action)})
	}
	routes = append(append(routes, erasureRoutes()...), keyRoutes()...)
	for _, verb := range request.Verbs {
		routes = append(routes, bearer.Route{Method: http.MethodPost, Path: prefix + "/requests/{requestId}/" + path(verb),
			Serve: act(verb), Alone: alone[verb.Name]})
	}
	return &bearer.API{Desk: desk, Problem: problem, Routes: routes}, nil
}

// answer writes a message in protobuf's JSON encoding (camelCase, 64-bit integers as strings).
func answer(c *bearer.Call, m proto.Message) error {
	data, err := protojson.Marshal(m)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, json.RawMessage(data)) // also removes protojson's random white space
}

// details is a problem document (RFC 9457) of type about:blank.
type details struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Code, Field and Rule are copied from the refusal.
	Code  string `json:"code"`
	Field string `json:"field,omitempty"`
	Rule  string `json:"rule,omitempty"`
}

func problem(c *bearer.Call, status int, r *lockboxv1.Refusal) {
	data, err := json.Marshal(details{http.StatusText(status), status, r.GetMessage(), r.GetCode().String(), r.GetField(),
		r.GetRule()})
	if err != nil {
		http.Error(c.W, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	c.Write(status, "application/problem+json", data)
}
