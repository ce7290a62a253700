package activity

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// quoted is how much of somebody's own words a sentence repeats, in runes; named is how many people it names.
	quoted = 160
	named  = 5
)

func actor(a *lockboxv1.Actor) string {
	if a.GetPerson() == nil {
		return "Lockbox"
	}
	if a.GetEmployer() != "" {
		return person(a.GetPerson()) + " (" + a.GetEmployer() + ")"
	}
	return person(a.GetPerson())
}

func person(p *lockboxv1.Person) string {
	for _, s := range []string{p.GetDisplayName(), p.GetEmail(), p.GetSubject()} {
		if s != "" {
			return s
		}
	}
	return "somebody"
}

func engineer(p *lockboxv1.Person, team string) string {
	switch {
	case p == nil:
		return "the team " + team
	case team == "":
		return person(p)
	}
	return person(p) + " of " + team
}

// because ends a sentence with the reason given, if there was one.
func because(reason string) string {
	if strings.TrimSpace(reason) == "" {
		return "."
	}
	return ": " + quote(reason) + "."
}

// quote repeats the beginning of somebody's words on one line.
func quote(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > quoted {
		s = strings.TrimSpace(string(r[:quoted])) + "…"
	}
	return "“" + s + "”"
}

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "s"):
		what += "e"
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func span(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return count(int(d/time.Hour), "hour")
	case d >= time.Minute && d%time.Minute == 0:
		return count(int(d/time.Minute), "minute")
	}
	return d.String()
}

func moment(t *timestamppb.Timestamp) string {
	return t.AsTime().UTC().Format("2006-01-02 15:04:05 UTC")
}

func names(approvers []*lockboxv1.Approver) string {
	list := make([]string, 0, named)
	for _, a := range approvers[:min(named, len(approvers))] {
		list = append(list, person(a.GetPerson()))
	}
	if more := len(approvers) - len(list); more > 0 {
		list = append(list, count(more, "other"))
	}
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

func evaluation(f *lockboxv1.AccessEvaluated) string {
	after := ""
	if stages := f.GetInternalStages(); len(stages) > 0 {
		groups := make([]string, len(stages))
		for i, s := range stages {
			groups[i] = s.GetGroup()
		}
		after = ", after internal approval by " + strings.Join(groups, ", then ")
	}
	switch f.GetOutcome() {
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED:
		return "Evaluation refused the intent" + because(f.GetRefusal().GetMessage())
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES:
		return "Evaluation found that the customer decides" + after + "."
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED:
		return "Evaluation found that the customer is not asked, because " + waiver(f.GetWaiver()) + after + "."
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_UNSPECIFIED:
	}
	return "The intent was evaluated."
}

func waiver(w lockboxv1.Waiver) string {
	switch w {
	case lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA:
		return "the operation reaches no customer data"
	case lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP:
		return "the tenant has not signed up for the preview of this service"
	case lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED:
		return "the tenant has not switched Lockbox on"
	case lockboxv1.Waiver_WAIVER_EMERGENCY:
		return "an emergency could not wait"
	case lockboxv1.Waiver_WAIVER_UNSPECIFIED:
	}
	return "of a reason that this version does not know"
}

func notified(f *lockboxv1.CustomerNotified) string {
	until := " until " + moment(f.GetExpiresAt())
	who := names(f.GetApprovers())
	switch {
	case f.GetBasis() == lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY:
		return "The customer was notified, but nobody was found who may decide; the request waits" + until + "."
	case who == "":
		return "The customer was notified and can decide" + until + "."
	case f.GetRequiredApprovals() > 1:
		return fmt.Sprintf("The customer was notified: %s can decide%s, and %d of them must agree.", who, until, f.GetRequiredApprovals())
	}
	return fmt.Sprintf("The customer was notified: %s can decide%s.", who, until)
}

// where names the tenant or subscription whose roles changed.
func where(e *lockboxv1.Event) string {
	if e.GetKind() == "subscription" {
		return "subscription " + e.GetAggregateId()
	}
	return "the tenant"
}

func assigned(who string, e *lockboxv1.Event, a *lockboxv1.RoleAssignment) string {
	as := ""
	if a.GetEligibleOnly() {
		as = "eligible as "
	}
	how := ""
	if a.GetScope() == lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP {
		how = ", inherited from a management group, which does not count"
	}
	if a.GetExpiresAt() != nil {
		how += ", until " + moment(a.GetExpiresAt())
	}
	return fmt.Sprintf("%s made %s %s%s of %s%s.", who, person(a.GetPerson()), as, tenant.RoleName(a.GetRole()), where(e), how)
}
