package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/policy"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// hurry is an emergency of somebody who may.
func hurry(change func(*policy.Facts)) policy.Facts {
	return facts(func(f *policy.Facts) {
		f.Intent.Emergency = true
		f.By.Groups = append(f.By.Groups, aggregate.EmergencyResponders)
		change(f)
	})
}

func groups(v *lockboxv1.AccessEvaluated) []string {
	var list []string
	for _, s := range v.GetInternalStages() {
		list = append(list, s.GetGroup())
	}
	return list
}

func TestR43AnEmergencyNeedsItsOwnPermission(t *testing.T) {
	v := policy.Evaluate(hurry(func(f *policy.Facts) { f.By.Groups = []string{aggregate.SupportEngineers} }), rules,
		catalogue.Default(), terms, now)
	if r := v.GetRefusal(); r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN || r.GetRule() != "R43" ||
		v.GetWaiver() != 0 || len(v.GetInternalStages()) > 0 {
		t.Errorf("%v", v)
	}
	// And nothing else is spared: the permission is no means of authentication, and makes nobody an engineer.
	for _, change := range []func(*policy.Facts){
		func(f *policy.Facts) { f.By.MultiFactor = false },
		func(f *policy.Facts) { f.By.Groups = []string{aggregate.EmergencyResponders} },
	} {
		if v := policy.Evaluate(hurry(change), rules, catalogue.Default(), terms, now); v.GetRefusal().GetRule() != "R13" {
			t.Errorf("%v", v)
		}
	}
}

func TestR43AlwaysASecurityOfficerAndAShortGrant(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*policy.Facts)
		waiver lockboxv1.Waiver
		groups []string
	}{
		"customer data": {func(*policy.Facts) {}, lockboxv1.Waiver_WAIVER_EMERGENCY,
			[]string{aggregate.SecurityOfficers}},
		"elevated besides": {func(f *policy.Facts) { f.Intent.Scenario = "managed-disk" },
			lockboxv1.Waiver_WAIVER_EMERGENCY, []string{aggregate.DevOpsManagers, aggregate.SecurityOfficers}},
		"no customer data": {func(f *policy.Facts) { f.Intent.Scenario = "platform-health" },
			lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA, []string{aggregate.SecurityOfficers}},
		"Lockbox not enabled": {func(f *policy.Facts) { f.Tenant.Enabled = false },
			lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED, []string{aggregate.SecurityOfficers}},
	} {
		t.Run(name, func(t *testing.T) {
			v := policy.Evaluate(hurry(c.change), rules, catalogue.Default(), terms, now)
			if v.GetWaiver() != c.waiver || !slices.Equal(groups(v), c.groups) || !v.GetFacts().GetEmergency() ||
				v.GetDuration().AsDuration() != time.Hour {
				t.Errorf("%v", v)
			}
			if !v.GetInternalExpiresAt().AsTime().Equal(now.Add(time.Duration(len(c.groups))*terms.InternalApproval)) ||
				len(v.GetInternalRemindBefore()) == 0 {
				t.Errorf("until %v, reminded %v before", v.GetInternalExpiresAt().AsTime(), v.GetInternalRemindBefore())
			}
		})
	}
	less := hurry(func(f *policy.Facts) { f.Intent.Duration = durationpb.New(time.Minute) })
	if d := policy.Evaluate(less, rules, catalogue.Default(), terms, now).GetDuration().AsDuration(); d != time.Minute {
		t.Errorf("a minute was asked for, and is %v", d)
	}
}
