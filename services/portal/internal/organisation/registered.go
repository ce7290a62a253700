package organisation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	// A registered organisation is asked for again after knownFor, and one that is not there after missingFor.
	knownFor, missingFor = time.Minute, 5 * time.Second
	// askedFor limits how long a page waits for it.
	askedFor = 3 * time.Second
	// mostKnown limits how many are remembered; strangers can name as many as they like.
	mostKnown = 1024
)

// Registered are the organisations whose sign-in their tenants' own events say (R65): a customer signs in to the portal
// without a line of configuration. It is safe for concurrent use.
type Registered struct {
	// Ask asks where a tenant signs in.
	Ask func(ctx context.Context, tenant string) (*lockboxv1.SignInOptions, error)
	Now func() time.Time
	// HasKey says that the portal can prove itself with a key of its own (`private_key_jwt`).
	HasKey bool

	mu    sync.Mutex
	known map[string]remembered
}

type remembered struct {
	list  List // empty: there is none
	until time.Time
}

// OfTenant returns a tenant's organisation once for each issuer that is accepted, the present one first; empty if it is
// not registered with a client for the portal. While it cannot be asked for, what was known last is returned.
func (r *Registered) OfTenant(ctx context.Context, tenant string) List {
	if r == nil || input.Tenant("tenant", tenant) != nil {
		return nil
	}
	r.mu.Lock()
	before, known := r.known[tenant]
	r.mu.Unlock()
	if known && r.Now().Before(before.until) {
		return before.list
	}
	ctx, cancel := context.WithTimeout(ctx, askedFor)
	defer cancel()
	options, err := r.Ask(ctx, tenant)
	now := remembered{until: r.Now().Add(missingFor)}
	switch {
	case err == nil:
		if now.list = r.registered(tenant, options); len(now.list) > 0 {
			now.until = r.Now().Add(knownFor)
		}
	case !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND):
		now.list = before.list
		if errors.Is(err, context.Canceled) {
			return now.list
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || len(r.known) >= mostKnown {
		r.known = map[string]remembered{}
	}
	r.known[tenant] = now
	return now.list
}

// registered returns the organisation as its tenant's issuers say. One that wants a key of the portal's is left out if
// the portal has none.
func (r *Registered) registered(tenant string, o *lockboxv1.SignInOptions) (list List) {
	for _, i := range o.GetIssuers() {
		if (r.HasKey || !i.GetPrivateKeyJwt()) && i.GetClientId() != "" && oidcclient.Trustworthy(i.GetUrl()) &&
			list.At(i.GetUrl()) == nil {
			list = append(list, Organisation{Tenant: tenant, Name: o.GetDisplayName(), Issuer: i.GetUrl(),
				ClientID: i.GetClientId(), PrivateKeyJWT: i.GetPrivateKeyJwt(), Foreign: true})
		}
	}
	return list
}
