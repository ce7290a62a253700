// Package story is Lockbox in memory, for tests: it decides commands and evaluates intents by the product's own rules,
// with a clock that stands still, and keeps the events as the stream would. The same story told twice is the same, byte
// for byte. No program uses it.
package story

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Story is a stream of events and what it comes to.
type Story struct {
	Now     time.Time
	Terms   request.Terms
	Entries []journal.Entry

	rules     *policy.Rules
	catalogue *catalogue.Catalogue
	process   repository.Process
	states    repository.States
	last      uint64 // sequence of what was told last
	ids       uint64
}

// Compiling what ships takes longer than telling a short story.
var rules, services = sync.OnceValue(policy.Default), sync.OnceValue(catalogue.Default)

// New begins a story.
func New(now time.Time) *Story {
	terms := request.DefaultTerms()
	return &Story{
		Now: now, Terms: terms, rules: rules(), catalogue: services(), states: repository.States{},
		process: repository.Process{
			Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "lockbox-orchestrator"},
			Terms: terms, Services: repository.CatalogueInForce(),
		},
	}
}

// ID makes an id: a UUIDv7 of the story's time, the next one each time.
func (s *Story) ID() string {
	s.ids++
	var id uuid.UUID
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, s.ids))
	copy(id[6:], sum[:])
	milliseconds := uint64(s.Now.UnixMilli()) // #nosec G115 -- after 1970
	for i := range 6 {
		id[i] = byte(milliseconds >> (40 - 8*i)) // #nosec G115 -- one byte of it
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id.String()
}

// Command decides a command of somebody and tells what became true. It panics if the command is refused.
func (s *Story) Command(by *lockboxv1.Actor, c *lockboxv1.Command) {
	if err := s.Try(by, c); err != nil {
		panic(fmt.Sprintf("story: %s by %s: %v", bus.Verb(c), by.GetPerson().GetSubject(), err))
	}
}

// Try is Command for commands that may be refused.
func (s *Story) Try(by *lockboxv1.Actor, c *lockboxv1.Command) error {
	c = proto.CloneOf(c)
	c.Id = s.ID()
	e, err := s.states.Decide(aggregate.Command{Command: c, By: by}, s.Now)
	if e == nil || err != nil {
		return err
	}
	s.tell(e)
	if e.GetKind() == aggregate.KindRequest {
		s.Owed(e.GetTenant(), e.GetAggregateId())
	}
	return nil
}

// Submit evaluates an intent of somebody, with a new id, and does what is owed after it. It returns the request's id,
// and panics if the intent is refused before there is a request.
func (s *Story) Submit(by *lockboxv1.Actor, intent *lockboxv1.AccessIntent) string {
	intent = proto.CloneOf(intent)
	intent.Id = s.ID()
	about := aggregate.Request(intent.GetTenant(), intent.GetId())
	submission := request.Submission{Intent: intent, Tool: "console", Sequence: s.ids, Stored: s.Now, By: by}
	submitted, err := request.Submit(s.states.Request(about), submission, s.Terms, s.Now)
	if err != nil {
		panic(fmt.Sprintf("story: intent of %s: %v", by.GetPerson().GetSubject(), err))
	}
	s.tell(submitted)
	r := s.states.Request(about)
	w := s.states.World(about.Tenant, intent.GetSubscriptionId())
	facts := policy.Facts{
		Intent: r.Intent, By: by, Tenant: w.Tenant, Subscription: w.Subscription,
		History: &lockboxv1.EngineerHistory{Requests: 7, Denied: 1},
	}
	if id := intent.GetTicketId(); id != "" {
		t := s.states.Ticket(about.Tenant, id)
		facts.Ticket = &t
	}
	evaluator := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "jit-evaluator"}
	verdict := policy.Evaluate(facts, s.rules, s.catalogue, s.Terms, s.Now)
	evaluated, err := request.RecordEvaluation(r, verdict, evaluator, s.Now)
	if err != nil {
		panic(fmt.Sprintf("story: evaluation: %v", err))
	}
	s.tell(evaluated)
	s.Owed(about.Tenant, about.ID)
	return about.ID
}

// Owed does all that is owed to a request now.
func (s *Story) Owed(tenantID, id string) { s.perform(aggregate.Request(tenantID, id)) }

func (s *Story) perform(about aggregate.Key) {
	s.process.Terms = s.Terms
	for {
		e, err := s.process.Perform(s.states, about, s.ID(), s.Now)
		if err != nil {
			panic(fmt.Sprintf("story: what is owed to %s: %v", about, err))
		}
		if e == nil {
			return
		}
		s.tell(e)
	}
}

// Disclose discloses a legal demand with an embargo, or without one an exposure. It returns the disclosure's id.
func (s *Story) Disclose(by *lockboxv1.Actor, tenantID, what string, embargo time.Duration) string {
	o := &lockboxv1.Occurrence{What: what, HappenedAt: timestamp(s.Now), Description: what, Reason: "found while working"}
	c := &lockboxv1.Command{Tenant: tenantID, AggregateId: s.ID(), Action: &lockboxv1.Command_DiscloseExposure{
		DiscloseExposure: &lockboxv1.DiscloseExposure{Occurrence: o},
	}}
	if embargo > 0 {
		c.Action = &lockboxv1.Command_DiscloseLegalDemand{DiscloseLegalDemand: &lockboxv1.DiscloseLegalDemand{
			Occurrence: o, Authority: "A court", Reference: "12/34", EmbargoUntil: timestamp(s.Now.Add(embargo)),
		}}
	}
	s.Command(by, c)
	return c.GetAggregateId()
}

// TellDisclosure tells the customer of a disclosure, if it is time.
func (s *Story) TellDisclosure(tenantID, id string) {
	s.perform(aggregate.Disclosure(tenantID, id))
}

// Publish puts a service catalogue in force, for whoever looks; the story goes on by the one that ships.
func (s *Story) Publish(by *lockboxv1.Actor, text string) {
	s.Command(by, &lockboxv1.Command{Tenant: aggregate.ProviderTenant, AggregateId: aggregate.Catalogue.ID,
		Action: &lockboxv1.Command_PublishCatalogue{
			PublishCatalogue: &lockboxv1.PublishCatalogue{Text: text},
		}})
}

// Mail tells that a mail about a request was sent.
func (s *Story) Mail(tenantID, requestID, recipient string) {
	e, n := s.delivery(tenantID, requestID, recipient)
	e.Fact = &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{Notification: n}}
	s.tell(e)
}

// Undelivered tells that a mail about a request was refused for good.
func (s *Story) Undelivered(tenantID, requestID, recipient, why string) {
	e, n := s.delivery(tenantID, requestID, recipient)
	e.Fact = &lockboxv1.Event_NotificationFailed{NotificationFailed: &lockboxv1.NotificationFailed{Notification: n,
		Error: why}}
	s.tell(e)
}

func (s *Story) delivery(tenantID, requestID, recipient string) (*lockboxv1.Event, *lockboxv1.Notification) {
	id := s.ID()
	return &lockboxv1.Event{
			Tenant: tenantID, Kind: aggregate.KindDelivery, AggregateId: requestID, ReportKey: id, CorrelationId: requestID,
			Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "notifier"},
		}, &lockboxv1.Notification{
			Id: id, Template: "approval-requested", Recipient: recipient, Language: "en", MessageId: "<" + id +
				"@lockbox.example>",
		}
}

// Request is a request as it is now.
func (s *Story) Request(tenantID, id string) request.State {
	return s.states.Request(aggregate.Request(tenantID, id))
}

// tell stores events and folds them. It panics at an event that the product would not accept.
func (s *Story) tell(events ...*lockboxv1.Event) {
	for _, e := range events {
		e.Id = s.ID()
		if e.GetTime() == nil {
			e.Time = timestamp(s.Now)
		}
		s.Write(e)
		if after := s.states.Add(s.last, e); after != nil && after.Folded().Fault != nil {
			panic(fmt.Sprintf("story: %s: %s", aggregate.TypeOf(e), after.Folded().Fault.Rule))
		}
	}
}

// Write stores an event as it is, whether it can be true or not.
func (s *Story) Write(e *lockboxv1.Event) {
	subject, err := bus.EventSubject(e)
	if err != nil {
		panic(fmt.Sprintf("story: %v", err))
	}
	data, err := proto.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("story: %v", err))
	}
	s.last++
	s.Entries = append(s.Entries, journal.Entry{Seq: s.last, Stored: s.Now, Subject: subject, Data: data, Event: e})
}

// Stream serves entries as the journal does.
type Stream struct {
	Entries []journal.Entry
	// More are given to a follower when it has read Entries; closing it changes nothing.
	More chan journal.Entry
	// Failure ends every reading after the last entry.
	Failure error
}

// Replay reads from a sequence on, of one tenant, kind or aggregate if r says so. With Follow it goes on with More
// until ctx ends.
func (s *Stream) Replay(ctx context.Context, r journal.Replay, handle func(journal.Entry) error) error {
	for i := max(r.From, 1) - 1; i < uint64(len(s.Entries)); i++ {
		e := s.Entries[i]
		about := aggregate.KeyOf(e.Event)
		if r.Tenant != "" && r.Tenant != about.Tenant || r.Kind != "" && r.Kind != about.Kind || r.ID != "" &&
			r.ID != about.ID {
			continue
		}
		e.Pending = uint64(len(s.Entries)) - i - 1
		if err := errors.Join(ctx.Err(), handle(e)); err != nil {
			return err
		}
	}
	if s.Failure != nil || !r.Follow {
		return s.Failure
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-s.More:
			if err := handle(e); err != nil {
				return err
			}
		}
	}
}
