package demo

import (
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/notifier"
	"github.com/openlockbox/lockbox/services/portal"
)

// Notifier is how the demo's provider sends mail: to the development mailbox, and to its own approvers by group.
func Notifier() notifier.Config {
	return notifier.Config{
		Provider: devissuer.Provider,
		SMTP:     notifier.SMTP{From: "lockbox@nimbus.example"},
		Groups: map[string][]string{
			aggregate.SupportLeads: {"lena@nimbus.example"}, aggregate.DevOpsManagers: {"derek@nimbus.example"},
			aggregate.SecurityOfficers: {"olga@nimbus.example"},
		},
	}
}

// Organisations are the demo's, as its portal knows them: each one's people sign in at the demo issuer, and are known
// by their addresses' domains.
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
