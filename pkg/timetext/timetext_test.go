package timetext_test

import (
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/timetext"
)

func TestDatesAreWrittenAsPeopleOfTheLanguageWriteThem(t *testing.T) {
	first := time.Date(2026, 8, 1, 9, 5, 59, 999, time.FixedZone("elsewhere", 2*3600))
	for tag, want := range map[string]string{
		"en": "Saturday, 1 August 2026, 07:05 UTC", "fr": "samedi 1er août 2026 à 07 h 05 UTC", "ja": "2026年8月1日（土）07:05 UTC",
	} {
		if got := strings.ReplaceAll(timetext.Instant(tag, first), "\u00a0", " "); got != want {
			t.Errorf("%s: %s, want %s", tag, got, want)
		}
	}
	if timetext.Instant("en", time.Time{}) != "" {
		t.Error("no time is a time")
	}
}

func TestDurationsAreInWords(t *testing.T) {
	for d, want := range map[time.Duration][3]string{
		8 * time.Hour:                {"8 hours", "8 heures", "8 時間"},
		time.Hour + 30*time.Minute:   {"1 hour 30 minutes", "1 heure 30 minutes", "1 時間 30 分"},
		4 * time.Second:              {"4 seconds", "4 secondes", "4 秒"},
		96*time.Hour + 1*time.Minute: {"4 days 1 minute", "4 jours 1 minute", "4 日 1 分"},
		0:                            {"", "", ""},
	} {
		for i, tag := range []string{"en", "fr", "ja"} {
			if got := strings.ReplaceAll(timetext.Duration(tag, d), "\u00a0", " "); got != want[i] {
				t.Errorf("%s in %s: %q, want %q", d, tag, got, want[i])
			}
		}
	}
}
