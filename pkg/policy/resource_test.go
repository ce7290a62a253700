package policy_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/policy"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	group   = "/subscriptions/production/resourceGroups/pay/providers/"
	machine = group + "Microsoft.Compute/virtualMachines/payments-1"
	ledger  = group + "Microsoft.Storage/storageAccounts/ledger"
)

// The scenario of which the customer is not asked is one of machines, so it gives access to machines.
//
// control: nist:AC-6
func TestR49AWaiverReachesOnlyWhatItsScenarioNames(t *testing.T) {
	health := func(ids ...string) policy.Facts {
		return facts(func(f *policy.Facts) { f.Intent.Scenario, f.Intent.ResourceIds = "platform-health", ids })
	}
	c := catalogue.Default()
	for name, row := range map[string]struct {
		ids    []string
		waived bool
	}{
		"the machine":                        {[]string{machine}, true},
		"in other letters":                   {[]string{strings.ToUpper(machine)}, true},
		"something of the machine":           {[]string{machine + "/extensions/agent"}, true},
		"two machines":                       {[]string{machine, strings.Replace(machine, "-1", "-2", 1)}, true},
		"a storage account":                  {[]string{ledger}, false},
		"a storage account beside a machine": {[]string{machine, ledger}, false},
		"a storage account by way of a machine": {[]string{machine + "/providers/Microsoft.Storage/storageAccounts/ledger"},
			false},
		"every machine":           {[]string{group + "Microsoft.Compute/virtualMachines/*"}, false},
		"everything of a group":   {[]string{"/subscriptions/production/resourceGroups/pay/*"}, false},
		"the list of machines":    {[]string{group + "Microsoft.Compute/virtualMachines"}, false},
		"the group":               {[]string{"/subscriptions/production/resourceGroups/pay"}, false},
		"the subscription":        {[]string{"/subscriptions/production"}, false},
		"Cyrillic letters":        {[]string{group + "Microsoft.Compute/virtualMachines/раyments-1"}, false},
		"another subscription":    {[]string{strings.Replace(machine, "production", "ledger", 1)}, false},
		"a machine outside Azure": {[]string{"/subscriptions/production/virtualMachines/payments-1"}, false},
		"another provider's type": {[]string{group + "Evil.Compute/virtualMachines/payments-1"}, false},
		"a way round by two dots": {[]string{machine + "/../../../Microsoft.Storage/storageAccounts/ledger"}, false},
		"a way round that is coded": {[]string{machine + "/%2e%2e/%2e%2e/%2e%2e/Microsoft.Storage/storageAccounts/ledger"},
			false},
	} {
		t.Run(name, func(t *testing.T) {
			f := health(row.ids...)
			v := policy.Evaluate(f, rules, c, terms, now)
			if waived := v.GetWaiver() == lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA; waived != row.waived {
				t.Fatalf("%v", v)
			}
			// When access begins, the catalogue is asked again, and whoever wrote the evaluation is not.
			if again := policy.Resource(f.Intent, c); (again != nil) != row.waived {
				t.Errorf("at the grant: %v", again)
			}
			if row.waived {
				return
			}
			last := row.ids[len(row.ids)-1]
			code := v.GetRefusal().GetCodedReason()
			if v.GetRefusal().GetRule() != "R49" || v.GetRefusal().GetField() != "resource_ids" ||
				code.GetCode() != lockboxv1.ReasonCode_REASON_CODE_RESOURCE_OF_ANOTHER_TYPE ||
				len(code.GetParameters()) != 3 || code.GetParameters()[0].GetValue() != last ||
				code.GetParameters()[2].GetValue() != "Microsoft.Compute/virtualMachines/*" {
				t.Errorf("refused by %v", v.GetRefusal())
			}
		})
	}
}

// A catalogue that was published before there were paths decides as it did.
func TestR49WithoutPathsEverythingIsAsItWas(t *testing.T) {
	old, err := catalogue.Parse([]byte(strings.Replace(tiny, "    paths: [Microsoft.Compute/virtualMachines/*]\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	f := facts(func(f *policy.Facts) { f.Intent.ResourceIds = []string{"/subscriptions/production/anything/*"} })
	v := policy.Evaluate(f, rules, old, terms, now)
	if v.GetOutcome() != lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES ||
		policy.Resource(f.Intent, old) == nil {
		t.Errorf("%v", v)
	}
}

func TestR49AnEvaluationRecordsThatAScenarioChanges(t *testing.T) {
	c, err := catalogue.Parse([]byte(strings.Replace(tiny, "elevated: false", "elevated: false, changes: true", 1)))
	if err != nil {
		t.Fatal(err)
	}
	f := facts(func(f *policy.Facts) { f.Intent.ResourceIds = []string{machine} })
	if v := policy.Evaluate(f, rules, c, terms, now); !v.GetFacts().GetChanges() || v.GetFacts().GetElevated() {
		t.Errorf("%v", v)
	}
	if v := policy.Evaluate(f, rules, catalogue.Default(), terms, now); v.GetFacts().GetChanges() {
		t.Errorf("%v", v)
	}
}
