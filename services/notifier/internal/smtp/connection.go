package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/wneessen/go-mail/smtp"
)

// errHungUp says that a pooled connection was closed before the mail was begun, so the server has not received it.
var errHungUp = errors.New("smtp: the server has closed the connection")

// connection is one open session with the mail server, used by one mail at a time.
type connection struct {
	client  *smtp.Client
	raw     net.Conn
	timeout time.Duration
	since   time.Time
	// used: a mail has been sent over it; usable: another can be.
	used, usable bool
}

// connect opens a session up to the point where mails can be sent.
func (s *Sender) connect(ctx context.Context) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	dialer := &net.Dialer{}
	raw, err := dialer.DialContext(ctx, "tcp", s.config.address())
	if err != nil {
		return nil, err
	}
	c := &connection{raw: raw, timeout: s.config.Timeout}
	stop := c.limit(ctx)
	defer stop()
	if err := s.greet(ctx, c); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return c, nil
}

// Reach opens a session up to the point where mails can be sent, authentication included, and ends it.
func (s *Sender) Reach(ctx context.Context) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	c.quit()
	return nil
}

func (s *Sender) greet(ctx context.Context, c *connection) error {
	conn := c.raw
	if s.config.TLS == TLS {
		encrypted := tls.Client(conn, s.tls)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = encrypted
	}
	var err error
	if c.client, err = smtp.NewClient(conn, s.config.Host); err != nil {
		return err
	}
	// None of our mails needs it, and not every server that offers it can relay such mails.
	c.client.SkipSMTPUTF8(true)
	if err := c.client.Hello(localName()); err != nil {
		return err
	}
	if s.config.TLS == StartTLS {
		if offered, _ := c.client.Extension("STARTTLS"); !offered {
			return errors.New("the server does not offer STARTTLS, and mails are not sent without encryption")
		}
		if err := c.client.StartTLS(s.tls); err != nil {
			return err
		}
	}
	return s.authenticate(c)
}

// authenticate uses PLAIN, or LOGIN if the server supports only that. Both are inside TLS.
func (s *Sender) authenticate(c *connection) error {
	if s.config.Username == "" {
		return nil
	}
	password, err := s.password()
	if err != nil {
		return err
	}
	_, mechanisms := c.client.Extension("AUTH")
	known := strings.Fields(strings.ToUpper(mechanisms))
	auth := smtp.PlainAuth("", s.config.Username, password, s.config.Host, false)
	switch {
	case slices.Contains(known, "PLAIN"):
	case slices.Contains(known, "LOGIN"):
		auth = smtp.LoginAuth(s.config.Username, password, s.config.Host, false)
	default:
		return errors.New("the server offers no authentication with a password (PLAIN or LOGIN)")
	}
	if err := c.client.Auth(auth); err != nil {
		return fmt.Errorf("authentication as %s: %w", s.config.Username, err)
	}
	return nil
}

// localName returns the name for EHLO: this host's name if it is valid there.
func localName() string {
	name, err := os.Hostname()
	if err != nil || strings.ContainsFunc(name,
		func(r rune) bool { return r > unicode.MaxASCII || unicode.IsSpace(r) || unicode.IsControl(r) }) || name == "" {
		return "localhost"
	}
	return name
}

// limit aborts everything on the connection at the timeout or when ctx ends, until stop is called.
func (c *connection) limit(ctx context.Context) (stop func() bool) {
	_ = c.raw.SetDeadline(time.Now().Add(c.timeout))
	return context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) })
}

// deliver sends one mail.
func (c *connection) deliver(ctx context.Context, from, to string, mail []byte) error {
	stop := c.limit(ctx)
	defer stop()
	again := c.used
	c.used, c.usable = true, false
	if err := c.client.Mail("<" + from + ">"); err != nil {
		if reply := answer(err); again && (reply == nil || reply.Code == goodbye) {
			return errHungUp
		}
		// A server that rejects the sender is the operator's problem to fix, so the failure is not permanent for the
		// recipient.
		return c.rejected("MAIL", err, false)
	}
	if err := c.client.Rcpt("<" + to + ">"); err != nil {
		return c.rejected("RCPT", err, true)
	}
	body, err := c.client.Data()
	if err != nil {
		return c.rejected("DATA", err, true)
	}
	if _, err := body.Write(mail); err != nil {
		return fmt.Errorf("smtp: DATA: %w", err)
	}
	// From its end on the mail may have been taken. So the answer is awaited even by a service that is being stopped:
	// otherwise it would send the mail once more.
	if !stop() {
		return fmt.Errorf("smtp: DATA: %w", context.Cause(ctx))
	}
	if err := body.Close(); err != nil {
		return c.rejected("DATA", err, true)
	}
	c.usable = true
	return nil
}

// rejected turns the server's reply into an error, and resets the connection for the next mail if the server still
// responds.
func (c *connection) rejected(stage string, err error, final bool) error {
	reply := answer(err)
	if reply == nil {
		return fmt.Errorf("smtp: %s: %w", stage, err)
	}
	c.usable = reply.Code != goodbye && c.client.Reset() == nil
	if final && reply.Code >= 500 && !aboutUs(reply.Code) {
		return &PermanentError{Code: reply.Code, Answer: OneLine(reply.Msg)}
	}
	return fmt.Errorf("smtp: %s: %w", stage, err)
}

// goodbye is the code of a server that closes the connection (RFC 5321 §4.2.2).
const goodbye = 421

// aboutUs reports whether a reply concerns the connection or authentication rather than the mail (RFC 4954 §6, RFC
// 3207).
func aboutUs(code int) bool {
	return code == 530 || code == 534 || code == 535 || code == 538
}

// answer returns the server's reply; nil if there was none.
func answer(err error) *textproto.Error {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply
	}
	return nil
}

// OneLine turns a mail server's reply into one line of limited length.
func OneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "�")), " ")
	if runes := []rune(s); len(runes) > 500 {
		s = string(runes[:500]) + "…"
	}
	return s
}

func (c *connection) quit() {
	_ = c.raw.SetDeadline(time.Now().Add(time.Second))
	_ = c.client.Quit()
	c.close()
}

func (c *connection) close() { _ = c.raw.Close() }
