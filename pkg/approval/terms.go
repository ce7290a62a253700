package approval

import (
	"slices"
	"time"
)

// Terms are what the events of a request say about a decision. Package terms reads them from the stored bytes.
type Terms struct {
	Tenant, Request, Subscription string
	ResourceType, Scenario        string
	Engineer                      Account
	// Events are those of the request, by version.
	Events []Event
	// Resources are those asked for, Seconds is for how long at most.
	Resources []string
	Seconds   uint64
	// AnswerBy is the deadline; empty if nobody was asked.
	AnswerBy string
	// Approvals is how many different people have to approve, Approvers are who was asked.
	Approvals uint64
	Approvers []Account
}

// idle are the types of events that change none of the terms, and may come between what was signed and its place.
var idle = []string{"ApprovalReminderDue", "CustomerApproved", "InternalReminderDue"}

// Within refuses a decision that is not about exactly these terms or allows more than was asked for, and an approval
// that was signed before something happened that its reader should have seen. version is that of the request's event
// that holds it, or will.
func (d Decision) Within(t Terms, version uint64) error {
	for _, pair := range [...]struct{ field, signed, is string }{
		{"tenant", d.Tenant, t.Tenant}, {"request", d.Request, t.Request}, {"subscription", d.Subscription, t.Subscription},
		{"resourceType", d.ResourceType, t.ResourceType}, {"scenario", d.Scenario, t.Scenario},
		{"engineer.issuer", d.Engineer.Issuer, t.Engineer.Issuer},
		{"engineer.subject", d.Engineer.Subject, t.Engineer.Subject},
	} {
		if pair.signed != pair.is {
			return refuse(pair.field, RuleOther, "signed for %q, not for %q", pair.signed, pair.is)
		}
	}
	if err := d.seen(t.Events, version); err != nil {
		return err
	}
	if d.Decision == Revoke {
		return nil
	}
	switch {
	case d.AnswerBy != t.AnswerBy:
		return refuse("answerBy", RuleOther, "signed for %q, not for %q", d.AnswerBy, t.AnswerBy)
	case d.Approvals != t.Approvals:
		return refuse("approvals", RuleOther, "signed as one of %d, not of %d", d.Approvals, t.Approvals)
	case !slices.Contains(t.Approvers, d.By):
		return refuse("by", RuleOther, "is not among those who were asked")
	case d.Seconds > t.Seconds:
		return refuse("seconds", RuleOther, "%d are more than the %d asked for", d.Seconds, t.Seconds)
	}
	for _, r := range d.Resources {
		if !slices.Contains(t.Resources, r) {
			return refuse("resources", RuleOther, "%q was not asked for", r)
		}
	}
	return nil
}

// seen refuses events that are not those stored, and an approval that missed one. To deny and to revoke is never too
// early.
func (d Decision) seen(stored []Event, version uint64) error {
	last := d.Events[len(d.Events)-1].Version
	for _, e := range d.Events {
		if !slices.Contains(stored, e) {
			return refuse("events", RuleOther, "version %d is not what was signed", e.Version)
		}
	}
	if last >= version {
		return refuse("events", RuleOther, "version %d is later than the decision", last)
	}
	for _, e := range stored {
		if d.Decision == Approve && e.Version > last && e.Version < version && !slices.Contains(idle, e.Type) {
			return refuse("events", RuleOther, "version %d, %s, came after what was signed", e.Version, e.Type)
		}
	}
	return nil
}

// Deadline is AnswerBy as a time; zero for a revocation.
func (d Decision) Deadline() time.Time {
	t, err := parseTime("answerBy", d.AnswerBy)
	if err != nil {
		return time.Time{}
	}
	return t
}
