// Package organisation is who may sign in to the portal: each tenant's people and the provider's, each at an issuer of
// their own.
package organisation

import (
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/portalurl"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// Organisation is a tenant, or with an empty Tenant the provider.
type Organisation struct {
	Tenant string `yaml:"tenant"`
	// Name is what people call it.
	Name string `yaml:"name"`
	// Issuer is where its people sign in: OpenID Connect with discovery, https, or http on this machine.
	Issuer string `yaml:"issuer"`
	// ClientID is the portal's at that issuer. It must be the audience that the tenant is registered with, because the ID
	// token is what commands and queries carry.
	ClientID         string            `yaml:"client_id"`
	ClientSecretFile config.SecretFile `yaml:"client_secret_file"`
	// Domains of its people's e-mail addresses, by which the sign-in page finds it.
	Domains []string `yaml:"domains"`
}

// Base is where its pages lie: no slash at the end.
func (o *Organisation) Base() string { return portalurl.Base(o.Tenant) }

// List is all of them.
type List []Organisation

// Check refuses a list by which somebody could be taken for somebody else, naming the field.
func (l List) Check() error {
	if len(l) == 0 {
		return refusal.Invalid("organisations", "configuration", "are required: nobody could sign in")
	}
	tenants, domains, clients := map[string]bool{}, map[string]bool{}, map[[2]string]bool{}
	for _, o := range l {
		if o.Tenant != "" {
			if err := input.Tenant("organisations.tenant", o.Tenant); err != nil {
				return err
			}
		}
		client := [2]string{o.Issuer, o.ClientID}
		switch {
		case tenants[o.Tenant]:
			return refusal.Invalid("organisations.tenant", "configuration", "%q is there twice", o.Tenant)
		case o.Name == "" || o.ClientID == "":
			return refusal.Invalid("organisations", "configuration", "%q needs a name and a client_id", o.Tenant)
		case !oidcclient.Trustworthy(o.Issuer):
			return refusal.Invalid("organisations.issuer", "configuration", "%q must be an https URL, or http on this machine",
				o.Issuer)
		case clients[client]:
			return refusal.Invalid("organisations.client_id", "I9",
				"%q at %s is another organisation's too: nobody could tell their people apart", o.ClientID, o.Issuer)
		}
		tenants[o.Tenant], clients[client] = true, true
		for _, d := range o.Domains {
			if d != strings.ToLower(d) || strings.ContainsAny(d, "@/ ") || d == "" {
				return refusal.Invalid("organisations.domains", "configuration", "%q is no domain in lower case", d)
			}
			if domains[d] {
				return refusal.Invalid("organisations.domains", "configuration", "%q is there twice", d)
			}
			domains[d] = true
		}
	}
	return nil
}

// OfTenant finds a tenant, with an empty name the provider; nil: it is not there.
func (l List) OfTenant(tenant string) *Organisation {
	return l.find(func(o Organisation) bool { return o.Tenant == tenant })
}

// OfEmail finds the organisation by the domain of somebody's address; nil: no such domain.
func (l List) OfEmail(address string) *Organisation {
	_, domain, _ := strings.Cut(strings.ToLower(strings.TrimSpace(address)), "@")
	return l.find(func(o Organisation) bool { return slices.Contains(o.Domains, domain) })
}

// OfToken finds the organisation whose token says that it is from this issuer, for one of these audiences; nil: none,
// or several, for whoever would be asked then is a matter of their order. Nothing is believed by it: it only says whom
// to ask.
func (l List) OfToken(issuer string, audiences []string) *Organisation {
	is := func(o Organisation) bool { return o.Issuer == issuer && slices.Contains(audiences, o.ClientID) }
	first := slices.IndexFunc(l, is)
	if first < 0 || slices.ContainsFunc(l[first+1:], is) {
		return nil
	}
	return &l[first]
}

func (l List) find(is func(Organisation) bool) *Organisation {
	if i := slices.IndexFunc(l, is); i >= 0 {
		return &l[i]
	}
	return nil
}
