// Package arm serves programs that were written for Azure Customer Lockbox: its REST API as defined by the public
// specification and the official SDK, and the activity log in the form of Azure Monitor. The README documents the
// mapping and the differences.
package arm

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
)

const (
	rule = "bad input"

	provider        = export.AzureProvider
	providerPath    = "/providers/" + provider
	lockboxVersion  = "2018-02-28-preview"
	activityVersion = "2015-04-01"
	requestPrefix   = "LockboxRequest_"
	mostListed      = 1000
)

// New returns the API's handler.
func New(desk *bearer.Desk) *bearer.API {
	subscription := "/subscriptions/{subscriptionId}"
	requests := subscription + providerPath + "/requests"
	return &bearer.API{Desk: desk, Fold: true, Begin: begin, Problem: problem, Routes: []bearer.Route{
		{Method: http.MethodGet, Path: providerPath + "/operations", Open: true, Serve: version(lockboxVersion, operations)},
		{Method: http.MethodGet, Path: providerPath + "/tenantOptedIn/{tenantId}", Serve: customers(lockboxVersion, optedIn)},
		{Method: http.MethodPost, Path: providerPath + "/enableLockbox", Serve: customers(lockboxVersion, enable)},
		{Method: http.MethodPost, Path: providerPath + "/disableLockbox", Serve: customers(lockboxVersion, disable)},
		{Method: http.MethodGet, Path: requests, Serve: customers("", listRequests)},
		{Method: http.MethodGet, Path: requests + "/{requestId}", Serve: customers(lockboxVersion, getRequest)},
		{Method: http.MethodPost, Path: requests + "/{requestId}/updateApproval",
			Serve: customers(lockboxVersion, updateApproval)},
		{
			Method: http.MethodGet, Path: subscription + "/providers/Microsoft.Insights/eventtypes/management/values",
			Serve: customers(activityVersion, listActivity),
		},
	}}
}

// begin sets the request IDs in the response and echoes the client's.
func begin(c *bearer.Call) {
	h, id := c.W.Header(), uuid.NewString()
	h.Set("x-ms-request-id", id)
	if theirs := c.R.Header.Get("x-ms-correlation-request-id"); uuid.Validate(theirs) == nil {
		id = theirs
	}
	h.Set("x-ms-correlation-request-id", id)
	theirs := c.R.Header.Get("x-ms-client-request-id")
	if strings.EqualFold(c.R.Header.Get("x-ms-return-client-request-id"), "true") && uuid.Validate(theirs) == nil {
		h.Set("x-ms-client-request-id", theirs)
	}
}

// customers admits only a customer's people: neither the provider's tokens nor Azure's paths name a tenant.
func customers(wanted string, serve func(*bearer.Call) error) func(*bearer.Call) error {
	return version(wanted, func(c *bearer.Call) error {
		if !c.Customer() {
			return refusal.Forbidden("Authorization", "I10",
				"this API is for the customers' people; the provider's use /lockbox/v1")
		}
		return serve(c)
	})
}

// version checks the api-version. If wanted is empty, the parameter is optional: for the list of requests neither the
// specification nor the SDK sends it. If present, it is checked all the same.
func version(wanted string, serve func(*bearer.Call) error) func(*bearer.Call) error {
	return func(c *bearer.Call) error {
		got, err := param(c, "api-version")
		supported := wanted
		if supported == "" {
			supported = lockboxVersion
		}
		switch {
		case err != nil:
			return err
		case got == "" && wanted != "":
			return refusal.Invalid("api-version", rule, "the query parameter ?api-version=%s is required", supported)
		case got != "" && !strings.EqualFold(got, supported):
			return refusal.Invalid("api-version", rule, "%q is not supported; %s is", got, supported)
		}
		return serve(c)
	}
}

// param returns a query parameter, whose name is not case-sensitive. It refuses a repeated one as ambiguous.
func param(c *bearer.Call, name string) (string, error) {
	query, err := url.ParseQuery(c.R.URL.RawQuery)
	if err != nil {
		return "", refusal.Invalid("query", rule, "cannot be read")
	}
	var found []string
	for key, values := range query {
		if strings.EqualFold(key, name) {
			found = append(found, values...)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", refusal.Invalid(name, rule, "is given more than once")
}

// page returns the paging parameters.
func page(c *bearer.Call) (token string, limit uint32, err error) {
	if token, err = param(c, "$skipToken"); err != nil {
		return "", 0, err
	}
	top, err := param(c, "$top")
	if top == "" || err != nil {
		return token, 0, err
	}
	n, err := strconv.ParseUint(top, 10, 32)
	if err != nil || n < 1 || n > mostListed {
		return "", 0, refusal.Invalid("$top", rule, "is a number from 1 to %d", mostListed)
	}
	return token, uint32(n), nil
}

// list is the JSON of a page of any list.
type list struct {
	Value    any    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

// answerPage writes a page of a list, with a link to the next one.
func answerPage[T any](c *bearer.Call, values []T, next string) error {
	if values == nil {
		values = []T{} // an empty list is [], not null
	}
	l := list{Value: values}
	if next != "" {
		query := c.R.URL.Query()
		for key := range query {
			if strings.EqualFold(key, "$skipToken") {
				query.Del(key)
			}
		}
		query.Set("$skipToken", next)
		l.NextLink = c.URL + c.R.URL.EscapedPath() + "?" + query.Encode()
	}
	return c.JSON(http.StatusOK, l)
}

// subscription returns the subscription in the path.
func subscription(c *bearer.Call) (string, error) {
	id := c.Param("subscriptionId")
	if input.Token("subscriptionId", id) != nil {
		return "", notFound()
	}
	return id, nil
}

// mayKnow refuses a subscription that does not exist or that the caller has no access to. It is called only for an
// empty list; entries in a list already show that the subscription exists.
func mayKnow(c *bearer.Call, subscription string) error {
	reply, err := c.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(reply.GetTenant().GetSubscriptions(),
		func(s *lockboxv1.SubscriptionView) bool { return s.GetSubscriptionId() == subscription }) {
		return notFound()
	}
	return nil
}

func notFound() error {
	return refusal.NotFound("", "I9", "there is nothing of that name that you may see")
}
