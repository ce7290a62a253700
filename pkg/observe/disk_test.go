package observe

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestADiskIsLowBelowAGigabyteOrAPartOfIt(t *testing.T) {
	t.Parallel()
	const gb = 1 << 30
	for free, row := range map[uint64]struct {
		total uint64
		low   bool
	}{
		gb:       {20 * gb, false},
		gb - 1:   {20 * gb, true},
		5 * gb:   {100 * gb, false},
		5*gb - 1: {100 * gb, true},
		0:        {0, true},
	} {
		if got := low(durable.Space{Free: free, Total: row.total}); got != row.low {
			t.Errorf("%d of %d bytes are free: low is %v", free, row.total, got)
		}
	}
}

func TestALowDiskIsLoggedOnceAndThenHourly(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zapcore.InfoLevel)
	space := durable.Space{Free: 10 << 30, Total: 100 << 30}
	d := NewDisk("/data", zap.New(core))
	d.space = func(string) (durable.Space, error) { return space, nil }
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	said := func(after time.Duration) int {
		before := logged.Len()
		d.look(at.Add(after))
		return logged.Len() - before
	}
	if said(0) != 0 {
		t.Error("there is room, and the log says something")
	}
	space.Free = 1 << 29
	for after, want := range []int{1, 0, 0} {
		if got := said(time.Duration(after) * time.Minute); got != want {
			t.Errorf("after %d minutes: %d lines", after, got)
		}
	}
	if said(time.Hour-time.Nanosecond) != 0 || said(time.Hour) != 1 {
		t.Error("it is not said again after an hour")
	}
	space.Free = 10 << 30
	if said(61*time.Minute) != 1 || said(62*time.Minute) != 0 {
		t.Error("that there is room again is not said once")
	}
	space.Free = 0
	if said(63*time.Minute) != 1 {
		t.Error("that it is low again is not said at once")
	}
}

func TestALowDiskWarnsAndDoesNotUnready(t *testing.T) {
	t.Parallel()
	d := NewDisk("/data", zap.NewNop())
	d.space = func(string) (durable.Space, error) { return durable.Space{Free: 300 << 20, Total: 100 << 30}, nil }
	var none *Metrics
	w := httptest.NewRecorder()
	none.Handler(map[string]Check{"disk": d.Check}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "warning  disk: 300 of 102400 MB are free in /data") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
