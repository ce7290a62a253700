package invariant

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// request is one request's events, oldest first.
type request struct {
	of     aggregate.Key
	events []Recorded
}

func (q request) intent() *lockboxv1.AccessIntent {
	return first(q, (*lockboxv1.Event).GetAccessRequested).GetIntent()
}

// requester is nil before the first event.
func (q request) requester() *lockboxv1.Person {
	if len(q.events) == 0 {
		return nil
	}
	return q.events[0].Event.GetActor().GetPerson()
}

func (q request) tenant() aggregate.Key { return aggregate.Tenant(q.of.Tenant) }

// names reports whether a grant names the type and scenario that were asked for, and the mode of the facts that were
// weighed. Earlier versions named none of them.
func (q request) names(g *lockboxv1.AccessGranted) bool {
	if g.GetResourceType() == "" && g.GetScenario() == "" && g.GetMode() == 0 {
		return true
	}
	mode, f := lockboxv1.AccessMode_ACCESS_MODE_READ, q.evaluation().GetFacts()
	if f.GetChanges() {
		mode = lockboxv1.AccessMode_ACCESS_MODE_CHANGE
	}
	if f.GetElevated() {
		mode = lockboxv1.AccessMode_ACCESS_MODE_ELEVATED
	}
	return g.GetResourceType() == q.intent().GetResourceType() && g.GetScenario() == q.intent().GetScenario() &&
		g.GetMode() == mode
}

// before returns the request as it was before event i.
func (q request) before(i int) request { return request{q.of, q.events[:i]} }

// evaluation and notified are nil if there is none yet.
func (q request) evaluation() *lockboxv1.AccessEvaluated {
	return first(q, (*lockboxv1.Event).GetAccessEvaluated)
}

func (q request) notified() *lockboxv1.CustomerNotified {
	return first(q, (*lockboxv1.Event).GetCustomerNotified)
}

func first[F comparable](q request, fact func(*lockboxv1.Event) F) F {
	var none F
	for _, r := range q.events {
		if f := fact(r.Event); f != none {
			return f
		}
	}
	return none
}

// approvals returns the approvals by different humans among the frozen approvers that came in time (R20, R26, R30,
// R51).
func (q request) approvals() []Recorded {
	n := q.notified()
	var valid []Recorded
	for _, r := range q.events {
		p := r.Event.GetActor().GetPerson()
		if r.Event.GetCustomerApproved() != nil && isFrozen(n, p) && instant(r).Before(n.GetExpiresAt().AsTime()) &&
			!slices.ContainsFunc(valid, func(v Recorded) bool { return oneHuman(v.Event.GetActor().GetPerson(), p) }) {
			valid = append(valid, r)
		}
	}
	return valid
}

// quorum reports whether enough people approved.
func (q request) quorum() bool {
	return q.notified() != nil && len(q.approvals()) >= int(max(1, q.notified().GetRequiredApprovals()))
}

// cleared reports whether every required internal approval was given, by different humans of the right groups (R15,
// R51).
func (q request) cleared() bool {
	var missing []int
	stages := q.evaluation().GetInternalStages()
	for _, stage := range stages {
		missing = append(missing, int(stage.GetCount()))
	}
	var gave []*lockboxv1.Person
	for _, r := range q.events {
		by, stage := r.Event.GetActor(), int(r.Event.GetInternalApprovalGiven().GetStage())
		if r.Event.GetInternalApprovalGiven() != nil && stage < len(stages) &&
			by.GetSide() == lockboxv1.Side_SIDE_PROVIDER && // a customer may call a group of theirs the same (R67)
			slices.Contains(by.GetGroups(), stages[stage].GetGroup()) &&
			!slices.ContainsFunc(gave, func(p *lockboxv1.Person) bool { return oneHuman(p, by.GetPerson()) }) {
			missing[stage]--
			gave = append(gave, by.GetPerson())
		}
	}
	return !slices.ContainsFunc(missing, func(n int) bool { return n > 0 })
}

