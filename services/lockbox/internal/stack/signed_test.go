package stack_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/verifier"
)

// startSigned is start with signed events.
func startSigned(t *testing.T) *lockbox {
	t.Helper()
	l := closed(t, request.DefaultTerms(), devissuer.Config{})
	l.config.Signed = true
	l.open()
	t.Cleanup(func() { l.close() })
	must(t, demo.Seed(t.Context(), l.client, l.issuer, time.Now))
	return l
}

// Signing begins with the first event, and whoever pins the deployment's key finds every event signed by its writer,
// before and after a restart (I14). A customer finds the same of a request, with its receipt alone.
func TestI14EveryEventIsSignedByItsWriter(t *testing.T) {
	t.Parallel()
	l := startSigned(t)
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(id))
	l.reaches(id, request.Active)
	l.restart(0)
	l.does("erin", &lockboxv1.Command{AggregateId: id, Action: &lockboxv1.Command_Release{Release: &lockboxv1.Release{}}})
	l.reaches(id, request.Released)
	(&written{lockbox: l}).signed()

	deployment, err := writerkeys.ReadDeployment(filepath.Join(l.config.Dir, "keys", writerkeys.PublicKeyFile))
	must(t, err)
	keys := signed.NewKeyring(deployment.Origin, deployment)
	before := map[aggregate.Key]journal.Entry{}
	signers := map[aggregate.Writer]int{}
	last := uint64(0)
	for _, e := range l.history(journal.Replay{}) {
		about := aggregate.KeyOf(e.Event)
		must(t, keys.Check(signed.Message{Sequence: e.Seq, Subject: e.Subject, Stored: e.Data, Event: e.Event},
			func() ([32]byte, error) {
				content, _, err := signed.Content(before[about].Data)
				return signed.Hash(content), err
			}))
		must(t, keys.Add(e.Event, e.Seq))
		before[about] = e
		signers[aggregate.WriterOf(e.Event)]++
		if e.Event.GetAggregateId() == id {
			last = e.Seq
		}
	}
	if keys.Began() != 1 {
		t.Errorf("signing began with event %d", keys.Began())
	}
	for _, w := range []aggregate.Writer{aggregate.Evaluator, aggregate.Orchestrator, aggregate.Notifier,
		aggregate.Projector} {
		if signers[w] == 0 {
			t.Errorf("%s has signed nothing", w)
		}
	}

	keysDir := filepath.Join(l.config.Dir, "keys")
	r := l.receiptUnder(verifier.Trust{Key: filepath.Join(keysDir, logkeys.PublicKeyFile),
		Writers: filepath.Join(keysDir, writerkeys.PublicKeyFile)}, "otto", id, last)
	if !r.All || !r.WritersChecked || r.Events[0].Writer != string(aggregate.Evaluator) ||
		r.Events[len(r.Events)-1].Writer != string(aggregate.Orchestrator) {
		t.Errorf("its receipt proves %+v", r.Claims)
	}
}
