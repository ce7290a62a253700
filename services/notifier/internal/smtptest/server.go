// Package smtptest is a mail server for tests that can refuse, fail and hang, and records what it accepted. No program
// links it.
package smtptest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Options configure the server's behaviour.
type Options struct {
	// Certificate for STARTTLS, or from the first byte with Implicit; nil for no encryption.
	Certificate *tls.Certificate
	Implicit    bool
	// Username and Password make authentication mandatory.
	Username, Password string
	// Answer returns the reply to the n-th (from 1) attempt to send to a recipient; nil accepts. It is called at RCPT,
	// or with AnswerData after the mail was received.
	Answer     func(to string, n int) error
	AnswerData func(to string, n int) error
}

// Taken is a mail that the server accepted.
type Taken struct {
	From, To string
	Data     []byte
}

// Server is a running mail server.
type Server struct {
	Port int

	options     Options
	server      *smtp.Server
	mu          sync.Mutex
	taken       []Taken
	attempts    map[string]int
	sessions    int
	connections []net.Conn
	changed     chan struct{}
}

// Start runs a server on a free port of the loopback interface.
func Start(o Options) (*Server, error) {
	listener, port, err := listen()
	if err != nil {
		return nil, err
	}
	s := &Server{
		Port: port, options: o, attempts: map[string]int{}, changed: make(chan struct{}),
	}
	s.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		s.sessions++
		s.connections = append(s.connections, c.Conn())
		s.mu.Unlock()
		return &session{server: s, known: o.Username == ""}, nil
	}))
	s.server.Domain = "mail.example"
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	if o.Certificate != nil {
		config := &tls.Config{Certificates: []tls.Certificate{*o.Certificate}, MinVersion: tls.VersionTLS12}
		if o.Implicit {
			listener = tls.NewListener(listener, config)
		} else {
			s.server.TLSConfig = config
		}
	}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

// Close stops the server and closes all connections at once.
func (s *Server) Close() { _ = s.server.Close() }

// HangUp closes all connections and keeps listening.
func (s *Server) HangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.connections {
		_ = c.Close()
	}
	s.connections = nil
}

// Taken lists the accepted mails in order.
func (s *Server) Taken() []Taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Taken(nil), s.taken...)
}

// Sessions returns the number of connections so far.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// Changed returns a channel that is closed when the next mail is accepted or refused.
func (s *Server) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Server) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Refuse returns an error that the server sends as a reply with that SMTP code.
func Refuse(code int, message string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: message}
}

type session struct {
	server   *Server
	known    bool
	from, to string
}

func (c *session) AuthMechanisms() []string {
	if c.server.options.Username == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (c *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != c.server.options.Username || password != c.server.options.Password {
			return smtp.ErrAuthFailed
		}
		c.known = true
		return nil
	}), nil
}

func (c *session) Mail(from string, _ *smtp.MailOptions) error {
	if !c.known {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	c.from = from
	return nil
}

func (c *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.to = to
	c.server.mu.Lock()
	c.server.attempts[to]++
	n := c.server.attempts[to]
	c.server.mu.Unlock()
	if c.server.options.Answer == nil {
		return nil
	}
	err := c.server.options.Answer(to, n)
	if err != nil {
		c.server.mu.Lock()
		c.server.change()
		c.server.mu.Unlock()
	}
	return err
}

func (c *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	defer c.server.change()
	if answer := c.server.options.AnswerData; answer != nil {
		if err := answer(c.to, c.server.attempts[c.to]); err != nil {
			return err
		}
	}
	c.server.taken = append(c.server.taken, Taken{c.from, c.to, data})
	return nil
}

func (c *session) Reset()        { c.from, c.to = "", "" }
func (c *session) Logout() error { return nil }

// Authority is a certificate authority for tests, with a server certificate that it signed.
type Authority struct {
	// CAFile, CertFile and KeyFile are PEM files in the directory given to NewAuthority.
	CAFile, CertFile, KeyFile string
	Certificate               *tls.Certificate
}

// NewAuthority creates an authority in a directory, with a certificate for the given names and addresses, as ca.crt,
// tls.crt and tls.key.
func NewAuthority(dir string, names ...string) (*Authority, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test authority"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(24 * time.Hour),
		IsCA:     true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "mail"}, NotBefore: ca.NotBefore,
		NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	a := &Authority{CAFile: filepath.Join(dir, "ca.crt"), CertFile: filepath.Join(dir, "tls.crt"),
		KeyFile: filepath.Join(dir, "tls.key")}
	if err := errors.Join(
		write(a.CAFile, "CERTIFICATE", caDER), write(a.CertFile, "CERTIFICATE", leafDER),
		write(a.KeyFile, "EC PRIVATE KEY", keyDER),
	); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
	a.Certificate = &pair
	return a, err
}

func write(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// FreePort returns a port of the loopback interface that is currently free.
func FreePort() (int, error) {
	l, port, err := listen()
	if err != nil {
		return 0, err
	}
	return port, l.Close()
}

func listen() (net.Listener, int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, 0, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, 0, errors.Join(err, l.Close())
	}
	n, err := strconv.Atoi(port)
	return l, n, err
}
