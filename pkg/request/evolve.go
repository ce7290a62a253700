package request

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Evolve folds one stored event. An event that is invalid at its position changes nothing but Fault: the fold checks
// every event, whoever wrote it, so that a service's stolen key cannot produce a grant unnoticed.
func Evolve(s State, sequence uint64, e *lockboxv1.Event) State {
	return aggregate.Fold(s, sequence, e, (*State).apply)
}

// apply returns the rule that the event breaks, or "".
func (s *State) apply(e *lockboxv1.Event) (broken string) {
	at := e.GetTime().AsTime()
	if !slices.Contains(follows(e), s.Status) {
		return "no such event follows " + s.Status.String()
	}
	if owed(e) && !aggregate.System(e.GetActor()) {
		return "what is owed to a request is done by Lockbox itself, and by nobody in person"
	}
	if due, waits := s.Deadline(); waits && at.Before(due) == endsByTime(e) {
		return "before a deadline nothing expires, and from that instant on nothing else happens (R15, R26, R27)"
	}
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_AccessRequested:
		r := f.AccessRequested
		if r.GetIntent().GetId() != e.GetAggregateId() || r.GetIntent().GetTenant() != e.GetTenant() {
			return "a request begins with its own intent"
		}
		if !aggregate.Provider(e.GetActor()) {
			return "access is requested by one of the provider's people (R5)"
		}
		if broken := malformed(r.GetIntent()); broken != "" {
			return broken
		}
		if s.TicketID = r.GetTicketId(); s.TicketID == "" {
			s.TicketID = r.GetIntent().GetTicketId() // as it was before there were references
		} else if input.Token("", s.TicketID) != nil ||
			aggregate.TicketID(s.TicketID) != aggregate.TicketID(r.GetIntent().GetTicketId()) {
			return "a request's ticket is the one that its intent names (R11)"
		}
		s.Status, s.Intent, s.IntentSHA256, s.Tool = Submitted, r.GetIntent(), r.GetIntentSha256(), r.GetTool()
		s.Requester, s.RequestedAt = e.GetActor(), at
	case *lockboxv1.Event_AccessEvaluated:
		if s.Evaluation != nil {
			return "a request is evaluated once"
		}
		return s.evaluated(f.AccessEvaluated, e, at)
	case *lockboxv1.Event_InternalApprovalGiven:
		if rule := s.internalDecision(e.GetActor(), f.InternalApprovalGiven.GetStage()); rule != "" {
			return rule
		}
		stage, _ := s.Stage()
		s.InternalDecisions = add(s.InternalDecisions, &lockboxv1.Decision{
			Actor: e.GetActor(), Time: e.GetTime(), Approved: true, Reason: f.InternalApprovalGiven.GetComment(),
			Group: stage.GetGroup(),
		})
		s.cleared(at)
	case *lockboxv1.Event_InternalApprovalRefused:
		if rule := s.internalDecision(e.GetActor(), f.InternalApprovalRefused.GetStage()); rule != "" {
			return rule
		}
		stage, _ := s.Stage()
		s.InternalDecisions = add(s.InternalDecisions, &lockboxv1.Decision{
			Actor: e.GetActor(), Time: e.GetTime(), Reason: f.InternalApprovalRefused.GetReason(), Group: stage.GetGroup(),
		})
		s.end(InternallyDenied, e, f.InternalApprovalRefused.GetReason())
	case *lockboxv1.Event_InternalApprovalExpired:
		s.end(InternalExpired, e, "")
	case *lockboxv1.Event_InternalReminderDue:
		r := f.InternalReminderDue
		if _, stage := s.Stage(); int(r.GetStage()) != stage {
			return "those are reminded whose stage it is (R15)"
		}
		return s.reminded(r.GetIndex(), at)
	case *lockboxv1.Event_CustomerNotified:
		return s.notified(f.CustomerNotified, e, at)
	case *lockboxv1.Event_ApprovalReminderDue:
		return s.reminded(f.ApprovalReminderDue.GetIndex(), at)
	case *lockboxv1.Event_ApproversUnavailable:
		nobody := f.ApproversUnavailable.GetCodedReason() == nil
		if s.Abandoned || s.OutOfReach && !nobody {
			return "it is recorded once that nobody can decide, or too few (R23)"
		}
		s.Abandoned, s.OutOfReach = nobody, true
	case *lockboxv1.Event_QuestionAsked:
		if rule := s.byApprover(e.GetActor()); rule != "" {
			return rule
		}
		s.material = e.GetVersion()
		s.Questions = add(s.Questions, &lockboxv1.Question{
			QuestionId: f.QuestionAsked.GetQuestionId(), Asker: e.GetActor(), AskedAt: e.GetTime(),
			Text: f.QuestionAsked.GetText(),
		})
	case *lockboxv1.Event_QuestionAnswered:
		return s.answered(f.QuestionAnswered, e)
	case *lockboxv1.Event_CustomerApproved:
		return s.approved(f.CustomerApproved, e)
	case *lockboxv1.Event_CustomerDenied:
		if rule := s.byApprover(e.GetActor()); rule != "" {
			return rule
		}
		s.CustomerDecisions = add(s.CustomerDecisions,
			&lockboxv1.Decision{Actor: e.GetActor(), Time: e.GetTime(), Reason: f.CustomerDenied.GetReason(),
				Signed: e.GetSigned(), Version: e.GetVersion()})
		s.end(Denied, e, f.CustomerDenied.GetReason())
	case *lockboxv1.Event_RequestExpired:
		s.end(Expired, e, "")
	case *lockboxv1.Event_RequestWithdrawn:
		if !same(e.GetActor(), s.Requester) {
			return "a request is withdrawn by its requester (R32)"
		}
		s.end(Withdrawn, e, f.RequestWithdrawn.GetReason())
	case *lockboxv1.Event_AccessGranted:
		return s.granted(f.AccessGranted, at)
	case *lockboxv1.Event_AccessLapsed:
		s.end(Lapsed, e, f.AccessLapsed.GetReason())
		s.CodedEndReason, s.TicketClosedBy = f.AccessLapsed.GetCodedReason(), f.AccessLapsed.GetTicketClosedBy()
	case *lockboxv1.Event_AccessRevoked:
		if by := e.GetActor(); by.GetSide() != lockboxv1.Side_SIDE_TENANT &&
			!aggregate.Provider(by, aggregate.SecurityOfficers) && (!aggregate.System(by) || !s.takenAway(f.AccessRevoked)) {
			return "the customer or the security officer revokes (R32)"
		}
		s.end(Revoked, e, f.AccessRevoked.GetReason())
		s.CodedEndReason, s.TicketClosedBy = f.AccessRevoked.GetCodedReason(), f.AccessRevoked.GetTicketClosedBy()
	case *lockboxv1.Event_AccessReleased:
		if !same(e.GetActor(), s.Requester) {
			return "a grant is given back by its holder (R32)"
		}
		s.end(Released, e, f.AccessReleased.GetReason())
	case *lockboxv1.Event_AccessCompleted:
		s.end(Completed, e, "")
	}
	return ""
}

