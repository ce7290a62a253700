package approval

import (
	"maps"
	"slices"
	"time"
)

// Sighting is a checkpoint of the log that was verified: how large the tenant's tree was, and which witnesses
// cosigned it when. Whoever verified the note says so; this package knows no Merkle trees.
type Sighting struct {
	// Size is how far the tenant's tree had come at least: the place of the last event that is known to be in it.
	Size uint64
	// Next is the first place that is known to come after it; 0 if Size is exact, so that it is the next one.
	Next     uint64
	Cosigned []Cosigned
}

// Cosigned is the time of one witness's valid cosignature.
type Cosigned struct {
	// Witness is the witness's verifier key, as genesis has it.
	Witness string
	At      time.Time
}

// clock answers when something stood in the tenant's tree, by the cosignatures of the witnesses that genesis pins and
// of nobody else. Event times are the writer's own.
type clock struct {
	quorum    int
	sightings []timed
}

// timed is a sighting that a quorum of the pinned witnesses cosigned.
type timed struct {
	size, next uint64
	// by is when a quorum had cosigned it; since is a time that a quorum had reached when they did. As long as fewer
	// witnesses lie than make a quorum, one that is honest vouches for each.
	by, since time.Time
}

func newClock(witnesses []string, quorum int, sightings []Sighting) clock {
	c := clock{quorum: quorum}
	for _, s := range sightings {
		by, since, is := s.times(witnesses, quorum)
		if !is {
			continue
		}
		next := s.Next
		if next == 0 {
			next = s.Size + 1
		}
		c.sightings = append(c.sightings, timed{s.Size, next, by, since})
	}
	slices.SortStableFunc(c.sightings, func(a, b timed) int {
		switch {
		case a.size < b.size:
			return -1
		case a.size > b.size:
			return 1
		}
		return a.by.Compare(b.by)
	})
	return c
}

// times are when a quorum of the witnesses had cosigned, and a time that a quorum had reached when they did; false if
// fewer did.
func (s Sighting) times(witnesses []string, quorum int) (by, since time.Time, is bool) {
	first := map[string]time.Time{}
	for _, w := range s.Cosigned {
		if earlier, is := first[w.Witness]; slices.Contains(witnesses, w.Witness) && (!is || w.At.Before(earlier)) {
			first[w.Witness] = w.At
		}
	}
	if len(first) < max(quorum, 1) {
		return by, since, false
	}
	times := slices.SortedFunc(maps.Values(first), time.Time.Compare)
	return times[quorum-1], times[len(times)-quorum], true
}

// Since is a time that a quorum of the genesis's witnesses had reached when they cosigned; false if too few of them
// did.
func (g Genesis) Since(s Sighting) (at time.Time, is bool) {
	_, at, is = s.times(g.Witnesses, int(g.Quorum)) // #nosec G115 -- at most maxWitnesses
	return at, is
}

// published is the earliest time by which it is proven that the tenant's event stood in the log.
func (c clock) published(sequence uint64) (at time.Time, is bool) {
	for _, s := range c.sightings {
		if s.size >= sequence && (!is || s.by.Before(at)) {
			at, is = s.by, true
		}
	}
	return at, is
}

// after is the latest time at which it is proven that the tenant's event did not stand in the log yet.
func (c clock) after(sequence uint64) (at time.Time, is bool) {
	for _, s := range c.sightings {
		if s.next <= sequence && (!is || s.since.After(at)) {
			at, is = s.since, true
		}
	}
	return at, is
}

// since is the first of the tenant's events for which it is proven that it came into the log no sooner than a delay
// after the event of that sequence; 0 if none is.
func (c clock) since(sequence uint64, delay time.Duration) (first uint64) {
	start, is := c.published(sequence)
	if !is {
		return 0
	}
	for _, s := range c.sightings {
		if s.size >= sequence && !s.since.Before(start.Add(delay)) && (first == 0 || s.next < first) {
			first = s.next
		}
	}
	return first
}
