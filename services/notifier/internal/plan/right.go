package plan

import (
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Right is on what it rests that one of the customer's people may know what a mail says. It is asked for again when the
// mail goes, which may be days after the event: whoever was relieved in the meantime reads no more of it (R20).
type Right struct {
	// Basis and Asked are by which roles the accounts with the recipient's address decide; for approvers, and for those
	// whom an emergency left unasked.
	Basis lockboxv1.ApproverBasis
	Asked []*lockboxv1.Approver
	// Subscription is the id of the one that the request reaches; empty for the tenant itself.
	Subscription string
}

// lapses reports whether a standing can be lost after the event. The others were told of the event because of what it
// did to them, or are not the customer's.
func (n Notification) lapses() bool {
	switch n.Standing {
	case Approver, Affected, Alternate, Administrator:
		return true
	}
	return false
}

// RestsOn returns the aggregates by which Entitled tells whether the recipient may still know what the mail says; none
// if that cannot change.
func (n Notification) RestsOn() []aggregate.Key {
	if !n.lapses() {
		return nil
	}
	keys := []aggregate.Key{aggregate.Tenant(n.Data.TenantID)}
	if n.Right.Subscription != "" {
		keys = append(keys, aggregate.Subscription(n.Data.TenantID, n.Right.Subscription))
	}
	return keys
}

// Entitled reports whether the recipient may know what the mail says, as of a tenant, the subscription that the mail's
// request reaches, and the time. Administrators may know everything about their tenant. A history that contradicts
// itself takes nobody's right away: whoever can write a single event would otherwise silence all mails.
func (n Notification) Entitled(t tenant.State, sub tenant.Subscription, now time.Time) bool {
	administers := func(a *lockboxv1.Person) bool { return sameAddress(a.GetEmail(), n.Recipient) }
	if !n.lapses() || t.Fault != nil || sub.Fault != nil || slices.ContainsFunc(administratorsOf(t, now), administers) {
		return true
	}
	switch n.Standing {
	case Alternate:
		return names(t, n.Recipient)
	case Approver, Affected:
		return slices.ContainsFunc(n.Right.Asked, func(a *lockboxv1.Approver) bool {
			return keeps(t, n.Right.reached(sub), n.Right.Basis, a, now)
		})
	}
	return false
}

func (r Right) reached(sub tenant.Subscription) *tenant.Subscription {
	if r.Subscription == "" {
		return nil
	}
	return &sub
}

// keeps reports whether somebody still has one of the roles by which they were asked, active or to be activated; also
// if that cannot be told.
func keeps(
	t tenant.State, sub *tenant.Subscription, basis lockboxv1.ApproverBasis, a *lockboxv1.Approver, now time.Time,
) bool {
	if t.Fault != nil || sub != nil && sub.Fault != nil {
		return true
	}
	return slices.ContainsFunc(tenant.Keeping(t, sub, basis, a.GetPerson(), now),
		func(r lockboxv1.Role) bool { return slices.Contains(a.GetRoles(), r) })
}

// administratorsOf returns the Global Administrators at a time, also those whose role is only eligible: who is notified
// must not depend on who happens to be activated.
func administratorsOf(t tenant.State, at time.Time) (people []*lockboxv1.Person) {
	for _, a := range t.Roles.All() {
		if a.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR &&
			(a.GetExpiresAt() == nil || at.Before(a.GetExpiresAt().AsTime())) {
			people = append(people, a.GetPerson())
		}
	}
	return people
}

// names reports whether a tenant names an address as an alternate contact; also if that cannot be told.
func names(t tenant.State, address string) bool {
	return t.Fault != nil || slices.ContainsFunc(t.Settings.GetAlternates(), func(a *lockboxv1.AlternateAddress) bool {
		return sameAddress(a.GetEmail(), address)
	})
}

// sameAddress compares addresses as ID does: in lower case, and no more, because to fold them makes one of s and ſ,
// which are two mailboxes.
func sameAddress(a, b string) bool {
	lower := strings.ToLower(a)
	return lower == strings.ToLower(b)
}
