package cli_test

import (
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// decide does what a command wants, or refuses in the ways that people should be shown.
func (w *world) decide(c *lockboxv1.Command, who client.Claims) (*lockboxv1.CommandReply, error) {
	aside := c.GetSetAsideMessage() != nil && c.GetAggregateId() == "guard"
	revoked := c.GetRevokeWriter() != nil && c.GetAggregateId() == "writers"
	if (aside || revoked) && who.Subject == "olga" && c.GetTenant() == "_" {
		return &lockboxv1.CommandReply{Sequence: w.next(), EventId: uuid(9000 + int(w.sequence))}, nil
	}
	if c.GetTenant() != bank && c.GetCreateTenant() == nil {
		return nil, refusal.NotFound("tenant", "I9", "there is no such tenant")
	}
	if c.GetEraseDetails() != nil || c.GetConfirmErasure() != nil || c.GetDeclineErasure() != nil {
		return &lockboxv1.CommandReply{Sequence: w.next(), EventId: uuid(9000 + int(w.sequence))}, nil
	}
	if c.GetOfferKey() != nil || c.GetSignKeys() != nil {
		return w.decideKeys(c)
	}
	about, err := named(w.requests, c.GetAggregateId(), (*lockboxv1.RequestView).GetRequestId)
	switch c.GetAction().(type) {
	case *lockboxv1.Command_Approve, *lockboxv1.Command_Deny, *lockboxv1.Command_Revoke, *lockboxv1.Command_Ask,
		*lockboxv1.Command_Answer,
		*lockboxv1.Command_Withdraw, *lockboxv1.Command_Release, *lockboxv1.Command_InternalApprove,
		*lockboxv1.Command_InternalRefuse:
		if err != nil {
			return nil, err
		}
		return w.decideRequest(c, about, who)
	case *lockboxv1.Command_EnableLockbox:
		if w.tenant.GetLockboxEnabled() {
			return &lockboxv1.CommandReply{Sequence: w.sequence, Version: w.tenant.GetVersion(),
				Message: "nothing to do: it is so already"}, nil
		}
		w.tenant.LockboxEnabled = true
	case *lockboxv1.Command_DisableLockbox, *lockboxv1.Command_SignOffPreview:
		if err := w.checkChange(c, who.Subject); err != nil {
			return nil, err
		}
		if c.GetSignOffPreview() != nil {
			break
		}
		if who.Subject != "grace" {
			return nil, refusal.Forbidden("token", "R2", "only a Global Administrator of the tenant may do this")
		}
		w.tenant.LockboxEnabled = false
	case *lockboxv1.Command_ChangeSettings:
		if c.GetSeenVersion() != w.tenant.GetVersion() {
			return nil, refusal.Conflict("seen_version", "R29", "it has changed since you saw it")
		}
		w.tenant.Settings = c.GetChangeSettings().GetSettings()
	case *lockboxv1.Command_OpenTicket:
		t := c.GetOpenTicket()
		w.tickets = append(w.tickets, &lockboxv1.TicketView{TicketId: aggregate.TicketID(t.GetReference()),
			Reference: t.GetReference(), Tenant: bank, Title: t.GetTitle(),
			Description: t.GetDescription(), Version: 1, OpenedAt: timestamppb.Now(),
			OpenedBy:         &lockboxv1.Actor{Employer: who.Employer, Person: w.issuer.Person(who.Subject)},
			OpenedByProvider: who.Employer != ""})
	}
	w.tenant.Version++
	return &lockboxv1.CommandReply{Sequence: w.next(), Version: w.tenant.GetVersion(),
		EventId: uuid(9000 + int(w.sequence))}, nil
}

func (w *world) decideRequest(
	c *lockboxv1.Command, v *lockboxv1.RequestView, who client.Claims,
) (*lockboxv1.CommandReply, error) {
	by := w.actor(who.Subject)
	decision := &lockboxv1.Decision{Actor: by, Time: timestamppb.Now()}
	if seen := c.GetSeenVersion(); seen != 0 && seen < v.GetVersion() {
		return nil, refusal.Conflict("seen_version", "R29", "it has changed since you saw it: version %d then, %d now", seen,
			v.GetVersion())
	}
	if err := w.checkSigned(c, v, by.GetPerson()); err != nil {
		return nil, err
	}
	approver := slices.Contains([]string{"otto", "fleur"}, who.Subject)
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_Approve:
		if list := v.GetCustomerDecisions(); len(list) > 0 && list[0].GetActor().GetPerson().GetSubject() == who.Subject {
			return &lockboxv1.CommandReply{Sequence: w.sequence, Version: v.GetVersion(),
				Message: "already approved by Otto Owens at 2026-05-12 12:00:00 UTC"}, nil
		} else if len(list) > 0 {
			return nil, refusal.Conflict("aggregate_id", "R29", "already approved by Otto Owens at 2026-05-12 12:00:00 UTC")
		}
		if !approver {
			return nil, refusal.Forbidden("token", "R20", "you were not an approver when this request was created")
		}
		if err := (tenant.State{Settings: w.tenant.GetSettings()}).Fresh(by, time.Now()); err != nil {
			return nil, err // as nobody's token says here when they signed in
		}
		if a.Approve.GetDuration().AsDuration() > v.GetEvaluation().GetDuration().AsDuration() {
			return nil, refusal.Invalid("approve", "R27",
				"an approval may shorten the time, never lengthen it; asked for were 8h0m0s")
		}
		if a.Approve.GetDuration() != nil {
			v.Evaluation.Duration = a.Approve.GetDuration()
		}
		resources := a.Approve.GetResourceIds()
		if len(resources) == 0 {
			resources = v.GetIntent().GetResourceIds()
		}
		decision.Approved, decision.Reason, decision.Signed = true, a.Approve.GetReason(), c.GetSigned()
		v.CustomerDecisions = append(v.CustomerDecisions, decision)
		v.Status, v.Grant = lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE, w.grant(v, resources)
	case *lockboxv1.Command_Deny:
		if a.Deny.GetReason() == "" {
			return nil, refusal.Invalid("deny.reason", "R28", "is required")
		}
		w.end(v, lockboxv1.RequestStatus_REQUEST_STATUS_DENIED, a.Deny.GetReason())
	case *lockboxv1.Command_Revoke:
		if v.GetStatus() != lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE {
			return nil, refusal.Precondition("aggregate_id", "R32", "there is no access to take away")
		}
		w.end(v, lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED, a.Revoke.GetReason())
	case *lockboxv1.Command_Withdraw:
		w.end(v, lockboxv1.RequestStatus_REQUEST_STATUS_WITHDRAWN, a.Withdraw.GetReason())
	case *lockboxv1.Command_Release:
		w.end(v, lockboxv1.RequestStatus_REQUEST_STATUS_RELEASED, a.Release.GetReason())
	case *lockboxv1.Command_Ask:
		v.Questions = append(v.Questions, &lockboxv1.Question{QuestionId: c.GetId(), Asker: by, AskedAt: timestamppb.Now(),
			Text: a.Ask.GetText()})
	case *lockboxv1.Command_Answer:
		q, err := named(v.GetQuestions(), a.Answer.GetQuestionId(), (*lockboxv1.Question).GetQuestionId)
		if err != nil {
			return nil, err
		}
		q.Answerer, q.AnsweredAt, q.Answer = by, timestamppb.Now(), a.Answer.GetText()
	case *lockboxv1.Command_InternalApprove:
		decision.Approved, decision.Reason = true, a.InternalApprove.GetComment()
		v.InternalDecisions = append(v.InternalDecisions, decision)
		v.Status = lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED
		w.notified(v, time.Now())
	case *lockboxv1.Command_InternalRefuse:
		w.end(v, lockboxv1.RequestStatus_REQUEST_STATUS_INTERNALLY_DENIED, a.InternalRefuse.GetReason())
	}
	v.Version++
	reply := &lockboxv1.CommandReply{Sequence: w.next(), Version: v.GetVersion(), EventId: uuid(9000 + int(w.sequence))}
	v.Timeline = append(v.Timeline, &lockboxv1.TimelineEntry{
		Sequence: w.sequence, Time: timestamppb.Now(), Type: "Happened", Action: "Happened", Actor: by, Summary: who.Name +
			": " + bus.Verb(c) + ".",
	})
	return reply, nil
}

