package identity_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// published is how an issuer publishes a key; changes override, nil removes.
func (s signer) published(t testing.TB, changes object) object {
	t.Helper()
	b, err := json.Marshal(s.public())
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	return o.with(changes)
}

// private is a key with its secret.
func (s signer) private(t testing.TB, changes object) object {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKey{Key: s.key, KeyID: s.kid})
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	return o.with(changes)
}

func keySet(t testing.TB, keys ...any) []byte {
	t.Helper()
	b, err := json.Marshal(object{"keys": keys, "issuer": providerURL})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// certificate is one that the key has signed itself.
func (s signer) certificate(t testing.TB) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1),
		Subject: pkix.Name{CommonName: "ADFS Signing"}, NotAfter: time.Now().Add(time.Hour)},
		&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ADFS Signing"}}, s.key.Public(), s.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// padded is the base64 of a member in the other alphabet, with padding.
func padded(v any) string {
	raw, _ := base64.RawURLEncoding.DecodeString(v.(string)) //nolint:errcheck,forcetypeassert // the test's own
	return base64.StdEncoding.EncodeToString(raw)
}

// strippedEC is an elliptic key of which a coordinate begins with a zero byte.
func strippedEC(t testing.TB, alg jose.SignatureAlgorithm) (signer, object) {
	t.Helper()
	for {
		s := newSigner(t, "stripped", alg)
		point, err := s.key.Public().(*ecdsa.PublicKey).Bytes() //nolint:errcheck,forcetypeassert // it is one
		if err != nil {
			t.Fatal(err)
		}
		size := len(point) / 2
		x, y := new(big.Int).SetBytes(point[1:1+size]), new(big.Int).SetBytes(point[1+size:])
		if len(x.Bytes()) < size || len(y.Bytes()) < size {
			return s, s.published(t, object{"x": b64(x.Bytes()), "y": b64(y.Bytes())})
		}
	}
}

// No key that cannot be used keeps out who signs in with another one, wherever it stands in the set.
func TestR13AKeyThatCannotBeUsedHarmsNoOther(t *testing.T) {
	good, other, ec, ed := newSigner(t, "good", jose.RS256), newSigner(t, "other", jose.RS256),
		newSigner(t, "ec", jose.ES256), newSigner(t, "ed", jose.EdDSA)
	small, err := rsa.GenerateKey(rand.Reader, 1024) // #nosec G403 -- what is refused
	if err != nil {
		t.Fatal(err)
	}
	weak := signer{"small", jose.RS256, small}
	goodToken := good.sign(t, erin())
	for name, c := range map[string]struct {
		key any
		why string
	}{
		"an unknown curve":            {object{"kty": "EC", "crv": "secp256k1", "kid": "x", "x": "AQ", "y": "AQ"}, "`crv`"},
		"no curve":                    {ec.published(t, object{"crv": nil}), "`crv`"},
		"an unknown type":             {object{"kty": "AKP", "alg": "ML-DSA-44", "kid": "x", "pub": "AA"}, "`kty`"},
		"no type":                     {other.published(t, object{"kty": nil}), "`kty`"},
		"a type that is a number":     {other.published(t, object{"kty": 7}), "`kty`"},
		"a type in small letters":     {other.published(t, object{"kty": "rsa"}), "`kty`"},
		"for encryption":              {other.published(t, object{"use": "enc"}), "`use`"},
		"a use that is a list":        {other.published(t, object{"use": []string{"sig"}}), "`use`"},
		"operations of encryption":    {other.published(t, object{"key_ops": []string{"encrypt", "wrapKey"}}), "key_ops"},
		"operations that are a text":  {other.published(t, object{"key_ops": "verify"}), "key_ops"},
		"an algorithm of encryption":  {other.published(t, object{"alg": "RSA-OAEP-256"}), "`alg`"},
		"an algorithm of another key": {other.published(t, object{"alg": "ES256"}), "`alg`"},
		"an algorithm of a curve":     {ec.published(t, object{"alg": "ES384"}), "`alg`"},
		"a symmetric algorithm":       {other.published(t, object{"alg": "HS256"}), "`alg`"},
		"SHA-1":                       {other.published(t, object{"alg": "RS1"}), "`alg`"},
		"no algorithm at all":         {other.published(t, object{"alg": "none"}), "`alg`"},
		"an algorithm, a number":      {other.published(t, object{"alg": 256}), "`alg`"},
		"a kid that is a number":      {other.published(t, object{"kid": 1}), "`kid`"},
		"a kid that is a list":        {other.published(t, object{"kid": []string{"good"}}), "`kid`"},
		"few bits":                    {weak.published(t, nil), "1024 bits"},
		"no modulus":                  {other.published(t, object{"n": nil}), "`n`"},
		"a modulus that is a number":  {other.published(t, object{"n": 65537}), "`n`"},
		"a modulus in other letters":  {other.published(t, object{"n": "ä"}), "`n`"},
		"no exponent":                 {other.published(t, object{"e": nil}), "`e`"},
		"an exponent of 1":            {other.published(t, object{"e": "AQ"}), "`e`"},
		"an even exponent":            {other.published(t, object{"e": "AQAA"}), "`e`"},
		"an exponent too large":       {other.published(t, object{"e": "AQAAAAAB"}), "`e`"},
		"an exponent, a number":       {other.published(t, object{"e": 65537}), "`e`"},
		"a point beside its curve":    {ec.published(t, object{"x": "AQ"}), "not on its curve"},
		"a point that is too long":    {ec.published(t, object{"y": b64(bytes.Repeat([]byte{0xff}, 33))}), "`y`"},
		"half a point":                {ec.published(t, object{"y": nil}), "`y`"},
		"Ed448":                       {ed.published(t, object{"crv": "Ed448", "x": b64(make([]byte, 57))}), "`crv`"},
		"X25519":                      {ed.published(t, object{"crv": "X25519"}), "`crv`"},
		"a short Ed25519":             {ed.published(t, object{"x": b64(make([]byte, 31))}), "`x`"},
		"symmetric":                   {object{"kty": "oct", "k": "c2VjcmV0", "kid": "good"}, "private"},
		"private":                     {other.private(t, nil), "private"},
		"private, of an unknown kind": {object{"kty": "AKP", "kid": "x", "priv": "AA"}, "private"},
		"null":                        {nil, "not an object"},
		"a text":                      {"key", "not an object"},
		"a list":                      {[]any{}, "not an object"},
		"a member twice":              {json.RawMessage(`{"kty":"RSA","kid":"a","kid":"b"}`), "twice"},
	} {
		for _, set := range [][]byte{keySet(t, c.key, good.published(t, nil)), keySet(t, good.published(t, nil), c.key)} {
			keys, err := identity.ParseKeys(set)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			passed := keys.PassedOver()
			if len(passed) != 1 || keys.Len() != 1 || !strings.Contains(passed[0].String(), c.why) ||
				strings.ContainsAny(passed[0].String(), "\n\r") {
				t.Errorf("%s: passed over %v", name, passed)
			}
			for _, tag := range tenant.Languages {
				if said := reason.Sentence(tag, passed[0].Reason); !strings.Contains(said, strconv.Itoa(passed[0].Number)) ||
					strings.Contains(said, "“”") || strings.ContainsAny(said, "\n\r") {
					t.Errorf("%s in %s: %q", name, tag, said)
				}
			}
			iss := identity.Issuer{URL: providerURL, Audience: audience, JWKS: set, Side: lockboxv1.Side_SIDE_PROVIDER}
			if _, err := verify(t, goodToken, iss, now); err != nil {
				t.Errorf("%s: the good key: %v", name, err)
			}
			for _, s := range []signer{other, ec, ed, weak} {
				s.kid = "x"
				if _, err := verify(t, s.sign(t, erin()), iss, now); err == nil {
					t.Errorf("%s: %s is trusted", name, s.alg)
				}
			}
		}
		// By itself it is nothing, and says why.
		if keys, err := identity.ParseKeys(keySet(t, c.key)); err != nil || keys.Usable() == nil ||
			!strings.Contains(keys.Usable().Error(), c.why) {
			t.Errorf("%s alone: %v", name, err)
		}
	}
}

