package fair

import (
	"crypto/sha256"
	"hash/maphash"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/cache"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	// rememberedCallers is how many tokens are remembered, for each tenant that they were used with.
	rememberedCallers = 8192
	// strangers is how many lanes there are for callers who are not known, whatever tenants they name.
	strangers = 16
)

// Callers finds the lanes of callers before they are verified. What a message says of its sender is not true yet, and
// whoever could queue under another tenant's name would crowd it out. So only a token that was verified before has its
// tenant's lane, or its person's if that is of the provider, who may name any tenant. All others are strangers and
// share a few lanes, by the tenant that they name: however many names are invented, they are no more lanes. Only
// strangers wait for keys that must be fetched. It is safe for concurrent use.
type Callers struct {
	seed  maphash.Seed
	known *cache.Cache[[sha256.Size]byte, caller]
}

// caller is whose a token is, and the lane of what is sent with it.
type caller struct {
	person, lane string
	by           *lockboxv1.Actor
}

// NewCallers returns Callers that know nobody yet.
func NewCallers() *Callers {
	return &Callers{maphash.MakeSeed(), cache.New[[sha256.Size]byte, caller](rememberedCallers)}
}

// Lane returns the lane of a message about a tenant, sent with a token, and whether the token is known.
func (c *Callers) Lane(tenant, token string) (lane string, known bool) {
	who, known := c.known.Get(key(tenant, token))
	if !known {
		who.lane = strconv.FormatUint(maphash.String(c.seed, tenant)%strangers, 10)
	}
	return who.lane, known
}

// Person returns whose a token is that was verified before, though it may have expired since; false if it was not.
func (c *Callers) Person(tenant, token string) (person string, known bool) {
	who, known := c.known.Get(key(tenant, token))
	return who.person, known
}

// By returns who a token named when it was verified, though it may have expired since; nil if it was not.
func (c *Callers) By(tenant, token string) *lockboxv1.Actor {
	who, _ := c.known.Get(key(tenant, token))
	return who.by
}

// Verified remembers whose a token is that was accepted about a tenant.
func (c *Callers) Verified(tenant, token string, by *lockboxv1.Actor) {
	who := caller{Person(by.GetPerson()), "tenant " + tenant, by}
	if by.GetSide() == lockboxv1.Side_SIDE_PROVIDER {
		who.lane = "person " + by.GetPerson().GetIssuer() + " " + by.GetPerson().GetSubject()
	}
	c.known.Put(key(tenant, token), who)
}

// Person names a person, the same for all accounts of one human (R51).
func Person(p *lockboxv1.Person) string {
	if p.GetHuman() != "" {
		return p.GetIssuer() + " human " + p.GetHuman()
	}
	return p.GetIssuer() + " account " + p.GetSubject()
}

func key(tenant, token string) [sha256.Size]byte {
	return sha256.Sum256([]byte(tenant + "\x00" + token))
}
