package policy

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// One intent by the shipped rules: all of it, beside the bare cost of CEL for the same conditions.
func BenchmarkEvaluate(b *testing.B) {
	f, now := Facts{
		Intent: &lockboxv1.AccessIntent{
			Id: "019b0000-0000-7000-8000-000000000001", Tenant: "contoso", SubscriptionId: "production",
			ResourceType: "compute/virtual-machines", Scenario: "managed-disk",
			ResourceIds:   []string{"/subscriptions/production/providers/Microsoft.Compute/virtualMachines/web-1"},
			Justification: "The machine hangs; a copy of the disk will show why.",
		},
		By: &lockboxv1.Actor{
			Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Nimbus Cloud", Groups: []string{aggregate.SupportEngineers},
			MultiFactor: true,
			Person:      &lockboxv1.Person{Issuer: "https://nimbus.example", Subject: "erin"},
		},
		Tenant:       tenant.State{History: aggregate.History{Version: 2, Sequence: 17}, Enabled: true},
		Subscription: &tenant.Subscription{History: aggregate.History{Version: 1}},
	}, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	rules, c, terms := Default(), catalogue.Default(), request.DefaultTerms()

	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if v := Evaluate(f, rules, c, terms, now); v.GetRefusal() != nil {
				b.Fatal(v.GetRefusal())
			}
		}
	})
	b.Run("bare-cel", func(b *testing.B) {
		b.ReportAllocs()
		v := Evaluate(f, rules, c, terms, now)
		s := subject{intent: f.Intent, by: f.By, tenant: &lockboxv1.TenantFacts{LockboxEnabled: true}}
		w := rules.weigh(s, resourceFacts(v.GetFacts()), now)
		for b.Loop() {
			for i := range rules.list {
				if _, err := rules.list[i].holds(w); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			if _, err := Parse(builtin); err != nil {
				b.Fatal(err)
			}
		}
	})
}
