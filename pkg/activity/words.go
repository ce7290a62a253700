package activity

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue/names"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Sentences that take more than one line of code.

func (l speaker) evaluation(f *lockboxv1.AccessEvaluated) string {
	after := ""
	if stages := f.GetInternalStages(); len(stages) > 0 {
		groups := make([]string, len(stages))
		for i, s := range stages {
			groups[i] = l.group(s.GetGroup())
		}
		after = l.say("after", "Groups", strings.Join(groups, l.say("then")))
	}
	switch f.GetOutcome() {
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED:
		return l.decided("AccessEvaluated/refused", f.GetRefusal().GetCodedReason(), f.GetRefusal().GetMessage())
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES:
		return l.say("AccessEvaluated/decides", "After", after)
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED:
		return l.say("AccessEvaluated/waived", "Waiver", l.waiver(f.GetWaiver()), "After", after)
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_UNSPECIFIED:
	}
	return l.say("AccessEvaluated")
}

// byTicket reports whether an automatic decision was made because a ticket was closed (R61).
func byTicket(why *lockboxv1.Reason) bool {
	return why.GetCode() == lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED
}

// decided returns a sentence on an automatic decision and its reason, translated or as recorded.
func (l speaker) decided(key string, why *lockboxv1.Reason, recorded string, more ...any) string {
	if sentence := reason.Sentence(l.Tag, why); sentence != "" {
		return l.say("sentences", "First", l.say(key, append(more, "Because", "")...), "Second", sentence)
	}
	return l.say(key, append(more, "Because", l.because(recorded))...)
}

func (l speaker) waiver(w lockboxv1.Waiver) string {
	switch w {
	case lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA:
		return l.say("waiver/no-customer-data")
	case lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP:
		return l.say("waiver/preview")
	case lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED:
		return l.say("waiver/not-enabled")
	case lockboxv1.Waiver_WAIVER_EMERGENCY:
		return l.say("waiver/emergency")
	case lockboxv1.Waiver_WAIVER_UNSPECIFIED:
	}
	return l.say("waiver")
}

func (l speaker) notified(f *lockboxv1.CustomerNotified) string {
	s := l.asked(f)
	var out []*lockboxv1.Person
	for _, e := range f.GetExcluded() {
		if e.GetCodedReason().GetCode() == lockboxv1.ReasonCode_REASON_CODE_REQUESTERS_ADDRESS {
			out = append(out, e.GetPerson())
		}
	}
	if len(out) > 0 {
		s += l.say("CustomerNotified/requesters-address", "People", l.names(out))
	}
	for _, sharing := range tenant.SharedAddresses(f.GetApprovers()) {
		s += l.say("CustomerNotified/shared-address", "People", l.names(sharing))
	}
	return s
}

func (l speaker) asked(f *lockboxv1.CustomerNotified) string {
	var approvers []*lockboxv1.Person
	for _, a := range f.GetApprovers() {
		approvers = append(approvers, a.GetPerson())
	}
	until, people := l.at(f.GetExpiresAt()), l.names(approvers)
	switch {
	case f.GetBasis() == lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY:
		return l.say("CustomerNotified/nobody", "Until", until)
	case people == "":
		return l.say("CustomerNotified", "Until", until)
	case f.GetRequiredApprovals() > 1:
		return l.say("CustomerNotified/several", "People", people, "Until", until, "Required",
			strconv.FormatUint(uint64(f.GetRequiredApprovals()), 10))
	}
	return l.say("CustomerNotified/people", "People", people, "Until", until)
}

// operation returns what a resource type and one of its scenarios are called.
func (l speaker) operation(resourceType, scenario string) (service, operation string) {
	service, operation = l.services.Names(resourceType, scenario)
	return names.In(l.Tag, service), names.In(l.Tag, operation)
}

func (l speaker) granted(f *lockboxv1.AccessGranted) string {
	resources, until, what := l.count("resource", len(f.GetResourceIds())), l.at(f.GetEndsAt()), ""
	if f.GetMode() != lockboxv1.AccessMode_ACCESS_MODE_UNSPECIFIED {
		service, scenario := l.operation(f.GetResourceType(), f.GetScenario())
		what = l.say("granted", "Type", service, "Scenario", scenario, "Mode", l.mode(f.GetMode()))
	}
	if f.GetWaiver() == lockboxv1.Waiver_WAIVER_UNSPECIFIED {
		return l.say("AccessGranted", "What", what, "Resources", resources, "Until", until)
	}
	return l.say("AccessGranted/waived", "What", what, "Resources", resources, "Until", until, "Waiver",
		l.waiver(f.GetWaiver()))
}

func (l speaker) mode(m lockboxv1.AccessMode) string {
	switch m {
	case lockboxv1.AccessMode_ACCESS_MODE_READ:
		return l.say("mode/read")
	case lockboxv1.AccessMode_ACCESS_MODE_CHANGE:
		return l.say("mode/change")
	case lockboxv1.AccessMode_ACCESS_MODE_ELEVATED:
		return l.say("mode/elevated")
	}
	return l.say("mode")
}

// where returns the tenant or subscription whose roles changed.
func (l speaker) where(e *lockboxv1.Event) string {
	if e.GetKind() == aggregate.KindSubscription {
		return l.say("subscription", "Id", e.GetAggregateId())
	}
	return l.say("tenant")
}

func (l speaker) assigned(who string, e *lockboxv1.Event, a *lockboxv1.RoleAssignment) string {
	key, inherited, until := "RoleAssigned", "", ""
	if a.GetEligibleOnly() {
		key = "RoleAssigned/eligible"
	}
	if a.GetScope() == lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP {
		inherited = l.say("inherited")
	}
	if a.GetExpiresAt() != nil {
		until = l.say("until", "Time", l.at(a.GetExpiresAt()))
	}
	person := l.person(a.GetPerson())
	if tenant.ToGroup(a) {
		key, person = "RoleAssigned/group", a.GetGroup()
	}
	return l.say(key, "Who", who, "Person", person, "Role", l.role(a.GetRole()), "Where", l.where(e),
		"Inherited", inherited, "Until", until)
}

func (l speaker) difference(k lockboxv1.DifferenceKind) string {
	switch k {
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_GAP:
		return l.say("difference/gap")
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_REGRESSION:
		return l.say("difference/regression")
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHANGED:
		return l.say("difference/changed")
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_UNRECORDED:
		return l.say("difference/unrecorded")
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_MISSING:
		return l.say("difference/missing")
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_TILES:
		return l.say("difference/tiles")
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHECKPOINT:
		return l.say("difference/checkpoint")
	case lockboxv1.DifferenceKind_DIFFERENCE_KIND_UNSPECIFIED, lockboxv1.DifferenceKind_DIFFERENCE_KIND_NOT_AN_EVENT,
		lockboxv1.DifferenceKind_DIFFERENCE_KIND_MAIL_OVERDUE:
	}
	return l.say("difference")
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// owned says something about whose a subscription is.
func (l speaker) owned(key, who string, by *lockboxv1.OwnedSubscription, more ...any) string {
	return l.say(key, append([]any{"Who", who, "Name", by.GetDisplayName(), "Id", by.GetSubscriptionId(),
		"Tenant", by.GetTenant()}, more...)...)
}

// signInChange says what a proposal wants, and by which route.
func (l speaker) signInChange(f *lockboxv1.SignInChangeProposed) string {
	issuer, people := f.GetChange().GetIssuer().GetUrl(), l.say("sign-in/nobody")
	if issuer == "" {
		issuer = l.say("sign-in/same")
	}
	if named := f.GetChange().GetAdministrators(); len(named) > 0 {
		people = l.names(named)
	}
	key := "sign-in/customer"
	switch f.GetRoute() {
	case lockboxv1.SignInRoute_SIGN_IN_ROUTE_CORRECTION:
		key = "sign-in/correction"
	case lockboxv1.SignInRoute_SIGN_IN_ROUTE_RECOVERY:
		key = "sign-in/recovery"
	}
	return l.say(key, "Issuer", issuer, "People", people)
}

// targets says what is to be erased (R63).
func (l speaker) targets(all []*lockboxv1.ErasureTarget) string {
	list := make([]string, 0, named+1)
	for _, t := range all[:min(named, len(all))] {
		switch what := t.GetWhat().(type) {
		case *lockboxv1.ErasureTarget_Person:
			list = append(list, l.say("erase/person", "Subject", what.Person.GetSubject()))
		case *lockboxv1.ErasureTarget_Texts:
			kind := cmp.Or(l.say("erase/"+what.Texts.GetKind()), l.say("erase/other"))
			list = append(list, l.say("erase/texts", "Kind", kind, "Id", what.Texts.GetAggregateId(), "Version",
				what.Texts.GetVersion()))
		default:
			list = append(list, l.say("erase/address"))
		}
	}
	if more := len(all) - len(list); more > 0 {
		list = append(list, l.count("thing", more))
	}
	return l.enumerate(list)
}