// answerBy returns the deadline of the internal stage that is waiting after event i (R15): its own time runs from the
// event that started it, and no stage outlasts the common deadline.
func (q request) answerBy(i int) time.Time {
	v := q.evaluation()
	end := v.GetInternalExpiresAt().AsTime()
	var since time.Time
	waiting, missing := -1, 0
	for _, r := range q.events[:min(i+1, len(q.events))] {
		if r.Event.GetAccessEvaluated() == nil && r.Event.GetInternalApprovalGiven() == nil {
			continue
		}
		if r.Event.GetInternalApprovalGiven() != nil {
			missing--
		}
		for missing <= 0 && waiting+1 < len(v.GetInternalStages()) {
			waiting++
			missing, since = int(v.GetInternalStages()[waiting].GetCount()), instant(r)
		}
	}
	if waiting < 0 {
		return end
	}
	if own := v.GetInternalStages()[waiting].GetAnswerWithin(); own != nil && since.Add(own.AsDuration()).Before(end) {
		return since.Add(own.AsDuration())
	}
	return end
}

func frozen(n *lockboxv1.CustomerNotified, p *lockboxv1.Person) *lockboxv1.Approver {
	for _, a := range n.GetApprovers() {
		if same(a.GetPerson(), p) {
			return a
		}
	}
	return nil
}

func isFrozen(n *lockboxv1.CustomerNotified, p *lockboxv1.Person) bool { return frozen(n, p) != nil }

func instant(r Recorded) time.Time { return r.Event.GetTime().AsTime() }

// grantHasOneBasis is I1 as far as the request's own events show it: either enough frozen approvers approved in time,
// or there is one recorded waiver.
func grantHasOneBasis(_ *book, of aggregate.Key, events []Recorded, broken say) {
	for i, r := range events {
		g := r.Event.GetAccessGranted()
		if g == nil {
			continue
		}
		q := request{of, events}.before(i)
		v := q.evaluation()
		if !q.cleared() {
			broken("I1", r, "an internal approval that was demanded is missing")
		}
		switch waived := v.GetOutcome() == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED; {
		case v.GetWaiver() != g.GetWaiver() || waived != (g.GetWaiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED):
			broken("I1", r, "the grant's basis %s is not what was evaluated, %s", g.GetWaiver(), v.GetWaiver())
		case waived && q.notified() != nil:
			broken("I1", r, "the customer was asked and waived at once")
		case waived && !q.agrees(g.GetWaiver(), v.GetFacts()):
			broken("I1", r, "the facts that were weighed are against %s", g.GetWaiver())
		case !waived && !q.quorum():
			q.unapproved(r, broken)
		}
	}
}

func (q request) unapproved(grant Recorded, broken say) {
	broken("I1", grant, "%d of the frozen approvers agreed in time; %d had to", len(q.approvals()),
		max(1, q.notified().GetRequiredApprovals()))
}

// agrees reports whether the evaluated facts justify the waiver (R2, R3, R8, R43).
func (q request) agrees(w lockboxv1.Waiver, f *lockboxv1.EvaluationFacts) bool {
	return w == lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA && !f.GetCustomerData() ||
		w == lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED && !f.GetLockboxEnabled() ||
		w == lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP && !f.GetPreviewSignedUp() &&
			f.GetStage() == lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW ||
		w == lockboxv1.Waiver_WAIVER_EMERGENCY && f.GetEmergency() && q.emergency()
}

// emergency reports whether an emergency responder submitted the request as an emergency and another person, a security
// officer, approved it (R43).
func (q request) emergency() bool {
	submitted := q.events[0].Event.GetActor()
	return q.intent().GetEmergency() && submitted.GetSide() == lockboxv1.Side_SIDE_PROVIDER &&
		slices.Contains(submitted.GetGroups(), "emergency-responders") &&
		slices.ContainsFunc(q.events, func(r Recorded) bool {
			by := r.Event.GetActor()
			return r.Event.GetInternalApprovalGiven() != nil && by.GetSide() == lockboxv1.Side_SIDE_PROVIDER &&
				slices.Contains(by.GetGroups(), "security-officers") && !oneHuman(by.GetPerson(), submitted.GetPerson())
		})
}

