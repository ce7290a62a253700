package invariant

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// MailWithin is how long after an event its mails are reported while all is well: a mail is held for at most ten
// minutes, unless configured otherwise, and what is held behind it for about a minute more.
const MailWithin = 15 * time.Minute

// mailOverdue is after how long a missing report breaks I16 in a stored history, which does not say for how long its
// notifier held mails: an hour at most.
const mailOverdue = time.Hour + MailWithin

// Mail is a mail about an event that is owed to somebody (I16). Mails to the provider's own groups are not among them:
// no event says which addresses a group has.
type Mail struct {
	// Sequence, EventID, Tenant and At are those of the event.
	Sequence uint64
	EventID  string
	Tenant   string
	At       time.Time
	// Template is what the mail says.
	Template string
	// Recipient is an address as it was recorded; empty for somebody who has none, of which there is a report too.
	Recipient string
	// Erased reports that the recipient's address was erased (R63). Nobody can tell whether such a mail was owed still
	// when there is no report of it, so it is never late.
	Erased bool
	// Reported is when it was reported to have been sent, or to have failed for good; zero if it was not.
	Reported time.Time
}

// Late reports whether the mail was not reported within a time after the event.
func (m Mail) Late(within time.Duration, now time.Time) bool {
	switch {
	case !m.Reported.IsZero():
		now = m.Reported
	case m.Erased:
		return false
	}
	return now.Sub(m.At) > within
}

// Mails derives from the customers' own events what mails are owed about the events from a sequence on, and finds their
// reports, in stream order. For an event of a request it needs the events of the request, its tenant, its subscription
// and whose that is; for others those of the aggregate and of the tenant.
func Mails(history []Recorded, from uint64) []Mail {
	b := read(history)
	var all []Mail
	for _, a := range b.order {
		all = append(all, b.mails(a, b.about[a], from, func(k aggregate.Key) []Recorded { return b.about[k] })...)
	}
	slices.SortFunc(all, func(x, y Mail) int {
		return cmp.Or(cmp.Compare(x.Sequence, y.Sequence), cmp.Compare(x.Template, y.Template),
			cmp.Compare(x.Recipient, y.Recipient))
	})
	return all
}

// Mailing is what Check finds about mails besides violations.
type Mailing struct {
	// Waiting are those without a report that are not overdue yet; Late were reported after MailWithin.
	Waiting, Late Span
}

// Span counts what is about some events.
type Span struct {
	Count int
	// First and Last are the sequences of the events.
	First, Last uint64
}

func (s *Span) add(sequence uint64) {
	if s.Count++; s.Count == 1 || sequence < s.First {
		s.First = sequence
	}
	s.Last = max(s.Last, sequence)
}

// MailsAsOf says when it is, for Check: before that is said, no mail is overdue.
func (b *Book) MailsAsOf(now time.Time) { b.now = now }

// Mailing returns what Check has found.
func (b *Book) Mailing() Mailing { return b.mailing }

// mailed is I16 for one aggregate: whatever is owed has a report in its time.
func (b *Book) mailed(of aggregate.Key, events []Recorded) (found []Violation) {
	all := b.mails(of, events, 0, b.find)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range all {
		switch {
		case !m.Reported.IsZero():
			if m.Late(MailWithin, b.now) {
				b.mailing.Late.add(m.Sequence)
			}
		case m.Late(mailOverdue, b.now):
			found = append(found, Violation{"I16", m.Sequence, fmt.Sprintf("nothing says that %s was mailed to %s, or "+
				"could not be, %s later", m.Template, cmp.Or(m.Recipient, "somebody without an address"),
				b.now.Sub(m.At).Round(time.Minute))})
		case !m.Erased:
			b.mailing.Waiting.add(m.Sequence)
		}
	}
	return found
}

// MayOweMail reports whether a mail can be owed about such an event.
func MayOweMail(e *lockboxv1.Event) bool {
	typ := aggregate.TypeOf(e)
	return changes[typ] != "" || outcomes[typ] != "" || signInMails[typ] != "" || erasureMails[typ] != "" ||
		keyMails[typ] != "" ||
		slices.Contains(steps, typ)
}

