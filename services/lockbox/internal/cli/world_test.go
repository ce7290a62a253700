package cli_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	bank         = devissuer.TenantBank
	subscription = "meadow-production"
	vm           = "/subscriptions/meadow-production/providers/Microsoft.Compute/virtualMachines/payments-"
)

// world is one customer with a few requests, as the stub's projection shows them.
type world struct {
	issuer   *devissuer.Issuer
	sequence uint64
	requests []*lockboxv1.RequestView // oldest first
	tickets  []*lockboxv1.TicketView
	tenant   *lockboxv1.TenantView
	events   []*lockboxv1.Event
	keys     *keys
}

// authority is the certificate of the bank's own authority.
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

func newWorld(issuer *devissuer.Issuer) *world {
	w := &world{issuer: issuer, sequence: 100}
	w.tenant = &lockboxv1.TenantView{
		Tenant: bank, DisplayName: "Meadow Bank", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, LockboxEnabled: true,
		Version: 4,
		Issuer:  issuer.TenantIssuer(bank).GetUrl(), IssuerKeys: 1,
		SignIn:               &lockboxv1.SignInView{Issuer: issuer.TenantIssuer(bank), SignedIn: true},
		IssuerKeysPassedOver: []string{"k2: secp256k1 is no curve that is used"},
		Settings: &lockboxv1.TenantSettings{
			DefaultLanguage: "en", RequiredApprovals: 1, Fallback: lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS,
			Alternates: []*lockboxv1.AlternateAddress{{Email: "desk@meadowbank.example", Language: "en"}},
		},
		Webhooks: []*lockboxv1.Webhook{{Id: "0190cccc-0000-7000-8000-000000000001", Name: "#lockbox", Language: "fr",
			Kind: lockboxv1.WebhookKind_WEBHOOK_KIND_SLACK, Address: "https://hooks.slack.com"}},
		Assignments: []*lockboxv1.AssignmentView{w.assignment("grace", "grace-admin",
			lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, true, "")},
		Subscriptions: []*lockboxv1.SubscriptionView{{SubscriptionId: subscription, DisplayName: "Production", Version: 3,
			Assignments: []*lockboxv1.AssignmentView{
				w.assignment("otto", "otto-owner", lockboxv1.Role_ROLE_OWNER, true, ""),
				w.assignment("eli", "eli-eligible", lockboxv1.Role_ROLE_OWNER, false, "eligible, but not activated"),
				{Assignment: &lockboxv1.RoleAssignment{Id: "on-call-owner", Group: devissuer.OnCall, EligibleOnly: true,
					Role: lockboxv1.Role_ROLE_OWNER}},
			}}},
	}
	w.tenant.Subscriptions[0].Invitations = []*lockboxv1.InvitationView{{
		Invitation: &lockboxv1.RoleInvitation{Id: "i-audrey", Note: "Audrey of audit", Issuer: w.tenant.GetIssuer(),
			Role:  lockboxv1.Role_ROLE_LOCKBOX_APPROVER,
			Until: timestamppb.New(time.Now().Add(50 * time.Hour))},
		State: lockboxv1.InvitationState_INVITATION_STATE_REDEEMED, InvitedBy: w.actor("grace"),
		RedeemedBy: issuer.Person("audrey"), SubscriptionId: subscription, Where: "Production",
	}}
	w.tickets = []*lockboxv1.TicketView{{
		TicketId: "sr-2026-0001", Reference: "SR-2026-0001", Tenant: bank,
		Title: "The payment service does not answer", Description: "It hangs.",
		SubscriptionId: subscription,
		OpenedAt:       timestamppb.New(time.Now().Add(-3 * time.Hour)), OpenedBy: w.actor("otto"),
		Engineer: issuer.Person("erin"),
		Team:     "Compute support", Version: 2,
	}}
	w.requests = []*lockboxv1.RequestView{
		w.request(1, "memory-dump", lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED),
		w.request(2, "remote-desktop", lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL),
		w.request(3, "memory-dump", lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE),
	}
	w.tenant.SignIn.Former = []*lockboxv1.TenantIssuer{{Url: "https://old.meadowbank.example"}}
	w.tenant.SignIn.FormerKeys = []*lockboxv1.IssuerKeys{{Usable: 1, PassedOver: []string{"k3: of 1024 bits"}}}
	at := w.tenant.GetSignIn().GetIssuer()
	at.Leeway, at.TokenMaxBytes, at.Authorities = durationpb.New(10*time.Second), 20000, []byte(authority)
	w.events = w.history(w.requests[0])
	w.keys = newKeys(w)
	return w
}

