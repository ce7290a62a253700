package catalogue_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// The reference's list of supported services, as it counts them.
var reference = strings.Split(strings.TrimSpace(`
Azure AI Search
Azure API Management
Azure App Service
Azure Chaos Studio
Azure Cognitive Services
Azure Container Registry
Azure Data Box
Azure Data Explorer
Azure Data Factory
Azure Data Manager for Energy
Azure Database for MySQL
Azure Database for MySQL Flexible Server
Azure Database for PostgreSQL
Azure Edge Zone Platform Storage
Azure Energy
Azure Functions
Azure HDInsight
Azure Health Bot
Azure Intelligent Recommendations
Azure Kubernetes Service
Azure Load Testing (CloudNative Testing)
Azure Logic Apps
Azure Monitor (Log Analytics)
Azure Red Hat OpenShift
Azure SQL Database
Azure SQL Managed Instance
Azure Spring Apps
Azure Storage
Azure Subscription Transfers
Azure Synapse Analytics
Commerce AI (Intelligent Recommendations)
DevCenter / DevBox
ElasticSan
Kusto (Dashboards)
Microsoft Azure Attestation
OpenAI
Spring Cloud
Unified Vision Service
Virtual Machines in Azure
`), "\n")

func TestTheThirtyNineServicesOfTheReference(t *testing.T) {
	named := make(map[string]bool)
	for _, s := range catalogue.Default().Services() {
		if s.Reference == "" {
			continue
		}
		named[s.Reference] = true
		if s.Stage != lockboxv1.ServiceStage_SERVICE_STAGE_GENERALLY_AVAILABLE {
			t.Errorf("%s is %v", s.Type, s.Stage)
		}
	}
	var got []string
	for name := range named {
		got = append(got, name)
	}
	slices.Sort(got)
	if d := cmp.Diff(reference, got); d != "" || len(got) != 39 {
		t.Errorf("%d services: %s", len(got), d)
	}
}

// R3 must be exercisable everywhere, R8 and R9 somewhere, R18 and R19 both.
func TestEverySupportedServiceHasWorkWithAndWithoutCustomerData(t *testing.T) {
	stages, scopes := make(map[lockboxv1.ServiceStage]int), make(map[lockboxv1.Scope]int)
	for _, s := range catalogue.Default().Services() {
		stages[s.Stage]++
		if s.Stage == lockboxv1.ServiceStage_SERVICE_STAGE_UNSUPPORTED {
			continue
		}
		with, without := false, false
		for _, sc := range s.Scenarios {
			with, without = with || sc.CustomerData, without || !sc.CustomerData
			scopes[sc.Scope]++
		}
		if !with || !without {
			t.Errorf("%s: with customer data %v, without %v", s.Type, with, without)
		}
	}
	if stages[lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW] == 0 ||
		stages[lockboxv1.ServiceStage_SERVICE_STAGE_UNSUPPORTED] == 0 {
		t.Errorf("stages %v", stages)
	}
	if scopes[lockboxv1.Scope_SCOPE_TENANT] == 0 || scopes[lockboxv1.Scope_SCOPE_UNSPECIFIED] != 0 {
		t.Errorf("scopes %v", scopes)
	}
}

func TestVirtualMachinesAndSubscriptionTransfer(t *testing.T) { // R7
	c := catalogue.Default()
	for _, at := range []string{
		"compute/virtual-machines remote-desktop", "compute/virtual-machines secure-shell",
		"compute/virtual-machines memory-dump",
		"compute/virtual-machines managed-disk", "compute/managed-disks managed-disk",
		"compute/scale-sets remote-desktop", "compute/scale-sets memory-dump",
		"compute/web-and-worker-roles remote-desktop", "compute/web-and-worker-roles memory-dump",
		"billing/subscriptions transfer",
	} {
		typ, scenario, _ := strings.Cut(at, " ")
		s, sc, err := c.Lookup(typ, scenario)
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		if s.Type != typ || s.Name == "" || sc.ID != scenario || !sc.CustomerData ||
			sc.Scope != lockboxv1.Scope_SCOPE_SUBSCRIPTION {
			t.Errorf("%s: %v %v", at, s, sc)
		}
	}
}

