package jwks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
)

func TestKeysAreFoundByDiscoveryOrWhereTheyAreSaidToBe(t *testing.T) {
	k := newKey(t, "k1", jose.ES256)
	w := newWorld(t, k)
	for _, at := range []string{"", w.url() + "/keys"} {
		w.config.URL, w.config.CacheFile = at, ""
		w.restart()
		w.accepts(w.token(k))
		if n := w.requests("/keys", "/.well-known/openid-configuration"); n != 1 {
			t.Errorf("the keys were fetched %d times", n)
		}
	}
}

// The life of a key: published beside the old one, signs, and the old one is withdrawn.
func TestRotationMidFlight(t *testing.T) {
	one, two := newKey(t, "k1", jose.ES256), newKey(t, "k2", jose.RS256)
	w := newWorld(t, one)
	before := w.token(one)
	w.accepts(before)

	w.publish(one, two)
	w.pass(jwks.RenewInterval)
	w.accepts(w.token(two)) // at once: its kid is unknown, so the keys are fetched
	w.accepts(before)
	w.accepts(w.token(one))

	w.publish(two)
	w.accepts(before) // nobody has looked yet
	must(t, w.source.Refresh(t.Context()))
	w.refuses(before, unauthenticated, "`kid`") // although it was verified before
	w.refuses(w.token(one), unauthenticated, "`kid`")
	w.accepts(w.token(two))
}

func TestAnotherKeyUnderTheSameKidEndsTheFirst(t *testing.T) {
	one, two := newKey(t, "k", jose.ES256), newKey(t, "k", jose.ES256)
	w := newWorld(t, one)
	token := w.token(one)
	w.accepts(token)
	w.publish(two)
	must(t, w.source.Refresh(t.Context()))
	w.refuses(token, unauthenticated, "signature is wrong")
	w.accepts(w.token(two))
}

func TestForgedKidsDoNotHammerTheIssuer(t *testing.T) {
	k := newKey(t, "k1", jose.ES256)
	w := newWorld(t, k)
	w.config.URL = w.url() + "/keys"
	w.restart()
	w.accepts(w.token(k))
	w.requests("/keys")
	mallory := newKey(t, "", jose.ES256)
	forge := func(kid string) string { return mallory.token(t, w.url(), w.time(), nil, object{"kid": kid}) }
	for round := range 3 {
		w.pass(jwks.RenewInterval)
		var all sync.WaitGroup
		for n := range 50 {
			token := forge(fmt.Sprintf("forged-%d", n))
			all.Go(func() { w.refuses(token, unauthenticated, "`kid`") })
		}
		all.Wait()
		w.pass(jwks.RenewInterval - 1)
		w.refuses(forge("once more"), unauthenticated, "`kid`")
		w.accepts(w.token(k))
		if n := w.requests("/keys"); n != 1 {
			t.Errorf("round %d: the issuer was asked %d times", round, n)
		}
	}
}

// A kid is a name in a table, and what a token says about where keys are is not read.
func TestTokensDoNotSayWhereKeysAre(t *testing.T) {
	k, mallory := newKey(t, "k1", jose.ES256), newKey(t, "m", jose.ES256)
	w := newWorld(t, k)
	w.accepts(w.token(k))
	evil := serve(t, httptest.NewServer, mallory)
	for _, kid := range []string{
		"../../evil", "/keys", "/etc/passwd", evil.url() + "/keys", "k1/../m", "k1\x00", "' OR 1=1 --", "K1", " k1",
		strings.Repeat("k", 4096),
	} {
		w.pass(jwks.RenewInterval)
		w.refuses(mallory.token(t, w.url(), w.time(), nil, object{"kid": kid}), unauthenticated, "`kid`")
	}
	certificates := []string{"MIIB"}
	for _, where := range []object{
		{"kid": "k1", "jku": evil.url() + "/keys"}, {"kid": "k1", "x5u": evil.url() + "/keys"},
		{"kid": "k1", "x5c": certificates},
		{"kid": "k1", "jwk": jose.JSONWebKey{Key: mallory.private.Public(), KeyID: "k1", Algorithm: "ES256"}},
		{"kid": "m", "jku": evil.url() + "/keys"},
	} {
		w.pass(jwks.RenewInterval)
		if _, err := w.verifier.Verify(mallory.token(t, w.url(), w.time(), nil, where), nil, w.time()); err == nil {
			t.Errorf("%v: accepted", where)
		}
	}
	if n := evil.requests("/keys"); n != 0 {
		t.Errorf("a token made us ask its own server %d times", n)
	}
	w.requests("/keys", "/.well-known/openid-configuration")
}

