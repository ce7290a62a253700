package projector_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/approval/sighted"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	bank = devissuer.TenantBank
	// keyDelay is how long keys wait here, in seconds.
	keyDelay = 2
)

// watcher cosigns whatever it is shown, and can be cut off.
type watcher struct {
	key, url string
	away     atomic.Bool
	// cosigned counts the checkpoints that it has cosigned.
	cosigned atomic.Int64
}

func (w *world) witness(name string) *watcher {
	w.t.Helper()
	seed := sha256.Sum256([]byte(name))
	key, err := merkle.NewCosigner(name+".example", ed25519.NewKeyFromSeed(seed[:]))
	must(w.t, err)
	is := &watcher{key: key.VerifierKey()}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if is.away.Load() {
			http.Error(out, "cut off", http.StatusBadGateway)
			return
		}
		body, err := io.ReadAll(r.Body)
		_, note, has := strings.Cut(string(body), "\n\n")
		line, failed := key.Line([]byte(note), time.Now())
		if err != nil || !has || failed != nil {
			http.Error(out, "no checkpoint", http.StatusBadRequest)
			return
		}
		_, _ = out.Write(line)
		is.cosigned.Add(1)
	}))
	w.t.Cleanup(server.Close)
	is.url = server.URL
	return is
}

// holder is a persona who has just signed in, and offered a key.
func (w *world) holder(name, role string) story.Keyholder {
	w.t.Helper()
	by := w.actor(name)
	by.AuthenticatedAt = timestamppb.New(w.story.Now)
	h := story.Keyholder{By: by, Key: approvaltest.New(name, approvaltest.ES256)}
	must(w.t, w.story.Offer(h, bank, role))
	return h
}

// keychain folds the bank's keys from the stream, as whoever decides does.
func (w *world) keychain(reader *journal.Journal) (s keychain.State, seen []journal.Entry) {
	w.t.Helper()
	entries, err := reader.LoadAtLeader(w.t.Context(), aggregate.Keys(bank))
	must(w.t, err)
	for _, e := range entries {
		s = keychain.Evolve(s, e.Seq, e.Event)
		if e.Event.GetKeysSighted() != nil {
			seen = append(seen, e)
		}
	}
	if s.Fault != nil {
		w.t.Fatalf("the keys contradict themselves: %v", s.Fault)
	}
	return s, seen
}

