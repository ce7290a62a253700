package export

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// AzureProvider is the resource provider of Azure Customer Lockbox and AzureProviderName its display name.
// AzureSucceeded is the status of every entry, because refused commands produce no events.
const (
	AzureProvider     = "Microsoft.CustomerLockbox"
	AzureProviderName = "Customer Lockbox"
	AzureSucceeded    = "Succeeded"
	// AzureLevel is the level of every entry.
	AzureLevel = "Informational"

	// ownProvider is the resource provider for operations that Azure Customer Lockbox does not have.
	ownProvider = "OpenLockbox.Lockbox"
)

// AzureOperation is a fact that also exists in Azure's activity log, with Azure's operation name and its English
// display name.
type AzureOperation struct{ Fact, Name, English string }

// AzureOperations are all facts that also exist in Azure's activity log.
var AzureOperations = []AzureOperation{
	{"CustomerNotified", "CreateLockboxRequest", "Create Lockbox Request"},
	{"CustomerApproved", "ApproveLockboxRequest", "Approve Lockbox Request"},
	{"CustomerDenied", "DenyLockboxRequest", "Deny Lockbox Request"},
	{"RequestExpired", "ExpireLockboxRequest", "Lockbox Request Expiry"},
	{"RequestWithdrawn", "CancelLockboxRequest", "Cancel Lockbox Request"},
}

// AzureRequestID returns the Azure resource id of a request about a subscription.
func AzureRequestID(subscription, request string) string {
	return "/subscriptions/" + subscription + "/providers/" + AzureProvider + "/requests/" + request
}

// AzureName is a stable value with its display name.
type AzureName struct {
	Value          string `json:"value"`
	LocalizedValue string `json:"localizedValue"`
}

// Azure returns an entry as Azure Monitor's activity log has it, by property name. The facts that Azure Customer
// Lockbox logs too have its names and scopes, and everything else is under a resource provider of our own, so that it
// is not mistaken for Microsoft's.
func Azure(a *lockboxv1.Activity) map[string]any {
	typ, scope := a.GetEntry().GetType(), "/tenants/"+a.GetTenant()
	if a.GetSubscriptionId() != "" {
		scope = "/subscriptions/" + a.GetSubscriptionId()
	}
	for _, o := range AzureOperations {
		if o.Fact == typ {
			return azureEntry(a, AzureProvider, AzureProvider+"/requests/activitylog/"+o.Name+"/action", o.English,
				scope+"/providers/"+AzureProvider+"/requests/"+a.GetRequestId(), "requests")
		}
	}
	kinds := plural(a.GetKind())
	return azureEntry(a, ownProvider, ownProvider+"/"+kinds+"/activitylog/"+typ+"/action", a.GetEntry().GetAction(),
		scope+"/providers/"+ownProvider+"/"+kinds+"/"+a.GetAggregateId(), kinds)
}

func azure(a *lockboxv1.Activity) (map[string]any, error) { return Azure(a), nil }

func azureEntry(a *lockboxv1.Activity, provider, operation, title, resource, kinds string) map[string]any {
	entry, event := a.GetEntry(), a.GetEvent()
	if entry.GetTitle() != "" {
		title = entry.GetTitle()
	}
	at := entry.GetTime().AsTime()
	return map[string]any{
		"id":                   resource + "/events/" + event.GetId() + "/ticks/" + strconv.FormatInt(ticks(at), 10),
		"authorization":        map[string]string{"action": operation, "scope": resource},
		"caller":               caller(entry.GetActor()),
		"claims":               claims(entry.GetActor()),
		"category":             AzureName{"Administrative", "Administrative"},
		"correlationId":        a.GetRequestId(),
		"description":          entry.GetSummary(),
		"eventDataId":          event.GetId(),
		"eventName":            AzureName{entry.GetType(), title},
		"eventTimestamp":       at,
		"submissionTimestamp":  at,
		"level":                AzureLevel,
		"operationId":          event.GetCausationId(),
		"operationName":        AzureName{operation, title},
		"properties":           azureProperties(a),
		"resourceId":           resource,
		"resourceProviderName": AzureName{provider, AzureProviderName},
		"resourceType":         AzureName{provider + "/" + kinds, provider + "/" + kinds},
		"status":               AzureName{AzureSucceeded, AzureSucceeded},
		"subscriptionId":       a.GetSubscriptionId(),
		"tenantId":             a.GetTenant(),
	}
}

// azureProperties are what has no property of its own in Azure's entries; what is not known is left out.
func azureProperties(a *lockboxv1.Activity) map[string]string {
	said := map[string]string{"requestId": a.GetRequestId(),
		"sequence": strconv.FormatUint(a.GetEntry().GetSequence(), 10)}
	for name, value := range map[string]string{"requester": name(a.GetRequester()),
		"resources": strings.Join(reached(a), "\n"), "serviceRequestId": a.GetTicketId()} {
		if value != "" {
			said[name] = value
		}
	}
	return said
}

// caller returns the actor's e-mail address, or another name if there is none. It does not prove their identity.
func caller(a *lockboxv1.Actor) string {
	return cmp.Or(a.GetPerson().GetEmail(), name(a), AzureProviderName)
}

// claims returns the claims that identify a person, and their name.
func claims(a *lockboxv1.Actor) map[string]string {
	said := map[string]string{}
	for name, value := range map[string]string{
		"iss": a.GetPerson().GetIssuer(), "sub": a.GetPerson().GetSubject(), "name": a.GetPerson().GetDisplayName(),
	} {
		if value != "" {
			said[name] = value
		}
	}
	return said
}

// ticks returns the number of 100-nanosecond ticks since the year 1, as used in the ids of Azure's entries.
func ticks(t time.Time) int64 {
	const untilUnix = 62_135_596_800 // seconds
	return (t.Unix()+untilUnix)*10_000_000 + int64(t.Nanosecond())/100
}

// plural returns the plural of a kind, as used in the paths of Azure's resource types.
func plural(kind string) string {
	if stem, found := strings.CutSuffix(kind, "y"); found {
		return stem + "ies"
	}
	return kind + "s"
}
