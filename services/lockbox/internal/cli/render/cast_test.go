package render

import (
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func person(subject, name, language string) *lockboxv1.Person {
	return &lockboxv1.Person{Issuer: "https://login.example", Subject: subject, DisplayName: name, Email: subject +
		"@meadowbank.example", Language: language}
}

func engineer() *lockboxv1.Actor {
	p := person("erin", "Erin Ellis", "en")
	p.Email = "erin@nimbus.example"
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: p, Employer: "Nimbus Cloud", MultiFactor: true}
}

func customer(subject, name string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: person(subject, name, "en")}
}

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(-d)) }

func entry(
	sequence uint64, before time.Duration, typ, action string, by *lockboxv1.Actor, summary string,
) *lockboxv1.TimelineEntry {
	return &lockboxv1.TimelineEntry{Sequence: sequence, Time: ago(before), Type: typ, Action: action, Actor: by,
		Summary: summary}
}

var system = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "jit-evaluator"}

func baseRequest(id, scenario string, status lockboxv1.RequestStatus, begun time.Duration) *lockboxv1.RequestView {
	return &lockboxv1.RequestView{
		RequestId: id, Tenant: "meadowbank", TenantName: "Meadow Bank", Status: status, Version: 3, Requester: engineer(),
		CreatedAt:   ago(begun),
		ServiceName: "Virtual machines", ScenarioName: scenario, SubscriptionName: "Production",
		Intent: &lockboxv1.AccessIntent{
			Id: id, Tenant: "meadowbank", SubscriptionId: "meadow-production", ResourceType: "compute/virtual-machines",
			Scenario: "memory-dump",
			ResourceIds: []string{"/subscriptions/meadow-production/virtualMachines/payments-1",
				"/subscriptions/meadow-production/virtualMachines/payments-2"},
			ReasonType: lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT, TicketId: "SR-2026-0001",
			Justification: "The payment service hangs a few minutes after each start, and nothing in the logs says why.\nA memory dump of both machines, taken while they hang, will show where.",
		},
		Evaluation: &lockboxv1.AccessEvaluated{
			Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES, Duration: durationpb.New(8 * time.Hour),
			Reasons:       []string{"This operation reaches customer data, so the customer decides."},
			PolicyVersion: "builtin-1", CatalogueVersion: "2026.1+0123456789abcdef",
		},
		Timeline: []*lockboxv1.TimelineEntry{
			entry(41, begun, "AccessRequested", "Submit Access Intent", engineer(),
				"Erin Ellis (Nimbus Cloud) asked for access (Virtual machines, Memory dump of a running machine) to 2 resources."),
			entry(42, begun-time.Second, "AccessEvaluated", "Evaluate Access Intent", system, "The customer decides."),
		},
	}
}

func notifiedRequest() *lockboxv1.RequestView {
	v := baseRequest("019e1b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b", "Memory dump of a running machine",
		lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED, 20*time.Hour)
	v.Lockbox = &lockboxv1.CustomerNotified{
		Scope: lockboxv1.Scope_SCOPE_SUBSCRIPTION, Basis: lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION,
		RequiredApprovals: 2, ExpiresAt: timestamppb.New(now.Add(76 * time.Hour)),
		Approvers: []*lockboxv1.Approver{
			{Person: person("otto", "Otto Owens", "en"), Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER}},
			{Person: person("fleur", "Fleur Lefèvre", "fr"), Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_LOCKBOX_APPROVER}},
			{Person: person("kenji", "田中 健二", "ja"),
				Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER, lockboxv1.Role_ROLE_LOCKBOX_APPROVER}},
		},
		Excluded: []*lockboxv1.ExcludedAssignment{{Person: person("eli", "Eli Edwards", "en"),
			Role: lockboxv1.Role_ROLE_OWNER, Reason: "eligible, but not activated"}},
		Alternates: []*lockboxv1.AlternateAddress{{Email: "security-desk@meadowbank.example", Language: "en"}},
		TenantName: "Meadow Bank", SubscriptionName: "Production",
	}
	v.CustomerDecisions = []*lockboxv1.Decision{{Actor: customer("fleur", "Fleur Lefèvre"), Time: ago(2 * time.Hour),
		Approved: true, Reason: "Allez-y.", Duration: durationpb.New(2 * time.Hour)}}
	v.Questions = []*lockboxv1.Question{
		{QuestionId: "019e1b40-0000-7000-8000-000000000001", Asker: customer("otto", "Otto Owens"),
			AskedAt: ago(3 * time.Hour), Text: "Do you need both machines at the same time?", Answerer: engineer(),
			AnsweredAt: ago(170 * time.Minute), Answer: "No, one after the other is fine."},
		{QuestionId: "019e1b40-0000-7000-8000-000000000002", Asker: customer("kenji", "田中 健二"),
			AskedAt: ago(10 * time.Minute), Text: "決済への影響はありますか。停止時間も教えてください。"},
	}
	v.Timeline = append(v.Timeline,
		entry(43, 20*time.Hour-2*time.Second, "CustomerNotified", "Create Lockbox Request", system,
			"The customer was notified: Otto Owens, Fleur Lefèvre and 田中 健二 can decide until 2026-05-15 16:30 UTC; two of them must approve."),
		entry(44, 20*time.Hour-3*time.Second, "NotificationSent", "Send Notification", system,
			"The mail \"approval-requested\" to otto@meadowbank.example was taken by the mail server."),
		entry(50, 3*time.Hour, "QuestionAsked", "Ask about Lockbox Request", customer("otto", "Otto Owens"),
			"Otto Owens asked: “Do you need both machines at the same time?”."),
		entry(51, 170*time.Minute, "QuestionAnswered", "Answer about Lockbox Request", engineer(),
			"Erin Ellis (Nimbus Cloud) answered: “No, one after the other is fine.”."),
		entry(52, 2*time.Hour, "CustomerApproved", "Approve Lockbox Request", customer("fleur", "Fleur Lefèvre"),
			"Fleur Lefèvre approved access to 2 resources for 2h: “Allez-y.”."))
	return v
}