func (w *world) assignment(
	persona, id string, role lockboxv1.Role, active bool, reason string,
) *lockboxv1.AssignmentView {
	return &lockboxv1.AssignmentView{Assignment: &lockboxv1.RoleAssignment{Id: id, Person: w.issuer.Person(persona),
		Role: role}, Active: active, Reason: reason}
}

func (w *world) actor(persona string) *lockboxv1.Actor {
	p, _ := devissuer.Find(persona)
	a := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: w.issuer.Person(persona), MultiFactor: true}
	if p.Tenant == "" {
		a.Side, a.Employer, a.Groups = lockboxv1.Side_SIDE_PROVIDER, p.Employer, p.Groups
	}
	return a
}

func (w *world) request(n int, scenario string, status lockboxv1.RequestStatus) *lockboxv1.RequestView {
	begun := time.Now().Add(-time.Duration(n) * time.Hour).Truncate(time.Second)
	return w.view(&lockboxv1.AccessIntent{
		Id: uuid(n), Tenant: bank, SubscriptionId: subscription, ResourceType: "compute/virtual-machines", Scenario: scenario,
		ResourceIds: []string{vm + "1", vm + "2"}, ReasonType: lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT,
		Justification: "The machine hangs; a dump will show where.", TicketId: "SR-2026-0001",
	}, "erin", status, begun)
}

func (w *world) view(
	in *lockboxv1.AccessIntent, by string, status lockboxv1.RequestStatus, begun time.Time,
) *lockboxv1.RequestView {
	v := &lockboxv1.RequestView{
		RequestId: in.GetId(), Tenant: bank, TenantName: "Meadow Bank", Status: status, Version: 3, Intent: in,
		Requester: w.actor(by),
		CreatedAt: timestamppb.New(begun), ServiceName: "Virtual machines",
		ScenarioName:     strings.ReplaceAll(in.GetScenario(), "-", " "),
		SubscriptionName: "Production",
		Evaluation: &lockboxv1.AccessEvaluated{
			Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES, Duration: durationpb.New(8 * time.Hour),
			Reasons:       []string{"This operation reaches customer data, so the customer decides."},
			PolicyVersion: policy.Default().Version(), CatalogueVersion: catalogue.Default().Version(),
			Rules: []*lockboxv1.MatchedRule{{
				Id: "ordinary-permission", Effect: lockboxv1.RuleEffect_RULE_EFFECT_ALLOW,
				Reason: "Ordinary permission needs no internal approval.",
			}},
			Facts: &lockboxv1.EvaluationFacts{
				ServiceName: "Virtual machines", CustomerData: true, MultiFactor: true, LockboxEnabled: true,
				Scope:       lockboxv1.Scope_SCOPE_SUBSCRIPTION,
				Stage:       lockboxv1.ServiceStage_SERVICE_STAGE_GENERALLY_AVAILABLE,
				SupportPlan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, Time: timestamppb.New(begun),
			},
		},
		Timeline: []*lockboxv1.TimelineEntry{{
			Sequence: w.next(), Time: timestamppb.New(begun), Type: "AccessRequested", Action: "Submit Access Intent",
			Actor: w.actor(by), Summary: "Erin Ellis asked for access.",
		}},
	}
	if in.GetDuration() != nil {
		v.Evaluation.Duration = in.GetDuration()
	}
	switch status {
	case lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL:
		v.Evaluation.InternalStages = []*lockboxv1.InternalStage{{Group: "devops-managers", Count: 1}}
		v.Evaluation.InternalExpiresAt = timestamppb.New(begun.Add(24 * time.Hour))
	case lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE:
		v.Grant = w.grant(v, in.GetResourceIds())
		fallthrough
	case lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED:
		w.notified(v, begun)
	default:
	}
	return v
}

func (w *world) notified(v *lockboxv1.RequestView, at time.Time) {
	v.Lockbox = &lockboxv1.CustomerNotified{
		Scope: lockboxv1.Scope_SCOPE_SUBSCRIPTION, Basis: lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION,
		RequiredApprovals: 1,
		ExpiresAt:         timestamppb.New(at.Add(96 * time.Hour)), TenantName: "Meadow Bank", SubscriptionName: "Production",
		Approvers: []*lockboxv1.Approver{
			{Person: w.issuer.Person("otto"), Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER}},
			{Person: w.issuer.Person("fleur"), Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_LOCKBOX_APPROVER}},
		},
	}
}

func (w *world) grant(v *lockboxv1.RequestView, resources []string) *lockboxv1.AccessGranted {
	now := time.Now()
	return &lockboxv1.AccessGranted{StartsAt: timestamppb.New(now),
		EndsAt: timestamppb.New(now.Add(v.GetEvaluation().GetDuration().AsDuration())), ResourceIds: resources}
}

func (w *world) next() uint64 {
	w.sequence++
	return w.sequence
}

// submitted is the outcome of an intent: it waits for the customer, unless the catalogue does not know its type.
func (w *world) submitted(in *lockboxv1.AccessIntent) *lockboxv1.IntentOutcome {
	o := &lockboxv1.IntentOutcome{IntentId: in.GetId(), Tenant: in.GetTenant()}
	if there, err := named(w.requests, in.GetId(), (*lockboxv1.RequestView).GetRequestId); err == nil {
		o.Duplicate, o.Sequence = true, there.GetTimeline()[0].GetSequence()
		return o
	}
	if in.GetResourceType() != "compute/virtual-machines" {
		o.Refusal = refusal.Of(refusal.Invalid("resource_type", "R10", "the catalogue has no such resource type"))
		return o
	}
	if in.GetDryRun() {
		o.DryRun, o.NextStep, o.Next = true, lockboxv1.NextStep_NEXT_STEP_CUSTOMER_DECISION, "The customer is asked."
		return o
	}
	who, err := client.ReadClaims(in.GetToken())
	if err != nil {
		o.Refusal = refusal.Of(err)
		return o
	}
	in.Token = ""
	w.requests = append(w.requests, w.view(in, who.Subject, lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED,
		time.Now()))
	o.Sequence = w.sequence
	return o
}

