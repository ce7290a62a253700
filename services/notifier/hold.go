package notifier

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/notifier/internal/pace"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"github.com/openlockbox/lockbox/services/notifier/internal/smtp"
	"golang.org/x/sync/singleflight"
)

const (
	// DefaultDigest is how long a mail is held at most, unless configured.
	DefaultDigest = 10 * time.Minute
	// mostHeld is how many mails are held for one address; if more come, they go in another digest.
	mostHeld = 500
	// mostHeldInAll leaves others half of the events that the bus hands out: an event is acknowledged only once all of
	// its mails are reported, so those of which one is held are at most as many.
	mostHeldInAll = bus.MaxAckPending / 2
)

// holding is what is held back to go together (R52). It lives in memory: the events whose mails are held are not
// acknowledged, so they come again after a restart, and the first mails of a burst go at once again.
type holding struct {
	mu      sync.Mutex
	pacer   *pace.Pacer
	digests map[*pace.Batch]*digest
	// sending lets one handler send a digest for all that come at the same time.
	sending singleflight.Group
}

// digest is a batch on its way.
type digest struct {
	batch *pace.Batch
	// due ends when it is to go: at the time for which the timer is set.
	due   context.Context
	timer *time.Timer
	until time.Time
	// reported is how many of its mails are.
	reported int
	// mail is what is sent once nothing joins any more; without an ID, if nobody may read any of it now. Closed reports
	// that it is settled, and dropped holds the mails that it leaves out, by ID.
	mail    plan.Notification
	closed  bool
	dropped map[string]bool

	// Only for whoever is sending: whether the mail server has taken or refused it.
	sent bool
	err  error
}

func newHolding(after time.Duration) *holding {
	return &holding{pacer: pace.New(after, mostHeld, mostHeldInAll), digests: map[*pace.Batch]*digest{}}
}

// digest returns the digest that is to stand for a mail, which may have been sent; nil if the mail goes at once.
func (h *holding) digest(n plan.Notification, since, now time.Time) *digest {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.pacer.Ask(n, since, now)
	if b == nil {
		return nil
	}
	d := h.digests[b]
	switch {
	case d == nil:
		due, end := context.WithCancel(context.Background())
		d = &digest{batch: b, due: due, timer: time.AfterFunc(b.Due.Sub(now), end), until: b.Due}
		h.digests[b] = d
	case b.Due.Before(d.until):
		d.until = b.Due
		d.timer.Reset(b.Due.Sub(now))
	}
	return d
}

// settle ends a digest that is due: nothing joins it any more, and it leaves out what its recipient may not know now.
// It returns how it was settled the first time.
func (h *holding) settle(d *digest, full plan.Notification, entitled func([]plan.Notification) ([]bool, error)) error {
	h.mu.Lock()
	h.pacer.Close(d.batch)
	closed, held := d.closed, d.batch.Held
	h.mu.Unlock()
	if closed {
		return nil
	}
	may, err := entitled(held)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed, d.dropped = true, map[string]bool{}
	var left []plan.Notification
	for i, n := range held {
		if d.dropped[n.ID] = !may[i]; may[i] {
			left = append(left, n)
		}
	}
	switch {
	case len(left) == 1 && left[0].ID == full.ID:
		d.mail = full
	case len(left) > 0:
		d.mail = plan.DigestOf(left)
	}
	return nil
}

// send sends a settled digest, unless that was done, and returns the mail. A digest of one is that mail in full. After
// a failure that may pass it is sent again for whoever comes next.
func (h *holding) send(d *digest, deliver func(plan.Notification) error) (mail plan.Notification, err error) {
	h.mu.Lock()
	mail = d.mail
	h.mu.Unlock()
	_, err, _ = h.sending.Do(mail.ID, func() (any, error) {
		if d.sent {
			return nil, d.err
		}
		err := deliver(mail)
		var permanent *smtp.PermanentError
		_, refused := refusal.As(err)
		d.sent, d.err = err == nil || refused || errors.As(err, &permanent), err
		return nil, err
	})
	return mail, err
}

// held returns how many mails are held.
func (h *holding) held() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pacer.Held()
}

// forget drops a mail that was reported.
func (h *holding) forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.pacer.Forget(id)
	d := h.digests[b]
	if d == nil {
		return
	}
	if d.reported++; d.reported == len(b.Held) {
		h.pacer.Close(b)
		d.timer.Stop()
		delete(h.digests, b)
	}
}

// outcome joins the errors of an event's mails. If some are held and none has failed, the event is held until the first
// of them is due.
func outcome(errs []error) error {
	var failed []error
	var held []*journal.HeldError
	for _, err := range errs {
		var h *journal.HeldError
		if errors.As(err, &h) {
			held = append(held, h)
		} else {
			failed = append(failed, err)
		}
	}
	if err := errors.Join(failed...); err != nil || len(held) == 0 {
		return err
	}
	return &journal.HeldError{Until: first(held)}
}

// first returns a context that ends with the first of those for which is waited.
func first(held []*journal.HeldError) context.Context {
	ctx, end := context.WithCancel(context.Background())
	context.AfterFunc(held[0].Until, end)
	for _, h := range held[1:] {
		context.AfterFunc(h.Until, end)
	}
	return ctx
}
