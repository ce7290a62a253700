package identity_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// authority returns a self-signed certificate and its private key (PEM).
func authority(t *testing.T) (certificate, private []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Meadow Bank CA"},
		NotBefore: now, NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func TestR13SizesAndLeewayOfATenantsIssuer(t *testing.T) {
	w := newWorld(t)
	long := w.bank.sign(t, grace().with(object{"padding": strings.Repeat("x", 20<<10)}))
	ahead := w.bank.sign(t, grace().with(object{"iat": now.Add(time.Minute).Unix()}))
	expired := w.bank.sign(t, grace().with(object{"exp": now.Unix()}))
	_, err := w.verifier.Verify(long, w.bankIssuer, now)
	refused(t, err, "longer than 16384 bytes")
	_, err = w.verifier.Verify(ahead, w.bankIssuer, now)
	refused(t, err, "issued in the future")

	lenient := &lockboxv1.TenantIssuer{Url: bankURL, Audience: audience, Jwks: w.bankIssuer.GetJwks(),
		TokenMaxBytes: 32 << 10, Leeway: durationpb.New(time.Minute)}
	if err := identity.CheckTenantIssuer(lenient, nil); err != nil {
		t.Error(err)
	}
	for _, token := range []string{long, ahead} {
		if _, err := w.verifier.Verify(token, lenient, now); err != nil {
			t.Error(err)
		}
	}
	_, err = w.verifier.Verify(ahead, lenient, now.Add(-1))
	refused(t, err, "issued in the future")
	_, err = w.verifier.Verify(expired, lenient, now)
	refused(t, err, "expired") // leeway never lengthens a token
	// What a lenient issuer made acceptable is not remembered for a strict one.
	_, err = w.verifier.Verify(ahead, w.bankIssuer, now)
	refused(t, err, "issued in the future")
	_, err = w.verifier.Verify(long, w.bankIssuer, now)
	refused(t, err, "longer than 16384 bytes")
}

func TestR13LimitsAndAuthoritiesThatATenantsIssuerCannotHave(t *testing.T) {
	w := newWorld(t)
	certificate, private := authority(t)
	many := bytes.Repeat(certificate, identity.MaxAuthorities/len(certificate)+1)
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("broken")})
	with := func(all ...[]byte) *lockboxv1.TenantIssuer {
		return &lockboxv1.TenantIssuer{Authorities: bytes.Join(all, nil)}
	}
	check := func(ti *lockboxv1.TenantIssuer) *lockboxv1.Refusal {
		ti.Url, ti.Audience, ti.Jwks = bankURL, audience, w.bankIssuer.GetJwks()
		r, _ := refusal.As(identity.CheckTenantIssuer(ti, nil))
		return r
	}
	for name, ti := range map[string]*lockboxv1.TenantIssuer{
		"none":            {Leeway: &durationpb.Duration{}},
		"the most":        {Leeway: durationpb.New(identity.MaxLeeway), TokenMaxBytes: 48 << 10, JwksMaxBytes: 1 << 20},
		"one authority":   with(certificate),
		"two authorities": with(certificate, []byte("\n"), certificate, []byte("\n\n")),
	} {
		if r := check(ti); r != nil {
			t.Errorf("%s: %v", name, r)
		}
	}
	for name, c := range map[string]struct {
		field string
		ti    *lockboxv1.TenantIssuer
	}{
		"too much leeway":        {"leeway", &lockboxv1.TenantIssuer{Leeway: durationpb.New(identity.MaxLeeway + 1)}},
		"negative leeway":        {"leeway", &lockboxv1.TenantIssuer{Leeway: durationpb.New(-1)}},
		"half a second":          {"leeway", &lockboxv1.TenantIssuer{Leeway: durationpb.New(time.Second / 2)}},
		"tokens that are long":   {"token_max_bytes", &lockboxv1.TenantIssuer{TokenMaxBytes: 48<<10 + 1}},
		"key sets that are long": {"jwks_max_bytes", &lockboxv1.TenantIssuer{JwksMaxBytes: 1<<20 + 1}},
		"many authorities":       {"authorities", with(many)},
		"no certificate":         {"authorities", with([]byte("Meadow Bank CA"))},
		"nothing but space":      {"authorities", with([]byte("\n"))},
		"a broken one":           {"authorities", with(certificate, broken)},
		"a private key":          {"authorities", with(certificate, private)},
		"a key that is hidden":   {"authorities", with(private[:len(private)-30], certificate)},
		"something beside it":    {"authorities", with(certificate, []byte("and more"))},
	} {
		if r := check(c.ti); r.GetField() != "create_tenant.issuer."+c.field || r.GetRule() != "R13" {
			t.Errorf("%s: %v", name, r)
		}
	}
}

func TestR13OnlyUnusualLimitsAreShown(t *testing.T) {
	for _, row := range []struct {
		ti   *lockboxv1.TenantIssuer
		want identity.Limits
	}{
		{&lockboxv1.TenantIssuer{}, identity.Limits{}},
		{&lockboxv1.TenantIssuer{Leeway: durationpb.New(identity.Leeway), TokenMaxBytes: 16 << 10, JwksMaxBytes: 128 << 10},
			identity.Limits{}},
		{&lockboxv1.TenantIssuer{Leeway: durationpb.New(time.Second), TokenMaxBytes: 20000, JwksMaxBytes: 1000},
			identity.Limits{Leeway: time.Second, Token: 20000, Keys: 1000}},
	} {
		if got := identity.UnusualLimits(row.ti); got != row.want {
			t.Errorf("%v: %+v", row.ti, got)
		}
	}
}

func TestR65AuthoritiesAreShownByTheirFingerprints(t *testing.T) {
	certificate, _ := authority(t)
	shown := identity.ShownAuthorities(&lockboxv1.TenantIssuer{Authorities: certificate})
	if len(shown) != 1 || shown[0].Name != "CN=Meadow Bank CA" || !shown[0].Until.Equal(now.Add(24*time.Hour)) ||
		len(shown[0].SHA256) != 32*3-1 || strings.Trim(shown[0].SHA256, "0123456789ABCDEF:") != "" {
		t.Errorf("%+v", shown)
	}
}
