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

func TestTimesAreInTheZoneOfTheOrganisationWithUTCBeside(t *testing.T) {
	summer := time.Date(2026, 8, 1, 22, 5, 59, 999, time.UTC)
	for _, row := range []struct{ language, zone, short, stamp string }{
		{"en", "UTC", "Sat 1 Aug 2026, 22:05 UTC", "Sat 1 Aug 2026, 22:05:59 UTC"},
		{"en", "", "Sat 1 Aug 2026, 22:05 UTC", "Sat 1 Aug 2026, 22:05:59 UTC"},
		{"en", "Europe/London", "Sat 1 Aug 2026, 23:05 BST (22:05 UTC)", "Sat 1 Aug 2026, 23:05:59 BST (22:05:59 UTC)"},
		{"en", "Europe/Berlin", "Sun 2 Aug 2026, 00:05 CEST (1 Aug, 22:05 UTC)",
			"Sun 2 Aug 2026, 00:05:59 CEST (1 Aug, 22:05:59 UTC)"},
		{"fr", "Europe/Paris", "dim. 2 août 2026 à 00 h 05 CEST (1er août à 22 h 05 UTC)",
			"dim. 2 août 2026 à 00 h 05 min 59 s CEST (1er août à 22 h 05 min 59 s UTC)"},
		{"ja", "Asia/Tokyo", "2026年8月2日（日）07:05 JST（8月1日22:05 UTC）", "2026年8月2日（日）07:05:59 JST（8月1日22:05:59 UTC）"},
		{"en", "Asia/Dubai", "Sun 2 Aug 2026, 02:05 UTC+4 (1 Aug, 22:05 UTC)",
			"Sun 2 Aug 2026, 02:05:59 UTC+4 (1 Aug, 22:05:59 UTC)"},
		{"en", "Pacific/Marquesas", "Sat 1 Aug 2026, 12:35 UTC-9:30 (22:05 UTC)",
			"Sat 1 Aug 2026, 12:35:59 UTC-9:30 (22:05:59 UTC)"},
	} {
		zone := timetext.Zone(row.zone)
		for got, want := range map[string]string{
			timetext.Short(row.language, summer, zone): row.short, timetext.Stamp(row.language, summer, zone): row.stamp,
		} {
			if got = strings.ReplaceAll(got, "\u00a0", " "); got != want {
				t.Errorf("%s, %s: %s, want %s", row.language, row.zone, got, want)
			}
		}
	}
	if timetext.Short("en", time.Time{}, time.UTC) != "" {
		t.Error("no time is a time")
	}
}

func TestEveryZoneThatCanBeChosenIsThere(t *testing.T) {
	names := timetext.Zones()
	if len(names) < 300 || names[0] != "UTC" {
		t.Fatalf("%d zones, first %q", len(names), names[0])
	}
	for _, name := range names {
		if !timetext.KnownZone(name) || timetext.Zone(name).String() != name {
			t.Errorf("%s is not there", name)
		}
	}
	if timetext.KnownZone("Local") || timetext.KnownZone("../etc/passwd") || timetext.Zone("Local") != time.UTC {
		t.Error("what the machine says is taken for a zone")
	}
}
