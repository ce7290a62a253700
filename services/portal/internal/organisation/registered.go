package organisation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	// Self asks whose a token is.
	Self func(ctx context.Context, token string) (*lockboxv1.SelfView, error)
	Now  func() time.Time
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
	return r.remember(ctx, tenant, missingFor, func(ctx context.Context) (List, error) {
		options, err := r.Ask(ctx, tenant)
		return r.registered(tenant, options), err
	})
}

// OfToken returns the customer's organisation that a token is good for, according to the services; nil if it is none's,
// or more than one's.
func (r *Registered) OfToken(ctx context.Context, token string) *Organisation {
	if r == nil || r.Self == nil {
		return nil
	}
	sum := sha256.Sum256([]byte(token)) // no tenant's name is as long
	list := r.remember(ctx, hex.EncodeToString(sum[:]), 0, func(ctx context.Context) (List, error) {
		self, err := r.Self(ctx, token)
		if err != nil || self.GetTenant() == "" {
			return nil, err
		}
		return List{{Tenant: self.GetTenant(), Name: self.GetTenantName(), Issuer: self.GetActor().GetPerson().GetIssuer(),
			Foreign: true}}, nil
	})
	if len(list) == 0 {
		return nil
	}
	return &list[0]
}

// remember returns what was asked for not long ago, or asks. That there is nothing is remembered for missing.
func (r *Registered) remember(
	ctx context.Context, key string, missing time.Duration, ask func(context.Context) (List, error),
) List {
	r.mu.Lock()
	before, known := r.known[key]
	r.mu.Unlock()
	if known && r.Now().Before(before.until) {
		return before.list
	}
	ctx, cancel := context.WithTimeout(ctx, askedFor)
	defer cancel()
	list, err := ask(ctx)
	now := remembered{list: list, until: r.Now().Add(missing)}
	switch {
	case err == nil && len(list) > 0:
		now.until = r.Now().Add(knownFor)
	case refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) || errors.Is(err, context.DeadlineExceeded):
		now.list = before.list
	case errors.Is(err, context.Canceled):
		return before.list
	}
	if len(now.list) == 0 && missing == 0 { // strangers can name as many as they like
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || len(r.known) >= mostKnown {
		r.known = map[string]remembered{}
	}
	r.known[key] = now
	return now.list
}

// registered returns the organisation as its tenant's issuers say. One that wants a key of the portal's is left out if
// the portal has none.
func (r *Registered) registered(tenant string, o *lockboxv1.SignInOptions) (list List) {
	for _, i := range o.GetIssuers() {
		if (r.HasKey || !i.GetPrivateKeyJwt()) && i.GetClientId() != "" && oidcclient.Trustworthy(i.GetUrl()) &&
			list.At(i.GetUrl()) == nil {
			list = append(list, Organisation{Tenant: tenant, Name: o.GetDisplayName(), Issuer: i.GetUrl(),
				ClientID: i.GetClientId(), PrivateKeyJWT: i.GetPrivateKeyJwt(), Authorities: i.GetAuthorities(),
				Foreign: true})
		}
	}
	return list
}
