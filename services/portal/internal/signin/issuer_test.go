package signin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
)

func TestWhoeverWaitsForAnIssuerWaitsForOneAnswer(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	answer := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		<-answer
		http.Error(w, "down", http.StatusBadGateway)
	}))
	defer server.Close()
	now := time.Date(2026, 8, 3, 9, 30, 0, 0, time.UTC)
	i := &issuer{client: oidcclient.Client{Issuer: server.URL, ID: "lockbox", Now: func() time.Time { return now }}}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := i.open(gone); err == nil {
		t.Error("who has gone away waits")
	}
	var all sync.WaitGroup
	errs := make([]error, 20)
	for n := range errs {
		all.Go(func() { _, errs[n] = i.open(t.Context()) })
	}
	close(answer)
	all.Wait()
	for _, err := range errs {
		if err == nil {
			t.Error("an issuer that is down has answered")
		}
	}
	if _, err := i.open(t.Context()); err == nil || asked.Load() != 1 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
	now = now.Add(failedFor)
	if _, err := i.open(t.Context()); err == nil || asked.Load() != 2 {
		t.Errorf("later: asked %d times, %v", asked.Load(), err)
	}
}