func TestTheIssuerIsDown(t *testing.T) {
	k, two := newKey(t, "k1", jose.ES256), newKey(t, "k2", jose.ES256)
	w := newWorld(t, k)
	token := w.token(k)
	w.accepts(token)
	down := func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) }
	w.says("/.well-known/openid-configuration", down)

	w.pass(23 * time.Hour)
	if err := w.source.Refresh(t.Context()); err == nil {
		t.Error("keys were fetched from an issuer that is down")
	}
	w.accepts(token)      // remembered
	w.accepts(w.token(k)) // verified anew
	w.refuses(w.token(two), unauthenticated, "`kid`")

	w.restart() // a new process has the cache file
	w.accepts(token)
	w.pass(time.Hour)
	w.accepts(token)
	w.pass(time.Nanosecond) // MaxAge is over: nobody knows any more which keys are good
	w.refuses(token, unavailable, "cannot be had")
	w.refuses(w.token(k), unavailable, "cannot be had")
	w.restart()
	w.refuses(token, unavailable, "cannot be had")

	w.says("/.well-known/openid-configuration", nil)
	w.refuses(token, unavailable, "cannot be had") // looked a moment ago
	w.pass(jwks.RenewInterval)
	w.accepts(token)
}

func TestNothingCachedIsNeverAYes(t *testing.T) {
	k := newKey(t, "k1", jose.ES256)
	w := newWorld(t, k)
	w.server.Close()
	w.refuses(w.token(k), unavailable, "cannot be had")
	w.config.CacheFile = ""
	w.restart()
	w.refuses(w.token(k), unavailable, "cannot be had")
}

// What is no key set changes nothing; whoever sent it is as good as down.
func TestAnswersThatAreNotTaken(t *testing.T) {
	k, mallory := newKey(t, "k1", jose.ES256), newKey(t, "m", jose.ES256)
	evil := serve(t, httptest.NewServer, mallory)
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, evil.url()+"/keys", http.StatusFound)
	}
	for name, c := range map[string]struct {
		path   string
		answer http.HandlerFunc
		why    string
	}{
		"a redirect":              {"/keys", redirect, "302"},
		"a redirect of discovery": {"/.well-known/openid-configuration", redirect, "302"},
		"an error": {"/keys",
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "500"},
		"a page": {"/keys", text("<html>Welcome to the hotel's network</html>"),
			"not a JSON Web Key Set"},
		"half a key set":     {"/keys", text(`{"keys":[{"kty":"EC",`), "not a JSON Web Key Set"},
		"no key set":         {"/keys", text(`{}`), "not a JSON Web Key Set"},
		"nothing":            {"/keys", text(""), "not a JSON Web Key Set"},
		"too much":           {"/keys", text(strings.Repeat(" ", identity.MaxJWKS+1)), "longer than"},
		"too much discovery": {"/.well-known/openid-configuration", text(strings.Repeat(" ", 65<<10)), "longer than"},
		"another issuer's discovery": {"/.well-known/openid-configuration",
			text(`{"issuer":"` + evil.url() + `","jwks_uri":"` + evil.url() + `/keys"}`), "another issuer"},
		"discovery without an address": {"/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"http://` + r.Host + `"}`))
		}, "none are fetched from"},
		"discovery that says plain http": {"/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"http://` + r.Host + `","jwks_uri":"http://192.0.2.1/keys"}`))
		}, "none are fetched from"},
		"discovery that says a file": {"/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"http://` + r.Host + `","jwks_uri":"file:///etc/passwd"}`))
		}, "none are fetched from"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, k)
			token := w.token(k)
			w.accepts(token)
			w.says(c.path, c.answer)
			if err := w.source.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("want %q, got %v", c.why, err)
			}
			w.accepts(token)
			w.refuses(mallory.token(t, w.url(), w.time(), nil, nil), unauthenticated, "`kid`")
		})
	}
	if n := evil.requests("/keys"); n != 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}

