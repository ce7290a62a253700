package demo_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/portal"
)

func TestEverybodyOfTheDemoCanSignInToItsPortal(t *testing.T) {
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c := portal.Config{Listen: "127.0.0.1:0", URL: "http://127.0.0.1:8080", Provider: devissuer.Provider,
		Organisations: demo.Organisations(issuer)}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	got := map[string]string{}
	for _, o := range c.Organisations {
		got[o.Tenant] = o.Issuer + " " + o.ClientID + " " + strings.Join(o.Domains, " ")
	}
	want := map[string]string{
		"":           "http://127.0.0.1:7070/provider lockbox nimbus.example brightline.example",
		"meadowbank": "http://127.0.0.1:7070/t/meadowbank lockbox meadowbank.example",
		"sakura":     "http://127.0.0.1:7070/t/sakura lockbox sakura.example",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