// answer answers a query. Customers of other tenants see nothing.
func (w *world) answer(q *lockboxv1.Query, who client.Claims) (*lockboxv1.QueryReply, error) {
	reply := &lockboxv1.QueryReply{Sequence: w.sequence}
	if q.GetMinSequence() > w.sequence {
		return nil, refusal.Unavailable("min_sequence", "I11", "the projection has not come to sequence %d yet",
			q.GetMinSequence())
	}
	if q.GetTenant() != "" && q.GetTenant() != bank {
		return nil, refusal.NotFound("", "I9", "there is nothing of that name that you may see")
	}
	var err error
	switch ask := q.GetAsk().(type) {
	case *lockboxv1.Query_ListRequests:
		reply.Answer = &lockboxv1.QueryReply_Requests{Requests: w.list(ask.ListRequests, who)}
	case *lockboxv1.Query_GetRequest:
		answer := &lockboxv1.QueryReply_Request{}
		answer.Request, err = named(w.requests, ask.GetRequest.GetRequestId(), (*lockboxv1.RequestView).GetRequestId)
		answer.Request = proto.CloneOf(answer.Request)
		reply.Answer = answer
	case *lockboxv1.Query_ListSimilar:
		list := &lockboxv1.SimilarList{}
		_, unknown := named(w.requests, ask.ListSimilar.GetRequestId(), (*lockboxv1.RequestView).GetRequestId)
		for _, v := range w.requests {
			other := func(id string) bool { return !slices.Contains(v.GetIntent().GetResourceIds(), id) }
			if v.GetIntent().GetResourceType() == ask.ListSimilar.GetResourceType() &&
				v.GetIntent().GetScenario() == ask.ListSimilar.GetScenario() && !request.Ended(v.GetStatus()) && unknown != nil &&
				!slices.ContainsFunc(ask.ListSimilar.GetResourceIds(), other) {
				list.Requests = append(list.Requests, &lockboxv1.SimilarRequest{RequestId: v.GetRequestId(), Status: v.GetStatus(),
					Requester: v.GetRequester().GetPerson().GetDisplayName(), Own: who.Subject == "erin"})
			}
		}
		reply.Answer = &lockboxv1.QueryReply_Similar{Similar: list}
	case *lockboxv1.Query_ListActivity:
		list := &lockboxv1.ActivityList{}
		if ask.ListActivity.GetPageToken() == "gone" {
			reply.Refusal = refusal.Of(refusal.NotFound("list_activity.page_token", "R39", "there is no such page"))
			break
		}
		if ask.ListActivity.GetPerson() == "cut" { // a log whose next page is not there
			list.NextPageToken = "gone"
		}
		for _, v := range w.requests {
			list.Activities = append(list.Activities,
				&lockboxv1.Activity{Entry: v.GetTimeline()[0], Tenant: bank, Kind: "request", AggregateId: v.GetRequestId()})
		}
		reply.Answer = &lockboxv1.QueryReply_Activity{Activity: list}
	case *lockboxv1.Query_ListAccess:
		list := &lockboxv1.AccessList{}
		if ask.ListAccess.GetPageToken() == "" {
			list.NextPageToken = "more"
		}
		list.Records = []*lockboxv1.AccessRecord{{Tenant: bank, Kind: lockboxv1.AccessKind_ACCESS_KIND_READ, Count: 3,
			Action: "get_request", AboutKind: "request", AboutId: "019b0000-0000-7000-8000-000000000001",
			Filter: fmt.Sprint(ask.ListAccess.GetKinds(), ask.ListAccess.GetProviderOnly(), ask.ListAccess.GetPerson()),
			Who:    &lockboxv1.AccessPerson{Name: "Erin Ellis", Side: lockboxv1.Side_SIDE_PROVIDER}}}
		reply.Answer = &lockboxv1.QueryReply_Access{Access: list}
	case *lockboxv1.Query_GetOverview:
		open := &lockboxv1.OpenFigures{Waiting: 2, OldestWaiting: timestamppb.New(time.Now().Add(-2 * time.Hour))}
		reply.Answer = &lockboxv1.QueryReply_Overview{Overview: &lockboxv1.Overview{AsOf: timestamppb.Now(), Open: open}}
	case *lockboxv1.Query_GetDashboard:
		if q.GetTenant() == bank {
			return nil, refusal.NotFound("", "I9", "there is nothing of that name that you may see")
		}
		of := &lockboxv1.CustomerFigures{Tenant: bank, TenantName: "Meadow Bank", FailedMails: 3}
		reply.Answer = &lockboxv1.QueryReply_Dashboard{Dashboard: &lockboxv1.Dashboard{AsOf: timestamppb.Now(), Total: of,
			Customers: []*lockboxv1.CustomerFigures{of}, Count: 1}}
	case *lockboxv1.Query_GetSelf:
		answer := &lockboxv1.QueryReply_Self{}
		answer.Self, err = w.self(q.GetToken())
		reply.Answer = answer
	case *lockboxv1.Query_GetKeys:
		reply.Answer = &lockboxv1.QueryReply_Keys{Keys: w.keysView()}
	case *lockboxv1.Query_GetSigning:
		answer := &lockboxv1.QueryReply_Signing{}
		answer.Signing, err = w.signingView(ask.GetSigning, who.Subject)
		reply.Answer = answer
	case *lockboxv1.Query_GetTenant_:
		if who.Employer != "" && who.Subject != "onboarding" {
			return nil, refusal.NotFound("", "I9", "there is nothing of that name that you may see")
		}
		reply.Answer = &lockboxv1.QueryReply_Tenant{Tenant: proto.CloneOf(w.tenant)}
	case *lockboxv1.Query_GetInvitation:
		offer := proto.CloneOf(w.tenant.GetSubscriptions()[0].GetInvitations()[0])
		reply.Answer = &lockboxv1.QueryReply_Invitation{Invitation: offer}
	case *lockboxv1.Query_GetTicket:
		answer := &lockboxv1.QueryReply_Ticket{}
		answer.Ticket, err = named(w.tickets, aggregate.TicketID(ask.GetTicket.GetTicketId()),
			(*lockboxv1.TicketView).GetTicketId)
		reply.Answer = answer
	case *lockboxv1.Query_ListTickets:
		reply.Answer = &lockboxv1.QueryReply_Tickets{Tickets: &lockboxv1.TicketList{Tickets: w.tickets}}
	case *lockboxv1.Query_ListDisclosures:
		reply.Answer = &lockboxv1.QueryReply_Disclosures{
			Disclosures: &lockboxv1.DisclosureList{Disclosures: []*lockboxv1.DisclosureView{{
				DisclosureId: "019b0000-0000-7000-8000-0000000000bb", Tenant: bank, Authority: "A court", Reference: "12/34",
				Occurrence:   &lockboxv1.Occurrence{What: "Account records"},
				EmbargoUntil: timestamppb.New(time.Now().Add(48 * time.Hour)),
			}}}}
	case *lockboxv1.Query_ListErasures:
		reply.Answer = &lockboxv1.QueryReply_Erasures{Erasures: w.erasures(ask.ListErasures.GetErasureId())}
	case *lockboxv1.Query_PreviewApprovers:
		v := &lockboxv1.RequestView{}
		w.notified(v, time.Now())
		reply.Answer = &lockboxv1.QueryReply_Approvers{Approvers: &lockboxv1.ApproversPreview{
			Basis: v.GetLockbox().GetBasis(), Approvers: v.GetLockbox().GetApprovers(),
			RequiredApprovals: w.tenant.GetSettings().GetRequiredApprovals(),
			Excluded: []*lockboxv1.ExcludedAssignment{{Person: w.issuer.Person("eli"), Role: lockboxv1.Role_ROLE_OWNER,
				Reason: "eligible, but not activated"}},
		}}
	}
	return reply, err
}

