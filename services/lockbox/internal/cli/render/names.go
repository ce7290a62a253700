package render

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// sentence makes an enum's name readable: CUSTOMER_NOTIFIED is "Customer notified".
func sentence(name, prefix string) string {
	s := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, prefix), "_", " "))
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// StatusName is a request's state as people say it.
func StatusName(s lockboxv1.RequestStatus) string {
	switch s {
	case lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL:
		return "Awaiting internal" // approval, which the column has no room for
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

// ReasonName is a reason type as people say it.
func ReasonName(r lockboxv1.ReasonType) string {
	name := sentence(r.String(), "REASON_TYPE_")
	return strings.NewReplacer("Customer initiated", "Customer-initiated", "Provider initiated",
		"Provider-initiated").Replace(name)
}

func roleNames(roles []lockboxv1.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = tenant.RoleName(r)
	}
	return strings.Join(names, ", ")
}

// PersonName is what to call somebody: their name, or what their issuer calls them.
func PersonName(p *lockboxv1.Person) string {
	if p.GetDisplayName() != "" {
		return Clean(p.GetDisplayName())
	}
	return Clean(p.GetSubject())
}

// address is a person with their mail address.
func address(p *lockboxv1.Person) string {
	if p.GetEmail() == "" {
		return PersonName(p)
	}
	return fmt.Sprintf("%s <%s>", PersonName(p), Clean(p.GetEmail()))
}

// ActorName is what to call whoever did something.
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

// signIn says how somebody proved who they are (R13).
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
		return "too few approvers resolved, so the tenant's fallback is asked as well (R23)"
	case lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY:
		return "nobody can be asked: it waits and expires (R23)"
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

// ShortID is the end of a request's id, its random part: enough to tell requests apart, and accepted wherever an id is.
func ShortID(id string) string {
	if i := strings.LastIndexByte(id, '-'); i >= 0 {
		return Clean(id[i+1:])
	}
	return Clean(id)
}

func uintText(n uint64) string { return strconv.FormatUint(n, 10) }

func padLeft(s string, n int) string { return strings.Repeat(" ", max(0, n-width(s))) + s }
