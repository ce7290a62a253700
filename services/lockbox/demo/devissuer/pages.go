package devissuer

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/aggregate"
)

//go:embed pages/*.tmpl pages/style.css
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "pages/*.tmpl"))

// heading is the data of the header that all pages share.
type heading struct{ Title, Organisation string }

// chooser is the data of the account chooser.
type chooser struct {
	heading
	Groups []group
	// Proof is the CSRF token. The form posts to the page's own URL.
	Proof string
	// Client is the loopback address of the requesting client; Code is the user code of the requesting device.
	Client, Code string
}

// group is a group of personas under a title.
type group struct {
	Title  string
	People []person
}

type person struct {
	Name, DisplayName, Initials, About, Language string
	Marks                                        []mark
}

// mark is a label on how a persona signs in; Lockbox may refuse a weak one.
type mark struct {
	Text string
	Weak bool
}

// codePage is the data of the page that asks for a device's user code.
type codePage struct {
	heading
	Wrong string
}

// message is the data of a page that only informs.
type message struct {
	heading
	Text  string
	Lines []string // commands to type
}

// people returns the personas of one issuer in the groups of the chooser.
func people(tenant string) []group {
	titles := []string{"Support engineers", "Everybody else at " + organisation(tenant), ""}
	groups := make([]group, len(titles))
	for i, title := range titles {
		groups[i].Title = title
	}
	for _, p := range Personas() {
		if p.Tenant != tenant {
			continue
		}
		at := 1
		switch {
		case p.Tenant != "":
			at = 2
		case slices.Contains(p.Groups, aggregate.SupportEngineers):
			at = 0
		}
		groups[at].People = append(groups[at].People, view(p))
	}
	return slices.DeleteFunc(groups, func(g group) bool { return len(g.People) == 0 })
}

func view(p Persona) person {
	v := person{Name: p.Name, DisplayName: p.DisplayName, About: p.About, Language: p.Language}
	for _, word := range strings.Fields(p.DisplayName) {
		if r, size := utf8.DecodeRuneInString(word); size > 0 && r != '(' && len(v.Initials) < 6 {
			v.Initials += string(r)
		}
	}
	v.About = strings.ToUpper(p.About[:1]) + p.About[1:] + "."
	if p.Tenant != "" {
		return v // the demo does not depend on how customers sign in
	}
	if slices.Contains(p.Methods, "mfa") {
		v.Marks = append(v.Marks, mark{Text: "second factor"})
	} else if !p.Isolated {
		v.Marks = append(v.Marks, mark{"password only", true})
	}
	if p.Isolated {
		v.Marks = append(v.Marks, mark{Text: "isolated"})
	}
	if p.Employer != Provider {
		v.Marks = append(v.Marks, mark{Text: p.Employer})
	}
	return v
}

// home explains the issuer to visitors of its root page.
func (d *Issuer) home(w http.ResponseWriter, _ *http.Request) {
	page := message{
		heading: heading{Title: "The demo's sign-in", Organisation: Provider + " and its customers"},
		Text:    "Here the people of Lockbox's demo sign in. Begin at a terminal:",
		Lines:   []string{"lockbox login"},
	}
	for _, tenant := range Tenants() {
		page.Lines = append(page.Lines, "lockbox login --tenant "+tenant)
	}
	d.show(w, http.StatusOK, "message", nil, page)
}

// wrong shows why the sign-in cannot continue; it never redirects.
func (d *Issuer) wrong(w http.ResponseWriter, iss *issuer, why string) {
	d.show(w, http.StatusBadRequest, "message", nil, message{
		heading: heading{Title: "This does not work", Organisation: iss.name}, Text: why +
			" Nobody was signed in. Begin again where you came from.",
	})
}

// show renders a page that runs no script, loads only our stylesheet, cannot be framed, and may post its form only to
// us; and to the client, if one is given, because browsers apply form-action to a redirect that follows a form, too.
func (*Issuer) show(w http.ResponseWriter, status int, name string, client *url.URL, data any) {
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, name, data); err != nil {
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	form := "'self'"
	switch {
	case client == nil:
	case strings.Contains(client.Host, "["):
		form += " http:" // CSP cannot express an IPv6 host
	default:
		form += " http://" + client.Host
	}
	h := w.Header()
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action "+form)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // fails only if the client is gone
}

func style(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	http.ServeFileFS(w, r, pageFiles, "pages/style.css")
}
