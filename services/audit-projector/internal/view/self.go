package view

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Self returns one of a tenant's people with the roles that are active at now. Whether a first sign-in is recorded
// already has yet to be seen.
func Self(c *projection.Customer, by *lockboxv1.Actor, now time.Time) *lockboxv1.SelfView {
	v := &lockboxv1.SelfView{
		Actor: by, Roles: held(c.Tenant.Roles, "", by.GetPerson(), now), Tenant: c.Tenant.ID, TenantName: c.Tenant.Name,
		DefaultLanguage:      c.Tenant.Settings.GetDefaultLanguage(),
		MaxAuthenticationAge: c.Tenant.Settings.GetMaxAuthenticationAge(),
		TimeZone:             c.Tenant.Settings.GetTimeZone(),
	}
	for _, id := range slices.Sorted(maps.Keys(c.Subscriptions)) {
		if s := c.Subscriptions[id]; s.Fault == nil {
			v.Roles = append(v.Roles, held(s.Roles, id, by.GetPerson(), now)...)
			if s.Registered() && s.Roles.Names(by.GetPerson()) {
				v.FirstSignIn = id
			}
		}
	}
	if c.Tenant.Roles.Names(by.GetPerson()) {
		v.FirstSignIn = "" // is recorded there
	}
	v.LostRoles = lost(c, by.GetPerson(), now)
	return v
}

const (
	lostWithin = 30 * 24 * time.Hour
	mostLost   = 5
)

// lost returns the roles that a person lost lately, the latest first.
func lost(c *projection.Customer, p *lockboxv1.Person, now time.Time) (list []*lockboxv1.LostRole) {
	add := func(roles tenant.Roles, subscription, name string) {
		for _, l := range roles.Lost(p, now.Add(-lostWithin), now) {
			list = append(list, &lockboxv1.LostRole{Role: l.GetRole(), SubscriptionId: subscription, SubscriptionName: name,
				By: l.Actor, Time: timestamppb.New(l.At)})
		}
	}
	add(c.Tenant.Roles, "", "")
	for _, id := range slices.Sorted(maps.Keys(c.Subscriptions)) {
		if s := c.Subscriptions[id]; s.Fault == nil {
			add(s.Roles, id, cmp.Or(s.Name, id))
		}
	}
	slices.SortStableFunc(list, func(a, b *lockboxv1.LostRole) int {
		return b.GetTime().AsTime().Compare(a.GetTime().AsTime())
	})
	return list[:min(mostLost, len(list))]
}

func held(roles tenant.Roles, subscription string, p *lockboxv1.Person, now time.Time) (list []*lockboxv1.HeldRole) {
	for _, r := range roles.Held(p, now) {
		list = append(list, &lockboxv1.HeldRole{Role: r, SubscriptionId: subscription})
	}
	return list
}

// Services returns a catalogue's services without their scenarios.
func Services(c *catalogue.Catalogue) *lockboxv1.ServiceList {
	list := &lockboxv1.ServiceList{Version: c.Version()}
	for _, s := range c.Services() {
		list.Services = append(list.Services, &lockboxv1.ServiceView{ResourceType: s.Type, DisplayName: s.Name,
			Stage: s.Stage})
	}
	return list
}

// Scenarios returns what can be asked for.
func Scenarios(c *catalogue.Catalogue) *lockboxv1.ScenarioList {
	list := new(lockboxv1.ScenarioList)
	for _, s := range c.Services() {
		for _, scenario := range s.Scenarios {
			list.Scenarios = append(list.Scenarios, &lockboxv1.ScenarioView{ResourceType: s.Type, ServiceName: s.Name,
				Scenario: scenario.ID, DisplayName: scenario.Name, CustomerData: scenario.CustomerData,
				Elevated: scenario.Elevated, Scope: scenario.Scope})
		}
	}
	return list
}
