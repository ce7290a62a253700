package demo

import (
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/notifier"
	"github.com/openlockbox/lockbox/services/portal"
)

// Notifier returns the demo provider's mail settings: the development mailbox, a mail address for each group of
// internal approvers, and digests that come while one is still looking.
func Notifier() notifier.Config {
	return notifier.Config{
		Provider: devissuer.Provider,
		SMTP:     notifier.SMTP{From: "lockbox@nimbus.example"}, DigestAfter: time.Minute,
		Groups: map[string][]string{
			aggregate.SupportLeads: {"lena@nimbus.example"}, aggregate.DevOpsManagers: {"derek@nimbus.example"},
			aggregate.SecurityOfficers: {"olga@nimbus.example"},
		},
	}
}

// Organisations returns the demo's organisations as the portal knows them: their people sign in at the demo issuer and
// are recognised by the domain of their mail address.
func Organisations(d *devissuer.Issuer) []portal.Organisation {
	all := []portal.Organisation{{Name: devissuer.Provider, Issuer: d.ProviderIssuer().URL}}
	for _, c := range []struct{ tenant, name string }{
		{devissuer.TenantBank, devissuer.TenantBankName}, {devissuer.TenantHealth, devissuer.TenantHealthName},
	} {
		all = append(all, portal.Organisation{Tenant: c.tenant, Name: c.name, Issuer: d.TenantIssuer(c.tenant).GetUrl()})
	}
	for i := range all {
		all[i].ClientID = devissuer.ClientID
		for _, p := range devissuer.Personas() {
			_, domain, _ := strings.Cut(p.Email, "@")
			if p.Tenant == all[i].Tenant && !slices.Contains(all[i].Domains, domain) {
				all[i].Domains = append(all[i].Domains, domain)
			}
		}
	}
	return all
}
