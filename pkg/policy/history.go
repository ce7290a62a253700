package policy

import (
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Window is how many whole UTC days before the day of the evaluation a history covers.
const Window = 30

// Histories counts the outcomes of each engineer's requests, from the events of all requests. Its memory is bounded: it
// holds at most Window+2 days per engineer, and what is said of each open request. It is not safe for concurrent use.
//
// An event counts on the day on which the bus stored it: all services share that clock, and none can set it. Events are
// counted as stored, without checking that they are valid in sequence.
type Histories struct {
	sequence uint64
	today    int64
	open     map[requestKey]opened
	// admitted are requests whose event has not been counted yet.
	admitted   map[requestKey]opened
	admissions uint64
	engineers  map[engineer][]counts
	waiting    tallies
}

type requestKey struct{ tenant, id string }

// engineer is an account or, where its issuer says which human has it, that human with all accounts (R51).
type engineer struct{ issuer, subject, human string }

// opened is an open request.
type opened struct {
	by        engineer
	on        int64
	emergency bool
	// place is that in the order of admission.
	place uint64
}

// counts are the outcomes of one day.
type counts struct {
	on                                                             int64
	requests, granted, refused, denied, revoked, emergency, exempt int32
}

// NewHistories returns empty histories.
func NewHistories() *Histories {
	return &Histories{open: map[requestKey]opened{}, admitted: map[requestKey]opened{},
		engineers: map[engineer][]counts{}, waiting: newTallies()}
}

// Requester returns the requester of a request; nil if unknown.
type Requester func(tenant, id string) (*lockboxv1.Person, error)

// Add counts an event of a request. Events must come in stream order; one that was already counted is ignored. If the
// request began before the first event added, Add calls asked for its requester; if that fails, nothing is counted.
func (h *Histories) Add(sequence uint64, stored time.Time, e *lockboxv1.Event, asked Requester) error {
	if sequence <= h.sequence {
		return nil
	}
	key := requestKey{e.GetTenant(), e.GetAggregateId()}
	on := dayOf(stored)
	if in := e.GetAccessRequested(); in != nil {
		by := engineerOf(e.GetActor().GetPerson())
		h.open[key] = opened{by: by, on: on, emergency: in.GetIntent().GetEmergency()}
		delete(h.admitted, key)
		c := h.of(by, on)
		c.requests++
		if exempt(in.GetIntent(), e.GetActor()) {
			c.exempt++
		} else {
			h.waiting.add(key, waiting{by, key.tenant, in.GetIntent().GetTicketId()})
		}
		if in.GetIntent().GetEmergency() {
			c.emergency++
		}
	} else if count, counted := outcome(e); counted {
		request, known := h.open[key]
		if !known {
			person, err := asked(key.tenant, key.id)
			if err != nil {
				return err
			}
			request.by = engineerOf(person)
		}
		*count(h.of(request.by, on))++
	}
	if ends(e) {
		delete(h.open, key)
	}
	if ends(e) || e.GetAccessGranted() != nil {
		h.waiting.remove(key)
	}
	h.sequence = sequence
	h.forget(on)
	return nil
}

// Reach notes that there is nothing to count up to a sequence but what was added.
func (h *Histories) Reach(sequence uint64) { h.sequence = max(h.sequence, sequence) }

// Sequence returns the stream sequence up to which everything is counted.
func (h *Histories) Sequence() uint64 { return h.sequence }

// Of returns an engineer's history at now, without the given request, which is the one being evaluated, and with those
// that were admitted before it and are not counted yet.
func (h *Histories) Of(p *lockboxv1.Person, now time.Time, tenant, request string) *lockboxv1.EngineerHistory {
	from := dayOf(now) - Window
	sum := &lockboxv1.EngineerHistory{AsOfSequence: h.sequence}
	for _, c := range h.engineers[engineerOf(p)] {
		if c.on < from {
			continue
		}
		sum.Requests += c.requests
		sum.Granted += c.granted
		sum.Refused += c.refused
		sum.Denied += c.denied
		sum.Revoked += c.revoked
		sum.Emergencies += c.emergency
	}
	mine, admitted := h.admitted[requestKey{tenant, request}]
	for _, other := range h.admitted { // those in flight
		if other.by != engineerOf(p) || admitted && other.place >= mine.place {
			continue
		}
		sum.Requests++
		if other.emergency {
			sum.Emergencies++
		}
	}
	if own, is := h.open[requestKey{tenant, request}]; is && own.by == engineerOf(p) && own.on >= from {
		sum.Requests--
		if own.emergency {
			sum.Emergencies--
		}
	}
	return sum
}

// of returns the counts of one engineer on one day.
func (h *Histories) of(who engineer, on int64) *counts {
	days := h.engineers[who]
	for i := len(days) - 1; i >= 0; i-- {
		if days[i].on == on {
			return &days[i]
		}
	}
	days = append(days, counts{on: on})
	h.engineers[who] = days
	return &days[len(days)-1]
}

// forget drops days that no evaluation can need any longer. It keeps one extra day, because the evaluator's clock may
// be slightly behind the bus's.
func (h *Histories) forget(today int64) {
	if today <= h.today {
		return
	}
	h.today = today
	for who, days := range h.engineers {
		var kept []counts
		for _, c := range days {
			if c.on >= today-Window-1 {
				kept = append(kept, c)
			}
		}
		if len(kept) == 0 {
			delete(h.engineers, who)
		} else {
			h.engineers[who] = kept
		}
	}
}

// outcome returns the counter that an event increments; false if none.
func outcome(e *lockboxv1.Event) (func(*counts) *int32, bool) {
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_AccessEvaluated:
		refused := f.AccessEvaluated.GetOutcome() == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED
		return func(c *counts) *int32 { return &c.refused }, refused
	case *lockboxv1.Event_InternalApprovalRefused:
		return func(c *counts) *int32 { return &c.refused }, true
	case *lockboxv1.Event_CustomerDenied:
		return func(c *counts) *int32 { return &c.denied }, true
	case *lockboxv1.Event_AccessGranted:
		return func(c *counts) *int32 { return &c.granted }, true
	case *lockboxv1.Event_AccessRevoked:
		return func(c *counts) *int32 { return &c.revoked }, true
	}
	return nil, false
}

// ends reports whether an event is the last of its request.
func ends(e *lockboxv1.Event) bool {
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_AccessEvaluated:
		return f.AccessEvaluated.GetOutcome() == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED
	case *lockboxv1.Event_InternalApprovalRefused, *lockboxv1.Event_InternalApprovalExpired,
		*lockboxv1.Event_CustomerDenied,
		*lockboxv1.Event_RequestExpired, *lockboxv1.Event_RequestWithdrawn, *lockboxv1.Event_AccessLapsed,
		*lockboxv1.Event_AccessRevoked, *lockboxv1.Event_AccessReleased, *lockboxv1.Event_AccessCompleted:
		return true
	}
	return false
}

func engineerOf(p *lockboxv1.Person) engineer {
	if p.GetHuman() != "" {
		return engineer{issuer: p.GetIssuer(), human: p.GetHuman()}
	}
	return engineer{issuer: p.GetIssuer(), subject: p.GetSubject()}
}

// dayOf returns the number of the UTC day since 1970.
func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }
