package verifier

import (
	"fmt"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
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

// explanation is what the log says about a message that is no event; empty if it says nothing.
func explanation(s merkle.Statement, e merkle.Shown) string {
	what := fmt.Sprintf("the provider says that entry %d, %s, is no event", s.TenantSequence, clean(s.Subject))
	switch {
	case !e.SetAside.IsZero():
		return what + ", and that its officers set it aside at " + utc(e.SetAside) + ": it counts as if it were not there"
	case !e.Alarm.IsZero():
		return what + ", or not rightly there: an alarm says so since " + utc(e.Alarm) + ", and nothing new is granted " +
			"until it is set aside"
	}
	return ""
}
