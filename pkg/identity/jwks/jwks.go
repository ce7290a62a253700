// Package jwks fetches the public keys that an issuer publishes (RFC 7517). Their address is configured or found by
// discovery (OpenID Connect Discovery 1.0). Keys are refreshed in the background. A token with an unknown `kid`
// triggers an earlier refresh, at most once per RenewInterval, so that forged tokens cannot make Lockbox flood the
// issuer.
//
// Of a key set, the keys that can be used are taken; those that cannot are logged, counted, and returned by
// Source.Keys().PassedOver(). If none can, none is trusted: an issuer that answers with other keys has withdrawn those
// from before, which may be stolen. An answer that is no key set changes nothing.
//
// While the issuer is down, the last known keys remain valid for at most MaxAge; with a cache file, even across
// restarts. A withdrawn key is trusted until the next refresh. Without keys, all tokens of the issuer are refused.
//
// Keys are fetched over https, or over http from this machine; redirects are not followed.
package jwks

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity"
	"go.uber.org/zap"
)

const (
	// RenewInterval is the minimum time between two fetches caused by unknown kids.
	RenewInterval = 10 * time.Second
	// DefaultRefresh is how often keys are refreshed by default.
	DefaultRefresh = 10 * time.Minute
	// DefaultMaxAge is how long keys are trusted after the last successful fetch, by default.
	DefaultMaxAge = 7 * 24 * time.Hour

	// maxWaiting is how many callers may wait for a fetch; further ones get the current keys, so that an unresponsive
	// issuer cannot block everything.
	maxWaiting = 32

	maxLogged = 20 // keys that are passed over

	retryAfter   = 30 * time.Second // when the issuer does not answer
	fetchTimeout = 5 * time.Second  // for discovery and key set together
)

// Config configures a Source.
type Config struct {
	// Issuer is the issuer's URL, as in its tokens' `iss`.
	Issuer string
	// URL of the key set; empty: found through the issuer's discovery document.
	URL string
	// CacheFile keeps the keys across restarts; empty: no cache. A user who can write this file can impersonate anybody.
	CacheFile string
	// Refresh and MaxAge; 0 means the default.
	Refresh, MaxAge time.Duration
	// Renew is the minimum time between two fetches caused by unknown kids; 0 means RenewInterval, less than 0
	// none, for whoever takes tokens from the issuer itself only.
	Renew time.Duration
	// MaxBytes is the maximum size of the key set; 0 means identity.MaxJWKS.
	MaxBytes int
	// Passed is called with the number of keys passed over whenever the key set changes; may be nil.
	Passed func(int)
	// RootCAs are the certificate authorities accepted for the issuer's server; nil: the system's.
	RootCAs *x509.CertPool
	// Transport reaches the issuer instead; nil: as usual.
	Transport http.RoundTripper
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Log; nil disables logging.
	Log *zap.Logger
}

// Source is one issuer's keys. It is safe for concurrent use.
type Source struct {
	config Config
	client *http.Client
	held   atomic.Pointer[keys]
	expiry atomic.Pointer[time.Time]

	waiting atomic.Int32
	mu      sync.Mutex // one fetch at a time
	tried   time.Time
	failing bool
}

var _ identity.Source = (*Source)(nil)

// keys are a key set and when it was fetched.
type keys struct {
	set *identity.KeySet
	// usable are the keys that can be used, for the cache file and to see whether they change.
	usable  []byte
	fetched time.Time
}

// New reads the cache file; it does not fetch keys. It fails if keys must not be fetched from the address, or if other
// users can write the cache file.
func New(c Config) (*Source, error) {
	client := newClient(c.RootCAs)
	if c.Transport != nil {
		client.Transport = c.Transport
	}
	return open(c, client)
}

func open(c Config, client *http.Client) (*Source, error) {
	if c.Refresh == 0 {
		c.Refresh = DefaultRefresh
	}
	if c.MaxAge == 0 {
		c.MaxAge = DefaultMaxAge
	}
	if c.Renew == 0 {
		c.Renew = RenewInterval
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = identity.MaxJWKS
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	c.Log = c.Log.With(zap.String("issuer", c.Issuer))
	switch {
	case c.Refresh < 0 || c.MaxAge < c.Refresh:
		return nil, fmt.Errorf("keys of %s: refreshed every %v they cannot be trusted for %v only", c.Issuer, c.Refresh,
			c.MaxAge)
	case c.MaxBytes < 0 || c.MaxBytes > identity.MostJWKS:
		return nil, fmt.Errorf("keys of %s: at most %d bytes are read", c.Issuer, identity.MostJWKS)
	case c.URL == "" && !allowed(c.Issuer):
		return nil, fmt.Errorf("issuer %q: must be an https URL (or http on a loopback address) without user or fragment, unless jwks_url says where its keys are",
			c.Issuer)
	case c.URL != "" && !allowed(c.URL):
		return nil, fmt.Errorf("keys of %s: %q must be an https URL (or http on a loopback address) without user or fragment",
			c.Issuer, c.URL)
	}
	s := &Source{config: c, client: client}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("keys of %s: %w", c.Issuer, err)
	}
	return s, nil
}