// basisHeld is I1 against the tenant and subscription at the sequences that each event recorded: everyone who was
// asked, decided or was counted held a role (R18-R22), the basis of a waiver was true (R2, R8), and everyone who
// decided, or changed who is asked, had signed in as recently as the tenant required (R25).
func basisHeld(b *book, of aggregate.Key, events []Recorded, broken say) {
	if of.Kind == aggregate.KindTenant {
		administeredFreshly(events, broken)
	}
	for i := range events {
		b.rests(of, events, i, broken)
	}
}

// rests checks what event i rests on.
func (b *book) rests(of aggregate.Key, events []Recorded, i int, broken say) {
	r := events[i]
	on := readingOf(r.Event)
	if on == nil {
		return
	}
	q := request{of, events}.before(i)
	b.readOwn(q, r, on, broken)
	if n := r.Event.GetCustomerNotified(); n != nil {
		b.askedRightly(q, n, r, broken)
	}
	n := q.notified()
	if r.Event.GetCustomerApproved() != nil || r.Event.GetCustomerDenied() != nil {
		if p := r.Event.GetActor().GetPerson(); !b.decides(q, n, on, p, instant(r)) {
			broken("I1", r, "%s held no role to decide by", p.GetSubject())
		}
		_, _, longest := b.tenantAt(of.Tenant, on.GetTenantSequence())
		signedInRecently(r, longest, broken)
	}
	if g := r.Event.GetAccessGranted(); g != nil {
		b.grantedRightly(q, n, g, r, broken)
	}
}

// maxStale is how long before a decision an event may have been stored that the decision did not see: reading, deciding
// and writing take time.
const maxStale = 30 * time.Second

// readOwn checks that the sequences recorded in an event are earlier ones of its own tenant and subscription (I9), and
// were the latest when it was decided: a decision based on older ones could count a role that had been removed. Without
// a registered subscription the sequence is 0: nobody holds a role in it.
func (b *book) readOwn(q request, r Recorded, on reading, broken say) {
	own := func(in aggregate.Key, sequence uint64) {
		if sequence >= r.Sequence || !slices.ContainsFunc(b.about[in],
			func(e Recorded) bool { return e.Sequence == sequence }) {
			broken("I1", r, "rests on sequence %d, which is no earlier event of %s %s", sequence, in.Kind, in.ID)
		}
		missed := slices.IndexFunc(b.about[in],
			func(e Recorded) bool { return e.Sequence > sequence && e.Sequence < r.Sequence })
		if missed >= 0 && instant(r).Sub(instant(b.about[in][missed])) > maxStale {
			broken("I1", r, "does not know of event %d of %s %s, which was there before", b.about[in][missed].Sequence, in.Kind,
				in.ID)
		}
	}
	own(q.tenant(), on.GetTenantSequence())
	if sequence := on.GetSubscriptionSequence(); sequence != 0 {
		own(b.subscription(q, r.Sequence), sequence)
	}
}

func (b *book) grantedRightly(
	q request, n *lockboxv1.CustomerNotified, g *lockboxv1.AccessGranted, r Recorded, broken say,
) {
	enabled, previews, _ := b.tenantAt(q.of.Tenant, g.GetTenantSequence())
	switch g.GetWaiver() {
	case lockboxv1.Waiver_WAIVER_UNSPECIFIED:
		still := 0
		for _, yes := range q.approvals() {
			if b.decides(q, n, g, yes.Event.GetActor().GetPerson(), instant(r)) {
				still++
			}
		}
		if still < int(n.GetRequiredApprovals()) {
			broken("I1", r, "%d of those who approved still held a role when access began; %d had to", still,
				n.GetRequiredApprovals())
		}
	case lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED:
		if enabled {
			broken("I1", r, "Lockbox was on when access began without asking")
		}
	case lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP:
		if previews[q.intent().GetResourceType()] {
			broken("I1", r, "the tenant had signed up for the preview when access began without asking")
		}
	}
}

// decides reports whether a person holds, at a given time and as of a reading, a role that they were frozen with.
func (b *book) decides(q request, n *lockboxv1.CustomerNotified, on reading, p *lockboxv1.Person, at time.Time) bool {
	then := frozen(n, p).GetRoles()
	return slices.ContainsFunc(b.rolesAt(q, n, on, p, at), func(r lockboxv1.Role) bool { return slices.Contains(then, r) })
}