func TestAnIssuerThatHangsIsGivenUpOn(t *testing.T) {
	k := newKey(t, "k1", jose.ES256)
	w := newWorld(t, k)
	w.accepts(w.token(k))
	held, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	w.says("/keys", func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write([]byte(`{"keys":[`))
		rw.(http.Flusher).Flush() //nolint:forcetypeassert,errcheck // net/http's is one
		close(held)
		<-release
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.source.Refresh(ctx) }()
	<-held
	w.accepts(w.token(k)) // meanwhile
	const callers, mayWait = 100, 32
	forged := newKey(t, "m", jose.ES256).token(t, w.url(), w.time(), nil, nil)
	answered := make(chan error, callers)
	for range callers {
		go func() {
			_, err := w.verifier.Verify(forged, nil, w.time())
			answered <- err
		}()
	}
	for range callers - mayWait { // the others are not held up
		if err := <-answered; err == nil {
			t.Error("a forged token was taken")
		}
	}
	select {
	case err := <-ended:
		t.Errorf("all of them were held up until the issuer was given up on: %v", err)
		ended <- nil
	default:
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("half an answer was taken")
	}
	for range mayWait {
		if err := <-answered; err == nil {
			t.Error("a forged token was taken")
		}
	}
	w.accepts(w.token(k))
}

