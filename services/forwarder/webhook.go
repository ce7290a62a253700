package forwarder

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable"
)

const (
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"
	slowest       = 15 * time.Second
	largestAnswer = 16 << 20
)

// CreateKey writes a new signing key to a file that only its owner can read, and returns the public key with which
// receivers verify the webhooks.
func CreateKey(file string) (public string, err error) {
	p, s, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	text := privatePrefix + base64.StdEncoding.EncodeToString(s) + "\n"
	if err := durable.Create(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	return publicPrefix + base64.StdEncoding.EncodeToString(p), nil
}

func parseKey(text string) (ed25519.PrivateKey, error) {
	raw, is := strings.CutPrefix(strings.TrimSpace(text), privatePrefix)
	key, err := base64.StdEncoding.DecodeString(raw)
	switch {
	case !is || err != nil:
	case len(key) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(key), nil
	case len(key) == ed25519.PrivateKeySize && bytes.Equal(ed25519.NewKeyFromSeed(key[:ed25519.SeedSize]), key):
		return key, nil
	}
	return nil, errors.New("not a signing key for webhooks, which begins with " + privatePrefix)
}

// webhook posts events to an endpoint.
type webhook struct {
	config Webhook
	// sign returns a signature with its version, as Standard Webhooks has it; nil: nothing is signed.
	sign   func(signed []byte) string
	body   body
	client *http.Client
	now    func() time.Time
	// most is how many bytes of an answer are read.
	most int64
}

func newWebhook(c Webhook, format string, now func() time.Time) (*webhook, error) {
	w := &webhook{config: c, body: bodyOf(c, format), now: now, most: largestAnswer}
	if c.KeyFile != "" {
		text, err := c.KeyFile.Read()
		if err != nil {
			return nil, err
		}
		key, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.KeyFile, err)
		}
		w.sign = func(signed []byte) string {
			return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(key, signed))
		}
	}
	if err := w.credentials(http.Header{}); err != nil { // a file that is missing shows at once
		return nil, err
	}
	trusted, err := roots(c.CAFile, true)
	if err != nil {
		return nil, err
	}
	w.client = clientOf(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: max(1, c.InFlight), ForceAttemptHTTP2: true})
	return w, nil
}

func clientOf(through http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: through, Timeout: slowest,
		// Events and credentials must reach only the configured endpoint, so redirects are not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// credentials sets the headers that the configuration names.
func (w *webhook) credentials(h http.Header) error {
	for name, value := range w.config.Headers {
		h.Set(name, value)
	}
	for name, file := range w.config.SecretHeaders {
		value, err := file.Read()
		if err != nil {
			return err
		}
		h.Set(name, value)
	}
	a := w.config.Authorization
	switch {
	case a.TokenFile != "":
		token, err := a.TokenFile.Read()
		if err != nil {
			return err
		}
		h.Set("Authorization", cmp.Or(a.Scheme, "Bearer")+" "+token)
	case a.User != "":
		password, err := a.PasswordFile.Read()
		if err != nil {
			return err
		}
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(a.User+":"+password)))
	}
	return nil
}

// roots returns the certificates in a file, added to the system's if besides is set; nil means the system's alone.
func roots(file string, besides bool) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // nil stands for the system's pool
	}
	pool := x509.NewCertPool()
	if besides {
		if system, err := x509.SystemCertPool(); err == nil {
			pool = system
		}
	}
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}

// deliver posts events. The id of a single one is the event's and the same on every attempt, so that receivers can
// deduplicate; in a batch each event has its own.
func (w *webhook) deliver(ctx context.Context, messages []message) error {
	content := w.body.write(messages)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.config.URL, bytes.NewReader(content))
	if err != nil {
		return err
	}
	r.Header = http.Header{"User-Agent": {"lockbox"}}
	if err := w.credentials(r.Header); err != nil {
		return err
	}
	r.Header.Set("Content-Type", w.body.kind)
	if w.sign != nil {
		w.signed(r.Header, messages, content)
	}
	answer, err := w.client.Do(r)
	if err != nil {
		if u := new(url.Error); errors.As(err, &u) {
			err = u.Err // without the address, whose query may be a secret
		}
		return err
	}
	said, err := io.ReadAll(io.LimitReader(answer.Body, w.most))
	err = errors.Join(err, answer.Body.Close())
	switch answer.StatusCode {
	case http.StatusGone:
		return errGone
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return &refused{answer.StatusCode, "the target answered " + answer.Status}
	}
	if answer.StatusCode/100 == 2 {
		if w.body.check == nil {
			return nil // what it says is of no interest
		}
		return errors.Join(err, w.body.check(said, len(messages)))
	}
	return &later{asked(answer.Header.Get("Retry-After"), w.now()), fmt.Errorf("the target answered %s", answer.Status)}
}

// signed adds a Standard Webhooks signature.
func (w *webhook) signed(h http.Header, messages []message, content []byte) {
	id := messages[0].id
	if len(messages) > 1 {
		id += "_" + messages[len(messages)-1].id
	}
	at := strconv.FormatInt(w.now().Unix(), 10)
	signed := fmt.Appendf(nil, "%s.%s.%s", id, at, content)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", at)
	h.Set("Webhook-Signature", w.sign(signed))
}

// asked parses Retry-After, seconds or a date (RFC 9110 §10.2.3).
func asked(after string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(after); err == nil {
		return min(max(0, time.Duration(min(seconds, 1<<20))*time.Second), longestAsked)
	}
	if at, err := http.ParseTime(after); err == nil {
		return min(max(0, at.Sub(now)), longestAsked)
	}
	return 0
}

func (w *webhook) close() { w.client.CloseIdleConnections() }

func (*webhook) lost() error { return nil }

func (*webhook) settled(uint64) (uint64, bool) { return 0, false }
