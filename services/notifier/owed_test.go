package notifier

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/longtest"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The auditor derives whom a mail is owed to by rules of its own. Over whatever happens, what it expects is what is
// planned here, but for the provider's groups, of whose addresses events know nothing.
func TestI16WhatIsPlannedIsWhatIsOwed(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for seed := range uint64(longtest.Count(5)) {
		h := begin(t, seed)
		h.tell(500)
		w := newWorld(t)
		stored := map[aggregate.Key]uint64{}
		for _, e := range h.Entries {
			writer, about := w.orchestrator, aggregate.KeyOf(e.Event)
			if e.Event.GetAccessRequested() != nil || e.Event.GetAccessEvaluated() != nil {
				writer = w.evaluator
			}
			var seq uint64
			var err error
			if aggregate.Reported(about.Kind) {
				seq, _, err = writer.Report(t.Context(), e.Event)
			} else {
				seq, err = writer.Append(t.Context(), stored[about], e.Event)
			}
			if err != nil || seq != e.Seq {
				t.Fatalf("event %d became %d: %v", e.Seq, seq, err)
			}
			stored[about] = seq
		}
		n, err := newNotifier(w.runtime(), config(25))
		if err != nil {
			t.Fatal(err)
		}
		owed := map[uint64][]string{}
		for _, m := range invariant.Mails(h.History(), 0) {
			owed[m.Sequence] = append(owed[m.Sequence], m.Template+" to "+strings.ToLower(m.Recipient))
		}
		for _, e := range h.Entries {
			planned := planned(t.Context(), t, n, e)
			slices.Sort(owed[e.Seq])
			if diff := cmp.Diff(planned, owed[e.Seq]); diff != "" {
				t.Errorf("seed %d, event %d, %s by %s (-planned +owed):\n%s", seed, e.Seq, e.Subject,
					e.Event.GetActor().GetPerson().GetSubject(), diff)
			}
			if len(planned) > 0 && !invariant.MayOweMail(e.Event) {
				t.Errorf("it is said that no mail can be owed about %s", e.Subject)
			}
			for _, p := range planned {
				template, _, _ := strings.Cut(p, " ")
				seen[template]++
			}
		}
	}
	t.Log(seen)
	for _, template := range plan.Templates() {
		switch template {
		case plan.InternalApprovalRequested, plan.InternalApprovalReminder, plan.IntegrityAlarm, plan.StrayMessage,
			plan.HistoryAlarm, plan.MailOverdue, plan.Contested, plan.Digest, plan.ErasureConfirmation,
			plan.PreviewSignedUp, plan.PreviewSignedOff:
		default:
			if seen[string(template)] == 0 {
				t.Errorf("no mail says %s", template)
			}
		}
	}
}

// planned returns what would be mailed about an event to others than the provider's groups.
func planned(ctx context.Context, t *testing.T, n *notifier, e journal.Entry) (list []string) {
	t.Helper()
	if !plan.Tells(e.Event) {
		return nil
	}
	in, err := n.read(ctx, e)
	if err != nil {
		t.Fatal(err)
	}
	if in.Fault() != nil {
		t.Fatal(in.Fault())
	}
	for _, m := range plan.Plan(in, n.settings) {
		if m.Standing != plan.InternalApprover && m.Standing != plan.SecurityOfficer {
			list = append(list, string(m.Template)+" to "+strings.ToLower(m.Recipient))
		}
	}
	slices.Sort(list)
	return list
}

// happenings is a story of two customers in which anything happens.
type happenings struct {
	*testing.T
	*story.Story
	*rand.Rand
	open        []aggregate.Key
	assignments int
	mover       *mover
	steps       int
	wanted      map[string]bool
}

func begin(t *testing.T, seed uint64) *happenings {
	h := &happenings{T: t, Story: story.New(start), Rand: rand.New(rand.NewPCG(seed, 16)), wanted: map[string]bool{}}
	h.ByHand = true
	h.mover = &mover{h, rand.New(rand.NewPCG(seed, 65))}
	return h
}

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

var shipped, services = sync.OnceValue(policy.Default), sync.OnceValue(catalogue.Default)

func oneOf[T any](h *happenings, from ...T) T { return from[h.IntN(len(from))] }

var customers = []string{"contoso", "fabrikam"}

// people of a customer. Pat has no address, Sam and Ola share one, and Erin's is also the engineer's.
func (h *happenings) person(tenant string) *lockboxv1.Actor {
	name := oneOf(h, "otto", "olga", "lena", "pat", "sam", "ola", "erin", "gina")
	a := story.Customer(tenant, name)
	switch name {
	case "pat":
		a.Person.Email = ""
	case "sam":
		a.Person.Email = "Shared@" + tenant + ".example"
	case "ola":
		a.Person.Email = "shared@" + tenant + ".example"
	case "erin":
		a.Person.Email = "erin@nimbus.example"
	}
	return a
}

func admin(tenant string) *lockboxv1.Actor { return story.Customer(tenant, "gina") }

var engineer = story.Provider("erin", aggregate.SupportEngineers, aggregate.EmergencyResponders)

func (h *happenings) tell(steps int) {
	for _, c := range customers {
		h.Create(c, strings.ToUpper(c), nil, admin(c))
		for i := range 2 {
			h.Subscription(c, fmt.Sprintf("%s-Sub-%d", c, i), "Production")
		}
	}
	for range steps {
		h.Now = h.Now.Add(oneOf(h, time.Second, time.Second, time.Minute, time.Minute, time.Hour, 8*time.Hour))
		if h.IntN(3) > 0 {
			h.owed()
		}
		h.mover.step()
		h.erase()
		h.keys()
		tenant := oneOf(h, customers...)
		sub := h.subscription(tenant)
		switch h.IntN(16) {
		case 0, 1, 2, 3:
			h.role(tenant, sub)
		case 4:
			if h.IntN(2) == 0 {
				h.settings(tenant)
				break
			}
			h.tenant(tenant, sub)
		case 5, 6:
			h.submit(tenant, sub)
		default:
			h.decide()
		}
	}
}

// subscription is spelled in some way.
func (h *happenings) subscription(tenant string) string {
	whose := oneOf(h, tenant, tenant, tenant, oneOf(h, customers...))
	return fmt.Sprintf(oneOf(h, "%s-Sub-%d", "%s-sub-%d"), whose, h.IntN(2))
}

// owed does what is owed to requests and disclosures by the passing of time.
func (h *happenings) owed() {
	for _, about := range h.open {
		h.Owed(about)
	}
	for _, c := range customers {
		h.Owed(aggregate.Tenant(c))
		for i := range 2 {
			h.Owed(aggregate.Subscription(c, fmt.Sprintf("%s-Sub-%d", c, i)))
		}
	}
}

// try gives a command that may be refused.
func (h *happenings) try(by *lockboxv1.Actor, tenant, id string, c *lockboxv1.Command) {
	c.Tenant, c.AggregateId = tenant, id
	_ = h.Try(by, c)
}

func (h *happenings) role(tenant, sub string) {
	in, held := oneOf(h, sub, ""), h.States.Tenant(tenant).Roles.All()
	if in != "" {
		held = h.States.Subscription(tenant, in).Roles.All()
	}
	what := h.IntN(7)
	if len(held) == 0 {
		what = 6
	}
	var id string
	by := admin(tenant)
	if what < 4 {
		one := oneOf(h, held...)
		if id = one.GetId(); one.GetEligibleOnly() || what < 3 {
			by = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: one.GetPerson(), MultiFactor: true}
		}
	}
	switch what {
	case 0, 1:
		h.try(by, tenant, in, &lockboxv1.Command{Action: &lockboxv1.Command_ActivateRole{
			ActivateRole: &lockboxv1.ActivateRole{AssignmentId: id, Until: timestamppb.New(h.Now.Add(time.Hour))}}})
	case 2:
		h.try(by, tenant, in, &lockboxv1.Command{Action: &lockboxv1.Command_DeactivateRole{
			DeactivateRole: &lockboxv1.DeactivateRole{AssignmentId: id}}})
	case 3:
		h.try(admin(tenant), tenant, in, &lockboxv1.Command{Action: &lockboxv1.Command_RemoveRole{
			RemoveRole: &lockboxv1.RemoveRole{AssignmentId: id}}})
	default:
		h.assignments++
		a := &lockboxv1.RoleAssignment{Id: fmt.Sprint("r", h.assignments), Person: h.person(tenant).GetPerson(),
			EligibleOnly: h.IntN(4) == 0, Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT,
			Role: oneOf(h, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, lockboxv1.Role_ROLE_LOCKBOX_APPROVER)}
		if in != "" {
			a.Scope, a.Role = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION, oneOf(h, lockboxv1.Role_ROLE_OWNER,
				lockboxv1.Role_ROLE_LOCKBOX_APPROVER)
			if h.IntN(6) == 0 {
				a.Scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP
			}
		}
		if h.IntN(4) == 0 {
			a.ExpiresAt = timestamppb.New(h.Now.Add(oneOf(h, time.Hour, 48*time.Hour)))
		}
		h.try(admin(tenant), tenant, in, &lockboxv1.Command{Action: &lockboxv1.Command_AssignRole{
			AssignRole: &lockboxv1.AssignRole{Assignment: a}}})
	}
}

