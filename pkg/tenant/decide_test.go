package tenant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func TestOnboardingCreatesATenantOnce(t *testing.T) {
	s := begin()
	s.play(t,
		row{0, gina, enable(), no(notFound, "tenant", "I9")},
		row{0, eve, create(premier), no(forbidden, "token", "R2")},
		row{0, gina, create(premier), no(forbidden, "token", "R2")},
		row{0, ona, create(premier), yes},
		row{1, ona, create(premier), no(conflict, "tenant", "R2")},
	)
	if a := s.tenant().Administrators(start); len(a) != 1 || a[0].GetSubject() != "gina" || s.tenant().Enabled {
		t.Errorf("administrators %v, enabled %t", a, s.tenant().Enabled)
	}
}

func TestATenantIsNotMadeOfNonsense(t *testing.T) {
	with := func(f func(*lockboxv1.CreateTenant)) *lockboxv1.Command {
		c := create(premier)
		f(c.GetCreateTenant())
		return c
	}
	begin().play(t,
		row{0, ona, with(func(c *lockboxv1.CreateTenant) { c.DisplayName = "" }),
			no(invalid, "create_tenant.display_name", "bad input")},
		row{0, ona, with(func(c *lockboxv1.CreateTenant) { c.Plan = 0 }), no(invalid, "create_tenant.plan", "R1")},
		row{0, ona, with(func(c *lockboxv1.CreateTenant) { c.Plan = 6 }), no(invalid, "create_tenant.plan", "R1")},
		row{0, ona, with(func(c *lockboxv1.CreateTenant) { c.DefaultLanguage = "" }),
			no(invalid, "create_tenant.default_language", "R24")},
		row{0, ona, with(func(c *lockboxv1.CreateTenant) { c.DefaultLanguage = "xx" }),
			no(invalid, "create_tenant.default_language", "R24")},
		row{0, ona, with(func(c *lockboxv1.CreateTenant) { c.Issuer = nil }),
			no(invalid, "create_tenant.administrator.issuer", "I10")},
		row{0, ona, with(func(c *lockboxv1.CreateTenant) { c.Administrator = mole.GetPerson() }),
			no(invalid, "create_tenant.administrator.issuer", "I10")},
		row{0, ona, with(func(c *lockboxv1.CreateTenant) {
			c.Administrator = story.Human("M-1", gina).GetPerson()
		}), no(invalid, "create_tenant.administrator.human", "R51")},
		row{0, ona, with(func(c *lockboxv1.CreateTenant) { c.Administrator = nil }),
			no(invalid, "create_tenant.administrator.issuer", "I10")},
		row{0, ona, with(func(c *lockboxv1.CreateTenant) {
			c.Issuer.Url, c.Administrator = story.ProviderIssuer, eve.GetPerson()
		}),
			no(invalid, "create_tenant.issuer.url", "I10")},
	)
	for _, name := range []string{"", "co", "Contoso", "con.toso", "*", ">", "c\u043entoso", "con\u200btoso"} {
		c := create(premier)
		c.Id, c.Tenant = "command", name
		_, err := tenant.Decide(tenant.State{}, aggregate.Command{Command: c, By: ona}, tenant.Limits{}, start)
		if !refusal.Is(err, invalid) || refusal.Of(err).GetField() != "tenant" {
			t.Errorf("a tenant called %q: %v", name, err)
		}
	}
}

func TestR1LockboxNeedsASupportPlanOfLevelDeveloper(t *testing.T) {
	contoso(t, basic).play(t,
		row{0, gina, enable(), no(precondition, "enable_lockbox", "R1")},
		row{1, gina, change(developer), no(forbidden, "token", "R1")},
		row{1, eve, change(developer), no(forbidden, "token", "R1")},
		row{1, ona, change(0), no(invalid, "change_support_plan.plan", "R1")},
		row{2, ona, change(basic), already},
		row{2, ona, change(developer), yes},
		row{3, gina, enable(), yes},
	)
}

func TestR1ALoweredPlanSwitchesNothingOff(t *testing.T) {
	s := contoso(t, premier)
	s.play(t,
		row{0, gina, enable(), yes},
		row{1, ona, change(basic), yes},
		row{2, gina, enable(), already},
	)
	if !s.tenant().Enabled || s.tenant().Plan != basic {
		t.Errorf("enabled %t with plan %s", s.tenant().Enabled, s.tenant().Plan)
	}
	s.play(t,
		row{3, gina, disable("quiet"), yes},
		row{4, gina, enable(), no(precondition, "enable_lockbox", "R1")},
	)
}

