// Package smtp hands mails to the provider's mail server: encrypted unless it is on localhost, over pooled connections.
// For each failure it says whether a retry can help. It adds nothing to a mail.
package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// Connection security.
const (
	// StartTLS connects in plain text and requires encryption before anything else is sent (RFC 3207). The default.
	StartTLS = "starttls"
	// TLS is encrypted from the first byte (RFC 8314, usually port 465).
	TLS = "tls"
	// None is for a mail server on localhost.
	None = "none"
)

// Config configures the connection to the mail server.
type Config struct {
	// Host is the mail server. Required.
	Host string `yaml:"host"`
	// Port is its port; 0 means 465 with TLS and 587 otherwise.
	Port int `yaml:"port"`
	// TLS is starttls (the default), tls or none.
	TLS string `yaml:"tls"`
	// Development allows none to other hosts, such as the development mailbox in another container. Mails then cross
	// the network unencrypted.
	Development bool `yaml:"development"`
	// Username is for SMTP AUTH; empty for none.
	Username string `yaml:"username"`
	// PasswordFile holds the password.
	PasswordFile config.SecretFile `yaml:"password_file"`
	// From is the sender's address.
	From string `yaml:"from"`
	// CAFile holds the CA certificates (PEM) that are trusted instead of the system's.
	CAFile string `yaml:"ca_file"`
	// Timeout is for connecting, and for each mail. 0 means 15 s.
	Timeout time.Duration `yaml:"timeout"`
	// Connections is the maximum number of open connections. 0 means 8.
	Connections int `yaml:"connections"`
}

// Check rejects an unusable or unsafe configuration; the error names the field.
func (c Config) Check() error {
	const rule = "configuration"
	if c.Host == "" {
		return refusal.Invalid("smtp.host", rule, "is required")
	}
	switch c.TLS {
	case "", StartTLS, TLS:
	case None:
		if !c.Development && !loopback(c.Host) {
			return refusal.Invalid("smtp.tls", rule,
				"none is only for a mail server on this machine; %s must offer starttls or tls", c.Host)
		}
	default:
		return refusal.Invalid("smtp.tls", rule, "must be starttls, tls or none")
	}
	switch {
	case c.Port < 0 || c.Port > 65535:
		return refusal.Invalid("smtp.port", rule, "is not a port")
	case (c.Username == "") != (c.PasswordFile == ""):
		return refusal.Invalid("smtp.password_file", rule, "username and password_file go together")
	case c.Username != "" && c.TLS == None:
		return refusal.Invalid("smtp.username", rule, "a password is never sent without encryption")
	case c.Timeout < 0 || c.Connections < 0:
		return refusal.Invalid("smtp.timeout", rule, "timeout and connections are not negative")
	}
	return input.Email("smtp.from", c.From)
}

func (c Config) address() string {
	port := c.Port
	switch {
	case port != 0:
	case c.TLS == TLS:
		port = 465
	default:
		port = 587
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(port))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// PermanentError says that the mail server permanently refuses this mail for this recipient (RFC 5321 §4.2.1, 5yz). Any
// other error of Send may be transient: the network, a full mailbox, but also a wrong password, which an operator will
// fix.
type PermanentError struct {
	Code int
	// Answer is the server's reply in one line.
	Answer string
}

func (e *PermanentError) Error() string {
	return fmt.Sprintf("the mail server refuses it: %d %s", e.Code, e.Answer)
}

// Sender sends mails over a pool of connections. It is safe for concurrent use.
type Sender struct {
	config Config
	tls    *tls.Config
	// slots limits the connections in use; idle holds those that are not.
	slots chan struct{}
	idle  chan *connection
	// expiry is when the certificate ends that the server last showed; nil: none was seen.
	expiry atomic.Pointer[time.Time]
}

// CertificateExpiry returns when the certificate ends that the server last showed; zero if none was seen.
func (s *Sender) CertificateExpiry() time.Time {
	if at := s.expiry.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// idleTime is how long an idle connection is kept. Servers close theirs after minutes.
const idleTime = 20 * time.Second

// New returns a sender. It reads the CA file, and connects when there is something to send.
func New(c Config) (*Sender, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.TLS == "" {
		c.TLS = StartTLS
	}
	if c.Timeout == 0 {
		c.Timeout = 15 * time.Second
	}
	if c.Connections == 0 {
		c.Connections = 8
	}
	s := &Sender{
		config: c, tls: &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12},
		slots: make(chan struct{}, c.Connections), idle: make(chan *connection, c.Connections),
	}
	s.tls.VerifyConnection = func(shown tls.ConnectionState) error { // after everything else was verified
		s.expiry.Store(&shown.PeerCertificates[0].NotAfter)
		return nil
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("smtp: ca_file: %w", err)
		}
		s.tls.RootCAs = x509.NewCertPool()
		if !s.tls.RootCAs.AppendCertsFromPEM(pem) {
			return nil, refusal.Invalid("smtp.ca_file", "configuration", "holds no certificate")
		}
	}
	if _, err := s.password(); err != nil {
		return nil, err
	}
	return s, nil
}

// password is read for each connection, so that it can be changed while the service runs.
func (s *Sender) password() (string, error) {
	if s.config.PasswordFile == "" {
		return "", nil
	}
	return s.config.PasswordFile.Read()
}

// Send hands one mail, headers and body, to the server. On nil, the server has accepted it; on a *PermanentError, it
// never will. After any other error, retry with the same Message-ID, as the server may have accepted it without our
// receiving the reply.
func (s *Sender) Send(ctx context.Context, from, to string, mail []byte) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if c := s.waiting(); c != nil {
		err := s.deliver(ctx, c, from, to, mail)
		if !errors.Is(err, errHungUp) {
			return err
		}
	}
	c, err := s.connect(ctx)
	if err != nil {
		return fmt.Errorf("smtp: %s: %w", s.config.address(), err)
	}
	return s.deliver(ctx, c, from, to, mail)
}

// waiting returns an idle connection that may still be open; nil if there is none.
func (s *Sender) waiting() *connection {
	for {
		select {
		case c := <-s.idle:
			if time.Since(c.since) < idleTime {
				return c
			}
			c.quit()
		default:
			return nil
		}
	}
}

func (s *Sender) deliver(ctx context.Context, c *connection, from, to string, mail []byte) error {
	err := c.deliver(ctx, from, to, mail)
	if !c.usable {
		c.close()
		return err
	}
	c.since = time.Now()
	select {
	case s.idle <- c:
	default:
		c.quit()
	}
	return err
}

// Close sends QUIT on all idle connections.
func (s *Sender) Close() {
	for {
		select {
		case c := <-s.idle:
			c.quit()
		default:
			return
		}
	}
}
