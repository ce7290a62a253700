package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// questions lets reads that come while others are under way share one request, as the writer lets writes share one
// commit. Each is still answered as of a moment after it was asked.
type questions struct {
	mu      sync.Mutex
	open    int
	waiting []*question
}

type question struct {
	filters []string
	found   []storedMsg
	err     error
	done    chan struct{}
}

const (
	// questionsOpen is how many requests are under way at once.
	questionsOpen = 2
	// filtersAtOnce limits a request that is shared, and mostFilters what shares one: others shall not wait for the long
	// answer to a long question.
	filtersAtOnce = 400
	mostFilters   = 24
)

// findTogether is find, sharing a request with others.
func (j *Journal) findTogether(ctx context.Context, filters []string) ([]storedMsg, error) {
	if len(filters) > mostFilters {
		return j.find(ctx, filters)
	}
	mine := &question{filters: filters, done: make(chan struct{})}
	all := &j.questions
	all.mu.Lock()
	all.waiting = append(all.waiting, mine)
	if all.open < questionsOpen {
		all.open++
		go j.answerAll()
	}
	all.mu.Unlock()
	select {
	case <-mine.done:
		return mine.found, mine.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", refusal.Unavailable("", "I11", "the bus does not answer"), ctx.Err())
	}
}

// answerAll asks for whatever waits, until nothing does.
func (j *Journal) answerAll() {
	for {
		group := j.questions.take()
		if len(group) == 0 {
			return
		}
		j.answer(group)
	}
}

// take returns the questions that are asked next, together; if none waits, one request less is open.
func (q *questions) take() (group []*question) {
	q.mu.Lock()
	defer q.mu.Unlock()
	filters := 0
	for len(q.waiting) > 0 && (filters == 0 || filters+len(q.waiting[0].filters) <= filtersAtOnce) {
		filters += len(q.waiting[0].filters)
		group, q.waiting = append(group, q.waiting[0]), q.waiting[1:]
	}
	if len(group) == 0 {
		q.open, q.waiting = q.open-1, nil
	}
	return group
}

func (j *Journal) answer(group []*question) {
	var filters []string
	asked := map[string]bool{}
	for _, q := range group {
		for _, filter := range q.filters {
			if !asked[filter] {
				asked[filter] = true
				filters = append(filters, filter)
			}
		}
	}
	found, err := j.find(context.Background(), filters) // whoever asked first may have gone; it ends by itself
	for _, q := range group {
		switch q.found, q.err = found, err; {
		case len(group) == 1:
		case errors.Is(err, errTooLong):
			q.found, q.err = j.find(context.Background(), q.filters)
		default:
			q.found = q.own(found)
		}
		close(q.done)
	}
}

// own returns the messages that the question asks for.
func (q *question) own(all []storedMsg) (own []storedMsg) {
	for _, m := range all {
		if slices.ContainsFunc(q.filters, func(f string) bool { return bus.Matches(f, m.Subject) }) {
			own = append(own, m)
		}
	}
	return own
}
