package bus

import (
	"errors"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// control: nist:AU-8
func TestClockRefusesToDecide(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	lost := errors.New("no answer")
	for name, c := range map[string]struct {
		skew    time.Duration
		err     error
		age     time.Duration
		healthy bool
	}{
		"together":               {0, nil, 0, true},
		"two seconds behind":     {2 * time.Second, nil, 0, true},
		"two seconds ahead":      {-2 * time.Second, nil, 0, true},
		"a little more behind":   {2*time.Second + 1, nil, 0, false},
		"a little more ahead":    {-2*time.Second - 1, nil, 0, false},
		"checked long ago":       {0, nil, clockStale + 1, false},
		"checked a while ago":    {0, nil, clockStale, true},
		"the first check failed": {0, lost, 0, false},
	} {
		var clock Clock
		clock.set(c.skew, c.err, now.Add(-c.age))
		err := clock.healthy(now)
		if (err == nil) != c.healthy || err != nil && !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var clock Clock
	if clock.healthy(now) == nil {
		t.Error("a clock that was never compared is healthy")
	}
	clock.set(0, nil, now)
	clock.set(0, lost, now.Add(time.Minute))
	if err := clock.healthy(now.Add(time.Minute)); err != nil {
		t.Errorf("after one check that failed: %v", err)
	}
}

func TestTheSkewIsToldWithWhatWasSetSince(t *testing.T) {
	var clock Clock
	if skew, compared := clock.Skew(); skew != 0 || !compared.IsZero() {
		t.Errorf("before it was compared: %v at %v", skew, compared)
	}
	now := time.Now()
	clock.set(300*time.Millisecond, nil, now)
	if skew, compared := clock.Skew(); (skew-300*time.Millisecond).Abs() > 200*time.Millisecond || !compared.Equal(now) {
		t.Errorf("%v at %v", skew, compared)
	}
}
