package render

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// sentence makes an enum name readable: CUSTOMER_NOTIFIED becomes "Customer notified".
func sentence(name, prefix string) string {
	s := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, prefix), "_", " "))
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// StatusName returns the display name of a request's status.
func StatusName(s lockboxv1.RequestStatus) string {
	switch s {
	case lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL:
		return "Awaiting internal" // "approval" does not fit into the column
	case lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED:
		return "Customer Notified" // as Azure Customer Lockbox calls it
	default:
		return sentence(s.String(), "REQUEST_STATUS_")
	}
}

func statusPaint(s lockboxv1.RequestStatus) paint {
	switch s {
	case lockboxv1.RequestStatus_REQUEST_STATUS_SUBMITTED,
		lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL,
		lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED:
		return warn
	case lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED, lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE:
		return good
	case lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED, lockboxv1.RequestStatus_REQUEST_STATUS_RELEASED:
		return dim
	default:
		return bad
	}
}

// reasonNames are the names of reason types, the same as in mails.
var reasonNames = map[lockboxv1.ReasonType]string{
	lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT:   "Support requested by the customer",
	lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE:   "Service work initiated by the provider",
	lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_REVIEW:    "Review initiated by the provider",
	lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT: "Response to a production alert",
	lockboxv1.ReasonType_REASON_TYPE_THIRD_PARTY_DATA_REQUEST:     "Request for data by a third party",
}

// ReasonName returns the display name of a reason type.
func ReasonName(r lockboxv1.ReasonType) string {
	if name, known := reasonNames[r]; known {
		return name
	}
	return sentence(r.String(), "REASON_TYPE_")
}

func roleNames(roles []lockboxv1.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = tenant.RoleName(r)
	}
	return strings.Join(names, ", ")
}

// PersonName returns a person's name, or else the issuer's identifier for them; and whether the name was erased (R63).
func PersonName(p *lockboxv1.Person) string {
	switch {
	case p.GetDisplayName() != "":
		return Clean(p.GetDisplayName())
	case p.GetErased() && p.GetSubject() == "":
		return erasable.Erased
	case p.GetErased():
		return Clean(p.GetSubject()) + " (name erased)"
	}
	return Clean(p.GetSubject())
}

// address returns a person's name with their mail address.
func address(p *lockboxv1.Person) string {
	if p.GetEmail() == "" {
		return PersonName(p)
	}
	return fmt.Sprintf("%s <%s>", PersonName(p), Clean(p.GetEmail()))
}

// ActorName returns the name of the actor, a person or a service.
func ActorName(a *lockboxv1.Actor) string {
	switch {
	case a == nil:
		return "-"
	case a.GetSide() == lockboxv1.Side_SIDE_SYSTEM:
		return "Lockbox"
	case a.GetEmployer() != "":
		return fmt.Sprintf("%s (%s)", PersonName(a.GetPerson()), Clean(a.GetEmployer()))
	}
	return PersonName(a.GetPerson())
}

// signIn describes how a person authenticated (R13).
func signIn(a *lockboxv1.Actor) string {
	switch {
	case a.GetMultiFactor() && a.GetIsolatedIdentity():
		return "signed in with several factors, isolated identity"
	case a.GetMultiFactor():
		return "signed in with several factors"
	case a.GetIsolatedIdentity():
		return "isolated identity"
	}
	return "signed in with one factor"
}

func basisName(b lockboxv1.ApproverBasis) string {
	switch b {
	case lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION:
		return "Owners and Lockbox Approvers of the subscription"
	case lockboxv1.ApproverBasis_APPROVER_BASIS_TENANT:
		return "Global Administrators and Lockbox Approvers of the tenant"
	case lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK:
		return "too few approvers resolved, so the tenant's fallback is asked as well"
	case lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY:
		return "nobody can be asked: it waits and expires"
	default:
		return sentence(b.String(), "APPROVER_BASIS_")
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

// ShortID returns the end of a request id, which is random: enough to tell requests apart, and accepted wherever an id
// is.
func ShortID(id string) string {
	if i := strings.LastIndexByte(id, '-'); i >= 0 {
		return Clean(id[i+1:])
	}
	return Clean(id)
}

// id returns an id as lists show it: whole, or on a terminal that has no room for that its end.
func (l Look) id(id string) string {
	if l.Width > 0 && l.Width < 132 {
		return ShortID(id)
	}
	return Clean(id)
}

func uintText(n uint64) string { return strconv.FormatUint(n, 10) }

// position formats a sequence of the stream, right-aligned.
func position(sequence uint64) string { return fmt.Sprintf("%*d", sequenceWidth, sequence) }
