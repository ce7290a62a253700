package stack_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/verifier"
)

// Signing begins with the first event, and whoever pins the deployment's key finds every event signed by its writer,
// before and after a restart (I14). A customer finds the same of a request, with its receipt alone.
func TestI14EveryEventIsSignedByItsWriter(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
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

// A Lockbox from before writers had keys begins to sign at its next start, and that is pinned: what was stored before
// counts, and a later start takes no other stream for this one.
func TestALockboxFromBeforeBeginsToSign(t *testing.T) {
	t.Parallel()
	l := closed(t, request.DefaultTerms(), devissuer.Config{})
	l.config.Unsigned = true
	l.open()
	t.Cleanup(func() { l.close() })
	must(t, demo.Seed(t.Context(), l.client, l.issuer, time.Now))
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	before := l.decided()
	l.close()
	l.config.Unsigned = false
	l.open()
	l.does("otto", approve(id))
	l.reaches(id, request.Active)
	v := l.signatures()
	if len(v.Violations) > 0 || v.Signatures.Began <= before || v.Signatures.Verified == 0 {
		t.Errorf("signing began with event %d, after %d: %+v", v.Signatures.Began, before, v.Violations)
	}
	pinned, err := writerkeys.ReadDeployment(filepath.Join(l.config.Dir, "keys", writerkeys.PublicKeyFile))
	must(t, err)
	if pinned.BeganAt != v.Signatures.Began {
		t.Errorf("pinned is event %d, signing began with %d", pinned.BeganAt, v.Signatures.Began)
	}
	l.restart(0)
	l.does("otto", revoke(id, "Enough."))
	l.reaches(id, request.Revoked)

	// The stream of before, in the place of this one.
	l.close()
	must(t, os.Rename(filepath.Join(l.config.Dir, "nats"), filepath.Join(l.config.Dir, "ours")))
	l.config.Unsigned = true
	l.open()
	must(t, demo.Seed(t.Context(), l.client, l.issuer, time.Now))
	l.close()
	l.config.Unsigned = false
	s, err := stack.Start(t.Context(), l.config)
	if r, _ := refusal.As(err); r.GetField() != "signing.began_at" {
		t.Errorf("it starts on another stream: %v", err)
	}
	if err == nil {
		must(t, s.Close())
	}
	must(t, os.RemoveAll(filepath.Join(l.config.Dir, "nats")))
	must(t, os.Rename(filepath.Join(l.config.Dir, "ours"), filepath.Join(l.config.Dir, "nats")))
	l.open()
}
