// Package accesslog records who signed in, read, exported and was refused (R69), for services that verify callers. See
// README.md for what it proves and what not.
package accesslog

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

const (
	// look is how often counts are looked at that may have to become records.
	look = 5 * time.Second
	// again is the pause before a record that the bus did not take is written again.
	again = time.Second
	// farewell is how long a service that stops may take to write what it has counted.
	farewell = 3 * time.Second

	// mostText is the largest text of a record, in bytes, and mostFilter that of a filter.
	mostText, mostFilter = 256, 512
	// mostTerms is how many terms of a filter are kept, and values of each.
	mostTerms = 16
)

// Recorder writes access records in the background. Recording never waits, and never fails what is recorded. It is safe
// for concurrent use; a nil *Recorder records nothing.
type Recorder struct {
	service  bus.Identity
	put      func(context.Context, *lockboxv1.AccessRecord) error
	now      func() time.Time
	log      *zap.Logger
	counters *observe.Counters

	tally *tally
	wake  chan struct{}
	stop  context.CancelFunc
	done  chan struct{}
}

// Start returns a recorder of a service. put is (*journal.Journal).PutAccess; counters may be nil.
func Start(
	service bus.Identity, put func(context.Context, *lockboxv1.AccessRecord) error, now func() time.Time,
	log *zap.Logger, counters *observe.Counters,
) *Recorder {
	ctx, stop := context.WithCancel(context.Background())
	r := &Recorder{service: service.Of(), put: put, now: now, log: log, counters: counters, tally: newTally(),
		wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.run(ctx)
	}()
	return r
}

// Close writes what was counted, and gives up after three seconds. Close the connection after it.
func (r *Recorder) Close() {
	if r != nil {
		r.stop()
		<-r.done
	}
}

// Add records something that happened now. The record becomes the recorder's. Its tenant must be one that exists, or
// empty: everybody can name any.
func (r *Recorder) Add(record *lockboxv1.AccessRecord) {
	if r == nil {
		return
	}
	record.Service = string(r.service)
	bound(record)
	wrote, left := r.tally.add(record, r.now())
	if left > 0 {
		r.counters.AccessLeftOut(left)
	}
	if wrote {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

func (r *Recorder) run(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-r.wake:
			r.write(ctx, r.tally.due(r.now(), false))
		case <-tick.C:
			r.write(ctx, r.tally.due(r.now(), false))
		}
	}
	last, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	r.write(last, r.tally.due(r.now(), true))
	r.write(last, r.tally.due(r.now(), true)) // how many of them the bus did not take
	if lost := r.tally.due(r.now(), true); len(lost) > 0 {
		for _, l := range lost {
			r.counters.AccessLost(l.GetCount() + l.GetLeftOut())
		}
		r.log.Error("ALARM: access records could not be written before the service stopped", zap.Int("records", len(lost)))
	}
}

// write writes records, each until the bus takes it or has no room for it. When ctx ends, the rest waits.
func (r *Recorder) write(ctx context.Context, records []*lockboxv1.AccessRecord) {
	for i, record := range records {
		if record.GetId() == "" {
			record.Id = uuid.Must(uuid.NewV7()).String()
			clean(record)
		}
		for failures := 0; ; failures++ {
			err := r.put(ctx, record)
			if err == nil {
				r.counters.AccessRecorded()
				break
			}
			if ctx.Err() != nil {
				r.tally.wait(records[i:])
				return
			}
			if refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_INVALID) { // it would stop all others for good
				r.counters.AccessLost(record.GetCount() + record.GetLeftOut())
				r.log.Error("ALARM: an access record cannot be written", zap.Error(err))
				break
			}
			if errors.Is(err, journal.ErrFull) {
				r.counters.AccessLeftOut(r.tally.back(record, r.now()))
				break
			}
			if failures == 1 { // once may happen
				r.log.Error("ALARM: access records are not taken by the bus; they wait", zap.Error(err))
			}
			select {
			case <-ctx.Done():
			case <-time.After(again):
			}
		}
	}
}

// Who names a person in a record; nil if there is none.
func Who(by *lockboxv1.Actor) *lockboxv1.AccessPerson {
	p := by.GetPerson()
	if p == nil {
		return nil
	}
	name := p.GetDisplayName()
	if name == "" {
		name = p.GetSubject()
	}
	return &lockboxv1.AccessPerson{Issuer: p.GetIssuer(), Subject: p.GetSubject(), Name: name, Side: by.GetSide(),
		Employer: by.GetEmployer()}
}

// Refused says in a record why something was refused.
func Refused(record *lockboxv1.AccessRecord, why *lockboxv1.Refusal) *lockboxv1.AccessRecord {
	record.RefusalCode, record.RefusalField, record.RefusalRule = why.GetCode(), why.GetField(), why.GetRule()
	return record
}

// texts calls do with all texts that come from outside, and how long they may be.
func texts(r *lockboxv1.AccessRecord, do func(text *string, most int)) {
	for _, text := range []*string{&r.Action, &r.AboutKind, &r.AboutId, &r.Format, &r.RefusalField, &r.RefusalRule,
		&r.Reason} {
		do(text, mostText)
	}
	do(&r.Filter, mostFilter)
	for _, term := range r.GetFilterTerms() {
		do(&term.Name, mostText)
		for i := range term.Values {
			do(&term.Values[i], mostText)
		}
	}
	if who := r.GetWho(); who != nil {
		for _, text := range []*string{&who.Issuer, &who.Subject, &who.Name, &who.Employer} {
			do(text, mostText)
		}
	}
}

// bound fills in what is missing, and cuts what is too long, before it takes up memory.
func bound(r *lockboxv1.AccessRecord) {
	if r.GetTenant() == "" {
		r.Tenant = aggregate.ProviderTenant
	}
	if input.Token("sender", r.GetSender()) != nil {
		r.Sender = "unknown"
	}
	r.FilterTerms = r.FilterTerms[:min(mostTerms, len(r.FilterTerms))]
	for _, term := range r.GetFilterTerms() {
		term.Values = term.Values[:min(mostTerms, len(term.Values))]
	}
	texts(r, func(text *string, most int) {
		if len(*text) > most {
			*text = strings.Clone((*text)[:most])
		}
		if !utf8.ValidString(*text) {
			*text = strings.ToValidUTF8(*text, "")
		}
	})
}

// clean leaves nothing in a record that would steer a screen or a terminal.
func clean(r *lockboxv1.AccessRecord) {
	texts(r, func(text *string, most int) {
		if *text = prose.Line(*text); len(*text) > most { // a composed letter can be longer than its parts
			*text = strings.ToValidUTF8((*text)[:most], "")
		}
	})
}