// owed reports whether the event is an evaluation or results from a duty, see Owed.
func owed(e *lockboxv1.Event) bool {
	switch e.GetFact().(type) {
	case *lockboxv1.Event_AccessEvaluated, *lockboxv1.Event_CustomerNotified, *lockboxv1.Event_InternalReminderDue,
		*lockboxv1.Event_ApprovalReminderDue, *lockboxv1.Event_ApproversUnavailable, *lockboxv1.Event_AccessGranted,
		*lockboxv1.Event_AccessLapsed:
		return true
	}
	return endsByTime(e)
}

// endsByTime reports whether the event records that a deadline has passed.
func endsByTime(e *lockboxv1.Event) bool {
	switch e.GetFact().(type) {
	case *lockboxv1.Event_InternalApprovalExpired, *lockboxv1.Event_RequestExpired, *lockboxv1.Event_AccessCompleted:
		return true
	}
	return false
}

// follows returns the states in which an event may occur.
func follows(e *lockboxv1.Event) []Status {
	switch e.GetFact().(type) {
	case *lockboxv1.Event_AccessRequested:
		return afterNone
	case *lockboxv1.Event_AccessEvaluated, *lockboxv1.Event_CustomerNotified:
		return afterSubmitted
	case *lockboxv1.Event_InternalApprovalGiven, *lockboxv1.Event_InternalApprovalRefused,
		*lockboxv1.Event_InternalApprovalExpired,
		*lockboxv1.Event_InternalReminderDue:
		return whileInternal
	case *lockboxv1.Event_ApprovalReminderDue, *lockboxv1.Event_ApproversUnavailable, *lockboxv1.Event_QuestionAsked,
		*lockboxv1.Event_QuestionAnswered,
		*lockboxv1.Event_CustomerApproved, *lockboxv1.Event_CustomerDenied, *lockboxv1.Event_RequestExpired:
		return whileNotified
	case *lockboxv1.Event_RequestWithdrawn:
		return whilePending
	case *lockboxv1.Event_AccessGranted, *lockboxv1.Event_AccessLapsed:
		return afterApproval
	case *lockboxv1.Event_AccessRevoked:
		return afterApprovalOrActive
	case *lockboxv1.Event_AccessReleased, *lockboxv1.Event_AccessCompleted:
		return whileActive
	}
	return nil
}

