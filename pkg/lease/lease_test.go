package lease

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func issued(t *testing.T, at time.Time) []byte {
	t.Helper()
	data, err := proto.Marshal(&lockboxv1.Lease{VerifiedSequence: 7, IssuedAt: timestamppb.New(at)})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// control: nist:SI-7
func TestALeaseLastsFifteenSecondsFromWhenItWasIssued(t *testing.T) {
	for name, c := range map[string]struct {
		age  time.Duration // when it arrives
		wait time.Duration
		good bool
	}{
		"at once":                        {0, 0, true},
		"just before its end":            {0, Lifetime - time.Millisecond, true},
		"at its end":                     {0, Lifetime, false},
		"long on its way":                {10 * time.Second, 4 * time.Second, true},
		"long on its way, and its end":   {10 * time.Second, 5 * time.Second, false},
		"too long on its way":            {Lifetime, 0, false},
		"by a clock that is ahead":       {-drift, Lifetime - time.Millisecond, true},
		"by a clock that is ahead, late": {-drift, Lifetime, false},
		"from the future":                {-drift - time.Second, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Holder{now: time.Now}
				h.renewed(issued(t, time.Now().Add(-c.age)))
				time.Sleep(c.wait)
				if err := h.Check(); (err == nil) != c.good {
					t.Error(err)
				}
			})
		})
	}
}

func TestWithoutALeaseNothingIsGranted(t *testing.T) {
	h := &Holder{now: time.Now}
	for _, bad := range [][]byte{nil, {}, []byte("all is well"), issued(t, time.Now())[:3]} {
		h.renewed(bad)
		if err := h.Check(); !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// An old word that arrives after a newer one does not shorten it.
func TestTheNewestWordCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Holder{now: time.Now}
		h.renewed(issued(t, time.Now()))
		h.renewed(issued(t, time.Now().Add(-10*time.Second)))
		time.Sleep(Lifetime - time.Second)
		if err := h.Check(); err != nil {
			t.Error(err)
		}
	})
}
