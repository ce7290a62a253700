package policy

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Verdict summarises an evaluation: whether the intent is refused, who decides, and which internal approvals come
// first. Two evaluations with the same verdict decide the same, whatever their reasons (R16).
func Verdict(v *lockboxv1.AccessEvaluated) string {
	var says string
	switch v.GetOutcome() {
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES:
		says = "the customer decides"
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED:
		says = "access without asking the customer: " +
			strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(v.GetWaiver().String(), "WAIVER_"), "_", " "))
	default:
		return "refused"
	}
	if stages := stageNames(v.GetInternalStages()); len(stages) > 0 {
		says += ", after " + strings.Join(stages, ", then ")
	}
	return says
}
