package notifier

import (
	"fmt"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/keychain/keychaintest"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// holder is one of a customer's people with a key of theirs.
func holder(tenant, name string) story.Keyholder {
	return story.Keyholder{By: story.Customer(tenant, name), Key: approvaltest.New(tenant+name, approvaltest.Ed25519)}
}

// keys has something happen to a customer's keys, every few steps: they begin, others are added and removed, and some
// signatures are refused. They may all be refused too.
func (h *happenings) keys() {
	if h.steps%5 != 0 {
		return
	}
	nth := h.steps / 5
	tenant := customers[nth%2]
	gina, olga, other := holder(tenant, "gina"), holder(tenant, "olga"), holder(tenant, "lena")
	if h.States.Keys(tenant).Chain == nil {
		h.beginKeys(tenant, nth, gina, olga)
		return
	}
	switch nth / 2 % 6 {
	case 0:
		_ = h.Offer(other, tenant, approval.Approver)
	case 1:
		add := h.ChangeOf(tenant, approval.KeyChange{Change: approval.AddKey,
			Keys: []approval.Enrolment{other.Enrolment(approval.Approver)}})
		_ = h.SignKeys(gina.By, tenant, approval.FormatKeys, add, gina.Key)
		_ = h.SignKeys(other.By, tenant, approval.FormatKeys, add, other.Key)
		_ = h.SignKeys(olga.By, tenant, approval.FormatKeys, add, olga.Key)
	case 2:
		remove := h.ChangeOf(tenant, approval.KeyChange{Change: approval.RemoveKey, Remove: other.Key.ID()})
		_ = h.SignKeys(gina.By, tenant, approval.FormatKeys, remove, gina.Key)
	case 3:
		h.refuse(tenant, olga.By)
	default:
		_ = h.Offer(holder(tenant, fmt.Sprint("sam", nth)), tenant, approval.Approver)
	}
}

// beginKeys goes one step towards the beginning of a customer's keys.
func (h *happenings) beginKeys(tenant string, nth int, gina, olga story.Keyholder) {
	if nth/2%2 == 0 {
		h.try(gina.By, tenant, "", &lockboxv1.Command{Action: &lockboxv1.Command_AssignRole{
			AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{Id: fmt.Sprint("olga", nth),
				Person: olga.By.GetPerson(), Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
				Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT}}}})
		_ = h.Offer(gina, tenant, approval.Administrator)
		_ = h.Offer(olga, tenant, approval.Administrator)
		return
	}
	genesis, err := approval.Genesis{
		Format: approval.FormatGenesis, Origin: keychaintest.Origin, Tenant: tenant, Recovery: story.Recovery().Key,
		Threshold: 2, Demand: approval.DemandNone, DelaySeconds: uint64(time.Hour / time.Second),
		RecoverySeconds: uint64(time.Hour / time.Second), Witnesses: keychaintest.Witnesses(), Quorum: 2,
		Administrators: []approval.Enrolment{gina.Enrolment(approval.Administrator), olga.Enrolment(approval.Administrator)},
		IssuedAt:       approval.TimeText(start), Nonce: approvaltest.Hash(tenant),
	}.Bytes()
	if err != nil {
		h.Fatal(err)
	}
	_ = h.SignKeys(gina.By, tenant, approval.FormatGenesis, genesis, gina.Key)
	_ = h.SignKeys(olga.By, tenant, approval.FormatGenesis, genesis, olga.Key)
	_ = h.SignKeys(gina.By, tenant, approval.FormatGenesis, genesis, story.Recovery())
}

// refuse reports that somebody's signature did not hold.
func (h *happenings) refuse(tenant string, by *lockboxv1.Actor) {
	about := aggregate.Attempts(tenant)
	h.Record(&lockboxv1.Event{Tenant: about.Tenant, Kind: about.Kind, AggregateId: about.ID, ReportKey: h.ID(),
		Time: timestamppb.New(h.Now), Actor: by, CausationId: h.ID(),
		Fact: &lockboxv1.Event_SignatureRefused{SignatureRefused: &lockboxv1.SignatureRefused{Kind: aggregate.KindTenant,
			About: tenant, Verb: "change_settings"}}})
}
