package policy

import (
	"strconv"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Limits bound the requests that wait for a decision, and those of one day, so that nobody can flood a customer (R52).
// Emergencies of those who may have them are neither counted nor refused. Limits are configuration; 0 means the
// default, a negative number no limit.
type Limits struct {
	// PerEngineer is how many requests of one engineer may wait, at all customers together; more
	// are refused to the tool, and emergencies are not counted. 0: 20; -1: no limit.
	PerEngineer int `yaml:"open_per_engineer"`
	// PerTicket is how many requests about one ticket may wait. 0: 20; -1: no limit.
	PerTicket int `yaml:"open_per_ticket"`
	// PerCustomer is how many requests to one customer may wait. 0: 200; -1: no limit.
	PerCustomer int `yaml:"open_per_customer"`
	// PerDay is how many requests one engineer may make on one UTC day. 0: 200; -1: no limit.
	PerDay int `yaml:"per_engineer_and_day"`
}

// NoLimits are limits that bound nothing.
func NoLimits() Limits { return Limits{-1, -1, -1, -1} }

// The default limits.
const (
	DefaultPerEngineer = 20
	DefaultPerTicket   = 20
	DefaultPerCustomer = 200
	DefaultPerDay      = 200
)

// waiting is a request that waits for a decision.
type waiting struct {
	by             engineer
	tenant, ticket string
}

// tallies count waiting requests.
type tallies struct {
	requests   map[requestKey]waiting
	byEngineer map[engineer]int
	ofTicket   map[[2]string]int // by tenant and ticket
	ofCustomer map[string]int
}

func newTallies() tallies {
	return tallies{map[requestKey]waiting{}, map[engineer]int{}, map[[2]string]int{}, map[string]int{}}
}

func (t tallies) add(key requestKey, w waiting) {
	if _, counted := t.requests[key]; counted {
		return
	}
	t.requests[key] = w
	t.count(w, 1)
}

func (t tallies) remove(key requestKey) {
	if w, counted := t.requests[key]; counted {
		delete(t.requests, key)
		t.count(w, -1)
	}
}

func (t tallies) count(w waiting, by int) {
	add(t.byEngineer, w.by, by)
	add(t.ofCustomer, w.tenant, by)
	if w.ticket != "" {
		add(t.ofTicket, [2]string{w.tenant, w.ticket}, by)
	}
}

func add[K comparable](to map[K]int, key K, by int) {
	if to[key] += by; to[key] == 0 {
		delete(to, key)
	}
}

// exempt reports whether the limits leave an intent alone: whoever may not ask in an emergency gains nothing by saying
// that it is one.
func exempt(in *lockboxv1.AccessIntent, by *lockboxv1.Actor) bool {
	return in.GetEmergency() && aggregate.Provider(by, aggregate.EmergencyResponders)
}

// Admit counts an intent of somebody's as a request that waits from now on, before its event is stored, so that many
// at once cannot pass together, and each counts those before it (R13). It refuses (PRECONDITION, naming the limit) an
// intent beyond one of the limits, and counts nothing then. An intent that comes to nothing must be withdrawn.
func (h *Histories) Admit(in *lockboxv1.AccessIntent, by *lockboxv1.Actor, now time.Time, l Limits) error {
	key := requestKey{in.GetTenant(), in.GetId()}
	w := waiting{engineerOf(by.GetPerson()), in.GetTenant(), in.GetTicketId()}
	if _, again := h.admitted[key]; again {
		return nil
	}
	h.admissions++
	admitted := opened{w.by, dayOf(now), in.GetEmergency(), h.admissions}
	if exempt(in, by) {
		h.admitted[key] = admitted
		return nil
	}
	if _, again := h.waiting.requests[key]; again {
		return nil
	}
	today := h.of(w.by, dayOf(now))
	for _, limit := range []struct {
		field, kind      string
		there, set, most int
		says             string
	}{
		{"token", "waiting-engineer", h.waiting.byEngineer[w.by], l.PerEngineer, DefaultPerEngineer,
			"%d of your requests wait for a decision, and no more than %d may; withdraw one, or wait"},
		{"ticket_id", "waiting-ticket", h.waiting.ofTicket[[2]string{w.tenant, w.ticket}], l.PerTicket, DefaultPerTicket,
			"%d requests about this ticket wait for a decision, and no more than %d may"},
		{"tenant", "waiting-customer", h.waiting.ofCustomer[w.tenant], l.PerCustomer, DefaultPerCustomer,
			"%d requests to this customer wait for a decision, and no more than %d may"},
		{"token", "requests-today", int(today.requests - today.exempt), l.PerDay, DefaultPerDay,
			"you have made %d requests today, and no more than %d may be made in a day; the next day begins at midnight UTC"},
	} {
		if limit.set != 0 {
			limit.most = limit.set
		}
		if limit.most > 0 && limit.there >= limit.most {
			return refusal.OfKind(refusal.Precondition(limit.field, "R52", limit.says, limit.there, limit.most),
				limit.kind, "count", strconv.Itoa(limit.there), "most", strconv.Itoa(limit.most))
		}
	}
	h.admitted[key] = admitted
	h.waiting.add(key, w)
	return nil
}

// Withdraw forgets an intent that was admitted and is not a request.
func (h *Histories) Withdraw(in *lockboxv1.AccessIntent) {
	key := requestKey{in.GetTenant(), in.GetId()}
	delete(h.admitted, key)
	if _, stored := h.open[key]; !stored {
		h.waiting.remove(key)
	}
}
