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

// heading is what every page begins with.
type heading struct{ Title, Organisation string }

// chooser asks who to be.
type chooser struct {
	heading
	Groups []group
	// Proof that a form is from this page. It goes to the page's own address.
	Proof string
	// The address on this machine of who asked, or the code that it shows.
	Client, Code string
}

// group is some people under a title.
type group struct {
	Title  string
	People []person
}

type person struct {
	Name, DisplayName, Initials, About, Language string
	Marks                                        []mark
}

// mark is a word about how somebody signed in; a weak one is a reason for Lockbox to say no.
type mark struct {
	Text string
	Weak bool
}

// codePage asks for the code that a device shows.
type codePage struct {
	heading
	Wrong string
}

// message tells something.
type message struct {
	heading
	Text  string
	Lines []string // to type
}

// people are those of one issuer, as the page groups them.
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
		return v // how a customer's people signed in makes no difference to the demo
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

// home tells who came by chance what this is.
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

// wrong tells a person why this goes no further; nothing is redirected.
func (d *Issuer) wrong(w http.ResponseWriter, iss *issuer, why string) {
	d.show(w, http.StatusBadRequest, "message", nil, message{
		heading: heading{Title: "This does not work", Organisation: iss.name}, Text: why +
			" Nobody was signed in. Begin again where you came from.",
	})
}

// show writes a page that runs no script, loads nothing but our style, is framed by nobody, and sends its form to us;
// and with a client's address to that one too, for browsers take a redirect after a form as part of it.
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
		form += " http:" // a policy cannot name an IPv6 address
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
	_, _ = w.Write(out.Bytes()) // whoever asked has gone away; there is nobody left to tell
}

func style(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	http.ServeFileFS(w, r, pageFiles, "pages/style.css")
}
