package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
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
	// AuthenticatedAt is when they signed in; zero if the token does not say.
	AuthenticatedAt time.Time
}

// ReadClaims reads a token's claims without verifying its signature. What has another form than it should is left out:
// only the services say whether a token is good.
func ReadClaims(token string) (Claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}, errNotJWT()
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Claims{}, errNotJWT()
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(payload, &all); err != nil || all == nil {
		return Claims{}, errNotJWT()
	}
	c := Claims{
		Issuer: text(all["iss"]), Subject: text(all["sub"]), Audience: texts(all["aud"]), Name: text(all["name"]),
		Email: text(all["email"]), Employer: text(all["employer"]), Language: text(all["locale"]),
		Groups: texts(all["groups"]), MultiFactor: slices.Contains(texts(all["amr"]), "mfa"),
		IsolatedIdentity: string(all["isolated_identity"]) == "true",
	}
	c.ExpiresAt, c.AuthenticatedAt = instant(all["exp"]), instant(all["auth_time"])
	return c, nil
}

// instant returns a claim that is a time, as a number or as a text that is one; otherwise zero.
func instant(raw json.RawMessage) time.Time {
	var n json.Number
	if json.Unmarshal(raw, &n) != nil {
		return time.Time{}
	}
	seconds, err := n.Float64()
	if err != nil {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// text returns a claim that is a text, or a list of one; otherwise nothing.
func text(raw json.RawMessage) string {
	if list := texts(raw); len(list) == 1 {
		return list[0]
	}
	return ""
}

// texts returns the texts of a claim: issuers write one of them as such, or as a list (RFC 7519 §4.1.3).
func texts(raw json.RawMessage) (list []string) {
	var one string
	if json.Unmarshal(raw, &one) == nil && len(raw) > 0 && raw[0] == '"' {
		return []string{one}
	}
	var members []any
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	for _, m := range members {
		if s, ok := m.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

func errNotJWT() error {
	return refusal.Unauthenticated("token", "R13", "what should be a token is not a JSON Web Token")
}
