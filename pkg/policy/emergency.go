package policy

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/event"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// mayHurry refuses an emergency from whoever has no permission of their own for it (R43). No rule can give it.
func mayHurry(f Facts) error {
	if f.Intent.GetEmergency() && !event.Provider(f.By, event.EmergencyResponders) {
		return refusal.Forbidden("token", "R43", "emergency access is for the group %s", event.EmergencyResponders)
	}
	return nil
}

// hurry demands a security officer's approval of every emergency, whatever the rules demand besides (R43).
func hurry(v *lockboxv1.AccessEvaluated, terms request.Terms, now time.Time) {
	if !v.GetFacts().GetEmergency() {
		return
	}
	officers := func(s *lockboxv1.InternalStage) bool {
		return s.GetGroup() == event.SecurityOfficers && s.GetCount() > 0
	}
	if !slices.ContainsFunc(v.GetInternalStages(), officers) {
		v.InternalStages = append(v.InternalStages, &lockboxv1.InternalStage{Group: event.SecurityOfficers, Count: 1})
	}
	if v.GetInternalExpiresAt() == nil {
		v.InternalExpiresAt, v.InternalRemindBefore = timestamppb.New(now.Add(terms.InternalApproval)), terms.InternalReminders()
	}
	v.Reasons = append(v.Reasons, "An emergency needs a security officer's approval first, and gives short access (R43).")
}
