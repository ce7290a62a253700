// Package signin is how a person at a terminal gets a token: in a browser with an authorization code and PKCE, which comes
// back to a loopback address (RFC 8252), or with a device code (RFC 8628); and where that token is kept. What it keeps is the
// ID token: it is made out to this client, says who signed in and how, and is what the services verify (R13).
package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"golang.org/x/oauth2"
)

const (
	// Patience is how long somebody may take to sign in.
	Patience = 10 * time.Minute

	callbackPath  = "/callback"
	answerTimeout = 10 * time.Second
	rule          = "R13"
)

// Client is this program as one issuer knows it. It has no secret.
type Client struct {
	Issuer string
	ID     string
	Now    func() time.Time
}

// session is what the issuer said of itself.
type session struct {
	Client
	oauth2.Config
	ids *oidc.IDTokenVerifier
}

// open asks the issuer where it does what. It is believed only about https, or this machine.
func (c Client) open(ctx context.Context) (context.Context, *session, error) {
	if !trustworthy(c.Issuer) {
		return ctx, nil, refusal.Invalid("issuer", rule, "must be an https URL, or http on this machine, without user, query or fragment")
	}
	ctx = oidc.ClientContext(ctx, &http.Client{
		Timeout:       answerTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	p, err := oidc.NewProvider(ctx, c.Issuer)
	if err != nil {
		return ctx, nil, c.unavailable(ctx, err)
	}
	s := &session{
		Client: c,
		Config: oauth2.Config{ClientID: c.ID, Endpoint: p.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "profile", "email"}},
		ids:    p.Verifier(&oidc.Config{ClientID: c.ID, Now: c.Now}),
	}
	s.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	for _, at := range []string{s.Endpoint.AuthURL, s.Endpoint.TokenURL, s.Endpoint.DeviceAuthURL} {
		if at != "" && !trustworthy(at) {
			return ctx, nil, refusal.Unauthenticated("issuer", rule, "%s sends sign-ins to an address that is neither https nor on this machine", c.Issuer)
		}
	}
	return ctx, s, nil
}

func trustworthy(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.IsLoopback())
}

func (c Client) unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return refusal.Unavailable("issuer", rule, "%s does not answer as an OpenID Connect issuer: %v", c.Issuer, err)
}

// Browser signs somebody in at the address that show gets, and returns their ID token.
func (c Client) Browser(ctx context.Context, show func(address string) error) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, errTooLate())
	defer cancel()
	ctx, s, err := c.open(ctx)
	if err != nil {
		return "", err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listening for the browser to come back: %w", err)
	}
	s.RedirectURL = "http://" + listener.Addr().String() + callbackPath
	w := &waiting{
		session: s, ctx: ctx, host: listener.Addr().String(), state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier(),
		done: make(chan outcome, 1),
	}
	server := &http.Server{Handler: w, ReadHeaderTimeout: answerTimeout}
	go func() { _ = server.Serve(listener) }() // ends with the server
	defer func() {
		// Whoever is at the browser sees the last page before the program ends.
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(bye)
		_ = server.Close()
	}()
	if err := show(s.AuthCodeURL(w.state, oidc.Nonce(w.nonce), oauth2.S256ChallengeOption(w.verifier))); err != nil {
		return "", err
	}
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case out := <-w.done:
		return out.token, out.err
	}
}

func errTooLate() error {
	return refusal.Unauthenticated("login", rule, "nobody signed in within %v", Patience)
}

// waiting is for the browser to come back, once.
type waiting struct {
	*session
	ctx                          context.Context
	host, state, nonce, verifier string
	once                         sync.Once
	done                         chan outcome
}

type outcome struct {
	token string
	err   error
}

// ServeHTTP takes the issuer's answer. What does not carry our state is not an answer to us: it is refused, and we go on
// waiting.
func (w *waiting) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.Method != http.MethodGet || r.URL.Path != callbackPath || r.Host != w.host ||
		subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(w.state)) != 1 {
		page(out, http.StatusBadRequest, "This is no answer to a sign-in that waits here.", "Look at your terminal for where to sign in.")
		return
	}
	first := false
	w.once.Do(func() {
		first = true
		token, name, err := w.finish(q)
		if err != nil {
			page(out, http.StatusForbidden, "You are not signed in.", "Your terminal says why. You can close this page.")
		} else {
			page(out, http.StatusOK, "You are signed in as "+name+".", "Go back to your terminal. You can close this page.")
		}
		w.done <- outcome{token, err}
	})
	if !first {
		page(out, http.StatusBadRequest, "This sign-in is over.", "You can close this page.")
	}
}