func internalRequest() *lockboxv1.RequestView {
	v := baseRequest("019e1b3d-0000-7000-8000-0000000000ff", "Remote desktop access to a Windows machine",
		lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL, 21*time.Hour)
	v.Evaluation.InternalStages = []*lockboxv1.InternalStage{{Group: "devops-managers", Count: 1}}
	v.Evaluation.InternalExpiresAt = timestamppb.New(now.Add(3 * time.Hour))
	v.Evaluation.Reasons = append(v.Evaluation.Reasons,
		"Elevated permission needs a DevOps manager's approval first.")
	v.Requester.MultiFactor, v.Requester.IsolatedIdentity, v.Requester.Employer = false, true, "Brightline Contractors"
	return v
}

func activeRequest() *lockboxv1.RequestView {
	v := baseRequest("019e1b3e-0000-7000-8000-0000000000aa", "予約データベースの読み取り",
		lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE, 30*time.Minute)
	v.Tenant, v.TenantName, v.ServiceName, v.SubscriptionName = "sakura", "Sakura Health", "SQL databases", "診療システム"
	v.Intent.ResourceIds = v.Intent.ResourceIds[:1]
	v.Grant = &lockboxv1.AccessGranted{
		StartsAt: ago(10 * time.Minute), EndsAt: timestamppb.New(now.Add(110 * time.Minute)),
		ResourceIds: v.Intent.GetResourceIds(), Waiver: lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP,
		ResourceType: v.Intent.GetResourceType(), Scenario: v.Intent.GetScenario(),
		Mode: lockboxv1.AccessMode_ACCESS_MODE_ELEVATED,
	}
	v.Timeline = append(v.Timeline, entry(60, 10*time.Minute, "AccessGranted", "Grant Access", system,
		"Access began, for 2h."))
	return v
}

func deniedRequest() *lockboxv1.RequestView {
	v := baseRequest("019e1b30-0000-7000-8000-0000000000dd", "Memory dump of a running machine",
		lockboxv1.RequestStatus_REQUEST_STATUS_DENIED, 50*time.Hour)
	v.Lockbox = &lockboxv1.CustomerNotified{Basis: lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK, RequiredApprovals: 1,
		ExpiresAt: timestamppb.New(now.Add(46 * time.Hour))}
	v.CustomerDecisions = []*lockboxv1.Decision{{Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
		Person: &lockboxv1.Person{DisplayName: "Grace Green"}}, Time: ago(49 * time.Hour), Reason: "Not during the audit."}}
	v.EndedAt, v.EndReason = ago(49*time.Hour), "Not during the audit."
	v.Timeline = append(v.Timeline, entry(30, 49*time.Hour, "CustomerDenied", "Deny Lockbox Request",
		customer("grace", "Grace Green"), "Grace Green denied access: “Not during the audit.”."))
	return v
}