var (
	afterNone             = []Status{None}
	afterSubmitted        = []Status{Submitted}
	whileInternal         = []Status{AwaitingInternalApproval}
	whileNotified         = []Status{CustomerNotified}
	whilePending          = []Status{Submitted, AwaitingInternalApproval, CustomerNotified}
	afterApproval         = []Status{Approved}
	afterApprovalOrActive = []Status{Approved, Active}
	whileActive           = []Status{Active}
)

func (s *State) evaluated(v *lockboxv1.AccessEvaluated, e *lockboxv1.Event, at time.Time) (broken string) {
	switch v.GetOutcome() {
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED,
		lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES:
		if v.GetWaiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED {
			return "the customer is waived on exactly one recorded basis (I1)"
		}
	case lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED:
		if !s.waivable(v) {
			return "a waiver rests on the facts that were weighed (I1, R3, R8, R43)"
		}
	default:
		return "an evaluation has an outcome"
	}
	s.Evaluation = v
	if v.GetOutcome() == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED {
		s.end(Refused, e, v.GetRefusal().GetMessage())
		s.CodedEndReason = v.GetRefusal().GetCodedReason()
		return ""
	}
	asked, duration := s.Intent.GetDuration(), v.GetDuration().AsDuration()
	switch {
	case duration <= 0 || asked != nil && duration > asked.AsDuration():
		return "access has a duration, no longer than was asked for (R27)"
	case slices.ContainsFunc(v.GetInternalStages(), func(st *lockboxv1.InternalStage) bool { return st.GetCount() == 0 }):
		return "an internal stage asks for somebody (R15)"
	case len(v.GetInternalStages()) > 0 && !v.GetInternalExpiresAt().AsTime().After(at):
		return "an internal approval has a deadline (R15)"
	case slices.ContainsFunc(v.GetInternalStages(), func(st *lockboxv1.InternalStage) bool {
		return st.GetAnswerWithin() != nil && st.GetAnswerWithin().AsDuration() <= 0
	}):
		return "an internal stage has time to answer (R15)"
	case !descending(v.GetInternalRemindBefore()) || !descending(v.GetCustomerRemindBefore()):
		return "reminders come before the deadline, the earliest first (R15, R33)"
	case v.GetCustomerAnswerWithin() != nil && (v.GetCustomerAnswerWithin().AsDuration() <= 0 ||
		v.GetCustomerAnswerWithin().AsDuration() > maxAnswer):
		return "the customer has time to answer, at most 30 days (R26)"
	}
	s.cleared(at)
	return ""
}