func TestAPreviewServiceIsFoundAndSaysSo(t *testing.T) { // R8
	s, _, err := catalogue.Default().Lookup("machine-learning/workspaces", "data-content")
	if err != nil || s.Stage != lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW {
		t.Errorf("%v, %v", s, err)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct{ name, typ, scenario, field, rule, says string }{
		{"classic machine", "classic-compute/virtual-machines", "memory-dump", "resource_type", "R9",
			"platform-supported migration"},
		{"classic machine names its successor", "classic-compute/virtual-machines", "", "resource_type", "R9",
			"compute/virtual-machines."},
		{"classic network", "classic-network/virtual-networks", "x", "resource_type", "R9", "Migrate the network"},
		{"unknown type", "quantum/computers", "memory-dump", "resource_type", "R10", "no such resource type"},
		{"slip", "compute/virtual-machine", "memory-dump", "resource_type", "R10",
			`did you mean "compute/virtual-machines"?`},
		{"capitals", "Compute/Virtual-Machines", "memory-dump", "resource_type", "R10",
			`did you mean "compute/virtual-machines"?`},
		{"no provider", "kubernetes-clusters", "node-access", "resource_type", "R10",
			`did you mean "containers/kubernetes-clusters"?`},
		{"empty type", "", "memory-dump", "resource_type", "R10", "no such resource type"},
		{"enormous type", strings.Repeat("x", 60000), "memory-dump", "resource_type", "R10", "no such resource type"},
		{"unknown scenario", "compute/virtual-machines", "teleport", "scenario", "R10", "no such scenario"},
		{"slip in the scenario", "compute/virtual-machines", "memory_dump", "scenario", "R10", `did you mean "memory-dump"?`},
		{"scenario of another service", "storage/accounts", "remote-desktop", "scenario", "R10",
			"storage/accounts has no such scenario"},
	}
	c := catalogue.Default()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := c.Lookup(tt.typ, tt.scenario)
			r, ok := refusal.As(err)
			if !ok || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_INVALID || r.GetField() != tt.field ||
				r.GetRule() != tt.rule {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(r.GetMessage(), tt.says) {
				t.Errorf("%q does not say %q", r.GetMessage(), tt.says)
			}
		})
	}
}

func TestACallerCannotChangeTheCatalogue(t *testing.T) {
	c := catalogue.Default()
	c.Services()[0].Scenarios[0].CustomerData = false
	s, _, err := c.Lookup("compute/virtual-machines", "memory-dump")
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Scenarios {
		s.Scenarios[i].CustomerData = false
	}
	same := cmp.Comparer(func(a, b resource.Pattern) bool { return a.String() == b.String() })
	if d := cmp.Diff(catalogue.Default().Services(), c.Services(), same); d != "" {
		t.Error(d)
	}
}

// Services of the reference that are the same kind of resource in Azure.
var alike = [][]string{
	{"cognitive/accounts", "openai/accounts", "vision/accounts"}, {"commerce-ai/accounts", "recommendations/accounts"},
	{"energy/data-managers", "energy/services"}, {"spring/apps", "spring/cloud-services"}, {"web/apps", "web/functions"},
}

func TestEachTypeHasItsOwnPaths(t *testing.T) { // R49
	if _, err := catalogue.ParseNew("services.yaml", catalogue.DefaultText()); err != nil {
		t.Fatal(err)
	}
	root := resource.Root("contoso", "prod")
	all := catalogue.Default().Services()
	for _, s := range all {
		if supported := s.Stage != lockboxv1.ServiceStage_SERVICE_STAGE_UNSUPPORTED; supported != (len(s.Paths) > 0) {
			t.Errorf("%s has the paths %v", s.Type, s.Paths)
		}
		for _, p := range s.Paths {
			id := []string{p.Example(root)}
			for _, other := range all {
				related := other.Type == s.Type || slices.ContainsFunc(alike, func(types []string) bool {
					return slices.Contains(types, s.Type) && slices.Contains(types, other.Type)
				})
				if err := other.Fits(root, id); len(other.Paths) > 0 && (err == nil) != related {
					t.Errorf("%s as %s: %v", id, other.Type, err)
				}
			}
		}
	}
}

