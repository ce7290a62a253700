package lease

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/signed/signedtest"
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
				h := &Holder{now: time.Now, returned: func() {}}
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
	h := &Holder{now: time.Now, returned: func() {}}
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
		h := &Holder{now: time.Now, returned: func() {}}
		h.renewed(issued(t, time.Now()))
		h.renewed(issued(t, time.Now().Add(-10*time.Second)))
		time.Sleep(Lifetime - time.Second)
		if err := h.Check(); err != nil {
			t.Error(err)
		}
	})
}

// Whoever waits for the lease is told when it returns, once.
func TestTheReturnOfTheLeaseIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		h := &Holder{now: time.Now}
		h.returned = func() {
			if told++; h.Check() != nil {
				t.Error("it is told before the lease is valid")
			}
		}
		for i, c := range []struct {
			wait, age time.Duration
			told      int
		}{
			{0, 0, 1}, {RenewEvery, 0, 1}, {RenewEvery, 0, 1}, // the first one, and renewals in time
			{Lifetime, Lifetime, 1}, {0, time.Second, 2}, {0, 0, 2}, // one that is too old does not bring it back
		} {
			time.Sleep(c.wait)
			h.renewed(issued(t, time.Now().Add(-c.age)))
			if told != c.told {
				t.Errorf("after renewal %d it was told %d times, not %d", i, told, c.told)
			}
		}
	})
}

// Where it is demanded, access stops when the witnesses have been away for too long, and comes back with them. What
// nobody says is no yes.
func TestAQuorumMayBeDemanded(t *testing.T) {
	const within = time.Hour
	for name, c := range map[string]struct {
		within time.Duration
		quorum time.Duration // before the renewal; negative: after
		none   bool
		wait   time.Duration
		good   bool
	}{
		"not demanded, and none":         {0, 0, true, 0, true},
		"not demanded, and old":          {0, 9000 * time.Hour, false, 0, true},
		"demanded, and none":             {within, 0, true, 0, false},
		"recent":                         {within, time.Minute, false, 0, true},
		"as old as it may be":            {within, within, false, 0, false},
		"just not as old":                {within, within - 5*time.Second, false, 4 * time.Second, true},
		"it becomes too old":             {within, within - 5*time.Second, false, 5 * time.Second, false},
		"the lease ends before":          {within, 0, false, Lifetime, false},
		"by a clock of the next century": {10 * time.Second, -900_000 * time.Hour, false, 10 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := 0
				h := &Holder{now: time.Now, within: c.within, returned: func() { told++ }}
				l := &lockboxv1.Lease{IssuedAt: timestamppb.Now()}
				if !c.none {
					l.QuorumAt = timestamppb.New(time.Now().Add(-c.quorum))
				}
				data, err := proto.Marshal(l)
				if err != nil {
					t.Fatal(err)
				}
				h.renewed(data)
				time.Sleep(c.wait)
				if err := h.Check(); (err == nil) != c.good ||
					err != nil && !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
					t.Error(err)
				}
				l = &lockboxv1.Lease{IssuedAt: timestamppb.Now(), QuorumAt: timestamppb.Now()}
				if data, err = proto.Marshal(l); err != nil {
					t.Fatal(err)
				}
				before := told
				h.renewed(data)
				if h.Check() != nil || c.good != (told == before) {
					t.Errorf("after a new quorum: %v, told %d times", h.Check(), told-before)
				}
			})
		})
	}
}

// Anybody who can publish on the subject could renew the lease, and so keep grants coming while the guard is silent
// (R50).
func TestOnceSigningBeganOnlyTheProjectorRenewsTheLease(t *testing.T) {
	d := signedtest.New(t, "ours")
	ring := d.Keyring()
	h := &Holder{now: time.Now, keys: ring, returned: func() {}}
	h.renewed(issued(t, time.Now()))
	if err := h.Check(); err != nil {
		t.Errorf("before signing began: %v", err)
	}
	if err := ring.Add(d.Began("", time.Now()), 1); err != nil {
		t.Fatal(err)
	}
	sign := func(s *signed.Signer, data []byte) []byte {
		stored, err := s.Sign([]signed.Unsigned{{Subject: bus.LeaseSubject, Content: data}})
		if err != nil {
			t.Fatal(err)
		}
		return stored[0]
	}
	lease := issued(t, time.Now())
	genuine := sign(d.Writer(aggregate.Projector), lease)
	others := sign(signedtest.New(t, "other").Writer(aggregate.Projector), lease)
	later := issued(t, time.Now().Add(time.Second))
	for name, row := range map[string]struct {
		data []byte
		good bool
	}{
		"unsigned":                       {lease, false},
		"by another writer":              {sign(d.Writer(aggregate.Orchestrator), lease), false},
		"by another deployment":          {others, false},
		"another lease, with this block": {append(later, genuine[len(lease):]...), false},
		"by the projector":               {genuine, true},
	} {
		h := &Holder{now: time.Now, keys: ring, returned: func() {}}
		if h.renewed(row.data); (h.Check() == nil) != row.good {
			t.Errorf("%s: %v", name, h.Check())
		}
	}
}
