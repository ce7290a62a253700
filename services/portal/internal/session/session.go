// Package session is who is signed in to the portal, for as long as their browser's cookie and the bus both say so.
//
// The cookie holds a random token. The bucket on the bus, which all copies of the portal share, holds under a hash of
// that token what is known of the person, encrypted under a key derived from it: neither the bus, nor its disk, nor
// whoever else may read the bucket learns an ID token from it. To end a session is to delete its key.
package session

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
)

// Session is somebody's sign-in.
type Session struct {
	// Tenant of the organisation that they signed in with; empty: the provider.
	Tenant string `json:"tenant,omitempty"`
	// Token is their ID token: what every command and query carries.
	Token string `json:"token"`
	// Subject is how their organisation's issuer knows them.
	Subject string `json:"subject"`
	// Name and Language as the token says, to greet them.
	Name     string `json:"name"`
	Language string `json:"language,omitempty"`
	// Since is when they signed in.
	Since time.Time `json:"since"`
	// Expires is when the token does, and the session with it.
	Expires time.Time `json:"expires"`
}

// Sessions keeps them for all copies of the portal.
type Sessions struct {
	scs *scs.SessionManager
	now func() time.Time
}

const sessionValue = "session" // the one value of a session in scs

// New keeps sessions in the bucket that this connection reaches. It need not be there yet. Secure: browsers reach the
// portal by https.
func New(nc *nats.Conn, secure bool, now func() time.Time) (*Sessions, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	name := "lockbox-session"
	if secure {
		name = "__Host-" + name // neither a subdomain nor plain http can set it (RFC 6265bis §4.1.3.2)
	}
	return &Sessions{now: now, scs: &scs.SessionManager{
		Store: &store{js: js, now: now}, Codec: codec{}, Lifetime: bus.SessionLifetime,
		Cookie: scs.SessionCookie{Name: name, Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode},
	}}, nil
}

// Current returns who sent this; nil: nobody who is signed in. UNAVAILABLE if that cannot be known.
func (s *Sessions) Current(r *http.Request) (*Session, error) {
	token := s.token(r)
	if token == "" {
		return nil, nil //nolint:nilnil // nobody
	}
	ctx, err := s.scs.Load(looking(r), token)
	if err != nil {
		return nil, err
	}
	if found, ok := s.scs.Get(ctx, sessionValue).(Session); ok {
		return &found, nil
	}
	return nil, nil //nolint:nilnil // nobody
}

// looking is the request's context, which says whether only a page of ours asks, by a script: nobody need sit in front
// of it, so the session is not used by that (Fetch Metadata §2.1: what a script fetches and hears is for no
// destination).
func looking(r *http.Request) context.Context {
	if r.Header.Get("Sec-Fetch-Dest") == "empty" {
		return context.WithValue(r.Context(), unattended{}, true)
	}
	return r.Context()
}

// Begin signs somebody in, in place of whoever was, under a token that nobody knew before (session fixation). It lasts
// as long as their ID token, at most bus.SessionLifetime, and ends an hour after it was used last.
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
	s.scs.WriteSessionCookie(ctx, w, token, expires)
	return nil
}

// End signs out, for every copy of the portal. UNAVAILABLE: nobody is signed out, and the browser keeps its cookie, so
// that it can be tried again.
func (s *Sessions) End(w http.ResponseWriter, r *http.Request) error {
	ctx, err := s.scs.Load(r.Context(), s.token(r))
	if err != nil {
		return err
	}
	if s.scs.Token(ctx) != "" { // else there is nothing to delete
		if err := s.scs.Destroy(ctx); err != nil {
			return err
		}
	}
	s.scs.WriteSessionCookie(ctx, w, "", time.Time{})
	return nil
}

// token is the cookie's; empty: there is none.
func (s *Sessions) token(r *http.Request) string {
	c, err := r.Cookie(s.scs.Cookie.Name)
	if err != nil {
		return ""
	}
	return c.Value
}

// codec writes a session for the store. What it cannot read is no session.
type codec struct{}

// Encode implements scs.Codec.
func (codec) Encode(_ time.Time, values map[string]any) ([]byte, error) {
	return json.Marshal(values[sessionValue])
}

// Decode implements scs.Codec.
func (codec) Decode(data []byte) (time.Time, map[string]any, error) {
	var s Session
	if json.Unmarshal(data, &s) != nil || s.Token == "" {
		return time.Time{}, map[string]any{}, nil //nolint:nilerr // no session is no error
	}
	return s.Expires, map[string]any{sessionValue: s}, nil
}
