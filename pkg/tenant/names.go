package tenant

import (
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// PlanName returns the display name of a support plan.
func PlanName(p lockboxv1.SupportPlan) string { return displayName(p.String(), "SUPPORT_PLAN_") }

// PlanSuffices reports whether Lockbox can be enabled with a support plan (R1).
func PlanSuffices(p lockboxv1.SupportPlan) bool {
	return p >= lockboxv1.SupportPlan_SUPPORT_PLAN_DEVELOPER
}

// RoleName returns the display name of a role.
func RoleName(r lockboxv1.Role) string { return displayName(r.String(), "ROLE_") }

func displayName(enum, prefix string) string {
	words := strings.Split(strings.ToLower(strings.TrimPrefix(enum, prefix)), "_")
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, " ")
}

func language(field, tag string, mayBeEmpty bool) error {
	if tag == "" && mayBeEmpty || slices.Contains(Languages, tag) {
		return nil
	}
	return refusal.OfKind(
		refusal.Invalid(field, "R24", "must be one of %s", strings.Join(Languages, ", ")),
		"language")
}

func timestamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }
