package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/written"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// moments are the accepted time formats besides RFC 3339, in the user's time zone.
var moments = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04",
	"2006-01-02"}

// parseTime parses a point in time: RFC 3339, "2026-05-12 14:03" in the user's time zone, a day, a time of today,
// "now", or a duration ago such as "2h" or "3d" (with a plus sign: from now).
func (a *app) parseTime(s string) (time.Time, error) {
	now := a.Now()
	if s == "now" {
		return now, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, layout := range moments {
		if t, err := time.ParseInLocation(layout, s, a.Zone); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			today := now.In(a.Zone)
			return time.Date(today.Year(), today.Month(), today.Day(), t.Hour(), t.Minute(), t.Second(), 0, a.Zone), nil
		}
	}
	if ahead, is := strings.CutPrefix(s, "+"); is {
		if d, err := parseDuration(ahead); err == nil {
			return now.Add(d), nil
		}
	} else if d, err := parseDuration(strings.TrimSuffix(s, " ago")); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{},
		fmt.Errorf("%q is no time; write 2026-05-12T14:03:00Z, \"2026-05-12 14:03\", 14:03, or 2h for two hours ago", s)
}

// parseDuration parses a duration of more than nothing.
func parseDuration(s string) (time.Duration, error) {
	d, err := written.Duration(s)
	if err == nil && d == 0 {
		return 0, errors.New("is no time at all")
	}
	return d, err
}

// timeFlag is a flag for a point in time.
type timeFlag struct {
	time.Time
	app *app
}

func (f *timeFlag) Set(s string) (err error) {
	f.Time, err = f.app.parseTime(s)
	return err
}

func (f *timeFlag) String() string {
	if f.IsZero() {
		return ""
	}
	return f.Format(time.RFC3339)
}

func (*timeFlag) Type() string { return "time" }

// lengthFlag is a flag for a duration.
type lengthFlag struct{ time.Duration }

func (f *lengthFlag) Set(s string) (err error) {
	f.Duration, err = parseDuration(s)
	return err
}

func (f *lengthFlag) String() string {
	if f.Duration == 0 {
		return ""
	}
	return f.Duration.String()
}

func (*lengthFlag) Type() string { return "duration" }

// enum is a generated protobuf enum.
type enum interface {
	~int32
	protoreflect.Enum
}

// spellings lists an enum's values as users type them (customer-notified), without the unspecified one.
func spellings[E enum]() []string {
	var e E
	return written.Spellings(e.Descriptor())
}

// parseEnum parses a value in any of its spellings.
func parseEnum[E enum](s string) (E, error) {
	var e E
	n, err := written.Enum(e.Descriptor(), s)
	return E(n), err
}

// enumFlag is a flag for an enum's value.
type enumFlag[E enum] struct {
	value E
	as    string
}

func (f *enumFlag[E]) Set(s string) (err error) {
	f.value, err = parseEnum[E](s)
	return err
}

func (f *enumFlag[E]) String() string {
	if f.value == 0 {
		return ""
	}
	return string(f.value.Descriptor().Values().ByNumber(protoreflect.EnumNumber(f.value)).Name())
}

func (f *enumFlag[E]) Type() string { return f.as }

// enumList is a flag for several values of an enum, repeated or separated by commas; sets are names for several
// values.
type enumList[E enum] struct {
	values []E
	sets   map[string][]E
}

func (f *enumList[E]) Set(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	for part := range strings.SplitSeq(s, ",") {
		if set, known := f.sets[part]; known {
			f.values = append(f.values, set...)
			continue
		}
		v, err := parseEnum[E](part)
		if err != nil {
			return err
		}
		if !slices.Contains(f.values, v) {
			f.values = append(f.values, v)
		}
	}
	return nil
}

func (*enumList[E]) String() string { return "" }

func (*enumList[E]) Type() string { return "list" }