// control: nist:AC-6
func TestAResourceOfAnotherType(t *testing.T) {
	s, _, err := catalogue.Default().Lookup("compute/virtual-machines", "platform-health")
	if err != nil {
		t.Fatal(err)
	}
	root, group := resource.Root("contoso", "prod"), "/subscriptions/prod/resourceGroups/pay/providers/"
	machine := group + "Microsoft.Compute/virtualMachines/payments-1"
	if err := s.Fits(root, []string{machine, strings.ToUpper(machine) + "/"}); err != nil {
		t.Error(err)
	}
	for _, id := range []string{
		group + "Microsoft.Storage/storageAccounts/ledger", machine + "/providers/Microsoft.Storage/storageAccounts/ledger",
		group + "Microsoft.Compute/virtualMachines/*", group + "Microsoft.Compute/virtualMachines/раyments-1",
		"/subscriptions/prod/virtualMachines/payments-1", root, strings.Replace(machine, "prod", "dev", 1),
	} {
		r, _ := refusal.As(s.Fits(root, []string{machine, id}))
		if r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_INVALID || r.GetField() != "resource_ids" ||
			r.GetRule() != "R49" ||
			r.GetCodedReason().GetCode() != lockboxv1.ReasonCode_REASON_CODE_RESOURCE_OF_ANOTHER_TYPE {
			t.Errorf("%s: %v", id, r)
		}
	}
	r, _ := refusal.As(s.Fits(root, []string{group + "Microsoft.Storage/storageAccounts/ledger"}))
	if !strings.Contains(r.GetMessage(), "storageAccounts/ledger") ||
		!strings.Contains(r.GetMessage(), "Microsoft.Compute/virtualMachines/*") {
		t.Errorf("%q names neither the resource nor the path", r.GetMessage())
	}
}

