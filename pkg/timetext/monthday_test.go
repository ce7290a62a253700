package timetext_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/timetext"
)

func TestDaysAreShortInEveryLanguage(t *testing.T) {
	day := time.Date(2026, 6, 1, 23, 30, 0, 0, time.FixedZone("", -2*60*60)) // in UTC it is the second
	for language, want := range map[string]string{"en": "2\u00a0Jun", "fr": "2\u00a0juin", "ja": "6月2日"} {
		if got := timetext.MonthDay(language, day); got != want {
			t.Errorf("%s: %q, want %q", language, got, want)
		}
	}
	first := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	if got := timetext.MonthDay("fr", first); got != "1er\u00a0févr." {
		t.Error(got)
	}
	if timetext.MonthDay("en", time.Time{}) != "" {
		t.Error("no time is a day")
	}
}
