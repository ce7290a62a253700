// Package story is Lockbox in memory, for tests and the benchmark: it decides commands and evaluates intents by the
// product's own rules, with a clock that stands still, and keeps the events as the stream would. The same story told
// twice is the same, byte for byte.
package story

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Story is a stream of events and the states they result in.
type Story struct {
	Now     time.Time
	Terms   request.Terms
	Limits  tenant.Limits
	Entries []journal.Entry
	States  repository.States
	// ByHand leaves what is owed to a request until it is performed; otherwise it follows each command at once.
	ByHand bool
	// Resource is what the catalogue says at the time of the grant; nil: the same as evaluated.
	Resource *request.Resource
	// Tool is the engineering tool that submits intents.
	Tool string
	// IDs is the number of the last id. Stories that begin at different numbers have no id in common.
	IDs uint64

	rules     *policy.Rules
	catalogue *catalogue.Catalogue
	last      uint64 // sequence of what was recorded last
	// unreported are the digests that customers are owed, in the order in which they began to be.
	unreported []aggregate.Key
}

// Compiling what ships takes longer than telling a short story.
var rules, services = sync.OnceValue(policy.Default), sync.OnceValue(catalogue.Default)

// New begins a story.
func New(now time.Time) *Story {
	return &Story{Now: now, Terms: request.DefaultTerms(), States: repository.States{}, rules: rules(),
		catalogue: services(), Tool: "console"}
}

// Clone returns the same story, which goes on by itself.
func (s *Story) Clone() *Story {
	c := *s
	c.States, c.Entries, c.unreported = maps.Clone(s.States), slices.Clip(s.Entries), slices.Clone(s.unreported)
	return &c
}

// At moves the clock.
func (s *Story) At(now time.Time) *Story {
	s.Now = now
	return s
}

// ID makes an id: a UUIDv7 of the story's time, the next one each time.
func (s *Story) ID() string {
	s.IDs++
	var id uuid.UUID
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, s.IDs))
	copy(id[6:], sum[:])
	milliseconds := uint64(s.Now.UnixMilli()) // #nosec G115 -- after 1970
	for i := range 6 {
		id[i] = byte(milliseconds >> (40 - 8*i)) // #nosec G115 -- one byte of it
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id.String()
}

// Given is a command as somebody gives it. If it names no tenant or request, it is about the Tenant or RequestID. A
// ticket is named by its reference.
func (s *Story) Given(by *lockboxv1.Actor, id string, c *lockboxv1.Command) aggregate.Command {
	c = proto.CloneOf(c)
	c.Id = id
	if c.Tenant == "" {
		c.Tenant = Tenant
	}
	if about, _ := aggregate.Of(c); about == aggregate.Request(c.GetTenant(), "") {
		c.AggregateId = RequestID
	}
	if named, is := aggregate.TicketNamed(c); is {
		aggregate.NameTicket(c, aggregate.TicketID(named))
	}
	given := aggregate.Command{Command: c, By: by}
	if c.GetAddWebhook() != nil {
		given.Sealed = []byte("sealed")
	}
	given.Found = s.found(c.GetTenant(), c.GetEraseDetails().GetTargets())
	return given
}

// Decide returns the event that results from a command, and does not record it.
func (s *Story) Decide(by *lockboxv1.Actor, id string, c *lockboxv1.Command) (*lockboxv1.Event, error) {
	d, err := s.States.Decide(s.Given(by, id, c), s.Limits, s.Now)
	return d.Event, err
}

// Command decides a command of somebody and records the event. It panics if the command is refused.
func (s *Story) Command(by *lockboxv1.Actor, c *lockboxv1.Command) {
	if err := s.Try(by, c); err != nil {
		panic(fmt.Sprintf("story: %s by %s: %v", bus.Verb(c), by.GetPerson().GetSubject(), err))
	}
}

// Try is Command for commands that may be refused.
func (s *Story) Try(by *lockboxv1.Actor, c *lockboxv1.Command) error {
	e, err := s.Decide(by, s.ID(), c)
	if e == nil || err != nil {
		return err
	}
	s.Record(e)
	switch about := aggregate.KeyOf(e); {
	case about.Kind == aggregate.KindRequest && !s.ByHand, about.Kind == aggregate.KindOwnership:
		s.Owed(about)
	case e.GetErasureDecided() != nil:
		s.destroy(about)
	}
	return nil
}

// Submitted returns the event of an intent of somebody, or none if it is already recorded.
func (s *Story) Submitted(by *lockboxv1.Actor, intent *lockboxv1.AccessIntent) (*lockboxv1.Event, error) {
	submission, err := request.Receive(proto.CloneOf(intent), s.Tool, s.IDs, s.Now)
	if err != nil {
		return nil, err
	}
	submission.By = by
	if named := intent.GetTicketId(); named != "" {
		submission.TicketID = aggregate.TicketID(named)
	}
	e, _, err := request.Submit(s.States.Request(aggregate.Request(intent.GetTenant(), intent.GetId())), submission,
		s.Terms, s.Now)
	return e, err
}

// Submit evaluates an intent of somebody, with a new id, and does what is owed after it. It returns the request's id,
// and panics if the intent is refused before there is a request.
func (s *Story) Submit(by *lockboxv1.Actor, intent *lockboxv1.AccessIntent) string {
	intent = proto.CloneOf(intent)
	intent.Id = s.ID()
	about := aggregate.Request(intent.GetTenant(), intent.GetId())
	submitted, err := s.Submitted(by, intent)
	s.must("intent of "+by.GetPerson().GetSubject(), submitted, err)
	r := s.States.Request(about)
	w := s.States.World(r)
	facts := policy.Facts{
		Intent: r.Intent, By: by, Tenant: w.Tenant, Keys: w.Keys, Subscription: w.Subscription,
		History: &lockboxv1.EngineerHistory{Requests: 7, Denied: 1},
	}
	if r.TicketID != "" {
		t := s.States.Ticket(about.Tenant, r.TicketID)
		facts.Ticket = &t
	}
	verdict := policy.Evaluate(facts, s.rules, s.catalogue, s.Terms, s.Now)
	evaluated, _, err := request.RecordEvaluation(r, verdict, System("jit-evaluator"), s.Now)
	s.must("evaluation", evaluated, err)
	s.Owed(about)
	return about.ID
}

// Owed does all that is owed to a request or a disclosure now.
func (s *Story) Owed(about aggregate.Key) {
	for {
		e, err := s.next(about)
		if !s.must("what is owed to "+about.String(), e, err) {
			return
		}
	}
}

// next returns the next event that is owed, if any.
func (s *Story) next(about aggregate.Key) (*lockboxv1.Event, error) {
	by := System("lockbox-orchestrator")
	if about.Kind != aggregate.KindRequest {
		d, err := repository.Process{Actor: by}.Perform(s.States, about, s.ID(), s.Now)
		return d.Event, err
	}
	e, _, err := request.Perform(s.States.Request(about), s.world(about), s.Terms, by, s.ID(), s.Now)
	return e, err
}

// world returns what a decision on a request reads from other aggregates.
func (s *Story) world(about aggregate.Key) request.World {
	r := s.States.Request(about)
	w := s.States.World(r)
	w.Resource = s.Resource
	if f := r.Evaluation.GetFacts(); w.Resource == nil && f != nil {
		w.Resource = &request.Resource{CustomerData: f.GetCustomerData(),
			Preview: f.GetStage() == lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW}
	}
	return w
}

// must records an event, if there is one, and panics at an error.
func (s *Story) must(what string, e *lockboxv1.Event, err error) (recorded bool) {
	if err != nil {
		panic(fmt.Sprintf("story: %s: %v", what, err))
	}
	if e != nil {
		s.Record(e)
	}
	return e != nil
}

// Disclose discloses a legal demand with an embargo, or without one an exposure. It returns the disclosure's id.
func (s *Story) Disclose(by *lockboxv1.Actor, tenantID, what string, embargo time.Duration) string {
	o := &lockboxv1.Occurrence{What: what, HappenedAt: timestamppb.New(s.Now), Description: what,
		Reason: "found while working"}
	c := &lockboxv1.Command{Tenant: tenantID, AggregateId: s.ID(), Action: &lockboxv1.Command_DiscloseExposure{
		DiscloseExposure: &lockboxv1.DiscloseExposure{Occurrence: o},
	}}
	if embargo > 0 {
		c.Action = &lockboxv1.Command_DiscloseLegalDemand{DiscloseLegalDemand: &lockboxv1.DiscloseLegalDemand{
			Occurrence: o, Authority: "A court", Reference: "12/34", EmbargoUntil: timestamppb.New(s.Now.Add(embargo)),
		}}
	}
	s.Command(by, c)
	return c.GetAggregateId()
}

// Publish puts a service catalogue in force, for whoever looks; the story goes on by the one that ships.
func (s *Story) Publish(by *lockboxv1.Actor, text string) {
	s.Command(by, &lockboxv1.Command{Tenant: aggregate.ProviderTenant, AggregateId: aggregate.Catalogue.ID,
		Action: &lockboxv1.Command_PublishCatalogue{
			PublishCatalogue: &lockboxv1.PublishCatalogue{Text: text},
		}})
}

