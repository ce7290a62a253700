package answer

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// viewer is a caller looking at one snapshot at one moment.
type viewer struct {
	*projection.Snapshot
	by  *lockboxv1.Actor
	now time.Time
	// anew is the viewer as if they had just signed in, which a tenant may require for decisions. Allowed actions are
	// computed for anew; otherwise nothing would prompt the viewer to sign in again.
	anew *lockboxv1.Actor
	// language is the language of Lockbox's own texts in the reply.
	language  *activity.Language
	catalogue *repository.InForce[*catalogue.Catalogue]
	receipts  Receipts
	exact     Exact
	log       Log
	access    AccessRecords
	health    func() Health
	// customer is the tenant that the query names; nil if it names none or one that does not exist.
	customer *projection.Customer
	// scope is what they may see of requests and of the activity log.
	scope projection.Scope
	// tickets reports whether they work on tickets, and so see all of them.
	tickets bool
	// reduced reports whether the customer's role assignments are hidden from them.
	reduced bool
	// verifier verified token, which is the caller's.
	verifier *identity.Verifier
	token    string
}

// notFound is the refusal for everything that the caller may not see. It is the same whether it exists or not.
func notFound() error {
	return refusal.NotFound("", "I9", "there is nothing of that name that you may see")
}

// viewer verifies the caller's token and determines what they may see.
func (a *Answerer) viewer(s *projection.Snapshot, q *lockboxv1.Query) (*viewer, error) {
	now := a.Now()
	by, err := a.caller(s.Customers(), q, now)
	if err != nil {
		return nil, err
	}
	v := &viewer{Snapshot: s, by: by, now: now, anew: proto.CloneOf(by), customer: s.Customer(q.GetTenant()),
		scope: projection.Scope{Tenant: q.GetTenant()}, verifier: a.Verifier, token: q.GetToken()}
	v.anew.AuthenticatedAt = timestamppb.New(now)
	if by.GetSide() == lockboxv1.Side_SIDE_PROVIDER {
		v.provider()
		return v, nil
	}
	return v, v.customersOwn()
}

// caller verifies the caller's token.
func (a *Answerer) caller(
	customers map[string]*projection.Customer, q *lockboxv1.Query, now time.Time,
) (*lockboxv1.Actor, error) {
	var issuers []*lockboxv1.TenantIssuer
	if customer := customers[q.GetTenant()]; customer != nil {
		issuers = customer.Tenant.Issuers()
	}
	by, err := a.Verifier.VerifyAny(q.GetToken(), issuers, now)
	if err != nil {
		return nil, a.elsewhere(customers, q, err, now)
	}
	a.Callers.Verified(q.GetTenant(), q.GetToken(), by)
	return by, nil
}

// elsewhere answers callers who do not belong to this tenant. If their token is valid for another tenant, the refusal
// is NOT_FOUND, whether this tenant exists or not (I9); otherwise it says that the token is not trusted.
func (a *Answerer) elsewhere(
	customers map[string]*projection.Customer, q *lockboxv1.Query, untrusted error, now time.Time,
) error {
	switch others := a.tenantsOf(customers, q.GetToken(), now); {
	case len(others) == 0:
		return untrusted
	case q.GetTenant() == "":
		return refusal.OfKind(
			refusal.Invalid("tenant", "I9", "is required: only the provider's people ask across tenants"),
			"tenant-required")
	}
	return notFound()
}

// ownTenant fills in the tenant of somebody who asks who they are, so that programs need not know it beforehand. A
// token that is valid for two tenants, or for the provider too, is left as it is.
func (a *Answerer) ownTenant(q *lockboxv1.Query) error {
	if q.GetTenant() != "" || q.GetGetSelf() == nil {
		return nil
	}
	customers, err := a.Store.Customers()
	if err != nil {
		return err
	}
	now := a.Now()
	if _, err := a.Verifier.VerifyAny(q.GetToken(), nil, now); err == nil {
		return nil
	}
	if own := a.tenantsOf(customers, q.GetToken(), now); len(own) == 1 {
		q.Tenant = own[0]
	}
	return nil
}

// tenantsOf returns the tenants whose issuers vouch for a token.
func (a *Answerer) tenantsOf(customers map[string]*projection.Customer, token string, now time.Time) (own []string) {
	const attempts = 8 // tenants that share an issuer and differ by audience
	issuer := claimedIssuer(token)
	if issuer == "" {
		return nil
	}
	var candidates []string
	for name, c := range customers {
		if slices.ContainsFunc(c.Tenant.Issuers(),
			func(i *lockboxv1.TenantIssuer) bool { return i.GetUrl() == issuer }) {
			candidates = append(candidates, name)
		}
	}
	slices.Sort(candidates)
	for _, name := range candidates[:min(attempts, len(candidates))] {
		if _, err := a.Verifier.VerifyAny(token, customers[name].Tenant.Issuers(), now); err == nil {
			own = append(own, name)
		}
	}
	return own
}

// claimedIssuer returns a token's unverified issuer, which is used only to find the keys for verification.
func claimedIssuer(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Issuer
}

// provider: requesters see their own requests, internal approvers those that have awaited their group, security
// officers everything.
func (v *viewer) provider() {
	v.tickets = aggregate.Provider(v.by, aggregate.SupportEngineers, aggregate.SupportLeads, aggregate.DevOpsManagers,
		aggregate.SecurityOfficers)
	if aggregate.Provider(v.by, aggregate.SecurityOfficers) {
		v.scope.All, v.scope.Untold = true, true
		return
	}
	v.reduced = true
	v.scope.Principals = append(groups(v.by), projection.Person(v.by.GetPerson()))
}

func groups(by *lockboxv1.Actor) []string {
	list := make([]string, len(by.GetGroups()))
	for i, g := range by.GetGroups() {
		list[i] = projection.Group(g)
	}
	return list
}

// customersOwn: Global Administrators, tenant Lockbox Approvers and Auditors see their tenant; Owners and Lockbox
// Approvers of subscriptions see those. Only active roles count.
func (v *viewer) customersOwn() error {
	c := v.customer
	if c.Tenant.Fault != nil {
		return refusal.OfKind(
			refusal.Unavailable("tenant", "I11",
				"the tenant's history contradicts itself, so nobody knows who may see what"),
			"history")
	}
	v.scope.All = holds(c.Tenant.Roles.Held(v.by.GetPerson(), v.now),
		lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, lockboxv1.Role_ROLE_LOCKBOX_APPROVER, lockboxv1.Role_ROLE_AUDITOR)
	v.tickets = v.scope.All
	if v.scope.All {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(c.Subscriptions)) {
		s := c.Subscriptions[id]
		if s.Fault == nil && holds(s.Roles.Held(v.by.GetPerson(), v.now), lockboxv1.Role_ROLE_OWNER,
			lockboxv1.Role_ROLE_LOCKBOX_APPROVER) {
			v.scope.Subscriptions = append(v.scope.Subscriptions, id)
		}
	}
	return nil
}

// holds reports whether any of the roles held is among those given.
func holds(held []lockboxv1.Role, counting ...lockboxv1.Role) bool {
	return slices.ContainsFunc(held, func(r lockboxv1.Role) bool { return slices.Contains(counting, r) })
}

// sees reports whether they may see anything besides their own tickets.
func (v *viewer) sees() bool {
	if v.scope.All {
		return v.scope.Tenant == "" || v.customer != nil
	}
	return len(v.scope.Subscriptions) > 0 || len(v.scope.Principals) > 0
}
