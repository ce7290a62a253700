package resource_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/resource"
	"pgregory.net/rapid"
)

func pattern(t interface{ Fatal(...any) }, text string) resource.Pattern {
	p, err := resource.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhatFitsAPattern(t *testing.T) {
	const root = "/subscriptions/prod"
	for text, row := range map[string]struct{ yes, no []string }{
		"Microsoft.Compute/virtualMachines/*": {
			yes: []string{
				compute + "payments-1", compute + "payments-1/", compute + "payments-1/extensions/agent", compute + "本番データ",
				"/subscriptions/prod/providers/Microsoft.Compute/virtualMachines/payments-1",
				"/SUBSCRIPTIONS/PROD/RESOURCEGROUPS/PAY/PROVIDERS/MICROSOFT.COMPUTE/VIRTUALMACHINES/PAYMENTS-1",
			},
			no: []string{
				group + "/providers/Microsoft.Storage/storageAccounts/ledger",
				group + "/providers/Microsoft.Compute/disks/payments-1",
				group + "/providers/Microsoft.Compute/virtualMachines", compute, group, root, root + "/",
				group + "/providers/Microsoft.Compute.Evil/virtualMachines/a",
				group + "/virtualMachines/payments-1", root + "/virtualMachines/payments-1",
				// Another provider's resource, through this one.
				compute + "payments-1/providers/Microsoft.Storage/storageAccounts/ledger",
				compute + "payments-1/PROVIDERS/Microsoft.Storage/storageAccounts/ledger",
				compute + "providers/Microsoft.Storage/storageAccounts/ledger",
				"/subscriptions/prod/resourceGroups/providers/providers/Microsoft.Compute/virtualMachines/a",
				"/subscriptions/prod/resourceGroups/a/resourceGroups/b/providers/Microsoft.Compute/virtualMachines/a",
				"/subscriptions/other/resourceGroups/a/providers/Microsoft.Compute/virtualMachines/a",
				"/tenants/prod/providers/Microsoft.Compute/virtualMachines/a", "",
			},
		},
		"Microsoft.Sql/servers/*/databases/*": {
			yes: []string{group + "/providers/Microsoft.Sql/servers/a/databases/b"},
			no: []string{
				group + "/providers/Microsoft.Sql/servers/a", group + "/providers/Microsoft.Sql/servers/a/databases",
				group + "/providers/Microsoft.Sql/servers/databases/b", group + "/providers/Microsoft.Sql/servers/a/b/databases/c",
			},
		},
		"virtualMachines/*": {
			yes: []string{root + "/virtualMachines/a", root + "/virtualmachines/a/disks/b"},
			no: []string{compute + "a", root + "/virtualMachines",
				root + "/virtualMachines/a/providers/Microsoft.Storage/storageAccounts/b"},
		},
		"directory": {
			yes: []string{root + "/directory", root + "/Directory/users"},
			no:  []string{root + "/directory2", root},
		},
		"/": {
			yes: []string{root, root + "/", "/Subscriptions/Prod"},
			no:  []string{root + "/x", compute + "a", "/subscriptions/prod2"},
		},
	} {
		p := pattern(t, text)
		for _, id := range row.yes {
			if !p.Fits(root, id) {
				t.Errorf("%s does not fit %s", id, p)
			}
		}
		for _, id := range row.no {
			if p.Fits(root, id) {
				t.Errorf("%s fits %s", id, p)
			}
		}
	}
}

func TestAPatternIsStrict(t *testing.T) {
	for text, says := range map[string]string{
		"": "begins or ends", "*": "begin with a resource provider", "*/x": "begin with a resource provider",
		"/directory": "begins or ends", "directory/": "begins or ends", "a//b": "the segment",
		"Microsoft.Compute": "without a name", "Microsoft.Compute/virtualMachines": "add /*",
		"Microsoft.Compute/virtualMachines/*/extensions": "without a name", "Microsoft.Compute/*": "types and names",
		"Microsoft.Compute/*/*": "types and names", "Microsoft-X.Compute/a/*": "no resource provider",
		"Microsoft.Compute/virtualMachines/**": "the segment", "Microsoft.Compute/virtual machines/*": "the segment",
		"Microsoft.Compute/virtualMachines/..": "the segment", "Microsoft.Compute/virtualMachines/{name}": "the segment",
		"providers/Microsoft.Compute/virtualMachines/*": "begin with a resource provider",
		"/subscriptions/*":  "begins or ends",
		"subscriptions/*/x": "begin with a resource provider",
		"resourceGroups/*/providers/Microsoft.Compute/vm": "begin with a resource provider",
		"Microsoft.Compute/vm/*/providers/x":              "begin with a resource provider",
		"Microsoft.Cоmpute/virtualMachines/*":             "the segment", // a Cyrillic o
	} {
		if p, err := resource.ParsePattern(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, %v, want %s", text, p, err, says)
		}
	}
}

var patterns = []string{"Microsoft.Compute/virtualMachines/*", "Microsoft.Sql/servers/*/databases/*",
	"Microsoft.Storage/storageAccounts/*/blobServices/default", "virtualMachines/*", "directory", "/"}

func TestEveryPatternHasAnExample(t *testing.T) {
	for _, text := range patterns {
		for _, root := range []string{resource.Root("contoso", "prod"), resource.Root("contoso", "")} {
			id := pattern(t, text).Example(root)
			err := resource.Check("x", id)
			if err != nil || !pattern(t, text).Fits(root, id) || pattern(t, text).String() != text {
				t.Errorf("%s: %s, %v", text, id, err)
			}
		}
	}
}

func TestAPatternKeepsToItsProvider(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pattern(t, rapid.SampledFrom(patterns).Draw(t, "pattern"))
		root := resource.Root("contoso", "prod")
		id := anyID().Draw(t, "id")
		if rapid.Bool().Draw(t, "below an example") {
			id = p.Example(root) + id
		}
		if p.Fits(root, id) != p.Fits(root, otherCase(t, id)) {
			t.Fatalf("%s: case matters for %q", p, id)
		}
		if !p.Fits(root, id) {
			return
		}
		if allowed := strings.Count(p.Example(root), "/providers/"); !resource.Within(root, id) ||
			strings.Count(strings.ToLower(id)+"/", "/providers/") != allowed {
			t.Fatalf("%q fits %s", id, p)
		}
	})
}

func FuzzParsePattern(f *testing.F) {
	for _, text := range patterns {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := resource.ParsePattern(text)
		if err != nil {
			return
		}
		root := resource.Root("contoso", "prod")
		if id := p.Example(root); !p.Fits(root, id) || resource.Check("x", id) != nil && len(id) <= resource.MaxLength {
			t.Errorf("%s: %s", p, id)
		}
	})
}
