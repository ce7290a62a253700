package doctor

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/keystore"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// sealedText returns the key of a text that was encrypted with the store whose secret is in a directory.
func sealedText(t *testing.T, b *journaltest.Bus, keys string) erasable.KeyID {
	t.Helper()
	secret, err := keystore.ReadSecret(config.SecretFile(filepath.Join(keys, keystore.SecretFile)))
	must(t, err)
	store, err := keystore.New(t.Context(), b.Connect(t, bus.Orchestrator), secret, zap.NewNop())
	must(t, err)
	e, err := store.Seal(t.Context(), journaltest.Event(aggregate.Ticket(journaltest.NewTenant(), journaltest.NewID()), 1))
	must(t, err)
	return erasable.Keys(e, true)[0]
}

func TestWhatIsWrongWithTheKeyStore(t *testing.T) {
	t.Parallel()
	b := journaltest.Start(t, 1)
	e := onBus(t, b)
	expects(t, e.examined(t)["key-store"], render.OK, "nothing that was erased is left")
	key := sealedText(t, b, e.Keys)
	expects(t, e.examined(t)["key-store"], render.OK, "nothing that was erased is left")

	// Some services have the secret, and another one has none, or another one.
	own := filepath.Join(e.Keys, keystore.SecretFile)
	other := filepath.Join(t.TempDir(), keystore.SecretFile)
	_, err := keystore.LoadOrCreate(filepath.Dir(other))
	must(t, err)
	e.Services = []Service{{Name: "notifier", KeySecret: own, ReadsEvents: true}, {Name: "portal"},
		{Name: "jit-evaluator", ReadsEvents: true}}
	cured(t, e.examined(t)["key-store"], render.Failed, "jit-evaluator: no secret", "set erasure.secret_file there too")
	e.Services[2].KeySecret = other
	cured(t, e.examined(t)["key-store"], render.Failed, "hold different secrets", "the same erasable.key")
	e.Services = nil

	// An erasure was recorded as carried out, and the key is there; another one waits.
	about := aggregate.Erasure(journaltest.NewTenant(), journaltest.NewID())
	waiting := aggregate.Erasure(about.Tenant, journaltest.NewID())
	record(t, b, erasureOf(about, 1, key), erasureOf(about, 2, key))
	record(t, b, erasureOf(waiting, 1, key))
	found := e.examined(t)["key-store"]
	cured(t, found, render.Failed, "there again, as after a restored backup: 1 key", "restart lockbox-orchestrator")
	cured(t, found, render.Failed, "the erasure "+waiting.ID+" of "+waiting.Tenant+" was decided 2 hours ago",
		"see the log")

	// The secret is not the one that the store was begun with.
	must(t, os.Remove(own))
	must(t, os.Rename(other, own))
	cured(t, e.examined(t)["key-store"], render.Failed, "another secret", "find the secret")
	must(t, os.Chmod(own, 0o644)) // #nosec G302 -- this is what is found
	expects(t, e.examined(t)["secrets"], render.Failed, keystore.SecretFile+": others may read")
	must(t, os.Remove(own))
	expects(t, e.examined(t)["key-store"], render.NotChecked, "no secret")
	cured(t, e.examined(t)["keys"], render.Failed, keystore.SecretFile+" is not in", "lockbox keys")
}

// erasureOf is the first event of an erasure, which decides it, or the second, which ends it.
func erasureOf(about aggregate.Key, version uint64, key erasable.KeyID) *lockboxv1.Event {
	e := journaltest.Event(about, version)
	e.Time = timestamppb.New(time.Now().Add(-130 * time.Minute))
	if version == 2 {
		e.Actor = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: string(bus.Orchestrator)}
		e.Fact = &lockboxv1.Event_KeysDestroyed{KeysDestroyed: &lockboxv1.KeysDestroyed{Count: 1}}
		return e
	}
	e.Actor = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
		Person: &lockboxv1.Person{Issuer: "https://id.example", Subject: "grace"}}
	e.Fact = &lockboxv1.Event_ErasureDecided{ErasureDecided: &lockboxv1.ErasureDecided{
		Targets: []*lockboxv1.ErasureTarget{{KeyIds: [][]byte{key.Bytes()}, What: &lockboxv1.ErasureTarget_Texts{
			Texts: &lockboxv1.ErasedTexts{Kind: aggregate.KindTicket, AggregateId: "a", Version: "1"}}}}, Reason: "they asked"}}
	return e
}
