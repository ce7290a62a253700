package administration_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

const production = "/subscriptions/meadow-production"

// grouping is a bank whose sign-in maps groups, and where a role of one is activated by Otto.
func grouping(b *bank, groups ...string) *bank {
	b.me.Actor.Groups = groups
	b.tenant.SignIn = &lockboxv1.SignInView{Issuer: &lockboxv1.TenantIssuer{Url: issuer, Audience: "lockbox",
		GroupsClaim: "roles", GroupMap: []*lockboxv1.MappedGroup{
			{Id: "7b1c1c5e-6a0c-4f6e-9a55-0d1b7a3f2c11", Name: "On call"}, {Id: "/lockbox/auditors"}}}}
	ofGroup := func(id, group string) *lockboxv1.AssignmentView {
		return &lockboxv1.AssignmentView{Assignment: &lockboxv1.RoleAssignment{Id: id, Group: group, EligibleOnly: true,
			Role: lockboxv1.Role_ROLE_OWNER, Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}}
	}
	held := held("group-0123456789abcdef", otto, lockboxv1.Role_ROLE_OWNER, 0)
	held.Assignment.Group, held.Assignment.ExpiresAt, held.ActiveUntil = "On call", ahead(5), ahead(5)
	at := b.tenant.GetSubscriptions()[1]
	at.Assignments = append(at.Assignments, held, ofGroup("on-call-owner", "On call"), ofGroup("gone-owner", "Gone"))
	return b
}

// A role of a group is shown as one that nobody holds by that; whoever's token names the group can activate it, and
// whoever has can end it (R67).
func TestR67ARoleOfAGroupIsShown(t *testing.T) {
	page := get(t, served(t, grouping(administrator())), production, http.StatusOK)
	holds(t, page, "<strong>On call</strong>", "Only for members who have activated it", "Through the group On call",
		"Nobody can activate it: your sign-in no longer names this group", "Assign to a group")
	lacks(t, page, `value="on-call-owner"`)
	page = get(t, served(t, grouping(newBank(eli), "On call")), production, http.StatusOK)
	holds(t, page, `name="assignment" value="on-call-owner"`)
	lacks(t, page, `value="gone-owner"`, `name="email"`, `value="group-0123456789abcdef"`)
	page = get(t, served(t, grouping(newBank(otto))), production, http.StatusOK)
	holds(t, page, `name="assignment" value="group-0123456789abcdef"`, `name="do" value="deactivate"`)
	lacks(t, page, `value="on-call-owner"`)
	lacks(t, get(t, served(t, administrator()), production, http.StatusOK), "Assign to a group")
	holds(t, get(t, served(t, grouping(auditor())), "/sign-in", http.StatusOK), "Groups that count",
		"(roles)", "<strong>On call</strong> =", "7b1c1c5e-6a0c-4f6e-9a55-0d1b7a3f2c11", "/lockbox/auditors")
	for lang, words := range map[string]string{"fr": "Groupe", "ja": "グループ"} {
		for _, page := range []string{production + "?", production + "/assign?to=group&", production + "/remove/gone-owner?",
			"/sign-in?"} {
			holds(t, get(t, served(t, grouping(administrator())), page+"lang="+lang, http.StatusOK), words)
		}
	}
}

func TestR67ARoleIsAssignedToAGroup(t *testing.T) {
	b := grouping(administrator())
	b.does(8)
	h := served(t, b)
	page := get(t, h, production+"/assign?to=group", http.StatusOK)
	holds(t, page, "Nobody holds the role by this", "are asked to approve")
	lacks(t, page, `name="subject"`, `name="eligible"`)
	values := filled(t, page, production+"/assign", "", "role", "ROLE_OWNER", "group", "On call")
	if w := sitetest.Post(h, base+production+"/assign", values); w.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := &lockboxv1.RoleAssignment{Group: "On call", EligibleOnly: true, Role: lockboxv1.Role_ROLE_OWNER,
		Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}
	got := proto.CloneOf(b.Done[0].GetAssignRole().GetAssignment())
	got.Id = ""
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	b.Commands["assign_role"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.Naming(refusal.Invalid("assign_role.assignment.group", "R67", "the map has changed"),
			"group", "On call")
	}
	w := sitetest.Post(h, base+production+"/assign", values)
	holds(t, w.Body.String(), `<a href="#group">Group</a>`, "sign-in has no group “On call”")
	holds(t, get(t, h, production+"/remove/on-call-owner", http.StatusOK), "loses it at once")
}

// What a token lacks is said on the page, and nothing was done (R67).
func TestR67WhatATokenLacksIsSaid(t *testing.T) {
	me := proto.CloneOf(eli)
	me.Email = ""
	b := grouping(newBank(me), "On call")
	b.does(8)
	h := served(t, b)
	activation := filled(t, get(t, h, production, http.StatusOK), production, `value="on-call-owner"`, "for", "1h0m0s",
		"email", "eli@elsewhere.example")
	if w := sitetest.Post(h, base+production, activation); w.Code != http.StatusSeeOther ||
		b.Done[0].GetActivateRole().GetEmail() != "eli@elsewhere.example" {
		t.Errorf("%d %v", w.Code, b.Done)
	}
	for _, r := range []error{
		refusal.Forbidden("token.groups", "R67", "the `roles` of your token do not name it"),
		refusal.Invalid("activate_role.email", "R24", "is no address"),
	} {
		b.Commands["activate_role"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) { return nil, r }
		w := sitetest.Post(h, base+production, activation)
		said, _ := refusal.As(r)
		if holds(t, w.Body.String(), said.GetMessage()); w.Code < 400 || strings.Contains(w.Body.String(), "R67") {
			t.Errorf("%d", w.Code)
		}
	}
}
