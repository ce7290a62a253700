// Package session manages the sessions of people who are signed in to the portal. A session is valid as long as the
// browser has its cookie and the bus has its record.
//
// The cookie holds a random token. The bucket on the bus, which all replicas of the portal share, holds the session
// under a hash of that token, encrypted with a key derived from it: neither the bus, nor its disk, nor anybody else who
// can read the bucket obtains an ID token from it. Deleting the key ends the session.
package session

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
)

// Session is one person's session.
type Session struct {
	// Tenant of the organisation that the person signed in with; empty for the provider.
	Tenant string `json:"tenant,omitempty"`
	// Issuer that they signed in at; empty in sessions that began before it was kept.
	Issuer string `json:"issuer,omitempty"`
	// Token is the ID token, which every command and query carries.
	Token string `json:"token"`
	// Subject is the person's identifier at their organisation's issuer.
	Subject string `json:"subject"`
	// Name and Language are claims of the token, for display only.
	Name     string `json:"name"`
	Language string `json:"language,omitempty"`
	// Since is the time of the sign-in.
	Since time.Time `json:"since"`
	// Expires is when the token, and therefore the session, expires.
	Expires time.Time `json:"expires"`
}

// Sessions holds the sessions of all replicas of the portal.
type Sessions struct {
	scs   *scs.SessionManager
	store *store
	now   func() time.Time
}

const sessionValue = "session" // the key of a session's only value in scs

// New returns a store in the bucket that this connection reaches. The bucket need not exist yet. secure says that
// browsers reach the portal by https.
func New(nc *nats.Conn, secure bool, now func() time.Time) (*Sessions, error) {
	js, err := bus.JetStream(nc)
	if err != nil {
		return nil, err
	}
	return on(&store{js: js, now: now}, secure), nil
}

// InMemory returns a store in this process alone: everybody is signed out when it ends.
func InMemory(secure bool, now func() time.Time) *Sessions {
	return on(&store{now: now, kv: newMemory(now)}, secure)
}

func on(kept *store, secure bool) *Sessions {
	name := "lockbox-session"
	if secure {
		name = "__Host-" + name // subdomains and plain http cannot set it (RFC 6265bis §4.1.3.2)
	}
	return &Sessions{now: kept.now, store: kept, scs: &scs.SessionManager{
		Store: kept, Codec: codec{}, Lifetime: bus.SessionLifetime,
		Cookie: scs.SessionCookie{Name: name, Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode},
	}}
}

// Current returns the session of a request; nil if nobody is signed in, and UNAVAILABLE if the bus cannot be reached.
func (s *Sessions) Current(r *http.Request) (*Session, error) {
	token := s.token(r)
	if token == "" {
		return nil, nil //nolint:nilnil // not signed in
	}
	ctx, err := s.scs.Load(looking(r), token)
	if err != nil {
		return nil, err
	}
	if found, ok := s.scs.Get(ctx, sessionValue).(Session); ok {
		return &found, nil
	}
	return nil, nil //nolint:nilnil // not signed in
}

// looking returns the request's context, marked if the request was made by one of our scripts: nobody need be sitting
// in front of the page, so such a request does not count as use of the session (Fetch Metadata §2.1: fetch and
// EventSource have an empty destination).
func looking(r *http.Request) context.Context {
	if r.Header.Get("Sec-Fetch-Dest") == "empty" {
		return context.WithValue(r.Context(), unattended{}, true)
	}
	return r.Context()
}

// Begin signs a person in, replacing any previous session, with a fresh token (against session fixation). The session
// lasts as long as the ID token, at most bus.SessionLifetime, and ends after an hour without use.
func (s *Sessions) Begin(w http.ResponseWriter, r *http.Request, who Session) error {
	ctx, err := s.scs.Load(r.Context(), s.token(r))
	if err != nil {
		return err
	}
	if err := s.scs.RenewToken(ctx); err != nil {
		return err
	}
	who.Since = s.now()
	if latest := who.Since.Add(bus.SessionLifetime); latest.Before(who.Expires) {
		who.Expires = latest
	}
	s.scs.Put(ctx, sessionValue, who)
	s.scs.SetDeadline(ctx, who.Expires)
	token, expires, err := s.scs.Commit(ctx)
	if err != nil {
		return err
	}
	if before := s.token(r); before != "" {
		_ = s.handOn(ctx, before, token, who) // otherwise what was typed is lost, and nothing else
	}
	s.scs.WriteSessionCookie(ctx, w, token, cookieEnds(expires))
	return nil
}

// End signs out on all replicas of the portal. If it returns UNAVAILABLE, the session still exists and the browser
// keeps its cookie, so that the person can try again.
func (s *Sessions) End(w http.ResponseWriter, r *http.Request) error {
	ctx, err := s.scs.Load(r.Context(), s.token(r))
	if err != nil {
		return err
	}
	if s.scs.Token(ctx) != "" { // otherwise there is nothing to delete
		if err := s.scs.Destroy(ctx); err != nil {
			return err
		}
	}
	s.scs.WriteSessionCookie(ctx, w, "", time.Time{})
	return nil
}

// token returns the cookie's token; empty if there is none.
func (s *Sessions) token(r *http.Request) string {
	c, err := r.Cookie(s.scs.Cookie.Name)
	if err != nil {
		return ""
	}
	return c.Value
}

// codec encodes sessions for the store. It decodes malformed data as no session.
type codec struct{}

// Encode implements scs.Codec.
func (codec) Encode(_ time.Time, values map[string]any) ([]byte, error) {
	return json.Marshal(values[sessionValue])
}

// Decode implements scs.Codec.
func (codec) Decode(data []byte) (time.Time, map[string]any, error) {
	var s Session
	if json.Unmarshal(data, &s) != nil || s.Token == "" {
		return time.Time{}, map[string]any{}, nil //nolint:nilerr // malformed data means no session
	}
	return s.Expires, map[string]any{sessionValue: s}, nil
}