// What a key has beside its material, and how that is written, does not make it useless.
func TestR13AGoodKeyIsUsedHoweverItIsWritten(t *testing.T) {
	rs, es, ed := newSigner(t, "k", jose.RS256), newSigner(t, "k", jose.ES256), newSigner(t, "k", jose.EdDSA)
	p256, stripped256 := strippedEC(t, jose.ES256)
	p521, stripped521 := strippedEC(t, jose.ES512)
	published := rs.published(t, nil)
	forgers := map[jose.SignatureAlgorithm]signer{}
	for name, c := range map[string]struct {
		by  signer
		key object
	}{
		"plain":                       {rs, published},
		"no use, no algorithm":        {rs, rs.published(t, object{"use": nil, "alg": nil})},
		"empty members":               {rs, rs.published(t, object{"use": "", "key_ops": []any{}, "x5c": []any{}})},
		"broken certificate":          {rs, rs.published(t, object{"x5c": []string{"MIIB"}, "x5t": "zz", "x5t#S256": 7})},
		"certificate of another form": {rs, rs.published(t, object{"x5c": "MIIB", "x5t": []int{1}, "x5u": 7})},
		"certificate of another key":  {rs, rs.published(t, object{"x5c": []string{padded(b64(es.certificate(t)))}})},
		"members of an issuer's own":  {rs, rs.published(t, object{"issuer": providerURL, "nbf": 7, "ext": true})},
		"operations":                  {rs, rs.published(t, object{"key_ops": []string{"sign", "verify"}})},
		"base64 with padding":         {rs, rs.published(t, object{"n": padded(published["n"]), "e": "AQAB=="})},
		"a zero byte before":          {rs, rs.published(t, object{"n": b64(append([]byte{0}, rs.key.Public().(*rsa.PublicKey).N.Bytes()...))})}, //nolint:errcheck,forcetypeassert // RSA
		"Ed25519 by its newer name":   {ed, ed.published(t, object{"alg": "Ed25519"})},
		"P-256 without zero bytes":    {p256, stripped256},
		"P-521 without zero bytes":    {p521, stripped521},
	} {
		iss := identity.Issuer{URL: providerURL, Audience: audience, JWKS: keySet(t, c.key),
			Side: lockboxv1.Side_SIDE_PROVIDER}
		if _, err := verify(t, c.by.sign(t, erin()), iss, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		forger, is := forgers[c.by.alg]
		if !is {
			forger = newSigner(t, "", c.by.alg)
			forgers[c.by.alg] = forger
		}
		forger.kid = c.by.kid
		_, err := verify(t, forger.sign(t, erin()), iss, now)
		refused(t, err, "signature is wrong")
	}
	// Members of private keys that are there but empty hold no secret.
	empty := rs.published(t, object{"d": nil, "p": "", "oth": []string{}})
	empty["d"], empty["dp"] = json.RawMessage("null"), json.RawMessage("null")
	set := append([]byte("\ufeff"), keySet(t, empty)...)
	iss := identity.Issuer{URL: providerURL, Audience: audience, JWKS: set, Side: lockboxv1.Side_SIDE_PROVIDER}
	if _, err := verify(t, rs.sign(t, erin()), iss, now); err != nil {
		t.Errorf("empty private members: %v", err)
	}
}

// A secret that is published is none, under whatever name the key occurs once more; the others stay.
func TestR13AKeyWhoseSecretIsPublishedIsNotTrusted(t *testing.T) {
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES512, jose.EdDSA} {
		k, good := newSigner(t, "k", alg), newSigner(t, "good", jose.ES256)
		secrets := map[string]object{"whole": k.private(t, nil), "under another kid": k.private(t, object{"kid": "other"})}
		switch alg {
		case jose.RS256:
			secrets["without modulus"] = k.private(t, object{"n": nil})
			secrets["another exponent"] = k.private(t, object{"e": "Aw"})
		default:
			secrets["without point"] = k.private(t, object{"x": nil, "y": nil})
		}
		for name, secret := range secrets {
			set := keySet(t, k.published(t, nil), good.published(t, nil), secret)
			keys, err := identity.ParseKeys(set)
			if err != nil || keys.Len() != 1 || len(keys.PassedOver()) != 2 || !keys.PassedOver()[0].Secret {
				t.Errorf("%s, %s: %v, %v", alg, name, keys.PassedOver(), err)
				continue
			}
			iss := identity.Issuer{URL: providerURL, Audience: audience, JWKS: set, Side: lockboxv1.Side_SIDE_PROVIDER}
			_, err = verify(t, k.sign(t, erin()), iss, now)
			refused(t, err, "`kid`")
			if _, err = verify(t, good.sign(t, erin()), iss, now); err != nil {
				t.Errorf("%s, %s: the other key: %v", alg, name, err)
			}
			kept, err := json.Marshal(keys)
			if err != nil || strings.Contains(string(kept), `"d"`) {
				t.Errorf("%s is kept (%v)", kept, err)
			}
		}
	}
}

