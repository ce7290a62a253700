package request

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// longestID is the longest id of a resource that any version has accepted, or will; see malformed.
const longestID = 1024

// malformed returns the rule that a stored intent breaks, or "". It holds what CheckIntent has always refused and what
// does not depend on the provider's terms, so that whoever holds the evaluator's key cannot store an intent that the
// evaluator would have refused. Whatever a version has ever accepted folds for good: a rule of CheckIntent that is
// added or tightened later does not belong here, and one that is loosened is loosened here first.
func malformed(in *lockboxv1.AccessIntent) (broken string) {
	switch d := in.GetDuration(); {
	case input.UUIDv7("", in.GetId()) != nil || input.Tenant("", in.GetTenant()) != nil:
		return "an intent's id is a UUID of version 7, and its tenant's id that of a tenant"
	case !holds(in.GetResourceType(), 1, 120) || !holds(in.GetScenario(), 1, 120) ||
		!erasable.Gone(in.GetJustification()) && !holds(in.GetJustification(), 10, 4000) ||
		!holds(in.GetTraceParent(), 0, 128):
		return "an intent says what for and why, at no more than its length"
	case in.GetDryRun(), in.GetSignedBy() != "", len(in.GetSignature()) > 0, len(in.GetSigned()) > 0:
		return "an intent is recorded as it counts, without what is sent beside it (R62)"
	case checkReason(in) != nil:
		return "an intent has one of the reason types, and names the ticket of a customer that asked for support (R4)"
	case in.GetEmergency() && !mayBeUrgent(in.GetReasonType()):
		return "an emergency is a response to a production alert, or service that the provider initiates (R43)"
	case in.GetSubscriptionId() != "" && input.Token("", in.GetSubscriptionId()) != nil:
		return "a subscription has an id (R18)"
	case len(in.GetResourceIds()) < 1 || len(in.GetResourceIds()) > maxResources:
		return "an intent names 1 to 50 resources (R18)"
	case d != nil && (!d.IsValid() || d.AsDuration() < time.Second):
		return "access is asked for for a second at least (R27)"
	}
	for i, id := range in.GetResourceIds() {
		if !holds(id, 1, longestID) || !below(resource.Root(in.GetTenant(), in.GetSubscriptionId()), id) ||
			slices.Contains(in.GetResourceIds()[:i], id) {
			return "resources are paths below the intent's subscription or tenant, each named once (R18)"
		}
	}
	return ""
}

// holds reports whether a text has so many characters, blanks at its ends not counted for the least.
func holds(s string, least, most int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most &&
		prose.Length(strings.TrimSpace(s)) >= least
}

// below reports whether an id is a root, or a path below it; letter case and a slash at the end do not matter.
func below(root, id string) bool {
	return resource.Within(root, id) && !slices.ContainsFunc(strings.Split(strings.Trim(id, "/"), "/"),
		func(part string) bool { return part == "" || part == "." || part == ".." })
}

// mayBeUrgent reports whether an emergency may have a reason of this type (R43).
func mayBeUrgent(r lockboxv1.ReasonType) bool {
	return r == lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT ||
		r == lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE
}
