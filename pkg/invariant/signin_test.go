package invariant_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// signInMoved is a customer whose sign-in is corrected, then changed by itself, then recovered.
func signInMoved() []invariant.Recorded {
	const t = story.Tenant
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	s := story.New(start)
	ona, onno := story.Provider("ona", aggregate.Onboarding), story.Provider("onno", aggregate.Onboarding)
	gina, otto := story.Customer(t, "gina"), story.Customer(t, "otto")
	elsewhere := story.Customer("elsewhere", "gina")
	s.Command(ona, &lockboxv1.Command{Action: &lockboxv1.Command_CreateTenant{CreateTenant: &lockboxv1.CreateTenant{
		DisplayName: "Contoso", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, DefaultLanguage: "en",
		Issuer: &lockboxv1.TenantIssuer{Url: "https://typo.example", Audience: "lockbox"},
		Administrator: &lockboxv1.Person{Issuer: "https://typo.example", Subject: "gina", DisplayName: "Gina",
			Email: "g@x.example"},
	}}})
	change := func(by, second *lockboxv1.Actor, route lockboxv1.SignInRoute, to string, people ...*lockboxv1.Actor) {
		c := &lockboxv1.SignInChange{Reason: "It has to be."}
		if to != "" {
			c.Issuer = &lockboxv1.TenantIssuer{Url: to, Audience: "lockbox"}
		}
		for _, p := range people {
			c.Administrators = append(c.Administrators, p.GetPerson())
		}
		s.Command(by, &lockboxv1.Command{Action: &lockboxv1.Command_ProposeSignInChange{
			ProposeSignInChange: &lockboxv1.ProposeSignInChange{Route: route, Change: c}}})
		s.Command(second, &lockboxv1.Command{Action: &lockboxv1.Command_ConfirmSignInChange{
			ConfirmSignInChange: &lockboxv1.ConfirmSignInChange{ChangeId: s.States.Tenant(t).Change.ID}}})
	}
	change(ona, onno, lockboxv1.SignInRoute_SIGN_IN_ROUTE_CORRECTION, gina.GetPerson().GetIssuer(), gina, otto)
	s.Command(gina, &lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{
		EnableLockbox: &lockboxv1.EnableLockbox{}}})
	change(gina, otto, lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER, elsewhere.GetPerson().GetIssuer(), elsewhere)
	s.Command(elsewhere, &lockboxv1.Command{Action: &lockboxv1.Command_EndFormerSignIn{
		EndFormerSignIn: &lockboxv1.EndFormerSignIn{}}})
	change(ona, onno, lockboxv1.SignInRoute_SIGN_IN_ROUTE_RECOVERY, "", story.Customer("elsewhere", "ada"))
	s.At(start.Add(5 * 24 * time.Hour)).Owed(aggregate.Tenant(t))
	s.At(start.Add(7 * 24 * time.Hour)).Owed(aggregate.Tenant(t))
	return s.History()
}

// Whoever can write events changes where people sign in by one human, too early, after a sign-in, or from elsewhere,
// and the oracle, which knows nothing of the fold, says so (I18).
func TestI18ForgedChangesOfSignInAreFound(t *testing.T) {
	history := signInMoved()
	if broken := invariant.Check(history); len(broken) > 0 {
		t.Fatalf("the honest story: %v", broken)
	}
	find := func(is func(*lockboxv1.Event) bool, n int) int {
		for i, r := range history {
			if is(r.Event) {
				if n--; n < 0 {
					return i
				}
			}
		}
		t.Fatal("not there")
		return -1
	}
	confirmed := func(e *lockboxv1.Event) bool { return e.GetSignInChangeConfirmed() != nil }
	proposed := func(e *lockboxv1.Event) bool { return e.GetSignInChangeProposed() != nil }
	changed := func(e *lockboxv1.Event) bool { return e.GetSignInChanged() != nil }
	ended := func(e *lockboxv1.Event) bool { return e.GetFormerSignInEnded() != nil }
	as := func(proposal int) func(*lockboxv1.Event) { // the actor is whoever proposed that
		return func(e *lockboxv1.Event) { e.Actor = history[find(proposed, proposal)].Event.GetActor() }
	}
	for name, c := range map[string]struct {
		at    int
		forge func(e *lockboxv1.Event)
	}{
		"a correction by one":              {find(confirmed, 0), as(0)},
		"a correction by anybody":          {find(confirmed, 0), func(e *lockboxv1.Event) { e.Actor.Groups = nil }},
		"a correction after a sign-in":     {find(proposed, 0) - 1, func(*lockboxv1.Event) {}},
		"a change by one administrator":    {find(confirmed, 1), as(1)},
		"a change that the provider wants": {find(proposed, 1), as(0)},
		"a change as a correction": {find(proposed, 1), func(e *lockboxv1.Event) {
			e.GetSignInChangeProposed().Route = 1
		}},
		"a former issuer ended by its own": {find(ended, 0), as(1)},
		"a recovery by one":                {find(confirmed, 2), as(2)},
		"a recovery that takes a day": {find(changed, 0), func(e *lockboxv1.Event) {
			e.Time = timestamppb.New(e.GetTime().AsTime().Add(-6 * 24 * time.Hour))
		}},
		"a recovery at once": {find(confirmed, 2), func(e *lockboxv1.Event) {
			e.GetSignInChangeConfirmed().DueAt = nil
		}},
		"a change that nobody proposed": {find(changed, 0), func(e *lockboxv1.Event) {
			e.GetSignInChanged().ChangeId = "another"
		}},
		"somebody of a former issuer": {find(proposed, 2), as(1)},
		"the provider's people as tenant's": {find(proposed, 2), func(e *lockboxv1.Event) {
			e.GetSignInChangeProposed().Change.Issuer = &lockboxv1.TenantIssuer{
				Url: e.GetActor().GetPerson().GetIssuer()}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			forged := slices.Clone(history)
			e := proto.CloneOf(forged[c.at].Event)
			c.forge(e)
			forged[c.at].Event = e
			if name == "a correction after a sign-in" {
				ticket := proto.CloneOf(history[find(ended, 0)].Event)
				ticket.Kind, ticket.AggregateId, ticket.Version = aggregate.KindTicket, "SR-1", 1
				ticket.Actor = story.Customer(story.Tenant, "gina")
				ticket.Actor.Person.Issuer = "https://typo.example"
				ticket.Fact = &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{Title: "Here"}}
				forged = slices.Insert(forged, 1, invariant.Recorded{Event: ticket})
				for i := range forged {
					forged[i].Sequence = uint64(i) + 1
				}
			}
			if !slices.ContainsFunc(invariant.Check(forged), func(v invariant.Violation) bool {
				return v.Invariant == "I18" || name == "the provider's people as tenant's" && v.Invariant == "I10"
			}) {
				t.Errorf("not found: %v", invariant.Check(forged))
			}
		})
	}
}
