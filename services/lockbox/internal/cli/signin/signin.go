// Package signin gets and stores the token of a user at a terminal: in a browser, with an authorization code and PKCE
// and a redirect to a loopback address (RFC 8252), or with a device code (RFC 8628). It stores the ID token, whose
// audience is this client and which states who signed in and how: that is what the services verify (R13).
package signin

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
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
	// Patience is the time limit of a sign-in.
	Patience = 10 * time.Minute

	callbackPath  = "/callback"
	answerTimeout = 10 * time.Second
	rule          = "R13"
)

// Client is this program as a public client of one issuer.
type Client struct {
	Issuer string
	ID     string
	// RootCAs are the certificate authorities accepted for the issuer's server; nil: the system's.
	RootCAs *x509.CertPool
	Now     func() time.Time
	// MaxAge is the maximum time since the user last authenticated at the issuer, in whole seconds; an older session
	// must authenticate again. It applies to Browser only; nil: the issuer decides.
	MaxAge *time.Duration
	// Port is where the browser comes back to on this machine, for issuers that know exact addresses only; 0: any free
	// one.
	Port uint16
}

// open fetches the issuer's endpoints.
func (c Client) open(ctx context.Context) (*oidcclient.Issuer, error) {
	return oidcclient.Client{
		Issuer: c.Issuer, ID: c.ID, Offline: true, RootCAs: c.RootCAs, Now: c.Now,
	}.Discover(ctx)
}

// Browser signs the user in at the URL passed to show, and returns who they are, with the ID token.
func (c Client) Browser(ctx context.Context, show func(address string) error) (oidcclient.Person, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, errTooLate())
	defer cancel()
	issuer, err := c.open(ctx)
	if err != nil {
		return oidcclient.Person{}, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(int(c.Port)))
	if err != nil {
		return oidcclient.Person{}, fmt.Errorf("listening for the redirect: %w", err)
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
		// Lets the browser load the last page before the program ends.
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(bye)
		_ = server.Close()
	}()
	if err := show(address); err != nil {
		return oidcclient.Person{}, err
	}
	select {
	case <-ctx.Done():
		return oidcclient.Person{}, context.Cause(ctx)
	case out := <-w.done:
		return out.who, out.err
	}
}

// demand returns the parameters that ask the issuer to enforce MaxAge (OpenID Connect Core 1.0 §3.1.2.1). They also
// oblige it to include `auth_time` in the token, which is otherwise optional (§2).
func (c Client) demand() url.Values {
	if c.MaxAge == nil {
		return nil
	}
	seconds := int64(*c.MaxAge / time.Second)
	q := url.Values{"max_age": {strconv.FormatInt(seconds, 10)}}
	if seconds == 0 {
		q.Set("prompt", "login") // same meaning, for issuers that ignore max_age=0
	}
	return q
}

// recent checks that the issuer enforced MaxAge (§3.1.3.7): otherwise the services would refuse the token later.
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

// waiting waits for the browser's redirect, once.
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
	who oidcclient.Person
	err error
}

// ServeHTTP handles the redirect from the issuer. A request without our state is not a response to us: it is rejected,
// and we keep waiting.
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
		w.done <- outcome{who, err}
	})
	if !first {
		page(out, http.StatusBadRequest, "This sign-in is over.", "You can close this page.")
	}
}

// Code is the user code to enter at Page on any device; Complete is the URL that already includes it, if the issuer
// offers one.
type Code struct{ Text, Page, Complete string }

// Device signs the user in with the code passed to show, and returns who they are, with the ID token.
func (c Client) Device(ctx context.Context, show func(Code) error) (oidcclient.Person, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, errTooLate())
	defer cancel()
	issuer, err := c.open(ctx)
	if err != nil {
		return oidcclient.Person{}, err
	}
	oauth := issuer.OAuth()
	if oauth.Endpoint.DeviceAuthURL == "" {
		return oidcclient.Person{}, refusal.Invalid("device", rule, "%s signs nobody in with a code", c.Issuer)
	}
	d, err := oauth.DeviceAuth(issuer.Context(ctx))
	if err != nil {
		return oidcclient.Person{}, issuer.Failed(ctx, err)
	}
	if !oidcclient.Trustworthy(d.VerificationURI) {
		return oidcclient.Person{}, issuer.Misleads()
	}
	if err := show(Code{d.UserCode, d.VerificationURI, d.VerificationURIComplete}); err != nil {
		return oidcclient.Person{}, err
	}
	answer, err := oauth.DeviceAccessToken(issuer.Context(ctx), d)
	switch {
	// The library waits by the wall clock, so this check uses it too.
	case err != nil && ctx.Err() == nil && !d.Expiry.IsZero() && !time.Now().Before(d.Expiry):
		return oidcclient.Person{}, issuer.Failed(ctx, &oauth2.RetrieveError{ErrorCode: "expired_token"})
	case err != nil:
		return oidcclient.Person{}, issuer.Failed(ctx, err)
	}
	return issuer.Identify(ctx, answer, "")
}

// Renew gets another token for a sign-in that is kept, without a browser.
func (c Client) Renew(ctx context.Context, was oidcclient.Person) (oidcclient.Person, error) {
	issuer, err := c.open(ctx)
	if err != nil {
		return oidcclient.Person{}, err
	}
	return issuer.Renew(ctx, was)
}
