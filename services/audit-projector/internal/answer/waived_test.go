package answer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A customer's people see the access that began without asking them: all of it or, as owners, that of their
// subscriptions; and never another customer's.
func TestR3WhatBeganWithoutAskingIsListedByItself(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	c.assign("audrey", tenantRole, auditor, false)
	erin := c.actor("erin")
	submit := func(of, sub, scenario string) string {
		in := story.Dump(of, sub, "a")
		in.Scenario = scenario
		return c.story.Submit(erin, in)
	}
	asked := submit(bank, "prod", "memory-dump")
	old := submit(bank, "prod", "platform-health")
	test := submit(bank, "test", "platform-health")
	other := submit(health, "clinic-prod", "platform-health")
	c.story.Now = c.story.Now.Add(8 * 24 * time.Hour)
	lately := submit(bank, "prod", "platform-health")
	c.story.Command(c.actor("otto"), story.Approve(bank, submit(bank, "prod", "memory-dump")))
	since := timestamppb.New(c.story.Now.Add(-7 * 24 * time.Hour))
	for _, row := range []struct {
		who, of string
		ask     *lockboxv1.ListRequests
		want    []string
	}{
		{"grace", bank, &lockboxv1.ListRequests{Waived: true}, []string{lately, test, old}},
		{"audrey", bank, &lockboxv1.ListRequests{Waived: true, WaivedSince: since}, []string{lately}},
		{"otto", bank, &lockboxv1.ListRequests{Waived: true}, []string{lately, old}},
		{"hana", health, &lockboxv1.ListRequests{Waived: true}, []string{other}},
		{"hana", health, &lockboxv1.ListRequests{Waived: true, WaivedSince: since}, nil},
		{"olga", "", &lockboxv1.ListRequests{Waived: true}, []string{lately, other, test, old}},
		{"erin", bank, &lockboxv1.ListRequests{Waived: true}, []string{lately, test, old}},
		{"grace", bank, &lockboxv1.ListRequests{Waived: true, Statuses: []lockboxv1.RequestStatus{
			lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE}}, []string{lately}},
	} {
		got := ids(c.query(row.who, listRequests(row.of, row.ask)).GetRequests())
		if !slices.Equal(got, row.want) || slices.Contains(got, asked) {
			t.Errorf("%s of %q, %v: %v, want %v", row.who, row.of, row.ask, got, row.want)
		}
	}
	r := c.query("grace", listRequests(bank, &lockboxv1.ListRequests{WaivedSince: since})).GetRefusal()
	if r.GetCode() != invalid || r.GetField() != "list_requests.waived_since" || r.GetRule() != "R3" {
		t.Errorf("a time without the rest: %v", r)
	}
}

// The daily report is in the activity log of those who see the whole tenant, and of nobody else.
func TestR3AReportIsTheTenantsAlone(t *testing.T) {
	c := newCast(t)
	c.assign("otto", "prod", owner, false)
	in := story.Dump(bank, "prod", "a")
	in.Scenario = "platform-health"
	c.story.Submit(c.actor("erin"), in)
	c.story.Now = c.story.Now.Add(24 * time.Hour)
	c.story.Submit(c.actor("erin"), in)
	for who, want := range map[string]int{"grace": 1, "otto": 0, "erin": 0, "olga": 1} {
		q := &lockboxv1.Query{Tenant: bank, Ask: &lockboxv1.Query_ListActivity{ListActivity: &lockboxv1.ListActivity{
			Actions: []string{"WaivedAccessReported"}}}}
		if got := len(c.query(who, q).GetActivity().GetActivities()); got != want {
			t.Errorf("%s sees %d reports, want %d", who, got, want)
		}
	}
	q := &lockboxv1.Query{Tenant: health, Ask: &lockboxv1.Query_ListActivity{ListActivity: &lockboxv1.ListActivity{
		Actions: []string{"WaivedAccessReported"}}}}
	if got := len(c.query("hana", q).GetActivity().GetActivities()); got != 0 {
		t.Errorf("another customer sees %d", got)
	}
}
