package cosign

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/note"
)

const checkpoint = "log.example\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— log.example signature\n"

// oneCheckpoint is a log that never grows. It takes any cosignature, and counts them.
type oneCheckpoint struct{ cosigned atomic.Int32 }

func (*oneCheckpoint) Newest() ([]byte, int64, error) { return []byte(checkpoint), 1, nil }
func (*oneCheckpoint) Checkpoint() ([]byte, error)    { return []byte(checkpoint), nil }
func (*oneCheckpoint) Growth(int64) (ledger.Growth, error) {
	return ledger.Growth{Checkpoint: checkpoint}, nil
}
func (*oneCheckpoint) Passed() time.Time                         { return time.Now() }
func (*oneCheckpoint) Contradict(error)                          {}
func (l *oneCheckpoint) Cosign(_ *merkle.Policy, _ []byte) error { l.cosigned.Add(1); return nil }

// After a restart a witness may be asked from two sides: to confirm the last checkpoint before anything is signed, and
// to cosign whatever is the last one. A second cosignature of one checkpoint would be rejected, and the confirmation
// with it.
func TestACheckpointIsCosignedOnceByAWitness(t *testing.T) {
	witness := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Millisecond)
		_, _ = w.Write([]byte("— w signature\n"))
	}))
	defer witness.Close()
	asked, shown := asking(t, witness.URL), &oneCheckpoint{}
	asked.Log = shown
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); asked.Run(ctx) }()
	for range 3 {
		must(t, asked.Follow(t.Context(), map[string]int64{"w": 0}))
	}
	for asked.Seen()["w"].IsZero() {
		time.Sleep(time.Millisecond)
	}
	stop()
	<-ran
	if n := shown.cosigned.Load(); n != 1 {
		t.Fatalf("the checkpoint was cosigned %d times", n)
	}
}

// asking returns a policy's one witness.
func asking(t *testing.T, url string) *Witnesses {
	t.Helper()
	_, log, err := note.GenerateKey(rand.Reader, "log.example")
	must(t, err)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	key, err := merkle.NewCosigner("w", private)
	must(t, err)
	policy, err := merkle.ParsePolicy([]byte("log " + log + "\nwitness w " + key.VerifierKey() + " " + url +
		"\nquorum w\n"))
	must(t, err)
	return New(policy, zap.NewNop())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What a quiet log shows was cosigned a short time ago all the same.
func TestACheckpointIsCosignedAgainFromTimeToTime(t *testing.T) {
	bodies := make(chan string, 100)
	witness := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- string(body)
		_, _ = w.Write([]byte("— w signature\n"))
	}))
	defer witness.Close()
	asked, shown := asking(t, witness.URL), &oneCheckpoint{}
	asked.Log, asked.renewEvery = shown, time.Nanosecond
	for range 3 {
		must(t, asked.all[0].ask(t.Context(), text(checkpoint)))
	}
	if n := shown.cosigned.Load(); n != 3 {
		t.Errorf("the checkpoint was cosigned %d times", n)
	}
	<-bodies
	for range 2 { // with nothing to prove
		if body := <-bodies; body != "old 1\n\n"+checkpoint {
			t.Errorf("it is asked with %q", body)
		}
	}
}
