package mailbox

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Message is a stored mail.
type Message struct {
	// ID is its file's name without .eml. IDs increase with time.
	ID string
	// Path of its file.
	Path string
	// Received is when the mail was received.
	Received time.Time
	// From and To are the sender and recipients in the headers, decoded.
	From string
	To   []string
	// Recipients are those of the SMTP envelope.
	Recipients []string
	Subject    string
	// MessageID with its angle brackets.
	MessageID string
	Header    mail.Header
	Text      string
	HTML      string
}

// Read returns all mails of a directory, oldest first; none if the directory does not exist.
func Read(dir string) ([]Message, error) { return newest(dir, -1) }

// IDs returns the ids of all mails of a directory, oldest first; none if the directory does not exist.
func IDs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	var ids []string
	for _, e := range entries { // sorted by name
		id, is := strings.CutSuffix(e.Name(), ".eml")
		if is && isID(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Get returns one mail of a directory.
func Get(dir, id string) (Message, error) { return readOne(dir, id, true) }

// Head returns one mail of a directory without its text, which takes a fraction of the time.
func Head(dir, id string) (Message, error) { return readOne(dir, id, false) }

// newest returns the last mails of a directory, oldest first; all of them if most is negative.
func newest(dir string, most int) ([]Message, error) {
	ids, err := IDs(dir)
	if err != nil {
		return nil, err
	}
	if most >= 0 && len(ids) > most {
		ids = ids[len(ids)-most:]
	}
	all := make([]Message, len(ids))
	for i, id := range ids {
		if all[i], err = Get(dir, id); err != nil {
			return nil, err
		}
	}
	return all, nil
}

const stamp = "20060102T150405.000000000Z"

func isID(s string) bool {
	_, err := time.Parse(stamp, s)
	return err == nil
}

// receivedFor is our own header, one line for each recipient of the envelope.
const receivedFor = "X-Lockbox-Mailbox-Recipient"

// store keeps mails in a directory.
type store struct {
	dir string
	mu  sync.Mutex
	// last is the time of the latest ID, so that IDs increase even if the clock does not.
	last time.Time
}

// keep writes a mail under a new ID, atomically. It does not sync to disk, since these mails need not survive a crash.
func (s *store) keep(now time.Time, from string, to []string, data []byte) error {
	id := s.next(now)
	var mail bytes.Buffer
	fmt.Fprintf(&mail, "Return-Path: <%s>\r\n", harmless(from))
	for _, recipient := range to {
		fmt.Fprintf(&mail, "%s: %s\r\n", receivedFor, harmless(recipient))
	}
	mail.Write(data)
	partial, err := os.CreateTemp(s.dir, ".incoming-*")
	if err != nil {
		return err
	}
	_, err = partial.Write(mail.Bytes())
	if err = errors.Join(err, partial.Close()); err == nil {
		err = os.Rename(partial.Name(), filepath.Join(s.dir, id+".eml"))
	}
	if err != nil {
		return errors.Join(err, os.Remove(partial.Name()))
	}
	return nil
}

func (s *store) next(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now = now.UTC().Round(0)
	if !now.After(s.last) {
		now = s.last.Add(time.Nanosecond)
	}
	for exists(filepath.Join(s.dir, now.Format(stamp)+".eml")) {
		now = now.Add(time.Nanosecond)
	}
	s.last = now
	return now.Format(stamp)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func harmless(address string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, address)
}

// get returns one mail; false if there is none. It does not look up strings that cannot be IDs.
func (s *store) get(id string) (Message, bool, error) {
	if !isID(id) {
		return Message{}, false, nil
	}
	m, err := Get(s.dir, id)
	if errors.Is(err, os.ErrNotExist) {
		return m, false, nil
	}
	return m, err == nil, err
}

func readOne(dir, id string, whole bool) (Message, error) {
	path := filepath.Join(dir, id+".eml")
	file, err := os.Open(path) // #nosec G304 G703 -- a file of the mailbox's own directory, and the id is a time
	if err != nil {
		return Message{}, fmt.Errorf("mailbox: %w", err)
	}
	defer file.Close()
	received, err := time.Parse(stamp, id)
	if err != nil {
		return Message{}, fmt.Errorf("mailbox: %s: %w", path, err)
	}
	m := Message{ID: id, Path: path, Received: received}
	parsed, err := mail.ReadMessage(file)
	if err != nil { // not a valid mail: show it as it is
		data, err := os.ReadFile(path) // #nosec G304 G703 -- the same file
		m.Text = strings.ToValidUTF8(string(data), "�")
		return m, err
	}
	m.Header, m.Recipients = parsed.Header, parsed.Header[receivedFor]
	m.From, m.Subject, m.MessageID = decoded(parsed.Header.Get("From")), decoded(parsed.Header.Get("Subject")),
		parsed.Header.Get("Message-ID")
	if to, err := parsed.Header.AddressList("To"); err == nil {
		for _, a := range to {
			m.To = append(m.To, a.Address)
		}
	}
	if !whole {
		return m, nil
	}
	m.body(parsed.Header.Get("Content-Type"), parsed.Header.Get("Content-Transfer-Encoding"), parsed.Body, 0)
	return m, nil
}

func decoded(header string) string {
	s, err := new(mime.WordDecoder).DecodeHeader(header)
	if err != nil {
		return header
	}
	return s
}

// deepest is the maximum depth of nested parts.
const deepest = 4

// body collects the first text part and the first HTML part. It skips unreadable parts, as they are only for display.
func (m *Message) body(contentType, encoding string, r io.Reader, depth int) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = "text/plain"
	}
	if strings.HasPrefix(media, "multipart/") {
		parts := multipart.NewReader(r, parameters["boundary"])
		for depth < deepest {
			p, err := parts.NextRawPart()
			if err != nil {
				return
			}
			m.body(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p, depth+1)
		}
		return
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	}
	content, _ := io.ReadAll(r)
	text := strings.ReplaceAll(strings.ToValidUTF8(string(content), "�"), "\r\n", "\n")
	switch {
	case media == "text/plain" && m.Text == "":
		m.Text = text
	case media == "text/html" && m.HTML == "":
		m.HTML = text
	}
}
