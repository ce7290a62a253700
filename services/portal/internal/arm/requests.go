package arm

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type requestBody struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Properties requestProperties `json:"properties"`
}

type requestProperties struct {
	RequestID          string     `json:"requestId"`
	Justification      string     `json:"justification"`
	Status             string     `json:"status"`
	CreatedDateTime    time.Time  `json:"createdDateTime"`
	ExpirationDateTime *time.Time `json:"expirationDateTime,omitempty"`
	// Duration in hours: a string or, for clients of the older model, a number.
	Duration any `json:"duration,omitempty"`
	// ResourceIDs (comma-separated) belongs to the newer model, RequestedResourceIDs to the older one.
	ResourceIDs          string   `json:"resourceIds"`
	RequestedResourceIDs []string `json:"requestedResourceIds"`
	ResourceType         string   `json:"resourceType"`
	SupportRequest       string   `json:"supportRequest,omitempty"`
	SupportCaseURL       string   `json:"supportCaseUrl,omitempty"`
	WorkItemSource       string   `json:"workItemSource"`
	SubscriptionID       string   `json:"subscriptionId"`
	// LockboxStatus is Lockbox's own name of the state; several states may map to one of Azure's.
	LockboxStatus string `json:"lockboxStatus"`
}

func listRequests(c *bearer.Call) error {
	id, err := subscription(c)
	if err != nil {
		return err
	}
	ask := &lockboxv1.ListRequests{SubscriptionId: id}
	filter, err := param(c, "$filter")
	if err == nil && filter != "" {
		ask.Statuses, err = statusFilter(filter)
	}
	if err != nil {
		return err
	}
	if ask.PageToken, ask.Limit, err = page(c); err != nil {
		return err
	}
	reply := new(lockboxv1.QueryReply)
	if filter == "" || len(ask.GetStatuses()) > 0 { // a filter that allows no status matches nothing
		if reply, err = c.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: ask}}); err != nil {
			return err
		}
	}
	var values []requestBody
	for _, r := range reply.GetRequests().GetRequests() {
		values = append(values, describe(c, r))
	}
	if len(values) == 0 {
		if err := mayKnow(c, id); err != nil {
			return err
		}
	}
	return answerPage(c, values, reply.GetRequests().GetNextPageToken())
}

func getRequest(c *bearer.Call) error {
	r, err := requested(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, describe(c, r))
}

// updateApproval approves or denies. It responds only when the projection shows the decision, so that a client which
// reads next reads its own write.
func updateApproval(c *bearer.Call) error {
	var status, decision, reason string
	if err := c.ARMBody(bearer.Fields{"status": &status, "decision": &decision, "reason": &reason}); err != nil {
		return err
	}
	if status != "" && decision != "" && !strings.EqualFold(status, decision) {
		return refusal.OfKind(
			refusal.Invalid("status", rule, "and `decision` say different things"),
			"status-decision")
	}
	var verb request.Verb
	switch verdict := cmp.Or(status, decision); {
	case strings.EqualFold(verdict, "Approve"):
		decision, verb = "Approve", request.Approve
	case strings.EqualFold(verdict, "Deny"):
		decision, verb = "Deny", request.Deny
	default:
		return refusal.Invalid("status", rule, "is Approve or Deny")
	}
	r, err := requested(c)
	if err != nil {
		return err
	}
	command := verb.Command(reason)
	command.AggregateId = r.GetRequestId()
	reply, err := c.Do(command)
	if err != nil {
		return err
	}
	settle(c, reply, &lockboxv1.Query{Ask: &lockboxv1.Query_GetRequest{
		GetRequest: &lockboxv1.GetRequest{RequestId: r.GetRequestId()}}})
	return c.JSON(http.StatusOK, map[string]string{"status": decision, "decision": decision, "reason": reason})
}