// changes of a tenant or subscription are mailed to the tenant's administrators, with these templates.
var changes = map[string]string{
	"TenantCreated": "tenant-created", "SupportPlanChanged": "plan-changed", "LockboxEnabled": "lockbox-enabled",
	"LockboxDisabled": "lockbox-disabled", "PreviewSignedUp": "preview-signed-up",
	"PreviewSignedOff": "preview-signed-off", "SettingsChanged": "settings-changed",
	"SubscriptionRegistered": "subscription-registered",
	"SubscriptionGivenUp":    "subscription-given-up", "RoleAssigned": "role-assigned", "RoleRemoved": "role-removed",
	"RoleEnded":     "role-ended",
	"RoleActivated": "role-activated", "RoleDeactivated": "role-deactivated",
	"RoleInvited": "role-invited", "InvitationRedeemed": "invitation-redeemed",
	"InvitationConfirmed": "invitation-confirmed", "InvitationEnded": "invitation-ended",
	"WebhookAdded": "webhook-added", "WebhookRemoved": "webhook-removed",
}

// outcomes of a request are mailed to everybody concerned.
var outcomes = map[string]string{
	"CustomerDenied": "request-denied", "RequestExpired": "request-expired", "RequestWithdrawn": "request-withdrawn",
	"AccessGranted": "access-granted", "AccessLapsed": "access-lapsed", "AccessRevoked": "access-revoked",
	"AccessReleased": "access-released", "AccessCompleted": "access-completed",
}

// erasureMails are the mails about what is to be made unreadable, of which no administrator must hear too late.
var erasureMails = map[string]string{"ErasureProposed": "erasure-proposed", "ErasureDecided": "erasure-decided",
	"ErasureDeclined": "erasure-declined"}

// steps are the other events that are mailed, each in its own way.
var steps = []string{"AccessEvaluated", "InternalApprovalRefused", "InternalApprovalExpired", "CustomerNotified",
	"ApprovalReminderDue", "ApproversUnavailable", "QuestionAsked", "QuestionAnswered", "CustomerApproved",
	"DisclosureTold", "WaivedAccessReported"}

// mails returns the mails that are owed about an aggregate's events from a sequence on. Reports returns those about an
// event, by the key of their aggregate.
func (b *book) mails(
	of aggregate.Key, events []Recorded, from uint64, reports func(aggregate.Key) []Recorded,
) (all []Mail) {
	o := owing{book: b, q: request{of: of}}
	for i, r := range events {
		if r.Sequence < from || !MayOweMail(r.Event) {
			continue
		}
		o.q.events, o.r, o.mails = events[:i+1], r, nil
		switch of.Kind {
		case aggregate.KindTenant, aggregate.KindSubscription:
			o.change()
			o.invitationMail()
			o.signInChange()
		case aggregate.KindDisclosure:
			o.disclosed()
		case aggregate.KindDigest:
			o.tell("waived-access", o.administrators(r.Sequence)) // R3
		case aggregate.KindErasure:
			o.tell(erasureMails[aggregate.TypeOf(r.Event)], o.administrators(r.Sequence)) // R63
		case aggregate.KindKeys:
			o.keyMail()
		case aggregate.KindAttempt:
			o.tell(keyMails[aggregate.TypeOf(r.Event)], o.administrators(r.Sequence)) // R42
		case aggregate.KindRequest:
			o.requested()
		}
		if len(o.mails) > 0 {
			match(o.mails, r, reports(aggregate.Key{Tenant: of.Tenant, Kind: aggregate.KindDelivery, ID: r.Event.GetId()}))
		}
		all = append(all, o.mails...)
	}
	return all
}

// owing derives the mails about the events of one aggregate, one after the other.
type owing struct {
	*book
	// q is the aggregate up to and including the event r.
	q     request
	r     Recorded
	mails []Mail
	// What due returned last, for which event and from what.
	dueAt   uint64
	of      *basis
	asked   asked
	differs bool
}

// basis is what the list of a request's approvers is derived from.
type basis struct {
	tenant, subscription uint64
	stale, lost          bool
}

