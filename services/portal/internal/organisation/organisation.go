// Package organisation configures who may sign in to the portal: the people of each tenant and of the provider, each
// organisation with an issuer of its own.
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

// Organisation is a tenant or, if Tenant is empty, the provider.
type Organisation struct {
	// Tenant is the customer whose people these are; empty: the provider's.
	Tenant string `yaml:"tenant"`
	// Name is the display name.
	Name string `yaml:"name"`
	// Issuer is the organisation's OpenID Connect issuer with discovery: https, or http on localhost.
	Issuer string `yaml:"issuer"`
	// ClientID is the portal's client ID at that issuer. It must be the audience that the tenant is registered with,
	// because commands and queries carry the ID token.
	ClientID string `yaml:"client_id"`
	// ClientSecretFile holds the portal's secret at that issuer; empty: it has none.
	ClientSecretFile config.SecretFile `yaml:"client_secret_file"`
	// PrivateKeyJWT says that the portal proves itself with its own key instead of a secret (RFC 7523).
	PrivateKeyJWT bool `yaml:"private_key_jwt"`
	// CAFile holds the certificate authorities accepted for the issuer's server (PEM); empty: the system's.
	CAFile string `yaml:"ca_file"`
	// Domains are those of its people's e-mail addresses, by which the sign-in page finds the organisation.
	Domains []string `yaml:"domains"`
	// Foreign says that the tenant named its issuer, and not the operator: it is reached under restrictions.
	Foreign bool `yaml:"-"`
	// Authorities are the tenant's own for that issuer's server (PEM); empty: the system's.
	Authorities []byte `yaml:"-"`
}

// Base returns the path of its pages, without a trailing slash.
func (o *Organisation) Base() string { return portalurl.Base(o.Tenant) }

// List holds all organisations.
type List []Organisation

// Check rejects a configuration in which one person could be mistaken for another; the error names the field.
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

// OfTenant returns a tenant's organisation, for an empty name the provider; nil if there is none.
func (l List) OfTenant(tenant string) *Organisation {
	return l.find(func(o Organisation) bool { return o.Tenant == tenant })
}

// At returns the organisation with an issuer; nil if there is none.
func (l List) At(issuer string) *Organisation {
	return l.find(func(o Organisation) bool { return o.Issuer == issuer })
}

// OfEmail returns the organisation for the domain of an e-mail address; nil if there is none.
func (l List) OfEmail(address string) *Organisation {
	_, domain, _ := strings.Cut(strings.ToLower(strings.TrimSpace(address)), "@")
	return l.find(func(o Organisation) bool { return slices.Contains(o.Domains, domain) })
}

// OfToken returns the organisation for a token's issuer and audiences; nil if there is none, or more than one, as the
// choice would then depend on their order. The claims are unverified and only say whom to ask.
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