func TestR2OnlyAGlobalAdministratorSwitchesLockbox(t *testing.T) {
	s := contoso(t, premier)
	s.play(t,
		row{0, gina, owner(otto), yes},
		row{0, gina, assign(assignment("lena", lena, approver, ofTenant)), yes},
		row{1, otto, enable(), no(forbidden, "token", "R2")},
		row{1, lena, enable(), no(forbidden, "token", "R2")},
		row{1, ona, enable(), no(forbidden, "token", "R2")},
		row{1, mole, enable(), no(forbidden, "token", "R2")},
		row{1, gina, disable("quiet"), already},
		row{2, gina, enable(), yes},
		row{3, gina, enable(), already},
		row{3, otto, enable(), no(forbidden, "token", "R2")}, // also when it is so already
		row{3, otto, disable("quiet"), no(forbidden, "token", "R2")},
		row{3, gina, disable(""), no(invalid, "disable_lockbox.reason", "bad input")},
		row{3, gina, disable("\u202e"), no(invalid, "disable_lockbox.reason", "bad input")},
		row{4, gina, disable("maintenance"), yes},
	)
	if s.tenant().Enabled {
		t.Error("still on")
	}
}

func TestR2AnAdministratorForATimeIsOneUntilThatInstant(t *testing.T) {
	for at, then := range map[time.Duration]outcome{
		time.Hour - 1: yes, time.Hour: no(forbidden, "token", "R2"), time.Hour + 1: no(forbidden, "token", "R2"),
	} {
		contoso(t, premier).play(t,
			row{0, gina, assign(ending(assignment("otto", otto, administrator, ofTenant), time.Hour)), yes},
			row{at, otto, enable(), then},
		)
	}
}

func TestR8PreviewsAreSignedUpForAndOff(t *testing.T) {
	s := contoso(t, premier)
	s.play(t,
		row{0, otto, signUp("compute/disks"), no(forbidden, "token", "R8")},
		row{0, gina, signUp(""), no(invalid, "sign_up_preview.resource_type", "bad input")},
		row{1, gina, signUp("compute/disks"), yes},
		row{2, gina, signUp("compute/disks"), already},
		row{2, gina, signUp("ai/search"), yes},
	)
	if got := s.tenant().Previews(); !slices.Equal(got, []string{"ai/search", "compute/disks"}) ||
		!s.tenant().SignedUp("ai/search") {
		t.Errorf("signed up for %v", got)
	}
	s.play(t,
		row{3, otto, signOff("compute/disks"), no(forbidden, "token", "R8")},
		row{3, gina, signOff("compute/disks"), yes},
		row{4, gina, signOff("compute/disks"), already},
	)
	if s.tenant().SignedUp("compute/disks") || !s.tenant().SignedUp("ai/search") {
		t.Errorf("signed up for %v", s.tenant().Previews())
	}
}

func TestSettings(t *testing.T) {
	good := func() *lockboxv1.TenantSettings {
		return &lockboxv1.TenantSettings{
			DefaultLanguage: "ja", RequiredApprovals: 2, Fallback: lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS,
			Alternates: []*lockboxv1.AlternateAddress{{Email: "soc@contoso.example", Language: "fr"},
				{Email: "ciso@contoso.example"}},
		}
	}
	with := func(f func(*lockboxv1.TenantSettings)) *lockboxv1.Command {
		s := good()
		f(s)
		return set(s)
	}
	s := contoso(t, premier)
	const field = "change_settings.settings"
	s.play(t,
		row{0, otto, set(good()), no(forbidden, "token", "R30")},
		row{0, ona, set(good()), no(forbidden, "token", "R30")},
		row{0, gina, with(func(s *lockboxv1.TenantSettings) { s.SignedApprovalsOnly = true }),
			no(precondition, field+".signed_approvals_only", "R42")},
		row{0, gina, with(func(s *lockboxv1.TenantSettings) { s.DefaultLanguage = "" }),
			no(invalid, field+".default_language", "R24")},
		row{0, gina, with(func(s *lockboxv1.TenantSettings) { s.RequiredApprovals = 11 }),
			no(invalid, field+".required_approvals", "R30")},
		row{0, gina, with(func(s *lockboxv1.TenantSettings) { s.Fallback = 3 }), no(invalid, field+".fallback", "R23")},
		row{0, gina, with(func(s *lockboxv1.TenantSettings) { s.Alternates[1].Email = "a@b\r\nBcc: x@y.example" }),
			no(invalid, field+".alternates.email", "bad input")},
		row{0, gina, with(func(s *lockboxv1.TenantSettings) { s.Alternates[1].Email = "SOC@contoso.example" }),
			no(invalid, field+".alternates.email", "R24")},
		row{0, gina, with(func(s *lockboxv1.TenantSettings) { s.Alternates[1].Language = "de" }),
			no(invalid, field+".alternates.language", "R24")},
		row{0, gina, with(func(s *lockboxv1.TenantSettings) { s.Alternates = make([]*lockboxv1.AlternateAddress, 21) }),
			no(invalid, field+".alternates", "R24")},
		row{1, gina, set(good()), yes},
		row{2, gina, set(good()), already},
		row{3, gina, set(&lockboxv1.TenantSettings{DefaultLanguage: "en"}), yes},
	)
	if got := s.tenant().Settings; got.GetRequiredApprovals() != 1 ||
		got.GetFallback() != lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS {
		t.Errorf("what is left out is %v", got)
	}
	s.play(t, row{4, gina, with(func(s *lockboxv1.TenantSettings) { s.RequiredApprovals = 10 }), yes})
	if s.tenant().RequiredApprovals() != 10 {
		t.Errorf("%d approvals", s.tenant().RequiredApprovals())
	}
}

