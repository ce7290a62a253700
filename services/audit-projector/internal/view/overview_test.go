package view

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Lists of decisions are counted and ranked as if they were one.
func TestDecisionsAreRankedAcrossLists(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		each := rapid.OneOf(rapid.Int64Range(-2, 5), rapid.Int64Range(0, int64(3*24*time.Hour)))
		var lists [][]time.Duration
		var all []time.Duration
		for range rapid.IntRange(0, 6).Draw(t, "lists") {
			var list []time.Duration
			for _, d := range rapid.SliceOf(each).Draw(t, "list") {
				list = append(list, time.Duration(d))
			}
			slices.Sort(list)
			lists, all = append(lists, list), append(all, list...)
		}
		slices.Sort(all)
		f := decisions(lists)
		if f.GetCount() != uint64(len(all)) || f.GetMedian() == nil != (len(all) == 0) {
			t.Fatalf("%d decisions: %v", len(all), f)
		}
		if n := len(all); n > 0 && (f.GetMedian().AsDuration() != all[(n+1)/2-1] ||
			f.GetNinetieth().AsDuration() != all[(n*9+9)/10-1]) {
			t.Fatalf("%v: %v", all, f)
		}
		for i, from := range append([]time.Duration{-time.Hour}, limits...) {
			want := uint64(0)
			for _, d := range all {
				if d >= from && (i == len(limits) || d < limits[i]) {
					want++
				}
			}
			if got := f.GetBuckets()[i].GetCount(); got != want {
				t.Fatalf("%v: group %d has %d, not %d", all, i, got, want)
			}
		}
	})
}
