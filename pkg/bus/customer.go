package bus

import (
	"maps"
	"strings"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

const customerPrefix = "customer-"

// CustomerPortal is the identity of a portal that a customer runs itself. It has an account of its own: so whoever
// receives what it sends knows from the subject whose it is, and answers for this customer alone (OnlyFor).
func CustomerPortal(tenant string) Identity { return Identity(customerPrefix + tenant) }

// customer returns whose own portal an identity is; false if it is none.
func (id Identity) customer() (tenant string, is bool) {
	return strings.CutPrefix(string(id.Of()), customerPrefix)
}

// customerRights permits sending commands and queries, and hearing that something of this customer's has changed. There
// is no right to sessions, which such a portal keeps to itself, nor to any stream.
func customerRights(id Identity, tenant string) []Right {
	if input.Tenant("tenant", tenant) != nil {
		return nil // the name could act as a wildcard
	}
	return append(asksServices(id), hears(Projector, changedPrefix+tenant, "")...)
}

// OnlyFor returns the customer for whom alone commands and queries of a sender's account are answered: whose own portal
// it is; false if it may send for any.
func OnlyFor(sender string) (tenant string, limited bool) {
	name, limited := strings.CutPrefix(sender, CustomerPortal("").Account())
	return strings.ReplaceAll(strings.ToLower(name), "_", "-"), limited
}

// IsPortal reports whether a sender's account is a portal's, of the provider's or of a customer's own.
func IsPortal(sender string) bool {
	_, own := OnlyFor(sender)
	return own || sender == Portal.Account()
}

// Within refuses (FORBIDDEN) what a customer's own portal sends about another tenant than its own.
func Within(sender, tenant string) error {
	if own, limited := OnlyFor(sender); limited && tenant != own {
		return refusal.OfKind(refusal.Forbidden("tenant", "I9",
			"a customer's own portal is answered for that customer alone"), "own-portal")
	}
	return nil
}

// ByCustomer refuses (FORBIDDEN) anybody but the customer's people at a customer's own portal. What it sends with
// another's token would be answered for them.
func ByCustomer(sender string, customers bool) error {
	if _, limited := OnlyFor(sender); limited && !customers {
		return refusal.OfKind(refusal.Forbidden("token", "I9", "a customer's own portal serves that customer's people alone"),
			"own-portal")
	}
	return nil
}

// CustomerKeys reads the public keys of customers' own portals in dir.
func CustomerKeys(dir string) (map[Identity]string, error) {
	public, err := ReadPublicKeys(dir)
	maps.DeleteFunc(public, func(id Identity, _ string) bool {
		_, is := id.customer()
		return !is
	})
	return public, err
}

// LoadOrCreateKey reads an identity's key from dir, or makes it, with its public half beside it.
func LoadOrCreateKey(dir string, id Identity) ([]byte, error) { return loadOrCreate(dir, id) }