// authority is the certificate of a customer's own authority.
const authority = `-----BEGIN CERTIFICATE-----
MIIBrjCCAVOgAwIBAgIULWXhg4xQDbQ/Jrr8wP77EHjxfAgwCgYIKoZIzj0EAwIw
LDEQMA4GA1UECgwHQ29udG9zbzEYMBYGA1UEAwwPQ29udG9zbyBSb290IENBMB4X
DTI2MTEzMDA1MTMwM1oXDTM2MTEyNzA1MTMwM1owLDEQMA4GA1UECgwHQ29udG9z
bzEYMBYGA1UEAwwPQ29udG9zbyBSb290IENBMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEpgJB0y4b9gONT7GWfadjVmrLtEQ6Da5Ily5KGQCce6um200mAgEch4Cg
tl9D27p4RSSnoiPVTH1aAnA6G73O8aNTMFEwHQYDVR0OBBYEFI0+Sz0bLfRVybOL
Gu3egKAprkK+MB8GA1UdIwQYMBaAFI0+Sz0bLfRVybOLGu3egKAprkK+MA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAPAg+us8FQ3ZyzewUmvzSIXd
LdQS9M0ZsAOlPqhLhEUGAiEA4BGwTh80Q69oemx4PBZhyy52j5tGhh7MXXUtvxYc
3Qg=
-----END CERTIFICATE-----
`

func sakura() *lockboxv1.TenantView {
	held := func(id, subject, name string, role lockboxv1.Role, active bool, reason string) *lockboxv1.AssignmentView {
		return &lockboxv1.AssignmentView{Assignment: &lockboxv1.RoleAssignment{Id: id, Person: person(subject, name, "ja"),
			Role: role}, Active: active, Reason: reason}
	}
	ends := held("kenji-owner", "kenji", "田中 健二", lockboxv1.Role_ROLE_OWNER, true, "")
	ends.ActiveUntil = timestamppb.New(now.Add(5 * time.Hour))
	byGroup := held("group-1f2e3d4c5b6a7988", "rin", "鈴木 凛", lockboxv1.Role_ROLE_OWNER, true, "")
	byGroup.ActiveUntil, byGroup.Assignment.Group = timestamppb.New(now.Add(3*time.Hour)), "当直"
	ofGroup := func(id, group string) *lockboxv1.AssignmentView {
		return &lockboxv1.AssignmentView{Assignment: &lockboxv1.RoleAssignment{Id: id, Group: group, EligibleOnly: true,
			Role: lockboxv1.Role_ROLE_OWNER}}
	}
	return &lockboxv1.TenantView{
		Tenant: "sakura", DisplayName: "Sakura Health", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_PROFESSIONAL_DIRECT,
		SignIn: &lockboxv1.SignInView{Issuer: &lockboxv1.TenantIssuer{GroupsClaim: "roles",
			GroupMap: []*lockboxv1.MappedGroup{
				{Id: "7b1c1c5e-6a0c-4f6e-9a55-0d1b7a3f2c11", Name: "当直"}, {Id: "/lockbox/auditors"}},
			Leeway: durationpb.New(90 * time.Second), TokenMaxBytes: 32 << 10, Authorities: []byte(authority)},
			Former:     []*lockboxv1.TenantIssuer{{Url: "https://old.sakura.example"}},
			FormerKeys: []*lockboxv1.IssuerKeys{{PassedOver: []string{"key 1: secp256k1 is no curve that is used"}}}},
		Issuer: "https://login.sakura.example", Previews: []string{"machine-learning/workspaces", "bot/services"},
		Settings: &lockboxv1.TenantSettings{
			DefaultLanguage: "ja", RequiredApprovals: 2, Fallback: lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS,
			Alternates: []*lockboxv1.AlternateAddress{{Email: "desk@sakura.example", Language: "ja"},
				{Email: "night@sakura.example"}},
		},
		Webhooks: []*lockboxv1.Webhook{
			{Id: "0190cccc-0000-7000-8000-000000000001", Name: "監視センター", Language: "ja",
				Kind: lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD, Address: "https://soc.sakura.example:8443"},
			{Id: "0190cccc-0000-7000-8000-000000000002", Name: "#lockbox", Language: "en", Types: []string{"CustomerDenied"},
				Kind: lockboxv1.WebhookKind_WEBHOOK_KIND_SLACK, Address: "https://hooks.slack.com"}},
		Assignments: []*lockboxv1.AssignmentView{held("hana-admin", "hana", "佐藤 花", lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
			true, "")},
		Subscriptions: []*lockboxv1.SubscriptionView{
			{SubscriptionId: "sakura-clinic", DisplayName: "診療システム",
				Assignments: []*lockboxv1.AssignmentView{ends, byGroup, ofGroup("on-call", "当直"), ofGroup("gone", "former team"),
					held("inherited", "yuki", "Yuki Ito", lockboxv1.Role_ROLE_OWNER, false,
						"assigned at management-group scope, which is not supported")}},
			{SubscriptionId: "sakura-archive"},
		},
	}
}

