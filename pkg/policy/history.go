package policy

import (
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Window is how many whole days, in UTC, a history goes back before the day of the evaluation.
const Window = 30

// Histories counts what became of every engineer's requests, from the events of all requests. It holds at most Window+2
// days an engineer, and which engineer asked for each request that has not ended; never more, however long it counts.
// It is not safe for concurrent use.
//
// An event counts on the day on which the bus stored it: that clock is one for all, and no service can set it. It is
// counted as it stands there; whether it may follow what came before is not judged here.
type Histories struct {
	sequence  uint64
	today     int64
	open      map[requestKey]opened
	engineers map[engineer][]counts
}

type requestKey struct{ tenant, id string }

type engineer struct{ issuer, subject string }

// opened is a request that has not ended.
type opened struct {
	by        engineer
	on        int64
	emergency bool
}

// counts are those of one day, counted from 1970.
type counts struct {
	on                                                     int64
	requests, granted, refused, denied, revoked, emergency int32
}

// NewHistories has counted nothing yet.
func NewHistories() *Histories {
	return &Histories{open: map[requestKey]opened{}, engineers: map[engineer][]counts{}}
}

// Requester says who asked for a request; nil: nobody that could be known.
type Requester func(tenant, id string) (*lockboxv1.Person, error)

// Add counts an event about a request. Events come in the order of the stream; one that was counted changes nothing. Of
// a request whose beginning was not among them, asked is asked; if that fails, nothing is counted.
func (h *Histories) Add(sequence uint64, stored time.Time, e *lockboxv1.Event, asked Requester) error {
	if sequence <= h.sequence {
		return nil
	}
	key := requestKey{e.GetTenant(), e.GetAggregateId()}
	on := dayOf(stored)
	if in := e.GetAccessRequested(); in != nil {
		by := engineerOf(e.GetActor().GetPerson())
		h.open[key] = opened{by, on, in.GetIntent().GetEmergency()}
		c := h.of(by, on)
		c.requests++
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
	h.sequence = sequence
	h.forget(on)
	return nil
}

// Sequence is that of the last event that was counted.
func (h *Histories) Sequence() uint64 { return h.sequence }

// Of is an engineer's history at now, without one request: the one that is being evaluated.
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
	if own, is := h.open[requestKey{tenant, request}]; is && own.by == engineerOf(p) && own.on >= from {
		sum.Requests--
		if own.emergency {
			sum.Emergencies--
		}
	}
	return sum
}

// of are the counts of one engineer on one day.
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

// forget drops what no evaluation can ask for any more. It keeps a day more than it needs: the evaluator's clock may be
// a little behind the bus's.
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

// outcome says what an event adds one to, if to anything.
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

// ends reports whether nothing comes after an event of a request.
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

func engineerOf(p *lockboxv1.Person) engineer { return engineer{p.GetIssuer(), p.GetSubject()} }

// dayOf counts days from 1970, in UTC.
func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }
