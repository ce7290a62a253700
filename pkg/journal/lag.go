package journal

import "time"

// Lag is how far a durable consumer that is followed here is behind.
type Lag struct {
	Durable string
	// Pending messages wait to be delivered, Unacknowledged ones were delivered and are not done; in all copies of the
	// service together, as of the last WatchInterval.
	Pending        uint64
	Unacknowledged int
	// Oldest is when the oldest message was stored that is in hand here; zero if there is none.
	Oldest time.Time
}

// Lags returns the lag of each durable consumer that is followed now.
func (j *Journal) Lags() (all []Lag) {
	j.followers.Range(func(w, _ any) bool {
		if w, is := w.(*worker); is {
			all = append(all, w.lag())
		}
		return true
	})
	return all
}

func (w *worker) lag() Lag {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := Lag{Durable: w.durable}
	if w.info != nil {
		l.Pending, l.Unacknowledged = w.info.NumPending, w.info.NumAckPending
	}
	for d := range w.inHand {
		if stored := d.meta.Timestamp; l.Oldest.IsZero() || stored.Before(l.Oldest) {
			l.Oldest = stored
		}
	}
	return l
}
