package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// shortestRefresh prevents a configuration mistake from flooding the issuer.
const shortestRefresh = 30 * time.Second

// Issuer configures one of the provider's issuers. Its keys come from exactly one of a file, a URL and discovery.
type Issuer struct {
	// URL is where the provider's people sign in: a token's `iss`.
	URL string `yaml:"url"`
	// Audience must be among a token's `aud`.
	Audience string `yaml:"audience"`
	// JWKSFile holds its public keys (RFC 7517). Exactly one of this, JWKSURL and Discovery is set.
	JWKSFile string `yaml:"jwks_file"`
	// JWKSURL is where it publishes them.
	JWKSURL string `yaml:"jwks_url"`
	// Discovery finds them through URL/.well-known/openid-configuration.
	Discovery bool `yaml:"discovery"`
	// JWKSCache is a file that caches the fetched keys, so that the service can start while the issuer is down. Whoever
	// can write it can be anybody.
	JWKSCache string `yaml:"jwks_cache"`
	// JWKSRefresh is how often keys are fetched; 0: every 10 minutes.
	JWKSRefresh time.Duration `yaml:"jwks_refresh"`
	// JWKSMaxAge is how long keys are trusted while the issuer does not answer; 0: 7 days.
	JWKSMaxAge time.Duration `yaml:"jwks_max_age"`
	// CAFile holds the certificate authorities accepted for the issuer's server (PEM); empty: the system's.
	CAFile string `yaml:"ca_file"`
	// JWKSMaxBytes is the maximum size of the key set, at most 1 MiB; 0: 128 KiB.
	JWKSMaxBytes int `yaml:"jwks_max_bytes"`
	// TokenMaxBytes is the maximum size of a token, at most 48 KiB; 0: 16 KiB.
	TokenMaxBytes int `yaml:"token_max_bytes"`
	// Leeway is how far the issuer's clock may be ahead, at most 5 minutes; 0: 2 s. A token never outlives its `exp`.
	Leeway time.Duration `yaml:"leeway"`
	// KeepGroups are the groups of a token that are kept; all others are dropped. Empty: the groups that Lockbox defines.
	KeepGroups []string        `yaml:"keep_groups"`
	Claims     identity.Claims `yaml:"claims"`
}

// OpenIssuers reads the issuers' keys or starts fetching them, which continues until ctx ends. It does not wait for an
// issuer that does not answer: until its keys are fetched, its tokens are refused (I11).
func OpenIssuers(
	ctx context.Context, list []Issuer, log *zap.Logger, counters *observe.Counters,
) ([]identity.Issuer, error) {
	issuers := make([]identity.Issuer, len(list))
	sources := map[string]*jwks.Source{}
	for i, iss := range list {
		issuers[i] = identity.Issuer{
			URL: iss.URL, Audience: iss.Audience, Side: lockboxv1.Side_SIDE_PROVIDER, Groups: iss.KeepGroups, Claims: iss.Claims,
			Leeway: iss.Leeway, MaxToken: iss.TokenMaxBytes,
		}
		if err := iss.check(); err != nil {
			return nil, fmt.Errorf("issuer %q: %w", iss.URL, err)
		}
		if iss.JWKSFile != "" {
			keys, err := os.ReadFile(iss.JWKSFile)
			if err != nil {
				return nil, fmt.Errorf("keys of issuer %s: %w", iss.URL, err)
			}
			issuers[i].JWKS = keys
			announce(iss, keys, log, counters)
			continue
		}
		source, err := iss.source(log, counters)
		if err != nil {
			return nil, err
		}
		issuers[i].Source = source
		sources[iss.URL] = source
	}
	if _, err := identity.NewVerifier(issuers); err != nil {
		return nil, err
	}
	readIssuers(sources, counters)
	for _, s := range sources {
		go s.Run(ctx)
	}
	return issuers, nil
}

// withoutKeys refuses if nobody can sign in at one of the issuers, because no keys of it are trusted now.
func withoutKeys(issuers []identity.Issuer) error {
	for _, iss := range issuers {
		if iss.Source != nil && iss.Source.Keys() == nil {
			return refusal.Unavailable("", "I11", "no keys of %s", iss.URL)
		}
	}
	return nil
}

// announce logs and counts the keys of a file that cannot be used.
func announce(iss Issuer, keys []byte, log *zap.Logger, counters *observe.Counters) {
	set, err := identity.ParseKeysUpTo(keys, identity.MostJWKS)
	if err != nil {
		return // whoever uses them fails
	}
	for _, k := range set.PassedOver() {
		log.Warn("a key of the issuer is passed over", zap.String("issuer", iss.URL), zap.Stringer("key", k))
	}
	counters.KeysPassedOver(len(set.PassedOver()))
}

func (iss Issuer) check() error {
	ways := 0
	for _, has := range []bool{iss.JWKSFile != "", iss.JWKSURL != "", iss.Discovery} {
		if has {
			ways++
		}
	}
	switch {
	case ways != 1:
		return errors.New("its keys come from exactly one of jwks_file, jwks_url and discovery: true")
	case iss.JWKSFile != "" && (iss.JWKSCache != "" || iss.JWKSRefresh != 0 || iss.JWKSMaxAge != 0 || iss.CAFile != "" ||
		iss.JWKSMaxBytes != 0):
		return errors.New("jwks_cache, jwks_refresh, jwks_max_age, jwks_max_bytes and ca_file are for keys that are fetched, and jwks_file is read once")
	case iss.JWKSRefresh != 0 && iss.JWKSRefresh < shortestRefresh:
		return fmt.Errorf("jwks_refresh is less than %v", shortestRefresh)
	}
	return nil
}

// Fetch reads the issuer's keys now, from where the configuration says. It keeps none.
func (iss Issuer) Fetch(ctx context.Context) (*identity.KeySet, error) {
	if err := iss.check(); err != nil {
		return nil, err
	}
	if iss.JWKSFile != "" {
		keys, err := os.ReadFile(iss.JWKSFile)
		if err != nil {
			return nil, err
		}
		return identity.ParseKeysUpTo(keys, identity.MostJWKS)
	}
	iss.JWKSCache = ""
	source, err := iss.source(zap.NewNop(), nil)
	if err != nil {
		return nil, err
	}
	if err := source.Refresh(ctx); err != nil {
		return nil, err
	}
	return source.Keys(), nil
}

func (iss Issuer) source(log *zap.Logger, counters *observe.Counters) (*jwks.Source, error) {
	roots, err := jwks.Roots(iss.CAFile)
	if err != nil {
		return nil, fmt.Errorf("authorities of issuer %s: %w", iss.URL, err)
	}
	return jwks.New(jwks.Config{
		Issuer: iss.URL, URL: iss.JWKSURL, CacheFile: iss.JWKSCache, Refresh: iss.JWKSRefresh, MaxAge: iss.JWKSMaxAge,
		MaxBytes: iss.JWKSMaxBytes, RootCAs: roots, Passed: counters.KeysPassedOver, Log: log,
	})
}
