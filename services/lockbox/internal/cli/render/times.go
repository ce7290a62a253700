package render

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	day      = 24 * time.Hour
	longForm = "2006-01-02 15:04:05 MST"
)

func (l Look) local(t time.Time) time.Time {
	if l.Zone == nil {
		return t.UTC()
	}
	return t.In(l.Zone)
}

// Stamp formats a time in the user's time zone, to the second; "-" if there is none.
func (l Look) Stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return l.local(t.AsTime()).Format(longForm)
}

// minute formats a time in the user's time zone, to the minute, for tables.
func (l Look) minute(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return l.local(t.AsTime()).Format("2006-01-02 15:04")
}

// In formats the distance of a time from now: "in 3d 4h", "2m 10s ago", "now".
func (l Look) In(t time.Time) string {
	switch d := t.Sub(l.Now); {
	case d.Abs() < time.Second:
		return "now"
	case d > 0:
		return "in " + Countdown(d)
	default:
		return Countdown(-d) + " ago"
	}
}

// Countdown formats a duration in its two largest units: 3d 4h, 4h 12m, 12m 5s, 5s. It rounds down, so that it never
// promises more time than there is.
func Countdown(d time.Duration) string {
	d = max(0, d)
	switch {
	case d >= day:
		return units(d/day, "d", d%day/time.Hour, "h")
	case d >= time.Hour:
		return units(d/time.Hour, "h", d%time.Hour/time.Minute, "m")
	case d >= time.Minute:
		return units(d/time.Minute, "m", d%time.Minute/time.Second, "s")
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

func units(large time.Duration, largeUnit string, small time.Duration, smallUnit string) string {
	if small == 0 {
		return fmt.Sprintf("%d%s", large, largeUnit)
	}
	return fmt.Sprintf("%d%s %d%s", large, largeUnit, small, smallUnit)
}

// Duration formats a duration exactly, without zero units: 8h, 1h30m; 90s becomes 1m30s.
func Duration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
