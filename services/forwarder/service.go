// Package forwarder forwards the event stream to external event collectors: to a webhook (Standard Webhooks, signed
// with ed25519) or to syslog (RFC 5424 over TLS, RFC 5425). Each target has its own cursor on disk, which advances
// only after delivery: every event arrives at least once and in order, and a slow or unreachable target does not delay
// the others.
package forwarder

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/service"
)

// Name is the service's name in logs and metrics. On the bus it uses the compliance team's identity, which may read
// all events.
const Name = "forwarder"

// Config is the forwarder's configuration.
type Config struct {
	// Cursors is the directory that holds each target's cursor.
	Cursors string   `yaml:"cursors"`
	Targets []Target `yaml:"targets"`
}

// Target is one destination for events: a webhook or a syslog server.
type Target struct {
	Name string `yaml:"name"`
	// Tenant and Kind select events by tenant and by aggregate kind; empty: all.
	Tenant string `yaml:"tenant"`
	Kind   string `yaml:"kind"`
	// Format is cloudevents (the default), jsonl, ocsf or azure.
	Format  string  `yaml:"format"`
	Webhook Webhook `yaml:"webhook"`
	Syslog  Syslog  `yaml:"syslog"`

	format export.Format
}

// Webhook is an HTTP endpoint that receives one event per POST.
type Webhook struct {
	URL string `yaml:"url"`
	// KeyFile holds the signing key (whsk_…) created by `lockbox audit forward key`.
	KeyFile config.SecretFile `yaml:"key_file"`
	// CAFile holds CA certificates to trust in addition to the system's; empty: none.
	CAFile string `yaml:"ca_file"`
}

// Syslog is a server that receives messages over TLS.
type Syslog struct {
	// Address is host:port; the standard port is 6514 (RFC 5425).
	Address string `yaml:"address"`
	// CAFile holds the CA certificates to trust instead of the system's; empty: the system's.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are the client certificate and its key; empty: no client authentication.
	CertFile string            `yaml:"cert_file"`
	KeyFile  config.SecretFile `yaml:"key_file"`
	// Hostname is the HOSTNAME field of each message; empty: lockbox.
	Hostname string `yaml:"hostname"`
}

// Run forwards events until ctx ends or every target has answered 410 Gone.
func Run(ctx context.Context, rt *service.Connected, c Config) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	j, err := journal.Open(ctx, rt.Conn, journal.WithLog(rt.Log))
	if err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	defer j.Close()
	return (&Forwarder{Config: c, Source: j, Now: rt.Now, Log: rt.Log}).Run(ctx)
}

const rule = "configuration"

// Validate rejects a configuration that cannot work, naming the field.
func (c *Config) Validate() error {
	if c.Cursors == "" {
		return refusal.Invalid("cursors", rule, "is required: the directory that remembers how far each target has come")
	}
	if len(c.Targets) == 0 {
		return refusal.Invalid("targets", rule, "names nobody")
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
	if t.format, known = export.Named(t.Format); !known || t.Format == "csv" {
		return refusal.Invalid("targets.format", rule, "%s: must be jsonl, cloudevents, ocsf or azure", t.Name)
	}
	switch hook, syslog := t.Webhook.URL != "", t.Syslog.Address != ""; {
	case hook == syslog:
		return refusal.Invalid("targets", rule, "%s: has either a webhook.url or a syslog.address", t.Name)
	case syslog && (t.Syslog.CertFile == "") != (t.Syslog.KeyFile == ""):
		return refusal.Invalid("targets.syslog", rule, "%s: cert_file and key_file belong together", t.Name)
	case syslog:
		return nil
	}
	u, err := url.Parse(t.Webhook.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" &&
		!(u.Scheme == "http" && loopback(u.Hostname())) {
		return refusal.Invalid("targets.webhook.url", rule, "%s: must be an https address", t.Name)
	}
	if t.Webhook.KeyFile == "" {
		return refusal.Invalid("targets.webhook.key_file", rule, "%s: is required: lockbox audit forward key makes it",
			t.Name)
	}
	return nil
}

func loopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}
