package timetext

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // images and customers' machines may have no time zones of their own
)

//go:embed zones.txt
var zoneNames string

var zones = strings.Fields(zoneNames)

// Zones lists the time zones that an organisation can choose, by their IANA names: UTC, then those of each country.
func Zones() []string { return slices.Clone(zones) }

// KnownZone reports whether Zones has this name. It is a list of the program's own, so it says the same everywhere.
func KnownZone(name string) bool { return slices.Contains(zones, name) }

// Zone returns the time zone of this name; UTC if it is empty or not known here.
func Zone(name string) *time.Location {
	if !KnownZone(name) {
		return time.UTC
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

var (
	frenchShortDays   = [...]string{"dim.", "lun.", "mar.", "mer.", "jeu.", "ven.", "sam."}
	frenchShortMonths = [...]string{"janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.",
		"nov.", "déc."}
)

// Short formats a time in a zone, short, with UTC beside it if that is another time. Seconds are truncated, so a
// deadline is never shown later than it is. The zero time is empty.
func Short(language string, t time.Time, zone *time.Location) string {
	return beside(language, t, zone, false)
}

// Stamp is Short to the second, for logs.
func Stamp(language string, t time.Time, zone *time.Location) string {
	return beside(language, t, zone, true)
}

func beside(language string, t time.Time, zone *time.Location, seconds bool) string {
	if t.IsZero() {
		return ""
	}
	here, utc := t.In(zone), t.UTC()
	name := abbreviation(here)
	text := day(language, here, true) + separator(language) + clock(language, here, seconds) + "\u00a0" + name
	if name == "UTC" {
		return text
	}
	other := clock(language, utc, seconds) + "\u00a0UTC"
	if here.Day() != utc.Day() {
		other = day(language, utc, false) + separator(language) + other
	}
	if language == "ja" {
		return text + "（" + other + "）"
	}
	return text + " (" + other + ")"
}

// Day formats the day of a time in a zone without its year: 3 Aug.
func Day(language string, t time.Time, zone *time.Location) string {
	return day(language, t.In(zone), false)
}

// Clock formats the time of day in a zone: 09:30.
func Clock(language string, t time.Time, zone *time.Location) string {
	return clock(language, t.In(zone), false)
}

// day formats a day, whole with weekday and year.
func day(language string, t time.Time, whole bool) string {
	var text string
	switch language {
	case "fr":
		text = strconv.Itoa(t.Day()) + "\u00a0" + frenchShortMonths[t.Month()-1]
		if t.Day() == 1 {
			text = "1er\u00a0" + frenchShortMonths[t.Month()-1]
		}
		if whole {
			text = frenchShortDays[t.Weekday()] + " " + text + " " + strconv.Itoa(t.Year())
		}
	case "ja":
		if text = fmt.Sprintf("%d月%d日", t.Month(), t.Day()); whole {
			text = fmt.Sprintf("%d年%s（%s）", t.Year(), text, japaneseDays[t.Weekday()])
		}
	default:
		if text = t.Format("2\u00a0Jan"); whole {
			text = t.Format("Mon 2\u00a0Jan 2006")
		}
	}
	return text
}

func separator(language string) string {
	switch language {
	case "fr":
		return " à "
	case "ja":
		return ""
	}
	return ", "
}

func clock(language string, t time.Time, seconds bool) string {
	switch {
	case language == "fr" && seconds:
		return t.Format("15\u00a0h\u00a004\u00a0min\u00a005\u00a0s")
	case language == "fr":
		return t.Format("15\u00a0h\u00a004")
	case seconds:
		return t.Format("15:04:05")
	}
	return t.Format("15:04")
}

// abbreviation is a zone's own at that time, such as CEST; the difference from UTC if it has none.
func abbreviation(t time.Time) string {
	name, offset := t.Zone()
	if name != "" && name[0] != '+' && name[0] != '-' {
		return name
	}
	sign := "+"
	if offset < 0 {
		sign, offset = "-", -offset
	}
	text := "UTC" + sign + strconv.Itoa(offset/3600)
	if minutes := offset % 3600 / 60; minutes > 0 {
		text += fmt.Sprintf(":%02d", minutes)
	}
	return text
}
