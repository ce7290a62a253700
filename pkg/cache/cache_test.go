package cache

import (
	"sync"
	"testing"
)

func TestForgetsWhatIsNotAskedFor(t *testing.T) {
	c := New[int, int](10)
	for i := range 1000 {
		c.Put(i, i)
		if _, found := c.Get(0); !found {
			t.Fatalf("after %d more, what is asked for every time is forgotten", i)
		}
		if n := len(c.young) + len(c.old); n > 20 {
			t.Fatalf("%d are held", n)
		}
	}
	if _, found := c.Get(500); found {
		t.Error("what nobody asked for is still there")
	}
}

func TestHoldsAtLeastItsSize(t *testing.T) {
	c := New[int, int](10)
	for i := range 1000 {
		c.Put(i, i)
		for last := max(0, i-9); last <= i; last++ {
			if v, found := c.Get(last); !found || v != last {
				t.Fatalf("after %d, %d is %d, %t", i, last, v, found)
			}
		}
	}
}

func TestReplacingTakesNoRoom(t *testing.T) {
	c := New[int, int](2)
	c.Put(1, 0)
	c.Put(2, 0)
	for i := range 100 {
		c.Put(1, i)
	}
	if v, _ := c.Get(1); v != 99 {
		t.Errorf("the value replaced last is %d", v)
	}
	if _, found := c.young[2]; !found {
		t.Error("replacing one value moved the other to the old generation")
	}
}

func TestConcurrentUse(t *testing.T) {
	c := New[int, int](8)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 1000 {
				k := (i * worker) % 32
				c.Put(k, k)
				if v, found := c.Get(k); found && v != k {
					t.Errorf("%d is %d", k, v)
				}
			}
		})
	}
	all.Wait()
}

func TestUpdateChangesWhatIsKept(t *testing.T) {
	c := New[string, int](1)
	more := func(before int) (int, bool) { return before + 1, true }
	c.Update("a", more)
	c.Update("a", more)
	c.Put("b", 10) // a is old now
	c.Update("a", more)
	c.Update("b", func(int) (int, bool) { return 0, false })
	for key, want := range map[string]int{"a": 3, "b": 10} {
		if got, found := c.Get(key); !found || got != want {
			t.Errorf("%s is %d, %t; want %d", key, got, found, want)
		}
	}
}