func (h *happenings) settings(tenant string) {
	s := &lockboxv1.TenantSettings{DefaultLanguage: oneOf(h, "en", "fr", "ja"), RequiredApprovals: uint32(1 + h.IntN(2)),
		Fallback: oneOf(h, lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS,
			lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS)}
	for _, address := range []string{"Otto@" + tenant + ".example", "soc@" + tenant + ".example", "erin@nimbus.example"} {
		if h.IntN(2) == 0 {
			s.Alternates = append(s.Alternates, &lockboxv1.AlternateAddress{Email: address})
		}
	}
	h.try(admin(tenant), tenant, "", &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{
		ChangeSettings: &lockboxv1.ChangeSettings{Settings: s}}})
}

func (h *happenings) tenant(tenant, sub string) {
	onboarding, officer := story.Provider("orla", aggregate.Onboarding), story.Provider("sven", aggregate.SecurityOfficers)
	switch h.IntN(6) {
	case 0:
		h.try(onboarding, tenant, "", &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSupportPlan{
			ChangeSupportPlan: &lockboxv1.ChangeSupportPlan{Plan: lockboxv1.SupportPlan(1 + h.IntN(4))}}})
	case 1:
		h.try(admin(tenant), tenant, "", &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
			DisableLockbox: &lockboxv1.DisableLockbox{Reason: "a test"}}})
	case 2:
		h.try(admin(tenant), tenant, "", &lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{
			EnableLockbox: &lockboxv1.EnableLockbox{}}})
		h.webhook(tenant)
	case 3, 4:
		embargo := oneOf(h, 0, 24*time.Hour)
		about := aggregate.Disclosure(tenant, h.Disclose(officer, tenant, "A file was opened.", embargo))
		h.open = append(h.open, about)
		h.Owed(about)
	default:
		from := customers[0]
		if from == tenant {
			from = customers[1]
		}
		h.try(onboarding, tenant, sub, &lockboxv1.Command{Action: &lockboxv1.Command_TransferSubscription{
			TransferSubscription: &lockboxv1.TransferSubscription{From: from, DisplayName: "Moved", Reason: "sold"}}})
	}
}

// webhook adds one, or removes it again.
func (h *happenings) webhook(tenant string) {
	c := &lockboxv1.Command{Action: &lockboxv1.Command_AddWebhook{AddWebhook: &lockboxv1.AddWebhook{
		Kind: lockboxv1.WebhookKind_WEBHOOK_KIND_SLACK, Name: "#lockbox", SecretUrl: "https://hooks.slack.com/services/x"}}}
	if all := h.States.Tenant(tenant).Webhooks; len(all) > 0 {
		c.Action = &lockboxv1.Command_RemoveWebhook{RemoveWebhook: &lockboxv1.RemoveWebhook{WebhookId: all[0].GetId()}}
	}
	h.try(admin(tenant), tenant, "", c)
}

