package bench

import (
	"math"
	"slices"
	"time"
)

// Latency is a distribution of durations, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

func latency(took []time.Duration) Latency {
	sorted := slices.Sorted(slices.Values(took))
	return Latency{millis(percentile(sorted, 50)), millis(percentile(sorted, 99))}
}

// percentile returns the p-th percentile by the nearest-rank method; 0 if there are no values.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func perSecond(n int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
