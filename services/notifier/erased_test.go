package notifier

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// encrypted makes the orchestrator of a world encrypt what it writes, and returns a key store for another identity too.
func (w *world) encrypted() (own *keystore.Store, of func(bus.Identity) *keystore.Store) {
	w.Helper()
	secret, err := keystore.LoadOrCreate(w.TempDir())
	if err != nil {
		w.Fatal(err)
	}
	of = func(id bus.Identity) *keystore.Store {
		s, err := keystore.New(w.Context(), w.bus.Connect(w.T, id), secret, zap.NewNop())
		if err != nil {
			w.Fatal(err)
		}
		return s
	}
	own = of(bus.Orchestrator)
	w.orchestrator, err = journal.Open(w.Context(), w.bus.Connect(w.T, bus.Orchestrator), journal.WithDetails(own))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(w.orchestrator.Close)
	return own, of
}

// R63: whose address was erased before their mail went gets none. It is no failure, is said in the log, and holds up
// nobody else's mail.
func TestR63AMailToAnErasedAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys, of := w.encrypted()
	w.tenant()
	w.write(aggregate.KindTenant, "meadowbank", grace, &lockboxv1.Event{Fact: &lockboxv1.Event_RoleAssigned{
		RoleAssigned: &lockboxv1.RoleAssigned{Assignment: &lockboxv1.RoleAssignment{Id: "otto", Person: otto.GetPerson(),
			Role:  lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT}}}})
	w.write(aggregate.KindTenant, "meadowbank", grace,
		&lockboxv1.Event{Fact: &lockboxv1.Event_LockboxEnabled{LockboxEnabled: &lockboxv1.LockboxEnabled{}}})
	ids, err := keys.OwnerKeys(t.Context(), "meadowbank", erasable.Owner{Issuer: bank, Subject: "otto"})
	if err != nil || len(ids) != 1 {
		t.Fatalf("%v, %v", ids, err)
	}
	if _, err := keys.Destroy(t.Context(), "019cadc7-9c00-7000-8000-000000000001", ids...); err != nil {
		t.Fatal(err)
	}

	c, mails := w.mailbox()
	rt := w.runtime()
	core, said := observer.New(zapcore.InfoLevel)
	rt.Log = zap.New(core)
	rt.Journal, err = journal.Open(t.Context(), rt.Conn, journal.WithDetails(of(bus.Notifier)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rt.Journal.Close)
	w.runOn(rt, c)
	reports := w.reports(3) // all to Grace
	once(t, mails(), reports)
	for _, r := range reports {
		if r.GetNotificationFailed() != nil {
			t.Errorf("%v", r)
		}
	}
	if lines := said.FilterMessage("no notification to an address that was erased").Len(); lines != 2 {
		t.Errorf("it is said %d times", lines)
	}
}

// Nothing unavailable ever means that there is nobody to be told: without the secret of the key store, mails wait.
func TestR63WithoutTheSecretMailsWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.encrypted()
	w.tenant()
	n, err := newNotifier(w.runtime(), config(25))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = n.Journal.Replay(t.Context(), journal.Replay{Kind: aggregate.KindTenant}, func(e journal.Entry) error {
		seen++
		err := n.handle(t.Context(), e)
		if r, _ := refusal.As(err); r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE {
			t.Errorf("%v", err)
		}
		return nil
	})
	if err != nil || seen != 1 {
		t.Errorf("%d events, %v", seen, err)
	}
}
