package mailbox

import (
	"bytes"
	"embed"
	"html/template"
	"net"
	"net/http"
	"slices"
	"strings"
)

//go:embed pages/*.tmpl
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "pages/*.tmpl"))

// Content security policies for our own pages, and for a mail's HTML, which is untrusted: it may have styles, and links
// that open in a new page, but nothing else; it has an origin of its own and only we may frame it.
const (
	pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	mailPolicy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

// mostListed is the number of mails on the page, newest first; the directory has all.
const mostListed = 300

func (m *Mailbox) pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", m.list)
	mux.HandleFunc("GET /mails/{id}", m.show)
	mux.HandleFunc("GET /mails/{id}/html", m.html)
	mux.HandleFunc("GET /mails/{id}/raw", m.raw)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.addressed(r.Host) {
			http.Error(w, "This mailbox does not go by that name.", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		mux.ServeHTTP(w, r)
	})
}

// addressed reports whether a request's Host may be ours. On loopback only local names are accepted, so that no web
// page can read mails through DNS rebinding.
func (m *Mailbox) addressed(host string) bool {
	at, ok := m.http.Addr().(*net.TCPAddr)
	if !ok || !at.IP.IsLoopback() {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (m *Mailbox) list(w http.ResponseWriter, _ *http.Request) {
	all, err := newest(m.store.dir, mostListed)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	slices.Reverse(all)
	write(w, "list.html.tmpl", all)
}

func (m *Mailbox) show(w http.ResponseWriter, r *http.Request) {
	if mail, ok := m.find(w, r); ok {
		write(w, "mail.html.tmpl", mail)
	}
}

func (m *Mailbox) html(w http.ResponseWriter, r *http.Request) {
	if mail, ok := m.find(w, r); ok {
		w.Header().Set("Content-Security-Policy", mailPolicy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(mail.HTML)) // #nosec G705 -- sandboxed by the policy above
	}
}

func (m *Mailbox) raw(w http.ResponseWriter, r *http.Request) {
	if mail, ok := m.find(w, r); ok {
		w.Header().Set("Content-Security-Policy", mailPolicy)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		http.ServeFile(w, r, mail.Path)
	}
}

func (m *Mailbox) find(w http.ResponseWriter, r *http.Request) (Message, bool) {
	mail, found, err := m.store.get(r.PathValue("id"))
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case !found:
		http.NotFound(w, r)
	}
	return mail, found
}

func write(w http.ResponseWriter, page string, data any) {
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, page, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(out.Bytes())
}
