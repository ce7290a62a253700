package jwks_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	audience        = "lockbox"
	unauthenticated = lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED
	unavailable     = lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE
)

// issuer publishes keys over HTTP, as a real one does, and remembers what it was asked for.
type issuer struct {
	*testing.T
	server *httptest.Server

	mu    sync.Mutex
	asked []string
	// answer is what /keys and discovery say; nil: the usual.
	answer map[string]http.HandlerFunc
	jwks   []byte
}

func serve(t *testing.T, start func(http.Handler) *httptest.Server, public ...key) *issuer {
	t.Helper()
	i := &issuer{T: t, answer: map[string]http.HandlerFunc{}}
	i.server = start(http.HandlerFunc(i.handle))
	t.Cleanup(i.server.Close)
	i.publish(public...)
	return i
}

func (i *issuer) handle(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.asked = append(i.asked, r.URL.Path)
	special, keys := i.answer[r.URL.Path], i.jwks
	i.mu.Unlock()
	switch {
	case special != nil:
		special(w, r)
	case r.URL.Path == "/keys":
		_, _ = w.Write(keys)
	case r.URL.Path == "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.url(), "jwks_uri": i.url() + "/keys",
			"scopes_supported": []string{"openid"}})
	default:
		http.NotFound(w, r)
	}
}

func (i *issuer) url() string { return i.server.URL }

// publish replaces the key set.
func (i *issuer) publish(public ...key) {
	i.Helper()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range public {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.kid, Algorithm: string(k.alg),
			Use: "sig"})
	}
	b, err := json.Marshal(set)
	must(i, err)
	i.publishBytes(b)
}

func (i *issuer) publishBytes(b []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.jwks = b
}

// says makes one path answer something else.
func (i *issuer) says(path string, answer http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer[path] = answer
}

// requests counts what a path was asked for since the last time, and checks that nothing else was.
func (i *issuer) requests(path string, others ...string) (n int) {
	i.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.asked {
		if p == path {
			n++
		} else if !slices.Contains(others, p) {
			i.Errorf("the issuer was asked for %s", p)
		}
	}
	i.asked = nil
	return n
}

type key struct {
	kid     string
	alg     jose.SignatureAlgorithm
	private crypto.Signer
}

func newKey(t testing.TB, kid string, alg jose.SignatureAlgorithm) key {
	t.Helper()
	var private crypto.Signer
	var err error
	if alg == jose.ES256 {
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	must(t, err)
	return key{kid, alg, private}
}

type object = map[string]any

// token is erin's, good for an hour from now on; changes override claims, headers the header.
func (k key) token(t testing.TB, iss string, now time.Time, changes, headers object) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", k.kid)
	for name, v := range headers {
		options = options.WithHeader(jose.HeaderKey(name), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.alg, Key: k.private}, options)
	must(t, err)
	claims := object{"iss": iss, "sub": "erin", "aud": audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"amr": []string{"mfa"}}
	for name, v := range changes {
		claims[name] = v
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	must(t, err)
	return token
}

// world is a service that trusts one issuer, with a clock of its own.
type world struct {
	*testing.T
	*issuer
	source   *jwks.Source
	verifier *identity.Verifier
	config   jwks.Config

	clock sync.Mutex
	now   time.Time
}

func newWorld(t *testing.T, public ...key) *world {
	t.Helper()
	w := &world{T: t, issuer: serve(t, httptest.NewServer, public...), now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	w.config = jwks.Config{
		Issuer: w.url(), CacheFile: filepath.Join(t.TempDir(), "keys.json"), Now: w.time,
		Refresh: 10 * time.Minute, MaxAge: 24 * time.Hour,
	}
	w.restart()
	return w
}

// restart is a new process with the same configuration.
func (w *world) restart() {
	w.Helper()
	var err error
	w.source, err = jwks.New(w.config)
	must(w.T, err)
	w.verifier, err = identity.NewVerifier([]identity.Issuer{{
		URL: w.config.Issuer, Audience: audience, Source: w.source, Side: lockboxv1.Side_SIDE_PROVIDER,
	}})
	must(w.T, err)
}

func (w *world) time() time.Time {
	w.clock.Lock()
	defer w.clock.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.clock.Lock()
	defer w.clock.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) token(k key) string {
	w.Helper()
	return k.token(w.T, w.url(), w.time(), object{"exp": w.time().Add(30 * 24 * time.Hour).Unix()}, nil)
}

func (w *world) accepts(token string) {
	w.Helper()
	a, err := w.verifier.Verify(token, nil, w.time())
	if err != nil {
		w.Errorf("refused: %v", err)
	} else if a.GetPerson().GetSubject() != "erin" || !a.GetMultiFactor() {
		w.Errorf("became %v", a)
	}
}

func (w *world) refuses(token string, code lockboxv1.RefusalCode, why string) bool {
	w.Helper()
	a, err := w.verifier.Verify(token, nil, w.time())
	r, ok := refusal.As(err)
	ok = ok && a == nil && r.GetCode() == code && r.GetField() == "token" && strings.Contains(r.GetMessage(), why)
	if !ok {
		w.Errorf("want %v because %q, got %v, %v", code, why, a, err)
	}
	return ok
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
