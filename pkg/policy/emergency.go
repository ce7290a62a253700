package policy

import (
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// mayHurry refuses emergencies from engineers without the separate permission for them (R43). No rule can grant it.
func (s subject) mayHurry() error {
	if s.intent.GetEmergency() && !aggregate.Provider(s.by, aggregate.EmergencyResponders) {
		return refusal.Because(
			refusal.Forbidden("token", "R43", "emergency access is for the group %s", aggregate.EmergencyResponders),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_NOT_AN_EMERGENCY_RESPONDER, "group", aggregate.EmergencyResponders))
	}
	return nil
}

// hurry requires a security officer's approval of every emergency, in addition to what the rules require (R43).
func (s subject) hurry(v *lockboxv1.AccessEvaluated, stages []*lockboxv1.InternalStage) []*lockboxv1.InternalStage {
	if !s.intent.GetEmergency() {
		return stages
	}
	explain(v, "An emergency needs a security officer's approval first, and gives short access.", // R43
		reason.Of(lockboxv1.ReasonCode_REASON_CODE_EMERGENCY_NEEDS_SECURITY_OFFICER))
	officers := func(s *lockboxv1.InternalStage) bool {
		return s.GetGroup() == aggregate.SecurityOfficers && s.GetCount() > 0
	}
	if slices.ContainsFunc(stages, officers) {
		return stages
	}
	return append(slices.Clip(stages), &lockboxv1.InternalStage{Group: aggregate.SecurityOfficers, Count: 1})
}