// What was published before there were paths is in force as it was, and is not published again.
func TestACatalogueWithoutPaths(t *testing.T) {
	old := strings.Replace(small, "    paths: [B.C/d/*, e]\n", "", 1)
	c, err := catalogue.Parse([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := c.Lookup("a/b", "look")
	if err != nil || s.Fits("/tenants/contoso", []string{"/tenants/contoso/anything"}) != nil ||
		s.Fits("/tenants/contoso", []string{"/tenants/contoso"}) == nil {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := catalogue.ParseNew("mine.yaml", []byte(old)); err == nil ||
		!strings.Contains(err.Error(), `mine.yaml:3: key "paths" is missing`) {
		t.Errorf("%v", err)
	}
}

const small = `version: "1"
services:
  - type: a/b
    name: B
    stage: preview
    paths: [B.C/d/*, e]
    scenarios:
      - {id: look, name: Look, customer_data: true, elevated: false, scope: tenant}
  - type: old/b
    name: Old B
    stage: unsupported
    migration: Move.
    replacement: a/b
`

func TestTheVersionNamesTheContent(t *testing.T) {
	one, err := catalogue.Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	two, err := catalogue.Parse([]byte(small + "# changed\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(one.Version()) != len("1+0123456789abcdef") || !strings.HasPrefix(one.Version(), "1+") ||
		one.Version() == two.Version() {
		t.Errorf("%s, %s", one.Version(), two.Version())
	}
}

func TestParseIsStrict(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"unknown key", "stage: preview", "stge: preview", `services.yaml:5: unknown key "stge"; did you mean "stage"?`},
		{"unknown key of a scenario", "scope: tenant", "scope: tenant, colour: red", `services.yaml:8: unknown key "colour"`},
		{"unknown key at the top", "version:", "vresion:", `services.yaml:1: unknown key "vresion"; did you mean "version"?`},
		{"key twice", "    name: B\n", "    name: B\n    name: C\n", `services.yaml:5: key "name" is given twice`},
		{"type twice", "type: old/b", "type: a/b", `services.yaml:9: type a/b is given twice, first in line 3`},
		{"scenario twice", "scope: tenant}\n",
			"scope: tenant}\n      - {id: look, name: Look, customer_data: true, elevated: false, scope: tenant}\n",
			`services.yaml:9: scenario look is given twice`},
		{"customer_data forgotten", "customer_data: true, ", "", `services.yaml:8: key "customer_data" is missing`},
		{"customer_data as a word", "customer_data: true", "customer_data: yes", `services.yaml:8: want true or false`},
		{"elevated empty", "elevated: false", "elevated: ", `services.yaml:8: want true or false`},
		{"unknown stage", "stage: preview", "stage: beta", `services.yaml:5: want one of`},
		{"unknown scope", "scope: tenant", "scope: world", `services.yaml:8: want one of`},
		{"type with a wildcard", "type: a/b", "type: a/*", `services.yaml:3: `},
		{"type in capitals", "type: a/b", "type: A/b", `services.yaml:3: want a type`},
		{"bidi in a name", "name: B", "name: \"B\u202e\"", `services.yaml:4: `},
		{"no scenarios", "    scenarios:\n      - {id: look, name: Look, customer_data: true, elevated: false, scope: tenant}\n", "", `services.yaml:3: key "scenarios" is missing`},
		{"no paths left", "paths: [B.C/d/*, e]", "paths: []", `services.yaml:6: there must be at least one path`},
		{"one path, not a list", "paths: [B.C/d/*, e]", "paths: B.C/d/*", `services.yaml:6: want a list`},
		{"path without a name", "B.C/d/*", "B.C/d", `services.yaml:6: the path pattern "B.C/d" ends without a name; add /*`},
		{"path from the root", "B.C/d/*", "/subscriptions/*/providers/B.C/d/*", `services.yaml:6: the path pattern`},
		{"path of everything", "[B.C/d/*, e]", `["*"]`, `services.yaml:6: the path pattern "*" must begin with`},
		{"path with Cyrillic", "B.C/d/*", "B.С/d/*", `services.yaml:6: the path pattern`},
		{"unsupported with paths", "migration: Move.", "migration: Move.\n    paths: [x]",
			`services.yaml:9: old/b is unsupported and so has no paths`},
		{"changes as a word", "elevated: false", "elevated: false, changes: often", `services.yaml:8: want true or false`},
		{"elevated and changes", "elevated: false", "elevated: true, changes: true",
			`services.yaml:8: scenario look is elevated, which includes changes`},
		{"empty scenarios",
			"scenarios:\n      - {id: look, name: Look, customer_data: true, elevated: false, scope: tenant}\n",
			"scenarios: []\n", `services.yaml:7: there must be at least one scenario`},
		{"unsupported without advice", "    migration: Move.\n", "",
			`services.yaml:9: old/b is unsupported and must say how to migrate`},
		{"unsupported with scenarios", "migration: Move.", "migration: Move.\n    scenarios: []",
			`services.yaml:9: old/b is unsupported and so has no scenarios`},
		{"supported with advice", "stage: preview", "stage: preview\n    migration: Move.",
			`services.yaml:3: a/b is supported`},
		{"replacement that does not exist", "replacement: a/b", "replacement: a/c",
			`services.yaml:9: replacement a/c is not a supported type`},
		{"replacement that is unsupported", "replacement: a/b", "replacement: old/b",
			`services.yaml:9: replacement old/b is not a supported type`},
		{"version as a number", `version: "1"`, "version: 1", `services.yaml:1: want a text`},
		{"version of another form", `version: "1"`, `version: "1 + x"`, `services.yaml:1: want a version`},
		{"two documents", "version:", "a: b\n---\nversion:", `more than one document`},
		{"alias", "name: Old B", "name: &x Old\n    reference: *x",
			`services.yaml:11: want a text (in quotes if it looks like something else), got an alias`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed := strings.Replace(small, tt.old, tt.new, 1)
			if changed == small {
				t.Fatal("the change changes nothing")
			}
			_, err := catalogue.Parse([]byte(changed))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	for _, empty := range []string{"", "# nothing\n", "version: \"1\"\nservices: []\n"} {
		if _, err := catalogue.Parse([]byte(empty)); err == nil || !strings.Contains(err.Error(), "empty") {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := catalogue.Parse(data)
		if err != nil {
			return
		}
		for _, s := range c.Services() {
			for _, sc := range s.Scenarios {
				if _, _, err := c.Lookup(s.Type, sc.ID); err != nil {
					t.Errorf("%s %s: %v", s.Type, sc.ID, err)
				}
			}
		}
	})
}
