package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// last returns the last event of an aggregate as its follower gets it.
func (s *scene) last(about aggregate.Key) journal.Entry {
	s.Helper()
	entries, err := s.writer.Load(s.Context(), about)
	if err != nil || len(entries) == 0 {
		s.Fatalf("%d events, %v", len(entries), err)
	}
	return entries[len(entries)-1]
}

func (s *scene) reactTo(about aggregate.Key) {
	s.Helper()
	if err := s.react(s.Context(), s.last(about)); err != nil {
		s.Fatal(err)
	}
}

// approved decides otto's or gina's approval, and the access that follows from it.
func (s *scene) approved(states repository.States, about aggregate.Key, by *lockboxv1.Actor) []repository.Decided {
	s.Helper()
	c := &lockboxv1.Command{Id: journaltest.NewID(), Tenant: about.Tenant, AggregateId: about.ID,
		Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}}
	now := time.Now()
	d, err := states.Decide(aggregate.Command{Command: c, By: by}, s.rates.Limits, now)
	if _, refused := refusal.As(err); refused {
		return nil
	}
	if err != nil || d.Event == nil {
		s.Fatalf("%v, %v", d.Event, err)
	}
	next, err := s.process.Next(states, d, now)
	if err != nil || next.GetAccessGranted() == nil && next.GetAccessLapsed() == nil {
		s.Fatalf("%v, %v", next.Event, err)
	}
	return []repository.Decided{d, next}
}

func (s *scene) basis(about aggregate.Key) repository.States {
	s.Helper()
	states, err := s.repository.BasisOf(s.Context(), about)
	if err != nil {
		s.Fatal(err)
	}
	return states
}

// asks has the customer asked by whoever follows the evaluation.
func (s *scene) asks(about aggregate.Key) {
	s.Helper()
	s.reactTo(about)
	if r := s.basis(about).Request(about); r.Status != request.CustomerNotified {
		s.Fatal(r.Status)
	}
}

// A request whose timer was there before its basis was read needs no look after it was asked about, and after access
// began nothing but the timer's new time.
func TestWhatIsSettledIsNotReadAgain(t *testing.T) {
	s := newScene(t)
	key, _ := s.evaluated(s.customer("contoso"), "contoso")
	sent := func(what string, want uint64, do func()) {
		t.Helper()
		before := s.nc.Stats().OutMsgs
		do()
		if n := s.nc.Stats().OutMsgs - before; n != want {
			t.Errorf("%s: %d messages, not %d", what, n, want)
		}
	}
	s.basis(key)
	evaluated := s.last(key)
	sent("evaluated", 3, func() { // the timer, the basis, the event
		if err := s.react(t.Context(), evaluated); err != nil {
			t.Fatal(err)
		}
	})
	notified := s.last(key)
	sent("notified", 0, func() {
		if err := s.react(t.Context(), notified); err != nil {
			t.Fatal(err)
		}
	})
	known, _ := s.timers.Get(key)
	states := s.basis(key)
	if due, _ := states.NextDue(key); !due.Equal(known.at) || known.through != notified.Seq {
		t.Errorf("due at %v, the timer is %+v after event %d", due, known, notified.Seq)
	}
	granted := s.approved(states, key, otto)
	if err := repository.Identify(granted[0].Event, granted[1].Event); err != nil {
		t.Fatal(err)
	}
	if _, err := s.append(t.Context(), states, known, time.Now(), granted...); err != nil {
		t.Fatal(err)
	}
	last := s.last(key)
	sent("granted", 1, func() {
		if err := s.react(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	})
	moved, _ := s.timers.Get(key)
	if due, _ := states.NextDue(key); !due.Equal(moved.at) || moved.sequence <= known.sequence {
		t.Errorf("due at %v, the timer is %+v", due, moved)
	}
	// Another copy knows nothing of that, and looks.
	s.timers.Put(key, timer{})
	sent("granted, to another copy", 2, func() {
		if err := s.react(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	})
}

// orders returns every order of two sequences of steps, as which of them (true is the first) makes the next one.
func orders(a, b int) (all [][]bool) {
	if a == 0 && b == 0 {
		return [][]bool{nil}
	}
	if a > 0 {
		for _, rest := range orders(a-1, b) {
			all = append(all, append([]bool{true}, rest...))
		}
	}
	if b > 0 {
		for _, rest := range orders(a, b-1) {
			all = append(all, append([]bool{false}, rest...))
		}
	}
	return all
}

// race makes the steps of a writer and those of a loss in one order, and waits until nothing is owed to the request. A
// timer that the loss sets fires when it does, or also right after.
func (s *scene) race(about aggregate.Key, order []bool, atOnce bool, writer, loss []func()) {
	s.Helper()
	for _, writes := range order {
		next := &loss
		if writes {
			next = &writer
		}
		(*next)[0]()
		if *next = (*next)[1:]; !writes && atOnce {
			if err := s.settle(s.Context(), about, 0, ""); err != nil {
				s.Fatal(err)
			}
		}
	}
	s.nothingIsOwed(about, fmt.Sprint(order, atOnce))
}

// nothingIsOwed waits until nothing is owed to a request.
func (s *scene) nothingIsOwed(about aggregate.Key, after string) {
	s.Helper()
	for end := time.Now().Add(time.Minute); ; {
		states := s.basis(about)
		owed, err := s.process.Perform(states, about, "", time.Now())
		if err == nil && owed.Event == nil {
			return
		}
		if time.Now().After(end) {
			s.Errorf("%s: %s is %v, and owed is %v, %v", after, about, states.Request(about).Status, owed.Event, err)
			return
		}
	}
}

// followDue handles timers until the test ends.
func (s *scene) followDue() {
	ctx, stop := context.WithCancel(s.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.followTimers(ctx) }()
	s.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			s.Error(err)
		}
	})
}

