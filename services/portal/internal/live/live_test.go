package live

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

// desk is a page that hears of changes, and who looks at it.
type desk struct {
	site.Sessions // nothing is typed here
	mu            sync.Mutex
	who           *session.Session
	digest        string
	err           error
	asked         int

	hub    *Hub
	server http.Handler
}

func newDesk(t *testing.T, who *session.Session) *desk {
	t.Helper()
	d := &desk{who: who, digest: "one", hub: NewHub()}
	s := sitetest.New(t, &sitetest.Backend{}, who)
	s.Sessions = d
	d.server = sitetest.Server(s, d.hub.Routes(Page{Path: "/page", Side: site.Both,
		Ask: func(*site.Visit) (string, uint64, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.asked++
			return d.digest, 7, d.err
		}}))
	return d
}

// Current implements site.Sessions.
func (d *desk) Current(*http.Request) (*session.Session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.who, nil
}

// End implements site.Sessions.
func (*desk) End(http.ResponseWriter, *http.Request) error { return nil }

func (d *desk) set(change func(*desk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

func (d *desk) times() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func (d *desk) hint(t *testing.T, tenant string) {
	t.Helper()
	subject, err := bus.ChangedSubject(tenant)
	if err != nil {
		t.Fatal(err)
	}
	d.hub.heard(&nats.Msg{Subject: subject})
}

// reader is a browser at the other end of a stream. It may be too slow.
type reader struct {
	mu     sync.Mutex
	header http.Header
	text   strings.Builder
	status int
	slow   bool
}

func (r *reader) Header() http.Header { return r.header }

func (r *reader) WriteHeader(status int) { r.status = status }

func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slow {
		return 0, errors.New("the deadline is over")
	}
	return r.text.Write(p)
}

func (*reader) Flush() {}

func (*reader) SetWriteDeadline(time.Time) error { return nil }

// got is what came, without heartbeats, and how many of these did.
func (r *reader) got() (string, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := strings.TrimPrefix(r.text.String(), "retry: 5000\n\n")
	return strings.ReplaceAll(text, ":\n\n", ""), strings.Count(text, ":\n\n")
}

// open starts a stream; done is closed when it has ended.
func (d *desk) open(t *testing.T, query string) (r *reader, done chan struct{}, leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, done = &reader{header: http.Header{}}, make(chan struct{})
	base := "/t/meadowbank"
	if d.who.Tenant == "" {
		base = "/provider"
	}
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, base+"/live/page"+query, nil)
	go func() {
		defer close(done)
		d.server.ServeHTTP(r, request)
	}()
	synctest.Wait()
	return r, done, cancel
}

const told = "event: changed\nid: %s\ndata: 7\n\n"

func (r *reader) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	synctest.Wait()
	if got, _ := r.got(); got != strings.Join(want, "") {
		t.Errorf("%s: got %q, want %q", when, got, want)
	}
}

func changed(digest string) string { return fmt.Sprintf(told, digest) }

func TestAPageThatIsUpToDateHearsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, sitetest.Otto())
		r, _, leave := d.open(t, "?shown=one")
		defer leave()
		d.hint(t, "meadowbank")
		time.Sleep(time.Minute)
		r.expect(t, "after a hint that changed nothing")
		if r.header.Get("Content-Type") != "text/event-stream" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", r.header)
		}
		if _, beats := r.got(); beats != 4 {
			t.Errorf("%d heartbeats in a minute", beats)
		}
	})
}

func TestWhatChangedBeforeTheStreamBeganIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, leave := newDesk(t, sitetest.Otto()).open(t, "?shown=zero")
		defer leave()
		r.expect(t, "at once", changed("one"))
	})
}

func TestAHintOfTheOwnTenantIsLookedAtOnceAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, sitetest.Otto())
		r, _, leave := d.open(t, "?shown=one")
		defer leave()
		time.Sleep(2 * time.Second)
		d.set(func(d *desk) { d.digest, d.asked = "two", 0 })
		d.hint(t, "sakura")
		time.Sleep(time.Second)
		if r.expect(t, "after another tenant's hint"); d.times() != 0 {
			t.Error("another tenant's hint woke it")
		}
		for range 10 {
			d.hint(t, "meadowbank")
		}
		r.expect(t, "before what comes together has come")
		time.Sleep(300 * time.Millisecond)
		r.expect(t, "soon", changed("two"))
		if d.times() != 1 {
			t.Errorf("asked %d times", d.times())
		}
		d.hint(t, "meadowbank")
		time.Sleep(300 * time.Millisecond)
		if d.times() != 1 {
			t.Error("two looks follow each other at once")
		}
		time.Sleep(time.Second)
		if d.times() != 2 {
			t.Error("the second hint is forgotten")
		}
	})
}

func TestTheProvidersStreamsHearOfEveryTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, sitetest.Lena())
		r, _, leave := d.open(t, "?shown=one")
		defer leave()
		d.set(func(d *desk) { d.digest = "two" })
		d.hint(t, "sakura")
		time.Sleep(2 * time.Second)
		r.expect(t, "after a tenant's hint", changed("two"))
	})
}

func TestDeadlinesPassWithoutAHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, sitetest.Otto())
		r, _, leave := d.open(t, "?shown=one")
		defer leave()
		d.set(func(d *desk) { d.digest = "two" })
		time.Sleep(19 * time.Second)
		r.expect(t, "before it looks by itself")
		time.Sleep(2 * time.Second)
		r.expect(t, "after it has", changed("two"))
	})
}

func TestAStreamEndsWithTheSignIn(t *testing.T) {
	for name, end := range map[string]func(*desk){
		"it runs out": func(*desk) { time.Sleep(time.Hour) },
		"signed out":  func(d *desk) { d.set(func(d *desk) { d.who = nil }); time.Sleep(21 * time.Second) },
		"not trusted": func(d *desk) {
			d.set(func(d *desk) { d.err = refusal.Unauthenticated("token", "R25", "it has expired") })
			time.Sleep(21 * time.Second)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, sitetest.Otto())
			r, done, leave := d.open(t, "?shown=one")
			defer leave()
			end(d)
			<-done
			r.expect(t, name, "event: over\ndata: over\n\n")
			if len(d.hub.streams)+len(d.hub.open) != 0 {
				t.Errorf("%s: the hub still knows it", name)
			}
		})
	}
}

func TestAStreamEndsWithThePageOrWhenItIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, sitetest.Otto())
		_, done, leave := d.open(t, "?shown=one")
		leave()
		<-done
		r, done, leave := d.open(t, "?shown=one")
		defer leave()
		r.mu.Lock()
		r.slow = true
		r.mu.Unlock()
		<-done
		if len(d.hub.streams)+len(d.hub.open) != 0 {
			t.Error("the hub still knows them")
		}
	})
}

func TestWhatCannotBeKnownNowIsNoChangeAndWhatIsGoneIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, sitetest.Otto())
		r, _, leave := d.open(t, "?shown=one")
		defer leave()
		d.set(func(d *desk) { d.err = refusal.Unavailable("", "I11", "nobody answers") })
		time.Sleep(time.Minute)
		r.expect(t, "while nobody answers")
		d.set(func(d *desk) { d.err = refusal.NotFound("", "I9", "nothing") })
		time.Sleep(time.Minute)
		r.expect(t, "when it is gone", "event: changed\nid: none\ndata: 0\n\n")
	})
}

func TestASessionHasSoManyStreamsAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, sitetest.Otto())
		_, _, first := d.open(t, "?shown=one")
		for range perSession - 1 {
			_, _, leave := d.open(t, "?shown=one")
			defer leave()
		}
		r, done, leave := d.open(t, "?shown=one")
		defer leave()
		<-done
		if r.status != http.StatusServiceUnavailable {
			t.Errorf("one more: %d", r.status)
		}
		first()
		synctest.Wait()
		r, _, again := d.open(t, "?shown=one")
		defer again()
		if r.status != 0 || r.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("in the place of one that ended: %d", r.status)
		}
	})
}

func TestWhoMayNotSeeThePageHearsNothingOfIt(t *testing.T) {
	d := newDesk(t, sitetest.Otto())
	d.err = refusal.NotFound("", "I9", "nothing")
	for address, want := range map[string]int{"/t/meadowbank/live/page": http.StatusNotFound,
		"/t/sakura/live/page": http.StatusNotFound, "/provider/live/page": http.StatusNotFound} {
		if w := sitetest.Get(d.server, address); w.Code != want {
			t.Errorf("%s: %d", address, w.Code)
		}
	}
	d.who = nil
	if w := sitetest.Get(d.server, "/t/meadowbank/live/page"); w.Code != http.StatusSeeOther {
		t.Errorf("nobody: %d", w.Code)
	}
}

// The server gives up on requests that are read slowly, and on answers. That must not end what is read no more, and
// written for as long as the page is open.
func TestAStreamOutlivesTheTimeToReadARequest(t *testing.T) {
	d := newDesk(t, sitetest.Otto())
	server := httptest.NewUnstartedServer(d.server)
	server.Config.ReadTimeout = 100 * time.Millisecond
	server.Config.WriteTimeout = server.Config.ReadTimeout
	server.Start()
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/t/meadowbank/live/page?shown=one",
		nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	time.Sleep(3 * server.Config.ReadTimeout)
	d.set(func(d *desk) { d.digest = "two" })
	d.hint(t, "meadowbank")
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if lines.Text() == "id: two" {
			return
		}
	}
	t.Errorf("it ended: %v", lines.Err())
}
