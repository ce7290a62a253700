package journal

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// window returns a reading that one replay has begun, and its parts from sequence 1 on, each of so many bytes.
func window(t *testing.T, parts, bytes int) (*together, *uint64, [][]storedMsg) {
	t.Helper()
	mine := new(uint64)
	*mine = 1
	shared := &together{stop: func() {}, next: 1, readers: map[*uint64]bool{mine: true}, moved: make(chan struct{})}
	list := make([][]storedMsg, parts)
	next := uint64(1)
	for i := range list {
		for range 1 + rand.IntN(3) {
			list[i] = append(list[i], storedMsg{Seq: next, Data: make([]byte, bytes)})
			next++
		}
	}
	return shared, mine, list
}

// read takes whatever comes, and returns the sequences.
func (t *together) read(mine *uint64, pause time.Duration) (got []uint64) {
	for {
		found := t.take(context.Background(), mine)
		if found == nil {
			return got
		}
		for _, m := range found {
			got = append(got, m.Seq)
		}
		time.Sleep(pause)
	}
}

// counts reports whether the sequences count from one number, so many of them.
func counts(t *testing.T, who string, got []uint64, from, n uint64) {
	t.Helper()
	if uint64(len(got)) != n {
		t.Errorf("%s has %d of %d", who, len(got), n)
		return
	}
	for i, seq := range got {
		if seq != from+uint64(i) {
			t.Fatalf("%s has %d in place %d", who, seq, i)
		}
	}
}

func TestReadersOfOneWindowMissNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, first, parts := window(t, 60, windowBytes/20)
		second := new(uint64)
		*second = 1
		if !shared.enter(second) {
			t.Fatal("the beginning cannot be joined")
		}
		var fast, slow []uint64
		var all sync.WaitGroup
		all.Go(func() { fast = shared.read(first, 0) })
		all.Go(func() { slow = shared.read(second, time.Second) })
		most := 0
		for _, p := range parts {
			if err := shared.put(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			most = max(most, shared.bytes)
		}
		shared.end()
		all.Wait()
		last := parts[len(parts)-1]
		n := last[len(last)-1].Seq
		counts(t, "the fast one", fast, 1, n)
		counts(t, "the slow one", slow, 1, n)
		if most > windowBytes {
			t.Errorf("the window held %d bytes", most)
		}
	})
}

// Whoever hangs is left behind, with what they were given so far.
func TestWhoeverHangsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, moving, parts := window(t, 60, windowBytes/20)
		hanging := new(uint64)
		*hanging = 1
		if !shared.enter(hanging) {
			t.Fatal("the beginning cannot be joined")
		}
		var got []uint64
		var all sync.WaitGroup
		all.Go(func() { got = shared.read(moving, 0) })
		begun := time.Now()
		for _, p := range parts {
			if err := shared.put(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		shared.end()
		all.Wait()
		last := parts[len(parts)-1]
		counts(t, "the other", got, 1, last[len(last)-1].Seq)
		if took := time.Since(begun); took != laggard {
			t.Errorf("the others waited for %v", took)
		}
		if found := shared.take(t.Context(), hanging); found != nil || *hanging != 1 {
			t.Errorf("who was left behind gets %v", found)
		}
	})
}

func TestWhatTheWindowDoesNotHoldCannotBeJoined(t *testing.T) {
	t.Parallel()
	shared, mine, parts := window(t, 30, windowBytes/10)
	for _, p := range parts {
		if err := shared.put(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		shared.take(t.Context(), mine)
	}
	first := shared.parts[0][0].Seq
	for sequence := uint64(1); sequence < shared.next+3; sequence++ {
		late := new(uint64)
		*late = sequence
		if is, want := shared.enter(late), sequence >= first && sequence <= shared.next; is != want {
			t.Errorf("of %d to %d, joining at %d: %t", first, shared.next, sequence, is)
		}
		if found := shared.held(sequence); found != nil && found[0].Seq != sequence {
			t.Errorf("at %d comes %d", sequence, found[0].Seq)
		}
		shared.leave(late)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	blocked := new(uint64)
	*blocked = first
	if !shared.enter(blocked) {
		t.Fatal("what is held cannot be joined")
	}
	if err := shared.put(ctx, []storedMsg{{Seq: shared.next, Data: make([]byte, windowBytes)}}); !errors.Is(err,
		context.Canceled) {
		t.Errorf("without room: %v", err)
	}
}
