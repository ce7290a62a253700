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

	mu    sync.Mutex
	known map[string]remembered
}

type remembered struct {
	organisation *Organisation // nil: there is none
	until        time.Time
}

// OfTenant returns a tenant's organisation; nil if it is not registered with a client for the portal. While it cannot
// be asked for, what was known last is returned.
func (r *Registered) OfTenant(ctx context.Context, tenant string) *Organisation {
	if r == nil || input.Tenant("tenant", tenant) != nil {
		return nil
	}
	r.mu.Lock()
	before, known := r.known[tenant]
	r.mu.Unlock()
	if known && r.Now().Before(before.until) {
		return before.organisation
	}
	ctx, cancel := context.WithTimeout(ctx, askedFor)
	defer cancel()
	options, err := r.Ask(ctx, tenant)
	now := remembered{until: r.Now().Add(missingFor)}
	switch {
	case err == nil:
		if now.organisation = registered(tenant, options); now.organisation != nil {
			now.until = r.Now().Add(knownFor)
		}
	case !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND):
		now.organisation = before.organisation
		if errors.Is(err, context.Canceled) {
			return now.organisation
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || len(r.known) >= mostKnown {
		r.known = map[string]remembered{}
	}
	r.known[tenant] = now
	return now.organisation
}

// registered returns the organisation as its tenant's present issuer says. The portal has no key of its own, so an
// issuer that wants one is left out.
func registered(tenant string, o *lockboxv1.SignInOptions) *Organisation {
	for _, i := range o.GetIssuers() {
		if !i.GetPrivateKeyJwt() && i.GetClientId() != "" && oidcclient.Trustworthy(i.GetUrl()) {
			return &Organisation{Tenant: tenant, Name: o.GetDisplayName(), Issuer: i.GetUrl(), ClientID: i.GetClientId(),
				Foreign: true}
		}
	}
	return nil
}
