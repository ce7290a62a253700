// Package pace decides which mails go at once and which wait to go together, so that nobody is flooded (R52). It is
// pure.
package pace

import (
	"strings"
	"time"

	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// Pacer remembers what went to whom. Of the mails of one burst to one address within a time, the first goes at once;
// the others wait, with all else that waits for that address. Urgent mails are neither held nor counted. It is not safe
// for concurrent use.
//
// It forgets bursts that are over, and of what waits it holds as many as New was told.
type Pacer struct {
	after       time.Duration
	most, total int
	bursts      map[burst]first
	open        map[address]*Batch
	held        map[string]*Batch // by notification ID
	swept       time.Time
}

// address is a recipient's address at one customer or, if tenant is empty, as one of the provider's people. So a digest
// leads to one list, and shows nobody's matters to another customer.
type address struct{ tenant, email string }

type burst struct {
	to   address
	kind plan.Template
}

// first is the mail of a burst that went at once.
type first struct {
	id    string
	until time.Time
}

// Batch is what waits to go to one address as one mail.
type Batch struct {
	// Due is when it has to go. It becomes earlier if the batch is full, or something that joins cannot wait that long.
	Due  time.Time
	Held []plan.Notification
	to   address
}

// New returns a pacer that holds a mail no longer than after, or not at all unless that is positive; at most that many
// for one address, and that many in total. A batch that reaches a bound is due at once.
func New(after time.Duration, most, total int) *Pacer {
	return &Pacer{after: after, most: most, total: total, bursts: map[burst]first{}, open: map[address]*Batch{},
		held: map[string]*Batch{}}
}

// Ask returns the batch in which a notification waits; nil if it goes at once. Asked again, it answers the same until
// the burst is over; what is in a batch stays there until Forget. Since is when the event happened: what could not be
// dealt with at once, for example because an earlier mail about the same request was held, waits less.
func (p *Pacer) Ask(n plan.Notification, since, now time.Time) *Batch {
	if b := p.held[n.ID]; b != nil || p.after <= 0 || n.Urgent(now) {
		return b
	}
	p.sweep(now)
	at := addressOf(n)
	in := burst{at, n.Burst()}
	head, goes := p.bursts[in]
	if !goes || !now.Before(head.until) {
		p.bursts[in] = first{n.ID, now.Add(p.after)}
		return nil
	}
	if head.id == n.ID {
		return nil
	}
	b := p.open[at]
	if b == nil {
		b = &Batch{Due: head.until, to: at}
		p.open[at] = b
	}
	b.Held = append(b.Held, n.Brief())
	p.held[n.ID] = b
	// A tenth, so that a backlog does not go out one by one.
	due := later(since.Add(p.after), now.Add(p.after/10))
	full := len(b.Held) >= p.most
	if full || len(p.held) >= p.total {
		due = now
	}
	if full {
		p.Close(b)
	}
	b.Due = earlier(b.Due, earlier(due, head.until))
	return b
}

// Close ends a batch: nothing joins it any more.
func (p *Pacer) Close(b *Batch) {
	if p.open[b.to] == b {
		delete(p.open, b.to)
	}
}

// Held returns how many notifications wait.
func (p *Pacer) Held() int { return len(p.held) }

// Forget drops a notification that was reported, and returns the batch in which it was; nil if in none.
func (p *Pacer) Forget(id string) *Batch {
	b := p.held[id]
	delete(p.held, id)
	return b
}

func (p *Pacer) sweep(now time.Time) {
	if now.Sub(p.swept) < p.after {
		return
	}
	p.swept = now
	for b, head := range p.bursts {
		if !now.Before(head.until) {
			delete(p.bursts, b)
		}
	}
}

func addressOf(n plan.Notification) address {
	return address{n.Scope(), strings.ToLower(n.Recipient)}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
