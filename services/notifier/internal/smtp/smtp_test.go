package smtp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/notifier/internal/smtp"
	"github.com/openlockbox/lockbox/services/notifier/internal/smtptest"
)

const mail = "From: a@example.org\r\nTo: b@example.org\r\nMessage-ID: <1@example.org>\r\n\r\n.A line with a dot.\r\nEnd\r\n"

// noCertificate makes a server that offers no encryption.
var noCertificate = new(tls.Certificate)

type bench struct {
	*testing.T
	authority *smtptest.Authority
	server    *smtptest.Server
	config    smtp.Config
}

// set starts a server and gives a configuration that trusts it.
func set(t *testing.T, o smtptest.Options) *bench {
	t.Helper()
	dir := t.TempDir()
	authority, err := smtptest.NewAuthority(dir, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, authority: authority}
	switch o.Certificate {
	case nil:
		o.Certificate = authority.Certificate
	case noCertificate:
		o.Certificate = nil
	}
	if b.server, err = smtptest.Start(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.server.Close)
	b.config = smtp.Config{Host: "127.0.0.1", Port: b.server.Port, From: "lockbox@example.org", CAFile: authority.CAFile,
		Timeout: 5 * time.Second}
	if o.Username != "" {
		b.config.Username, b.config.PasswordFile = o.Username, config.SecretFile(filepath.Join(dir, "password"))
		b.password(o.Password)
	}
	return b
}

func (b *bench) password(p string) {
	b.Helper()
	if err := os.WriteFile(string(b.config.PasswordFile), []byte(p+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) sender() *smtp.Sender {
	b.Helper()
	s, err := smtp.New(b.config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

func send(s *smtp.Sender) error {
	return s.Send(context.Background(), "lockbox@example.org", "otto@meadowbank.example", []byte(mail))
}

func permanent(err error) bool {
	var p *smtp.PermanentError
	return errors.As(err, &p)
}

func TestAMailArrivesAsItIs(t *testing.T) {
	b := set(t, smtptest.Options{Username: "lockbox", Password: "correct horse"})
	if err := send(b.sender()); err != nil {
		t.Fatal(err)
	}
	taken := b.server.Taken()
	if len(taken) != 1 || string(taken[0].Data) != mail || taken[0].From != "lockbox@example.org" ||
		taken[0].To != "otto@meadowbank.example" {
		t.Errorf("the server has %+v", taken)
	}
}

func TestTLSFromTheFirstByte(t *testing.T) {
	b := set(t, smtptest.Options{Implicit: true, Username: "lockbox", Password: "p"})
	b.config.TLS = smtp.TLS
	s := b.sender()
	if at := s.CertificateExpiry(); !at.IsZero() {
		t.Errorf("before it has seen a certificate, one ends at %v", at)
	}
	if err := send(s); err != nil {
		t.Fatal(err)
	}
	shown, err := x509.ParseCertificate(b.authority.Certificate.Certificate[0])
	if err != nil || !s.CertificateExpiry().Equal(shown.NotAfter) {
		t.Errorf("the certificate ends at %v, not at %v: %v", s.CertificateExpiry(), shown.NotAfter, err)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	b := set(t, smtptest.Options{})
	s := b.sender()
	for range 5 {
		if err := send(s); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.server.Sessions(); n > 2 { // one before STARTTLS, one after
		t.Errorf("five mails took %d sessions", n)
	}
	b.server.Close()
	if err := send(s); err == nil || permanent(err) {
		t.Errorf("without a server: %v", err)
	}
}

func TestAServerThatHungUpMeanwhileIsGreetedAnew(t *testing.T) {
	b := set(t, smtptest.Options{})
	s := b.sender()
	if err := send(s); err != nil {
		t.Fatal(err)
	}
	b.server.HangUp()
	if err := send(s); err != nil {
		t.Errorf("the second mail: %v", err)
	}
	if n := len(b.server.Taken()); n != 2 {
		t.Errorf("the server took %d mails", n)
	}
}

func TestNothingGoesOutUnencrypted(t *testing.T) {
	t.Run("a server that offers no STARTTLS", func(t *testing.T) {
		none := set(t, smtptest.Options{Certificate: noCertificate})
		if err := send(none.sender()); err == nil || permanent(err) || !strings.Contains(err.Error(), "STARTTLS") {
			t.Errorf("%v", err)
		}
		if len(none.server.Taken()) > 0 {
			t.Error("the mail went out in plain text")
		}
	})
	t.Run("a server that nobody vouches for", func(t *testing.T) {
		b := set(t, smtptest.Options{})
		other, err := smtptest.NewAuthority(t.TempDir(), "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		b.config.CAFile = other.CAFile
		var unknown x509.UnknownAuthorityError
		if err := send(b.sender()); !errors.As(err, &unknown) || permanent(err) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a certificate for another name", func(t *testing.T) {
		other, err := smtptest.NewAuthority(t.TempDir(), "mail.elsewhere.example")
		if err != nil {
			t.Fatal(err)
		}
		b := set(t, smtptest.Options{Certificate: other.Certificate})
		b.config.CAFile = other.CAFile
		var name x509.HostnameError
		if err := send(b.sender()); !errors.As(err, &name) || permanent(err) {
			t.Errorf("%v", err)
		}
	})
}

func TestAWrongPasswordIsTheOperatorsAndNotTheRecipientsLoss(t *testing.T) {
	b := set(t, smtptest.Options{Username: "lockbox", Password: "right"})
	b.password("wrong")
	s := b.sender()
	if err := send(s); err == nil || permanent(err) {
		t.Errorf("with a wrong password: %v", err)
	}
	b.password("right")
	if err := send(s); err != nil {
		t.Errorf("after the password file was put right: %v", err)
	}
}

func TestWhatIsFinalAndWhatMayPass(t *testing.T) {
	for name, row := range map[string]struct {
		options   smtptest.Options
		permanent bool
	}{
		"no such user":              {smtptest.Options{Answer: always(550, "no such user")}, true},
		"mailbox full":              {smtptest.Options{Answer: always(452, "mailbox full")}, false},
		"greylisted":                {smtptest.Options{Answer: always(450, "come back later")}, false},
		"the content is refused":    {smtptest.Options{AnswerData: always(554, "no, thank you")}, true},
		"the content waits":         {smtptest.Options{AnswerData: always(451, "the scanner is down")}, false},
		"authentication is missing": {smtptest.Options{Answer: always(530, "authentication required")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := set(t, row.options)
			s := b.sender()
			for range 2 { // the second time over the same connection
				if err := send(s); err == nil || permanent(err) != row.permanent {
					t.Errorf("permanent is %v: %v", permanent(err), err)
				}
			}
		})
	}
}

func always(code int, message string) func(string, int) error {
	return func(string, int) error { return smtptest.Refuse(code, message) }
}

func TestAServerThatSaysNothingCostsTheTimeoutAndHoldsUpNobodyElse(t *testing.T) {
	release := make(chan struct{})
	b := set(t, smtptest.Options{Answer: func(to string, _ int) error {
		if strings.HasPrefix(to, "slow") {
			<-release
		}
		return nil
	}})
	defer close(release)
	b.config.Timeout, b.config.Connections = 2*time.Second, 2
	s := b.sender()
	var slow error
	var wait sync.WaitGroup
	wait.Add(1)
	go func() {
		defer wait.Done()
		slow = s.Send(context.Background(), "a@example.org", "slow@example.org", []byte(mail))
	}()
	for range 5 {
		if err := send(s); err != nil {
			t.Errorf("beside a stuck mail: %v", err)
		}
	}
	wait.Wait()
	var timeout net.Error
	if !errors.As(slow, &timeout) || !timeout.Timeout() || permanent(slow) {
		t.Errorf("the stuck mail: %v", slow)
	}
}

func TestSendingEndsWithItsContext(t *testing.T) {
	stuck := make(chan struct{})
	b := set(t, smtptest.Options{Answer: func(string, int) error { <-stuck; return nil }})
	defer close(stuck)
	b.config.Timeout = time.Minute
	ctx, cancel := context.WithCancel(context.Background())
	s := b.sender()
	done := make(chan error)
	go func() { done <- s.Send(ctx, "a@example.org", "b@example.org", []byte(mail)) }()
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("it says that the mail went out")
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}

// A service that stops while the server answers learns whether the mail was taken: otherwise it would go out twice.
func TestTheAnswerToAWholeMailIsAwaited(t *testing.T) {
	received, answer := make(chan struct{}), make(chan struct{})
	b := set(t, smtptest.Options{AnswerData: func(string, int) error { close(received); <-answer; return nil }})
	b.config.Timeout = time.Minute
	ctx, cancel := context.WithCancel(context.Background())
	s := b.sender()
	done := make(chan error, 1)
	go func() { done <- s.Send(ctx, "a@example.org", "b@example.org", []byte(mail)) }()
	<-received
	cancel()
	close(answer)
	if err := <-done; err != nil {
		t.Errorf("the mail was taken, and it says %v", err)
	}
}

func TestAConfigurationThatIsNotSafeIsRefused(t *testing.T) {
	good := smtp.Config{Host: "mail.example", From: "lockbox@example.org"}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*smtp.Config){
		"smtp.host":          func(c *smtp.Config) { c.Host = "" },
		"smtp.from":          func(c *smtp.Config) { c.From = "a@b.example\r\nBcc: c@d.example" },
		"smtp.tls":           func(c *smtp.Config) { c.TLS = "none" },
		"smtp.port":          func(c *smtp.Config) { c.Port = 70000 },
		"smtp.password_file": func(c *smtp.Config) { c.Username = "lockbox" },
		"smtp.username": func(c *smtp.Config) {
			c.Host, c.TLS, c.Username, c.PasswordFile = "127.0.0.1", "none", "u",
				"f"
		},
		"smtp.timeout": func(c *smtp.Config) { c.Timeout = -1 },
	} {
		c := good
		change(&c)
		r, ok := refusal.As(c.Check())
		if !ok || r.GetField() != name {
			t.Errorf("%s: %v", name, c.Check())
		}
	}
	for _, change := range []func(*smtp.Config){
		func(c *smtp.Config) { c.Host, c.TLS = "127.0.0.1", "none" },
		func(c *smtp.Config) { c.Host, c.TLS = "localhost", "none" },
		func(c *smtp.Config) { c.Host, c.TLS, c.Development = "mailbox", "none", true },
	} {
		c := good
		change(&c)
		if err := c.Check(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	missing := good
	missing.Username, missing.PasswordFile = "lockbox", config.SecretFile(filepath.Join(t.TempDir(), "none"))
	if _, err := smtp.New(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a password file that is not there: %v", err)
	}
}
