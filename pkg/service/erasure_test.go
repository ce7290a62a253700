package service_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

func open(t *testing.T, b *journaltest.Bus, id bus.Identity, secret *keystore.Secret) (*service.Runtime, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return service.Open(ctx, bus.Connection{InProcess: b, Identity: id, Seed: b.Keys[id], Log: zap.NewNop()}, nil,
		observe.NewMetrics().For(string(id)), service.WithSecret(secret))
}

// While some services have the secret and others do not have it yet, those wait, and pass on nothing that they cannot
// read.
func TestWithoutTheSecretNothingEncryptedIsRead(t *testing.T) {
	b := journaltest.Start(t, 1)
	secret, err := keystore.LoadOrCreate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	with, err := open(t, b, bus.Orchestrator, &secret)
	if err != nil {
		t.Fatal(err)
	}
	defer with.Close()
	without, err := open(t, b, bus.Orchestrator, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer without.Close()

	// What it stores itself is not encrypted, and read by everybody.
	plain := aggregate.Ticket(journaltest.NewTenant(), journaltest.NewID())
	if _, err := without.Journal.Append(t.Context(), 0, journaltest.Event(plain, 1)); err != nil {
		t.Fatal(err)
	}
	if entries, err := with.Journal.Load(t.Context(), plain); err != nil || len(entries) != 1 {
		t.Fatalf("%d events, %v", len(entries), err)
	}
	sealed := aggregate.Ticket(plain.Tenant, journaltest.NewID())
	if _, err := with.Journal.Append(t.Context(), 0, journaltest.Event(sealed, 1)); err != nil {
		t.Fatal(err)
	}
	if entries, err := with.Journal.Load(t.Context(), sealed); err != nil || len(entries) != 1 ||
		entries[0].Event.GetTicketCommented().GetText() != "the disk reports errors" {
		t.Errorf("with the secret: %v, %v", entries, err)
	}
	entries, err := without.Journal.Load(t.Context(), sealed)
	if !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) ||
		!strings.Contains(err.Error(), "erasure.secret_file") {
		t.Errorf("without it: %v, %v", entries, err)
	}
	// Nor does it store what would be taken for encrypted.
	forged := journaltest.Event(aggregate.Ticket(plain.Tenant, journaltest.NewID()), 1)
	forged.GetTicketCommented().Text = erasable.Encrypt(erasable.KeyID{}, erasable.Key{}, "x")
	if _, err := without.Journal.Append(t.Context(), 0, forged); !refusal.Is(err,
		lockboxv1.RefusalCode_REFUSAL_CODE_INVALID) {
		t.Errorf("a text that begins as an encrypted one: %v", err)
	}
}

func TestAServiceDoesNotStartWithAnotherSecret(t *testing.T) {
	b := journaltest.Start(t, 1)
	for i, want := range []error{nil, keystore.ErrOtherSecret} {
		secret, err := keystore.LoadOrCreate(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		rt, err := open(t, b, bus.Orchestrator, &secret)
		if !errors.Is(err, want) {
			t.Fatalf("secret %d: %v", i, err)
		}
		if want == nil {
			about := aggregate.Ticket(journaltest.NewTenant(), journaltest.NewID())
			if _, err := rt.Journal.Append(t.Context(), 0, journaltest.Event(about, 1)); err != nil {
				t.Fatal(err)
			}
			rt.Close()
		}
	}
}
