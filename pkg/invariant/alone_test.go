package invariant_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/invariant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestEachInvariantIsAFunctionOfItsOwn(t *testing.T) {
	for name, f := range map[string]forgery{
		"I1": {told(), "InternalApprovalGiven", func(e *lockboxv1.Event) { e.GetInternalApprovalGiven().Stage = 1 }, nil,
			""},
		"I2": {told(), "CustomerApproved", nil,
			&lockboxv1.Event{Time: timestamppb.New(start.Add(3 * time.Hour)), Actor: eve,
				Fact: &lockboxv1.Event_RequestWithdrawn{}}, ""},
		"I3": {told(), "AccessCompleted", func(e *lockboxv1.Event) { e.Time = timestamppb.New(start) }, nil, ""},
		"I4": {told(), "AccessGranted", func(e *lockboxv1.Event) { e.GetAccessGranted().StartsAt = timestamppb.New(start) },
			nil, ""},
		"I9":  {told(), "CustomerApproved", func(e *lockboxv1.Event) { e.Version++ }, nil, ""},
		"I10": {told(), "InternalApprovalGiven", func(e *lockboxv1.Event) { e.Actor = otto }, nil, ""},
		"I13": {told(), "OwnershipRecorded",
			func(e *lockboxv1.Event) { e.GetOwnershipRecorded().Owner.Tenant = "fabrikam" }, nil, ""},
	} {
		check := map[string]func([]invariant.Recorded) []invariant.Violation{
			"I1": invariant.GrantHasOneBasis, "I2": invariant.OneDecision, "I3": invariant.NothingPastDeadline,
			"I4": invariant.GrantWithinPolicy, "I9": invariant.OneTenant, "I10": invariant.NobodyForThemselves,
			"I13": invariant.EachHasOneOwner,
		}[name]
		broken := check(f.forged(t))
		if len(broken) == 0 || slices.ContainsFunc(broken, func(v invariant.Violation) bool { return v.Invariant != name }) {
			t.Errorf("%s finds %v", name, broken)
		}
		if honest := check(told()); len(honest) > 0 {
			t.Errorf("%s finds %v in an honest story", name, honest)
		}
	}
	unread := forgery{told(), "AccessGranted", func(e *lockboxv1.Event) { e.GetAccessGranted().TenantSequence = 0 }, nil,
		""}
	if broken := invariant.BasisHeld(unread.forged(t)); len(broken) == 0 || broken[0].String() == "" {
		t.Error("a grant that rests on nothing passes")
	}
}
