package aggregate_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/longtest"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", strconv.Itoa(longtest.Count(500))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// Every fold is total: any event may follow any other. What cannot be true changes nothing but Fault, and nothing is
// folded after it.

func TestRequestFoldIsTotal(t *testing.T) {
	total(t, "request", request.Evolve, func(s *request.State) *aggregate.History { return &s.History })
}

func TestTenantFoldIsTotal(t *testing.T) {
	total(t, "tenant", tenant.Evolve, func(s *tenant.State) *aggregate.History { return &s.History })
}

func TestSubscriptionFoldIsTotal(t *testing.T) {
	total(t, "subscription", tenant.EvolveSubscription,
		func(s *tenant.Subscription) *aggregate.History { return &s.History })
}

func TestOwnershipFoldIsTotal(t *testing.T) {
	total(t, "ownership", tenant.EvolveOwnership, func(s *tenant.Ownership) *aggregate.History { return &s.History })
}

func TestTicketFoldIsTotal(t *testing.T) {
	total(t, "ticket", ticket.Evolve, func(s *ticket.State) *aggregate.History { return &s.History })
}

func TestPublishedRulesFoldIsTotal(t *testing.T) {
	total(t, "policy", policy.Evolve, func(s *policy.Published) *aggregate.History { return &s.History })
}

func total[S any](
	t *testing.T, kind string, evolve func(S, uint64, *lockboxv1.Event) S, history func(*S) *aggregate.History,
) {
	t.Helper()
	folded, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var s S
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			sequence, e := anyEvent(t, kind, history(&s))
			before := s
			s = evolve(s, sequence, e)
			if again := evolve(before, sequence, e); !reflect.DeepEqual(again, s) {
				t.Fatalf("the same event on the same state gives two states")
			}
			fault := history(&s).Fault
			switch was := history(&before).Fault; {
			case fault == nil:
				folded++
				if h := history(&s); h.Version != e.GetVersion() || h.Sequence != sequence {
					t.Fatalf("folded, but at version %d", h.Version)
				}
				continue
			case was == nil && fault.Sequence != sequence:
				t.Fatalf("the fault is at %d, not %d", fault.Sequence, sequence)
			case was != nil && fault != was:
				t.Fatalf("a second fault")
			case fault.Rule == "":
				t.Fatalf("a fault without a rule")
			}
			refused++
			but := s
			history(&but).Fault = history(&before).Fault
			if !reflect.DeepEqual(but, before) {
				t.Fatalf("an event that cannot be true changed the state: %v", e)
			}
		}
	})
	if folded == 0 || refused == 0 {
		t.Errorf("%d events folded, %d refused: this shows nothing", folded, refused)
	}
}

// anyEvent is an event of random content, more often than not one that could stand next.
func anyEvent(t *rapid.T, kind string, h *aggregate.History) (uint64, *lockboxv1.Event) {
	e := new(lockboxv1.Event)
	facts := e.ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	fact := facts.Get(rapid.IntRange(0, facts.Len()-1).Draw(t, "fact"))
	if h.Version == 0 && rapid.IntRange(0, 3).Draw(t, "begins") > 0 {
		fact = facts.ByName(map[string]protoreflect.Name{
			"request": "access_requested", "tenant": "tenant_created", "subscription": "subscription_registered",
			"ticket": "ticket_opened",
			"policy": "rules_published", "ownership": "ownership_recorded",
		}[kind])
	}
	fill(t, e.ProtoReflect().Mutable(fact).Message(), 4)
	e.Actor = new(lockboxv1.Actor)
	fill(t, e.GetActor().ProtoReflect(), 2)
	e.Tenant, e.Kind, e.AggregateId, e.Version = "contoso", kind, "contoso", h.Version+1
	if kind == aggregate.KindRequest {
		e.AggregateId = requestID
	}
	e.Time = timestamppb.New(instant(t))
	if in := e.GetAccessRequested().GetIntent(); in != nil {
		in.Id, in.Tenant, e.Actor.Side = e.GetAggregateId(), e.GetTenant(), lockboxv1.Side_SIDE_PROVIDER
	}
	// Somebody who may change what they change, every other time.
	if admin := (&lockboxv1.Person{Issuer: "https://login.contoso.example", Subject: "gina"}); rapid.Bool().Draw(t,
		"may") {
		switch e.GetFact().(type) {
		case *lockboxv1.Event_TenantCreated:
			e.Actor.Side, e.Actor.Person, e.Actor.Groups = lockboxv1.Side_SIDE_PROVIDER, admin, []string{aggregate.Onboarding}
			e.GetTenantCreated().Administrator = &lockboxv1.RoleAssignment{
				Id: "first", Person: admin, Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
			}
		case *lockboxv1.Event_AccessRequested:
			e.GetAccessRequested().Intent = &lockboxv1.AccessIntent{
				Id: e.GetAggregateId(), Tenant: e.GetTenant(), ResourceType: "entra/directory", Scenario: "look",
				ResourceIds: []string{"/tenants/contoso/a"}, Justification: "Nobody can sign in.",
				ReasonType: lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT,
			}
			e.Actor.Side, e.Actor.Person = lockboxv1.Side_SIDE_PROVIDER, &lockboxv1.Person{Subject: "eve"}
		case *lockboxv1.Event_OwnershipRecorded:
			e.Actor.Side, e.Actor.Person, e.Actor.Groups = lockboxv1.Side_SIDE_PROVIDER, admin, []string{aggregate.Onboarding}
			e.GetOwnershipRecorded().Adopted = false
			e.GetOwnershipRecorded().Owner = &lockboxv1.OwnedSubscription{Tenant: "fabrikam", SubscriptionId: "CONTOSO"}
		case *lockboxv1.Event_TicketAssigned, *lockboxv1.Event_TicketReassigned:
		default:
			e.Actor.Side, e.Actor.Person = lockboxv1.Side_SIDE_TENANT, admin
		}
	}
	if published := e.GetRulesPublished() != nil || e.GetCataloguePublished() != nil; published && kind == "policy" {
		if p := e.GetCataloguePublished(); p != nil {
			sum := sha256.Sum256([]byte(p.GetText()))
			p.Sha256, e.AggregateId = sum[:], "catalogue"
		} else {
			p := e.GetRulesPublished()
			sum := sha256.Sum256([]byte(p.GetText()))
			p.Sha256, e.AggregateId = sum[:], "rules"
		}
		e.Actor.Side, e.Actor.Groups, e.Actor.Person = lockboxv1.Side_SIDE_PROVIDER, []string{aggregate.SecurityOfficers},
			&lockboxv1.Person{Subject: "olga"}
	}
	if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
		fill(t, e.ProtoReflect(), 0)
	}
	return h.Sequence + rapid.Uint64Range(0, 5).Draw(t, "sequence"), e
}
