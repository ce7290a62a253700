package plan

import (
	"slices"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// requestEvent plans the notifications for an event of a request.
func (p *planner) requestEvent() {
	s, d := p.Request, p.requestData()
	switch f := p.Event.GetFact().(type) {
	case *lockboxv1.Event_AccessEvaluated:
		if s.Status == request.Refused {
			d.Text, d.Why = s.EndReason, s.CodedEndReason
			p.tell(RequestRefused, d, p.requester())
		}
		p.askInternally(-1)
	case *lockboxv1.Event_InternalApprovalGiven:
		p.askInternally(int(f.InternalApprovalGiven.GetStage()))
	case *lockboxv1.Event_InternalApprovalRefused:
		d.Text = f.InternalApprovalRefused.GetReason()
		p.tell(InternallyRefused, d, p.requester(), p.askedGroups(int(f.InternalApprovalRefused.GetStage())))
	case *lockboxv1.Event_InternalReminderDue:
		stage, _ := s.Stage()
		p.tell(InternalApprovalReminder, p.internalData(stage), p.group(stage.GetGroup()))
	case *lockboxv1.Event_InternalApprovalExpired:
		stage, _ := s.Stage()
		p.tell(InternalExpired, p.internalData(stage), p.requester(), p.waitingGroups())

	case *lockboxv1.Event_CustomerNotified:
		if f.CustomerNotified.GetBasis() == lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY {
			p.tell(NobodyToAsk, d, p.administrators(), p.alternates())
		} else {
			p.tell(ApprovalRequested, d, p.approvers(everybody))
			p.tell(ApprovalRequestedAlternate, d, p.alternates())
		}
		p.tell(CustomerAsked, d, p.requester())
		if d.Differences = p.compare(p.due()); d.Differences != nil {
			p.tell(ApproversDiffer, d, p.administrators())
		}
	case *lockboxv1.Event_ApprovalReminderDue:
		p.tell(ApprovalReminder, d, p.approvers(p.undecided))
	case *lockboxv1.Event_ApproversUnavailable:
		t := ApproversUnavailable
		if d.Why = f.ApproversUnavailable.GetCodedReason(); d.Why != nil {
			t = ApprovalsOutOfReach
		}
		p.tell(t, d, p.administrators(), p.alternates(), p.requester())
	case *lockboxv1.Event_QuestionAsked:
		d.Question = f.QuestionAsked.GetText()
		p.tell(QuestionAsked, d, p.requester())
	case *lockboxv1.Event_QuestionAnswered:
		p.answered(f.QuestionAnswered, d)
	case *lockboxv1.Event_CustomerApproved:
		// The last approval is covered by the mail about the access that follows from it.
		if s.Status == request.CustomerNotified {
			d.Text = f.CustomerApproved.GetReason()
			p.tell(ApprovalRecorded, d, p.approvers(except(p.Event.GetActor())))
		}
	default:
		p.outcome(d)
	}
}

// outcome notifies everyone concerned that the request ended, or that access began (R33). The customer is not notified
// of a request for which their approval was waived, unless it was an emergency (R43), nor of one that never reached
// them; the internal approvers are notified of the latter.
func (p *planner) outcome(d Data) {
	var t Template
	switch f := p.Event.GetFact().(type) {
	case *lockboxv1.Event_CustomerDenied:
		t, d.Text = RequestDenied, f.CustomerDenied.GetReason()
	case *lockboxv1.Event_RequestExpired:
		t = RequestExpired
	case *lockboxv1.Event_RequestWithdrawn:
		t, d.Text = RequestWithdrawn, f.RequestWithdrawn.GetReason()
	case *lockboxv1.Event_AccessGranted:
		t = AccessGranted
	case *lockboxv1.Event_AccessLapsed:
		t, d.Text, d.Why = AccessLapsed, f.AccessLapsed.GetReason(), f.AccessLapsed.GetCodedReason()
	case *lockboxv1.Event_AccessRevoked:
		t, d.Text, d.Why = AccessRevoked, f.AccessRevoked.GetReason(), f.AccessRevoked.GetCodedReason()
	case *lockboxv1.Event_AccessReleased:
		t, d.Text = AccessReleased, f.AccessReleased.GetReason()
	case *lockboxv1.Event_AccessCompleted:
		t = AccessCompleted
	default:
		return
	}
	switch {
	case p.Request.Notified != nil:
		p.tell(t, d, p.everyone())
	case t == AccessGranted && d.Waiver == lockboxv1.Waiver_WAIVER_EMERGENCY:
		d.approvedInternally(p.Request.InternalDecisions)
		p.tell(AccessGranted, d, p.requester())
		p.tell(EmergencyAccess, d, p.unasked())
	case p.Request.Grant != nil && d.Waiver == lockboxv1.Waiver_WAIVER_EMERGENCY:
		d.approvedInternally(p.Request.InternalDecisions)
		p.tell(t, d, p.requester(), p.unasked())
	case t == RequestWithdrawn:
		p.tell(t, d, p.requester(), p.waitingGroups())
	default:
		p.tell(t, d, p.requester())
	}
}

// askInternally notifies the group of the current stage, unless that was already the current stage before the event.
func (p *planner) askInternally(before int) {
	stage, i := p.Request.Stage()
	if p.Request.Status == request.AwaitingInternalApproval && i != before {
		p.tell(InternalApprovalRequested, p.internalData(stage), p.group(stage.GetGroup()))
	}
}

// answered notifies all approvers, including the asker (R31).
func (p *planner) answered(f *lockboxv1.QuestionAnswered, d Data) {
	i := slices.IndexFunc(p.Request.Questions,
		func(q *lockboxv1.Question) bool { return q.GetQuestionId() == f.GetQuestionId() })
	if i < 0 {
		return
	}
	d.Question, d.Text = p.Request.Questions[i].GetText(), f.GetText()
	p.tell(QuestionAnswered, d, p.approvers(everybody))
}
