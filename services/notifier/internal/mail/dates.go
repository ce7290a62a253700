package mail

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

var (
	frenchDays   = [...]string{"dimanche", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"}
	frenchMonths = [...]string{"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"}
	japaneseDays = [...]string{"日", "月", "火", "水", "木", "金", "土"}
)

// instant is a moment as a reader of the language writes it, in UTC and saying so. What is left of the minute is
// dropped: a deadline is never shown later than it is. The hour is not torn from its zone at the end of a line.
func instant(language string, t time.Time) string {
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
		return fmt.Sprintf("%s %s %s %d à %s\u00a0h\u00a0%s\u00a0UTC", frenchDays[t.Weekday()], day, frenchMonths[t.Month()-1], t.Year(), t.Format("15"), t.Format("04"))
	case "ja":
		return fmt.Sprintf("%d年%d月%d日（%s）%s\u00a0UTC", t.Year(), t.Month(), t.Day(), japaneseDays[t.Weekday()], t.Format("15:04"))
	}
	return t.Format("Monday, 2 January 2006, 15:04\u00a0UTC")
}

// duration is a length of time in words, to the second.
func (w words) duration(d time.Duration) (string, error) {
	rest := d.Round(time.Second)
	var parts []string
	for _, unit := range []struct {
		name string
		long time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		n := int64(rest / unit.long)
		rest %= unit.long
		if n == 0 {
			continue
		}
		block := "unit/" + unit.name
		if n != 1 {
			block += "s"
		}
		part, err := w.say(block, values{"Count": strconv.FormatInt(n, 10)})
		if err != nil {
			return "", err
		}
		parts = append(parts, part)
	}
	joint, err := w.say("unit/joint", values{})
	return strings.Join(parts, joint), err
}