// self is what the services make of a token.
func (w *world) self(token string) (*lockboxv1.SelfView, error) {
	v, err := identity.NewVerifier([]identity.Issuer{w.issuer.ProviderIssuer()})
	if err != nil {
		return nil, err
	}
	by, err := v.Verify(token, w.issuer.TenantIssuer(bank), time.Now())
	if err != nil {
		return nil, err
	}
	readings, err := v.Explain(token, []*lockboxv1.TenantIssuer{w.issuer.TenantIssuer(bank)}, time.Now())
	self := &lockboxv1.SelfView{Actor: by}
	if by.GetSide() == lockboxv1.Side_SIDE_TENANT {
		self.Tenant, self.TenantName = bank, w.tenant.GetDisplayName()
	}
	for _, r := range readings {
		self.Claims = append(self.Claims, &lockboxv1.ClaimReading{Fact: r.Fact, Claim: r.Claim, Says: r.Says,
			CountsAs: r.CountsAs, Needs: r.Needs})
	}
	return self, err
}

// list is a page of two requests, the newest first.
func (w *world) list(q *lockboxv1.ListRequests, who client.Claims) *lockboxv1.RequestList {
	list := &lockboxv1.RequestList{}
	for _, v := range slices.Backward(w.requests) {
		waits := v.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED &&
			slices.Contains([]string{"otto", "fleur"}, who.Subject) ||
			v.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL && who.Subject == "derek"
		if len(q.GetStatuses()) > 0 && !slices.Contains(q.GetStatuses(), v.GetStatus()) || q.GetAwaitingMe() && !waits ||
			q.GetPageToken() != "" && v.GetRequestId() >= q.GetPageToken() ||
			!strings.HasPrefix(v.GetRequestId(), q.GetIdPart()) && !strings.HasSuffix(v.GetRequestId(), q.GetIdPart()) {
			continue
		}
		if len(list.GetRequests()) == 2 {
			list.NextPageToken = list.GetRequests()[1].GetRequestId()
			break
		}
		shown := proto.CloneOf(v)
		shown.Timeline = nil
		list.Requests = append(list.Requests, shown)
	}
	return list
}