// Keys that share a kid are told apart by type and algorithm, and otherwise tried.
func TestR13OneKidOfSeveralKeys(t *testing.T) {
	one, two := newSigner(t, "k", jose.RS256), newSigner(t, "k", jose.RS256)
	ec, pss := newSigner(t, "k", jose.ES256), signer{"k", jose.PS256, one.key}
	for name, c := range map[string]struct {
		keys     []any
		accepted []signer
		refused  map[string]signer
	}{
		"the same twice": {[]any{one.published(t, nil), one.published(t, nil)}, []signer{one},
			map[string]signer{"is not for": pss, "is wrong": two}},
		"one key, two algorithms": {[]any{one.published(t, nil), pss.published(t, nil)}, []signer{one, pss},
			map[string]signer{"is not for": {"k", jose.RS512, one.key}, "is wrong": two}},
		"one key, one entry without algorithm": {[]any{one.published(t, nil), one.published(t, object{"alg": nil})},
			[]signer{one, pss, {"k", jose.RS512, one.key}}, map[string]signer{"is not for": ec, "is wrong": two}},
		"two types": {[]any{ec.published(t, nil), one.published(t, nil)}, []signer{one, ec},
			map[string]signer{"is not for": pss, "is wrong": two}},
		"two keys of one type": {[]any{one.published(t, nil), two.published(t, nil)}, []signer{one, two},
			map[string]signer{"is not for": ec, "is wrong": newSigner(t, "k", jose.RS256)}},
		"one that cannot be used before": {[]any{two.published(t, object{"use": "enc"}), one.published(t, nil)},
			[]signer{one}, map[string]signer{"is not for": ec, "is wrong": two}},
	} {
		iss := identity.Issuer{URL: providerURL, Audience: audience, JWKS: keySet(t, c.keys...),
			Side: lockboxv1.Side_SIDE_PROVIDER}
		for _, s := range c.accepted {
			if _, err := verify(t, s.sign(t, erin()), iss, now); err != nil {
				t.Errorf("%s: %s: %v", name, s.alg, err)
			}
		}
		for why, s := range c.refused {
			_, err := verify(t, s.sign(t, erin()), iss, now)
			refused(t, err, why)
		}
	}
	// So many that trying them all would be expensive are not all tried.
	var many []any
	for range 40 {
		many = append(many, newSigner(t, "k", jose.ES256).published(t, nil))
	}
	keys, err := identity.ParseKeys(keySet(t, many...))
	if err != nil || keys.Len() != 16 || len(keys.PassedOver()) != 24 {
		t.Errorf("%d of 40, %v", keys.Len(), err)
	}
}

