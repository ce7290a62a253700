package input

import (
	"fmt"
	"strings"
)

// DidYouMean returns the end of a sentence that suggests the candidate nearest to s, or "" if none is near.
func DidYouMean(s string, candidates []string) string {
	if c := Nearest(s, candidates); c != "" {
		return fmt.Sprintf("; did you mean %q?", c)
	}
	return ""
}

// Nearest returns the candidate of which s is most likely a misspelling: it differs only in case, or is what follows
// the candidate's last slash, or is within an edit distance of a quarter of its length (at least two). It returns "" if
// there is none, and the first of several equally near ones.
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

// distance is the number of insertions, deletions, substitutions and transpositions (optimal string alignment).
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
