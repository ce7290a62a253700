// Package forwarder forwards the event stream to external event collectors: to a webhook (Standard Webhooks, signed
// with ed25519) or to syslog (RFC 5424 over TLS, RFC 5425), and to the webhooks that customers added themselves (R57).
// Each target has its own cursor on disk, which advances only after delivery: every event arrives at least once and in
// order, and a slow or unreachable target does not delay the others.
package forwarder

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/accesstext"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Name is the service's name in logs and metrics. On the bus it uses the compliance team's identity, which may read
// all events.
const Name = "forwarder"

// Config is the forwarder's configuration.
type Config struct {
	// Cursors is the directory that holds each target's cursor.
	Cursors string   `yaml:"cursors"`
	Targets []Target `yaml:"targets"`
	// Webhooks are those that customers added themselves.
	Webhooks Webhooks `yaml:"webhooks"`
}

// Webhooks say how customers' own webhooks are served (R57).
type Webhooks struct {
	// KeyFile holds the private keys to which their addresses and secrets are encrypted (webhooks.key). Empty: they get
	// nothing from this forwarder.
	KeyFile config.SecretFile `yaml:"key_file"`
	// PortalURL is the portal's address, for links in messages to people; empty: no links.
	PortalURL string `yaml:"portal_url"`
	// ThisMachine permits receivers on this machine; for trying things out only.
	ThisMachine bool `yaml:"this_machine"`
}

// Target is one destination for events: a webhook or a syslog server.
type Target struct {
	// Name is what the target is called in its cursor, in logs and in metrics.
	Name string `yaml:"name"`
	// Tenant is the customer whose events are sent; empty: everybody's.
	Tenant string `yaml:"tenant"`
	// Kind is the kind of aggregate whose events are sent, such as request; empty: any. Access records have the kind
	// access.
	Kind string `yaml:"kind"`
	// Types are the types of what is sent, such as CustomerDenied or access.sign_in; empty: any.
	Types []string `yaml:"types"`
	// From is the sequence to begin with while the target has no cursor; 0: the beginning.
	From uint64 `yaml:"from"`
	// Refused says what becomes of an event that a webhook refuses for what it is (400, 413 or 422): retry (the default)
	// sends it again until it is taken, and skip leaves it out. Both raise an alarm in the log.
	Refused string `yaml:"refused"`
	// Format is cloudevents (the default), jsonl, ocsf or azure.
	Format  string  `yaml:"format"`
	Webhook Webhook `yaml:"webhook"`
	Syslog  Syslog  `yaml:"syslog"`

	format export.Format
}

// Webhook is an HTTP endpoint that receives events by POST.
type Webhook struct {
	// URL is where events are posted to: https, or http on this machine.
	URL string `yaml:"url"`
	// KeyFile holds the signing key (whsk_…) created by `lockbox audit forward key`. It may be empty if there are
	// credentials: then nothing is signed.
	KeyFile config.SecretFile `yaml:"key_file"`
	// CAFile holds CA certificates to trust in addition to the system's; empty: none.
	CAFile        string        `yaml:"ca_file"`
	Authorization Authorization `yaml:"authorization"`
	// Headers are sent with every request.
	Headers map[string]string `yaml:"headers"`
	// SecretHeaders are sent with every request, and their values are in files.
	SecretHeaders map[string]config.SecretFile `yaml:"secret_headers"`
	// InFlight is how many requests may be under way at a time; 0: 1, which keeps the order of all events. With more, the
	// order of each aggregate's events is kept.
	InFlight int `yaml:"in_flight"`
	// Body is array, lines, splunk, elastic or azure-monitor; empty: a single event or, in batches, an array.
	Body  string `yaml:"body"`
	Batch Batch  `yaml:"batch"`
}

