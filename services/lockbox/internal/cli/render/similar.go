package render

import (
	"fmt"
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Similar says which requests for the same are open or running.
func Similar(l Look, list []*lockboxv1.SimilarRequest) string {
	var said []string
	for _, r := range list {
		which := fmt.Sprintf("Request %s of %s", Clean(r.GetRequestId()), Clean(r.GetRequester()))
		if r.GetOwn() {
			which = "Your request " + Clean(r.GetRequestId())
		}
		text := which + " is for the same, and is " + statusPhrase(r.GetStatus())
		if r.GetUntil() != nil {
			text += ", until " + l.Stamp(r.GetUntil())
		}
		said = append(said, text+".")
	}
	return strings.Join(said, " ")
}

// statusPhrase says how a request that is open or running stands, as a part of a sentence.
func statusPhrase(s lockboxv1.RequestStatus) string {
	switch s {
	case lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE:
		return "running"
	case lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED:
		return "about to begin"
	case lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED:
		return "waiting for the customer"
	case lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL:
		return "waiting for internal approval"
	default:
		return "open"
	}
}
