// Package longtest says how much tests that go on by chance try. The variable LOCKBOX_TEST_LONG changes counts and
// nothing else: with LOCKBOX_TEST_LONG=10, each tries ten times as much.
package longtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

const (
	factor = "LOCKBOX_TEST_LONG"
	seed   = "LOCKBOX_TEST_SEED"
)

// Count is n, times LOCKBOX_TEST_LONG where that is set.
func Count(n int) int {
	text := os.Getenv(factor)
	if text == "" {
		return n
	}
	times, err := strconv.Atoi(text)
	if err != nil || times < 1 {
		panic(fmt.Sprintf("%s=%q is not a number of times", factor, text))
	}
	return n * times
}

// Random is the chance of a test, another in each run. The test's log says how to have the same again.
func Random(t testing.TB) *rand.Rand {
	t.Helper()
	text := os.Getenv(seed)
	if text == "" {
		text = strconv.FormatUint(rand.Uint64(), 10) // #nosec G404 -- any will do
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", seed, err)
	}
	t.Logf("%s=%d makes the same choices again", seed, number)
	return rand.New(rand.NewPCG(number, 0)) // #nosec G404 -- to be repeated, not to be secret
}
