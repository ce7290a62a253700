package timetext

import (
	"fmt"
	"strconv"
	"time"
)

var frenchShort = [...]string{"janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.",
	"déc."}

// MonthDay formats a day of a year in UTC, as short as people of the language write it. The zero time is empty.
func MonthDay(language string, t time.Time) string {
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
		return day + "\u00a0" + frenchShort[t.Month()-1]
	case "ja":
		return fmt.Sprintf("%d月%d日", t.Month(), t.Day())
	}
	return t.Format("2\u00a0Jan")
}