// Keys returns the keys trusted now; nil if none were fetched within MaxAge.
func (s *Source) Keys() *identity.KeySet {
	k := s.held.Load()
	if k == nil || s.config.Now().Sub(k.fetched) > s.config.MaxAge {
		return nil
	}
	return k.set
}

// Fetched returns when the keys were fetched; zero if they never were.
func (s *Source) Fetched() time.Time {
	if k := s.held.Load(); k != nil {
		return k.fetched
	}
	return time.Time{}
}

// CertificateExpiry returns when the certificate ends that the issuer's server last showed; zero if it showed none.
func (s *Source) CertificateExpiry() time.Time {
	if at := s.expiry.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// Renew fetches the keys, unless that was tried less than RenewInterval ago, and returns those trusted afterwards.
// Concurrent callers wait for the same fetch, for a few seconds at most.
func (s *Source) Renew() *identity.KeySet {
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return s.Keys()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tried.IsZero() || s.config.Now().Sub(s.tried) >= s.config.Renew {
		_ = s.refresh(context.Background()) // failures are logged; the current keys are returned
	}
	return s.Keys()
}

// Refresh fetches the keys now. If it fails, the previous ones are kept.
func (s *Source) Refresh(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refresh(ctx)
}

// Run refreshes the keys at once and then regularly until ctx ends.
func (s *Source) Run(ctx context.Context) {
	for {
		wait := s.config.Refresh
		if err := s.Refresh(ctx); err != nil {
			wait = min(wait, retryAfter)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (s *Source) refresh(ctx context.Context) error {
	s.tried = s.config.Now()
	raw, err := s.fetch(ctx)
	if err == nil {
		err = s.take(raw, s.tried)
	}
	if err == nil {
		s.save()
	}
	switch {
	case err == nil && s.failing:
		s.config.Log.Info("the issuer's keys can be fetched again")
	case err != nil && ctx.Err() == nil && s.Keys() == nil:
		s.config.Log.Error("the issuer's keys cannot be fetched; nobody who signs in there is recognised", zap.Error(err))
	case err != nil && ctx.Err() == nil:
		s.config.Log.Warn("the issuer's keys cannot be fetched; those from before are used",
			zap.Time("from", s.held.Load().fetched), zap.Error(err))
	}
	s.failing = err != nil
	return err
}

// take replaces the trusted keys by the fetched ones. A response that is not a key set is ignored.
func (s *Source) take(raw []byte, fetched time.Time) error {
	set, err := identity.ParseKeysUpTo(raw, s.config.MaxBytes)
	if err != nil {
		return err
	}
	usable, err := json.Marshal(set)
	if err != nil {
		return err
	}
	before := s.held.Load()
	same := before != nil && bytes.Equal(before.usable, usable)
	if same && slices.EqualFunc(before.set.PassedOver(), set.PassedOver(), identity.PassedKey.Same) {
		set = before.set // keeps cached verifications valid
	} else {
		s.announce(set, !same)
	}
	s.held.Store(&keys{set, usable, fetched})
	return nil
}

// announce logs and counts what a key set holds that differs from the one before.
func (s *Source) announce(set *identity.KeySet, other bool) {
	if other {
		s.config.Log.Info("the issuer has other keys than before", zap.Int("usable", set.Len()))
	}
	passed := set.PassedOver()
	for i, k := range passed {
		if i == maxLogged {
			s.config.Log.Warn("more of the issuer's keys are passed over", zap.Int("more", len(passed)-i))
			break
		}
		s.config.Log.Warn("a key of the issuer is passed over", zap.Stringer("key", k))
	}
	if s.config.Passed != nil {
		s.config.Passed(len(passed))
	}
	if err := set.Usable(); err != nil {
		s.config.Log.Error("nobody who signs in at the issuer is recognised any more", zap.Error(err))
	}
}