// tell adds a mail to each address, once; also to those that were erased, of which nobody knows how many they are.
func (o *owing) tell(template string, to ...[]string) {
	for _, address := range slices.Concat(to...) {
		m := Mail{Sequence: o.r.Sequence, EventID: o.r.Event.GetId(), Tenant: o.q.of.Tenant, At: instant(o.r),
			Template: template, Recipient: address}
		if m.Erased = address == erasedAddress; m.Erased {
			m.Recipient = ""
		}
		if !slices.ContainsFunc(o.mails, func(other Mail) bool {
			return other.Template == template && other.Erased == m.Erased && oneAddress(other.Recipient, m.Recipient)
		}) {
			o.mails = append(o.mails, m)
		}
	}
}

// change: all administrators hear of every change, before it and after, so that one who was removed does too (R1).
func (o *owing) change() {
	template := changes[aggregate.TypeOf(o.r.Event)]
	if f := o.r.Event.GetSupportPlanChanged(); f.GetTo() < f.GetFrom() {
		template = "plan-lowered"
	}
	if about := o.invitation(); about != nil && about.first() && o.r.Event.GetInvitationRedeemed() != nil {
		template = "invitation-confirmed" // it counts at once
	}
	if template == "" {
		return
	}
	o.tell(template, o.administrators(o.r.Sequence-1), o.administrators(o.r.Sequence))
	switch {
	case o.r.Event.GetSubscriptionGivenUp() != nil:
		o.tell(template, o.relieved())
	case o.r.Event.GetRoleRemoved() != nil:
		who := slices.DeleteFunc(o.relieved(), func(address string) bool {
			return slices.ContainsFunc(o.mails, func(m Mail) bool { return oneAddress(m.Recipient, address) })
		})
		o.tell("role-lost", who)
	case o.r.Event.GetRoleEnded() != nil:
		o.holderTold()
	}
}

// relieved returns the addresses of those whose assignment in the aggregate ended with the event: it is the last that
// they hear of what they did by it.
func (o *owing) relieved() (addresses []string) {
	after := o.assignments(o.q.of, o.r.Sequence)
	for _, a := range o.assignments(o.q.of, o.asOf(o.q.of, o.r.Sequence-1)) {
		if !slices.ContainsFunc(after, func(b assignment) bool { return b.GetId() == a.GetId() }) {
			addresses = append(addresses, addressOf(a.GetPerson()))
		}
	}
	return addresses
}

// disclosed: once the embargo is over, the customer hears of it (R44, R45).
func (o *owing) disclosed() {
	template := "exposure-disclosed"
	if first(o.q, (*lockboxv1.Event).GetLegalDemandDisclosed) != nil {
		template = "legal-demand-disclosed"
	}
	o.tell(template, o.administrators(o.r.Sequence), o.alternatesNow())
}

// requested: what is owed about an event of a request (R23, R24, R31, R33, R43).
func (o *owing) requested() {
	requester := []string{addressOf(o.q.requester())}
	switch f := o.r.Event.GetFact().(type) {
	case *lockboxv1.Event_AccessEvaluated:
		if f.AccessEvaluated.GetOutcome() == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED {
			o.tell("request-refused", requester)
		}
	case *lockboxv1.Event_InternalApprovalRefused:
		o.tell("internally-refused", requester)
	case *lockboxv1.Event_InternalApprovalExpired:
		o.tell("internal-expired", requester)
	case *lockboxv1.Event_CustomerNotified:
		if f.CustomerNotified.GetBasis() == lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY {
			o.tell("nobody-to-ask", o.administrators(o.r.Sequence), o.alternates())
		} else {
			o.tell("approval-requested", o.approvers(everybody))
			o.tell("approval-requested-alternate", o.alternates())
		}
		o.tell("customer-asked", requester)
		if _, differs := o.due(); differs {
			o.tell("approvers-differ", o.administrators(o.r.Sequence))
		}
	case *lockboxv1.Event_ApprovalReminderDue:
		o.tell("approval-reminder", o.approvers(o.undecided))
	case *lockboxv1.Event_ApproversUnavailable:
		template := "approvers-unavailable"
		if f.ApproversUnavailable.GetCodedReason() != nil { // they are there, and fewer humans than are needed (R51)
			template = "approvals-out-of-reach"
		}
		o.tell(template, o.administrators(o.r.Sequence), o.alternates(), requester)
	case *lockboxv1.Event_QuestionAsked:
		o.tell("question-asked", requester)
	case *lockboxv1.Event_QuestionAnswered:
		o.tell("question-answered", o.approvers(everybody))
	case *lockboxv1.Event_CustomerApproved:
		if !o.q.quorum() { // otherwise the mail about access says it
			by := o.r.Event.GetActor().GetPerson()
			o.tell("approval-recorded", o.approvers(func(p *lockboxv1.Person) bool { return !same(p, by) }))
		}
	default:
		o.outcome(requester)
	}
}

