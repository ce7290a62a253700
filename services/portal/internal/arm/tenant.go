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

// optedIn says whether the caller's own tenant has switched Lockbox on. Nobody asks about another one (I9).
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

func disable(c *bearer.Call) error {
	return toggle(c, &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
		DisableLockbox: &lockboxv1.DisableLockbox{}}})
}

func toggle(c *bearer.Call, command *lockboxv1.Command) error {
	reply, err := c.Do(command)
	if err != nil {
		return err
	}
	settle(c, reply, getTenant())
	c.W.WriteHeader(http.StatusOK) // the specification's answer has no body
	return nil
}

// settle waits until what was done shows in what is read. That it is done is sure, so a failure here is none of the
// call.
func settle(c *bearer.Call, done *lockboxv1.CommandReply, ask *lockboxv1.Query) {
	ask.MinSequence = done.GetSequence()
	if _, err := c.Ask(ask); err != nil {
		c.Log.Info("done, but it does not show yet", zap.Error(err))
	}
}

type operation struct {
	Name         string           `json:"name"`
	IsDataAction string           `json:"isDataAction"` // text, as the specification has it
	Display      operationDisplay `json:"display"`
	Origin       string           `json:"origin"`
}

type operationDisplay struct {
	Provider    string `json:"provider"`
	Resource    string `json:"resource"`
	Operation   string `json:"operation"`
	Description string `json:"description"`
}

// operations lists what this provider of resources knows. It is the same for everybody.
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
