// Package mail composes and renders notifications: localised, as text and HTML in one message, with headers that do not
// change when it is sent again. It sends nothing. It treats everything that people wrote as untrusted: none of it
// reaches a header or markup unescaped.
package mail

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	htmltemplate "html/template"
	"io"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/message"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

//go:embed layout/*.tmpl
var layoutFiles embed.FS

// Renderer turns notifications into messages.
type Renderer struct {
	from     string
	domain   string
	messages map[string]*message.Catalogue
	textual  *template.Template
	markedUp *htmltemplate.Template
}

// messageFiles are what mails say, a file for each language.
//
//go:embed messages/*.yaml
var messageFiles embed.FS

func loadMessages() (map[string]*message.Catalogue, error) {
	return message.Load(messageFiles, "messages/*.yaml", tenant.Languages)
}

// Message is a mail as it is passed to the mail server.
type Message struct {
	// ID is the Message-ID with its angle brackets.
	ID       string
	From, To string
	// Bytes are headers and body with CRLF line endings.
	Bytes []byte
}

// New returns a renderer. From is the sender's address; domain is the host name in Message-IDs. Both are refused as
// INVALID if they would be ambiguous in a header.
func New(from, domain string) (*Renderer, error) {
	if err := input.Email("smtp.from", from); err != nil {
		return nil, err
	}
	if err := input.Email("message_id_domain", "id@"+domain); err != nil {
		return nil, err
	}
	r := &Renderer{from: from, domain: domain}
	var err error
	if r.messages, err = loadMessages(); err != nil {
		return nil, err
	}
	r.textual, err = template.New("letter.txt.tmpl").Funcs(template.FuncMap{"wrap": wrap}).ParseFS(layoutFiles,
		"layout/letter.txt.tmpl")
	if err != nil {
		return nil, fmt.Errorf("mail: layout: %w", err)
	}
	r.markedUp, err = htmltemplate.New("letter.html.tmpl").Funcs(htmltemplate.FuncMap{"parts": parts,
		"outlook": outlook, "colours": colours}).ParseFS(layoutFiles, "layout/letter.html.tmpl")
	if err != nil {
		return nil, fmt.Errorf("mail: layout: %w", err)
	}
	return r, nil
}

// MessageID returns the Message-ID of a notification, which is the same when it is repeated (I7).
func (r *Renderer) MessageID(notificationID string) string {
	return "<" + notificationID + "@" + r.domain + ">"
}

// Render renders the message, dated now. A recipient that is not a single plain address is refused as INVALID.
func (r *Renderer) Render(n plan.Notification, now time.Time) (Message, error) {
	if err := input.Email("recipient", n.Recipient); err != nil {
		return Message{}, err
	}
	said, known := r.messages[n.Language]
	if !known {
		return Message{}, fmt.Errorf("mail: unsupported language %q", n.Language)
	}
	l, err := compose(said, n)
	if err != nil {
		return Message{}, err
	}
	plain, html, err := r.bodies(l)
	if err != nil {
		return Message{}, err
	}
	contentType, content, err := body(plain, html)
	if err != nil {
		return Message{}, fmt.Errorf("mail: %w", err)
	}
	out := Message{ID: r.MessageID(n.ID), From: r.from, To: n.Recipient}
	var h headers
	h.words("Date", now.UTC().Format(time.RFC1123Z))
	h.address("From", l.Sender, r.from)
	h.address("To", name(n.Name), n.Recipient)
	h.text("Subject", l.Subject)
	h.words("Message-ID", out.ID)
	r.thread(&h, n)
	h.words("Content-Language", n.Language)
	// RFC 3834: keeps out-of-office replies from answering.
	h.words("Auto-Submitted", "auto-generated")
	h.words("X-Auto-Response-Suppress", "All")
	h.words("List-ID", r.list(n)) // for filters (RFC 2919)
	if n.Emergency {
		h.words("Importance", "high")
		h.words("X-Priority", "1")
	}
	h.words("MIME-Version", "1.0")
	h.words("Content-Type", strings.Fields(contentType)...)
	out.Bytes = slices.Concat([]byte(h.String()+"\r\n"), content)
	return out, nil
}

// list names what a mail belongs to, so that people can file all mails of Lockbox, or those about one customer.
func (r *Renderer) list(n plan.Notification) string {
	if of := n.Data.TenantID; input.Token("tenant", of) == nil {
		return "<" + strings.ToLower(of) + "." + r.domain + ">"
	}
	return "<" + r.domain + ">"
}

// boundary separates the parts. It is derived from their content, so that user-supplied text cannot contain it.
func boundary(plain, html string) string {
	sum := sha256.New()
	for _, part := range []string{plain, "\x00", html} {
		_, _ = io.WriteString(sum, part) // a hash takes everything
	}
	return "lockbox-" + hex.EncodeToString(sum.Sum(nil)[:20])
}

// thread names a common ancestor for all mails about one request, so that mail clients group them. No mail has that
// Message-ID, because no recipient is certain to have received a first one.
func (r *Renderer) thread(h *headers, n plan.Notification) {
	if input.Token("thread", n.Thread) != nil {
		return
	}
	root := "<request." + n.Thread + "@" + r.domain + ">"
	h.words("In-Reply-To", root)
	h.words("References", root)
}

func (r *Renderer) bodies(l letter) (plain, html string, err error) {
	var p, h strings.Builder
	if err := r.textual.Execute(&p, l); err != nil {
		return "", "", fmt.Errorf("mail: text: %w", err)
	}
	if err := r.markedUp.Execute(&h, l); err != nil {
		return "", "", fmt.Errorf("mail: HTML: %w", err)
	}
	return p.String(), h.String(), nil
}

// path is a value in a row: a path's folders, after each of which a narrow column may break it, and its name; of what
// is no path, the name alone.
type path struct {
	Folders []string
	Name    string
}

func parts(s string) path {
	if !strings.HasPrefix(s, "/") {
		return path{Name: s}
	}
	all := strings.SplitAfter(s, "/")
	return path{all[:len(all)-1], all[len(all)-1]}
}
