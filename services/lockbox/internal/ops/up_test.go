package ops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/config"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	"github.com/openlockbox/lockbox/services/lockbox/internal/client"
)

func TestToolsOfTheFile(t *testing.T) {
	load := func(yaml string) ([]evaluator.Tool, error) {
		path := filepath.Join(t.TempDir(), "lockbox.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		var f upFile
		err := config.Load(path, nil, &f)
		return tools(f.Tools), err
	}
	ticketing := evaluator.Tool{Name: "ticketing", Tenants: []string{"meadowbank"}, Services: []string{"compute/*"}}
	console := evaluator.Tool{Name: client.Tool, Tenants: []string{"meadowbank"}, Services: []string{"*"}}
	for name, c := range map[string]struct {
		yaml string
		want []evaluator.Tool
	}{
		"none but our own": {"observe: {log: warn}", []evaluator.Tool{evaluator.Unlimited(client.Tool)}},
		"another beside it": {
			"tools:\n  - {name: ticketing, tenants: [meadowbank], services: [compute/*]}\n",
			[]evaluator.Tool{evaluator.Unlimited(client.Tool), ticketing},
		},
		"our own, limited": {"tools:\n  - {name: console, tenants: [meadowbank], services: ['*']}\n", []evaluator.Tool{console}},
	} {
		got, err := load(c.yaml)
		if d := cmp.Diff(c.want, got); d != "" || err != nil || evaluator.CheckTools(got) != nil {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
	if _, err := load("tools:\n  - {name: ticketing, tenant: [meadowbank]}\n"); err == nil || !strings.Contains(err.Error(), `did you mean "tenants"`) {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestLimitsOfToolsOnTheBus(t *testing.T) {
	got, err := toolTenants([]string{"ticketing=meadowbank,sakura", "backup=sakura"})
	if d := cmp.Diff(map[string][]string{"ticketing": {"meadowbank", "sakura"}, "backup": {"sakura"}}, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	for _, list := range [][]string{{"ticketing"}, {"ticketing="}, {"=meadowbank"}, {"a=x", "a=y"}} {
		if _, err := toolTenants(list); err == nil {
			t.Errorf("%q: accepted", list)
		}
	}
}
