package journal

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestTheLagIsThatOfTheOldestMessageInHand(t *testing.T) {
	w := newWorker(t.Context(), job{durable: "notifier", concurrency: 1}, time.Second)
	defer w.stop(nil)
	j := new(Journal)
	if all := j.Lags(); len(all) != 0 {
		t.Errorf("before anything is followed: %v", all)
	}
	end := j.hurried(w)
	if all := j.Lags(); len(all) != 1 || all[0] != (Lag{Durable: "notifier"}) {
		t.Errorf("before anything has come: %v", all)
	}
	w.info = &jetstream.ConsumerInfo{NumPending: 7, NumAckPending: 2}
	old := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, stored := range []time.Time{old.Add(time.Minute), old, old.Add(time.Hour)} {
		w.inHand[&delivery{meta: &jetstream.MsgMetadata{Timestamp: stored}}] = struct{}{}
	}
	want := Lag{Durable: "notifier", Pending: 7, Unacknowledged: 2, Oldest: old}
	if all := j.Lags(); len(all) != 1 || all[0] != want {
		t.Errorf("%v, not %v", all, want)
	}
	end()
	if all := j.Lags(); len(all) != 0 {
		t.Errorf("after it has ended: %v", all)
	}
}