func (w *waiting) finish(q url.Values) (token, name string, err error) {
	if iss := q.Get("iss"); iss != "" && iss != w.Issuer { // RFC 9207 §2.4
		return "", "", refusal.Unauthenticated("login", rule, "another issuer answered than the one that was asked")
	}
	if code := q.Get("error"); code != "" {
		return "", "", w.refused(code, q.Get("error_description"))
	}
	answer, err := w.Exchange(w.ctx, q.Get("code"), oauth2.VerifierOption(w.verifier))
	if err != nil {
		return "", "", w.failed(w.ctx, err)
	}
	return w.identify(w.ctx, answer, w.nonce)
}

// identify verifies the ID token in an answer, with the nonce that was sent.
func (s *session) identify(ctx context.Context, answer *oauth2.Token, nonce string) (token, name string, err error) {
	token, ok := answer.Extra("id_token").(string)
	if !ok || token == "" {
		return "", "", refusal.Unauthenticated("login", rule, "%s gave no ID token", s.Issuer)
	}
	id, err := s.ids.Verify(ctx, token)
	if err != nil {
		return "", "", refusal.Unauthenticated("login", rule, "the ID token of %s is not good: %v", s.Issuer, err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return "", "", refusal.Unauthenticated("login", rule, "the ID token of %s is for another sign-in (`nonce`)", s.Issuer)
	}
	if len(token) > identity.MaxToken {
		return "", "", refusal.Unauthenticated("login", rule, "the ID token of %s is longer than %d bytes; the services take no longer one", s.Issuer, identity.MaxToken)
	}
	var who struct {
		Name string `json:"name"`
	}
	if err := id.Claims(&who); err != nil || who.Name == "" {
		who.Name = id.Subject
	}
	return token, who.Name, nil
}

// Code is what somebody types at Page, on any device; Complete is that page with the code in it, if the issuer has one.
type Code struct{ Text, Page, Complete string }

// Device signs somebody in with the code that show gets, and returns their ID token.
func (c Client) Device(ctx context.Context, show func(Code) error) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, errTooLate())
	defer cancel()
	ctx, s, err := c.open(ctx)
	if err != nil {
		return "", err
	}
	if s.Endpoint.DeviceAuthURL == "" {
		return "", refusal.Invalid("device", rule, "%s signs nobody in with a code", c.Issuer)
	}
	d, err := s.DeviceAuth(ctx)
	if err != nil {
		return "", s.failed(ctx, err)
	}
	if !trustworthy(d.VerificationURI) {
		return "", refusal.Unauthenticated("issuer", rule, "%s sends sign-ins to an address that is neither https nor on this machine", c.Issuer)
	}
	if err := show(Code{d.UserCode, d.VerificationURI, d.VerificationURIComplete}); err != nil {
		return "", err
	}
	answer, err := s.DeviceAccessToken(ctx, d)
	switch {
	case err != nil && ctx.Err() == nil && !d.Expiry.IsZero() && !time.Now().Before(d.Expiry): // by the clock that it waits with
		return "", s.refused("expired_token", "")
	case err != nil:
		return "", s.failed(ctx, err)
	}
	token, _, err := s.identify(ctx, answer, "")
	return token, err
}

// failed is what an error of the issuer's endpoints means to who signs in.
func (s *session) failed(ctx context.Context, err error) error {
	var answered *oauth2.RetrieveError
	switch {
	case errors.As(err, &answered) && answered.ErrorCode != "":
		return s.refused(answered.ErrorCode, answered.ErrorDescription)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return s.unavailable(ctx, err)
}

func (s *session) refused(code, description string) error {
	switch code {
	case "access_denied":
		return refusal.Unauthenticated("login", rule, "the sign-in was declined")
	case "expired_token":
		return refusal.Unauthenticated("login", rule, "nobody used the code in time")
	}
	if description != "" {
		code += ": " + description
	}
	return refusal.Unauthenticated("login", rule, "%s refuses the sign-in: %s", s.Issuer, code)
}