// descending reports whether the durations are positive and each is shorter than the one before.
func descending(list []*durationpb.Duration) bool {
	for i, d := range list {
		if d.AsDuration() <= 0 || i > 0 && d.AsDuration() >= list[i-1].AsDuration() {
			return false
		}
	}
	return true
}

// waivable reports whether the recorded facts justify the waiver. An unknown waiver is never justified.
func (s *State) waivable(v *lockboxv1.AccessEvaluated) bool {
	f := v.GetFacts()
	switch v.GetWaiver() {
	case lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA:
		return !f.GetCustomerData()
	case lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP:
		return f.GetStage() == lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW && !f.GetPreviewSignedUp()
	case lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED:
		return !f.GetLockboxEnabled()
	case lockboxv1.Waiver_WAIVER_EMERGENCY:
		return f.GetEmergency() && s.Urgent() &&
			slices.ContainsFunc(v.GetInternalStages(), func(st *lockboxv1.InternalStage) bool {
				return st.GetGroup() == aggregate.SecurityOfficers && st.GetCount() > 0
			})
	}
	return false
}

// Urgent reports whether the request was submitted as an emergency by an emergency responder (R43).
func (s *State) Urgent() bool {
	return s.Intent.GetEmergency() && aggregate.Provider(s.Requester, aggregate.EmergencyResponders)
}

// cleared sets the status that follows from the internal stages: the first open one waits, or the internal approval is
// complete. A stage that begins has its own deadline and reminders; reminders already past are skipped.
func (s *State) cleared(at time.Time) {
	stage, i := s.Stage()
	switch {
	case stage != nil && len(s.InternalDecisions) == people(s.Evaluation.GetInternalStages()[:i]):
		s.Status, s.StageSince = AwaitingInternalApproval, at
		s.Reminders = s.remindersBy(at)
	case stage != nil:
		s.Status = AwaitingInternalApproval
	case s.Waiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED:
		s.Status = Approved
	default:
		s.Status = Submitted
	}
}

// people returns how many approvals the stages require in total.
func people(stages []*lockboxv1.InternalStage) int {
	n := 0
	for _, st := range stages {
		n += int(st.GetCount())
	}
	return n
}

// reminded marks all reminders up to and including index as given.
func (s *State) reminded(index uint32, at time.Time) (broken string) {
	i := int(index)
	if i < s.Reminders || i >= s.remindersBy(at) {
		return "each reminder is given once, not before its time (R33)"
	}
	s.Reminders = i + 1
	return ""
}

func (s *State) notified(n *lockboxv1.CustomerNotified, e *lockboxv1.Event, at time.Time) (broken string) {
	scope := lockboxv1.Scope_SCOPE_SUBSCRIPTION
	if s.Intent.GetSubscriptionId() == "" {
		scope = lockboxv1.Scope_SCOPE_TENANT
	}
	switch {
	case s.Evaluation.GetOutcome() != lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES:
		return "the customer is asked after an evaluation that says so (R17)"
	case n.GetScope() != scope:
		return "those are asked whose resources are reached (R18, R19)"
	case slices.ContainsFunc(n.GetApprovers(), s.providers):
		return "nobody approves their own request, and nobody of the provider for the customer (I10)"
	case n.GetRequiredApprovals() == 0:
		return "somebody has to approve (R30)"
	case !s.inTerms(n, at):
		return "the customer has the time to answer that the evaluation says (R26, R33)"
	}
	s.Status, s.Notified, s.NotifiedAt, s.Reminders, s.material = CustomerNotified, n, at, 0, e.GetVersion()
	return ""
}