// However a request's being put to the customer falls together with the loss of the only approver's role, what is owed
// after it is done (R23).
func TestR23ALossIsNotMissedWhileTheCustomerIsAsked(t *testing.T) {
	s := newScene(t)
	s.followDue()
	for i, order := range slices.Concat(orders(4, 2), orders(4, 2)) {
		tenantID := fmt.Sprintf("contoso-%d", i)
		of := s.customer(tenantID)
		key, states := s.evaluated(of, tenantID)
		evaluated, now := s.last(key), time.Now()
		var known timer
		var removed *lockboxv1.Event
		s.race(key, order, i >= len(orders(4, 2)), []func(){
			func() {
				var err error
				if known, err = s.setAhead(t.Context(), key, states.Request(key), evaluated.Seq, now); err != nil {
					t.Fatal(err)
				}
			},
			func() { states = s.basis(key) },
			func() {
				if _, err := s.perform(t.Context(), states, key, duty{now: now, known: known}); err != nil {
					t.Fatal(err)
				}
			},
			func() { s.reactTo(key) },
		}, []func(){
			func() {
				removed = s.must(of, gina, &lockboxv1.Command{Tenant: tenantID, AggregateId: production(tenantID),
					Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "otto-owner"}}})
			},
			func() {
				if err := s.checkOpen(t.Context(), tenantID, removed.GetId()); err != nil {
					t.Fatal(err)
				}
			},
		})
	}
}

// However the beginning of access falls together with the subscription's going to another customer, access ends (R48):
// also if those who approve can still decide when that is looked at.
func TestR48AccessIsNotMissedThatBeginsWhileASubscriptionGoes(t *testing.T) {
	for name, by := range map[string]*lockboxv1.Actor{"an owner approves": otto, "an administrator approves": gina} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.followDue()
			s.customer("fabrikam")
			for i, order := range slices.Concat(orders(3, 2), orders(3, 2)) {
				tenantID := fmt.Sprintf("contoso-%d", i)
				of := s.customer(tenantID)
				if by == gina {
					s.must(of, gina, &lockboxv1.Command{Tenant: tenantID, AggregateId: production(tenantID),
						Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "otto-owner"}}})
				}
				key, _ := s.evaluated(of, tenantID)
				s.asks(key)
				known, _ := s.timers.Get(key)
				states := repository.States{}
				var gone *lockboxv1.Event
				s.race(key, order, i >= len(orders(3, 2)), []func(){
					func() { states = s.basis(key) },
					func() {
						granted := s.approved(states, key, by)
						if granted == nil {
							return
						}
						if err := repository.Identify(granted[0].Event, granted[1].Event); err != nil {
							t.Fatal(err)
						}
						_, err := s.append(t.Context(), states, known, time.Now(), granted...)
						if err != nil && !errors.Is(err, repository.ErrConflict) {
							t.Fatal(err)
						}
					},
					func() { s.reactTo(key) },
				}, []func(){
					func() { gone = s.transferred(tenantID) },
					func() {
						if err := s.checkOpen(t.Context(), tenantID, gone.GetId()); err != nil {
							t.Fatal(err)
						}
					},
				})
			}
		})
	}
}

// Whoever finds after a loss that somebody else was writing has the request looked at again: what was written may rest
// on what was before, and its follower does not look.
func TestR23ALossIsNotMissedBecauseOfAnotherWriter(t *testing.T) {
	s := newScene(t)
	s.followDue()
	of := s.customer("contoso")
	key, _ := s.evaluated(of, "contoso")
	s.asks(key)
	known, _ := s.timers.Get(key)
	before := s.basis(key)
	s.must(of, gina, &lockboxv1.Command{Tenant: "contoso", AggregateId: production("contoso"),
		Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "otto-owner"}}})
	after := s.basis(key)
	asked, err := before.Decide(aggregate.Command{Command: &lockboxv1.Command{Id: journaltest.NewID(), Tenant: "contoso",
		AggregateId: key.ID, Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "What for?"}}}, By: otto},
		s.rates.Limits, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.append(t.Context(), before, known, time.Now(), asked); err != nil {
		t.Fatal(err)
	}
	if err := s.check(t.Context(), after, key, ""); err != nil {
		t.Fatal(err)
	}
	s.reactTo(key)
	s.nothingIsOwed(key, "a question meanwhile")
}

// transferred gives a customer's subscription to fabrikam, and returns the event by which the customer gave it up.
func (s *scene) transferred(tenantID string) *lockboxv1.Event {
	s.Helper()
	all, err := s.repository.BasisOf(s.Context(), aggregate.Ownership(production(tenantID)), aggregate.Tenant("fabrikam"))
	if err != nil {
		s.Fatal(err)
	}
	s.must(all, ona, &lockboxv1.Command{Tenant: "fabrikam", AggregateId: production(tenantID),
		Action: &lockboxv1.Command_TransferSubscription{TransferSubscription: &lockboxv1.TransferSubscription{
			From: tenantID, DisplayName: "Ours now", Reason: "It was sold."}}})
	if _, err := s.follow(s.Context(), aggregate.Ownership(production(tenantID)), ""); err != nil {
		s.Fatal(err)
	}
	gone := s.last(aggregate.Subscription(tenantID, production(tenantID))).Event
	if gone.GetSubscriptionGivenUp() == nil {
		s.Fatalf("%v", gone)
	}
	return gone
}
