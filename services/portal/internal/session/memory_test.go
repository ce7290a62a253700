package session_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
)

// Sessions in memory end as those on the bus do: after an hour without use, at the end of their lifetime, and at
// sign-out; and they are of this process alone.
func TestSessionsInMemory(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := session.InMemory(false, c.time)
	first := begin(t, s, otto(c))
	wants(t, "just begun", s, first, true)
	wants(t, "of another process", session.InMemory(false, c.time), first, false)
	c.after(59 * time.Minute)
	wants(t, "used within the hour", s, first, true)
	c.after(59 * time.Minute)
	wants(t, "used again", s, first, true)
	c.after(61 * time.Minute)
	wants(t, "not used for an hour", s, first, false)

	second := begin(t, s, otto(c))
	for range 2*int(bus.SessionLifetime/time.Hour) + 1 {
		c.after(30 * time.Minute)
		_, err := s.Current(request(second))
		must(t, err)
	}
	wants(t, "at the end of its lifetime", s, second, false)

	third := begin(t, s, otto(c))
	must(t, s.End(httptest.NewRecorder(), request(third)))
	wants(t, "signed out", s, third, false)
}
