package jwks_test

import (
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// A customer's issuer with a certificate of the customer's own authority is known by that authority, which counts for
// this issuer alone.
func TestR65ATenantsAuthoritiesVouchForItsIssuer(t *testing.T) {
	i := serve(t, httptest.NewTLSServer, newKey(t, "k1", jose.ES256))
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw})
	core, logged := observer.New(zapcore.ErrorLevel)
	open := jwks.ForTenants(t.Context(), zap.New(core), nil)
	keys := func(ti *lockboxv1.TenantIssuer) *identity.KeySet {
		t.Helper()
		source, err := open(ti)
		must(t, err)
		return source.Renew()
	}
	recorded := func(authorities []byte) *lockboxv1.TenantIssuer {
		return &lockboxv1.TenantIssuer{Url: i.url(), JwksUrl: i.url() + "/keys", Authorities: authorities}
	}
	if set := keys(recorded(own)); set.Len() != 1 {
		t.Errorf("through the recorded authority there are %d keys", set.Len())
	}
	if set := keys(recorded(nil)); set != nil {
		t.Errorf("without it, %d keys", set.Len())
	}
	if all := logged.All(); len(all) == 0 || !strings.Contains(fmt.Sprint(all[0].ContextMap()["error"]), "x509: ") {
		t.Errorf("why is logged as %v", all)
	}
	if _, err := open(recorded([]byte("no certificate"))); err == nil {
		t.Error("authorities that cannot be read count as none")
	}
}
