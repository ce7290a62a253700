package projector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// mailsName is the file in the service's directory that holds how far mails were looked at.
	mailsName = "mails"
	// mailsEvery is the pause between two looks.
	mailsEvery = time.Minute
	// mailsBack is how far a watch without that file looks back: longer than a notifier tries to send a mail.
	mailsBack = 5 * 24 * time.Hour
	// mailsBatch is the number of events that are looked at together.
	mailsBatch = 500
	// eventsNamed is the maximum number of events that an alarm names.
	eventsNamed = 10
)

// mailStream is *journal.Journal.
type mailStream interface {
	Source
	Report(ctx context.Context, ev *lockboxv1.Event) (seq uint64, stored bool, err error)
}

// mailWatch raises the alarm about mails that are owed and not reported (I16). It reads each event once, when its mails
// should long have been reported, and then what those depend on; pkg/invariant derives to whom they are owed. It keeps
// nothing but its place in the stream. Nothing is granted or refused because of what it finds: that a mail server is
// away must not end anybody's access.
type mailWatch struct {
	file   string
	stream mailStream
	// within is how long after an event its mails have to be reported.
	within time.Duration
	alarm  func()
	now    func() time.Time
	log    *zap.Logger
	// place is the last event that was looked at; 0: none.
	place uint64
}

// resume goes on where it was.
func (w *mailWatch) resume() {
	data, err := os.ReadFile(w.file)
	if err == nil {
		w.place, err = strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("how far mails were looked at cannot be read; looking back some days", zap.Error(err))
	}
}

// run looks until ctx ends.
func (w *mailWatch) run(ctx context.Context) {
	w.resume()
	for {
		more, err := w.look(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Warn("whether mails were sent cannot be told now", zap.Error(err))
		}
		pause := min(mailsEvery, w.within)
		if more && err == nil {
			pause = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// look looks at the next events whose mails should have been reported. It reports whether there are more.
func (w *mailWatch) look(ctx context.Context) (more bool, err error) {
	r := journal.Replay{From: w.place, Misfit: func(journal.Entry, journal.Misfit) error { return nil }}
	if w.place == 0 {
		r.Since = w.now().Add(-mailsBack)
	}
	last, found := w.place, w.place == 0
	var due []journal.Entry
	err = w.stream.Replay(ctx, r, func(e journal.Entry) error {
		found = true
		if more = len(due) == mailsBatch; more || w.now().Sub(e.Stored) <= w.within {
			return errSeen
		}
		if last = max(last, e.Seq); e.Seq > w.place && invariant.MayOweMail(e.Event) {
			due = append(due, e)
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, errSeen):
		return false, err
	case !found: // it has become shorter, or is another
		w.log.Warn("the stream ends before the event up to which mails were looked at", zap.Uint64("sequence", w.place))
		w.place = 0
		return true, nil
	case last == w.place:
		return false, nil
	}
	if err := w.check(ctx, due, last); err != nil {
		return false, err
	}
	w.place = last
	return more, durable.Replace(w.file, strconv.AppendUint(nil, last, 10), 0o600)
}

// check raises the alarm about those of the events about which a mail is missing.
func (w *mailWatch) check(ctx context.Context, due []journal.Entry, last uint64) error {
	if len(due) == 0 {
		return nil
	}
	history, err := w.read(ctx, due)
	if err != nil {
		return err
	}
	missing := map[uint64][]string{}
	for _, m := range invariant.Mails(history, due[0].Seq) {
		if m.Sequence <= last && m.Reported.IsZero() && !m.Erased {
			missing[m.Sequence] = append(missing[m.Sequence], m.Template+" to "+m.Recipient)
		}
	}
	var hours []*lockboxv1.DifferenceFound
	hour := ""
	for _, e := range due {
		mails := missing[e.Seq]
		if len(mails) == 0 {
			continue
		}
		w.log.Error("ALARM: nothing says that mails were sent, or could not be; whoever should have them does not know",
			observe.AboutEvent(e.Event, zap.Uint64("sequence", e.Seq), zap.String("subject", e.Subject),
				zap.Strings("mails", mails), zap.Duration("within", w.within))...)
		for range mails {
			w.alarm()
		}
		at := e.Stored.UTC().Format("2006-01-02T15")
		if hour != at {
			hour = at
			hours = append(hours, &lockboxv1.DifferenceFound{Where: mailsName + " " + at,
				Kind: lockboxv1.DifferenceKind_DIFFERENCE_KIND_MAIL_OVERDUE, FirstSequence: e.Seq})
		}
		f := hours[len(hours)-1]
		f.LastSequence = e.Seq
		if f.Count++; len(f.GetSubjects()) < eventsNamed {
			f.Subjects = append(f.Subjects, e.Subject)
		}
	}
	for _, f := range hours {
		if err := w.report(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// report stores an alarm in the stream, from where the security officers are mailed, one for the events of an hour:
// while no mail goes out, there would otherwise be one about each event, and one of them about each alarm. Replicas of
// the service, and one that looks again, name the same alarm.
func (w *mailWatch) report(ctx context.Context, f *lockboxv1.DifferenceFound) error {
	at := aggregate.Guard
	_, _, err := w.stream.Report(ctx, &lockboxv1.Event{
		Id: uuid.Must(uuid.NewV7()).String(), Tenant: at.Tenant, Kind: at.Kind, AggregateId: at.ID,
		ReportKey: strings.ReplaceAll(f.GetWhere(), " ", "-"), Time: timestamppb.New(w.now()),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: string(bus.Projector)},
		Fact:  &lockboxv1.Event_DifferenceFound{DifferenceFound: f},
	})
	if err != nil {
		return fmt.Errorf("the alarm could not be written to the stream yet: %w", err)
	}
	return nil
}

// read reads what the mails about these events depend on, and their reports, in stream order.
func (w *mailWatch) read(ctx context.Context, due []journal.Entry) ([]invariant.Recorded, error) {
	about := map[aggregate.Key][]invariant.Recorded{}
	var all []invariant.Recorded
	read := func(key aggregate.Key) error {
		if _, done := about[key]; done {
			return nil
		}
		var events []invariant.Recorded
		err := w.stream.Replay(ctx, journal.Replay{Tenant: key.Tenant, Kind: key.Kind, ID: key.ID,
			Misfit: func(journal.Entry, journal.Misfit) error { return nil }}, func(e journal.Entry) error {
			events = append(events, invariant.Recorded{Sequence: e.Seq, Event: e.Event})
			return nil
		})
		about[key], all = events, append(all, events...)
		return err
	}
	for _, e := range due {
		own := aggregate.KeyOf(e.Event)
		keys := []aggregate.Key{own, aggregate.Tenant(own.Tenant),
			{Tenant: own.Tenant, Kind: aggregate.KindDelivery, ID: e.Event.GetId()}}
		for _, key := range keys {
			if err := read(key); err != nil {
				return nil, err
			}
		}
		for _, r := range about[own] {
			if id := r.Event.GetAccessRequested().GetIntent().GetSubscriptionId(); id != "" {
				if err := w.readSubscription(own.Tenant, id, about, read); err != nil {
					return nil, err
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b invariant.Recorded) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return all, nil
}

// readSubscription reads whose a subscription is, and the tenant's own, however it is spelled.
func (w *mailWatch) readSubscription(
	tenant, id string, about map[aggregate.Key][]invariant.Recorded, read func(aggregate.Key) error,
) error {
	owners := aggregate.Ownership(id)
	if err := errors.Join(read(owners), read(aggregate.Subscription(tenant, id))); err != nil {
		return err
	}
	for _, r := range about[owners] {
		for _, own := range slices.Concat(r.Event.GetOwnershipContested().GetRegistered(), []*lockboxv1.OwnedSubscription{
			r.Event.GetOwnershipRecorded().GetOwner(), r.Event.GetOwnershipTransferred().GetOwner()}) {
			if own.GetTenant() == tenant {
				if err := read(aggregate.Subscription(tenant, own.GetSubscriptionId())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