// submit carries a request to where it waits. Now and then whoever asks the customer lies about whom, or has read its
// roles long ago.
func (h *happenings) submit(tenant, sub string) {
	in := oneOf(h, story.Dump, story.Disk)(tenant, sub, "vm-1")
	switch h.IntN(5) {
	case 0:
		in.SubscriptionId, in.ResourceType, in.Scenario = "", "directory/tenants", "directory-content"
		in.ResourceIds = []string{"/tenants/" + tenant + "/users"}
	case 1:
		in.Emergency, in.ReasonType = true, lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE
	}
	in.Id = h.ID()
	submitted, err := h.Submitted(engineer, in)
	if err != nil {
		h.Fatal(err)
	}
	h.Record(submitted)
	about := aggregate.Request(tenant, in.GetId())
	w := h.States.World(h.States.Request(about))
	verdict := policy.Evaluate(policy.Facts{Intent: in, By: engineer, Tenant: w.Tenant, Subscription: w.Subscription,
		History: &lockboxv1.EngineerHistory{}}, shipped(), services(), h.Terms, h.Now)
	evaluated, _, err := request.RecordEvaluation(h.States.Request(about), verdict, story.System("jit-evaluator"), h.Now)
	if err != nil {
		h.Fatal(err)
	}
	h.Record(evaluated)
	h.open = append(h.open, about)
	if h.IntN(3) > 0 {
		h.Owed(about)
		return
	}
	before := len(h.Entries)
	forged := h.Clone()
	forged.Owed(about)
	for _, e := range forged.Entries[before:] {
		e := proto.CloneOf(e.Event)
		h.forge(e.GetCustomerNotified())
		h.Record(e)
	}
}

// forge changes whom a request asks.
func (h *happenings) forge(n *lockboxv1.CustomerNotified) {
	if n == nil {
		return
	}
	switch some := len(n.GetApprovers()) > 0; {
	case h.IntN(3) == 0:
		n.TenantSequence = oneOf(h, 1, n.GetTenantSequence())
		n.SubscriptionSequence = oneOf(h, 0, n.GetSubscriptionSequence())
	case some && h.IntN(2) == 0:
		n.Approvers = n.GetApprovers()[1:]
	case some:
		n.Approvers[0].Person.Email = "eve@evil.example"
	default:
		n.Alternates = []*lockboxv1.AlternateAddress{{Email: "eve@evil.example"}}
	}
}

// decide lets somebody do something about an open request, whether they may or not.
func (h *happenings) decide() {
	if len(h.open) == 0 {
		return
	}
	about := h.open[len(h.open)-1-h.IntN(min(len(h.open), 4))]
	who := h.person(about.Tenant)
	r := h.States.Request(about)
	if a := r.Notified.GetApprovers(); len(a) > 0 {
		who = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: oneOf(h, a...).GetPerson(), MultiFactor: true}
	}
	stage, _ := r.Stage()
	internal := story.Provider(oneOf(h, "derek", "dora"), stage.GetGroup(), aggregate.SecurityOfficers)
	c := story.About(about.Tenant, about.ID)
	by := who
	what := h.IntN(10)
	if r.Status == request.Active {
		what = 8 + h.IntN(2)
	}
	switch what {
	case 0, 1, 2:
		c = story.Approve(about.Tenant, about.ID)
	case 3:
		c = story.Deny(about.Tenant, about.ID)
	case 4, 5:
		c, by = story.InternalApprove(about.Tenant, about.ID), internal
	case 6:
		c.Action, by = &lockboxv1.Command_InternalRefuse{InternalRefuse: &lockboxv1.InternalRefuse{Reason: "no"}}, internal
	case 7:
		c.Action = &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "Why?"}}
		if q := r.Questions; len(q) > 0 {
			c.Action, by = &lockboxv1.Command_Answer{Answer: &lockboxv1.Answer{Text: "Because.",
				QuestionId: q[0].GetQuestionId()}}, engineer
		}
	case 8:
		c.Action, by = &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{Reason: "done"}}, engineer
		if r.Status == request.Active {
			c.Action = &lockboxv1.Command_Release{Release: &lockboxv1.Release{Reason: "done"}}
		}
	default:
		c.Action = &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: "enough"}}
	}
	if h.Try(by, c) != nil || h.IntN(3) == 0 {
		return
	}
	if h.States.Request(about).Status == request.Approved && h.IntN(2) == 0 {
		h.unseat(about.Tenant, r.Intent.GetSubscriptionId(), by)
	}
	h.Owed(about)
}

// unseat removes somebody's roles.
func (h *happenings) unseat(tenant, sub string, who *lockboxv1.Actor) {
	for _, in := range []string{"", sub} {
		held := h.States.Tenant(tenant).Roles
		if in != "" {
			held = h.States.Subscription(tenant, in).Roles
		}
		for _, a := range held.All() {
			if a.GetPerson().GetSubject() == who.GetPerson().GetSubject() {
				h.try(admin(tenant), tenant, in, &lockboxv1.Command{Action: &lockboxv1.Command_RemoveRole{
					RemoveRole: &lockboxv1.RemoveRole{AssignmentId: a.GetId()}}})
			}
		}
	}
}