// inTerms reports whether the customer's deadline and reminders are those that the evaluation recorded, if it did.
func (s *State) inTerms(n *lockboxv1.CustomerNotified, at time.Time) bool {
	within := s.Evaluation.GetCustomerAnswerWithin()
	return within == nil || n.GetExpiresAt().AsTime().Equal(at.Add(within.AsDuration())) &&
		slices.EqualFunc(n.GetRemindAt(), remindAt(at, within.AsDuration(), s.Evaluation.GetCustomerRemindBefore()),
			func(a, b *timestamppb.Timestamp) bool { return a.AsTime().Equal(b.AsTime()) })
}

// providers reports whether an approver has the same issuer as the requester, and so belongs to the provider.
func (s *State) providers(a *lockboxv1.Approver) bool {
	return a.GetPerson().GetIssuer() == s.Requester.GetPerson().GetIssuer()
}

func (s *State) internalDecision(by *lockboxv1.Actor, stage uint32) (broken string) {
	waiting, i := s.Stage()
	switch {
	case int(stage) != i:
		return "stages are decided in their order (R15)"
	case !mayDecideInternally(*s, waiting, by):
		return "an internal approver is of the group, not the requester, and decides once (R15, I10, R51)"
	}
	return ""
}

func (s *State) answered(a *lockboxv1.QuestionAnswered, e *lockboxv1.Event) (broken string) {
	i := slices.IndexFunc(s.Questions, func(q *lockboxv1.Question) bool { return q.GetQuestionId() == a.GetQuestionId() })
	if i < 0 || s.Questions[i].GetAnswerer() != nil || !same(e.GetActor(), s.Requester) {
		return "the requester answers each question once (R31)"
	}
	q := s.Questions[i]
	s.Questions = slices.Clone(s.Questions)
	s.Questions[i] = &lockboxv1.Question{
		QuestionId: q.GetQuestionId(), Asker: q.GetAsker(), AskedAt: q.GetAskedAt(), Text: q.GetText(),
		Answerer: e.GetActor(), AnsweredAt: e.GetTime(), Answer: a.GetText(),
	}
	s.material = e.GetVersion()
	return ""
}

func (s *State) approved(a *lockboxv1.CustomerApproved, e *lockboxv1.Event) (broken string) {
	if rule := s.byApprover(e.GetActor()); rule != "" {
		return rule
	}
	if decision(s.Approvals(), e.GetActor()) != nil {
		return "each human counts once (R30, R51)"
	}
	d := &lockboxv1.Decision{
		Actor: e.GetActor(), Time: e.GetTime(), Approved: true, Reason: a.GetReason(), Duration: a.GetDuration(),
		ResourceIds: a.GetResourceIds(), Signed: e.GetSigned(), Version: e.GetVersion(),
	}
	if _, rule := narrows(*s, d); rule != "" {
		return rule
	}
	longest, most := s.Allowed()
	s.CustomerDecisions = add(s.CustomerDecisions, d)
	// Whoever comes next would otherwise allow something else than what they were shown (R27, R30).
	if t, resources := s.Allowed(); t < longest || len(resources) < len(most) {
		s.material = e.GetVersion()
	}
	if len(s.Approvals()) >= int(s.Notified.GetRequiredApprovals()) {
		s.Status = Approved
	}
	return ""
}

func (s *State) byApprover(by *lockboxv1.Actor) (broken string) {
	switch {
	case by.GetSide() != lockboxv1.Side_SIDE_TENANT || sameHuman(by, s.Requester):
		return "nobody of the provider speaks for the customer (I10)"
	case frozen(s.Notified, by.GetPerson()) == nil:
		return "only the frozen approvers decide and ask (R20, R31)"
	}
	return ""
}

// takenAway reports whether Lockbox itself may have ended access for the recorded reason.
func (s *State) takenAway(f *lockboxv1.AccessRevoked) bool {
	switch f.GetCodedReason().GetCode() {
	case lockboxv1.ReasonCode_REASON_CODE_TRANSFERRED:
		return true
	case lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED:
		return s.Grant.GetEndsWithTicket() && f.GetTicketSequence() > s.Grant.GetTicketSequence()
	}
	return false
}

