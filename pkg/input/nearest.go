package input

import (
	"fmt"
	"strings"
)

// DidYouMean is the end of a sentence that offers the candidate nearest to s, or nothing if none is near.
func DidYouMean(s string, candidates []string) string {
	if c := Nearest(s, candidates); c != "" {
		return fmt.Sprintf("; did you mean %q?", c)
	}
	return ""
}

// Nearest returns the candidate that s is most likely a slip of: the same but for case, or what follows its last slash,
// or at most a quarter of its letters away (at least two). It is empty if there is none. Of equals the first is taken.
func Nearest(s string, candidates []string) string {
	const longest = 100 // nobody types more, and the cost grows with it
	if s == "" || len(s) > longest {
		return ""
	}
	s = strings.ToLower(s)
	best, least := "", max(2, len(s)/4)+1
	for _, c := range candidates {
		lower := strings.ToLower(c)
		if lower == s || lower[strings.LastIndexByte(lower, '/')+1:] == s {
			return c
		}
		if d := distance(s, lower); d < least && d < len(lower) {
			best, least = c, d
		}
	}
	return best
}

// distance counts insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
