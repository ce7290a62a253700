package stack_test

import (
	"encoding/hex"
	"errors"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/keystore"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	somePage      = "0102030405060708090a0b0c"
	touchesKeys   = "read, add or destroy the keys of what can be erased"
	destroysKeys  = "destroy keys of what can be erased, or replace them"
	readsKeyStore = "read the keys of what can be erased"
	notOnTheBus   = "they are encrypted with a secret that is not on the bus"
)

// keyStoreCalls are what it takes to destroy or replace keys.
func keyStoreCalls() []string {
	return []string{"LB.API.STREAM.MSG.DELETE.KEYS", "LB.API.STREAM.PURGE.KEYS", "LB.API.STREAM.UPDATE.KEYS",
		"LB.API.STREAM.DELETE.KEYS", bus.KeyPageSubject(somePage, 1), bus.KeysDestroyedSubject("x")}
}

// keyStore is the key store as a service has it that logs as the others do.
func (i *insider) keyStore(id bus.Identity) *keystore.Store {
	i.Helper()
	secret, err := keystore.ReadSecret(config.SecretFile(filepath.Join(i.config.Dir, "keys", keystore.SecretFile)))
	must(i, err)
	nc, err := i.stack.Connect(id)
	must(i, err)
	i.Cleanup(nc.Close)
	s, err := keystore.New(i.Context(), nc, secret, i.config.Log)
	must(i, err)
	return s
}

// aText is an event with a text, as it is stored, the key of the text, and the page that has it.
func (i *insider) aText() (e *lockboxv1.Event, key erasable.KeyID, page *jetstream.RawStreamMsg) {
	i.Helper()
	e, err := i.keyStore(bus.Notifier).Seal(i.Context(), journaltest.Event(aggregate.Ticket(bank, newID(i)), 1))
	must(i, err)
	key = erasable.Keys(e, true)[0]
	page, err = i.keyPages().GetMsg(i.Context(), 1,
		jetstream.WithGetMsgSubject(bus.KeyPageFilter(hex.EncodeToString(key.Page[:]))))
	must(i, err)
	return e, key, page
}

// keyPages is the stream of keys with the insider's own rights.
func (i *insider) keyPages() jetstream.Stream {
	i.Helper()
	js, err := bus.JetStream(i.nc)
	must(i, err)
	stream, err := js.Stream(i.Context(), bus.StreamKeys)
	must(i, err)
	return stream
}

func (i *insider) reads(e *lockboxv1.Event) string {
	i.Helper()
	read := proto.CloneOf(e)
	must(i, i.keyStore(bus.Projector).Open(i.Context(), read))
	return read.GetTicketCommented().GetText()
}

// bringsKeysBack stores the page of a key that was destroyed again.
func (i *insider) bringsKeysBack() {
	i.Helper()
	e, key, page := i.aText()
	orchestrator := i.keyStore(bus.Orchestrator)
	_, err := orchestrator.Destroy(i.Context(), newID(i), key)
	must(i, err)
	js, err := bus.JetStream(i.nc)
	must(i, err)
	_, err = js.Publish(i.Context(), page.Subject, page.Data)
	must(i, err)
	if text := i.reads(e); text != erasable.Erased {
		i.Errorf("it reads %q", text)
	}
	if left, err := orchestrator.Left(i.Context(), []erasable.KeyID{key}); err != nil || len(left) != 1 {
		i.Errorf("doctor and orchestrator see %v, %v", left, err)
	}
}

// addsKeys stores pages of its own.
func (i *insider) addsKeys() {
	i.Helper()
	e, _, _ := i.aText()
	js, err := bus.JetStream(i.nc)
	must(i, err)
	_, err = js.Publish(i.Context(), bus.KeyPageSubject(somePage, 0), []byte("no page"))
	must(i, err)
	if text := i.reads(e); text != "the disk reports errors" {
		i.Errorf("it reads %q", text)
	}
}

// losesKeys deletes a page that nobody decided to destroy.
func (i *insider) losesKeys() {
	i.Helper()
	e, _, page := i.aText()
	must(i, i.keyPages().DeleteMsg(i.Context(), page.Sequence))
	if text := i.reads(e); text != erasable.Unreadable {
		i.Errorf("it reads %q", text)
	}
	i.logged("a key is missing from the key store")
}

// opensKeys tries to read pages without the store's secret.
func (i *insider) opensKeys() {
	i.Helper()
	e, _, _ := i.aText()
	own, err := keystore.LoadOrCreate(i.TempDir())
	must(i, err)
	s, err := keystore.New(i.Context(), i.nc, own, zap.NewNop())
	must(i, err)
	if err := s.Open(i.Context(), proto.CloneOf(e)); !errors.Is(err, keystore.ErrOtherSecret) {
		i.Errorf("it reads: %v", err)
	}
}
