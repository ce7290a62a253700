package export

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/accesstext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Access records (R69) in the formats for programs.

func accessLine[T any](
	become func(uint64, *lockboxv1.AccessRecord) (T, error),
) func(uint64, *lockboxv1.AccessRecord) ([]byte, error) {
	return func(sequence uint64, r *lockboxv1.AccessRecord) ([]byte, error) {
		v, err := become(sequence, r)
		if err != nil {
			return nil, err
		}
		return jsonLine(v)
	}
}

func accessComplete(_ uint64, r *lockboxv1.AccessRecord) (json.RawMessage, error) {
	return protoJSON(r)
}

func accessEvent(sequence uint64, r *lockboxv1.AccessRecord) (envelope, error) {
	data, err := protoJSON(r)
	return envelope{
		SpecVersion: "1.0", ID: r.GetId(), Source: "/tenants/" + url.PathEscape(r.GetTenant()),
		Type: "io.openlockbox.access." + accesstext.Name(r.GetKind()), Subject: aboutAccess(r),
		Time: r.GetTime().AsTime().Format(time.RFC3339Nano), ContentType: "application/json",
		Sequence: fmt.Sprintf("%020d", sequence), Data: data,
	}, err
}

// aboutAccess names what a record is about, such as request/019a…; the tenant as a whole if nothing else.
func aboutAccess(r *lockboxv1.AccessRecord) string {
	if r.GetAboutId() == "" {
		return "tenant/" + r.GetTenant()
	}
	return r.GetAboutKind() + "/" + r.GetAboutId()
}

// Two more classes of OCSF, of two categories.
const (
	authentication = 3002
	apiActivity    = 6003
)

var (
	logsOn   = deed{authentication, 1, "Logon", false}
	reads    = deed{apiActivity, 2, "Read", false}
	commands = deed{apiActivity, 99, "Command", true}
)

// ocsfAccess maps a sign-in to Authentication and everything else to API Activity. What the provider's people looked at
// weighs more than what the customer's own did.
func ocsfAccess(sequence uint64, r *lockboxv1.AccessRecord) (*ocsfEvent, error) {
	record, err := protoJSON(r)
	if err != nil {
		return nil, err
	}
	at, text := r.GetTime().AsTime(), accesstext.In("en")
	e := &ocsfEvent{
		Message: text.Sentence(r), Status: "Success", StatusID: 1, SeverityID: informational, Time: at.UnixMilli(),
		Count: max(r.GetCount(), r.GetLeftOut()), Source: &ocsfEndpoint{r.GetSender()},
		Metadata: ocsfMetadata{EventCode: accesstext.Type(r.GetKind()), LogName: "access", LogProvider: "lockbox",
			OriginalTime: at.Format(time.RFC3339Nano), Product: ocsfProduct{"Lockbox", "lockbox", "OpenLockbox"},
			Sequence: sequence, TenantUID: r.GetTenant(), UID: r.GetId(), Version: ocsfVersion},
		Unmapped: unmapped{ActorSide: side(&lockboxv1.Actor{Side: r.GetWho().GetSide()}),
			SubscriptionID: r.GetSubscriptionId(), ResourceIDs: r.GetResourceIds(), TicketID: r.GetTicketId(), Record: record},
	}
	if r.GetSince() != nil {
		e.StartTime = r.GetSince().AsTime().UnixMilli()
	}
	e.Actor = ocsfActor{AppName: r.GetSender(), User: accessUser(r.GetWho())}
	is := reads
	failed := r.GetRefusalCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED
	switch r.GetKind() {
	case lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN:
		is = logsOn
	case lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED:
		is, failed, e.SeverityID, e.StatusCode = logsOn, true, low, r.GetReason()
	case lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED:
		is, failed, e.SeverityID = commands, true, low
	case lockboxv1.AccessKind_ACCESS_KIND_EXPORT:
		e.SeverityID = low
	case lockboxv1.AccessKind_ACCESS_KIND_READ, lockboxv1.AccessKind_ACCESS_KIND_UNSPECIFIED:
	}
	if failed {
		e.Status, e.StatusID = "Failure", 2
		if code := r.GetRefusalCode(); code != lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED {
			e.StatusCode, e.StatusDetail = code.String(), refusedBy(r)
		}
	}
	e.ClassUID, e.ActivityID, e.ActivityName, e.TypeUID = is.class, is.id, is.name, is.class*100+is.id
	switch is.class {
	case authentication:
		e.CategoryName, e.CategoryUID, e.ClassName = "Identity & Access Management", ocsfCategory, "Authentication"
		e.Service = &ocsfService{"lockbox portal"}
		if e.User = e.Actor.User; e.User == nil {
			e.User = &ocsfUser{Name: "Unknown", Type: "Unknown"}
		}
	case apiActivity:
		e.CategoryName, e.CategoryUID, e.ClassName = "Application Activity", 6, "API Activity"
		e.API = &ocsfAPI{Operation: operation(r), Service: &ocsfService{r.GetService()}}
		if failed && e.StatusCode != "" {
			e.API.Response = &ocsfResponse{e.StatusCode}
		}
		e.Resources = []ocsfResource{{aboutAccess(r), r.GetAboutKind()}}
	}
	e.Severity, e.TypeName = severities[e.SeverityID], e.ClassName+": "+e.ActivityName
	e.observe()
	return e, nil
}