// An issuer that publishes no key that can be used has withdrawn them all; one that publishes a private key has none
// that is secret.
func TestAnIssuerWithoutAKeyThatCanBeTrusted(t *testing.T) {
	k := newKey(t, "k1", jose.ES256)
	private, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.private, KeyID: "k1",
		Algorithm: "ES256"}}})
	must(t, err)
	for name, set := range map[string]string{
		"none": `{"keys":[]}`, "private": string(private), "symmetric": `{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"k1"}]}`,
		"of an unknown kind":  `{"keys":[{"kty":"AKP","alg":"ML-DSA-44","kid":"k1","pub":"AA"},null,7]}`,
		"for encryption only": `{"keys":[{"kty":"RSA","use":"enc","kid":"k1","n":"AQAB","e":"AQAB"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, k)
			token := w.token(k)
			w.accepts(token)
			w.publishBytes([]byte(set))
			must(t, w.source.Refresh(t.Context()))
			w.refuses(token, unauthenticated, "`kid`")
			w.restart()
			w.refuses(token, unauthenticated, "`kid`")
			if kept, err := os.ReadFile(w.config.CacheFile); err != nil || strings.Contains(string(kept), "kty") {
				t.Errorf("the cache holds %s (%v)", kept, err)
			}
			w.publish(k)
			w.pass(jwks.RenewInterval)
			w.accepts(token)
		})
	}
}

func TestRefreshingGoesOnInTheBackgroundUntilItIsStopped(t *testing.T) {
	k := newKey(t, "k1", jose.ES256)
	w := newWorld(t, k)
	w.config.URL, w.config.Refresh = w.url()+"/keys", time.Millisecond
	fetched := make(chan struct{})
	w.says("/keys", func(rw http.ResponseWriter, r *http.Request) {
		select {
		case fetched <- struct{}{}:
		case <-r.Context().Done():
		}
		_, _ = rw.Write([]byte(`{"keys":[]}`))
	})
	w.restart()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.source.Run(ctx)
	}()
	for range 3 {
		<-fetched
	}
	cancel()
	<-ended
}

// A key that cannot be used is passed over, counted once and shown, and harms no other; nor does its return.
func TestR13AKeyOfAFetchedSetThatCannotBeUsed(t *testing.T) {
	k, two := newKey(t, "k1", jose.ES256), newKey(t, "k2", jose.RS256)
	w := newWorld(t, k)
	counted := 0
	w.config.Passed = func(n int) { counted += n }
	w.restart()
	token := w.token(k)
	w.accepts(token)
	const unknown = `{"kty":"EC","crv":"secp256k1","kid":"k2","x":"AQ","y":"AQ"}`
	with := func(more string, keys ...key) {
		w.publish(keys...)
		w.publishBytes([]byte(strings.Replace(string(w.jwks), `[`, `[`+more+`,`, 1)))
		must(t, w.source.Refresh(t.Context()))
	}
	for range 2 {
		with(unknown, k)
		w.accepts(token)
		w.accepts(w.token(k))
		if p := w.source.Keys().PassedOver(); len(p) != 1 || p[0].Number != 1 || p[0].KeyID != "k2" || counted != 1 {
			t.Errorf("%v, %d", p, counted)
		}
	}
	w.restart() // the file holds what can be used
	w.accepts(token)
	private, err := json.Marshal(jose.JSONWebKey{Key: two.private, KeyID: "k2"})
	must(t, err)
	with(string(private), k, two)
	w.accepts(token)
	w.refuses(w.token(two), unauthenticated, "`kid`")
	if kept, err := os.ReadFile(w.config.CacheFile); err != nil || strings.Contains(string(kept), `"d"`) ||
		!strings.Contains(string(kept), `"k1"`) {
		t.Errorf("the cache holds %s (%v)", kept, err)
	}
}

// An issuer whose only key has no kid renews it as any other.
func TestR13AnIssuerWhoseKeysHaveNoKid(t *testing.T) {
	one, two := newKey(t, "", jose.ES256), newKey(t, "", jose.ES256)
	w := newWorld(t, one)
	before := w.token(one)
	w.accepts(before)
	w.publish(two)
	w.pass(jwks.RenewInterval)
	w.accepts(w.token(two))
	w.refuses(before, unauthenticated, "signature is wrong")
	w.requests("/keys", "/.well-known/openid-configuration")
	w.refuses(before, unauthenticated, "signature is wrong") // and does not hammer the issuer
	if n := w.requests("/keys", "/.well-known/openid-configuration"); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

func TestAKeySetOfTheSizeThatItsIssuerMayHave(t *testing.T) {
	k := newKey(t, "k1", jose.ES256)
	w := newWorld(t, k)
	w.publishBytes([]byte(strings.Replace(string(w.jwks), "{", "{"+strings.Repeat(" ", identity.MaxJWKS), 1)))
	w.refuses(w.token(k), unavailable, "cannot be had")
	w.config.MaxBytes = 2 * identity.MaxJWKS
	w.restart()
	w.accepts(w.token(k))
	for _, most := range []int{-1, identity.MostJWKS + 1} {
		w.config.MaxBytes = most
		if _, err := jwks.New(w.config); err == nil {
			t.Errorf("%d: accepted", most)
		}
	}
}

// The name of an issuer may begin with http, as that of AD FS: nothing is fetched from there.
func TestTheNameOfAnIssuerIsNoAddress(t *testing.T) {
	const name = "http://adfs.nimbus.example/adfs/services/trust"
	if _, err := jwks.New(jwks.Config{Issuer: name, URL: "https://adfs.nimbus.example/adfs/discovery/keys"}); err != nil {
		t.Error(err)
	}
	for _, at := range []string{"", "http://adfs.nimbus.example/adfs/discovery/keys"} {
		if _, err := jwks.New(jwks.Config{Issuer: name, URL: at}); err == nil || !strings.Contains(err.Error(), "https") {
			t.Errorf("%q: %v", at, err)
		}
	}
}

func TestAnUnknownCertificateIsNamedAsOne(t *testing.T) {
	k := newKey(t, "k1", jose.ES256)
	i := serve(t, httptest.NewTLSServer, k)
	source, err := jwks.New(jwks.Config{Issuer: i.url()})
	must(t, err)
	if err := source.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("%v", err)
	}
}
