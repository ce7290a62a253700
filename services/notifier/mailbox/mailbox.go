// Package mailbox is a mail server for development: it accepts every mail, stores each as a file, and shows them on a
// web page. It relays nothing and has no authentication, and therefore listens on localhost unless configured
// otherwise. It is not for production.
package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/sync/errgroup"
)

// Config configures where mails are received, stored and shown.
type Config struct {
	// Dir holds the mails, one file each; it is created if missing.
	Dir string
	// SMTPListen is the address for SMTP; if empty, 127.0.0.1:2525. Port 0 picks a free one.
	SMTPListen string
	// HTTPListen is the address of the web page; if empty, there is none.
	HTTPListen string
}

const maxMail = 4 << 20

// Mailbox is a development mail server that is listening. Call Run or Close.
type Mailbox struct {
	store store
	smtp  net.Listener
	http  net.Listener
	mail  *smtp.Server
	web   *http.Server
}

// New creates the directory and listens. Connections made before Run wait.
func New(c Config) (*Mailbox, error) {
	if c.Dir == "" {
		return nil, errors.New("mailbox: no directory")
	}
	if c.SMTPListen == "" {
		c.SMTPListen = "127.0.0.1:2525"
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	m := &Mailbox{store: store{dir: c.Dir}}
	var listen net.ListenConfig
	var err error
	if m.smtp, err = listen.Listen(context.Background(), "tcp", c.SMTPListen); err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	if c.HTTPListen != "" {
		if m.http, err = listen.Listen(context.Background(), "tcp", c.HTTPListen); err != nil {
			return nil, errors.Join(fmt.Errorf("mailbox: %w", err), m.smtp.Close())
		}
	}
	m.mail = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{store: &m.store},
			nil
	}))
	m.mail.Domain, m.mail.MaxMessageBytes, m.mail.MaxRecipients = "mailbox.lockbox.internal", maxMail, 100
	m.mail.ReadTimeout, m.mail.WriteTimeout = time.Minute, time.Minute
	m.mail.ErrorLog = log.New(io.Discard, "", 0) // clients that disconnect are not worth logging
	m.web = &http.Server{Handler: m.pages(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 30 * time.Second}
	return m, nil
}

// SMTPAddr returns the host and port for SMTP.
func (m *Mailbox) SMTPAddr() string { return m.smtp.Addr().String() }

// HTTPAddr returns the host and port of the web page; empty if there is none.
func (m *Mailbox) HTTPAddr() string {
	if m.http == nil {
		return ""
	}
	return m.http.Addr().String()
}

// Run serves until ctx ends. Every mail that was acknowledged is in the directory by then.
func (m *Mailbox) Run(ctx context.Context) error {
	serve := []func() error{func() error { return m.mail.Serve(m.smtp) }}
	if m.http != nil {
		serve = append(serve, func() error { return m.web.Serve(m.http) })
	}
	serving, ctx := errgroup.WithContext(ctx)
	for _, s := range serve {
		serving.Go(s)
	}
	<-ctx.Done()
	m.Close()
	_ = serving.Wait()
	// The cause is set by the first to stop: the caller, by ending ctx, or one of the servers.
	if why := context.Cause(ctx); !errors.Is(why, context.Canceled) && !errors.Is(why, context.DeadlineExceeded) {
		return fmt.Errorf("mailbox: %w", why)
	}
	return nil
}

// Close stops listening.
func (m *Mailbox) Close() {
	// Errors here mean that it was already closed.
	_ = m.mail.Close()
	_ = m.smtp.Close()
	_ = m.web.Close()
	if m.http != nil {
		_ = m.http.Close()
	}
}

// session is one SMTP connection.
type session struct {
	store *store
	from  string
	to    []string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.store.keep(time.Now(), s.from, s.to, data); err != nil {
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "the mailbox cannot keep it"}
	}
	return nil
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }
