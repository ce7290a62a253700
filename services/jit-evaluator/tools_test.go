package evaluator

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func TestAToolSubmitsWhatItIsFor(t *testing.T) {
	tools := []Tool{
		Unlimited("console"),
		{Name: "ticketing", Tenants: []string{"meadowbank"}, Services: []string{"compute/*", "storage/accounts"}},
		{Name: "backup", Tenants: []string{"*"}, Services: []string{"storage/accounts"}},
	}
	if err := CheckTools(tools); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tool, tenant, resourceType, field string // no field: permitted
	}{
		{"console", "sakura", "identity/directory", ""},
		{"ticketing", "meadowbank", "compute/virtual-machines", ""},
		{"ticketing", "meadowbank", "storage/accounts", ""},
		{"ticketing", "sakura", "compute/virtual-machines", "tenant"},
		{"ticketing", "meadowbank2", "compute/virtual-machines", "tenant"},
		{"ticketing", "meadowbank", "storage/accounts2", "resource_type"},
		{"ticketing", "meadowbank", "storage/files", "resource_type"},
		{"ticketing", "meadowbank", "compute-classic/virtual-machines", "resource_type"},
		{"ticketing", "meadowbank", "compute", "resource_type"},
		{"ticketing", "meadowbank", "*", "resource_type"},
		{"backup", "sakura", "storage/accounts", ""},
		{"backup", "sakura", "compute/virtual-machines", "resource_type"},
		{"other", "meadowbank", "compute/virtual-machines", "tool"},
		{"Console", "meadowbank", "compute/virtual-machines", "tool"},
	} {
		err := permit(tools, c.tool, c.tenant, c.resourceType)
		if c.field == "" {
			if err != nil {
				t.Errorf("%v: %v", c, err)
			}
			continue
		}
		r, ok := refusal.As(err)
		if !ok || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN || r.GetField() != c.field ||
			r.GetRule() != "R13" {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestTheShippedConfigurationIsGood(t *testing.T) {
	var file service.File[Config]
	if err := config.Load("../../deploy/config/jit-evaluator.yaml", nil, &file); err != nil {
		t.Fatal(err)
	}
	if err := CheckTools(file.Service.Tools); err != nil {
		t.Error(err)
	}
	if err := permit(file.Service.Tools, "console", "meadowbank", "compute/virtual-machines"); err != nil {
		t.Errorf("the command line's own tool: %v", err)
	}
}

func TestToolsThatCannotBeMeant(t *testing.T) {
	all := []string{"*"}
	for name, c := range map[string]struct {
		tools []Tool
		want  string
	}{
		"none":               {nil, "name the engineering tools"},
		"twice":              {[]Tool{Unlimited("a"), Unlimited("a")}, "twice"},
		"no name":            {[]Tool{Unlimited("")}, "name"},
		"a wildcard":         {[]Tool{Unlimited("*")}, "name"},
		"no tenants":         {[]Tool{{Name: "a", Services: all}}, "for which tenants"},
		"no services":        {[]Tool{{Name: "a", Tenants: all, Services: []string{}}}, "which services"},
		"no tenant's name":   {[]Tool{{Name: "a", Tenants: []string{"Meadow Bank"}, Services: all}}, "tenants"},
		"a tenant pattern":   {[]Tool{{Name: "a", Tenants: []string{"meadow*"}, Services: all}}, "tenants"},
		"half a pattern":     {[]Tool{{Name: "a", Tenants: all, Services: []string{"compute*"}}}, "compute*"},
		"a pattern inside":   {[]Tool{{Name: "a", Tenants: all, Services: []string{"compute/virtual*"}}}, "compute/virtual*"},
		"a pattern in front": {[]Tool{{Name: "a", Tenants: all, Services: []string{"*/accounts"}}}, "*/accounts"},
		"no type":            {[]Tool{{Name: "a", Tenants: all, Services: []string{"compute/"}}}, "compute/"},
		"nothing":            {[]Tool{{Name: "a", Tenants: all, Services: []string{""}}}, "services"},
	} {
		if err := CheckTools(c.tools); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// R62: a key that cannot verify is refused at start, and so is one that would let the portal sign.
func TestTheKeysOfTools(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pemOf := func(kind string, key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := pemOf("PUBLIC KEY", public)
	for name, row := range map[string]struct {
		tool, key string
		fine      bool
	}{
		"an Ed25519 key":     {"ticketing", good, true},
		"none":               {"ticketing", "", true},
		"the portal's":       {"portal", good, false},
		"two":                {"ticketing", good + good, false},
		"of another kind":    {"ticketing", pemOf("PUBLIC KEY", other.Public()), false},
		"a private one":      {"ticketing", pemOf("PRIVATE KEY", private.Public()), false},
		"not PEM":            {"ticketing", "MCowBQYDK2VwAyEA", false},
		"PEM around rubbish": {"ticketing", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", false},
	} {
		may := Unlimited(row.tool)
		may.PublicKey = row.key
		if err := CheckTools([]Tool{may}); (err == nil) != row.fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}