func preview() *lockboxv1.ApproversPreview {
	n := notifiedRequest().GetLockbox()
	return &lockboxv1.ApproversPreview{Basis: n.GetBasis(), Approvers: n.GetApprovers(), Excluded: n.GetExcluded(),
		RequiredApprovals: 2}
}

func ticket() *lockboxv1.TicketView {
	return &lockboxv1.TicketView{
		TicketId: "SR-2026-0001", Tenant: "meadowbank", Title: "The payment service does not answer",
		SubscriptionId: "meadow-production", Team: "Compute support",
		Description: "Since the update of last night the machine payments-1 hangs after a few minutes.\n\nIt needs a restart each time.",
		OpenedAt:    ago(30 * time.Hour), OpenedBy: customer("otto", "Otto Owens"), Engineer: engineer().GetPerson(),
		History: []*lockboxv1.TimelineEntry{
			entry(20, 30*time.Hour, "TicketOpened", "Open Support Ticket", customer("otto", "Otto Owens"),
				"Otto Owens opened SR-2026-0001: “The payment service does not answer”."),
			entry(21, 29*time.Hour, "TicketAssigned", "Assign Support Ticket", engineer(),
				"Lena Lang (Nimbus Cloud) gave it to Erin Ellis (Compute support)."),
		},
	}
}

func activities() []*lockboxv1.Activity {
	var list []*lockboxv1.Activity
	for _, e := range notifiedRequest().GetTimeline() {
		list = append(list, &lockboxv1.Activity{Entry: e, Tenant: "meadowbank", Kind: "request",
			AggregateId: "019e1b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"})
	}
	list[0].Emergency = true
	return list
}

func events() []*lockboxv1.Event {
	return []*lockboxv1.Event{
		{
			Tenant: "meadowbank", Kind: "request", AggregateId: "019e1b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b", Version: 5,
			Time: ago(2 * time.Hour), Actor: customer("fleur", "Fleur Lefèvre"),
			Fact: &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{Reason: "Allez-y.",
				Duration: durationpb.New(2 * time.Hour), ResourceIds: []string{"/a"}}},
		},
		{
			Tenant: "sakura", Kind: "delivery", AggregateId: "019e1b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b", ReportKey: "abc",
			Time: ago(time.Hour), Actor: system,
			Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{
				Notification: &lockboxv1.Notification{Template: "approval-requested", Recipient: "kenji@sakura.example"}}},
		},
	}
}

func looked() []*lockboxv1.AccessRecord {
	const id = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
	return []*lockboxv1.AccessRecord{
		{Tenant: "meadowbank", Time: ago(time.Minute), Kind: lockboxv1.AccessKind_ACCESS_KIND_EXPORT, Action: "list_activity",
			Format: "csv", Filter: "person=erin", Results: 1200, Count: 2,
			Who: &lockboxv1.AccessPerson{Name: "Audrey Abbott", Side: lockboxv1.Side_SIDE_TENANT}},
		{Tenant: "meadowbank", Time: ago(time.Hour), Kind: lockboxv1.AccessKind_ACCESS_KIND_READ, Action: "get_request",
			AboutKind: "request", AboutId: id, Results: 1, Count: 1,
			Who: &lockboxv1.AccessPerson{Name: "Erin Ellis", Side: lockboxv1.Side_SIDE_PROVIDER}},
		{Tenant: "meadowbank", Time: ago(2 * time.Hour), Kind: lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED,
			Action: "approve", AboutKind: "request", AboutId: id, Count: 1, Emergency: true,
			RefusalCode: lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED},
		{Tenant: "meadowbank", Time: ago(3 * time.Hour), Kind: lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED,
			LeftOut: 1940},
		{Tenant: "_", Time: ago(4 * time.Hour), Kind: lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED, Reason: "stale",
			Count: 1},
	}
}
