package request_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Emergencies: R43, I1, I10.

const emergency = lockboxv1.Waiver_WAIVER_EMERGENCY

// rosa may ask for emergency access; ray may too, and is a security officer besides.
var (
	rosa = story.Provider("rosa", aggregate.SupportEngineers, aggregate.EmergencyResponders)
	ray  = story.Provider("ray", aggregate.SupportEngineers, aggregate.EmergencyResponders, aggregate.SecurityOfficers)
)

func emergencyIntent() *lockboxv1.AccessIntent {
	in := diskIntent()
	in.Emergency, in.ReasonType, in.TicketId = true, lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT, ""
	return in
}

// hurried is the evaluation of an emergency, after the security officers and whoever else is asked before them.
func hurried(before ...*lockboxv1.InternalStage) *lockboxv1.AccessEvaluated {
	v := waived(emergency, append(before, stage(aggregate.SecurityOfficers, 1))...)
	v.Facts.Emergency, v.Duration = true, durationpb.New(time.Hour)
	return v
}

func emergencyWaits(t *testing.T, by *lockboxv1.Actor, v *lockboxv1.AccessEvaluated) *story.Story {
	t.Helper()
	s := contoso(owner(otto))
	play(t, s,
		row{0, by, submits(emergencyIntent()), is(request.Submitted)},
		row{0, box, evaluates(v), is(request.AwaitingInternalApproval)},
	)
	return s
}

// control: mcsb:PA-8, iso:8.2
func TestR43AnEmergencyWaitsForASecurityOfficerAndNotForTheCustomer(t *testing.T) {
	s := emergencyWaits(t, rosa, hurried())
	play(t, s,
		row{1, box, owed(request.Grant), already(request.AwaitingInternalApproval)},
		row{1, rosa, does(internalApprove()), no(forbidden, "token", "I10")},
		row{1, leo, does(internalApprove()), no(forbidden, "token", "R15")},
		row{1, otto, does(approve()), no(notFound, "aggregate_id", "I9")},
		row{2, sven, does(internalApprove()), is(request.Approved)},
		row{3, box, owed(request.Grant), is(request.Active)},
	)
	if g := s.Request().Grant; g.GetWaiver() != emergency ||
		g.GetEndsAt().AsTime().Sub(g.GetStartsAt().AsTime()) != time.Hour || s.Request().Notified != nil {
		t.Errorf("the grant %v", g)
	}
	// The customer can take it away, as any other.
	play(t, s, row{time.Minute, otto, does(revoke("not ours")), is(request.Revoked)})

	play(t, emergencyWaits(t, rosa, hurried()),
		row{1, sven, does(internalRefuse("it can wait")), is(request.InternallyDenied)})
	play(t, emergencyWaits(t, ray, hurried()), row{1, ray, does(internalApprove()), no(forbidden, "token", "I10")})
	s = emergencyWaits(t, rosa, hurried())
	play(t, s,
		row{day - 1, box, owed(request.Expire), already(request.AwaitingInternalApproval)},
		row{day, sven, does(internalApprove()), no(precondition, "aggregate_id", "R15")},
		row{day, box, owed(request.Expire), is(request.InternalExpired)},
	)
}

func TestR43WhatTheRulesDemandComesBesides(t *testing.T) {
	s := emergencyWaits(t, rosa, hurried(stage(aggregate.DevOpsManagers, 1)))
	play(t, s,
		row{1, sven, does(internalApprove()), no(forbidden, "token", "R15", "DevOps managers")},
		row{1, dana, does(internalApprove()), is(request.AwaitingInternalApproval)},
		row{2, box, owed(request.Grant), already(request.AwaitingInternalApproval)},
		row{2, sven, does(internalApprove()), is(request.Approved)},
		row{2, box, owed(request.Grant), is(request.Active)},
	)
}

