package orchestrator

import (
	"net/netip"
	"net/url"

	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/sealed"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Webhooks say how customers' own webhooks are recorded (R57).
type Webhooks struct {
	// KeyFile holds the forwarder's public key (webhooks.public). Empty: customers can add no webhooks.
	KeyFile string `yaml:"key_file"`
	// ThisMachine permits addresses on this machine; for trying things out only.
	ThisMachine bool `yaml:"this_machine"`
}

// sealing encrypts the secrets of commands to the forwarder, before anything is decided or recorded.
type sealing struct {
	Webhooks
	key *sealed.Public // nil: there is none
}

func (c Webhooks) open() (s sealing, err error) {
	s.Webhooks = c
	if c.KeyFile != "" {
		var key sealed.Public
		key, err = sealed.ReadPublic(c.KeyFile)
		s.key = &key
	}
	return s, err
}

// seal returns the command's secrets, encrypted; nil if it has none, or if no key is configured. Addresses that the
// forwarder would not send to are refused here, where somebody reads it.
func (s sealing) seal(c *lockboxv1.Command) ([]byte, error) {
	a := c.GetAddWebhook()
	if a == nil || s.key == nil {
		return nil, nil
	}
	const field = "add_webhook.secret_url"
	if _, err := tenant.WebhookAddress(field, a.GetSecretUrl()); err != nil {
		return nil, err
	}
	u, err := url.Parse(a.GetSecretUrl())
	if err != nil {
		// Without the address, which is a secret.
		return nil, refusal.OfKind(refusal.Invalid(field, "R57", "is no address"), "webhook-address")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	literal := err == nil
	if here := tenant.ThisMachine(u.Hostname()); here && !s.ThisMachine || !here && literal && !jwks.Public(addr.Unmap()) {
		return nil, refusal.OfKind(
			refusal.Invalid(field, "R57", "is not an address that can be reached from the internet"),
			"webhook-reach")
	}
	plain, err := proto.Marshal(&lockboxv1.WebhookSecret{Url: a.GetSecretUrl(), Secret: a.GetSecret()})
	if err != nil {
		return nil, err
	}
	return s.key.Seal(sealed.About{Purpose: "webhook", Tenant: c.GetTenant(), ID: c.GetId()}, plain)
}
