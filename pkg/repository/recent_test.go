package repository

import "testing"

func TestRecentForgetsWhatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	r := newRecent[int, int](2)
	put := func(k, v int) { r.update(k, func(int) (int, bool) { return v, true }) }
	put(1, 10)
	put(2, 20)
	put(3, 30) // 1 and 2 are old now
	if v, known := r.get(1); !known || v != 10 {
		t.Errorf("1 is %d, %v", v, known)
	}
	put(4, 40) // 1 and 3 are old now, and 2 is gone
	for k, want := range map[int]bool{1: true, 2: false, 3: true, 4: true} {
		if _, known := r.get(k); known != want {
			t.Errorf("%d is known: %v", k, known)
		}
	}
	r.update(4, func(before int) (int, bool) { return before + 1, true })
	r.update(4, func(int) (int, bool) { return 0, false })
	if v, _ := r.get(4); v != 41 {
		t.Errorf("4 is %d", v)
	}
	r.drop(4)
	if _, known := r.get(4); known {
		t.Error("4 was dropped")
	}
}
