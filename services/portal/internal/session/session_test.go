package session_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
)

// clock is turned by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 8, 3, 9, 30, 0, 0, time.UTC)} }

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) after(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shared is the bus of the tests that look at nothing but their own sessions.
var shared journaltest.Shared

func TestMain(m *testing.M) { shared.Run(m) }

// open is one copy of the portal.
func open(t *testing.T, b *journaltest.Bus, c *clock) *session.Sessions {
	t.Helper()
	s, err := session.New(b.Connect(t, bus.Portal), false, c.time)
	must(t, err)
	return s
}

func otto(c *clock) session.Session {
	return session.Session{
		Tenant: "meadowbank", Token: "header.payload.signature", Subject: "otto", Name: "Otto Owens", Language: "fr",
		Expires: c.time().Add(24 * time.Hour),
	}
}

func request(cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

// begin signs in with a browser that sends these cookies, and returns the one that it gets.
func begin(t *testing.T, s *session.Sessions, who session.Session, cookies ...*http.Cookie) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	must(t, s.Begin(w, request(cookies...), who))
	set := w.Result().Cookies()
	if len(set) != 1 {
		t.Fatalf("%d cookies", len(set))
	}
	return set[0]
}

// wants checks whether the cookie is somebody's.
func wants(t *testing.T, what string, s *session.Sessions, cookie *http.Cookie, want bool) {
	t.Helper()
	got, err := s.Current(request(cookie))
	if err != nil || (got != nil) != want {
		t.Errorf("%s: %v, %v; want somebody: %v", what, got, err, want)
	}
}

func unavailable(t *testing.T, what string, err error) {
	t.Helper()
	if !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
		t.Errorf("%s: %v", what, err)
	}
}

func bucket(t *testing.T, b *journaltest.Bus) jetstream.KeyValue {
	t.Helper()
	js, err := bus.JetStream(b.Connect(t, bus.Portal))
	must(t, err)
	kv, err := js.KeyValue(t.Context(), bus.SessionBucket)
	must(t, err)
	return kv
}

// messages in the bucket, and their bytes.
func messages(t *testing.T, b *journaltest.Bus) []*jetstream.RawStreamMsg {
	t.Helper()
	js, err := bus.JetStream(b.Connect(t, bus.Portal))
	must(t, err)
	stream, err := js.Stream(t.Context(), "KV_"+bus.SessionBucket)
	must(t, err)
	state := stream.CachedInfo().State
	var all []*jetstream.RawStreamMsg
	for i := state.FirstSeq; i <= state.LastSeq && i > 0; i++ {
		if m, err := stream.GetMsg(t.Context(), i); err == nil {
			all = append(all, m)
		}
	}
	return all
}

func TestCopiesShareASessionUntilOneOfThemEndsIt(t *testing.T) {
	t.Parallel()
	b, c := journaltest.Start(t, 1), newClock()
	one, two := open(t, b, c), open(t, b, c)
	cookie := begin(t, one, otto(c))
	got, err := two.Current(request(cookie))
	must(t, err)
	want := otto(c)
	want.Since, want.Expires = c.time(), c.time().Add(bus.SessionLifetime)
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
	b.Stop()
	b.Resume(t)
	comesBack(t, one, cookie)
	comesBack(t, two, cookie)
	wants(t, "for a copy that starts now", open(t, b, c), cookie, true)
	w := httptest.NewRecorder()
	must(t, two.End(w, request(cookie)))
	if gone := w.Result().Cookies(); len(gone) != 1 || gone[0].Name != cookie.Name || gone[0].MaxAge >= 0 {
		t.Errorf("the cookie stays: %v", gone)
	}
	wants(t, "ended, here", two, cookie, false)
	wants(t, "ended, there", one, cookie, false)
	must(t, two.End(httptest.NewRecorder(), request(cookie))) // it is over already
}

func TestTheCookieIsForThisSiteOnly(t *testing.T) {
	t.Parallel()
	b, c := shared.Bus(t), newClock()
	for _, secure := range []bool{true, false} {
		s, err := session.New(b.Connect(t, bus.Portal), secure, c.time)
		must(t, err)
		got := begin(t, s, otto(c))
		if !got.HttpOnly || got.Secure != secure || got.SameSite != http.SameSiteLaxMode || got.Path != "/" ||
			got.Domain != "" || got.MaxAge != 0 ||
			!got.Expires.IsZero() || strings.HasPrefix(got.Name, "__Host-") != secure || len(got.Value) < 43 {
			t.Errorf("%v", got)
		}
	}
}

