// Package timetext formats times and durations in each supported language. It is pure.
package timetext

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

var (
	frenchDays   = [...]string{"dimanche", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"}
	frenchMonths = [...]string{"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre",
		"octobre", "novembre", "décembre"}
	japaneseDays = [...]string{"日", "月", "火", "水", "木", "金", "土"}
)

// Instant formats a time in the language's style, in UTC with the zone. Seconds are truncated, so a deadline is never
// shown later than it is. A no-break space keeps the hour and the zone on one line. The zero time is empty.
func Instant(language string, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.UTC()
	switch language {
	case "fr":
		day := strconv.Itoa(t.Day())
		if t.Day() == 1 {
			day = "1er"
		}
		return fmt.Sprintf("%s %s %s %d à %s\u00a0h\u00a0%s\u00a0UTC", frenchDays[t.Weekday()], day,
			frenchMonths[t.Month()-1], t.Year(), t.Format("15"), t.Format("04"))
	case "ja":
		return fmt.Sprintf("%d年%d月%d日（%s）%s\u00a0UTC", t.Year(), t.Month(), t.Day(), japaneseDays[t.Weekday()],
			t.Format("15:04"))
	}
	return t.Format("Monday, 2 January 2006, 15:04\u00a0UTC")
}

// units by language: days, hours, minutes and seconds, each in singular and plural.
var units = map[string][4][2]string{
	"en": {{"day", "days"}, {"hour", "hours"}, {"minute", "minutes"}, {"second", "seconds"}},
	"fr": {{"jour", "jours"}, {"heure", "heures"}, {"minute", "minutes"}, {"seconde", "secondes"}},
	"ja": {{"日", "日"}, {"時間", "時間"}, {"分", "分"}, {"秒", "秒"}},
}

// Duration formats a duration in words of the language, to the second. A zero duration is empty.
func Duration(language string, d time.Duration) string {
	words, known := units[language]
	if !known {
		words = units["en"]
	}
	rest := d.Round(time.Second)
	var parts []string
	for i, long := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n := int64(rest / long)
		rest %= long
		switch n {
		case 0:
		case 1:
			parts = append(parts, "1 "+words[i][0])
		default:
			parts = append(parts, strconv.FormatInt(n, 10)+" "+words[i][1])
		}
	}
	return strings.Join(parts, " ")
}
