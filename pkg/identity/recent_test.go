package identity

import "testing"

func TestRecentForgetsWhatIsNotAskedFor(t *testing.T) {
	r := newRecent[int, int](10)
	for i := range 1000 {
		r.put(i, i)
		if _, ok := r.get(0); !ok {
			t.Fatalf("after %d more, what is asked for every time is forgotten", i)
		}
		if n := len(r.young) + len(r.old); n > 20 {
			t.Fatalf("%d are held", n)
		}
	}
	if _, ok := r.get(500); ok {
		t.Error("what nobody asked for is still there")
	}
}
