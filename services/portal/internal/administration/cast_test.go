package administration_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/administration"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const issuer = "https://login.meadowbank.example"

func person(subject, name, language string) *lockboxv1.Person {
	return &lockboxv1.Person{Issuer: issuer, Subject: subject, DisplayName: name, Email: subject + "@meadowbank.example",
		Language: language}
}

// The people of the bank, and their roles.
var (
	grace  = person("grace", "Grace Green", "en")
	otto   = person("otto", "Otto Owens", "en")
	fleur  = person("fleur", "Fleur Lefèvre", "fr")
	kenji  = person("kenji", "田中 健二", "ja")
	eli    = person("eli", "Eli Edwards", "")
	audrey = person("audrey", "Audrey Abbott", "en")
)

func ahead(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(sitetest.Now.Add(d)) }

func held(id string, p *lockboxv1.Person, role lockboxv1.Role, why lockboxv1.ReasonCode) *lockboxv1.AssignmentView {
	return &lockboxv1.AssignmentView{
		Assignment: &lockboxv1.RoleAssignment{Id: id, Person: p, Role: role}, Active: why == 0,
		Reason: tenant.Recorded(why), CodedReason: reason.Of(why),
	}
}

// meadowbank is a tenant as the projector answers about it.
func meadowbank() *lockboxv1.TenantView {
	eligible := held("eli-owner", eli, lockboxv1.Role_ROLE_OWNER, lockboxv1.ReasonCode_REASON_CODE_ROLE_NOT_ACTIVATED)
	eligible.Assignment.EligibleOnly, eligible.Assignment.ExpiresAt = true, ahead(30*24*time.Hour)
	activated := held("fleur-eligible", fleur, lockboxv1.Role_ROLE_LOCKBOX_APPROVER, 0)
	activated.Assignment.EligibleOnly, activated.ActiveUntil = true, ahead(5*time.Hour)
	inherited := held("kenji-inherited", kenji, lockboxv1.Role_ROLE_OWNER,
		lockboxv1.ReasonCode_REASON_CODE_ASSIGNED_AT_MANAGEMENT_GROUP)
	inherited.Assignment.Scope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP
	return &lockboxv1.TenantView{
		Tenant: "meadowbank", DisplayName: "Meadow Bank", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_PROFESSIONAL_DIRECT,
		LockboxEnabled: true, Issuer: issuer,
		Version: 7, Previews: []string{"machine-learning/workspaces"},
		Settings: &lockboxv1.TenantSettings{
			DefaultLanguage: "en", RequiredApprovals: 2, Fallback: lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS,
			MaxAuthenticationAge: durationpb.New(15 * time.Minute),
			Alternates: []*lockboxv1.AlternateAddress{{Email: "security-desk@meadowbank.example", Language: "fr"},
				{Email: "night@meadowbank.example"}},
		},
		Assignments: []*lockboxv1.AssignmentView{
			held("first-administrator", grace, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, 0),
			held("audrey-auditor", audrey, lockboxv1.Role_ROLE_AUDITOR, 0),
		},
		Subscriptions: []*lockboxv1.SubscriptionView{
			{SubscriptionId: "meadow-archive", DisplayName: "Archive", Version: 1},
			{SubscriptionId: "meadow-production", DisplayName: "Production", Version: 5,
				Assignments: []*lockboxv1.AssignmentView{
					held("otto-owner", otto, lockboxv1.Role_ROLE_OWNER, 0), activated, eligible, inherited,
					held("audrey-owner", audrey, lockboxv1.Role_ROLE_OWNER, lockboxv1.ReasonCode_REASON_CODE_ASSIGNMENT_ENDED),
				}},
		},
	}
}

func preview() *lockboxv1.ApproversPreview {
	return &lockboxv1.ApproversPreview{
		Basis: lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION, RequiredApprovals: 2,
		Approvers: []*lockboxv1.Approver{
			{Person: otto, Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER, lockboxv1.Role_ROLE_LOCKBOX_APPROVER}},
			{Person: fleur, Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_LOCKBOX_APPROVER}},
		},
		Excluded: []*lockboxv1.ExcludedAssignment{
			{Person: eli, Role: lockboxv1.Role_ROLE_OWNER, Reason: "eligible, but not activated (R21)",
				CodedReason: reason.Of(lockboxv1.ReasonCode_REASON_CODE_ROLE_NOT_ACTIVATED)},
			{Person: kenji, Role: lockboxv1.Role_ROLE_OWNER,
				Reason:      "assigned at management-group scope, which is not supported (R22)",
				CodedReason: reason.Of(lockboxv1.ReasonCode_REASON_CODE_ASSIGNED_AT_MANAGEMENT_GROUP)},
		},
	}
}

// bank answers as the services do, for whoever is signed in.
type bank struct {
	sitetest.Backend
	tenant  *lockboxv1.TenantView
	preview *lockboxv1.ApproversPreview
	me      *lockboxv1.SelfView
	metrics *observe.Metrics
}

func newBank(me *lockboxv1.Person, roles ...lockboxv1.Role) *bank {
	b := &bank{tenant: meadowbank(), preview: preview(), metrics: observe.NewMetrics()}
	b.me = &lockboxv1.SelfView{Tenant: "meadowbank", Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: me}}
	for _, r := range roles {
		b.me.Roles = append(b.me.Roles, &lockboxv1.HeldRole{Role: r})
	}
	b.Commands = map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error){}
	b.Queries = map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
		"get_self": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{Self: b.me}}, nil
		},
		"get_tenant": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Tenant{Tenant: b.tenant}}, nil
		},
		"preview_approvers": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Approvers{Approvers: b.preview}}, nil
		},
		"list_services": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Services{
				Services: &lockboxv1.ServiceList{Version: "2026.1", Services: []*lockboxv1.ServiceView{
					{ResourceType: "compute/virtual-machines", DisplayName: "Virtual machines",
						Stage: lockboxv1.ServiceStage_SERVICE_STAGE_GENERALLY_AVAILABLE},
					{ResourceType: "machine-learning/workspaces", DisplayName: "Machine Learning",
						Stage: lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW},
					{ResourceType: "batch/accounts", DisplayName: "Batch", Stage: lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW},
				}}}}, nil
		},
	}
	return b
}

// administrator is Grace, who may change things; auditor is Audrey, who may look at them.
func administrator() *bank { return newBank(grace, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR) }
func auditor() *bank       { return newBank(audrey, lockboxv1.Role_ROLE_AUDITOR) }

func served(t *testing.T, b *bank) http.Handler {
	t.Helper()
	s := sitetest.New(t, &b.Backend, sitetest.Otto())
	s.Counters, s.URL = b.metrics.For("portal"), "https://lockbox.example"
	routes, err := administration.Routes(s)
	if err != nil {
		t.Fatal(err)
	}
	return sitetest.Server(s, routes)
}
