package longtest_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/longtest"
)

func TestCountIsMultiplied(t *testing.T) {
	for factor, want := range map[string]int{"": 20, "1": 20, "10": 200} {
		t.Setenv("LOCKBOX_TEST_LONG", factor)
		if got := longtest.Count(20); got != want {
			t.Errorf("LOCKBOX_TEST_LONG=%q: %d, want %d", factor, got, want)
		}
	}
	for _, wrong := range []string{"0", "-1", "yes"} {
		t.Setenv("LOCKBOX_TEST_LONG", wrong)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("LOCKBOX_TEST_LONG=%q is taken for a number", wrong)
				}
			}()
			longtest.Count(20)
		}()
	}
}

func TestASeedRepeatsItself(t *testing.T) {
	t.Setenv("LOCKBOX_TEST_SEED", "")
	one, other := longtest.Random(t), longtest.Random(t)
	if one.Uint64() == other.Uint64() {
		t.Error("two runs make the same choices")
	}
	t.Setenv("LOCKBOX_TEST_SEED", "18446744073709551615")
	if a, b := longtest.Random(t), longtest.Random(t); a.Uint64() != b.Uint64() || a.IntN(700) != b.IntN(700) {
		t.Error("the same seed makes other choices")
	}
}