// Mail records that a mail about a request was sent.
func (s *Story) Mail(tenantID, requestID, recipient string) {
	e, n := s.delivery(tenantID, requestID, recipient)
	e.Fact = &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{Notification: n}}
	s.Record(e)
}

// Undelivered records that a mail about a request was refused for good.
func (s *Story) Undelivered(tenantID, requestID, recipient, why string) {
	e, n := s.delivery(tenantID, requestID, recipient)
	e.Fact = &lockboxv1.Event_NotificationFailed{NotificationFailed: &lockboxv1.NotificationFailed{Notification: n,
		Error: why}}
	s.Record(e)
}

func (s *Story) delivery(tenantID, requestID, recipient string) (*lockboxv1.Event, *lockboxv1.Notification) {
	id := s.ID()
	return &lockboxv1.Event{
			Tenant: tenantID, Kind: aggregate.KindDelivery, AggregateId: requestID, ReportKey: id, CorrelationId: requestID,
			Actor: System("notifier"),
		}, &lockboxv1.Notification{
			Id: id, Template: "approval-requested", Recipient: recipient, Language: "en", MessageId: "<" + id +
				"@lockbox.example>",
		}
}

// Record stores an event and folds it. It panics at an event that the product would not accept.
func (s *Story) Record(e *lockboxv1.Event) {
	s.report()
	e.Id = s.ID()
	if e.GetTime() == nil {
		e.Time = timestamppb.New(s.Now)
	}
	s.Write(e)
	if after := s.States.Add(s.last, e); after != nil && after.Folded().Fault != nil {
		panic(fmt.Sprintf("story: %s: %s", aggregate.TypeOf(e), after.Folded().Fault.Rule))
	}
	switch {
	case e.GetKeyChainBegan() != nil:
		for about := range maps.Clone(s.States) {
			if about.Tenant == e.GetTenant() {
				s.exactly(about)
			}
		}
	case s.States.Keys(e.GetTenant()).Chain != nil:
		s.exactly(aggregate.KeyOf(e))
	}
}

// exactly gives decisions the events of an aggregate as they are stored, as the repository does for tenants with keys.
func (s *Story) exactly(about aggregate.Key) {
	if repository.Signable(about.Kind) {
		s.States.Exactly(about, slices.DeleteFunc(slices.Clone(s.Entries), func(e journal.Entry) bool {
			return aggregate.KeyOf(e.Event) != about
		}))
	}
}

// report tells customers of what they were not asked about, where that is due.
func (s *Story) report() {
	s.unreported = slices.DeleteFunc(s.unreported, func(about aggregate.Key) bool {
		due, err := aggregate.DigestUntil(about.ID)
		if err != nil || s.Now.Before(s.Terms.ReportMadeAt(due)) {
			return false
		}
		unasked, states := request.Unasked{}, map[string]request.State{}
		for _, e := range s.Entries {
			g := e.Event.GetAccessGranted()
			if id := e.Event.GetAggregateId(); g.GetReportAt() != nil &&
				aggregate.Digest(e.Event.GetTenant(), g.GetReportAt().AsTime()) == about {
				unasked[id], states[id] = g, s.States.Request(aggregate.Request(about.Tenant, id))
			}
		}
		s.Write(&lockboxv1.Event{
			Id: s.ID(), Tenant: about.Tenant, Kind: about.Kind, AggregateId: about.ID, ReportKey: "waived",
			Time: timestamppb.New(s.Now), Actor: System("lockbox-orchestrator"), Fact: &lockboxv1.Event_WaivedAccessReported{
				WaivedAccessReported: unasked.Report(due, s.Terms, states)},
		})
		return true
	})
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
	if at := e.GetAccessGranted().GetReportAt(); at != nil {
		if digest := aggregate.Digest(e.GetTenant(), at.AsTime()); !slices.Contains(s.unreported, digest) {
			s.unreported = append(s.unreported, digest)
		}
	}
	s.Entries = append(s.Entries, journal.Entry{Seq: s.last, Stored: s.Now, Subject: subject, Data: data, Event: e})
}

// History is what invariants are checked on.
func (s *Story) History() []invariant.Recorded {
	history := make([]invariant.Recorded, len(s.Entries))
	for i, e := range s.Entries {
		history[i] = invariant.Recorded{Sequence: e.Seq, Event: e.Event}
	}
	return history
}
