package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
)

// consumer plays the server to a worker, as far as a worker can tell.
type consumer struct {
	mu sync.Mutex
	// due is when each message that was not acknowledged would be delivered again.
	due     map[string]time.Time
	answers map[string]int // by their kind
	late    int
	read    int
	data    func(sequence uint64) []byte
}

func (c *consumer) send(reply string, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind, rest, _ := bytes.Cut(data, []byte(" "))
	c.answers[string(kind)]++
	if due, waits := c.due[reply]; !waits || time.Now().After(due) {
		c.late++
	}
	var options struct{ Delay time.Duration }
	switch {
	case string(kind) == answerInProgress:
		c.due[reply] = time.Now().Add(bus.AckWait)
	case string(kind) == answerNak && len(rest) > 0:
		if err := json.Unmarshal(rest, &options); err != nil {
			return err
		}
		c.due[reply] = time.Now().Add(options.Delay)
	default:
		delete(c.due, reply)
	}
	return nil
}

// deliver queues messages of one lane, each in a line of its own.
func (c *consumer) deliver(w *worker, lane string, from, n uint64) {
	for seq := from; seq < from+n; seq++ {
		meta := &jetstream.MsgMetadata{NumDelivered: 1, Sequence: jetstream.SequencePair{Stream: seq}}
		d := &delivery{subject: lane, reply: fmt.Sprint(seq), meta: meta, data: c.data(seq)}
		c.mu.Lock()
		c.due[d.reply] = time.Now().Add(bus.AckWait)
		c.mu.Unlock()
		w.queue(d)
	}
}

func newConsumer(
	t *testing.T, concurrency int, handle func(context.Context, *delivery) error,
) (*consumer, *worker) {
	c := &consumer{due: map[string]time.Time{}, answers: map[string]int{}, data: func(uint64) []byte { return nil }}
	w := newWorker(t.Context(), job{
		concurrency: concurrency, lane: func(d *delivery) string { return d.subject },
		line: func(d *delivery) string { return d.reply }, handle: handle,
	}, bus.AckWait)
	w.send, w.read = c.send, func(_ context.Context, d *delivery) ([]byte, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.read++
		return c.data(d.sequence()), nil
	}
	return c, w
}

// What waits to be tried again is tried at once when it is told that it may succeed now, and not before its delay ends
// otherwise.
func TestWhatFailedIsTriedAtOnceWhenToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const waiting = 50
		var mu sync.Mutex
		tried, works := 0, false
		c, w := newConsumer(t, 8, func(context.Context, *delivery) error {
			mu.Lock()
			defer mu.Unlock()
			if tried++; !works {
				return errors.New("not yet")
			}
			return nil
		})
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return tried
		}
		c.deliver(w, "contoso", 1, waiting)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		// After a quarter of a second, half a second … up to 32 s, and then once a minute.
		if n := count(); n != 17*waiting {
			t.Errorf("%d messages were tried %d times in ten minutes", waiting, n)
		}
		before, at := count(), time.Now()
		mu.Lock()
		works = true
		mu.Unlock()
		w.hurry()
		synctest.Wait()
		if n := count() - before; n != waiting || time.Since(at) != 0 || c.answers[answerAck] != waiting {
			t.Errorf("%d were tried again within %v, and %d acknowledged", n, time.Since(at), c.answers[answerAck])
		}
		w.open.Wait()
	})
}

// A message that fails while others are told to hurry is tried again at once too.
func TestAHurryIsNotMissedByWhatIsBeingTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tried, hurried := 0, make(chan struct{})
		c, w := newConsumer(t, 1, func(context.Context, *delivery) error {
			if tried++; tried == 1 {
				<-hurried
				return errors.New("it was too early")
			}
			return nil
		})
		c.deliver(w, "contoso", 1, 1)
		synctest.Wait()
		at := time.Now()
		w.hurry()
		close(hurried)
		w.open.Wait()
		if tried != 2 || time.Since(at) != 0 {
			t.Errorf("tried %d times in %v", tried, time.Since(at))
		}
	})
}

// A whole window of one tenant's messages waits for a minute: others' are handled, no message comes due at the server,
// and that costs no more than it does for a few.
func TestAFullWindowIsKeptAliveCheaply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finish, quiet := make(chan struct{}), 0
		c, w := newConsumer(t, 8, func(_ context.Context, d *delivery) error {
			if d.subject == "loud" {
				<-finish
			} else {
				quiet++
			}
			return nil
		})
		go w.keepAlive()
		const loud = bus.MaxAckPending - 1
		c.deliver(w, "loud", 1, loud)
		c.deliver(w, "quiet", loud+1, 1)
		synctest.Wait()
		if quiet != 1 {
			t.Error("another tenant's message waits")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		rounds := int(time.Minute / (bus.AckWait / 3))
		if sent, most := c.answers[answerNak]+c.answers[answerInProgress], keptAlive*rounds+2*loud; sent > most {
			t.Errorf("%d messages were sent to keep %d alive, more than %d", sent, loud, most)
		}
		close(finish)
		w.open.Wait()
		if c.late > 0 || len(c.due) > 0 || c.answers[answerAck] != bus.MaxAckPending {
			t.Errorf("%d answers came too late, %d never, %d were acknowledged", c.late, len(c.due), c.answers[answerAck])
		}
		w.stop(nil)
	})
}

// However large the messages are that wait, few are held; each is handled whole.
func TestTheMessagesThatWaitAreNotAllHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, waiting = 128 << 10, 1000
		finish := make(chan struct{})
		var mu sync.Mutex
		wrong := 0
		var c *consumer
		c, w := newConsumer(t, 8, func(_ context.Context, d *delivery) error {
			<-finish
			mu.Lock()
			defer mu.Unlock()
			if !bytes.Equal(d.data, c.data(d.sequence())) {
				wrong++
			}
			return nil
		})
		c.data = func(sequence uint64) []byte { return bytes.Repeat([]byte{byte(sequence)}, size) }
		c.deliver(w, "loud", 1, waiting)
		held := 0
		for d := range w.inHand {
			held += len(d.data)
		}
		if held != w.held || held > maxHeld || held < maxHeld-size {
			t.Errorf("%d bytes are held, and %d counted", held, w.held)
		}
		close(finish)
		w.open.Wait()
		if want := waiting - maxHeld/size; wrong > 0 || c.read != want || w.held != 0 || len(w.inHand) != 0 {
			t.Errorf("%d were not whole, %d were read again and not %d, %d bytes are held of %d", wrong, c.read, want, w.held,
				len(w.inHand))
		}
	})
}
