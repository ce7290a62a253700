package stack_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// It is the receiver of a command that demands it: these come over the bus, from no page.
func TestR25ATenantsDemandForAFreshSignInHoldsOnTheBus(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	settings := func(age *durationpb.Duration) *lockboxv1.Command {
		return &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{
			Settings: &lockboxv1.TenantSettings{DefaultLanguage: "en", MaxAuthenticationAge: age},
		}}}
	}
	l.does("grace", settings(durationpb.New(5*time.Minute)))

	// A token that is good for most of an hour yet, of somebody who signed in ten minutes ago.
	old := func(persona string, c *lockboxv1.Command) *lockboxv1.Command {
		token, err := l.issuer.Token(persona, time.Now().Add(-10*time.Minute))
		must(l, err)
		c.Token = token
		return c
	}
	for _, c := range []*lockboxv1.Command{approve(id), deny(id, "No.")} {
		if r := l.mayNot("otto", old("otto", c), unauthenticated, "R25"); r.GetField() != tenant.StaleField {
			t.Errorf("the refusal names %q", r.GetField())
		}
	}
	l.mayNot("audrey", old("audrey", approve(id)), forbidden, "R20")
	for _, c := range []*lockboxv1.Command{
		settings(nil), {Action: &lockboxv1.Command_DisableLockbox{
			DisableLockbox: &lockboxv1.DisableLockbox{Reason: "quiet"}}},
	} {
		l.mayNot("grace", old("grace", c), unauthenticated, "R25")
	}
	l.does("otto", approve(id))
	l.reaches(id, request.Active)
	l.mayNot("otto", old("otto", revoke(id, "Enough.")), unauthenticated, "R25")
	l.does("olga", old("olga", revoke(id, "Enough."))) // the provider's security officer

	var history []invariant.Recorded
	for _, e := range l.history(journal.Replay{}) {
		history = append(history, invariant.Recorded{Sequence: e.Seq, Stored: e.Stored, Event: e.Event})
	}
	if broken := invariant.Check(history); len(broken) > 0 {
		t.Errorf("audit verify finds %v", broken)
	}
}
