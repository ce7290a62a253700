package notifier

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/smtptest"
)

// burst is a notifier and a number of requests of which it has not told anybody yet.
type burst struct {
	*world
	*notifier
	events []journal.Entry
	ids    []string
}

func (w *world) burst(c Config, requests int) *burst {
	w.Helper()
	b := &burst{world: w}
	w.tenant()
	for range requests {
		id, _ := w.asked(erin)
		b.ids = append(b.ids, id)
	}
	b.restart(c)
	err := w.compliance.Replay(w.Context(), journal.Replay{Kind: aggregate.KindRequest, Type: "CustomerNotified"},
		func(e journal.Entry) error {
			b.events = append(b.events, e)
			return nil
		})
	if err != nil {
		w.Fatal(err)
	}
	return b
}

// restart replaces the notifier by one that remembers nothing.
func (b *burst) restart(c Config) {
	b.Helper()
	n, err := newNotifier(b.runtime(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(n.sender.Close)
	b.notifier = n
}

// tell hands all events to the notifier at once, and returns how many of them it holds and how many failed.
func (b *burst) tell() (held, failed int) {
	b.Helper()
	errs := make([]error, len(b.events))
	var telling sync.WaitGroup
	for i, e := range b.events {
		telling.Go(func() { errs[i] = b.handle(b.Context(), e) })
	}
	telling.Wait()
	for _, err := range errs {
		var h *journal.HeldError
		switch {
		case errors.As(err, &h):
			held++
		case err != nil:
			failed++
		}
	}
	return held, failed
}

// due makes everything due that is held, and returns when the handlers would be called again.
func (b *burst) due() {
	b.Helper()
	b.holding.mu.Lock()
	defer b.holding.mu.Unlock()
	for _, d := range b.holding.digests {
		d.timer.Reset(0)
		<-d.due.Done()
	}
}

// reported counts the reports by recipient and Message-ID.
func (b *burst) reported() map[string]map[string][]*lockboxv1.Event {
	b.Helper()
	got := map[string]map[string][]*lockboxv1.Event{}
	err := b.compliance.Replay(b.Context(), journal.Replay{Kind: aggregate.KindDelivery}, func(e journal.Entry) error {
		n := notification(e.Event)
		if got[n.GetRecipient()] == nil {
			got[n.GetRecipient()] = map[string][]*lockboxv1.Event{}
		}
		got[n.GetRecipient()][n.GetMessageId()] = append(got[n.GetRecipient()][n.GetMessageId()], e.Event)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return got
}

var told = []string{"otto@meadowbank.example", "grace@meadowbank.example", "security@meadowbank.example",
	"erin@northwind.example"}

// A burst of requests: everybody gets one mail at once and one for the rest, and there is a report for each.
func TestR52TheRestOfABurstGoesInOneMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, mails := w.mailbox()
	c.DigestAfter = time.Hour
	b := w.burst(c, 12)
	// Each recipient's first may be about another request, so all twelve may be held.
	if held, failed := b.tell(); held < 11 || failed != 0 || len(mails()) != 4 {
		t.Fatalf("%d held, %d failed, %d mails", held, failed, len(mails()))
	}
	if held, _ := b.tell(); held < 11 || len(mails()) != 4 {
		t.Errorf("asked again before it is due: %d held, %d mails", held, len(mails()))
	}
	b.due()
	for range 2 { // and nothing goes out again
		if held, failed := b.tell(); held != 0 || failed != 0 || len(mails()) != 8 {
			t.Fatalf("%d held, %d failed, %d mails", held, failed, len(mails()))
		}
	}
	if len(b.holding.digests) != 0 {
		t.Errorf("%d digests are remembered that are reported", len(b.holding.digests))
	}
	reports := b.reported()
	for _, recipient := range told {
		var sizes []int
		for _, r := range reports[recipient] {
			sizes = append(sizes, len(r))
		}
		if slices.Sort(sizes); !slices.Equal(sizes, []int{1, 11}) {
			t.Errorf("%s: reports by mail %v", recipient, sizes)
		}
	}
	for _, m := range mails() {
		listed := 0
		for _, id := range b.ids {
			if strings.Contains(m.Text, id) {
				listed++
			}
		}
		if want := len(reports[m.To[0]][m.MessageID]); listed != want {
			t.Errorf("%s to %s lists %d requests, and %d reports name it", m.Subject, m.To, listed, want)
		}
	}
}

// What was held when the notifier was killed is told all the same.
func TestWhatWasHeldSurvivesARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, mails := w.mailbox()
	c.DigestAfter = time.Hour
	b := w.burst(c, 6)
	b.tell()
	b.restart(c)
	if held, failed := b.tell(); held < 4 || failed != 0 || len(mails()) != 8 {
		t.Errorf("after a restart: %d held, %d failed, %d mails", held, failed, len(mails()))
	}
	b.due()
	if held, failed := b.tell(); held != 0 || failed != 0 || len(mails()) != 12 {
		t.Errorf("when they are due: %d held, %d failed, %d mails", held, failed, len(mails()))
	}
}

func TestADigestOfOneIsThatMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, mails := w.mailbox()
	c.DigestAfter = time.Hour
	b := w.burst(c, 2)
	b.tell()
	b.due()
	b.tell()
	for _, m := range mails() {
		if m.Header.Get("References") == "" || !strings.Contains(m.Subject, "[SR-1]") {
			t.Errorf("%s gets %q", m.To, m.Subject)
		}
	}
	if len(mails()) != 8 {
		t.Errorf("%d mails", len(mails()))
	}
}

// A mail server that defers a digest gets it again, and one that refuses it has refused each of its mails.
func TestADigestThatFailsIsTriedAgainForAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := serve(t, smtptest.Options{Answer: func(to string, n int) error {
		switch {
		case to != "otto@meadowbank.example" || n == 1:
			return nil
		case n < 20:
			return smtptest.Refuse(450, "greylisted")
		}
		return smtptest.Refuse(550, "no such user here")
	}})
	c := config(s.Port)
	c.DigestAfter = time.Hour
	b := w.burst(c, 6)
	b.tell()
	b.due()
	if held, failed := b.tell(); held != 0 || failed == 0 {
		t.Errorf("%d held, %d failed", held, failed)
	}
	for range 20 {
		b.tell()
	}
	failed := 0
	for _, r := range b.reported()["otto@meadowbank.example"] {
		for _, e := range r {
			if e.GetNotificationFailed() != nil {
				failed++
			}
		}
	}
	if failed != 5 || len(s.Taken()) != 1+3*2 {
		t.Errorf("%d are reported as refused, %d mails were taken", failed, len(s.Taken()))
	}
}
