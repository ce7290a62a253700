package verifier

import (
	"fmt"
	"time"
)

// ahead is by how much a clock may be ahead of another.
const ahead = 5 * time.Minute

func utc(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// oddTime says why a cosignature's time cannot be what it says; empty if it can.
func oddTime(at, now time.Time) string {
	switch {
	case at.Unix() == 0:
		return "no time, 0"
	case at.Year() > 9999:
		return fmt.Sprintf("a time that no clock shows, %d", at.Unix())
	case at.After(now.Add(ahead)):
		return "a time to come, " + utc(at)
	}
	return ""
}
