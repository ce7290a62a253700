package arm

import (
	"cmp"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
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
	// Duration in hours: text, or to clients of the older model a number.
	Duration any `json:"duration,omitempty"`
	// ResourceIDs is the newer model's, with commas between them; RequestedResourceIDs the older one's.
	ResourceIDs          string   `json:"resourceIds"`
	RequestedResourceIDs []string `json:"requestedResourceIds"`
	ResourceType         string   `json:"resourceType"`
	SupportRequest       string   `json:"supportRequest,omitempty"`
	SupportCaseURL       string   `json:"supportCaseUrl,omitempty"`
	WorkItemSource       string   `json:"workItemSource"`
	SubscriptionID       string   `json:"subscriptionId"`
	// LockboxStatus is the state's own name, which Azure's may share with others.
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
	if filter == "" || len(ask.GetStatuses()) > 0 { // without any status that it could have, nothing matches
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

// updateApproval approves or denies. The answer comes when it also shows in what is read, so that whoever reads next
// reads their own write.
func updateApproval(c *bearer.Call) error {
	var status, decision, reason string
	if err := c.Body(bearer.Fields{"status": &status, "decision": &decision, "reason": &reason}); err != nil {
		return err
	}
	if status != "" && decision != "" && !strings.EqualFold(status, decision) {
		return refusal.Invalid("status", rule, "and `decision` say different things")
	}
	command := new(lockboxv1.Command)
	switch verdict := cmp.Or(status, decision); {
	case strings.EqualFold(verdict, "Approve"):
		decision = "Approve"
		command.Action = &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{Reason: reason}}
	case strings.EqualFold(verdict, "Deny"):
		decision = "Deny"
		command.Action = &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: reason}}
	default:
		return refusal.Invalid("status", rule, "is Approve or Deny")
	}
	r, err := requested(c)
	if err != nil {
		return err
	}
	command.AggregateId = r.GetRequestId()
	reply, err := c.Do(command)
	if err != nil {
		return err
	}
	settle(c, reply, &lockboxv1.Query{Ask: &lockboxv1.Query_GetRequest{
		GetRequest: &lockboxv1.GetRequest{RequestId: r.GetRequestId()}}})
	return c.JSON(http.StatusOK, map[string]string{"status": decision, "decision": decision, "reason": reason})
}

// requested is the request that the path names, if it belongs to the subscription that the path names.
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
	if reply.GetRequest().GetIntent().GetSubscriptionId() != subscription {
		return nil, notFound()
	}
	return reply.GetRequest(), nil
}

// describe shows a request as Azure does.
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
		p.SupportCaseURL = c.URL + c.Organisation.Base() + "/tickets/" + url.PathEscape(in.GetTicketId())
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

// olderModel reports whether the client is of the older of two models that go by the same api-version: the official SDK
// for Go up to its last version of that kind (v68) fails on a duration that is text, as all newer ones do on one that
// is a number.
func olderModel(r *http.Request) bool { return strings.Contains(r.UserAgent(), "Azure-SDK-For-Go/") }

// hours is a duration in hours, in the older model in whole ones, of which there are enough.
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

// statuses is Azure's name of each of ours. Its public list has no name for what the requester or the provider's own
// approval ended: see the README.
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

// never are Azure's names of states between two of ours, which no request is ever in.
var never = []string{"Approving", "Denying", "Revoking", "Completing", "Unknown"}

func azureStatus(s lockboxv1.RequestStatus) string {
	if name, known := statuses[s]; known {
		return name
	}
	return "Unknown"
}

// statusName is our own name in Azure's spelling: CustomerNotified.
func statusName(s lockboxv1.RequestStatus) string {
	var name strings.Builder
	for _, part := range strings.Split(strings.TrimPrefix(s.String(), "REQUEST_STATUS_"), "_") {
		name.WriteString(part[:1] + strings.ToLower(part[1:]))
	}
	return name.String()
}

// statusFilter reads a $filter on properties/status and returns those of our states that it means; none: no request can
// match.
func statusFilter(filter string) ([]lockboxv1.RequestStatus, error) {
	alternatives, err := parseFilter(filter)
	if err != nil {
		return nil, err
	}
	var wanted []lockboxv1.RequestStatus
	for _, terms := range alternatives {
		name := terms[0].value
		for _, t := range terms {
			if !strings.EqualFold(t.field, "properties/status") || t.operator != "eq" || !t.quoted {
				return nil, invalidFilter(
					"understood is: properties/status eq 'Pending', several of them with `and` and `or` between them")
			}
			if !isStatus(t.value) {
				return nil, invalidFilter("there is no status %q; those that there are: %s", t.value,
					strings.Join(statusNames(), ", "))
			}
			if !strings.EqualFold(t.value, name) {
				name = "" // nothing has two statuses at once
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
