// Package arm serves programs that were written for Azure Customer Lockbox: its REST API as defined by the public
// specification and the official SDK, and the activity log in the form of Azure Monitor. The README documents the
// mapping and the differences.
package arm

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
)

const (
	rule = "bad input"

	provider        = export.AzureProvider
	providerPath    = "/providers/" + provider
	activityPath    = "/providers/Microsoft.Insights/eventtypes/management/values"
	lockboxVersion  = "2018-02-28-preview"
	laterVersion    = "2018-10-11-preview" // which samples of the specification name; it is the same here
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
		{Method: http.MethodGet, Path: subscription + activityPath, Serve: customers(activityVersion, listActivity)},
		{Method: http.MethodGet, Path: activityPath, Serve: customers(activityVersion, listActivity)},
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
			return refusal.OfKind(
				refusal.Invalid("api-version", rule, "the query parameter ?api-version=%s is required", supported),
				"version-required", "known", supported)
		case supported == lockboxVersion && strings.EqualFold(got, laterVersion):
		case got != "" && !strings.EqualFold(got, supported):
			return refusal.OfKind(
				refusal.Invalid("api-version", rule, "%q is not supported; %s is", got, supported),
				"version-unsupported", "given", got, "known", supported)
		}
		return serve(c)
	}
}

// param returns a query parameter, whose name is not case-sensitive, and may be encoded twice: clients do that to a
// nextLink, or append to it what they sent before. It refuses two different values as ambiguous.
func param(c *bearer.Call, name string) (string, error) {
	query, err := url.ParseQuery(c.R.URL.RawQuery)
	if err != nil {
		return "", refusal.OfKind(refusal.Invalid("query", rule, "cannot be read"), "query-unreadable")
	}
	var found []string
	for key, values := range query {
		if named(key, name) {
			found = append(found, values...)
		}
	}
	slices.Sort(found)
	switch found = slices.Compact(found); len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", refusal.OfKind(refusal.Invalid(name, rule, "is given more than once"), "given-twice")
}

func named(key, name string) bool {
	if once, err := url.QueryUnescape(key); err == nil {
		key = once
	}
	return strings.EqualFold(key, name)
}

// page returns the paging parameters.
func page(c *bearer.Call) (token string, limit uint32, err error) {
	if token, err = param(c, "$skipToken"); err != nil {
		return "", 0, err
	}
	if token != "" {
		of := listed(c)
		var bound bool
		if token, bound = strings.CutSuffix(token, of); !bound {
			return "", 0, refusal.Invalid("$skipToken", rule, "is not of this list with this $filter; "+
				"follow a nextLink as it is")
		}
	}
	top, err := param(c, "$top")
	if top == "" || err != nil {
		return token, 0, err
	}
	n, err := strconv.ParseUint(top, 10, 32)
	if err != nil || n < 1 || n > mostListed {
		return "", 0, refusal.Naming(
			refusal.Invalid("$top", rule, "is a number from 1 to %d", mostListed),
			"most", strconv.Itoa(mostListed))
	}
	return token, uint32(n), nil
}

// listed ends a $skipToken: it tells lists and their filters apart, so that a client that follows a nextLink without
// its filter is told, rather than given other entries.
func listed(c *bearer.Call) string {
	filter, err := param(c, "$filter")
	if err != nil {
		filter = ""
	}
	sum := sha256.Sum256([]byte(strings.ToLower(c.R.URL.Path) + "\n" + strings.Join(strings.Fields(filter), " ")))
	return "." + hex.EncodeToString(sum[:8])
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
			if named(key, "$skipToken") {
				query.Del(key)
			}
		}
		query.Set("$skipToken", next+listed(c))
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
		func(s *lockboxv1.SubscriptionView) bool {
			return resource.Fold(s.GetSubscriptionId()) == resource.Fold(subscription)
		}) {
		return notFound()
	}
	return nil
}

func notFound() error {
	return refusal.NotFound("", "I9", "there is nothing of that name that you may see")
}