// requested returns the request named in the path, provided that it belongs to the path's subscription.
func requested(c *bearer.Call) (*lockboxv1.RequestView, error) {
	subscription, err := subscription(c)
	if err != nil {
		return nil, err
	}
	id := strings.ToLower(c.Param("requestId"))
	id = strings.TrimPrefix(id, strings.ToLower(requestPrefix))
	if input.UUIDv7("requestId", id) != nil {
		return nil, notFound()
	}
	reply, err := c.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetRequest{
		GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
	if err != nil {
		return nil, err
	}
	if resource.Fold(reply.GetRequest().GetIntent().GetSubscriptionId()) != resource.Fold(subscription) {
		return nil, notFound()
	}
	return reply.GetRequest(), nil
}

// describe converts a request to Azure's model.
func describe(c *bearer.Call, r *lockboxv1.RequestView) requestBody {
	in := r.GetIntent()
	p := requestProperties{
		RequestID: r.GetRequestId(), Justification: in.GetJustification(), Status: azureStatus(r.GetStatus()),
		CreatedDateTime: r.GetCreatedAt().AsTime(), ExpirationDateTime: moment(r.GetLockbox().GetExpiresAt()),
		ResourceIDs: strings.Join(in.GetResourceIds(), ","), RequestedResourceIDs: append([]string{}, in.GetResourceIds()...),
		ResourceType:   in.GetResourceType(),
		SupportRequest: in.GetTicketId(), WorkItemSource: "Other", SubscriptionID: in.GetSubscriptionId(),
		LockboxStatus: statusName(r.GetStatus()),
	}
	if in.GetTicketId() != "" {
		p.WorkItemSource = "SupportRequest"
		p.SupportCaseURL = c.URL + c.Organisation.Base() + "/tickets/" + aggregate.TicketToken(in.GetTicketId())
	}
	asked := r.GetEvaluation().GetDuration()
	if asked == nil {
		asked = in.GetDuration()
	}
	if d := asked.AsDuration(); d > 0 {
		p.Duration = hours(d, olderModel(c.R))
	}
	return requestBody{ID: export.AzureRequestID(in.GetSubscriptionId(), r.GetRequestId()), Name: requestPrefix +
		r.GetRequestId(), Type: "requests", Properties: p}
}

// olderModel reports whether the client uses the older of two models that share an api-version. Up to its last version
// of that kind (v68), the official SDK for Go fails on a duration that is a string; all newer SDKs fail on one that is
// a number.
func olderModel(r *http.Request) bool { return strings.Contains(r.UserAgent(), "Azure-SDK-For-Go/") }

// hours returns a duration in hours; for the older model rounded up to whole hours.
func hours(d time.Duration, whole bool) any {
	if whole {
		return int(math.Ceil(d.Hours()))
	}
	return strconv.FormatFloat(math.Round(d.Hours()*100)/100, 'f', -1, 64)
}

func moment(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}

// statuses maps our states to Azure's. Azure's public list has no name for requests that were ended by the requester or
// in the provider's own approval: see the README.
var statuses = map[lockboxv1.RequestStatus]string{
	lockboxv1.RequestStatus_REQUEST_STATUS_SUBMITTED:                  "Initializing",
	lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL: "Initializing",
	lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED:          "Pending",
	lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED:                   "Approved",
	lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE:                     "Approved",
	lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED:                  "Completed",
	lockboxv1.RequestStatus_REQUEST_STATUS_RELEASED:                   "Completed",
	lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED:                    "Revoked",
	lockboxv1.RequestStatus_REQUEST_STATUS_WITHDRAWN:                  "Revoked",
	lockboxv1.RequestStatus_REQUEST_STATUS_DENIED:                     "Denied",
	lockboxv1.RequestStatus_REQUEST_STATUS_REFUSED:                    "Denied",
	lockboxv1.RequestStatus_REQUEST_STATUS_INTERNALLY_DENIED:          "Denied",
	lockboxv1.RequestStatus_REQUEST_STATUS_EXPIRED:                    "Expired",
	lockboxv1.RequestStatus_REQUEST_STATUS_INTERNAL_EXPIRED:           "Expired",
	lockboxv1.RequestStatus_REQUEST_STATUS_LAPSED:                     "Error",
}

// never lists Azure's names of transitional states, which no request of ours is ever in.
var never = []string{"Approving", "Denying", "Revoking", "Completing", "Unknown"}

func azureStatus(s lockboxv1.RequestStatus) string {
	if name, known := statuses[s]; known {
		return name
	}
	return "Unknown"
}

// statusName returns our own name in Azure's spelling: CustomerNotified.
func statusName(s lockboxv1.RequestStatus) string {
	var name strings.Builder
	for _, part := range strings.Split(strings.TrimPrefix(s.String(), "REQUEST_STATUS_"), "_") {
		name.WriteString(part[:1] + strings.ToLower(part[1:]))
	}
	return name.String()
}

// statusFilter parses a $filter on properties/status and returns the matching states of ours; with none, no request
// matches.
func statusFilter(filter string) ([]lockboxv1.RequestStatus, error) {
	alternatives, err := parseFilter(filter)
	if err != nil {
		return nil, err
	}
	var wanted []lockboxv1.RequestStatus
	for _, terms := range alternatives {
		name := terms[0].value
		for _, t := range terms {
			if !strings.EqualFold(t.field, "properties/status") || t.operator != "eq" {
				return nil, invalidFilter(
					"understood is: properties/status eq 'Pending', several of them with `and` and `or` between them")
			}
			if !isStatus(t.value) {
				known := strings.Join(statusNames(), ", ")
				return nil, refusal.OfKind(invalidFilter("there is no status %q; those that there are: %s", t.value, known),
					"filter-status", "given", t.value, "known", known)
			}
			if !strings.EqualFold(t.value, name) {
				name = "" // no request has two statuses at once
			}
		}
		for s, azure := range statuses {
			if strings.EqualFold(azure, name) && !slices.Contains(wanted, s) {
				wanted = append(wanted, s)
			}
		}
	}
	slices.Sort(wanted)
	return wanted, nil
}

func isStatus(name string) bool {
	return slices.ContainsFunc(statusNames(), func(s string) bool { return strings.EqualFold(s, name) })
}

func statusNames() []string {
	names := slices.Clone(never)
	for _, name := range statuses {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
