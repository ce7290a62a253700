package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
)

// TokenSource returns the caller's token. It is called for every message, so that a renewed token is used at once.
type TokenSource interface {
	Token(ctx context.Context) (string, error)
}

// TokenFile is a file that holds a token, for example one that a sign-in helper renews.
type TokenFile string

// Token reads the file. It returns UNAUTHENTICATED if the file is missing, empty or too large.
func (f TokenFile) Token(context.Context) (string, error) {
	file, err := os.Open(string(f))
	if err != nil {
		return "", refusal.Unauthenticated("token", "R13", "the token file cannot be read: %v", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, identity.MaxToken+1))
	if err != nil {
		return "", refusal.Unauthenticated("token", "R13", "the token file cannot be read: %v", err)
	}
	token := bytes.TrimSpace(data)
	if len(token) == 0 || len(data) > identity.MaxToken {
		return "", refusal.Unauthenticated("token", "R13", "%s is not a token", string(f))
	}
	return string(token), nil
}

// Persona gets tokens for one of the demo's people.
type Persona struct {
	// IssuerURL is the demo issuer's URL: http on a loopback address, because the secret must not leave the machine.
	IssuerURL  string
	SecretFile string
	// Dir is the demo issuer's directory; if set, tokens are made from it without the running issuer.
	Dir  string
	Name string
}

// Token returns a token from the demo issuer; UNAUTHENTICATED if it has no such persona.
func (p Persona) Token(ctx context.Context) (string, error) {
	if p.Dir != "" {
		issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: p.Dir})
		if err != nil {
			return "", err
		}
		token, err := issuer.Token(p.Name, time.Now())
		if unknown, is := refusal.As(err); is {
			return "", refusal.Unauthenticated("token", "R13", "there is no token for %q: %s", p.Name, unknown.GetMessage())
		}
		return token, err
	}
	if !onThisMachine(p.IssuerURL) {
		return "", refusal.Unauthenticated("token", "R13", "the demo issuer must be on this machine, not at %s", p.IssuerURL)
	}
	secret, err := os.ReadFile(p.SecretFile)
	if err != nil {
		return "", refusal.Unauthenticated("token", "R13", "the demo's secret cannot be read: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	at := p.IssuerURL + "/token?" + url.Values{"persona": {p.Name}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(secret)))
	direct := http.Client{
		Transport:     &http.Transport{}, // no proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer direct.CloseIdleConnections()
	response, err := direct.Do(request)
	if err != nil {
		return "", fmt.Errorf("%w: the demo issuer: %w", ErrNotRunning, err)
	}
	defer response.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
		Error string `json:"error"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&answer)
	switch {
	case response.StatusCode == http.StatusOK && err == nil && answer.Token != "":
		return answer.Token, nil
	case answer.Error != "":
		return "", refusal.Unauthenticated("token", "R13", "the demo issuer gives no token for %q: %s", p.Name, answer.Error)
	}
	return "", refusal.Unauthenticated("token", "R13", "the demo issuer answers %s", response.Status)
}

func onThisMachine(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "http" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// Claims are the claims of a token that has not been verified. They are only for display and for choosing which
// queries to send.
type Claims struct {
	Issuer           string
	Subject          string
	Audience         []string
	Name             string
	Email            string
	Employer         string
	Language         string
	Groups           []string
	MultiFactor      bool
	IsolatedIdentity bool
	ExpiresAt        time.Time
}

// ReadClaims reads a token's claims without verifying its signature.
func ReadClaims(token string) (Claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}, errNotJWT()
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Claims{}, errNotJWT()
	}
	var c struct {
		Issuer   string      `json:"iss"`
		Subject  string      `json:"sub"`
		Audience audience    `json:"aud"`
		Expires  json.Number `json:"exp"`
		Name     string      `json:"name"`
		Email    string      `json:"email"`
		Employer string      `json:"employer"`
		Locale   string      `json:"locale"`
		Groups   []string    `json:"groups"`
		Methods  []string    `json:"amr"`
		Isolated bool        `json:"isolated_identity"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return Claims{}, errNotJWT()
	}
	claims := Claims{
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience, Name: c.Name, Email: c.Email, Employer: c.Employer,
		Language: c.Locale, Groups: c.Groups, MultiFactor: slices.Contains(c.Methods, "mfa"), IsolatedIdentity: c.Isolated,
	}
	if seconds, err := c.Expires.Float64(); err == nil {
		claims.ExpiresAt = time.Unix(int64(seconds), 0)
	}
	return claims, nil
}

func errNotJWT() error {
	return refusal.Unauthenticated("token", "R13", "what should be a token is not a JSON Web Token")
}

// audience is a string or a list of strings (RFC 7519 §4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*a = audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return errors.New("the audience is neither a string nor a list")
	}
	*a = many
	return nil
}