func TestSigningInIsUnderATokenThatNobodyKnew(t *testing.T) {
	t.Parallel()
	b, c := shared.Bus(t), newClock()
	s := open(t, b, c)
	planted := &http.Cookie{Name: "lockbox-session", Value: strings.Repeat("x", 43)}
	first := begin(t, s, otto(c), planted)
	wants(t, "planted", s, planted, false)
	second := begin(t, s, otto(c), first)
	wants(t, "the one before", s, first, false)
	wants(t, "the new one", s, second, true)
	if first.Value == planted.Value || second.Value == first.Value {
		t.Error("a token was kept")
	}
}

func TestASessionEnds(t *testing.T) {
	t.Parallel()
	const visit = 50 * time.Minute
	b := shared.Bus(t)
	for name, row := range map[string]struct {
		token   time.Duration // how long the ID token is good
		visits  int           // one every 50 minutes
		then    time.Duration // the last one comes so long after that
		current bool
	}{
		"unused for less than an hour":       {24 * time.Hour, 0, time.Hour - 1, true},
		"unused for an hour":                 {24 * time.Hour, 0, time.Hour, false},
		"used, then for less than an hour":   {24 * time.Hour, 3, time.Hour - 1, true},
		"used, then unused for an hour":      {24 * time.Hour, 3, time.Hour, false},
		"a nanosecond before the token ends": {time.Hour / 2, 0, time.Hour/2 - 1, true},
		"when the token ends":                {time.Hour / 2, 0, time.Hour / 2, false},
		"used, when the token ends":          {2 * time.Hour, 2, 20 * time.Minute, false},
		"a nanosecond before twelve hours":   {24 * time.Hour, 14, 20*time.Minute - 1, true},
		"after twelve hours":                 {24 * time.Hour, 14, 20 * time.Minute, false},
	} {
		c := newClock()
		one, two := open(t, b, c), open(t, b, c)
		who := otto(c)
		who.Expires = c.time().Add(row.token)
		cookie := begin(t, one, who)
		for range row.visits {
			c.after(visit)
			wants(t, name+", on the way", one, cookie, true)
		}
		c.after(row.then)
		wants(t, name, two, cookie, row.current)
	}
}

func TestUseIsNotedSeldomAndNeverRevivesASession(t *testing.T) {
	t.Parallel()
	b, c := journaltest.Start(t, 1), newClock()
	one, two := open(t, b, c), open(t, b, c)
	cookie := begin(t, one, otto(c))
	before := messages(t, b)[0].Sequence
	for range 4 {
		c.after(time.Minute)
		wants(t, "used", one, cookie, true)
	}
	if now := messages(t, b)[0].Sequence; now != before {
		t.Errorf("written %d times", now-before)
	}
	c.after(time.Minute)
	wants(t, "used", one, cookie, true)
	if now := messages(t, b)[0].Sequence; now != before+1 {
		t.Errorf("written %d times", now-before)
	}
	for range 50 {
		cookie := begin(t, one, otto(c))
		c.after(5 * time.Minute) // so that it is noted
		var both sync.WaitGroup
		both.Go(func() { _, _ = one.Current(request(cookie)) })
		var err error
		both.Go(func() { err = two.End(httptest.NewRecorder(), request(cookie)) })
		both.Wait()
		must(t, err)
		wants(t, "ended while it was used", one, cookie, false)
	}
}

func TestTheBusLearnsNothing(t *testing.T) {
	t.Parallel()
	b, c := journaltest.Start(t, 1), newClock()
	s := open(t, b, c)
	for _, r := range []*http.Request{request(), request(&http.Cookie{Name: "lockbox-session", Value: "x"})} {
		if got, err := s.Current(r); got != nil || err != nil {
			t.Errorf("a stranger: %v, %v", got, err)
		}
		must(t, s.End(httptest.NewRecorder(), r))
	}
	if all := messages(t, b); len(all) != 0 {
		t.Fatalf("%d messages for strangers", len(all))
	}
	cookie := begin(t, s, otto(c))
	all := messages(t, b)
	if len(all) != 1 {
		t.Fatalf("%d messages", len(all))
	}
	for _, secret := range []string{cookie.Value, otto(c).Token, "otto", "Otto", "meadowbank"} {
		if strings.Contains(all[0].Subject+string(all[0].Data), secret) {
			t.Errorf("the bucket holds %q", secret)
		}
	}
}

func TestWhatWasTamperedWithIsNoSession(t *testing.T) {
	t.Parallel()
	b, c := journaltest.Start(t, 1), newClock()
	s, kv := open(t, b, c), bucket(t, b)
	value := func() (key string, sealed []byte) {
		all := messages(t, b)
		m := all[len(all)-1]
		return m.Subject[strings.LastIndex(m.Subject, ".")+1:], m.Data
	}
	begin(t, s, otto(c))
	_, another := value()
	for name, change := range map[string]func([]byte) []byte{
		"nothing":           func([]byte) []byte { return nil },
		"garbage":           func([]byte) []byte { return []byte(`{"token":"x"}`) },
		"another's session": func([]byte) []byte { return another },
		"a flipped bit":     func(v []byte) []byte { v[len(v)/2] ^= 1; return v },
		"a shorter one":     func(v []byte) []byte { return v[:len(v)-1] },
		"a longer one":      func(v []byte) []byte { return append(v, 0) },
	} {
		cookie := begin(t, s, otto(c))
		key, sealed := value()
		_, err := kv.Put(t.Context(), key, change(sealed))
		must(t, err)
		wants(t, name, s, cookie, false)
		wants(t, name+", signed in anew", s, begin(t, s, otto(c), cookie), true)
	}
}

func TestWithoutTheBusNobodyIsSignedInOrOut(t *testing.T) {
	t.Parallel()
	b, c := journaltest.New(t, 1), newClock()
	s := open(t, b, c)
	late, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // a right that is missing is a silence
	defer cancel()
	unavailable(t, "no bucket yet", s.Begin(httptest.NewRecorder(), request().WithContext(late), otto(c)))
	must(t, bus.Provision(t.Context(), b.Connect(t, bus.Provisioner), 1))
	cookie := begin(t, s, otto(c))
	b.Stop()
	_, err := s.Current(request(cookie))
	unavailable(t, "current", err)
	w := httptest.NewRecorder()
	unavailable(t, "sign in", s.Begin(w, request(), otto(c)))
	unavailable(t, "sign out", s.End(w, request(cookie)))
	if set := w.Result().Cookies(); len(set) != 0 {
		t.Errorf("cookies: %v", set)
	}
	if got, err := s.Current(request()); got != nil || err != nil {
		t.Errorf("without a cookie: %v, %v", got, err)
	}
	b.Resume(t)
	comesBack(t, s, cookie)
}

// comesBack waits until a copy has found the bus again, where somebody is still signed in.
func comesBack(t *testing.T, s *session.Sessions, cookie *http.Cookie) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if got, err := s.Current(request(cookie)); err == nil && got != nil {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("after the bus came back: %v, %v", got, err)
		}
	}
}

func TestAFullBucketTakesNobodyInAndLosesNobody(t *testing.T) {
	t.Parallel()
	b, c := journaltest.New(t, 1), newClock()
	js, err := bus.JetStream(b.Connect(t, bus.Provisioner))
	must(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "KV_" + bus.SessionBucket, Subjects: []string{"$KV." + bus.SessionBucket + ".>"}, MaxMsgsPerSubject: 1,
		Discard:  jetstream.DiscardNew,
		MaxBytes: 2000, AllowRollup: true,
	})
	must(t, err)
	s := open(t, b, c)
	first := begin(t, s, otto(c))
	var full error
	for range 20 {
		if full = s.Begin(httptest.NewRecorder(), request(), otto(c)); full != nil {
			break
		}
	}
	unavailable(t, "one more", full)
	c.after(30 * time.Minute)
	wants(t, "the first, used", s, first, true)
	must(t, s.End(httptest.NewRecorder(), request(first)))
	wants(t, "the first, ended", s, first, false)
}
