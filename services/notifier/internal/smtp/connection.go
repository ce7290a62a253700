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

// errHungUp says that a kept connection was gone before the mail was begun: the server knows nothing of it.
var errHungUp = errors.New("smtp: the server had hung up")

// connection is one open session with the mail server, used by one mail at a time.
type connection struct {
	client  *smtp.Client
	raw     net.Conn
	timeout time.Duration
	since   time.Time
	// used is whether a mail went over it before; usable, whether another can.
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
	// Nothing of ours needs it, and not every server that offers it can pass it on.
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

// authenticate uses PLAIN, or LOGIN where a server knows only that. Both are inside TLS.
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

// localName is what EHLO says: this machine's name if it is fit for that.
func localName() string {
	name, err := os.Hostname()
	if err != nil || strings.ContainsFunc(name,
		func(r rune) bool { return r > unicode.MaxASCII || unicode.IsSpace(r) || unicode.IsControl(r) }) || name == "" {
		return "localhost"
	}
	return name
}

// limit ends everything on the connection at the timeout, or when ctx does, until stop is called.
func (c *connection) limit(ctx context.Context) (stop func() bool) {
	_ = c.raw.SetDeadline(time.Now().Add(c.timeout))
	return context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) })
}

// deliver sends one mail.
func (c *connection) deliver(ctx context.Context, from, to string, mail []byte) error {
	defer c.limit(ctx)()
	again := c.used
	c.used, c.usable = true, false
	if err := c.client.Mail("<" + from + ">"); err != nil {
		if reply := answer(err); again && (reply == nil || reply.Code == goodbye) {
			return errHungUp
		}
		// What a server has against the sender is the operator's to put right, not the recipient's loss.
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
	if err := body.Close(); err != nil {
		return c.rejected("DATA", err, true)
	}
	c.usable = true
	return nil
}

// rejected makes an error of the server's answer, and the connection ready for the next mail if the server still talks.
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

// goodbye is what a server says before it hangs up (RFC 5321 §4.2.2).
const goodbye = 421

// aboutUs tells the answers that speak of how we came, not of this mail (RFC 4954 §6, RFC 3207).
func aboutUs(code int) bool {
	return code == 530 || code == 534 || code == 535 || code == 538
}

// answer is what the server said; nil: it said nothing.
func answer(err error) *textproto.Error {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply
	}
	return nil
}

// OneLine makes one bounded line of what a mail server said.
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
