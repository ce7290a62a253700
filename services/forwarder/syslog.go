package forwarder

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Facility "log audit" (13), severity "notice" (5), see RFC 5424 §6.2.1.
	priority = 13*8 + 5
	// documentation is the enterprise number reserved for documentation (RFC 5612).
	documentation = 32473
	// settle is how long a connection must outlive a message for the message to count as received. Syslog has no
	// acknowledgements, so whatever was written within this time before a connection is lost is sent again.
	settle = 2 * time.Second
)

// syslog writes messages to a server over TLS, each prefixed with its length (octet counting, RFC 5425 §4.3).
type syslog struct {
	mu     sync.Mutex
	config Syslog
	tls    *tls.Config
	now    func() time.Time

	conn   net.Conn
	broken *atomic.Bool // the server has closed conn
	// sent holds the messages that may not have arrived yet.
	sent []sent
}

type sent struct {
	sequence uint64
	at       time.Time
}

func newSyslog(c Syslog, now func() time.Time) (*syslog, error) {
	trusted, err := roots(c.CAFile, false)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, fmt.Errorf("syslog.address: %w", err)
	}
	s := &syslog{config: c, tls: &tls.Config{RootCAs: trusted, ServerName: host, MinVersion: tls.VersionTLS12}, now: now}
	if c.CertFile != "" {
		cert, err := os.ReadFile(c.CertFile)
		if err != nil {
			return nil, err
		}
		key, err := c.KeyFile.Read()
		if err != nil {
			return nil, err
		}
		own, err := tls.X509KeyPair(cert, []byte(key))
		if err != nil {
			return nil, fmt.Errorf("syslog.cert_file: %w", err)
		}
		s.tls.Certificates = []tls.Certificate{own}
	}
	return s, nil
}

func (s *syslog) deliver(ctx context.Context, messages []message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range messages {
		if err := s.send(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (s *syslog) send(ctx context.Context, m message) error {
	if err := s.ended(); err != nil {
		return err
	}
	if s.conn == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	line := s.line(m)
	if err := s.conn.SetWriteDeadline(time.Now().Add(slowest)); err != nil {
		return err
	}
	if _, err := s.conn.Write(fmt.Appendf(nil, "%d %s", len(line), line)); err != nil {
		s.drop()
		return fmt.Errorf("%w by %s: %w", errLost, s.config.Address, err)
	}
	s.sent = append(s.sent, sent{m.sequence, s.now()})
	return nil
}

func (s *syslog) lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended()
}

func (s *syslog) ended() error {
	if s.conn == nil || !s.broken.Load() {
		return nil
	}
	s.drop()
	return fmt.Errorf("%w by %s", errLost, s.config.Address)
}

func (s *syslog) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, slowest)
	defer cancel()
	conn, err := (&tls.Dialer{Config: s.tls}).DialContext(ctx, "tcp", s.config.Address)
	if err != nil {
		return err
	}
	broken := new(atomic.Bool)
	go func() { // a server sends no data: Read returns only when the connection has ended
		_, _ = conn.Read(make([]byte, 1))
		broken.Store(true)
	}()
	s.conn, s.broken = conn, broken
	return nil
}

// settled returns the last message that counts as received.
func (s *syslog) settled(uint64) (last uint64, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.broken.Load() {
		return 0, true
	}
	n := 0
	for n < len(s.sent) && s.now().Sub(s.sent[n].at) >= settle {
		last = s.sent[n].sequence
		n++
	}
	s.sent = s.sent[n:]
	return last, true
}

func (s *syslog) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
}

func (s *syslog) drop() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
	s.conn, s.sent = nil, nil
}

// line formats an RFC 5424 message: the event's type is the MSGID, its ids and its type are structured data, and the
// event itself is the JSON body. No byte order mark stands before it: JSON allows none (RFC 8259 §8.1), and RFC 5424
// demands none of a MSG whose encoding is not declared.
func (s *syslog) line(m message) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<%d>1 %s %s lockbox - %s [lockbox@%d sequence=\"%d\" tenant=\"%s\" id=\"%s\" type=\"%s\"", priority,
		m.time.UTC().Format("2006-01-02T15:04:05.000000Z"), cmp.Or(s.config.Hostname, "lockbox"), m.typ,
		cmp.Or(s.config.Enterprise, documentation), m.sequence, parameter(m.tenant), parameter(m.id), parameter(m.typ))
	if m.request != "" {
		fmt.Fprintf(&b, " request=\"%s\"", parameter(m.request))
	}
	fmt.Fprintf(&b, "] %s", asIs(m))
	return b.Bytes()
}

var parameterEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

func parameter(s string) string { return parameterEscapes.Replace(s) }
