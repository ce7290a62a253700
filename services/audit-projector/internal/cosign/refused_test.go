package cosign

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/note"
)

// A witness that says that the log does not follow from what it cosigned is no witness that is away, in whichever
// version of the protocol it says so.
func TestWhatAWitnessRefusesContradictsTheLog(t *testing.T) {
	for name, row := range map[string]struct {
		status  int
		body    string
		differs bool
	}{
		"it does not follow":                  {http.StatusUnprocessableEntity, "a fork", true},
		"the size that was named":             {http.StatusConflict, "1\n", true},
		"another tree of that size, as once":  {http.StatusConflict, "root hash mismatch", true},
		"not the log's signature":             {http.StatusForbidden, "", false},
		"a log that it does not know":         {http.StatusNotFound, "", false},
		"a request that it cannot understand": {http.StatusBadRequest, "", false},
		"away":                                {http.StatusBadGateway, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(row.status)
				_, _ = w.Write([]byte(row.body))
			}))
			defer server.Close()
			_, log, err := note.GenerateKey(rand.Reader, "log.example")
			must(t, err)
			_, private, err := ed25519.GenerateKey(rand.Reader)
			must(t, err)
			key, err := merkle.NewCosigner("w", private)
			must(t, err)
			policy, err := merkle.ParsePolicy([]byte("log " + log + "\nwitness w " + key.VerifierKey() + " " + server.URL +
				"\nquorum w\n"))
			must(t, err)
			ws := New(policy, zap.NewNop())
			ws.Log = &oneCheckpoint{}
			err = ws.Follow(t.Context(), map[string]int64{"w": 1})
			if errors.Is(err, ledger.ErrDiffers) != row.differs || err == nil {
				t.Error(err)
			}
		})
	}
}
