package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// The peers: plain is the two tables; equal also does for a request what Lockbox does for it, and verifies its two
// tokens and writes the row of its timer.
const plain, equal = "plain", "equal"

// measured is the answer to a task.
type measured struct {
	Requests int     `json:"requests"`
	Rate     float64 `json:"requests_per_s"`
	P50      float64 `json:"p50_ms"`
	// CPU is that of this process and of the server's, in milliseconds per request.
	CPU float64 `json:"cpu_ms_per_request"`
	// Decision is the median time of the approval, which is one statement.
	Decision float64 `json:"decision_p50_ms"`
}

// measure carries requests, AtOnce at a time, each begun when the one before has ended.
func (s *store) measure(ctx context.Context, t task) (m measured, err error) {
	if t.Peer != plain && t.Peer != equal || t.AtOnce < 1 {
		return m, fmt.Errorf("there is no such peer: %+v", t)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var took, decisions []time.Duration
	var failed error
	taken := func() (some, decided []time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		some, decided = took, decisions
		took, decisions = nil, nil
		return some, decided
	}
	var all sync.WaitGroup
	for range t.AtOnce {
		all.Go(func() {
			for ctx.Err() == nil {
				begun := time.Now()
				// A request is carried to its end, so that nothing is left half done for the next task.
				_, decided, err := s.carry(context.WithoutCancel(ctx), t.Peer)
				mu.Lock()
				took, decisions = append(took, time.Since(begun)), append(decisions, decided)
				if err != nil {
					failed = errors.Join(failed, err)
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	during := func(ms int64) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(ms) * time.Millisecond):
		}
	}
	during(t.WarmUp)
	before, err := s.cluster.cpu()
	taken()
	begun := time.Now()
	var counted, decided []time.Duration
	for len(counted) == 0 && ctx.Err() == nil { // on a busy machine, a short time may see none end
		during(t.For)
		more, of := taken()
		counted, decided = append(counted, more...), append(decided, of...)
	}
	window := time.Since(begun)
	after, err2 := s.cluster.cpu()
	cancel()
	all.Wait()
	if err := errors.Join(err, err2, failed); err != nil {
		return m, err
	}
	if len(counted) == 0 {
		return m, context.Canceled
	}
	slices.Sort(counted)
	slices.Sort(decided)
	m = measured{
		Requests: len(counted), Rate: float64(len(counted)) / window.Seconds(), P50: millis(counted[len(counted)/2]),
		CPU: millis(after-before) / float64(len(counted)), Decision: millis(decided[len(decided)/2]),
	}
	// What is still to be written of this does not disturb what is measured next.
	_, err = s.admin.Exec(context.WithoutCancel(ctx), "checkpoint")
	return m, err
}
