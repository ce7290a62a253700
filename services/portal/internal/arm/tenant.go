package arm

import (
	"net/http"
	"strings"

	"github.com/openlockbox/lockbox/pkg/export"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"go.uber.org/zap"
)

func getTenant() *lockboxv1.Query {
	return &lockboxv1.Query{Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}}
}

// optedIn reports whether the caller's own tenant has enabled Lockbox. Other tenants cannot be queried (I9).
func optedIn(c *bearer.Call) error {
	if strings.ToLower(c.Param("tenantId")) != c.Organisation.Tenant {
		return notFound()
	}
	reply, err := c.Ask(getTenant())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]bool{"isOptedIn": reply.GetTenant().GetLockboxEnabled()})
}

func enable(c *bearer.Call) error {
	return toggle(c, &lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{
		EnableLockbox: &lockboxv1.EnableLockbox{}}})
}

// noReason stands where a reason would: the specification has no place for one.
const noReason = "Switched off with the Azure API, which takes no reason."

func disable(c *bearer.Call) error {
	return toggle(c, &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
		DisableLockbox: &lockboxv1.DisableLockbox{Reason: noReason}}})
}

func toggle(c *bearer.Call, command *lockboxv1.Command) error {
	reply, err := c.Do(command)
	if err != nil {
		return err
	}
	settle(c, reply, getTenant())
	c.W.WriteHeader(http.StatusOK) // the specification's response has no body
	return nil
}

// settle waits until the projection shows the change. The change has been made by then, so a failure to wait does not
// fail the call.
func settle(c *bearer.Call, done *lockboxv1.CommandReply, ask *lockboxv1.Query) {
	ask.MinSequence = done.GetSequence()
	if _, err := c.Ask(ask); err != nil {
		c.Log.Info("change made but not yet projected", zap.String("tenant", c.Organisation.Tenant), zap.Error(err))
	}
}

type operation struct {
	Name         string           `json:"name"`
	IsDataAction string           `json:"isDataAction"` // a string, as in the specification
	Display      operationDisplay `json:"display"`
	Origin       string           `json:"origin"`
}

type operationDisplay struct {
	Provider    string `json:"provider"`
	Resource    string `json:"resource"`
	Operation   string `json:"operation"`
	Description string `json:"description"`
}

// operations lists the operations of this resource provider. They are the same for all callers.
func operations(c *bearer.Call) error {
	values := []operation{
		newOperation("operations/read", "Lockbox Operations", "Read Lockbox Operations"),
		newOperation("requests/read", "Customer Lockbox Request", "Read Lockbox Request"),
		newOperation("requests/updateApproval/action", "Customer Lockbox Request", "Approve or Deny Lockbox Request"),
		newOperation("tenantOptedIn/read", "Customer Lockbox", "Read whether the tenant has enabled Customer Lockbox"),
		newOperation("enableLockbox/action", "Customer Lockbox", "Enable Customer Lockbox"),
		newOperation("disableLockbox/action", "Customer Lockbox", "Disable Customer Lockbox"),
	}
	for _, e := range export.AzureOperations {
		values = append(values, newOperation("requests/activitylog/"+e.Name+"/action", "Customer Lockbox Request", e.English))
	}
	return answerPage(c, values, "")
}

func newOperation(name, resource, does string) operation {
	return operation{
		Name: provider + "/" + name, IsDataAction: "false", Origin: "user,system",
		Display: operationDisplay{Provider: export.AzureProviderName, Resource: resource, Operation: does, Description: does},
	}
}