func TestR13ATokenThatNamesNoKey(t *testing.T) {
	one, two, ec := newSigner(t, "k1", jose.RS256), newSigner(t, "k2", jose.RS256), newSigner(t, "k3", jose.ES256)
	anonymous := one.published(t, object{"kid": nil})
	noKid, plain := object{"kid": nil}, one.published(t, nil)
	for name, c := range map[string]struct {
		keys   []any
		by     signer
		header object
		why    string // empty: accepted
	}{
		"one key":                         {[]any{one.published(t, nil)}, one, noKid, ""},
		"an empty kid":                    {[]any{one.published(t, nil)}, one, object{"kid": ""}, ""},
		"one key without a kid":           {[]any{anonymous}, one, noKid, ""},
		"a kid, and a key without one":    {[]any{anonymous, two.published(t, nil)}, one, nil, ""},
		"one that fits":                   {[]any{one.published(t, nil), ec.published(t, nil)}, one, noKid, ""},
		"one that fits by its algorithm":  {[]any{plain, two.published(t, object{"alg": "PS256"})}, one, noKid, ""},
		"one that is for signatures":      {[]any{plain, two.published(t, object{"use": "enc"})}, one, noKid, ""},
		"one key under two names":         {[]any{plain, one.published(t, object{"kid": "x"})}, one, noKid, ""},
		"two that fit":                    {[]any{one.published(t, nil), two.published(t, nil)}, one, noKid, "several"},
		"none that fits":                  {[]any{ec.published(t, nil)}, one, noKid, "none of its issuer's fits"},
		"of another key":                  {[]any{one.published(t, nil)}, two, noKid, "signature is wrong"},
		"a kid of no key":                 {[]any{one.published(t, nil)}, one, object{"kid": "k9"}, "does not hold"},
		"a kid, and two keys without one": {[]any{anonymous, two.published(t, noKid)}, one, nil, "does not hold"},
	} {
		iss := identity.Issuer{URL: providerURL, Audience: audience, JWKS: keySet(t, c.keys...),
			Side: lockboxv1.Side_SIDE_PROVIDER}
		_, err := verify(t, c.by.sign(t, erin(), c.header), iss, now)
		if c.why != "" {
			refused(t, err, c.why)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// AD FS names the key by the thumbprint of its certificate, some versions by nothing else.
func TestR13ATokenThatNamesACertificate(t *testing.T) {
	one, two := newSigner(t, "k1", jose.RS256), newSigner(t, "k2", jose.RS256)
	der := one.certificate(t)
	short, long := sha1.Sum(der), sha256.Sum256(der) // #nosec G401 -- RFC 7517 §4.8
	x5c := []string{base64.StdEncoding.EncodeToString(der)}
	rest := two.published(t, nil)
	for name, key := range map[string]object{
		"named":    one.published(t, object{"x5t": b64(short[:]), "x5t#S256": b64(long[:])}),
		"computed": one.published(t, object{"x5c": x5c}),
		"padded":   one.published(t, object{"x5t": padded(b64(short[:])), "x5t#S256": padded(b64(long[:])), "kid": nil}),
	} {
		iss := identity.Issuer{URL: providerURL, Audience: audience, JWKS: keySet(t, rest, key),
			Side: lockboxv1.Side_SIDE_PROVIDER}
		for _, header := range []object{
			{"kid": nil, "x5t": b64(short[:])}, {"kid": nil, "x5t#S256": b64(long[:])},
			{"kid": "of nobody", "x5t": b64(short[:])}, {"kid": nil, "x5t": padded(b64(short[:]))},
		} {
			if _, err := verify(t, one.sign(t, erin(), header), iss, now); err != nil {
				t.Errorf("%s, %v: %v", name, header, err)
			}
			_, err := verify(t, two.sign(t, erin(), header), iss, now)
			refused(t, err, "signature is wrong")
		}
		_, err := verify(t, one.sign(t, erin(), object{"kid": "k2", "x5t": b64(short[:])}), iss, now)
		refused(t, err, "signature is wrong") // the kid goes before
		_, err = verify(t, one.sign(t, erin(), object{"kid": nil, "x5t": "AAAA"}), iss, now)
		if name != "padded" { // there, only one key has no kid
			refused(t, err, "does not hold")
		}
	}
	// A certificate of another key names nothing.
	iss := identity.Issuer{URL: providerURL, Audience: audience, JWKS: keySet(t, two.published(t, object{"x5c": x5c})),
		Side: lockboxv1.Side_SIDE_PROVIDER}
	_, err := verify(t, two.sign(t, erin(), object{"kid": "x", "x5t": b64(short[:])}), iss, now)
	refused(t, err, "does not hold")
}

// Each algorithm is bound to the type of the key, its curve, and what the issuer says that the key is for.
func TestR13AnAlgorithmIsBoundToItsKey(t *testing.T) {
	all := []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256,
		jose.ES384, jose.ES512, jose.EdDSA}
	keys := map[jose.SignatureAlgorithm]signer{}
	rsaKey := newSigner(t, "k", jose.RS256)
	for _, alg := range all {
		if keys[alg] = (signer{"k", alg, rsaKey.key}); alg[0] == 'E' {
			keys[alg] = newSigner(t, "k", alg)
		}
	}
	for _, keyed := range all {
		s := keys[keyed]
		bound := identity.Issuer{URL: providerURL, Audience: audience, JWKS: jwks(t, s.public()),
			Side: lockboxv1.Side_SIDE_PROVIDER}
		free := bound
		free.JWKS = keySet(t, s.published(t, object{"alg": nil}))
		for _, alg := range all {
			token := signer{"k", alg, s.key}
			if s.family() != keys[alg].family() {
				token.key = keys[alg].key // what cannot even be signed with this key
			}
			_, err := verify(t, token.sign(t, erin()), bound, now)
			if alg == keyed && err != nil || alg != keyed && err == nil {
				t.Errorf("%s with a key for %s: %v", alg, keyed, err)
			}
			_, err = verify(t, token.sign(t, erin()), free, now)
			if fits := alg == keyed || s.family() == "RSA" && token.key == s.key; fits != (err == nil) {
				t.Errorf("%s with a key as of %s: %v", alg, keyed, err)
			}
		}
	}
}

func (s signer) family() string {
	if _, is := s.key.(*rsa.PrivateKey); is {
		return "RSA"
	}
	return "other"
}

func TestR13TheSetOfACustomerWithAKeyOfAnUnknownCurve(t *testing.T) {
	set, err := os.ReadFile("testdata/jwks-one-key-of-an-unknown-curve.json")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := identity.ParseKeys(set)
	if err != nil || keys.Len() != 1 || len(keys.PassedOver()) != 1 || keys.PassedOver()[0].Number != 2 ||
		keys.PassedOver()[0].KeyID != "ec1" {
		t.Errorf("%v, %v", keys.PassedOver(), err)
	}
}

// What is kept of a set is the same set.
func TestR13TheUsableKeysAreWrittenAsASet(t *testing.T) {
	one, two := newSigner(t, "k1", jose.RS256), newSigner(t, "k2", jose.ES512)
	der := one.certificate(t)
	short := sha1.Sum(der) // #nosec G401 -- RFC 7517 §4.8
	keys, err := identity.ParseKeys(keySet(t, one.published(t, object{
		"x5c": []string{base64.StdEncoding.EncodeToString(der)}}), two.published(t, nil), 7))
	if err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	again, err := identity.ParseKeys(written)
	if err != nil || again.Len() != 2 || len(again.PassedOver()) != 0 {
		t.Errorf("%s: %v", written, err)
	}
	if b, err := json.Marshal(again); err != nil || string(b) != string(written) {
		t.Errorf("%s, then %s (%v)", written, b, err)
	}
	iss := identity.Issuer{URL: providerURL, Audience: audience, JWKS: written, Side: lockboxv1.Side_SIDE_PROVIDER}
	for _, token := range []string{one.sign(t, erin(), object{"kid": nil, "x5t": b64(short[:])}), two.sign(t, erin())} {
		if _, err := verify(t, token, iss, now); err != nil {
			t.Error(err)
		}
	}
}