// R42: a key that two administrators added counts once as many witnesses as the genesis demands have seen it for as
// long as its delay is, by their clocks; and never without them, whoever else has cosigned. Two copies of the projector
// see to it at once, and write down no more than is needed.
func TestR42AKeyCountsOnceItsWitnessesSawItLongEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alpha, beta := w.witness("alpha"), w.witness("beta")
	w.policy = filepath.Join(t.TempDir(), "policy")
	must(t, os.WriteFile(w.policy, []byte("log "+w.vkey+"\nwitness alpha "+alpha.key+" "+alpha.url+"\nwitness beta "+
		beta.key+" "+beta.url+"\nquorum alpha\n"), 0o600))
	w.story.Create(bank, "Meadow Bank", w.issuer.TenantIssuer(bank), w.actor("grace"))
	w.story.Assign(w.actor("grace"), bank, "", "of-otto", w.actor("otto"),
		lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, false)
	w.story.Assign(w.actor("grace"), bank, "", "of-audrey", w.actor("audrey"),
		lockboxv1.Role_ROLE_LOCKBOX_APPROVER, false)

	grace, otto, audrey := w.holder("grace", approval.Administrator), w.holder("otto", approval.Administrator),
		w.holder("audrey", approval.Approver)
	g := approval.Genesis{Format: approval.FormatGenesis, Origin: "log.example/lockbox", Tenant: bank,
		Administrators: []approval.Enrolment{grace.Enrolment(approval.Administrator),
			otto.Enrolment(approval.Administrator)},
		Recovery: story.Recovery().Key, Threshold: 2, Demand: approval.DemandSignatures, DelaySeconds: keyDelay,
		RecoverySeconds: keyDelay, Witnesses: []string{alpha.key, beta.key}, Quorum: 2,
		IssuedAt: approval.TimeText(w.story.Now), Nonce: strings.Repeat("0", 64)}
	slices.Sort(g.Witnesses)
	text, err := g.Bytes()
	must(t, err)
	must(t, w.story.SignKeys(grace.By, bank, approval.FormatGenesis, text, grace.Key, otto.Key, story.Recovery()))
	fingerprint := hex.EncodeToString(hash(approval.FormatGenesis, text))
	change := approval.KeyChange{Format: approval.FormatKeys, Origin: g.Origin, Tenant: bank, Genesis: fingerprint,
		Previous: fingerprint, Number: 2, Change: approval.AddKey, IssuedAt: g.IssuedAt, Nonce: g.Nonce,
		Keys: []approval.Enrolment{audrey.Enrolment(approval.Approver)}, Recovery: []approval.Key{}}
	text, err = change.Bytes()
	must(t, err)
	must(t, w.story.SignKeys(otto.By, bank, approval.FormatKeys, text, grace.Key, otto.Key, audrey.Key))
	w.store()

	beta.away.Store(true)
	defer w.run(t.TempDir())()
	defer w.run(t.TempDir())()
	reader := w.bus.Journal(t, bus.Compliance)
	standing := func() *lockboxv1.KeyView {
		keys := w.ask("audrey", &lockboxv1.Query{Tenant: bank,
			Ask: &lockboxv1.Query_GetKeys{GetKeys: &lockboxv1.GetKeys{}}}).GetKeys().GetKeys()
		is := func(k *lockboxv1.KeyView) bool { return hex.EncodeToString(k.GetKeyId()) == audrey.Key.ID() }
		return keys[slices.IndexFunc(keys, is)]
	}
	waits := lockboxv1.KeyStanding_KEY_STANDING_WAITING
	// The log's own policy is content with one witness, who sees the key for longer than it has to wait.
	began := time.Now()
	for from := alpha.cosigned.Load(); alpha.cosigned.Load() < from+5 || time.Since(began) < (keyDelay+1)*time.Second; {
		w.grows()
	}
	if is, written := w.keychain(reader); len(written) != 0 || !is.Waits() || standing().GetStanding() != waits ||
		standing().GetCountsFrom() != nil {
		t.Fatalf("with one witness of two: %v", standing())
	}

	beta.away.Store(false)
	seenWaiting := false
	within(t, "the key counts", func() bool {
		k := standing()
		seenWaiting = seenWaiting || k.GetStanding() == waits && k.GetCountsFrom() != nil
		w.grows()
		return k.GetStanding() == lockboxv1.KeyStanding_KEY_STANDING_COUNTS
	})
	if !seenWaiting {
		t.Error("it counted before its delay was over")
	}
	is, written := w.keychain(reader)
	if len(written) != 2 {
		t.Fatalf("%d events say what was seen, not that it was there and that its delay is over", len(written))
	}
	var times []time.Time
	for _, e := range written {
		seen, version, err := sighted.Verify(is.Chain.Genesis(), e.Event.GetKeysSighted())
		must(t, err)
		at, enough := is.Chain.Genesis().Since(seen)
		if by := e.Event.GetActor().GetService(); !enough || version == 0 || version >= e.Event.GetVersion() ||
			by != string(bus.Projector) {
			t.Errorf("%v: version %d", e.Event, version)
		}
		times = append(times, at)
	}
	if times[1].Sub(times[0]) < keyDelay*time.Second {
		t.Errorf("seen at %v, and over at %v", times[0], times[1])
	}
	i := slices.IndexFunc(is.Chain.Keys(), func(k approval.Enrolled) bool { return k.ID == audrey.Key.ID() })
	if k := is.Chain.Keys()[i]; k.From != written[1].Seq+1 || k.Counts(written[1].Seq) {
		t.Errorf("it counts from event %d on, the last sighting is %d", k.From, written[1].Seq)
	}

	// Whatever is cosigned from here on is not needed.
	for from := beta.cosigned.Load(); beta.cosigned.Load() < from+5; {
		w.grows()
	}
	if _, after := w.keychain(reader); len(after) != 2 {
		t.Errorf("%d events say what was seen", len(after))
	}
}

// grows has something happen, so that a checkpoint follows.
func (w *world) grows() {
	w.t.Helper()
	w.story.Subscription(bank, w.story.ID(), "Another")
	w.store()
	time.Sleep(50 * time.Millisecond)
}

func hash(format string, statement []byte) []byte {
	sum := approval.Digest(format, statement)
	return sum[:]
}

func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
