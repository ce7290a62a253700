package session_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
)

const form = "/t/meadowbank/requests/7/deny"

var typed = url.Values{"reason": {"Not during the audit, « non »"}, "seen": {"3"}}

func keeps(t *testing.T, what string, s *session.Sessions, cookie *http.Cookie, want bool) {
	t.Helper()
	if kept, err := s.Keep(request(cookie), form, typed); kept != want || err != nil {
		t.Errorf("%s: kept: %v, %v", what, kept, err)
	}
}

func holds(t *testing.T, what string, s *session.Sessions, cookie *http.Cookie, want bool) {
	t.Helper()
	got, err := s.Draft(request(cookie), form)
	if err != nil || (got.Encode() == typed.Encode()) != want || !want && got != nil {
		t.Errorf("%s: %v, %v; want it: %v", what, got, err, want)
	}
}

func TestWhatWasTypedIsThereAfterTheNextSignInOfTheSamePerson(t *testing.T) {
	t.Parallel()
	b, c := shared.Bus(t), newClock()
	one, two := open(t, b, c), open(t, b, c)
	somebodyElse := otto(c)
	somebodyElse.Subject = "grace"
	elsewhere := otto(c)
	elsewhere.Tenant = "sakura"
	for name, row := range map[string]struct {
		next session.Session
		want bool
	}{"the same person": {otto(c), true}, "somebody else": {somebodyElse, false}, "of another customer": {elsewhere,
		false}} {
		cookie := begin(t, one, otto(c))
		c.after(2 * time.Hour) // the session has ended
		wants(t, name, one, cookie, false)
		keeps(t, name, one, cookie, true)
		holds(t, name+", before the sign-in", two, cookie, true)
		next := begin(t, two, row.next, cookie)
		holds(t, name, one, next, row.want)
		holds(t, name+", by the former session", one, cookie, false)
	}
}

func TestWhatWasTypedIsKeptForItsPageAndForHalfAnHour(t *testing.T) {
	t.Parallel()
	b, c := shared.Bus(t), newClock()
	s := open(t, b, c)
	cookie, other := begin(t, s, otto(c)), begin(t, s, otto(c))
	keeps(t, "a session", s, cookie, true)
	holds(t, "another session", s, other, false)
	if got, err := s.Draft(request(cookie), form+"/more"); got != nil || err != nil {
		t.Errorf("on another page: %v, %v", got, err)
	}
	must(t, s.Forget(request(cookie), form))
	holds(t, "once it was sent", s, cookie, false)
	keeps(t, "again", s, cookie, true)
	c.after(session.DraftLifetime - 1)
	holds(t, "at last", s, cookie, true)
	c.after(1)
	holds(t, "after half an hour", s, cookie, false)
}

func TestNothingIsKeptForNobody(t *testing.T) {
	t.Parallel()
	b, c := shared.Bus(t), newClock()
	s := open(t, b, c)
	out := begin(t, s, otto(c))
	must(t, s.End(discard{}, request(out)))
	keeps(t, "who signed out", s, out, false)
	keeps(t, "who never was signed in", s, &http.Cookie{Name: out.Name, Value: "made-up"}, false)
	cookie := begin(t, s, otto(c))
	if kept, err := s.Keep(request(cookie), form, url.Values{"reason": {strings.Repeat("x", 64<<10)}}); kept ||
		err != nil {
		t.Errorf("too much: %v, %v", kept, err)
	}
	for range 20 { // no session fills the bucket
		keeps(t, "one after the other", s, cookie, true)
	}
}

type discard struct{ http.ResponseWriter }

func (discard) Header() http.Header { return http.Header{} }

// Whoever reads the bus, or its disk, learns nothing of what was typed.
func TestWhatWasTypedIsSealed(t *testing.T) {
	t.Parallel()
	b, c := journaltest.Start(t, 1), newClock()
	s := open(t, b, c)
	keeps(t, "a session", s, begin(t, s, otto(c)), true)
	all := messages(t, b)
	if len(all) != 2 {
		t.Fatalf("%d messages in %s", len(all), bus.SessionBucket)
	}
	for _, m := range all {
		for _, part := range []string{"audit", "requests/7", "meadowbank", "otto"} {
			if bytes.Contains(m.Data, []byte(part)) || strings.Contains(m.Subject, part) {
				t.Errorf("%q is there to read", part)
			}
		}
	}
}
