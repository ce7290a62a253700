package jwks_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const invalid = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID

func look(t *testing.T, issuer, jwksURL string, fixed, authorities []byte) (jwks.Found, error) {
	t.Helper()
	return jwks.Look(t.Context(), &lockboxv1.TenantIssuer{Url: issuer, JwksUrl: jwksURL, Jwks: fixed,
		Authorities: authorities})
}

func refusesLook(t *testing.T, err error, code lockboxv1.RefusalCode, field, says string) {
	t.Helper()
	r, ok := refusal.As(err)
	if !ok || r.GetCode() != code || r.GetField() != field || !strings.Contains(r.GetMessage(), says) {
		t.Errorf("want %v of %s saying %q, got %v", code, field, says, err)
	}
}

func TestR65AnIssuerIsLookedAtBeforeItIsRecorded(t *testing.T) {
	one, other := newKey(t, "k1", jose.ES256), newKey(t, "k2", jose.ES256)
	i := serve(t, httptest.NewServer, one)
	f, err := look(t, i.url(), "", nil, nil)
	if err != nil || f.KeysAt != i.url()+"/keys" || len(f.Keys) != 1 || f.Keys[0] != "k1" || len(f.Remarks) > 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	if f, err = look(t, i.url(), "", i.jwks, nil); err != nil || len(f.Remarks) != 1 {
		t.Errorf("its own keys as a file: %+v, %v", f, err)
	}
	strange := serve(t, httptest.NewServer, other)
	_, err = look(t, i.url(), "", strange.jwks, nil)
	refusesLook(t, err, invalid, "issuer.jwks", "publishes none of these keys")
	if f, err = look(t, i.url(), strange.url()+"/keys", nil, nil); err != nil || len(f.Remarks) != 1 {
		t.Errorf("keys elsewhere are a remark: %+v, %v", f, err)
	}

	_, err = look(t, i.url()+"/", "", nil, nil)
	refusesLook(t, err, invalid, "issuer.url", "the slash at the end counts")
	_, err = look(t, strings.Replace(i.url(), "127.0.0.1", "localhost", 1), "", nil, nil)
	refusesLook(t, err, invalid, "issuer.url", "calls itself")
	_, err = look(t, i.url()+"/realms/meadow", "", nil, nil)
	refusesLook(t, err, invalid, "issuer.url", "(404)")
	_, err = look(t, "http://login.meadow.example", "", nil, nil)
	refusesLook(t, err, invalid, "issuer.url", "https")
	_, err = look(t, "https://10.0.0.1", "", nil, nil)
	refusesLook(t, err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE, "issuer.url", "not fetched from")
	i.answer["/keys"] = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) }
	_, err = look(t, i.url(), "", nil, nil)
	refusesLook(t, err, invalid, "issuer.jwks_url", "holds no key")
	i.answer["/.well-known/openid-configuration"] = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}
	_, err = look(t, i.url(), "", nil, nil)
	refusesLook(t, err, invalid, "issuer.url", "leads elsewhere")
}

func TestR65ACertificateThatIsNotAcceptedIsCalledThat(t *testing.T) {
	i := serve(t, httptest.NewTLSServer, newKey(t, "k1", jose.ES256))
	_, err := look(t, i.url(), "", nil, nil)
	refusesLook(t, err, invalid, "issuer.url", "the certificate of its server is not accepted: ")
	if !strings.Contains(err.Error(), "x509: ") {
		t.Error(err)
	}
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw})
	if _, err := look(t, i.url(), "", nil, own); err != nil {
		t.Error(err)
	}
}
