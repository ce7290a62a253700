package forwarder

import (
	"bytes"
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

// webhook posts events to an endpoint, one per request.
type webhook struct {
	url    string
	key    ed25519.PrivateKey
	kind   string
	client *http.Client
	now    func() time.Time
}

func newWebhook(c Webhook, kind string, now func() time.Time) (*webhook, error) {
	text, err := c.KeyFile.Read()
	if err != nil {
		return nil, err
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.KeyFile, err)
	}
	trusted, err := roots(c.CAFile, true)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		Proxy: http.ProxyFromEnvironment}
	return &webhook{c.URL, key, kind, &http.Client{
		Transport: transport, Timeout: slowest,
		// A signed event must reach only the configured endpoint, so redirects are not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, now}, nil
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

// deliver posts an event. Its id is the event's and the same on every attempt, so that receivers can deduplicate.
func (w *webhook) deliver(ctx context.Context, m message) error {
	body := bytes.TrimSuffix(m.row, []byte("\n"))
	at := strconv.FormatInt(w.now().Unix(), 10)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	signed := fmt.Appendf(nil, "%s.%s.%s", m.id, at, body)
	r.Header = http.Header{
		"Content-Type": {w.kind}, "User-Agent": {"lockbox"}, "Webhook-Id": {m.id}, "Webhook-Timestamp": {at},
		"Webhook-Signature": {"v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(w.key, signed))},
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	err = errors.Join(err, answer.Body.Close())
	switch {
	case answer.StatusCode/100 == 2:
		return nil // the body is of no interest
	case answer.StatusCode == http.StatusGone:
		return errGone
	}
	wait := time.Duration(0)
	if seconds, wrong := strconv.Atoi(answer.Header.Get("Retry-After")); wrong == nil && seconds > 0 {
		wait = min(time.Duration(seconds)*time.Second, longestWait)
	}
	return errors.Join(&later{wait, fmt.Errorf("the target answered %s", answer.Status)}, err)
}

func (w *webhook) close() { w.client.CloseIdleConnections() }

func (*webhook) lost() error { return nil }

func (*webhook) settled(uint64) (uint64, bool) { return 0, false }
