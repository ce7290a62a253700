// Package signin is how a person at a terminal gets a token: in a browser with an authorization code and PKCE, which
// comes back to a loopback address (RFC 8252), or with a device code (RFC 8628); and where that token is kept. What it
// keeps is the ID token: it is made out to this client, says who signed in and how, and is what the services verify
// (R13).
package signin

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
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
	// MaxAge is how long ago somebody may have proved to the issuer who they are for Browser to do without their proving
	// it again, in whole seconds; nil: that is for the issuer to say.
	MaxAge *time.Duration
}

// open asks the issuer where it does what.
func (c Client) open(ctx context.Context) (*oidcclient.Issuer, error) {
	return oidcclient.Client{Issuer: c.Issuer, ID: c.ID, Now: c.Now}.Discover(ctx)
}

// Browser signs somebody in at the address that show gets, and returns their ID token.
func (c Client) Browser(ctx context.Context, show func(address string) error) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, errTooLate())
	defer cancel()
	issuer, err := c.open(ctx)
	if err != nil {
		return "", err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listening for the browser to come back: %w", err)
	}
	redirect := "http://" + listener.Addr().String() + callbackPath
	begun := c.Now()
	address, attempt := issuer.Begin(redirect, c.demand())
	w := &waiting{
		issuer: issuer, ctx: ctx, host: listener.Addr().String(), redirect: redirect, attempt: attempt,
		done:   make(chan outcome, 1),
		recent: func(who oidcclient.Person) error { return c.recent(who, begun) },
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
	if err := show(address); err != nil {
		return "", err
	}
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case out := <-w.done:
		return out.token, out.err
	}
}

// demand is what an issuer is asked so that it keeps to MaxAge (OpenID Connect Core 1.0 §3.1.2.1). Then it has to say
// in the token when somebody signed in, too, which it otherwise need not (§2, `auth_time`).
func (c Client) demand() url.Values {
	if c.MaxAge == nil {
		return nil
	}
	seconds := int64(*c.MaxAge / time.Second)
	q := url.Values{"max_age": {strconv.FormatInt(seconds, 10)}}
	if seconds == 0 {
		q.Set("prompt", "login") // the same, for issuers that take 0 for no demand
	}
	return q
}

// recent holds an issuer to what it was asked (§3.1.3.7): a token that is not kept to it would only be refused later.
func (c Client) recent(who oidcclient.Person, begun time.Time) error {
	switch {
	case c.MaxAge == nil:
		return nil
	case who.Authenticated.IsZero():
		return refusal.Unauthenticated("login", "R25", "%s does not say when you signed in (`auth_time`)", c.Issuer)
	case who.Authenticated.Before(begun.Add(-*c.MaxAge - oidcclient.MaxSkew)):
		return refusal.Unauthenticated("login", "R25", "%s let a sign-in of %s do, though one of the last %v was asked for",
			c.Issuer, who.Authenticated.UTC().Format(time.RFC3339), *c.MaxAge)
	}
	return nil
}

func errTooLate() error {
	return refusal.Unauthenticated("login", rule, "nobody signed in within %v", Patience)
}

// waiting is for the browser to come back, once.
type waiting struct {
	issuer         *oidcclient.Issuer
	ctx            context.Context
	host, redirect string
	attempt        oidcclient.Attempt
	recent         func(oidcclient.Person) error
	once           sync.Once
	done           chan outcome
}

type outcome struct {
	token string
	err   error
}

// ServeHTTP takes the issuer's answer. What does not carry our state is not an answer to us: it is refused, and we go
// on waiting.
func (w *waiting) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.Method != http.MethodGet || r.URL.Path != callbackPath || r.Host != w.host ||
		subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(w.attempt.State)) != 1 {
		page(out, http.StatusBadRequest, "This is no answer to a sign-in that waits here.",
			"Look at your terminal for where to sign in.")
		return
	}
	first := false
	w.once.Do(func() {
		first = true
		who, err := w.issuer.Finish(w.ctx, w.redirect, w.attempt, q)
		if err == nil {
			err = w.recent(who)
		}
		if err != nil {
			page(out, http.StatusForbidden, "You are not signed in.", "Your terminal says why. You can close this page.")
		} else {
			page(out, http.StatusOK, "You are signed in as "+who.Name+".", "Go back to your terminal. You can close this page.")
		}
		w.done <- outcome{who.Token, err}
	})
	if !first {
		page(out, http.StatusBadRequest, "This sign-in is over.", "You can close this page.")
	}
}

// Code is what somebody types at Page, on any device; Complete is that page with the code in it, if the issuer has one.
type Code struct{ Text, Page, Complete string }

// Device signs somebody in with the code that show gets, and returns their ID token.
func (c Client) Device(ctx context.Context, show func(Code) error) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, errTooLate())
	defer cancel()
	issuer, err := c.open(ctx)
	if err != nil {
		return "", err
	}
	oauth := issuer.OAuth()
	if oauth.Endpoint.DeviceAuthURL == "" {
		return "", refusal.Invalid("device", rule, "%s signs nobody in with a code", c.Issuer)
	}
	d, err := oauth.DeviceAuth(issuer.Context(ctx))
	if err != nil {
		return "", issuer.Failed(ctx, err)
	}
	if !oidcclient.Trustworthy(d.VerificationURI) {
		return "", issuer.Misleads()
	}
	if err := show(Code{d.UserCode, d.VerificationURI, d.VerificationURIComplete}); err != nil {
		return "", err
	}
	answer, err := oauth.DeviceAccessToken(issuer.Context(ctx), d)
	switch {
	// by the clock that it waits with
	case err != nil && ctx.Err() == nil && !d.Expiry.IsZero() && !time.Now().Before(d.Expiry):
		return "", issuer.Failed(ctx, &oauth2.RetrieveError{ErrorCode: "expired_token"})
	case err != nil:
		return "", issuer.Failed(ctx, err)
	}
	who, err := issuer.Identify(ctx, answer, "")
	return who.Token, err
}
