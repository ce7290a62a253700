// Package jwks keeps the public keys of an issuer that publishes them (RFC 7517): where they are is configured or found
// by discovery (OpenID Connect Discovery 1.0), they are refreshed in the background, and a token with an unknown `kid`
// makes it look sooner, but never more than once in RenewInterval, so that forged ones cannot make us hammer the
// issuer.
//
// While the issuer is down, the keys that were had last go on working, for at most MaxAge; with a cache file, over a
// restart too. A key that the issuer has withdrawn is not trusted from the next refresh on. Without keys nobody is
// recognised.
//
// Keys come over https, or over http from this machine itself; no redirect is followed.
package jwks

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity"
	"go.uber.org/zap"
)

const (
	// RenewInterval is the least time between two fetches that unknown kids cause.
	RenewInterval = 10 * time.Second
	// DefaultRefresh is how often keys are fetched anew.
	DefaultRefresh = 10 * time.Minute
	// DefaultMaxAge is how long keys are trusted after the issuer was last heard.
	DefaultMaxAge = 7 * 24 * time.Hour

	// maxWaiting is how many callers wait for a fetch; more are answered with what there is, so that an issuer that hangs
	// cannot hold up everything.
	maxWaiting = 32

	retryAfter   = 30 * time.Second // when the issuer does not answer
	fetchTimeout = 5 * time.Second  // for discovery and key set together
)

// Config says whose keys, and where they are.
type Config struct {
	// Issuer is the issuer's URL, as in its tokens' `iss`.
	Issuer string
	// URL of the key set; empty: where the issuer's discovery document says.
	URL string
	// CacheFile keeps the keys over a restart; empty: nothing does. Whoever can write it can be anybody.
	CacheFile string
	// Refresh and MaxAge; 0: their defaults.
	Refresh, MaxAge time.Duration
	// RootCAs are the authorities that the issuer's certificate may be from; nil: the system's.
	RootCAs *x509.CertPool
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Log; nil is silent.
	Log *zap.Logger
}

// Source is one issuer's keys. It is safe for concurrent use.
type Source struct {
	config Config
	client *http.Client
	held   atomic.Pointer[keys]

	waiting atomic.Int32
	mu      sync.Mutex // one fetch at a time
	tried   time.Time
	failing bool
}

var _ identity.Source = (*Source)(nil)

// keys are a key set as it was had at a time.
type keys struct {
	set     *identity.KeySet
	raw     []byte
	fetched time.Time
}

// New reads the cache and fetches nothing yet. It fails on an address that keys must not come from, and on a cache file
// that others can write.
func New(c Config) (*Source, error) { return open(c, newClient(c.RootCAs)) }

func open(c Config, client *http.Client) (*Source, error) {
	if c.Refresh == 0 {
		c.Refresh = DefaultRefresh
	}
	if c.MaxAge == 0 {
		c.MaxAge = DefaultMaxAge
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
	case !allowed(c.Issuer):
		return nil, fmt.Errorf("issuer %q: must be an https URL (or http on a loopback address) without user or fragment",
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

// Keys returns the keys that are trusted now; nil: none were had, or not for MaxAge.
func (s *Source) Keys() *identity.KeySet {
	k := s.held.Load()
	if k == nil || s.config.Now().Sub(k.fetched) > s.config.MaxAge {
		return nil
	}
	return k.set
}

// Renew fetches the keys, unless that was tried less than RenewInterval ago, and returns those that are trusted then.
// Whoever comes while they are being fetched waits for them, for some seconds at most.
func (s *Source) Renew() *identity.KeySet {
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return s.Keys()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tried.IsZero() || s.config.Now().Sub(s.tried) >= RenewInterval {
		_ = s.refresh(context.Background()) // logged; what is trusted now is the answer
	}
	return s.Keys()
}

// Refresh fetches the keys now. If it fails, those that were had before are kept.
func (s *Source) Refresh(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refresh(ctx)
}

// Run refreshes the keys until ctx ends, at once to begin with.
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

// noKeys is trusted when a key set came whose keys must not be.
var noKeys = []byte(`{"keys":[]}`)

// take trusts what was fetched, instead of what was trusted before. An issuer that publishes no key, or its private
// ones, has no key that is trusted; what is no key set at all says nothing.
func (s *Source) take(raw []byte, fetched time.Time) error {
	set, err := identity.ParseKeys(raw)
	if errors.Is(err, identity.ErrNotKeySet) {
		return err
	}
	if err != nil {
		s.config.Log.Error("nobody who signs in at the issuer is recognised any more", zap.Error(err))
		set, raw = new(identity.KeySet), noKeys
	}
	switch before := s.held.Load(); {
	case before != nil && bytes.Equal(before.raw, raw):
		set = before.set // so that what it has verified need not be verified again
	default:
		s.config.Log.Info("the issuer has other keys than before", zap.Int("bytes", len(raw)))
	}
	s.held.Store(&keys{set, raw, fetched})
	return nil
}