// outcome: whoever was asked hears how it ended or that access began; whoever was not, of an emergency only.
func (o *owing) outcome(requester []string) {
	template := outcomes[aggregate.TypeOf(o.r.Event)]
	emergency := o.q.evaluation().GetWaiver() == lockboxv1.Waiver_WAIVER_EMERGENCY &&
		first(o.q, (*lockboxv1.Event).GetAccessGranted) != nil
	switch n := o.q.notified(); {
	case template == "":
	case n != nil:
		approvers := o.approvers(everybody)
		o.tell(template, approvers, requester, o.alternates())
		if len(approvers) == 0 || first(o.q, (*lockboxv1.Event).GetApproversUnavailable) != nil {
			o.tell(template, o.administrators(o.r.Sequence))
		}
	case emergency && template == "access-granted":
		o.tell(template, requester)
		o.tell("emergency-access", o.unasked())
	case emergency:
		o.tell(template, requester, o.unasked())
	default:
		o.tell(template, requester)
	}
}

// asOf returns the sequence of an aggregate's last event up to a sequence: what is derived as of either is the same.
func (o *owing) asOf(in aggregate.Key, sequence uint64) uint64 {
	i, _ := slices.BinarySearchFunc(o.about[in], sequence+1,
		func(r Recorded, s uint64) int { return cmp.Compare(r.Sequence, s) })
	if i == 0 {
		return 0
	}
	return o.about[in][i-1].Sequence
}

// administrators returns the addresses of the tenant's Global Administrators, also of those who are only eligible.
func (o *owing) administrators(sequence uint64) (addresses []string) {
	for _, a := range o.assignments(o.q.tenant(), o.asOf(o.q.tenant(), sequence)) {
		ended := a.GetExpiresAt() != nil && !instant(o.r).Before(a.GetExpiresAt().AsTime())
		if a.GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR && !ended {
			addresses = append(addresses, addressOf(a.GetPerson()))
		}
	}
	return addresses
}

func (o *owing) alternatesNow() []string {
	_, s := o.settingsAt(o.q.of.Tenant, o.r.Sequence)
	return alternatesOf(s)
}

func alternatesOf(s *lockboxv1.TenantSettings) (addresses []string) {
	for _, a := range s.GetAlternates() {
		addresses = append(addresses, cmp.Or(a.GetEmail(), erasedAddress)) // nobody can set an empty one
	}
	return addresses
}

// alternates returns those at the time of the request who are alternates still, and are not asked themselves.
func (o *owing) alternates() []string {
	a, _ := o.due()
	approvers, still := o.approvers(everybody), o.alternatesNow()
	among := func(list []string, address string) bool {
		return slices.ContainsFunc(list, func(other string) bool { return oneAddress(address, other) })
	}
	return slices.DeleteFunc(alternatesOf(a.settings), func(address string) bool {
		return among(approvers, address) || !among(still, address)
	})
}

// unasked returns whom an emergency leaves unasked: those who would have been asked, administrators and alternates.
func (o *owing) unasked() (addresses []string) {
	now := &lockboxv1.CustomerNotified{TenantSequence: o.asOf(o.q.tenant(), o.r.Sequence),
		SubscriptionSequence: o.asOf(o.subscription(o.q, o.r.Sequence), o.r.Sequence)}
	for _, a := range o.asks(o.q, now, o.r, true, true).approvers {
		if o.q.requester().GetErased() { // whoever had the same address would not have been asked
			addresses = append(addresses, erasedAddress)
		} else {
			addresses = append(addresses, addressOf(a.GetPerson()))
		}
	}
	return slices.Concat(addresses, o.administrators(o.r.Sequence), o.alternatesNow())
}

func everybody(*lockboxv1.Person) bool { return true }

// undecided reports whether somebody has not decided yet.
func (o *owing) undecided(p *lockboxv1.Person) bool {
	return !slices.ContainsFunc(o.q.events, func(r Recorded) bool {
		return r.Event.GetCustomerApproved() != nil && same(r.Event.GetActor().GetPerson(), p)
	})
}