// operation names what was called; of what was left out only the kind is known.
func operation(r *lockboxv1.AccessRecord) string {
	if r.GetAction() == "" {
		return accesstext.Name(r.GetKind())
	}
	return r.GetAction()
}

func refusedBy(r *lockboxv1.AccessRecord) string {
	if r.GetRefusalField() == "" {
		return r.GetRefusalRule()
	}
	return r.GetRefusalField() + ": " + r.GetRefusalRule()
}

func accessUser(p *lockboxv1.AccessPerson) *ocsfUser {
	if p == nil {
		return nil
	}
	return ocsfPerson(&lockboxv1.Actor{Employer: p.GetEmployer(), Person: &lockboxv1.Person{Issuer: p.GetIssuer(),
		Subject: p.GetSubject(), DisplayName: p.GetName()}})
}

// azureAccess returns an entry of Azure's activity log under a resource provider of our own.
func azureAccess(sequence uint64, r *lockboxv1.AccessRecord) (map[string]any, error) {
	by := &lockboxv1.Actor{Person: &lockboxv1.Person{Issuer: r.GetWho().GetIssuer(), Subject: r.GetWho().GetSubject(),
		DisplayName: r.GetWho().GetName()}}
	name, text := accesstext.Name(r.GetKind()), accesstext.In("en")
	title := text.Kind(r.GetKind())
	operation := ownProvider + "/accessRecords/" + name + "/action"
	resource := "/tenants/" + r.GetTenant() + "/providers/" + ownProvider + "/accessRecords/" + r.GetId()
	status, level := AzureSucceeded, AzureLevel
	if r.GetRefusalCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED ||
		r.GetKind() == lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED {
		status, level = "Failed", "Warning"
	}
	at := r.GetTime().AsTime()
	return map[string]any{
		"id":                  resource + "/events/" + r.GetId() + "/ticks/" + strconv.FormatInt(ticks(at), 10),
		"authorization":       map[string]string{"action": operation, "scope": resource},
		"caller":              caller(by),
		"claims":              claims(by),
		"category":            AzureName{"Administrative", "Administrative"},
		"correlationId":       "",
		"description":         text.Sentence(r),
		"eventDataId":         r.GetId(),
		"eventName":           AzureName{name, title},
		"eventTimestamp":      at,
		"submissionTimestamp": at,
		"level":               level,
		"operationId":         "",
		"operationName":       AzureName{operation, title},
		"properties": map[string]string{"action": r.GetAction(), "about": aboutAccess(r),
			"count":      strconv.FormatUint(max(r.GetCount(), r.GetLeftOut()), 10),
			"refusal":    r.GetRefusalCode().String(),
			"sequence":   strconv.FormatUint(sequence, 10),
			"sender":     r.GetSender(),
			"actorSide":  side(&lockboxv1.Actor{Side: r.GetWho().GetSide()}),
			"refusedFor": r.GetRefusalRule(), "resources": strings.Join(r.GetResourceIds(), "\n"),
			"serviceRequestId": r.GetTicketId()},
		"resourceId":           resource,
		"resourceProviderName": AzureName{ownProvider, AzureProviderName},
		"resourceType":         AzureName{ownProvider + "/accessRecords", ownProvider + "/accessRecords"},
		"status":               AzureName{status, status},
		"subscriptionId":       r.GetSubscriptionId(),
		"tenantId":             r.GetTenant(),
	}, nil
}