func (s *State) granted(g *lockboxv1.AccessGranted, at time.Time) (broken string) {
	duration, resources := s.Allowed()
	starts, ends := g.GetStartsAt().AsTime(), g.GetEndsAt().AsTime()
	switch {
	case g.GetWaiver() != s.Waiver():
		return "a grant rests on what was evaluated (I1)"
	case !slices.Equal(g.GetResourceIds(), resources):
		return "a grant reaches exactly what was allowed (R27)"
	case !starts.Equal(at) || ends.Sub(starts) != duration:
		return "a grant lasts exactly as long as was allowed (R27, I4)"
	case g.GetEndsWithTicket() && (s.TicketID == "" || g.GetTicketSequence() == 0):
		return "access ends with the ticket that the request names, and with no other (R61)"
	case !reported(g):
		return "access that the customer was not asked for is reported within a day (R3)"
	case g.GetMode() != lockboxv1.AccessMode_ACCESS_MODE_UNSPECIFIED || g.GetResourceType() != "" ||
		g.GetScenario() != "":
		if g.GetResourceType() != s.Intent.GetResourceType() || g.GetScenario() != s.Intent.GetScenario() ||
			g.GetMode() != s.mode() {
			return "a grant names the type, scenario and mode that were evaluated (R49)"
		}
	}
	s.Status, s.Grant, s.GrantedAt = Active, g, at
	return ""
}

func (s *State) end(status Status, e *lockboxv1.Event, reason string) {
	s.Status, s.EndedAt, s.EndedBy, s.EndReason = status, e.GetTime().AsTime(), e.GetActor(), reason
}

// narrows returns the rule that an approval breaks, and the field that breaks it: it must not allow more than was
// requested, and must have a resource in common with the earlier approvals.
func narrows(s State, d *lockboxv1.Decision) (field, broken string) {
	asked, longest := s.Intent.GetResourceIds(), s.Evaluation.GetDuration().AsDuration()
	_, common := allowed(0, asked, append(s.Approvals(), d))
	switch t := d.GetDuration().AsDuration(); {
	case t <= 0 || t > longest:
		return "duration", "an approval may shorten the time of " + longest.String() + ", never lengthen it (R27)"
	case len(intersect(asked, asAsked(asked, d.GetResourceIds()))) != len(d.GetResourceIds()) ||
		len(d.GetResourceIds()) == 0:
		return "resource_ids", "an approval may name some of the resources asked for, each once, and never others (R27)"
	case len(common) == 0:
		return "resource_ids", "the approvals have no resource in common (R27, R30)"
	}
	return "", ""
}

// frozen finds a person among the frozen approvers; nil if absent.
func frozen(n *lockboxv1.CustomerNotified, p *lockboxv1.Person) *lockboxv1.Approver {
	for _, a := range n.GetApprovers() {
		if tenant.SamePerson(a.GetPerson(), p) {
			return a
		}
	}
	return nil
}

// decision finds what a human decided, with any account.
func decision(among []*lockboxv1.Decision, by *lockboxv1.Actor) *lockboxv1.Decision {
	for _, d := range among {
		if sameHuman(d.GetActor(), by) ||
			aggregate.Customer(by) && tenant.SameVoice(d.GetActor().GetPerson(), by.GetPerson()) {
			return d
		}
	}
	return nil
}

// same compares accounts: whoever holds a request or a grant does so with the account that asked for it.
func same(a, b *lockboxv1.Actor) bool { return tenant.SamePerson(a.GetPerson(), b.GetPerson()) }

func sameHuman(a, b *lockboxv1.Actor) bool { return tenant.SameHuman(a.GetPerson(), b.GetPerson()) }

// add appends to a copy, because states share their lists.
func add[T any](list []T, item T) []T { return append(list[:len(list):len(list)], item) }
