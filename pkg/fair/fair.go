// Package fair shares a service's slots among those who use it, so that nobody waits because of what somebody else asks
// for. Everybody has a lane of their own. The lanes take turns; within one, who comes first is first.
package fair

import "sync"

// Slots are a number of things that may be done at once. A lane may hold no more of them than are free: one at most
// half, and if that one hangs, the next at most half of the rest. It is safe for concurrent use.
type Slots struct {
	// most is how many may wait; 0: any number.
	most int
	// share is how many a lane may hold while there are others; 0: as many as when there are none.
	share int

	mu      sync.Mutex
	free    int
	waiting int
	lanes   map[string]*lane
	turns   []*lane // lanes in which somebody waits; the first is the next
	// last is the lane that got the last slot, and shared for how many more slots there are others than that one.
	last   string
	shared int
}

// A lane exists while somebody waits in it or holds a slot.
type lane struct {
	name  string
	held  int
	queue []func(granted bool)
}

// New returns that many slots, for which at most that many may wait; 0: any number. A lane by itself gets at least one.
func New(slots, most int) *Slots {
	return &Slots{free: max(1, slots), most: most, lanes: map[string]*lane{}}
}

// sharedFor is how many slots are given to one lane until it counts as being alone.
const sharedFor = 1024

// Sharing limits a lane to so many slots while others ask for some too, and for a while after: what is done in slots
// shares processors and disk, and whoever holds most slots has most of those. It returns s.
func (s *Slots) Sharing(share int) *Slots {
	s.share = max(1, share)
	return s
}

// Ask queues in a lane. The channel will receive true when it has a slot, which Done gives back, or false if too many
// wait: the last of the longest lane is then turned away, whoever was asking.
func (s *Slots) Ask(name string) <-chan bool {
	turn := make(chan bool, 1)
	s.Call(name, func(granted bool) { turn <- granted })
	return turn
}

// Call is Ask without a goroutine that waits: it calls turn, which must neither block nor use the slots.
func (s *Slots) Call(name string, turn func(granted bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[name]
	if l == nil {
		l = &lane{name: name}
		s.lanes[name] = l
	}
	if len(l.queue) == 0 {
		s.turns = append(s.turns, l)
	}
	l.queue = append(l.queue, turn)
	s.waiting++
	s.next()
	if s.most > 0 && s.waiting > s.most {
		s.turnAway()
	}
}

// Done gives back a slot of a lane.
func (s *Slots) Done(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[name]
	l.held--
	s.free++
	if l.held == 0 && len(l.queue) == 0 {
		delete(s.lanes, name)
	}
	s.next()
}

// next hands out slots as long as a lane may have one.
func (s *Slots) next() {
	for i := 0; i < len(s.turns) && s.free > 0; {
		l := s.turns[i]
		if l.held >= s.free || s.share > 0 && s.shared > 0 && l.held >= s.share {
			i++
			continue
		}
		l.queue[0](true)
		l.queue = l.queue[1:]
		l.held++
		s.free--
		s.waiting--
		switch {
		case s.last != "" && s.last != l.name:
			s.shared = sharedFor
		case s.shared > 0:
			s.shared--
		}
		s.last = l.name
		s.turns = append(s.turns[:i], s.turns[i+1:]...)
		if len(l.queue) > 0 {
			s.turns = append(s.turns, l)
		}
		// A lane before this one cannot have become eligible: there are fewer free slots. If it may now hold more than its
		// share, it is given more when it gives one back.
	}
}

// turnAway refuses the last of the longest lane.
func (s *Slots) turnAway() {
	longest := 0
	for i, l := range s.turns {
		if len(l.queue) > len(s.turns[longest].queue) {
			longest = i
		}
	}
	l := s.turns[longest]
	last := len(l.queue) - 1
	l.queue[last](false)
	l.queue = l.queue[:last]
	s.waiting--
	if last > 0 {
		return
	}
	s.turns = append(s.turns[:longest], s.turns[longest+1:]...)
	if l.held == 0 {
		delete(s.lanes, l.name)
	}
}
