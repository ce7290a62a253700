package notifier

import (
	"bytes"
	"context"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	pkgconfig "github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/services/notifier/internal/smtptest"
)

// postfix is Debian's mail server, private to a test: see scripts/smtp-server.sh.
type postfix struct {
	*testing.T
	dir       string
	port      int
	authority *smtptest.Authority
	log       bytes.Buffer
}

const postfixUser, postfixPassword = "lockbox", "correct horse battery staple"

func startPostfix(t *testing.T) *postfix {
	t.Helper()
	if _, err := exec.LookPath("postfix"); err != nil && !isFile("/usr/sbin/postfix") {
		t.Fatal("this test needs Debian's Postfix; install it, as root, with: scripts/install-test-deps.sh")
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root, because Postfix starts only as root")
	}
	// Not below t.TempDir, which other users cannot enter, and Postfix is one.
	dir, err := os.MkdirTemp("", "lockbox-postfix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &postfix{T: t, dir: dir}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if p.authority, err = smtptest.NewAuthority(dir, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if p.port, err = smtptest.FreePort(); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("../../scripts/smtp-server.sh")
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(script, dir, strconv.Itoa(p.port), postfixUser, postfixPassword)
	server.Stdout, server.Stderr = &p.log, &p.log
	server.WaitDelay = 20 * time.Second
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Wait() // it ends with an error whenever it is stopped
	}()
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("Postfix does not stop")
			_ = server.Process.Kill()
		}
		if t.Failed() {
			t.Log(p.log.String())
		}
	})
	p.await(ended)
	return p
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// await waits until the server takes connections.
func (p *postfix) await(ended <-chan struct{}) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-ended:
			p.Fatalf("Postfix ended:\n%s", p.log.String())
		case <-ctx.Done():
			p.Fatalf("Postfix does not listen: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// delivered waits for that many mails in the maildir and returns them by Message-ID.
func (p *postfix) delivered(n int) map[string]*mail.Message {
	p.Helper()
	deadline := time.Now().Add(patience)
	for {
		files, err := filepath.Glob(filepath.Join(p.dir, "mail/all/new/*"))
		if err != nil {
			p.Fatal(err)
		}
		if len(files) >= n {
			return p.read(files)
		}
		if time.Now().After(deadline) {
			p.Fatalf("%d of %d mails were delivered", len(files), n)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *postfix) read(files []string) map[string]*mail.Message {
	p.Helper()
	all := map[string]*mail.Message{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			p.Fatal(err)
		}
		m, err := mail.ReadMessage(bytes.NewReader(content))
		if err != nil {
			p.Fatal(err)
		}
		id := m.Header.Get("Message-ID")
		if all[id] != nil {
			p.Errorf("%s was delivered twice", id)
		}
		all[id] = m
	}
	return all
}

func TestMailsGoThroughARealMailServer(t *testing.T) {
	t.Parallel()
	p := startPostfix(t)
	w := newWorld(t)
	c := config(p.port)
	c.SMTP.TLS, c.SMTP.CAFile, c.SMTP.Username = "starttls", p.authority.CAFile, postfixUser+"@lockbox.test"
	c.SMTP.PasswordFile = pkgconfig.SecretFile(filepath.Join(t.TempDir(), "password"))
	password := func(s string) {
		if err := os.WriteFile(string(c.SMTP.PasswordFile), []byte(s+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	// With a wrong password nothing goes out, and nothing is given up for it.
	password("wrong")
	stop := w.run(c)
	w.tenant()
	id, _ := w.asked(erin)
	p.refusedLogin()
	password(postfixPassword)
	w.denied(id)
	reports := w.reports(setUp + 4 + 4)
	stop()

	mails := p.delivered(len(reports))
	for messageID, report := range reports {
		m := mails[messageID]
		if m == nil || report.GetNotificationSent() == nil {
			t.Errorf("%v was not delivered", report)
			continue
		}
		if got := m.Header.Get("Delivered-To") + m.Header.Get("X-Original-To"); got == "" {
			t.Errorf("no trace of the delivery in %v", m.Header)
		}
		if to, err := m.Header.AddressList("To"); err != nil || to[0].Address != notification(report).GetRecipient() {
			t.Errorf("%s is addressed to %v (%v)", messageID, to, err)
		}
	}
	if len(mails) != len(reports) {
		t.Errorf("%d mails, %d reports", len(mails), len(reports))
	}
}

// refusedLogin waits until the server has logged that a password was wrong.
func (p *postfix) refusedLogin() {
	p.Helper()
	deadline := time.Now().Add(patience)
	for {
		log, err := os.ReadFile(filepath.Join(p.dir, "mail.log"))
		if err != nil {
			p.Fatal(err)
		}
		if bytes.Contains(log, []byte("authentication failed")) {
			return
		}
		if time.Now().After(deadline) {
			p.Fatal("nobody came with a wrong password")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