func TestAManagedSubscriptionIsRegisteredOnce(t *testing.T) {
	bad := register("Production")
	bad.AggregateId = "sub.1"
	s := begin()
	s.play(t,
		row{0, ona, register("Production"), no(notFound, "tenant", "I9")},
		row{0, ona, create(premier), yes},
		row{0, gina, owner(otto), no(notFound, "aggregate_id", "I9")},
		row{0, otto, register("Production"), no(forbidden, "token", "R48")},
		row{0, gina, register("Production"), no(forbidden, "token", "R48")},
		row{0, eve, register("Production"), no(forbidden, "token", "R48")},
		row{0, ona, register(""), no(invalid, "register_subscription.display_name", "bad input")},
		row{0, ona, bad, no(invalid, "aggregate_id", "bad input")},
		row{1, ona, register("Production"), yes},
		row{2, ona, register("Production"), already},
		row{2, ona, register("Test"), no(conflict, "aggregate_id", "R18")},
	)
}

func TestACommandRestsOnWhatTheCallerSaw(t *testing.T) {
	seeing := func(version uint64, c *lockboxv1.Command) *lockboxv1.Command {
		c.SeenVersion = version
		return c
	}
	s := contoso(t, premier) // version 1
	s.play(t,
		row{0, gina, seeing(2, enable()), no(conflict, "seen_version", "R29")},
		row{0, gina, seeing(1, enable()), yes},
		row{1, gina, seeing(1, disable("quiet")), no(conflict, "seen_version", "R29")},
		row{1, gina, seeing(2, disable("quiet")), yes},
	)
	// An administrator is told whose change they would have overwritten, and nobody else is, nor who saw what is not yet.
	for _, as := range []struct {
		by   *lockboxv1.Actor
		seen uint64
		told bool
	}{{gina, 1, true}, {gina, 9, false}, {eve, 1, false}, {ona, 1, false}} {
		c := aggregate.Command{Command: seeing(as.seen, enable()), By: as.by}
		_, err := tenant.Decide(s.tenant(), c, tenant.Limits{}, start.Add(time.Hour))
		r, _ := refusal.As(err)
		at := reason.Sentence("fr", r.GetCodedReason())
		if told := strings.Contains(r.GetMessage(), "Gina"); r.GetField() != "seen_version" || told != as.told ||
			strings.Contains(at, "Gina") != as.told || as.told && !strings.Contains(at, "UTC") {
			t.Errorf("%s, who saw %d: %v, %q", as.by.GetPerson().GetSubject(), as.seen, err, at)
		}
	}
}

func TestAFaultyHistoryDecidesNothing(t *testing.T) {
	s := contoso(t, premier)
	faulty := s.tenant()
	faulty.Fail(9, "somebody wrote nonsense")
	c := func(c *lockboxv1.Command) aggregate.Command {
		c.Id, c.Tenant = "another", id
		return aggregate.Command{Command: c, By: gina}
	}
	if _, err := tenant.Decide(faulty, c(enable()), tenant.Limits{}, start); !refusal.Is(err, precondition) {
		t.Errorf("%v", err)
	}
	if _, err := tenant.DecideSubscription(faulty, s.subscription(), c(owner(otto)), tenant.Limits{}, start); err == nil {
		t.Error("a subscription of a faulty tenant is changed")
	}
	broken := s.subscription()
	broken.Fail(9, "somebody wrote nonsense")
	_, err := tenant.DecideSubscription(s.tenant(), broken, c(owner(otto)), tenant.Limits{}, start)
	if !refusal.Is(err, precondition) {
		t.Errorf("%v", err)
	}
}

func TestACommandAboutSomethingElse(t *testing.T) {
	approve := &lockboxv1.Command{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}}
	s := contoso(t, premier)
	_, err := tenant.Decide(s.tenant(), s.Given(gina, s.ID(), approve), tenant.Limits{}, start)
	if r := refusal.Of(err); r.GetCode() != invalid || r.GetField() != "action" || r.GetRule() != "bad input" {
		t.Error(err)
	}
}