// Whoever wrote the evaluation: without permission, flag, fact or officer there is no such basis.
func TestI1AnEmergencyRestsOnPermissionAndOfficer(t *testing.T) {
	bad := no(precondition, "aggregate_id", "I6", "a waiver rests on the facts")
	for name, c := range map[string]struct {
		by     *lockboxv1.Actor
		in     func() *lockboxv1.AccessIntent
		change func(v *lockboxv1.AccessEvaluated)
	}{
		"no permission": {eve, emergencyIntent, func(*lockboxv1.AccessEvaluated) {}},
		"no emergency":  {rosa, diskIntent, func(*lockboxv1.AccessEvaluated) {}},
		"not weighed":   {rosa, emergencyIntent, func(v *lockboxv1.AccessEvaluated) { v.Facts.Emergency = false }},
		"nobody inside": {rosa, emergencyIntent, func(v *lockboxv1.AccessEvaluated) { v.InternalStages = nil }},
		"no officer": {rosa, emergencyIntent,
			func(v *lockboxv1.AccessEvaluated) { v.InternalStages[0].Group = aggregate.SupportLeads }},
		"none of the officers": {rosa, emergencyIntent, func(v *lockboxv1.AccessEvaluated) { v.InternalStages[0].Count = 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			v := hurried()
			c.change(v)
			play(t, contoso(owner(otto)),
				row{0, c.by, submits(c.in()), is(request.Submitted)},
				row{0, box, evaluates(v), bad},
			)
		})
	}
}

func TestI1TheBasisOfAnEmergencyIsLookedAtAgain(t *testing.T) {
	for name, change := range map[string]func(s *request.State){
		"the permission": func(s *request.State) { s.Requester = eve },
		"the flag":       func(s *request.State) { s.Intent = diskIntent() },
		"the officer": func(s *request.State) {
			s.InternalDecisions = []*lockboxv1.Decision{{Actor: leo, Approved: true, Group: aggregate.SupportLeads}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := emergencyWaits(t, rosa, hurried())
			play(t, s, row{1, sven, does(internalApprove()), is(request.Approved)})
			change(state(s))
			e, err := s.At(start.Add(2)).Perform(request.Grant)
			if err != nil || !said(e.GetAccessLapsed().GetReason(), "security officer's approval") {
				t.Errorf("%v, %v", e, err)
			}
		})
	}
}

func TestR43AnEmergencyIsRefusedByFieldAndRule(t *testing.T) {
	for name, c := range map[string]struct {
		change      func(in *lockboxv1.AccessIntent)
		field, rule string
	}{
		"the customer's own ticket": {func(in *lockboxv1.AccessIntent) {
			in.ReasonType, in.TicketId = lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT, "T-1"
		}, "reason_type", "R43"},
		"a review": {func(in *lockboxv1.AccessIntent) {
			in.ReasonType = lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_REVIEW
		}, "reason_type", "R43"},
		"a third party": {func(in *lockboxv1.AccessIntent) {
			in.ReasonType = lockboxv1.ReasonType_REASON_TYPE_THIRD_PARTY_DATA_REQUEST
			in.CustomerMayBeTold = true
		}, "reason_type", "R43"},
		"longer than an emergency": {func(in *lockboxv1.AccessIntent) { in.Duration = durationpb.New(time.Hour + 1) },
			"duration", "R43"},
	} {
		t.Run(name, func(t *testing.T) {
			in := emergencyIntent()
			c.change(in)
			play(t, contoso(), row{0, rosa, submits(in), no(invalid, c.field, c.rule)})
		})
	}
	service := emergencyIntent()
	service.ReasonType, service.Duration = lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE,
		durationpb.New(time.Hour)
	play(t, contoso(), row{0, rosa, submits(service), is(request.Submitted)})
	none := contoso()
	none.Terms.EmergencyGrant = 0
	play(t, none, row{0, rosa, submits(emergencyIntent()), no(precondition, "emergency", "R43")})
}

// Whoever decides last starts access that the customer is not asked for, and says why.
func TestR43TheLastApprovalOfAnEmergencySaysWhy(t *testing.T) {
	silent := func() *lockboxv1.Command {
		return &lockboxv1.Command{Action: &lockboxv1.Command_InternalApprove{InternalApprove: &lockboxv1.InternalApprove{}}}
	}
	blank := silent()
	blank.GetInternalApprove().Comment = " \n "
	s := emergencyWaits(t, rosa, hurried(stage(aggregate.DevOpsManagers, 1)))
	play(t, s,
		row{1, dana, does(silent()), is(request.AwaitingInternalApproval)},
		row{2, sven, does(silent()), no(invalid, "internal_approve.comment", "R43")},
		row{2, sven, does(blank), no(invalid, "internal_approve.comment", "R43")},
		row{2, sven, does(internalApprove()), is(request.Approved)},
	)
}
