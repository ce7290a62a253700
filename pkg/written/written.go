// Package written reads what people and tools write by hand: durations, names of enums, and whole messages as JSON or
// YAML. What can mean only one thing is taken however it is spelled; everything else is an error that names the place.
// It is pure.
package written

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// longest is the longest duration that is read: a hundred years.
const longest = 36500 * 24 * time.Hour

// units are the spellings of the units of time. A month and a year are of no fixed length.
var units = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
	"ms": time.Millisecond,
	"s":  time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "mins": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hrs": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
}

// Duration parses a duration with units: 2h, 1d12h, 90 min, 14400s, 250ms, or PT8H and P1DT12H (ISO 8601). A day is 24
// hours. A negative one, one without a unit except 0, and one of more than 36500 days is an error.
func Duration(s string) (time.Duration, error) {
	refuse := fmt.Errorf("%.40q is no length of time; write 90m, 2h or 1d12h", s)
	text := strings.ToLower(strings.TrimSpace(s))
	iso := strings.HasPrefix(text, "p")
	if text = strings.TrimPrefix(text, "p"); text == "0" && !iso {
		return 0, nil
	}
	var total float64
	timeOfDay, last := !iso, time.Duration(math.MaxInt64)
	for text != "" {
		if iso && !timeOfDay && text[0] == 't' {
			timeOfDay, text = true, text[1:]
		}
		number := text[:len(text)-len(strings.TrimLeft(text, "0123456789.,"))]
		text = strings.TrimLeft(text[len(number):], " ")
		unit := text[:len(text)-len(strings.TrimLeft(text, "abcdefghijklmnopqrstuvwxyzµμ"))]
		if iso && unit != "" {
			unit = unit[:1] // what follows may be the T
		}
		text = strings.TrimLeft(text[len(unit):], " ")
		n, err := strconv.ParseFloat(strings.Replace(number, ",", ".", 1), 64)
		each, known := units[unit]
		switch {
		case err != nil, !known, each >= last: // each unit once, the longest first
			return 0, refuse
		case iso && timeOfDay != (each < 24*time.Hour): // an M before the T would be months
			return 0, refuse
		}
		last = each
		total += n * float64(each)
		if total > float64(longest) {
			return 0, refuse
		}
	}
	if last == math.MaxInt64 {
		return 0, refuse
	}
	return time.Duration(math.Round(total)), nil
}

// Enum returns the number of an enum's value in any of its spellings: customer-notified, CUSTOMER_NOTIFIED,
// REQUEST_STATUS_CUSTOMER_NOTIFIED. The unspecified value is none.
func Enum(d protoreflect.EnumDescriptor, s string) (protoreflect.EnumNumber, error) {
	prefix := prefix(d)
	name := strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToUpper(strings.TrimSpace(s)))
	v := d.Values().ByName(protoreflect.Name(prefix + strings.TrimPrefix(name, prefix)))
	if v == nil || v.Number() == 0 {
		return 0, fmt.Errorf("%.80q is none of %s", s, strings.Join(Spellings(d), ", "))
	}
	return v.Number(), nil
}

// Spellings lists an enum's values as people type them (customer-notified), without the unspecified one.
func Spellings(d protoreflect.EnumDescriptor) []string {
	var names []string
	for i := 1; i < d.Values().Len(); i++ {
		name := strings.TrimPrefix(string(d.Values().Get(i).Name()), prefix(d))
		names = append(names, strings.ToLower(strings.ReplaceAll(name, "_", "-")))
	}
	return names
}

// prefix returns the common prefix of the names of an enum's values: REQUEST_STATUS_.
func prefix(d protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(d.Values().Get(0).Name()), "UNSPECIFIED")
}
