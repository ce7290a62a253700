package jwks

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

func TestAddressesThatATenantMayLeadUsTo(t *testing.T) {
	for _, s := range []string{"1.1.1.1", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700::1111",
		"2a00:1450:4001::1"} {
		if !Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is public", s)
		}
	}
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.0.0.1",
		"192.168.1.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "fe80::1",
		"fc00::1", "fd12::1", "ff02::1",
		"64:ff9b::a00:1", "2002:a00:1::", "2001:0:a00:1::", "fec0::1",
	} {
		if Public(netip.MustParseAddr(s).Unmap()) {
			t.Errorf("%s is public", s)
		}
	}
	if Public(netip.MustParseAddr("::ffff:10.0.0.1").Unmap()) {
		t.Error("a private address is public in another spelling")
	}
}

func at(issuer, jwksURL string) *lockboxv1.TenantIssuer {
	return &lockboxv1.TenantIssuer{Url: issuer, JwksUrl: jwksURL}
}

// A tenant's address of keys is no way into the provider's network, whatever its name resolves to.
func TestATenantDoesNotLeadUsInside(t *testing.T) {
	var reached atomic.Int32
	count := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		_, _ = w.Write([]byte(`{"keys":[]}`))
	})
	plain, secure := httptest.NewServer(count), httptest.NewTLSServer(count)
	defer plain.Close()
	defer secure.Close()
	t.Setenv("HTTP_PROXY", plain.URL)
	t.Setenv("HTTPS_PROXY", plain.URL)
	port := secure.URL[strings.LastIndex(secure.URL, ":"):]
	for _, address := range []string{
		secure.URL, "https://localhost" + port, "https://[::ffff:127.0.0.1]" + port, "https://10.0.0.1/keys",
		"https://169.254.169.254/latest", "https://[fd00::1]/keys",
	} {
		s, err := forTenant(at("https://login.meadowbank.example", address), zap.NewNop(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "not fetched from") ||
			s.Keys() != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	// An issuer on this machine stays on this machine.
	s, err := forTenant(at("http://127.0.0.1:8080", "https://10.0.0.1/keys"), zap.NewNop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "not fetched from") {
		t.Errorf("out of this machine: %v", err)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests came through", n)
	}
	if s, err = forTenant(at(plain.URL, plain.URL+"/keys"), zap.NewNop(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err != nil || reached.Load() != 1 {
		t.Errorf("an issuer on this machine: %v", err)
	}
}
