package ops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"github.com/openlockbox/lockbox/services/portal"
)

func TestToolsOfTheFile(t *testing.T) {
	load := func(yaml string) ([]evaluator.Tool, error) {
		path := filepath.Join(t.TempDir(), "lockbox.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		f := defaults()
		err := config.Load(path, nil, &f)
		return tools(f.Tools), err
	}
	ticketing := evaluator.Tool{Name: "ticketing", Tenants: []string{"meadowbank"}, Services: []string{"compute/*"}}
	console := evaluator.Tool{Name: client.Tool, Tenants: []string{"meadowbank"}, Services: []string{"*"}}
	for name, c := range map[string]struct {
		yaml string
		want []evaluator.Tool
	}{
		"none but our own": {"observe: {log: warn}",
			[]evaluator.Tool{evaluator.Unlimited(client.Tool), evaluator.Unlimited(bus.PortalTool)}},
		"another beside it": {
			"tools:\n  - {name: ticketing, tenants: [meadowbank], services: [compute/*]}\n",
			[]evaluator.Tool{evaluator.Unlimited(client.Tool), evaluator.Unlimited(bus.PortalTool), ticketing},
		},
		"our own, limited": {"tools:\n  - {name: console, tenants: [meadowbank], services: ['*']}\n",
			[]evaluator.Tool{evaluator.Unlimited(bus.PortalTool), console}},
	} {
		got, err := load(c.yaml)
		if d := cmp.Diff(c.want, got); d != "" || err != nil || evaluator.CheckTools(got) != nil {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
	if _, err := load("tools:\n  - {name: ticketing, tenant: [meadowbank]}\n"); err == nil ||
		!strings.Contains(err.Error(), `did you mean "tenants"`) {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestLimitsOfToolsOnTheBus(t *testing.T) {
	got, err := toolTenants([]string{"ticketing=meadowbank,sakura", "backup=sakura"})
	if d := cmp.Diff(map[string][]string{"ticketing": {"meadowbank", "sakura"}, "backup": {"sakura"}}, got); d != "" ||
		err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	for _, list := range [][]string{{"ticketing"}, {"ticketing="}, {"=meadowbank"}, {"a=x", "a=y"}} {
		if _, err := toolTenants(list); err == nil {
			t.Errorf("%q: accepted", list)
		}
	}
}

func TestThePortalOfTheFile(t *testing.T) {
	load := func(yaml string) portal.Config {
		path := filepath.Join(t.TempDir(), "lockbox.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		f := defaults()
		if err := config.Load(path, nil, &f); err != nil {
			t.Fatal(err)
		}
		return f.Portal
	}
	const flag = "127.0.0.1:8080"
	silent := load("observe: {log: warn}")
	if got := portalOf(silent, flag, false); got != nil {
		t.Errorf("a file that says nothing of a portal: %+v", got)
	}
	if got := portalOf(silent, flag, true); got == nil || got.Listen != flag {
		t.Errorf("the demo: %+v", got)
	}
	said := load("portal:\n  url: https://lockbox.example.org\n  organisations:\n    - {name: Nimbus Cloud, issuer: https://login.nimbus.example, client_id: lockbox}\n")
	if got := portalOf(said, flag, false); got == nil || got.Listen != flag || got.URL != "https://lockbox.example.org" ||
		len(got.Organisations) != 1 {
		t.Errorf("one that does: %+v", got)
	}
	if got := portalOf(load("portal: {listen: '127.0.0.1:9'}"), flag, true); got == nil || got.Listen != "127.0.0.1:9" {
		t.Errorf("one that says where: %+v", got)
	}
}
