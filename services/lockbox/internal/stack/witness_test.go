package stack_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/verifier/witness"
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
		key, err := witness.CreateKey(filepath.Join(t.TempDir(), "key"), name+".example")
		must(t, err)
		w, err := witness.Open(t.TempDir(), key, []string{strings.TrimSpace(string(vkey))}, time.Now)
		must(t, err)
		server := httptest.NewServer(w.Handler())
		t.Cleanup(func() {
			server.Close()
			must(t, w.Close())
		})
		policy += "witness " + name + " " + key.VerifierKey() + " " + server.URL + "\n"
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
