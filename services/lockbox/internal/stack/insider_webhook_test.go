package stack_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/sealed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	hookPath   = "/services/T0/B0/only-the-bank-knows"
	hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// webhook adds a webhook of the bank's, and returns the sequence of its event.
func (i *insider) webhook() uint64 {
	i.Helper()
	return i.does("grace", &lockboxv1.Command{Action: &lockboxv1.Command_AddWebhook{AddWebhook: &lockboxv1.AddWebhook{
		Kind: standard, Name: "Operations", SecretUrl: "https://hooks.meadowbank.invalid" + hookPath, Secret: hookSecret}}},
	).GetSequence()
}

// sealedOf reads the event with the key of the bus that the insider holds.
func (i *insider) sealedOf(sequence uint64) (f *lockboxv1.WebhookAdded, about sealed.About) {
	i.Helper()
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	found := errors.New("found")
	err = j.Replay(i.Context(), journal.Replay{From: sequence}, func(e journal.Entry) error {
		f = e.Event.GetWebhookAdded()
		if bytes.Contains(e.Data, []byte(hookPath)) || bytes.Contains(e.Data, []byte(hookSecret[6:])) {
			i.Error("the stream holds it in the clear")
		}
		return found
	})
	if !errors.Is(err, found) || f == nil {
		i.Fatalf("%v, %v", f, err)
	}
	return f, sealed.About{Purpose: "webhook", Tenant: bank, ID: f.GetWebhook().GetId()}
}

// readsWebhooks reads all that the stream has of a webhook, and opens none of it with a key of its own.
func (i *insider) readsWebhooks() {
	i.Helper()
	f, about := i.sealedOf(i.webhook())
	dir := i.TempDir()
	must(i, sealed.LoadOrCreate(dir, "own"))
	keys, err := sealed.ReadPrivate(config.SecretFile(filepath.Join(dir, "own"+sealed.KeyFile)))
	must(i, err)
	if _, err := keys.Open(about, f.GetSealed()); !errors.Is(err, sealed.ErrNoKey) {
		i.Errorf("it opens: %v", err)
	}
}

// opensWebhooks does it with the forwarder's key.
func (i *insider) opensWebhooks() {
	i.Helper()
	f, about := i.sealedOf(i.webhook())
	keys, err := sealed.ReadPrivate(config.SecretFile(filepath.Join(i.config.Dir, "keys", "webhooks"+sealed.KeyFile)))
	must(i, err)
	plain, err := keys.Open(about, f.GetSealed())
	if err != nil || !bytes.Contains(plain, []byte(hookPath)) {
		i.Errorf("it does not open: %v", err)
	}
}

// addsWebhook writes in an administrator's name that they added one.
func (i *insider) addsWebhook() {
	i.Helper()
	about := aggregate.Tenant(bank)
	states, err := repository.New(i.watch).Basis(i.Context(), about)
	must(i, err)
	t := states.Tenant(bank)
	var grace *lockboxv1.Actor
	for _, e := range i.history(journal.Replay{Tenant: bank, Kind: aggregate.KindTenant}) {
		if by := e.Event.GetActor(); by.GetPerson().GetSubject() == "grace" {
			grace = by
		}
	}
	public, err := sealed.ReadPublic(filepath.Join(i.config.Dir, "keys", "webhooks"+sealed.PublicFile))
	must(i, err)
	e := t.Follow(grace, newID(i), time.Now())
	text, err := public.Seal(sealed.About{Purpose: "webhook", Tenant: bank, ID: e.GetCausationId()}, []byte("x"))
	must(i, err)
	e.Fact = &lockboxv1.Event_WebhookAdded{WebhookAdded: &lockboxv1.WebhookAdded{Sealed: text, Webhook: &lockboxv1.Webhook{
		Id: e.GetCausationId(), Kind: standard, Name: "Forged", Address: "https://evil.invalid", Language: "en"}}}
	must(i, repository.Identify(e))
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	_, err = j.Append(i.Context(), t.Sequence, e)
	must(i, err)
	i.mailed("", "webhook-added", "grace@")
}