func (w *world) end(v *lockboxv1.RequestView, status lockboxv1.RequestStatus, reason string) {
	v.Status, v.EndedAt, v.EndReason = status, timestamppb.Now(), reason
}

// history is the first request as events that the domain accepts.
func (w *world) history(v *lockboxv1.RequestView) []*lockboxv1.Event {
	system := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "jit-evaluator"}
	event := func(n int, by *lockboxv1.Actor) *lockboxv1.Event {
		return &lockboxv1.Event{
			Id: uuid(500 + n), Tenant: bank, Kind: "request", AggregateId: v.GetRequestId(), Version: uint64(n), Actor: by,
			CorrelationId: v.GetRequestId(),
			Time:          timestamppb.New(v.GetCreatedAt().AsTime().Add(time.Duration(n) * time.Second)),
		}
	}
	requested, evaluated, notified := event(1, v.GetRequester()), event(2, system), event(3, system)
	requested.Fact = &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{Intent: v.GetIntent(),
		Tool: "console"}}
	evaluated.Fact = &lockboxv1.Event_AccessEvaluated{AccessEvaluated: v.GetEvaluation()}
	notified.Fact = &lockboxv1.Event_CustomerNotified{CustomerNotified: v.GetLockbox()}
	return []*lockboxv1.Event{requested, evaluated, notified}
}