// approvers returns the addresses, as their roles have them, of those whom the request asks and has to ask. Whom only
// the request's own event names hears nothing of it, and whoever has lost the role since hears nothing more.
func (o *owing) approvers(keep func(*lockboxv1.Person) bool) (addresses []string) {
	a, _ := o.due()
	for _, is := range o.q.notified().GetApprovers() {
		if held := approver(a.approvers, is.GetPerson()); held != nil && keep(is.GetPerson()) && o.retains(a, held) {
			addresses = append(addresses, addressOf(held.GetPerson()))
		}
	}
	return addresses
}

// retains reports whether somebody still has a role by which they were asked, as of the event: it was not removed, has
// not ended, and they can sign in. One that is not activated at the moment counts (R21).
func (o *owing) retains(a asked, who *lockboxv1.Approver) bool {
	if slices.Contains(o.signInAt(o.q.of.Tenant, o.r.Sequence).ended, who.GetPerson().GetIssuer()) {
		return false
	}
	holds := func(in aggregate.Key) bool {
		return slices.ContainsFunc(o.assignments(in, o.asOf(in, o.r.Sequence)), func(h assignment) bool {
			over := h.GetExpiresAt() != nil && !instant(o.r).Before(h.GetExpiresAt().AsTime())
			return same(h.GetPerson(), who.GetPerson()) && slices.Contains(who.GetRoles(), h.GetRole()) && !over &&
				h.GetScope() != lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP
		})
	}
	switch {
	case a.scope == lockboxv1.Scope_SCOPE_TENANT:
		return holds(o.q.tenant())
	case a.basis == lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK && holds(o.q.tenant()):
		return true
	}
	return holds(o.subscription(o.q, o.r.Sequence))
}

// due returns whom the request has to ask by the customer's own events, and whether it asks otherwise. They count as of
// the sequences that CustomerNotified recorded, unless those leave out what had long been there: then as of the event.
func (o *owing) due() (asked, bool) {
	n, of := o.q.notified(), basis{}
	if n == nil || o.dueAt == o.r.Sequence {
		return o.asked, o.differs
	}
	o.dueAt = o.r.Sequence
	asking := o.q.events[slices.IndexFunc(o.q.events,
		func(r Recorded) bool { return r.Event.GetCustomerNotified() != nil })]
	read := func(in aggregate.Key, sequence uint64) uint64 {
		for _, e := range o.about[in] {
			if e.Sequence > sequence && e.Sequence <= o.r.Sequence && instant(asking).Sub(instant(e)) > maxStale {
				of.stale = true
				return o.asOf(in, o.r.Sequence)
			}
		}
		return sequence
	}
	of.tenant = read(o.q.tenant(), n.GetTenantSequence())
	if id := o.q.intent().GetSubscriptionId(); id != "" {
		of.subscription = read(o.subscription(o.q, o.r.Sequence), n.GetSubscriptionSequence())
		owners := o.upTo(aggregate.Ownership(id), o.r.Sequence)
		of.lost = len(owners) != 1 || ownerOf(owners[0]).GetTenant() != o.q.of.Tenant
	}
	if o.of == nil || *o.of != of {
		o.of = &of
		o.asked, o.differs = o.resolve(of, n, asking)
	}
	return o.asked, o.differs
}

// resolve takes the reading that explains the request. A subscription's roles do not count where it may not have been
// the customer's (R48), and versions whose evaluations do not record how long the customer has to answer asked those
// who share the requester's address (R51).
func (o *owing) resolve(of basis, n *lockboxv1.CustomerNotified, asking Recorded) (a asked, differs bool) {
	counts, passive := []bool{true}, []bool{true}
	if of.lost {
		counts = append(counts, false)
	}
	if o.q.evaluation().GetCustomerAnswerWithin() == nil {
		passive = append(passive, false)
	}
	as := &lockboxv1.CustomerNotified{TenantSequence: of.tenant, SubscriptionSequence: of.subscription,
		Excluded: n.GetExcluded()}
	for _, count := range counts {
		for _, p := range passive {
			if a = o.asks(o.q, as, asking, count, p); !of.stale && a.asksOthers(n) == nil {
				return a, false
			}
		}
	}
	return o.asks(o.q, as, asking, true, true), true
}
