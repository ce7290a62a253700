package stack_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/verifier/witness"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Two witnesses of three are enough; the third is never there.
func TestWitnessesCosignWhatTheLogShows(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.close()
	vkey, err := os.ReadFile(filepath.Join(l.config.Dir, "keys", logkeys.PublicKeyFile))
	must(t, err)
	policy := "log " + string(vkey)
	for _, name := range []string{"alpha", "beta"} {
		policy += witnessed(t, name, string(vkey)).line
	}
	away, err := witness.CreateKey(filepath.Join(t.TempDir(), "key"), "gamma.example")
	must(t, err)
	policy += "witness gamma " + away.VerifierKey() +
		" http://127.0.0.1:1\ngroup enough 2 alpha beta gamma\nquorum enough\n"
	l.config.LogPolicy, l.config.LogAddr = filepath.Join(t.TempDir(), "policy"), "127.0.0.1:0"
	must(t, os.WriteFile(l.config.LogPolicy, []byte(policy), 0o600))
	l.open()
	trusted, err := merkle.ParsePolicy([]byte(policy))
	must(t, err)
	checkpoint := func() (merkle.Signed, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.stack.LogURL()+"/checkpoint", nil)
		must(t, err)
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		body, err := io.ReadAll(answer.Body)
		must(t, err)
		must(t, answer.Body.Close())
		return trusted.Open(body)
	}
	size := int64(0)
	for range 3 { // it grows, and is cosigned again
		within(t, time.Minute, "a larger checkpoint with two cosignatures", func() bool {
			signed, err := checkpoint()
			if err != nil || signed.Tree.N <= size {
				return false
			}
			size = signed.Tree.N
			return len(signed.Cosigned) == 2
		})
		l.requested(l.intent("erin"), request.CustomerNotified)
	}
	// The witness that is away is told as one that has never cosigned.
	for name, is := range map[string]func(float64) bool{"alpha": some, "beta": some, "gamma": exactly(0)} {
		l.gauges(`lockbox_witness_cosigned_timestamp_seconds{service="audit-projector",witness="`+name+`"}`, is)
	}
}

// aWitness is a witness that can be cut off.
type aWitness struct {
	// line is its line in a policy, and dir its state.
	line, dir string
	away      atomic.Bool
	// cosigned counts the checkpoints that it has cosigned.
	cosigned atomic.Int64
}

// witnessed starts a witness of a log.
func witnessed(t *testing.T, name, vkey string) *aWitness {
	t.Helper()
	key, err := witness.CreateKey(filepath.Join(t.TempDir(), "key"), name+".example")
	must(t, err)
	is := &aWitness{dir: t.TempDir()}
	w, err := witness.Open(is.dir, key, []string{strings.TrimSpace(vkey)}, time.Now)
	must(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if is.away.Load() {
			http.Error(out, "cut off", http.StatusBadGateway)
			return
		}
		answer := httptest.NewRecorder()
		w.Handler().ServeHTTP(answer, r)
		if answer.Code == http.StatusOK {
			is.cosigned.Add(1)
		}
		maps.Copy(out.Header(), answer.Header())
		out.WriteHeader(answer.Code)
		_, _ = out.Write(answer.Body.Bytes())
	}))
	t.Cleanup(func() {
		server.Close()
		must(t, w.Close())
	})
	is.line = "witness " + name + " " + key.VerifierKey() + " " + server.URL + "\n"
	return is
}

// What the provider restores, by mistake or to have another history, is everything that it has: the stream, its second
// copy and the trees. Only the witness knows better.
func TestARestoredBackupSignsNothing(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.close()
	vkey, err := os.ReadFile(filepath.Join(l.config.Dir, "keys", logkeys.PublicKeyFile))
	must(t, err)
	w := witnessed(t, "alpha", string(vkey))
	l.config.LogPolicy = filepath.Join(t.TempDir(), "policy")
	must(t, os.WriteFile(l.config.LogPolicy, []byte("log "+string(vkey)+w.line+"quorum alpha\n"), 0o600))
	heard := alarms{zapcore.NewNopCore(), new(sync.Mutex), new(bytes.Buffer)}
	l.config.Log = zap.New(heard)
	l.open()
	waiting := l.requested(l.intent("erin"), request.CustomerNotified)
	(&written{lockbox: l}).signed()
	l.close()
	backup := t.TempDir()
	data := []string{"nats", "projection"}
	for _, name := range data {
		must(t, os.CopyFS(filepath.Join(backup, name), os.DirFS(filepath.Join(l.config.Dir, name))))
	}

	// After a restart, nothing is signed and no access begins before the witness has confirmed what is there.
	w.away.Store(true)
	l.open()
	within(t, time.Minute, "the log waits for the witness",
		func() bool { return heard.heard("0 witnesses say how far they saw the log grow, and 1 must") })
	l.does("otto", approve(waiting))
	l.reaches(waiting, request.Approved)
	w.away.Store(false)
	l.reaches(waiting, request.Active)
	before := w.cosigned.Load()
	(&written{lockbox: l}).signed()
	within(t, time.Minute, "the witness cosigns it", func() bool { return w.cosigned.Load() > before })
	l.close()

	// The backup knows nothing of the approval.
	for _, name := range data {
		must(t, os.RemoveAll(filepath.Join(l.config.Dir, name)))
		must(t, os.CopyFS(filepath.Join(l.config.Dir, name), os.DirFS(filepath.Join(backup, name))))
	}
	l.open()
	within(t, time.Minute, "an alarm", func() bool {
		return heard.heard("ALARM: the log is not what was recorded; signing has stopped") &&
			heard.heard("an older copy was restored")
	})
	signed := len(l.history(journal.Replay{Kind: aggregate.KindCheckpoint}))
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(id))
	l.until(id, "the wait for the lease", func(s request.State) bool { return s.Status == request.Approved })
	time.Sleep(2 * lease.RenewEvery)
	if s := l.state(id); s.Status != request.Approved {
		t.Errorf("access began on a history that nobody vouches for: %v", s.Status)
	}
	if now := len(l.history(journal.Replay{Kind: aggregate.KindCheckpoint})); now != signed {
		t.Errorf("%d checkpoints were signed after the backup was restored", now-signed)
	}
}

