package plan

import (
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// signIn notifies everybody of a change of where the tenant's people sign in (R65): whoever could be locked out or let
// in by it, at all addresses that are known, old and new. It returns false for other events.
func (p *planner) signIn(d Data) bool {
	change := p.Tenant.Change
	if change == nil {
		change = p.TenantBefore.Change
	}
	var t Template
	var former []recipient
	switch f := p.Event.GetFact().(type) {
	case *lockboxv1.Event_SignInChangeProposed:
		t = SignInProposed
	case *lockboxv1.Event_SignInChangeConfirmed:
		if t = SignInChanged; p.Tenant.Change != nil {
			t = SignInRecovery
		}
	case *lockboxv1.Event_SignInChangeReminded:
		t = SignInReminder
	case *lockboxv1.Event_SignInChanged:
		t = SignInChanged
	case *lockboxv1.Event_SignInChangeStopped:
		t, d.Text = SignInStopped, f.SignInChangeStopped.GetReason()
	case *lockboxv1.Event_SignedIn:
		if f.SignedIn.GetStoppedChangeId() == "" {
			return true
		}
		t = SignInStopped
	case *lockboxv1.Event_FormerSignInEnded:
		t, d.Issuer = FormerSignInEnded, p.Tenant.Issuer.GetUrl()
		change = nil // whatever waits besides is not concerned
		former = p.relieved(p.TenantBefore.Roles, p.Tenant.Roles)
	default:
		return false
	}
	to := [][]recipient{p.administrators(), p.alternatesNow(), former}
	if change != nil {
		to = append(to, p.named(change))
		d.change(change, p.TenantBefore)
		if t != SignInStopped {
			d.Text = change.Wanted.GetReason()
		}
	}
	p.tell(t, d, to...)
	return true
}

// change says what is wanted.
func (d *Data) change(c *tenant.SignInChange, before tenant.State) {
	if d.Issuer = c.Wanted.GetIssuer().GetUrl(); d.Issuer == "" {
		d.Issuer = before.Issuer.GetUrl()
	}
	for _, a := range c.Wanted.GetAdministrators() {
		d.Administrators = append(d.Administrators, Name(a)+" ("+a.GetEmail()+")")
	}
	d.Until = c.DueAt
}

// named returns those whom a change makes administrators.
func (p *planner) named(c *tenant.SignInChange) []recipient {
	var list []recipient
	for _, a := range c.Wanted.GetAdministrators() {
		list = append(list, p.tenantPerson(a, Named))
	}
	return list
}
