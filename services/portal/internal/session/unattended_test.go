package session_test

import (
	"testing"
	"time"
)

// A page that is left open hears of changes and loads them. Nobody sits there for all that, so the session ends.
func TestAnOpenPageDoesNotKeepASessionAlive(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := open(t, shared.Bus(t), c)
	cookie := begin(t, s, otto(c))
	for range 11 {
		c.after(6 * time.Minute)
		r := request(cookie)
		r.Header.Set("Sec-Fetch-Dest", "empty")
		got, err := s.Current(r)
		if over := c.time().Sub(newClock().time()) >= time.Hour; err != nil || (got == nil) != over {
			t.Errorf("after %v: %v, %v", c.time().Sub(newClock().time()), got, err)
		}
	}
}
