// Package visitor signs in to a portal as one of the demo's personas, as a browser would. It serves the benchmark and
// the tests that read many of the portal's pages.
package visitor

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const (
	timeout  = 30 * time.Second
	maxPage  = 4 << 20
	maxSteps = 6
)

var (
	proof   = regexp.MustCompile(`name="proof" value="([^"]+)"`)
	refresh = regexp.MustCompile(`http-equiv="refresh" content="0; url=([^"]+)"`)
)

// SignIn opens a page of the portal that requires a sign-in, chooses the persona at the issuer, and returns a client
// that holds the session.
func SignIn(ctx context.Context, page, persona string) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	c := &http.Client{Jar: jar, Timeout: timeout}
	at, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, err
	}
	chosen := false
	for range maxSteps {
		answer, err := Read(c, at)
		if err != nil {
			return nil, err
		}
		here, body := answer.At, answer.Body
		switch {
		case proof.MatchString(body) && !chosen:
			chosen = true
			at, err = choose(ctx, here, proof.FindStringSubmatch(body)[1], persona)
		case refresh.MatchString(body):
			var to *url.URL
			if to, err = here.Parse(html.UnescapeString(refresh.FindStringSubmatch(body)[1])); err == nil {
				at, err = http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
			}
		case chosen:
			return c, nil
		default:
			err = fmt.Errorf("%s does not ask for a sign-in: status %d", here, answer.Status)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errors.New("too many redirects during sign-in")
}

func choose(ctx context.Context, here *url.URL, proof, persona string) (*http.Request, error) {
	form := url.Values{"proof": {html.UnescapeString(proof)}, "persona": {persona}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, here.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", here.Scheme+"://"+here.Host)
	return r, nil
}

// Answer is a response whose body has been read.
type Answer struct {
	Status int
	Header http.Header
	// At is the final URL, after any redirects.
	At   *url.URL
	Body string
}

// Read sends a request and reads the whole response.
func Read(c *http.Client, r *http.Request) (Answer, error) {
	answer, err := c.Do(r) // #nosec G704 -- the caller names the portal
	if err != nil {
		return Answer{}, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxPage))
	return Answer{answer.StatusCode, answer.Header, answer.Request.URL, string(body)},
		errors.Join(err, answer.Body.Close())
}
