// Package demo fills an empty Lockbox with two customers, so that there is something to try out. It uses the same
// commands, under the same rules, as any other client.
package demo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

// The demo's subscriptions and tickets.
const (
	BankProduction = "meadow-production"
	BankTest       = "meadow-test"
	HealthClinic   = "sakura-clinic"
	BankTicket     = "SR-2026-0001"
	HealthTicket   = "SR-2026-0002"
)

// Machine returns the resource id of a virtual machine in a subscription.
func Machine(subscription, name string) string {
	return "/subscriptions/" + subscription + "/resourceGroups/payments" +
		"/providers/Microsoft.Compute/virtualMachines/" + name
}

type step struct {
	as, tenant, about string
	command           *lockboxv1.Command
}

// Seed creates what does not exist yet. Each step has the same command id on every run, so running it again changes
// nothing.
func Seed(ctx context.Context, nc *nats.Conn, issuer *devissuer.Issuer, now func() time.Time) error {
	return seed(ctx, nc, issuer, now, func(step) bool { return true })
}

// SeedTenants creates the customers alone, as Seed does first; Seed does the rest.
func SeedTenants(ctx context.Context, nc *nats.Conn, issuer *devissuer.Issuer, now func() time.Time) error {
	return seed(ctx, nc, issuer, now, func(s step) bool { return s.command.GetCreateTenant() != nil })
}

func seed(
	ctx context.Context, nc *nats.Conn, issuer *devissuer.Issuer, now func() time.Time, wanted func(step) bool,
) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, customer := range []string{devissuer.TenantBank, devissuer.TenantHealth} {
		all.Go(func() error {
			for i, s := range steps(issuer) {
				if s.tenant != customer || !wanted(s) {
					continue
				}
				if err := s.take(ctx, nc, issuer, stepID(i, s), now()); err != nil {
					return fmt.Errorf("demo: %s of %s as %s: %w", bus.Verb(s.command), s.tenant, s.as, err)
				}
			}
			return nil
		})
	}
	return all.Wait()
}

func (s step) take(ctx context.Context, nc *nats.Conn, issuer *devissuer.Issuer, id string, now time.Time) error {
	token, err := issuer.Token(s.as, now)
	if err != nil {
		return err
	}
	c := s.command
	c.Id, c.Tenant, c.AggregateId, c.Token = id, s.tenant, s.about, token
	return send(ctx, nc, c)
}

func steps(d *devissuer.Issuer) []step {
	bank, health := devissuer.TenantBank, devissuer.TenantHealth
	return []step{
		{"onboarding", bank, "", create(d, bank, devissuer.TenantBankName, "grace", "en",
			lockboxv1.SupportPlan_SUPPORT_PLAN_PROFESSIONAL_DIRECT)},
		{"grace", bank, "", &lockboxv1.Command{
			Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}},
		{"grace", bank, "", &lockboxv1.Command{
			Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{
				Settings: &lockboxv1.TenantSettings{
					DefaultLanguage: "en", RequiredApprovals: 1, Fallback: lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS,
					Alternates: []*lockboxv1.AlternateAddress{{Email: "security-desk@meadowbank.example", Language: "en"}},
				},
			}}}},
		{"grace", bank, "", assign(d, "audrey-auditor", "audrey", lockboxv1.Role_ROLE_AUDITOR, tenantScope)},
		{"onboarding", bank, BankProduction, subscription("Production")},
		{"grace", bank, BankProduction, assign(d, "otto-owner", "otto", lockboxv1.Role_ROLE_OWNER, subscriptionScope)},
		{"grace", bank, BankProduction, assign(d, "fleur-approver", "fleur", lockboxv1.Role_ROLE_LOCKBOX_APPROVER,
			subscriptionScope)},
		{"grace", bank, BankProduction, eligible(assign(d, "eli-eligible", "eli", lockboxv1.Role_ROLE_OWNER,
			subscriptionScope))},
		{"onboarding", bank, BankTest, subscription("Test")},
		{"grace", bank, BankTest, assign(d, "otto-inherited", "otto", lockboxv1.Role_ROLE_OWNER, groupScope)},
		{"otto", bank, BankTicket, ticket("The payment service does not answer",
			"Since the update of last night the machine payments-1 hangs after a few minutes.", BankProduction)},
		{"lena", bank, BankTicket, give(d, "erin")},

		{"onboarding", health, "", create(d, health, devissuer.TenantHealthName, "hana", "ja",
			lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD)},
		{"hana", health, "", &lockboxv1.Command{
			Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}},
		{"onboarding", health, HealthClinic, subscription("診療システム")},
		{"hana", health, HealthClinic, assign(d, "kenji-owner", "kenji", lockboxv1.Role_ROLE_OWNER, subscriptionScope)},
		{"kenji", health, HealthTicket, ticket("予約データベースの応答が遅い", "昨夜から予約画面の表示に一分以上かかります。", HealthClinic)},
		{"lena", health, HealthTicket, give(d, "bob")},
	}
}

const (
	tenantScope       = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT
	subscriptionScope = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION
	groupScope        = lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_MANAGEMENT_GROUP
)

func create(
	d *devissuer.Issuer, tenant, name, administrator, language string, plan lockboxv1.SupportPlan,
) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
		DisplayName: name, Plan: plan, Issuer: d.TenantIssuer(tenant), Administrator: d.Person(administrator),
		DefaultLanguage: language,
	}}}
}

func subscription(name string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_RegisterSubscription{
		RegisterSubscription: &lockboxv1.RegisterSubscription{DisplayName: name}}}
}

func assign(
	d *devissuer.Issuer, id, persona string, role lockboxv1.Role, scope lockboxv1.AssignmentScope,
) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{
		Assignment: &lockboxv1.RoleAssignment{Id: id, Person: d.Person(persona), Role: role, Scope: scope},
	}}}
}

func eligible(c *lockboxv1.Command) *lockboxv1.Command {
	c.GetAssignRole().GetAssignment().EligibleOnly = true
	return c
}

func ticket(title, description, subscriptionID string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_OpenTicket{OpenTicket: &lockboxv1.OpenTicket{
		Title: title, Description: description, SubscriptionId: subscriptionID,
	}}}
}

func give(d *devissuer.Issuer, engineer string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_AssignTicket{AssignTicket: &lockboxv1.AssignTicket{
		Engineer: d.Person(engineer), Team: "Compute support",
	}}}
}

func send(ctx context.Context, nc *nats.Conn, c *lockboxv1.Command) error {
	data, err := proto.Marshal(c)
	if err != nil {
		return err
	}
	message, err := answered(ctx, nc, bus.CommandSubject(bus.Client, bus.Verb(c)), data)
	if err != nil {
		return err
	}
	reply := new(lockboxv1.CommandReply)
	if err := proto.Unmarshal(message.Data, reply); err != nil {
		return err
	}
	if reply.GetRefusal() != nil {
		return &refusal.Error{Refusal: reply.GetRefusal()}
	}
	return nil
}

// answered sends a request and retries while the service that answers it may still be starting.
func answered(ctx context.Context, nc *nats.Conn, subject string, data []byte) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		message, err := nc.RequestWithContext(ctx, subject, data)
		if !errors.Is(err, nats.ErrNoResponders) {
			return message, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stepID returns a UUIDv7 (RFC 9562) whose random part is derived from the step, so that it is the same on every run.
func stepID(i int, s step) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s %s", i, s.as, s.tenant, s.about))
	var id uuid.UUID
	copy(id[:], sum[:16])
	copy(id[:6], []byte{0x01, 0x9b, 0, 0, 0, 0})
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}
