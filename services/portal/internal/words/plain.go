package words

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/timetext"
	textlanguage "golang.org/x/text/language"
	printer "golang.org/x/text/message"
	"golang.org/x/text/number"
)

// Plain formats a number with at most that many digits after the point, as people of the language write it.
func (s *Speaker) Plain(n float64, digits int) string {
	return printer.NewPrinter(textlanguage.Make(s.Language)).Sprint(number.Decimal(n, number.MaxFractionDigits(digits)))
}

// MonthDay formats a day of a year, short.
func (s *Speaker) MonthDay(t time.Time) string { return timetext.MonthDay(s.Language, t) }
