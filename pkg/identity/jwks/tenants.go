package jwks

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"

	"github.com/openlockbox/lockbox/pkg/identity"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// ForTenants returns sources of the keys of tenants' issuers, at the addresses they are registered with. Keys are
// refreshed until ctx ends.
//
// The tenant chooses the address, so it must not lead into the provider's network: after name resolution, only public
// addresses are dialled or, for an issuer on this machine, only loopback addresses. No proxy is used, because it would
// bypass this check. Authorities that are recorded of an issuer count for that issuer only. Passed is told how many
// keys of a set are passed over; may be nil.
func ForTenants(ctx context.Context, log *zap.Logger, passed func(int)) identity.TenantKeys {
	var mu sync.Mutex
	sources := map[fetched]*Source{}
	return func(tenant *lockboxv1.TenantIssuer) (identity.Source, error) {
		mu.Lock()
		defer mu.Unlock()
		key := fetched{tenant.GetUrl(), tenant.GetJwksUrl(), string(tenant.GetAuthorities()), tenant.GetJwksMaxBytes()}
		if s, known := sources[key]; known {
			return s, nil
		}
		s, err := forTenant(tenant, log, passed)
		if err != nil {
			return nil, err
		}
		sources[key] = s
		go s.Run(ctx)
		return s, nil
	}
}

// fetched is what decides about the keys that are fetched of an issuer.
type fetched struct {
	issuer, jwksURL, authorities string
	maxBytes                     uint32
}

// Transport returns how whatever else a tenant names is reached: under the same restrictions as its issuer's keys.
// Authorities (PEM) vouch for the server there; empty: the system's.
func Transport(issuer string, authorities []byte) (http.RoundTripper, error) {
	client, err := restricted(issuer, authorities)
	if err != nil {
		return nil, err
	}
	return client.Transport, nil
}

func forTenant(ti *lockboxv1.TenantIssuer, log *zap.Logger, passed func(int)) (*Source, error) {
	client, err := restricted(ti.GetUrl(), ti.GetAuthorities())
	if err != nil {
		return nil, err
	}
	return open(Config{Issuer: ti.GetUrl(), URL: ti.GetJwksUrl(), MaxBytes: int(ti.GetJwksMaxBytes()), Log: log,
		Passed: passed}, client)
}

func restricted(issuer string, authorities []byte) (*http.Client, error) {
	dialer, err := guard(issuer)
	if err != nil {
		return nil, err
	}
	roots, err := identity.AuthorityPool(authorities)
	if err != nil {
		return nil, fmt.Errorf("authorities of issuer %q: %w", issuer, err)
	}
	return clientThrough(dialer, nil, roots), nil
}

// guard returns a dialer that leads to public addresses only or, for an issuer on this machine, only to this machine.
func guard(issuer string) (*net.Dialer, error) {
	home, err := url.Parse(issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer %q is no URL", issuer)
	}
	addr, err := netip.ParseAddr(home.Hostname())
	may := Public
	if home.Hostname() == "localhost" || err == nil && addr.IsLoopback() {
		may = netip.Addr.IsLoopback
	}
	return &net.Dialer{Timeout: fetchTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !may(to.Addr().Unmap()) {
			return fmt.Errorf("what a tenant names is not fetched from, nor sent to, %v", to.Addr())
		}
		return nil
	}}, nil
}

// reserved are unicast blocks that are not public, or that embed other addresses (the IANA special-purpose registries,
// RFC 6890), in addition to those that net/netip recognises.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"),   // IPv4 inside
	netip.MustParsePrefix("64:ff9b:1::/48"), // IPv4 inside
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), // Teredo and others: IPv4 inside
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4: IPv4 inside
	netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// Public reports whether an address is one that a tenant may name: unicast, and of nobody's inner network.
func Public(addr netip.Addr) bool {
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.Zone() != "" {
		return false
	}
	for _, block := range reserved {
		if block.Contains(addr) {
			return false
		}
	}
	return true
}