// Authorization is the Authorization header. Its files are read for every request, so that they can be replaced.
type Authorization struct {
	// Scheme stands before the token; empty: Bearer.
	Scheme string `yaml:"scheme"`
	// TokenFile holds the token.
	TokenFile config.SecretFile `yaml:"token_file"`
	// User is for HTTP's basic authentication, instead of a token.
	User string `yaml:"user"`
	// PasswordFile holds the user's password.
	PasswordFile config.SecretFile `yaml:"password_file"`
}

// Batch limits how much one request carries.
type Batch struct {
	// Events is how many at most; 0: 1. Nothing is waited for: what has happened is sent.
	Events int `yaml:"events"`
	// Bytes is after how many bytes of events a batch is sent although there could be more; 0: 512 KiB.
	Bytes int `yaml:"bytes"`
}

func (b Batch) bytes() int {
	if b.Bytes == 0 {
		return 512 << 10
	}
	return b.Bytes
}

// Syslog is a server that receives messages over TLS.
type Syslog struct {
	// Address is host:port; the standard port is 6514 (RFC 5425).
	Address string `yaml:"address"`
	// CAFile holds the CA certificates to trust instead of the system's; empty: the system's.
	CAFile string `yaml:"ca_file"`
	// CertFile holds the client's certificate; empty: no client authentication.
	CertFile string `yaml:"cert_file"`
	// KeyFile holds the key of the client's certificate.
	KeyFile config.SecretFile `yaml:"key_file"`
	// Hostname is the HOSTNAME field of each message; empty: lockbox.
	Hostname string `yaml:"hostname"`
	// Enterprise is the private enterprise number of the structured data's name; 0: 32473, the number for documentation
	// (RFC 5612), as Lockbox has none of its own.
	Enterprise uint32 `yaml:"enterprise"`
}

// Program is the service as a process of its own.
func Program() service.Program {
	return service.NewConnected(Name, bus.Compliance, Config{Cursors: "/data"}, Run)
}

// Run forwards events until ctx ends or every target has answered 410 Gone.
func Run(ctx context.Context, rt *service.Connected, c Config) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	options := append(rt.Opening(), journal.WithLog(rt.Log), journal.WithSkipped(rt.Skipped))
	if rt.Keyring != nil {
		options = append(options, journal.WithKeyring(rt.Keyring))
	}
	j, err := journal.Open(ctx, rt.Conn, options...)
	if err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	defer j.Close()
	if err := rt.AwaitSigning(ctx, j); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	rt.Keeps(ctx, c.Cursors)
	rt.Counters.Disk("cursors", c.Cursors)
	return (&Forwarder{Config: c, Source: j, Now: rt.Now, Log: rt.Log, Metrics: rt.Counters.Registerer(),
		Health: rt.Healthy}).Run(ctx)
}

const (
	rule = "configuration"
	skip = "skip"
)

// Check rejects a configuration that cannot work, naming the field.
func (c *Config) Check() error {
	if c.Cursors == "" {
		return refusal.Invalid("cursors", rule, "is required: the directory that remembers how far each target has come")
	}
	if len(c.Targets) == 0 && c.Webhooks.KeyFile == "" {
		return refusal.Invalid("targets", rule, "names nobody")
	}
	if portal := c.Webhooks.PortalURL; portal != "" {
		if u, err := url.Parse(portal); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return refusal.Invalid("webhooks.portal_url", rule, "must be the portal's address")
		}
	}
	names := map[string]bool{}
	for i := range c.Targets {
		t := &c.Targets[i]
		if err := t.validate(); err != nil {
			return err
		}
		if names[t.Name] {
			return refusal.Invalid("targets.name", rule, "%q is there twice", t.Name)
		}
		names[t.Name] = true
	}
	return nil
}