// A backup is restored, and only a witness that knows nothing of what came after it is asked: both sides of a fork are
// signed. When the other one comes back it refuses, keeps both notes, and no access begins any more.
func TestAWitnessThatComesBackRefusesAFork(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.close()
	vkey, err := os.ReadFile(filepath.Join(l.config.Dir, "keys", logkeys.PublicKeyFile))
	must(t, err)
	knows, knowsNot := witnessed(t, "alpha", string(vkey)), witnessed(t, "beta", string(vkey))
	l.config.LogPolicy = filepath.Join(t.TempDir(), "policy")
	must(t, os.WriteFile(l.config.LogPolicy, []byte("log "+string(vkey)+knows.line+knowsNot.line+
		"group any any alpha beta\nquorum any\n"), 0o600))
	heard := alarms{zapcore.NewNopCore(), new(sync.Mutex), new(bytes.Buffer)}
	l.config.Log = zap.New(heard)
	knowsNot.away.Store(true)
	l.open()
	l.requested(l.intent("erin"), request.CustomerNotified)
	(&written{lockbox: l}).signed()
	l.close()
	backup := t.TempDir()
	data := []string{"nats", "projection"}
	for _, name := range data {
		must(t, os.CopyFS(filepath.Join(backup, name), os.DirFS(filepath.Join(l.config.Dir, name))))
	}
	l.open()
	before := knows.cosigned.Load()
	l.requested(l.intent("erin"), request.CustomerNotified)
	(&written{lockbox: l}).signed()
	within(t, time.Minute, "a cosignature", func() bool { return knows.cosigned.Load() > before })
	l.close()

	for _, name := range data {
		must(t, os.RemoveAll(filepath.Join(l.config.Dir, name)))
		must(t, os.CopyFS(filepath.Join(l.config.Dir, name), os.DirFS(filepath.Join(backup, name))))
	}
	knows.away.Store(true)
	knowsNot.away.Store(false)
	l.open()
	for range 5 { // it grows beyond what the other one has seen
		l.requested(l.intent("erin"), request.CustomerNotified)
		(&written{lockbox: l}).signed()
	}
	granted := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(granted))
	l.reaches(granted, request.Active) // nobody knows yet
	knows.away.Store(false)
	within(t, time.Minute, "an alarm", func() bool {
		return heard.heard("does not follow from what the witness alpha has cosigned") &&
			heard.heard("ALARM: the log is not what was recorded; signing has stopped")
	})
	evidence, err := witness.ReadEvidence(knows.dir)
	must(t, err)
	if len(evidence) == 0 {
		t.Error("the witness has forgotten the fork that it refused")
	}
	time.Sleep(lease.Lifetime)
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(id))
	l.until(id, "the wait for the lease", func(s request.State) bool { return s.Status == request.Approved })
	time.Sleep(2 * lease.RenewEvery)
	if s := l.state(id); s.Status != request.Approved {
		t.Errorf("access began on a fork: %v", s.Status)
	}
}

// Who demands witnesses gets no access without them, and access that waited begins when they have cosigned.
func TestAccessMayDemandAQuorum(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.close()
	l.config.WitnessedWithin = time.Hour
	l.open()
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", approve(id))
	l.until(id, "the wait for the lease", func(s request.State) bool { return s.Status == request.Approved })
	time.Sleep(2 * lease.RenewEvery)
	if s := l.state(id); s.Status != request.Approved {
		t.Errorf("access began without witnesses: %v", s.Status)
	}
	l.close()
	vkey, err := os.ReadFile(filepath.Join(l.config.Dir, "keys", logkeys.PublicKeyFile))
	must(t, err)
	l.config.LogPolicy = filepath.Join(t.TempDir(), "policy")
	must(t, os.WriteFile(l.config.LogPolicy, []byte("log "+string(vkey)+witnessed(t, "alpha", string(vkey)).line+
		"quorum alpha\n"), 0o600))
	l.open()
	l.reaches(id, request.Active)
}
