package live

import (
	"fmt"
	"net/http"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// goodbye is the last event of a stream whose session has ended.
const goodbye = "event: over\ndata: over\n\n"

// Page is a page with live updates.
type Page struct {
	// Path below "/live", as in site.Route.
	Path string
	Side site.Side
	// Ask repeats the page's query and returns a digest of the result and the sequence that the projection had reached.
	Ask func(*site.Visit) (digest string, sequence uint64, err error)
}

// Address returns the URL of the stream for a page that shows the result with this digest.
func Address(path, digest string, sequence uint64) string {
	return fmt.Sprintf("%s?shown=%s&after=%d", path, digest, sequence)
}

// Routes returns the streams of these pages.
func (h *Hub) Routes(pages ...Page) []site.Route {
	routes := make([]site.Route, len(pages))
	for i, p := range pages {
		routes[i] = site.Route{Method: http.MethodGet, Path: "/live" + p.Path, Side: p.Side,
			Serve: func(v *site.Visit) error { return h.serve(v, p) }}
	}
	return routes
}

// stream is one open page.
type stream struct {
	tenant string
	woken  chan struct{}
	// known is the digest of what the page shows or was last notified of.
	known string
}

// serve queries once before the stream begins, so that unauthorised visitors get the refusal as a normal response.
func (h *Hub) serve(v *site.Visit, p Page) error {
	digest, sequence, err := p.Ask(v)
	if err != nil {
		return err
	}
	s, leave, err := h.join(v.Session)
	if err != nil {
		return err
	}
	defer leave()
	if s.known = v.R.Header.Get("Last-Event-ID"); s.known == "" {
		s.known = v.R.URL.Query().Get("shown")
	}
	v.W.Header().Set("Content-Type", "text/event-stream")
	v.W.Header().Set("X-Accel-Buffering", "no") // keeps proxies from buffering
	out := http.NewResponseController(v.W)
	if v.R.Method == http.MethodHead {
		return nil
	}
	say := func(format string, a ...any) bool {
		if out.SetWriteDeadline(time.Now().Add(h.write)) != nil {
			return false
		}
		_, err := fmt.Fprintf(v.W, format, a...)
		return err == nil && out.Flush() == nil
	}
	if say("retry: 5000\n\n") && s.tell(say, digest, sequence) {
		h.follow(v, p, s, say)
	}
	return nil
}

// tell sends an event if the page is out of date.
func (s *stream) tell(say func(string, ...any) bool, digest string, sequence uint64) bool {
	if digest == s.known {
		return true
	}
	s.known = digest
	return say("event: changed\nid: %s\ndata: %d\n\n", digest, sequence)
}

// follow runs until the page is closed, the session ends or the portal stops.
func (h *Hub) follow(v *site.Visit, p Page, s *stream, say func(string, ...any) bool) {
	over := time.NewTimer(v.Session.Expires.Sub(v.Now()))
	defer over.Stop()
	beat := time.NewTicker(h.heartbeat)
	defer beat.Stop()
	next := time.NewTimer(h.check)
	defer next.Stop()
	looked, soon := time.Now(), false
	for {
		select {
		case <-v.R.Context().Done():
			return
		case <-over.C:
			say(goodbye)
			return
		case <-beat.C:
			if !say(":\n\n") {
				return
			}
		case <-s.woken:
			if !soon {
				soon = true
				next.Reset(max(h.debounce, h.pause-time.Since(looked)))
			}
		case <-next.C:
			if !h.look(v, p, s, say) {
				return
			}
			looked, soon = time.Now(), false
			next.Reset(h.check)
		}
	}
}

// look queries again. It ignores temporary failures; a refusal counts as a change.
func (h *Hub) look(v *site.Visit, p Page, s *stream, say func(string, ...any) bool) bool {
	current, err := v.Sessions.Current(v.R)
	switch {
	case err != nil:
		return true
	case current == nil || current.Tenant != v.Session.Tenant:
		say(goodbye)
		return false
	}
	digest, sequence, err := p.Ask(v)
	switch {
	case refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED):
		say(goodbye)
		return false
	case site.NotFound(err):
		return s.tell(say, "none", 0)
	case err != nil:
		return true
	}
	return s.tell(say, digest, sequence)
}