func (t *Target) validate() error {
	if err := input.Token("targets.name", t.Name); err != nil {
		return err
	}
	if t.Format == "" {
		t.Format = "cloudevents"
	}
	var known bool
	if t.format, known = export.Named(t.Format); !known || strings.HasPrefix(t.Format, "csv") {
		return refusal.Invalid("targets.format", rule, "%s: must be jsonl, cloudevents, ocsf or azure", t.Name)
	}
	if t.Refused != "" && t.Refused != "retry" && t.Refused != skip {
		return refusal.Invalid("targets.refused", rule, "%s: must be retry or skip", t.Name)
	}
	for _, typ := range t.Types {
		if !slices.ContainsFunc(aggregate.Facts(), func(f aggregate.Fact) bool { return f.Type == typ }) &&
			accesstext.OfType(typ) == lockboxv1.AccessKind_ACCESS_KIND_UNSPECIFIED {
			return refusal.Invalid("targets.types", rule, "%s: there is no event type %q", t.Name, typ)
		}
	}
	if !t.events() && !t.access() {
		return refusal.Invalid("targets.types", rule, "%s: nothing of these types is of the kind %s", t.Name, t.Kind)
	}
	switch hook, syslog := t.Webhook.URL != "", t.Syslog.Address != ""; {
	case hook == syslog:
		return refusal.Invalid("targets", rule, "%s: has either a webhook.url or a syslog.address", t.Name)
	case syslog && (t.Syslog.CertFile == "") != (t.Syslog.KeyFile == ""):
		return refusal.Invalid("targets.syslog", rule, "%s: cert_file and key_file belong together", t.Name)
	case syslog:
		return nil
	}
	return t.Webhook.validate(t.Name)
}

func (c Webhook) validate(name string) error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" &&
		!(u.Scheme == "http" && loopback(u.Hostname())) {
		return refusal.Invalid("targets.webhook.url", rule, "%s: must be an https address without credentials", name)
	}
	a := c.Authorization
	switch {
	case (a.User == "") != (a.PasswordFile == ""), a.TokenFile != "" && a.User != "", a.Scheme != "" && a.TokenFile == "":
		return refusal.Invalid("targets.webhook.authorization", rule,
			"%s: has either a token_file, perhaps with a scheme, or a user and a password_file", name)
	case c.KeyFile == "" && a == Authorization{} && len(c.SecretHeaders) == 0:
		return refusal.Invalid("targets.webhook.key_file", rule,
			"%s: is required without authorization: lockbox audit forward key makes it", name)
	case c.InFlight < 0 || c.InFlight > 64:
		return refusal.Invalid("targets.webhook.in_flight", rule, "%s: must be 1 to 64", name)
	case c.Batch.Events < 0 || c.Batch.Events > 10_000 || c.Batch.Bytes < 0 || c.Batch.Bytes > 32<<20:
		return refusal.Invalid("targets.webhook.batch", rule, "%s: at most 10000 events or 32 MiB", name)
	}
	if _, known := bodies[c.Body]; !known {
		return refusal.Invalid("targets.webhook.body", rule,
			"%s: must be array, lines, splunk, elastic or azure-monitor", name)
	}
	for h := range c.Headers {
		if own(h) || secretly(h) {
			return refusal.Invalid("targets.webhook.headers", rule,
				"%s: %q is set by Lockbox, or is a secret: those are in authorization or secret_headers", name, h)
		}
	}
	for h := range c.SecretHeaders {
		if own(h) {
			return refusal.Invalid("targets.webhook.secret_headers", rule, "%s: %q is set by Lockbox", name, h)
		}
	}
	return nil
}

// own reports whether Lockbox itself sets a header.
func own(name string) bool {
	n := strings.ToLower(name)
	return strings.HasPrefix(n, "webhook-") || slices.Contains([]string{"", "authorization", "content-length",
		"content-type", "host", "transfer-encoding"}, n)
}

// secretly reports whether a header's name says that its value is a secret.
func secretly(name string) bool {
	n := strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "cookie", "key", "password", "secret", "signature", "token"},
		func(s string) bool { return strings.Contains(n, s) })
}

func loopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}
